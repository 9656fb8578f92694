//! The parts that the test program plays beside the test: hostile agents, and a worker to kill.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use nix::unistd::{pause, setsid};

use crate::stage::Stage;

/// Plays the part that the arguments name, if they name one: `play <part> <mark> ..`.
pub(crate) fn play(args: &[String]) -> Option<ExitCode> {
    let [word, part, mark, rest @ ..] = args else { return None };
    if word != "play" {
        return None;
    }
    match part.as_str() {
        "sleeper" => sleep(),
        "daemons" => return Some(daemons(mark)),
        "daemon" => {
            setsid().unwrap();
            drop(another("sleeper", mark));
        }
        "hoppers" => {
            (0..4).for_each(|_| drop(another("hopper", mark)));
            sleep()
        }
        // Never the same process, session or parent for long.
        "hopper" => {
            let _ = setsid();
            drop(another("hopper", mark));
        }
        "self-test" => return Some(crate::sandboxed::self_test_here(Path::new(&rest[0]))),
        "start-times" => crate::sandboxed::print_start_times(),
        "worker" => worker(mark, Path::new(&rest[0])),
        _ => panic!("unknown part {part}"),
    }
    Some(ExitCode::SUCCESS)
}

fn sleep() -> ! {
    loop {
        pause();
    }
}

fn another(part: &str, mark: &str) -> Child {
    Command::new("/proc/self/exe").args(["play", part, mark]).spawn().unwrap()
}

/// Leaves two daemons with sessions of their own, as orphans, and ends once both have detached.
fn daemons(mark: &str) -> ExitCode {
    for mut daemon in [another("daemon", mark), another("daemon", mark)] {
        daemon.wait().unwrap();
    }
    println!("detached");
    // The plan says whether to stay.
    let mut plan = String::new();
    std::io::stdin().read_to_string(&mut plan).unwrap();
    if plan == "stay" { sleep() } else { ExitCode::from(5) }
}

/// Runs one agent that stays and has daemons, and says when it runs.
fn worker(mark: &str, directory: &Path) {
    let stage = Stage::at(directory, "stay");
    stage.run(async |stage| {
        let _process = stage.start(&stage.part("daemons", mark)).await;
        crate::marked::await_count(mark, 3);
        println!("running");
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await
    });
}
