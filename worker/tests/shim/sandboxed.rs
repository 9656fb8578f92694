//! Agents that try to get out of their sandbox, at each level that this machine has.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use makima_shared::config::{AgentLimits, NetworkMode, SandboxConfig};
use makima_worker::process::{AgentEnd, Signal, own_executable};
use makima_worker::sandbox::probe::Check;
use makima_worker::sandbox::self_test::{self, Report};
use makima_worker::sandbox::{Bubblewrap, Level, Sandbox};
use nix::sys::signal::kill;
use nix::unistd::{Pid, geteuid};

use crate::marked::{await_count, await_none};
use crate::stage::{Output, Stage};

/// All cases with their names.
pub(crate) const ALL: &[(&str, fn())] = &[
    ("every_level_holds_what_it_is_for", every_level_holds_what_it_is_for),
    ("ordinary_users_agents_are_held_too", ordinary_users_agents_are_held_too),
    ("without_a_sandbox_the_self_test_gets_out", without_a_sandbox_the_self_test_gets_out),
    ("agent_finds_neither_secrets_nor_neighbours", agent_finds_neither_secrets_nor_neighbours),
    ("agents_environment_reaches_it_alone", agents_environment_reaches_it_alone),
    ("confined_agent_obeys_a_stop", confined_agent_obeys_a_stop),
    ("daemons_of_a_confined_agent_end_with_it", daemons_of_a_confined_agent_end_with_it),
    ("killed_shim_takes_the_namespaces_along", killed_shim_takes_the_namespaces_along),
    ("sandbox_that_cannot_be_made_lets_no_agent_start", sandbox_that_cannot_be_made_lets_no_agent_start),
    ("limits_hold_without_control_groups", limits_hold_without_control_groups),
];

const NOBODY: u32 = 65_534;

/// Says which levels work on this machine. What it lacks is left out, and named.
fn levels() -> Vec<Level> {
    let levels = Bubblewrap::find().map(Level::Bubblewrap).into_iter().chain([Level::Landlock]);
    let works = |level: &Level| {
        let place = tempfile::tempdir().unwrap();
        let tested = test(level.clone(), &SandboxConfig::default(), place.path());
        tested.inspect_err(|why| eprintln!("left out, {} does not work here: {why}", level.name())).is_ok()
    };
    levels.filter(works).collect()
}

fn test(level: Level, config: &SandboxConfig, place: &Path) -> Result<Report, String> {
    let executable = own_executable().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (data, stage) = (place.join("data"), place.join("data/stage"));
    std::fs::create_dir_all(&stage).unwrap();
    let sandbox = Sandbox::new(level, config, &["PATH".to_owned()], &data, &executable);
    let report = runtime.block_on(self_test::run(&sandbox, &stage, &executable, &[]));
    report.map_err(|error| error.to_string())
}

fn every_level_holds_what_it_is_for() {
    for network in [NetworkMode::On, NetworkMode::Off] {
        for level in levels() {
            let config = SandboxConfig { network: network.clone(), ..SandboxConfig::default() };
            let place = tempfile::tempdir().unwrap();
            let report = test(level, &config, place.path()).unwrap();
            assert_eq!(report.failures().count(), 0, "{report:#?}");
            let count = report.findings.len();
            assert_eq!(count, if network == NetworkMode::Off { 10 } else { 9 }, "{report:#?}");
        }
    }
}

fn without_a_sandbox_the_self_test_gets_out() {
    let place = tempfile::tempdir().unwrap();
    let config = SandboxConfig { network: NetworkMode::Off, ..SandboxConfig::default() };
    let report = test(Level::None, &config, place.path()).unwrap();
    let escaped: Vec<_> = report.gaps().map(|finding| finding.check).collect();
    for check in [
        Check::OtherWorkspaces,
        Check::WritesOutside,
        Check::Environments,
        Check::Signals,
        Check::Processes,
        Check::Sockets,
        Check::Network,
    ] {
        assert!(escaped.contains(&check), "{check}: {report:#?}");
    }
}

/// Plays a worker of this user that tests its sandbox.
pub(crate) fn self_test_here(place: &Path) -> ExitCode {
    for level in levels() {
        let report = test(level, &SandboxConfig::default(), &place.join("x")).unwrap();
        std::fs::remove_dir_all(place.join("x")).unwrap();
        if report.failures().count() > 0 {
            eprintln!("{report:#?}");
            return ExitCode::FAILURE;
        }
        println!("{}", report.level);
    }
    ExitCode::SUCCESS
}

/// Prints how long it takes until an agent runs, and until nothing of it is left, at each level: medians of 101.
pub(crate) fn print_start_times() {
    for level in [vec![Level::None], levels()].concat() {
        let name = level.name();
        let stage = Stage::new("").confine(level, &SandboxConfig::default());
        let mut times: Vec<(Duration, Duration)> = (0..101)
            .map(|_| {
                let begun = SystemTime::now();
                let (_, said) = stage.perform(&stage.shell("exec date +%s%N"));
                let all = begun.elapsed().unwrap();
                let runs = UNIX_EPOCH + Duration::from_nanos(said.trim().parse().unwrap());
                (runs.duration_since(begun).unwrap(), all)
            })
            .collect();
        let mut median = |by: fn(&(Duration, Duration)) -> Duration| {
            times.sort_by_key(by);
            by(&times[50]).as_secs_f64() * 1e3
        };
        println!("{name}: {:.1} ms until it runs, {:.1} ms in all", median(|it| it.0), median(|it| it.1));
    }
}

fn ordinary_users_agents_are_held_too() {
    // The tests of others are of ordinary users anyway.
    if !geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let program = directory.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new(&program)
        .args(["play", "self-test", "-", directory.path().to_str().unwrap()])
        .env("HOME", directory.path())
        .env("TMPDIR", directory.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", output.status);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), levels().iter().map(Level::name).collect::<Vec<_>>());
}

fn agent_finds_neither_secrets_nor_neighbours() {
    for level in levels() {
        let has_own_processes = matches!(level, Level::Bubblewrap(_));
        let stage = Stage::new("").confine(level, &SandboxConfig::default());
        let other = stage.directory.join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("work"), "neighbour").unwrap();
        let mut canary = Command::new("sleep").arg("3600").env("CANARY", "singing").spawn().unwrap();
        let script = format!(
            "cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep ^CANARY= && echo environ\n\
             cat '{other}/work' 2>/dev/null && echo neighbour\n\
             ls {homes} 2>/dev/null && echo home\n\
             ls /etc/shadow >/dev/null 2>&1 && cat /etc/shadow 2>/dev/null && echo shadow\n\
             echo x 2>/dev/null > '{other}/new' && echo wrote\n\
             {processes}\
             echo mine > file && cat file",
            other = other.display(),
            homes = "~/.ssh ~root/.ssh",
            processes =
                if has_own_processes { "kill -0 $CANARY_PID 2>/dev/null && echo signalled\n" } else { "" },
        );
        let mut command = stage.shell(&script);
        command.env.insert("CANARY_PID".to_owned(), canary.id().to_string());
        let (end, said) = stage.perform(&command);
        canary.kill().unwrap();
        canary.wait().unwrap();
        assert!(matches!(end, AgentEnd::Exited { code: 0, .. }), "{end:?}");
        assert_eq!(said, "mine\n");
        assert_eq!(std::fs::read_to_string(stage.directory.join("tree/file")).unwrap(), "mine\n");
    }
}

fn agents_environment_reaches_it_alone() {
    for level in levels() {
        let stage = Stage::new("").confine(level, &SandboxConfig::default());
        let mut command = stage.shell(
            "echo $SECRET; cat /proc/1/environ 2>/dev/null; tr '\\0' '\\n' < /proc/1/cmdline | grep agent$",
        );
        command.env.insert("SECRET".to_owned(), "for the agent".to_owned());
        let (_, said) = stage.perform(&command);
        assert_eq!(said.matches("for the agent").count(), 1, "{said}");
    }
}

fn confined_agent_obeys_a_stop() {
    for level in levels() {
        let stage = Stage::new("").confine(level, &SandboxConfig::default());
        let command = stage.shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.01; done");
        let end = stage.run(async |stage| {
            let mut process = stage.start(&command).await;
            Output::of(&mut process).await_line("ready").await;
            process.stop(Signal::SIGTERM, Duration::from_secs(60));
            process.wait().await
        });
        assert!(matches!(end, AgentEnd::Exited { code: 3, .. }), "{end:?}");
    }
}

fn daemons_of_a_confined_agent_end_with_it() {
    for level in levels() {
        for plan in ["", "stay"] {
            let stage = Stage::new(plan).confine(level.clone(), &SandboxConfig::default());
            let mark = stage.mark();
            stage.run(async |stage| {
                let mut process = stage.start(&stage.part("daemons", &mark)).await;
                Output::of(&mut process).await_line("detached").await;
                if plan == "stay" {
                    process.stop(Signal::SIGKILL, Duration::ZERO);
                }
                process.wait().await
            });
            await_none(&mark);
            let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
            assert!(!mounts.contains(stage.directory.to_str().unwrap()), "{mounts}");
        }
    }
}

fn killed_shim_takes_the_namespaces_along() {
    for level in levels() {
        let stage = Stage::new("stay").confine(level, &SandboxConfig::default());
        let mark = stage.mark();
        stage.run(async |stage| {
            let mut process = stage.start(&stage.part("daemons", &mark)).await;
            Output::of(&mut process).await_line("detached").await;
            await_count(&mark, 3);
            let shim = Pid::from_raw(process.shim_pid().unwrap().cast_signed());
            kill(shim, Signal::SIGKILL).unwrap();
            assert!(matches!(process.wait().await, AgentEnd::Lost { .. }));
        });
        await_none(&mark);
    }
}

fn sandbox_that_cannot_be_made_lets_no_agent_start() {
    let Some(level) = levels().into_iter().find(|level| matches!(level, Level::Bubblewrap(_))) else {
        return;
    };
    let gone = SandboxConfig { write_paths: vec!["/no/such/place".into()], ..SandboxConfig::default() };
    let stage = Stage::new("").confine(level, &gone);
    let (end, said) = stage.perform(&stage.shell("echo out"));
    let AgentEnd::NotStarted { error } = end else { panic!("{end:?}") };
    assert!(error.starts_with("the sandbox could not be made") && said.is_empty(), "{error}");
}

fn limits_hold_without_control_groups() {
    let limits = AgentLimits { max_memory_bytes: 64 << 20, max_cpus: 1, ..AgentLimits::default() };
    for level in levels() {
        let stage = Stage::new("").confine(level, &SandboxConfig { limits, ..SandboxConfig::default() });
        let greedy = "nproc; head -c 300000000 /dev/zero | tail -n 1 > /dev/null 2>&1; echo $?";
        let (_, said) = stage.perform(&stage.shell(greedy));
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0], "1");
        assert_ne!(lines[1], "0", "300 MB did not need 64 MB");
    }
}
