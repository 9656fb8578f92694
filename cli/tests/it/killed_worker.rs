use nix::sys::signal::{Signal, kill};

use super::process_tree;
use super::stack::{Stack, count_lines, lines_until};

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_goes_on_from_the_last_checkpoint_of_one_that_was_killed() {
    let stack = Stack::start(2, 1).await;
    let gate = stack.shared("gate");
    let script = format!("echo first-epoch-$MAKIMA_EPOCH >> epochs.txt; {}", lines_until(&gate));
    let id = stack.submit(&stack.script("resume me", &script)).await;
    let saved = stack.wait_for_checkpoint(&id, 1, 2).await["data"]["number"].as_i64().unwrap();

    let (worker, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGKILL).unwrap();
    stack.wait_for_status(&id, 2, "running").await;
    let first_agent = process_tree::with_environment("MAKIMA_EPOCH=1")
        .into_iter()
        .filter(|pid| process_tree::with_environment(&format!("MAKIMA_TASK_ID={id}")).contains(pid));
    assert_eq!(first_agent.count(), 0, "the first agent is dead before the second starts");
    stack.wait_for_checkpoint(&id, 2, saved + 1).await;
    std::fs::write(&gate, "").unwrap();

    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    let attempts = end["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!((&attempts[0]["workerId"], &attempts[0]["outcome"]), (&worker.into(), &"worker_lost".into()));
    assert_ne!(attempts[0]["workerId"], attempts[1]["workerId"]);
    assert!(attempts[1]["resumedFrom"].as_i64() >= Some(saved), "{attempts:?}");

    let branch = end["resultBranch"].as_str().unwrap();
    let lines = count_lines(&stack.repository.file(branch, "lines.txt"));
    assert!(lines > 20, "two checkpoints and more, 20 lines a second at most: {lines}");
    assert_eq!(stack.repository.file(branch, "epochs.txt"), "first-epoch-1\nfirst-epoch-2\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_comes_back_goes_on_in_the_workspace_that_it_left() {
    let stack = Stack::start(1, 1).await;
    let (begun, gate) = (stack.shared("begun"), stack.shared("gate"));
    nix::unistd::mkfifo(&begun, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    let script = format!(
        "echo $MAKIMA_EPOCH >> epochs.txt; echo $MAKIMA_EPOCH >> ~/epochs.txt; cp ~/epochs.txt home.txt; \
         echo > '{}'; while [ ! -e '{}' ]; do sleep 0.05; done",
        begun.display(),
        gate.display()
    );
    let mut body = stack.script("come back", &script);
    body["checkpointIntervalSecs"] = 86_400.into();
    let id = stack.submit(&body).await;
    let heard = begun.clone();
    tokio::task::spawn_blocking(move || std::fs::read(heard).unwrap()).await.unwrap();

    let (_, pid) = stack.worker_of(&id).await;
    kill(pid, Signal::SIGKILL).unwrap();
    stack.wait_for_status(&id, 2, "running").await;
    std::fs::write(&gate, "").unwrap();
    tokio::task::spawn_blocking(move || std::fs::read(begun).unwrap()).await.unwrap();

    let end = stack.wait_for_end(&id).await;
    assert_eq!((&end["status"], end["retryCount"].as_i64()), (&"done".into(), Some(1)), "{end:#}");
    let branch = end["resultBranch"].as_str().unwrap();
    assert_eq!(stack.repository.file(branch, "epochs.txt"), "1\n2\n", "no checkpoint had it");
    assert_eq!(stack.repository.file(branch, "home.txt"), "1\n2\n", "the agent's home is there again");
    let notices = stack.events(&id).await.into_iter().filter(|event| event["kind"] == "notice");
    let codes: Vec<_> = notices.map(|notice| notice["data"]["code"].to_string()).collect();
    assert!(codes.iter().any(|code| code.contains("WORKSPACE_TAKEN_UP")), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_kills_every_worker_it_meets_gives_up() {
    let stack = Stack::start(2, 1).await;
    // The worker is the parent of the shim, which is the parent of the agent.
    let script = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 1000";
    let mut body = stack.script("poison", script);
    body["maxRetries"] = 2.into();
    let poison = stack.submit(&body).await;
    let good = stack.submit(&stack.script("good", "echo good > good.txt")).await;

    let end = stack.wait_for_end(&poison).await;
    assert_eq!((&end["status"], &end["statusCode"]), (&"failed".into(), &"WORKER_LOST".into()), "{end:#}");
    let workers: std::collections::BTreeSet<_> =
        end["attempts"].as_array().unwrap().iter().map(|attempt| attempt["workerId"].to_string()).collect();
    assert_eq!(workers.len(), 3, "three attempts on three workers");
    assert_eq!(stack.wait_for_end(&good).await["status"], "done");
}
