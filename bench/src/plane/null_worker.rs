//! `makima-bench worker`: workers as they are, with a runner that returns at once in the place of agents.
//!
//! Lease, claim, moves, inbox and audit are those of `makima worker`. What a task asks for is its plan.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Parser;
use makima_shared::config::{Config, ConfigSource};
use makima_shared::domain::TaskResult;
use makima_shared::queue::Queue;
use makima_shared::store::Store;
use makima_shared::{shutdown, telemetry};
use makima_worker::{Attempt, End, Runner};
use tokio::net::UnixDatagram;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::started::Start;

/// The subcommand's name.
pub(super) const NAME: &str = "worker";

/// The plan of a task that ends at once.
pub(super) const RETURN: &str = "Return.";
/// The plan of a task that tells when it was started, and ends.
pub(super) const TELL: &str = "Tell, and return.";
/// The plan of a task that tells when it was started, and never ends.
pub(super) const HOLD: &str = "Tell, and never return.";

/// Between the starts of two workers of one process.
const STAGGER: Duration = Duration::from_millis(20);

/// Runs workers without agents. Settings come from the environment, as for every role.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many workers this process is
    #[arg(long, default_value_t = 1)]
    lives: u32,

    /// Where starts are told
    #[arg(long)]
    tell: Option<PathBuf>,
}

/// Carries the subcommand out, if this process is one.
pub(crate) fn dispatch() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != NAME {
        return None;
    }
    let arguments = Arguments::parse_from(std::env::args_os().skip(1));
    Some(match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench worker: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::load(&ConfigSource::default().environment(std::env::vars()))?;
    telemetry::init_logs(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let end = runtime.block_on(live(arguments, &config));
    runtime.shutdown_background();
    end
}

async fn live(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let token = shutdown::on_signals(true)?;
    let mut lives = JoinSet::new();
    for place in 0..arguments.lives {
        let store = Store::open(&config.database.url, config.database.max_connections, "makima-worker")?;
        let queue = Queue::open(&config.redis.url, &config.redis.prefix)?;
        let runner = Box::new(NullRunner::new(arguments.tell.as_deref())?);
        let (config, token) = (config.clone(), token.clone());
        lives.spawn(async move {
            sleep(STAGGER * place).await; // why: workers of a fleet do not all start in the same moment
            makima_worker::run(config, PathBuf::new(), runner, store, queue, token).await
        });
    }
    while let Some(life) = lives.join_next().await {
        life??;
    }
    Ok(())
}

struct NullRunner {
    listener: Option<UnixDatagram>,
}

impl NullRunner {
    fn new(tell: Option<&Path>) -> anyhow::Result<Self> {
        let connect = |path| {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            std::io::Result::Ok(socket)
        };
        let listener = tell.map(connect).transpose().context("nobody listens for starts")?;
        Ok(Self { listener })
    }

    async fn tell(&self, start: Start) {
        if let Some(listener) = &self.listener {
            // Whoever listened may be done with it.
            let _ = listener.send(&start.to_bytes()).await;
        }
    }
}

impl Runner for NullRunner {
    fn run<'a>(&'a self, attempt: &'a Attempt<'a>) -> Pin<Box<dyn Future<Output = End> + Send + 'a>> {
        let at = SystemTime::now();
        let task = attempt.task();
        Box::pin(async move {
            if task.plan == TELL || task.plan == HOLD {
                self.tell(Start { task: task.id, at, pid: std::process::id() }).await;
            }
            if task.plan == HOLD {
                std::future::pending::<()>().await;
            }
            End::Completed(TaskResult::default())
        })
    }

    fn runs_agents(&self) -> bool {
        false
    }
}
