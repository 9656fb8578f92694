use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::process_tree;
use super::stack::{Options, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_runs_in_order_and_every_result_is_pushed() {
    let stack = Stack::start(2, 2).await;
    let plan = stack.submit(&stack.script("plan", "cat > PLAN.md")).await;
    let mut middle = Vec::new();
    for name in ["backend", "frontend"] {
        let mut body = stack.script(name, &format!("echo {name} > {name}.txt; echo done with $MAKIMA_PLAN"));
        body["dependsOn"] = serde_json::json!([plan]);
        middle.push(stack.submit(&body).await);
    }
    let mut body = stack.script("join", "rm README.md");
    body["dependsOn"] = serde_json::json!(middle);
    let join = stack.submit(&body).await;

    let end = stack.wait_for_end(&join).await;
    assert_eq!(end["status"], "done", "{end:#}");
    let began = |task: &serde_json::Value| task["attempts"][0]["claimedAt"].as_str().unwrap().to_owned();
    for parent in middle.iter().chain([&plan]) {
        let parent = stack.task(parent).await;
        assert_eq!(parent["status"], "done");
        assert!(parent["finishedAt"].as_str().unwrap() <= began(&end).as_str());
    }
    assert_eq!(stack.repository.branches().len(), 5, "main and one for each task");
    let branch = |task: &serde_json::Value| task["resultBranch"].as_str().unwrap().to_owned();
    assert_eq!(stack.repository.file(&branch(&stack.task(&plan).await), "PLAN.md"), "Carry out plan");
    let output = stack.get(&format!("/mesh/tasks/{}/output", middle[0])).await;
    assert_eq!(output["lines"][0]["text"], "done with Carry out backend");
    let kept = stack.repository.git(&["ls-tree", "--name-only", &branch(&end)]);
    assert_eq!(kept, "src\n", "README.md was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_sees_its_own_environment_and_nothing_of_the_worker() {
    let stack = Stack::start(1, 1).await;
    let mut body = stack.script("look", "env | sort > env.txt; pwd >> env.txt");
    body["env"] = serde_json::json!({"COLOUR": "red"});
    let id = stack.submit(&body).await;
    let end = stack.wait_for_end(&id).await;
    let env = stack.repository.file(end["resultBranch"].as_str().unwrap(), "env.txt");
    for entry in
        ["COLOUR=red", "MAKIMA_PLAN=Carry out look", "MAKIMA_EPOCH=1", &format!("MAKIMA_TASK_ID={id}")]
    {
        assert!(env.contains(entry), "{entry} not in {env}");
    }
    for secret in ["DATABASE_URL", "REDIS_URL", "postgres://", "API_KEY", "MAKIMA_DATABASE"] {
        assert!(!env.contains(secret), "{secret} in {env}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_agent_survives_its_end() {
    let stack = Stack::start(1, 1).await;
    let marker = stack.shared("marker");
    let script = format!(
        "setsid sh -c 'trap \"\" TERM; echo started > {0}; while :; do sleep 1; done' > /dev/null 2>&1 &\n\
         while [ ! -e {0} ]; do sleep 0.05; done",
        marker.display()
    );
    let id = stack.submit(&stack.script("daemon", &script)).await;
    assert_eq!(stack.wait_for_end(&id).await["status"], "done");
    assert_eq!(process_tree::with_environment(&format!("MAKIMA_TASK_ID={id}")), Vec::<i32>::new());
    let work = stack.data_dir();
    let left: Vec<_> = walk(&work).into_iter().filter(|path| path.contains(&id)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_task_ends_cancelled_with_its_agent_dead() {
    let stack = Stack::start(1, 1).await;
    let id =
        stack.submit(&stack.script("endless", "trap '' TERM; while :; do echo x; sleep 0.1; done")).await;
    stack.wait_for(&id, "output", |event| event["kind"] == "output").await;
    let child = {
        let mut body = stack.script("after", "true");
        body["dependsOn"] = serde_json::json!([id]);
        stack.submit(&body).await
    };
    let stopped = stack.post(&format!("/mesh/tasks/{id}/stop")).await;
    assert_eq!(stopped["status"], "cancelled");
    // The slot is free again only once the agent is dead, so the next task tells.
    let next = stack.submit(&stack.script("next", "true")).await;
    assert_eq!(stack.wait_for_end(&next).await["status"], "done");
    assert_eq!(process_tree::with_environment(&format!("MAKIMA_TASK_ID={id}")), Vec::<i32>::new());
    assert_eq!(stack.task(&id).await["status"], "cancelled");
    let child = stack.wait_for_end(&child).await;
    assert_eq!((&child["status"], &child["statusCode"]), (&"failed".into(), &"DEPENDENCY_FAILED".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_checkpoint_that_is_under_way() {
    // A git whose first comparison of trees hangs, as on a disk that does.
    let programs = tempfile::tempdir().unwrap();
    let (git, hung) = (programs.path().join("git"), programs.path().join("hung"));
    nix::unistd::mkfifo(&hung, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = format!(
        "#!/bin/sh\n\
         case \" $* \" in *' diff-tree '*) if mkdir {0}.once; then echo > {0}; sleep 1000; fi;; esac\n\
         PATH=${{PATH#*:}} exec git \"$@\"\n",
        hung.display()
    );
    fs::write(&git, script).unwrap();
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    let programs_dir = Some(programs.path().to_owned());
    let stack =
        Stack::start_with(Options { workers: 1, slots: 1, durable: false, programs: programs_dir }).await;

    let endless =
        stack.submit(&stack.script("endless", "echo work > work; while :; do sleep 0.1; done")).await;
    tokio::task::spawn_blocking(move || fs::read(hung)).await.unwrap().unwrap();
    stack.post(&format!("/mesh/tasks/{endless}/stop")).await;
    // There is one slot, so the next task tells that the stopped one has left it.
    let next = stack.submit(&stack.script("next", "echo work > work")).await;
    assert_eq!(stack.wait_for_end(&next).await["status"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_an_agents_output_open_holds_no_task_up() {
    let stack = Stack::start(1, 1).await;
    let gate = stack.shared("gate");
    let script = format!("echo here; while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let id = stack.submit(&stack.script("held", &script)).await;
    stack.wait_for(&id, "output", |event| event["kind"] == "output").await;
    let agent = process_tree::with_environment(&format!("MAKIMA_TASK_ID={id}"))[0];
    let held = fs::File::options().write(true).open(format!("/proc/{agent}/fd/1")).unwrap();
    fs::write(&gate, "").unwrap();
    let end = stack.wait_for_end(&id).await;
    drop(held);
    assert_eq!(end["status"], "done");
    let cut = stack.events(&id).await.into_iter().any(|event| event["data"]["code"] == "OUTPUT_CUT");
    assert!(cut, "the task says that its output may be cut");
}

fn walk(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            found.extend(walk(&entry.path()));
        }
    }
    found
}
