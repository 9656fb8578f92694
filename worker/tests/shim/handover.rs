//! What passes between worker, stages and agent: the environment on its way down, and the end on its way up.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use makima_worker::process::{
    AgentCommand, AgentEnd, AgentProcess, Signal, StartError, TreeEnd, boottime_ms,
};
use makima_worker::sandbox::Confinement;
use makima_worker::shim::ShimArgs;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::io::AsyncReadExt as _;

use crate::stage::{LONG, Output, Stage};

/// All cases with their names.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("environment_is_the_agents_alone", environment_is_the_agents_alone),
    ("any_value_reaches_the_agent_unchanged", any_value_reaches_the_agent_unchanged),
    ("program_is_looked_up_in_the_agents_path", program_is_looked_up_in_the_agents_path),
    ("large_environment_reaches_the_agent", large_environment_reaches_the_agent),
    (
        "environment_that_no_program_takes_is_not_startable",
        environment_that_no_program_takes_is_not_startable,
    ),
    ("oversized_command_is_refused", oversized_command_is_refused),
    ("shim_that_does_not_read_is_given_up", shim_that_does_not_read_is_given_up),
    ("worker_that_dies_halfway_starts_no_agent", worker_that_dies_halfway_starts_no_agent),
    ("agent_can_neither_hang_nor_fake_its_end", agent_can_neither_hang_nor_fake_its_end),
    ("plan_that_is_no_file_is_not_startable", plan_that_is_no_file_is_not_startable),
    ("a_pipe_whose_writer_is_gone_has_ended", a_pipe_whose_writer_is_gone_has_ended),
    ("end_is_told_as_often_as_asked", end_is_told_as_often_as_asked),
];

fn with_env<const N: usize>(mut command: AgentCommand, env: [(&str, &str); N]) -> AgentCommand {
    command.env.extend(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    command
}

fn not_started(stage: &Stage, command: &AgentCommand) -> String {
    let (end, _) = stage.perform(command);
    let AgentEnd::NotStarted { error } = end else { panic!("{end:?}") };
    error
}

fn environment_is_the_agents_alone() {
    let stage = Stage::new("");
    let environment = [("LD_PRELOAD", "/planted/by-the-task.so"), ("GCONV_PATH", "/planted")];
    let command = with_env(stage.shell("echo ready; kill -STOP $$"), environment);
    stage.run(async |stage| {
        let mut process = stage.start(&command).await;
        let mut stderr = process.stderr().unwrap();
        let mut ready = [0; 6];
        process.stdout().unwrap().read_exact(&mut ready).await.unwrap();
        let shim = process.shim_pid().unwrap();
        let environ = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        assert_eq!(environ(&shim.to_string()), "");
        let agent = std::fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap();
        assert!(environ(agent.trim()).contains("LD_PRELOAD=/planted/by-the-task.so\0"));
        process.stop(Signal::SIGKILL, Duration::ZERO);
        process.wait().await;
        // The loader complains in each program that runs under it: the shell, but neither stage.
        let mut complaints = String::new();
        stderr.read_to_string(&mut complaints).await.unwrap();
        assert_eq!(complaints.matches("by-the-task.so").count(), 1, "{complaints}");
    });
}

fn any_value_reaches_the_agent_unchanged() {
    let values = ["", "two\nlines\n", "\"quoted\" \\ 'too' \\", "тест 🦀", "\u{1}\t\u{7f}\r", "a=b=c", " "];
    let stage = Stage::new("");
    let mut command = stage.command(&["/usr/bin/env", "-0"]);
    command.env = values.iter().enumerate().map(|(at, value)| (format!("V{at}"), (*value).into())).collect();
    let said = stage.run(async |stage| {
        let mut process = stage.start(&command).await;
        let (mut stdout, mut said) = (process.stdout().unwrap(), String::new());
        stdout.read_to_string(&mut said).await.unwrap();
        process.wait().await;
        said
    });
    let entries = said.split_terminator('\0').map(|entry| entry.split_once('=').unwrap());
    let heard: BTreeMap<_, _> = entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(heard, command.env);
}

fn program_is_looked_up_in_the_agents_path() {
    let stage = Stage::new("");
    let bin = stage.directory.join("bin");
    std::fs::create_dir(&bin).unwrap();
    script(&bin.join("only-here"), "echo found");
    let command = with_env(stage.command(&["only-here"]), [("PATH", bin.to_str().unwrap())]);
    assert_eq!(stage.perform(&command).1, "found\n");
    assert!(not_started(&stage, &stage.command(&["only-here"])).contains("No such file"));
}

fn script(path: &Path, content: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{content}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// More than a socket holds, and near what the system takes with the usual limit of the stack.
fn large_environment_reaches_the_agent() {
    let stage = Stage::new("");
    let mut command = stage.shell("[ ${#V0} = 100000 ] && [ ${#V17} = 100000 ] && exit 7");
    command.env.extend((0..18).map(|at| (format!("V{at}"), "x".repeat(100_000))));
    let (end, _) = stage.perform(&command);
    assert_eq!(end, AgentEnd::Exited { code: 7, tree: TreeEnd::default() });
}

fn environment_that_no_program_takes_is_not_startable() {
    let stage = Stage::new("");
    let one_entry = with_env(stage.shell("true"), [("V", &"x".repeat(1 << 20))]);
    assert!(not_started(&stage, &one_entry).contains("Argument list too long"));
    let zero_byte = with_env(stage.shell("true"), [("V", "a\0b")]);
    assert!(not_started(&stage, &zero_byte).contains("nul byte"));
}

fn oversized_command_is_refused() {
    let stage = Stage::new("");
    let environment = with_env(stage.shell("true"), [("V", &"x".repeat(5 << 20))]);
    let arguments = stage.command(&["true", &"x".repeat(1 << 20)]);
    for command in [environment, arguments] {
        let start = stage.run(async |stage| AgentProcess::start(&command, &stage.switches).await.map(drop));
        assert!(matches!(start, Err(StartError::TooLarge)), "{start:?}");
        assert!(stage.switches.is_empty());
    }
}

fn shim_that_does_not_read_is_given_up() {
    let stage = Stage::new("");
    let mut command = with_env(stage.shell("true"), [("V", &"x".repeat(3 << 20))]);
    command.shim = stage.directory.join("frozen");
    script(&command.shim, "kill -STOP $$");
    let start = stage.run(async |stage| {
        // Nothing else can happen here, so that the clock jumps to the end of the worker's patience.
        tokio::time::pause();
        AgentProcess::start(&command, &stage.switches).await.map(drop)
    });
    assert!(matches!(start, Err(StartError::Stuck)), "{start:?}");
    assert!(stage.switches.is_empty());
}

fn worker_that_dies_halfway_starts_no_agent() {
    let stage = Stage::new("");
    let command = stage.shell("touch ran");
    let args = ShimArgs {
        stdin_file: command.stdin_file,
        cwd: command.cwd.clone(),
        lease_until_ms: boottime_ms() + u64::try_from(LONG.as_millis()).unwrap(),
        confinement: Confinement::default(),
        argv: command.argv,
    };
    let (mut worker_end, shim_end) = UnixStream::pair().unwrap();
    let mut shim = Command::new(command.shim)
        .args(args.to_args())
        .stdin(Stdio::from(OwnedFd::from(shim_end)))
        .spawn()
        .unwrap();
    worker_end.write_all(br#"{"PATH":"/usr/bin:/bin""#).unwrap();
    worker_end.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    BufReader::new(worker_end).read_line(&mut said).unwrap();
    assert!(said.starts_with(r#"{"outcome":"not_started""#), "{said}");
    assert!(shim.wait().unwrap().success());
    assert!(!command.cwd.join("ran").exists());
}

fn agent_can_neither_hang_nor_fake_its_end() {
    let stage = Stage::new("");
    let command = stage.shell(
        r#"mkfifo ../status.json ../status.json.tmp ../status.json.exec-error
        lie='{"outcome":"exited","code":0,"killedBecause":null,"leftovers":0,"survivors":0}'
        [ -S /proc/$PPID/fd/0 ] || exit 3
        for fd in /proc/$PPID/fd/* /proc/$$/fd/*; do [ -S $fd ] && echo "$lie" >$fd; done 2>/dev/null
        echo "$lie" 2>/dev/null >&0
        rm ../plan.txt; ln -s /dev/zero ../plan.txt
        exit 7"#,
    );
    let (end, _) = stage.perform(&command);
    assert_eq!(end, AgentEnd::Exited { code: 7, tree: TreeEnd::default() });
}

fn plan_that_is_no_file_is_not_startable() {
    let stage = Stage::new("");
    let mut command = stage.shell("true");
    command.stdin_file = stage.directory.join("link");
    std::os::unix::fs::symlink("plan.txt", &command.stdin_file).unwrap();
    assert!(not_started(&stage, &command).contains("cannot open the agent's input"));
    command.stdin_file = "/dev/zero".into();
    assert!(not_started(&stage, &command).contains("not a regular file"));
}

fn a_pipe_whose_writer_is_gone_has_ended() {
    let stage = Stage::new("");
    let mut command = stage.shell("cat && exit 7");
    command.stdin_file = stage.directory.join("fifo");
    mkfifo(&command.stdin_file, Mode::S_IRWXU).unwrap();
    let (end, said) = stage.perform(&command);
    assert_eq!((end, said.as_str()), (AgentEnd::Exited { code: 7, tree: TreeEnd::default() }, ""));
}

fn end_is_told_as_often_as_asked() {
    let stage = Stage::new("");
    stage.run(async |stage| {
        let mut process = stage.start(&stage.shell("exit 7")).await;
        let _output = Output::of(&mut process);
        let end = process.wait().await;
        assert_eq!(end, AgentEnd::Exited { code: 7, tree: TreeEnd::default() });
        assert_eq!(process.wait().await, end);
    });
}
