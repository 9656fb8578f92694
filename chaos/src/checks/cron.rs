//! 9: each due time of a schedule is dealt with once, soon, whoever leads.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use makima_shared::domain::TaskStatus;

use super::{Findings, fates};
use crate::evidence::{Evidence, History};
use crate::faults::Scope;
use crate::load::crons::{self, CronRuns};

/// A second scheduler leads within that time of a crash.
const LATE_AT_MOST: TimeDelta = TimeDelta::seconds(10);

/// Names due times that have no run, runs that came late or came to nothing, and tasks that no run submitted.
pub(super) fn judge(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    for cron in &evidence.crons {
        judge_times(evidence, cron, &mut findings);
        judge_runs(evidence, cron, &mut findings);
    }
    let submitted: BTreeSet<_> =
        evidence.crons.iter().flat_map(|cron| &cron.runs).filter_map(|run| run.task_id).collect();
    let read_at = evidence.crons.iter().map(|cron| cron.read_at).min();
    for (task, history) in
        evidence.histories.iter().filter(|(_, history)| history.task.name.starts_with(crons::NAME))
    {
        let made_at = history.events.first().map(|event| event.created_at);
        // Those of the moments between the reading of the runs and the end of the schedule have no run to look at.
        let is_judged = made_at.zip(read_at).is_some_and(|(made, read)| made < read);
        findings.judge(!is_judged || submitted.contains(task), || {
            format!("{} was submitted by no run", evidence.name(*task))
        });
    }
    findings
}

fn judge_times(evidence: &Evidence, cron: &CronRuns, findings: &mut Findings) {
    let period = TimeDelta::seconds(cron.period_secs);
    for pair in cron.runs.windows(2) {
        let through = pair[0].missed_until.unwrap_or(pair[0].due_at);
        findings.judge(through + period == pair[1].due_at, || {
            format!("every {} s: {} was followed by {}", cron.period_secs, through, pair[1].due_at)
        });
    }
    let last = cron.runs.last().map_or(cron.began_at, |run| run.missed_until.unwrap_or(run.due_at));
    let excuse = evidence.windows.broken(last, cron.read_at, delays_cron);
    findings.judge(cron.read_at - last <= LATE_AT_MOST + period + excuse, || {
        format!("every {} s: nothing was done after {last}, until {}", cron.period_secs, cron.read_at)
    });
}

fn judge_runs(evidence: &Evidence, cron: &CronRuns, findings: &mut Findings) {
    for run in &cron.runs {
        let due = run.due_at;
        let excuse = evidence.windows.broken(due, run.created_at, delays_cron);
        let late = run.created_at - due;
        findings.judge(late <= LATE_AT_MOST + excuse, || {
            format!("every {} s: {due} was dealt with {} ms late", cron.period_secs, late.num_milliseconds())
        });
        let task = run.task_id.and_then(|task| evidence.histories.get(&task));
        let is_fine = |history: &History| {
            history.task.status == TaskStatus::Done || fates::is_excused(evidence, history)
        };
        findings.judge(task.is_some_and(is_fine), || {
            let end = task.map(|history| (history.task.status, &history.task.status_code));
            format!("every {} s: {due} was {} as {:?}, {end:?}", cron.period_secs, run.outcome, run.task_id)
        });
    }
}

fn delays_cron(scope: Scope) -> bool {
    match scope {
        Scope::Postgres | Scope::Machine => true,
        Scope::Worker(_) | Scope::Scheduler | Scope::Api | Scope::Redis | Scope::Remote | Scope::Nothing => {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use makima_shared::domain::TaskId;

    use super::*;
    use crate::checks::staged::{Staged, at};
    use crate::load::crons::CronRun;

    fn ran(seconds: &[i64]) -> Staged {
        let mut staged = Staged::done();
        let run = |due: &i64| CronRun {
            due_at: at(*due),
            missed_until: None,
            task_id: Some(staged.task),
            outcome: "submitted".to_owned(),
            created_at: at(*due),
        };
        let runs: Vec<_> = seconds.iter().map(run).collect();
        let read_at = at(seconds.last().copied().unwrap_or(0) + 1);
        staged.evidence.crons.push(CronRuns { period_secs: 2, began_at: at(-1), runs, read_at });
        staged
    }

    #[test]
    fn one_run_for_each_due_time_is_fine() {
        let findings = judge(&ran(&[0, 2, 4]).evidence);
        assert!(findings.broken.is_empty() && findings.judged == 9, "{findings:?}");
    }

    #[test]
    fn a_due_time_without_a_run_and_one_with_two_are_named() {
        assert_eq!(judge(&ran(&[0, 4, 6]).evidence).broken.len(), 1);
        assert_eq!(judge(&ran(&[0, 2, 2, 4]).evidence).broken.len(), 1);
    }

    #[test]
    fn a_late_run_and_a_run_without_a_task_are_named() {
        let mut staged = ran(&[0, 2]);
        staged.evidence.crons[0].runs[0].created_at = at(30);
        staged.evidence.crons[0].runs[1].task_id = Some(TaskId::new());
        assert_eq!(judge(&staged.evidence).broken.len(), 2);
    }

    #[test]
    fn a_schedule_that_has_stopped_is_named() {
        let mut staged = ran(&[0, 2]);
        staged.evidence.crons[0].read_at = at(60);
        assert_eq!(judge(&staged.evidence).broken.len(), 1);
    }
}
