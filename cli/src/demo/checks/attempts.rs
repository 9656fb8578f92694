//! Checks of what the API says: attempts, checkpoints, the order of the tasks, what was lost.

use makima_shared::domain::{Attempt, AttemptOutcome, TaskStatus};

use crate::demo::board::Board;
use crate::demo::findings::{Findings, Loss, Told};
use crate::demo::graph::{INTERVAL, LINE_PERIOD, Part};
use crate::demo::kill::Kill;
use crate::demo::report::outcome_word;
use crate::demo::stack::WORKERS;
use crate::demo::verdict::Verdict;

/// Makes all of them.
pub(crate) fn check_attempts(
    verdict: &mut Verdict<'_>,
    findings: &Findings,
    board: &Board,
    kill: Option<&Kill>,
) {
    let statuses = Part::ALL.map(|part| (part, findings.tasks.of(part).detail.task.status));
    let not_done: Vec<_> = statuses.iter().filter(|(_, status)| *status != TaskStatus::Done).collect();
    let words =
        not_done.iter().map(|(part, status)| format!("{} is {status}", part.name())).collect::<Vec<_>>();
    verdict.check_or(not_done.is_empty(), "all four tasks are done", &words.join(", "));
    check_order(verdict, findings);
    check_victim(verdict, findings, kill);
    check_loss(verdict, findings, board);
    check_others(verdict, findings);
    let back = kill.is_some_and(|kill| findings.workers.iter().all(|worker| worker.pid != kill.worker.pid));
    let holds = back && findings.workers.len() == WORKERS;
    let found = format!("{} live workers", findings.workers.len());
    verdict.check_or(holds, "the dead worker was started again: three live workers", &found);
}

/// No task began before all that it depends on was done.
fn check_order(verdict: &mut Verdict<'_>, findings: &Findings) {
    for part in Part::ALL.into_iter().filter(|part| !part.parents().is_empty()) {
        let begun = findings.tasks.of(part).detail.attempts.first().map(|attempt| attempt.claimed_at);
        let ends = part.parents().iter().map(|parent| findings.tasks.of(*parent).detail.task.finished_at);
        let holds = ends.into_iter().all(|end| end.zip(begun).is_some_and(|(end, begun)| end <= begun));
        let parents: Vec<_> = part.parents().iter().map(|parent| parent.name()).collect();
        let verb = if parents.len() == 1 { "was" } else { "were" };
        verdict.check(holds, &format!("{} began after {} {verb} done", part.name(), parents.join(" and ")));
    }
}

fn check_victim(verdict: &mut Verdict<'_>, findings: &Findings, kill: Option<&Kill>) {
    let told = findings.tasks.of(Part::Backend);
    let attempts = told.detail.attempts.as_slice();
    let outcomes: Vec<_> =
        attempts.iter().map(|attempt| attempt.outcome.map_or("open", outcome_word)).collect();
    let found = if outcomes.is_empty() { "none".to_owned() } else { outcomes.join(", ") };
    let [first, second] = attempts else {
        return verdict.check_or(false, "backend had two attempts", &found);
    };
    let as_meant = first.outcome == Some(AttemptOutcome::WorkerLost)
        && second.outcome == Some(AttemptOutcome::Completed);
    verdict.check_or(as_meant, "backend had two attempts: worker_lost, then completed", &found);
    let of_killed = kill.is_some_and(|kill| kill.worker.id == first.worker_id);
    let (one, other) = (findings.worker_of(first), findings.worker_of(second));
    verdict.check(
        of_killed && first.worker_id != second.worker_id,
        &format!("they were of two workers: {one}, which was killed, and {other}"),
    );
    check_resumption(verdict, told, first, second);
}

fn check_resumption(verdict: &mut Verdict<'_>, told: &Told, first: &Attempt, second: &Attempt) {
    let last = told.checkpoints_of(first).map(|checkpoint| checkpoint.number).max();
    let words = match second.resumed_from {
        Some(number) => format!("attempt 2 resumed from checkpoint {number}, the last one of attempt 1"),
        None => "attempt 2 resumed from the last checkpoint of attempt 1".to_owned(),
    };
    let found = last.map_or_else(|| "there is none".to_owned(), |number| format!("that is {number}"));
    verdict.check_or(last.is_some() && second.resumed_from == last, &words, &found);
}

fn check_loss(verdict: &mut Verdict<'_>, findings: &Findings, board: &Board) {
    let Some(loss) = findings.loss else {
        return verdict.check(false, "what was lost is known");
    };
    let Loss { written, kept, .. } = loss;
    let found = board.rows.of(Part::Backend).found;
    let found_words = found.map_or_else(|| "none".to_owned(), |count| count.to_string());
    verdict.check_or(
        found == Some(kept) && kept > 0,
        &format!("attempt 2 found the {kept} lines that the checkpoint holds"),
        &format!("it found {found_words}"),
    );
    let lost = loss.lines();
    verdict.check(
        written >= kept && lost > 0,
        &format!("{lost} unsaved lines were at stake: {written} written, {kept} saved"),
    );
    let limit = loss_limit();
    verdict.check(
        lost <= limit,
        &format!("no more was lost than an interval may take: {lost} of at most {limit} lines"),
    );
}

/// One interval, and another for what a checkpoint itself takes on a busy machine.
fn loss_limit() -> usize {
    let lines = 2 * INTERVAL.as_millis() / LINE_PERIOD.as_millis();
    usize::try_from(lines).unwrap_or(usize::MAX)
}

fn check_others(verdict: &mut Verdict<'_>, findings: &Findings) {
    let others = Part::ALL.into_iter().filter(|part| *part != Part::Backend);
    let several: Vec<_> = others.filter(|part| findings.tasks.of(*part).detail.attempts.len() != 1).collect();
    let names: Vec<_> = several.iter().map(|part| part.name()).collect();
    verdict.check_or(names.is_empty(), "the other tasks took one attempt each", &names.join(", "));
}
