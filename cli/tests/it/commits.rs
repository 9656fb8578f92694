use nix::sys::signal::{Signal, kill};

use super::stack::Stack;

/// Waits for the end that its worker brings.
const WAIT: &str = "while :; do sleep 0.1; done";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_worker_finds_the_commits_that_the_agent_made() {
    let stack = Stack::start(2, 1).await;
    // The tree stays as the base has it: only the commits make a checkpoint.
    let script = format!(
        "if git rev-parse -q --verify refs/heads/side; then git log -1 --format='found %s' > found.txt; \
         git branch --show-current >> found.txt; exit; fi; \
         git checkout -q -b side; git commit -q --allow-empty -m 'kept in mind'; echo committed; {WAIT}"
    );
    let mut body = stack.script("commit and wait", &script);
    body["checkpointIntervalSecs"] = 3600.into();
    let id = stack.submit(&body).await;
    stack.wait_for(&id, "output", |event| event["data"]["text"] == "committed").await;
    let (_, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGTERM).unwrap();

    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["attempts"][1]["resumedFrom"]), (&"done".into(), &1.into()), "{end:#}");
    let branch = end["resultBranch"].as_str().unwrap();
    assert_eq!(stack.repository.file(branch, "found.txt"), "found kept in mind\nside\n");
    let subject = stack.repository.git(&["log", "-1", "--format=%s", &format!("{branch}^")]);
    assert_eq!(subject.trim(), "kept in mind", "the result is built on it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_resumes_without_commits_is_on_the_branch_that_it_began_on() {
    let stack = Stack::start(1, 1).await;
    let script = "echo \"on '$(git branch --show-current)'\" >> found.txt; test $MAKIMA_EPOCH = 2";
    let id = stack.submit(&stack.script("name no branch", script)).await;
    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    let found = stack.repository.file(end["resultBranch"].as_str().unwrap(), "found.txt");
    assert_eq!(found, "on 'main'\non 'main'\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_too_large_for_a_checkpoint_are_left_out_and_the_owner_is_told() {
    let stack = Stack::start(2, 1).await;
    let script = format!(
        "if [ -e small.txt ]; then git log -1 --format=%s > found.txt; exit; fi; \
         head -c 12000000 /dev/urandom > large.bin; git add large.bin; git commit -qm large; \
         git rm -q large.bin; git commit -qm 'not large'; echo small > small.txt; echo committed; {WAIT}"
    );
    let mut body = stack.script("large commits", &script);
    body["checkpointIntervalSecs"] = 3600.into();
    let id = stack.submit(&body).await;
    stack.wait_for(&id, "output", |event| event["data"]["text"] == "committed").await;
    let (_, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGTERM).unwrap();

    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], &end["attempts"][1]["resumedFrom"]), (&"done".into(), &1.into()), "{end:#}");
    let told: Vec<_> = stack
        .events(&id)
        .await
        .into_iter()
        .filter(|event| event["data"]["code"] == "COMMITS_NOT_SAVED")
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let found = stack.repository.file(end["resultBranch"].as_str().unwrap(), "found.txt");
    assert!(!found.contains("large"), "{found}");
}
