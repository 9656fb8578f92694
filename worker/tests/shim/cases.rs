//! The cases, by what must hold.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use makima_worker::process::{
    AgentEnd, KillReason, Signal, TreeEnd, boottime_ms, kill_abandoned, reap_orphans,
};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::marked::{await_count, await_no_stage, await_none, await_until, living};
use crate::stage::{LONG, Output, Stage};

/// All cases with their names.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("exit_code_is_the_agents", exit_code_is_the_agents),
    ("inherited_zombies_are_reaped_and_children_left_to_their_parents", inherited_zombies_are_reaped),
    ("signal_is_the_agents", signal_is_the_agents),
    ("missing_program_is_not_startable", missing_program_is_not_startable),
    ("missing_directory_and_plan_are_not_startable", missing_directory_and_plan_are_not_startable),
    (
        "agent_that_exits_like_a_failed_second_stage_has_run",
        agent_that_exits_like_a_failed_second_stage_has_run,
    ),
    (
        "plan_is_stdin_and_environment_is_only_what_was_given",
        plan_is_stdin_and_environment_is_only_what_was_given,
    ),
    ("signals_are_as_an_agent_expects_them", signals_are_as_an_agent_expects_them),
    ("agent_inherits_no_descriptor_of_its_keepers", agent_inherits_no_descriptor_of_its_keepers),
    ("daemons_end_with_the_agent", daemons_end_with_the_agent),
    ("stop_is_obeyed_by_the_agents_own_signal", stop_is_obeyed_by_the_agents_own_signal),
    ("stop_reaches_stopped_processes_and_other_sessions", stop_reaches_stopped_processes_and_other_sessions),
    ("agent_that_ignores_sigterm_is_killed", agent_that_ignores_sigterm_is_killed),
    ("second_stop_shortens_the_grace", second_stop_shortens_the_grace),
    ("passed_deadline_kills_the_tree", passed_deadline_kills_the_tree),
    ("passed_deadline_lets_no_agent_start", passed_deadline_lets_no_agent_start),
    ("late_agent_starts_under_the_newest_deadline", late_agent_starts_under_the_newest_deadline),
    ("renewal_keeps_the_agent_alive", renewal_keeps_the_agent_alive),
    ("killed_worker_takes_the_tree_along", killed_worker_takes_the_tree_along),
    ("dropped_process_takes_the_tree_along", dropped_process_takes_the_tree_along),
    ("terminated_shim_kills_the_tree", terminated_shim_kills_the_tree),
    ("killed_shim_is_a_loss_and_the_tree_is_swept", killed_shim_is_a_loss_and_the_tree_is_swept),
    (
        "frozen_shim_is_killed_after_a_stop_and_the_tree_is_swept",
        frozen_shim_is_killed_after_a_stop_and_the_tree_is_swept,
    ),
    (
        "abandoned_processes_are_found_by_their_environment",
        abandoned_processes_are_found_by_their_environment,
    ),
    ("stray_sweep_leaves_other_agents_alone", stray_sweep_leaves_other_agents_alone),
    ("agent_that_forks_all_the_time_is_caught", agent_that_forks_all_the_time_is_caught),
    ("process_that_hops_by_fork_alone_is_caught", process_that_hops_by_fork_alone_is_caught),
];

fn code_of(end: &AgentEnd) -> i32 {
    let AgentEnd::Exited { code, .. } = end else { panic!("{end:?}") };
    *code
}

fn exit_code_is_the_agents() {
    for code in [0, 1, 127, 255] {
        let stage = Stage::new("");
        let (end, _) = stage.perform(&stage.shell(&format!("exit {code}")));
        assert_eq!(end, AgentEnd::Exited { code, tree: TreeEnd::default() });
    }
}

fn signal_is_the_agents() {
    let stage = Stage::new("");
    // 40 is a real-time signal.
    for (sent, signal) in [(11, 11), (9, 9), (40, 0)] {
        let (end, _) = stage.perform(&stage.shell(&format!("kill -{sent} $$")));
        assert_eq!(end, AgentEnd::Signaled { signal, tree: TreeEnd::default() });
    }
}

fn missing_program_is_not_startable() {
    let stage = Stage::new("");
    let (end, _) = stage.perform(&stage.command(&["no-such-agent", "--flag"]));
    let AgentEnd::NotStarted { error } = end else { panic!("{end:?}") };
    assert!(error.contains("no-such-agent") && error.contains("No such file"), "{error}");
    let (end, _) = stage.perform(&stage.command(&["/etc/passwd"]));
    assert!(matches!(end, AgentEnd::NotStarted { .. }), "{end:?}");
}

fn missing_directory_and_plan_are_not_startable() {
    let stage = Stage::new("");
    let mut nowhere = stage.shell("true");
    nowhere.cwd = stage.directory.join("nowhere");
    let mut planless = stage.shell("true");
    planless.stdin_file = stage.directory.join("nowhere");
    for command in [nowhere, planless] {
        let (end, _) = stage.perform(&command);
        let AgentEnd::NotStarted { error } = end else { panic!("{end:?}") };
        assert!(error.contains("nowhere"), "{error}");
    }
}

fn agent_that_exits_like_a_failed_second_stage_has_run() {
    let stage = Stage::new("");
    let (end, _) = stage.perform(&stage.shell("echo 'cannot start' >&2; exit 1"));
    assert_eq!(code_of(&end), 1);
}

fn plan_is_stdin_and_environment_is_only_what_was_given() {
    let stage = Stage::new("the plan\nof two lines\n");
    let mut command = stage.command(&["/bin/cat"]);
    assert_eq!(stage.perform(&command).1, "the plan\nof two lines\n");
    command.argv = vec!["/usr/bin/env".into()];
    command.env = [("MAKIMA_TASK_ID".to_owned(), "a b".to_owned())].into();
    assert_eq!(stage.perform(&command).1, "MAKIMA_TASK_ID=a b\n");
    command.argv = vec!["/bin/pwd".into()];
    assert_eq!(stage.perform(&command).1.trim_end(), command.cwd.canonicalize().unwrap().to_str().unwrap());
}

fn signals_are_as_an_agent_expects_them() {
    let stage = Stage::new("");
    let masks = "^Sig(Blk|Ign)";
    let (_, said) = stage.perform(&stage.command(&["grep", "-E", masks, "/proc/self/status"]));
    let mask = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    assert_eq!(mask(&said, "SigBlk"), 0);
    // Rust's runtime ignores SIGPIPE. Whatever else is ignored, this program was born with; but for signals 32 and 33,
    // which glibc has ignored in every process that it spawns.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let (pipe, named) = (1 << (Signal::SIGPIPE as u32 - 1), (1 << 31) - 1);
    assert_eq!(mask(&own, "SigIgn") & pipe, pipe);
    assert_eq!(mask(&said, "SigIgn") & named, mask(&own, "SigIgn") & named & !pipe);
}

fn agent_inherits_no_descriptor_of_its_keepers() {
    let inheritable = |fd: &String| {
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("02000000").trim();
        u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000 == 0
    };
    let names = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    // What this program was started with, it passes on like any other.
    let inherited: Vec<_> = names.filter(inheritable).collect();
    let stage = Stage::new("");
    let (_, said) = stage.perform(&stage.command(&["ls", "/proc/self/fd"]));
    let others: Vec<_> =
        said.split_whitespace().filter(|fd| !inherited.iter().any(|own| own == fd)).collect();
    assert!(others.len() <= 1, "more than the listing's own: {others:?}");
}

fn daemons_end_with_the_agent() {
    let stage = Stage::new("leave");
    let (end, said) = stage.perform(&stage.part("daemons", &stage.mark()));
    assert_eq!(said, "detached\n");
    let tree = TreeEnd { leftovers: 2, ..TreeEnd::default() };
    assert_eq!(end, AgentEnd::Exited { code: 5, tree });
    assert_eq!(living(&stage.mark()), [""; 0]);
}

fn stop_is_obeyed_by_the_agents_own_signal() {
    let stage = Stage::new("");
    let script = "trap 'exit 4' INT; echo ready; while :; do sleep 0.01; done";
    let end = stopped(&stage, script, Signal::SIGINT, LONG);
    assert_eq!((code_of(&end), end.killed_because()), (4, Some(KillReason::Stop)));
}

fn stopped(stage: &Stage, script: &str, signal: Signal, grace: Duration) -> AgentEnd {
    stage.run(async |stage| {
        let mut process = stage.start(&stage.shell(script)).await;
        let mut output = Output::of(&mut process);
        output.await_line("ready").await;
        process.stop(signal, grace);
        process.wait().await
    })
}

fn stop_reaches_stopped_processes_and_other_sessions() {
    let stage = Stage::new("");
    let script = "setsid sh -c 'kill -STOP $$' & until grep -q 'State:.T' /proc/$!/status; do :; done
        trap 'wait; exit 6' TERM; echo ready; wait";
    let end = stopped(&stage, script, Signal::SIGTERM, LONG);
    assert_eq!((code_of(&end), end.killed_because()), (6, Some(KillReason::Stop)));
}

fn agent_that_ignores_sigterm_is_killed() {
    let stage = Stage::new("");
    let script = "trap '' TERM; sleep 3600 & echo ready; wait; wait";
    let end = stopped(&stage, script, Signal::SIGTERM, Duration::from_millis(100));
    let tree = TreeEnd { killed_because: Some(KillReason::Stop), leftovers: 1, survivors: 0 };
    assert_eq!(end, AgentEnd::Signaled { signal: 9, tree });
    assert_eq!(living(&stage.mark()), [""; 0]);
}

fn second_stop_shortens_the_grace() {
    let stage = Stage::new("");
    let end = stage.run(async |stage| {
        let mut process = stage.start(&stage.shell("trap '' TERM; echo ready; wait; sleep 3600")).await;
        Output::of(&mut process).await_line("ready").await;
        process.stop(Signal::SIGTERM, LONG);
        process.stop(Signal::SIGTERM, Duration::ZERO);
        process.wait().await
    });
    assert_eq!(end.killed_because(), Some(KillReason::Stop));
}

fn passed_deadline_kills_the_tree() {
    let stage = Stage::new("stay");
    let end = stage.run(async |stage| {
        let mut process = stage.start(&stage.part("daemons", &stage.mark())).await;
        let mut output = Output::of(&mut process);
        output.await_line("detached").await;
        stage.switches.extend(boottime_ms() + 200);
        process.wait().await
    });
    let tree = TreeEnd { killed_because: Some(KillReason::Lease), leftovers: 2, survivors: 0 };
    assert_eq!(end, AgentEnd::Signaled { signal: 9, tree });
    assert_eq!(living(&stage.mark()), [""; 0]);

    let end = stage
        .run(async |stage| stage.start_until(&stage.shell("sleep 3600"), boottime_ms()).await.wait().await);
    assert_eq!(end.killed_because(), Some(KillReason::Lease));
}

fn passed_deadline_lets_no_agent_start() {
    let stage = Stage::new("");
    // Many at once: on busy cores an agent that is killed as soon as it runs has run a while.
    stage.run(async |stage| {
        let mut processes = Vec::new();
        for _ in 0..32 {
            processes.push(stage.start_until(&stage.shell("echo ran >> began"), boottime_ms()).await);
        }
        for mut process in processes {
            assert_eq!(process.wait().await.killed_because(), Some(KillReason::Lease));
        }
    });
    assert!(!stage.directory.join("tree/began").exists());
}

fn inherited_zombies_are_reaped() {
    // Starting an agent makes this process a subreaper.
    Stage::new("").perform(&Stage::new("").shell("exit 0"));
    let child = |script| Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
    let mut own = child("exit 5");
    let mut parent = child("sh -c 'exit 3' & sh -c 'exit 4' &");
    parent.wait().unwrap();
    let reaped = std::cell::Cell::new(0);
    await_until("two inherited zombies", || {
        reaped.set(reaped.get() + reap_orphans());
        reaped.get() == 2
    });
    assert_eq!(own.wait().unwrap().code(), Some(5), "who has a parent that waits is left to it");
}

fn late_agent_starts_under_the_newest_deadline() {
    let stage = Stage::new("");
    stage.switches.extend(boottime_ms() - 1);
    let (end, _said) = stage.perform(&stage.shell("exit 7"));
    assert_eq!(end, AgentEnd::Exited { code: 7, tree: TreeEnd::default() });
}

fn renewal_keeps_the_agent_alive() {
    let stage = Stage::new("");
    let end = stage.run(async |stage| {
        let first_deadline = boottime_ms() + 3_000;
        let command = stage.shell("until [ -e go ]; do sleep 0.01; done; exit 7");
        let mut process = stage.start_until(&command, first_deadline).await;
        stage.switches.extend(first_deadline + u64::try_from(LONG.as_millis()).unwrap());
        await_until("the first deadline", || boottime_ms() > first_deadline + 300);
        std::fs::write(stage.directory.join("tree/go"), "").unwrap();
        process.wait().await
    });
    assert_eq!(end, AgentEnd::Exited { code: 7, tree: TreeEnd::default() });
}

fn killed_worker_takes_the_tree_along() {
    let stage = Stage::new("stay");
    let (mark, attempt) = (stage.mark(), stage.directory.join("attempt"));
    let mut worker = Command::new("/proc/self/exe")
        .args(["play", "worker", &format!("{mark}/agent"), attempt.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(worker.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "running\n");
    worker.kill().unwrap();
    worker.wait().unwrap();
    await_none(&format!("{mark}/agent"));
    await_no_stage(&format!("{mark}/agent"));
}

fn dropped_process_takes_the_tree_along() {
    let stage = Stage::new("stay");
    stage.run(async |stage| {
        let mut process = stage.start(&stage.part("daemons", &stage.mark())).await;
        Output::of(&mut process).await_line("detached").await;
    });
    await_none(&stage.mark());
}

fn shim_killed_by(signal: Signal) -> (Stage, AgentEnd) {
    let stage = Stage::new("stay");
    let end = stage.run(async |stage| {
        let mut process = stage.start(&stage.part("daemons", &stage.mark())).await;
        Output::of(&mut process).await_line("detached").await;
        await_count(&stage.mark(), 3);
        kill(Pid::from_raw(process.shim_pid().unwrap().cast_signed()), signal).unwrap();
        process.wait().await
    });
    (stage, end)
}

fn terminated_shim_kills_the_tree() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let (stage, end) = shim_killed_by(signal);
        assert_eq!(end.killed_because(), Some(KillReason::Signal));
        assert_eq!(living(&stage.mark()), [""; 0]);
    }
}

fn killed_shim_is_a_loss_and_the_tree_is_swept() {
    let (stage, end) = shim_killed_by(Signal::SIGKILL);
    assert!(matches!(end, AgentEnd::Lost { .. }), "{end:?}");
    assert_eq!(living(&stage.mark()), [""; 0]);
}

fn frozen_shim_is_killed_after_a_stop_and_the_tree_is_swept() {
    let stage = Stage::new("stay");
    let end = stage.run(async |stage| {
        let mut process = stage.start(&stage.part("daemons", &stage.mark())).await;
        Output::of(&mut process).await_line("detached").await;
        kill(Pid::from_raw(process.shim_pid().unwrap().cast_signed()), Signal::SIGSTOP).unwrap();
        process.stop(Signal::SIGTERM, LONG);
        // Nothing else can happen here, so that the clock jumps to the end of the worker's patience.
        tokio::time::pause();
        process.wait().await
    });
    assert!(matches!(end, AgentEnd::Lost { .. }), "{end:?}");
    assert_eq!(living(&stage.mark()), [""; 0]);
}

fn abandoned_processes_are_found_by_their_environment() {
    let stage = Stage::new("");
    let (mark, workspace) = (stage.mark(), format!("MAKIMA_WORKSPACE={}/", stage.directory.display()));
    let sleeper = |variable: &str| {
        let mut command = Command::new("/proc/self/exe");
        command.args(["play", "sleeper", &mark]).env("MAKIMA_WORKSPACE", variable).spawn().unwrap()
    };
    let mut ours = sleeper(&stage.directory.join("tree").display().to_string());
    let mut foreign = sleeper("/elsewhere/tree");
    await_count(&mark, 2);
    assert_eq!(kill_abandoned(&workspace), 1);
    ours.wait().unwrap();
    assert!(foreign.try_wait().unwrap().is_none());
    foreign.kill().unwrap();
    foreign.wait().unwrap();
}

fn stray_sweep_leaves_other_agents_alone() {
    let stage = Stage::new("stay");
    stage.run(async |stage| {
        let mut process = stage.start(&stage.part("daemons", &stage.mark())).await;
        Output::of(&mut process).await_line("detached").await;
        await_count(&stage.mark(), 3);
        let (_, end) = tokio::task::spawn_blocking(|| shim_killed_by(Signal::SIGKILL)).await.unwrap();
        assert!(matches!(end, AgentEnd::Lost { .. }), "{end:?}");
        assert_eq!(living(&stage.mark()).len(), 3);
        process.stop(Signal::SIGKILL, Duration::ZERO);
        assert_eq!(process.wait().await.killed_because(), Some(KillReason::Stop));
    });
    assert_eq!(living(&stage.mark()), [""; 0]);
}

fn agent_that_forks_all_the_time_is_caught() {
    let stage = Stage::new("");
    let end = stage.run(async |stage| {
        let mut process = stage.start(&stage.part("hoppers", &stage.mark())).await;
        await_count(&stage.mark(), 3);
        process.stop(Signal::SIGKILL, Duration::ZERO);
        process.wait().await
    });
    let AgentEnd::Signaled { signal: 9, tree } = end else { panic!("{end:?}") };
    assert_eq!((tree.killed_because, tree.survivors), (Some(KillReason::Stop), 0));
    assert_eq!(living(&stage.mark()), [""; 0]);
}

fn process_that_hops_by_fork_alone_is_caught() {
    let stage = Stage::new("");
    let (end, said) = stage.perform(&stage.shell("hop() { hop & exit; }; hop & echo ready"));
    assert_eq!(said, "ready\n");
    let AgentEnd::Exited { code: 0, tree } = end else { panic!("{end:?}") };
    assert_eq!(tree.survivors, 0);
    assert_eq!(living(&stage.mark()), [""; 0]);
}
