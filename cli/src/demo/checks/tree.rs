//! Checks of what was pushed, read from the repository with git alone.

use std::fmt::Write;

use makima_shared::domain::Task;

use crate::demo::findings::Findings;
use crate::demo::git::Git;
use crate::demo::graph::Part;
use crate::demo::kill::JOURNAL;
use crate::demo::verdict::Verdict;

/// All that backend changes, as `git diff --name-status` tells it, and nothing else.
const BACKEND_CHANGES: &str = "A\tassets/icons.bin\nA\tconfig/current.toml\nM\tconfig/server.toml\n\
                               A\tscripts/migrate.sh\nD\tsrc/server/legacy.rs\nA\tsrc/server/routes.txt";

/// Makes all of them.
pub(crate) async fn check_results(verdict: &mut Verdict<'_>, findings: &Findings, origin: &Git) {
    for part in Part::ALL {
        let task = &findings.tasks.of(part).detail.task;
        let (holds, words) = is_pushed(task, origin).await;
        verdict.check(holds, &words);
    }
    let commit = |part| findings.tasks.of(part).detail.task.result_commit.as_deref().unwrap_or("missing");
    let (backend, frontend, whole) = (commit(Part::Backend), commit(Part::Frontend), commit(Part::Integrate));
    check_lines(verdict, findings, origin, backend).await;
    check_tree(verdict, findings, origin, backend).await;
    let mut holds_both = true;
    for part in [backend, frontend] {
        holds_both &= origin.bytes(&["merge-base", "--is-ancestor", part, whole]).await.is_ok();
    }
    verdict.check(holds_both, "the history of integrate holds the commits of backend and frontend");
    let mut same = true;
    for (part, file) in [(backend, JOURNAL), (frontend, "web/pages.txt")] {
        let (there, here) = (read(origin, part, file).await, read(origin, whole, file).await);
        same &= !there.is_empty() && there == here;
    }
    verdict.check(same, "the tree of integrate has every line of both");
}

async fn is_pushed(task: &Task, origin: &Git) -> (bool, String) {
    let (Some(branch), Some(commit)) = (&task.result_branch, &task.result_commit) else {
        let why = task.completion_error.as_deref().unwrap_or("it has no result");
        return (false, format!("the result of {} was pushed: {why}", task.name));
    };
    let tip = origin.text(&["rev-parse", "--verify", &format!("refs/heads/{branch}")]).await;
    let holds = tip.is_ok_and(|tip| tip == *commit);
    (holds, format!("the result of {} was pushed to {branch}", task.name))
}

/// Each number once, in order, and each by the attempt that must have written it.
async fn check_lines(verdict: &mut Verdict<'_>, findings: &Findings, origin: &Git, commit: &str) {
    let all = Part::Backend.lines().unwrap_or_default();
    let kept = findings.loss.map_or(0, |loss| loss.kept);
    let text = String::from_utf8_lossy(&read(origin, commit, JOURNAL).await).into_owned();
    let numbers: Vec<_> =
        text.lines().map(|line| line.split(' ').next().and_then(|word| word.parse().ok())).collect();
    let whole = numbers.iter().copied().eq((1..=all).map(Some));
    let found = format!("{} lines", numbers.len());
    verdict.check_or(whole, &format!("{JOURNAL} has the lines 1 to {all} without gap or repeat"), &found);
    let words = format!("lines 1 to {kept} are of attempt 1, {} to {all} of attempt 2", kept + 1);
    verdict.check(kept > 0 && text == expected_lines(all, kept), &words);
}

fn expected_lines(all: usize, kept: usize) -> String {
    let mut text = String::new();
    for number in 1..=all {
        let attempt = if number <= kept { 1 } else { 2 };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{number:04} written by attempt {attempt}");
    }
    text
}

async fn check_tree(verdict: &mut Verdict<'_>, findings: &Findings, origin: &Git, commit: &str) {
    verdict.check(
        read(origin, commit, "assets/icons.bin").await == expected_binary(),
        "the untracked binary came back byte for byte",
    );
    let mode = |path: &'static str| async move {
        let line = origin.text(&["ls-tree", commit, "--", path]).await.unwrap_or_default();
        line.split(' ').next().unwrap_or_default().to_owned()
    };
    let links = mode("config/current.toml").await == "120000"
        && read(origin, commit, "config/current.toml").await == b"server.toml";
    verdict.check(links, "the symbolic link is one, and points where it should");
    verdict.check(mode("scripts/migrate.sh").await == "100755", "the executable is executable");
    let config = read(origin, commit, "config/server.toml").await;
    let changed = String::from_utf8_lossy(&config).lines().any(|line| line == "workers = 8");
    verdict.check(changed, "the changed file has its change");
    let base = findings.tasks.of(Part::Backend).detail.task.base_commit.as_deref().unwrap_or("missing");
    let changes = origin.text(&["diff", "--name-status", "--no-renames", base, commit]).await;
    let changes = changes.unwrap_or_else(|error| error.to_string());
    verdict.check_or(
        changes == BACKEND_CHANGES,
        "the deleted file is gone, and nothing else was touched",
        &changes.replace('\n', ", ").replace('\t', " "),
    );
}

/// What `agents/backend.sh` writes.
fn expected_binary() -> Vec<u8> {
    let piece = |number: u32| [b"\x00\xff\x01\xfe\r\n".as_slice(), number.to_string().as_bytes()].concat();
    (0..64).flat_map(piece).collect()
}

/// Returns a file of a commit; nothing if there is none.
async fn read(origin: &Git, commit: &str, path: &str) -> Vec<u8> {
    origin.bytes(&["cat-file", "blob", &format!("{commit}:{path}")]).await.unwrap_or_default()
}
