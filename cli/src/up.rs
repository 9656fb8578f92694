//! Everything of makima on one machine: private servers, one API, one scheduler, and workers, each its own process.
//!
//! ```text
//! makima up ──┬─ PostgreSQL, Redis        (services)
//!             ├─ makima api               (supervised: started again when it ends unasked)
//!             ├─ makima scheduler
//!             └─ makima worker --name worker-1 ..
//! ```
//!
//! Invariants: a role never outlives this process for longer than its drain (each holds a pipe of ours as its standard
//! input); roles are in process groups of their own, so that Ctrl-C at the terminal reaches this process alone, which
//! ends them in order; secrets go to roles by environment, never by argument.

mod ending;
mod log_lines;
mod ready;
mod role_process;
mod secrets_key;
mod setup;
mod supervisor;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::future::join_all;
use makima_shared::config::{Config, LogConfig};
use makima_shared::telemetry;
use nix::sys::signal::Signal;

use crate::client::Client;
use crate::directories;
use crate::failure;
use crate::render::Paint;
use crate::role::install_tls;
use crate::services::Services;
use crate::settings::SettingsArgs;
use ending::Ending;
use log_lines::LogLines;
use role_process::RoleProcess;
use setup::Foundation;
use supervisor::Supervisor;
use targets::Targets;

/// What to run, and where.
#[derive(Clone)]
pub(crate) struct UpOptions {
    /// Holds everything; an absolute path.
    pub(crate) data_dir: PathBuf,
    /// How many worker processes.
    pub(crate) workers: u32,
    /// For all roles.
    pub(crate) settings: SettingsArgs,
    /// What was committed survives a crash of the machine.
    pub(crate) durable: bool,
    /// End when standard input does.
    pub(crate) exit_with_parent: bool,
}

/// All that runs.
struct Stack {
    services: Services,
    /// The API and the scheduler.
    others: Vec<Supervisor>,
    workers: Vec<Supervisor>,
}

/// Runs everything until somebody asks for the end.
pub(crate) async fn run(options: UpOptions) -> anyhow::Result<ExitCode> {
    let source = options.settings.source();
    let config = Config::load(&source)?;
    // Of this process's own parts only the servers log; PostgreSQL's remarks on migrations are no news to anybody.
    let filter = format!("{},sqlx::postgres::notice=warn", config.log.filter);
    telemetry::init_logs(&LogConfig { filter, ..config.log })?;
    install_tls();
    Paint::for_stdout();
    let mut ending = Ending::listen(options.exit_with_parent)?;
    let lines = LogLines::start(options.workers);

    let laid = tokio::select! {
        laid = setup::lay(&options, &source, &config, &lines) => laid,
        () = ending.asked() => return Ok(failure::ended_by(Signal::SIGINT)),
    };
    let Foundation { services, store, client_file, listen } = laid?;
    let targets = Targets::new(&options.data_dir, &source, &config, listen).map(Arc::new);
    let key = secrets_key::of(&options.data_dir, &source)?;
    let role = |name: &str| {
        let role = RoleProcess::new(name, &options, &source, &services, listen, targets.as_ref());
        role.with_secrets_key(key.as_deref().filter(|_key| name == "api"))
    };
    let others = ["api", "scheduler"].map(role).map(|role| Supervisor::spawn(role, lines.clone()));
    let workers = (1..=options.workers).map(|number| {
        let role = RoleProcess::worker(number, &options, &source, &services, &config, targets.as_ref());
        Supervisor::spawn(role.with_secrets_key(key.as_deref()), lines.clone())
    });
    let (others, workers) = (others.into(), workers.collect());
    let stack = Stack { services, others, workers };

    let client = Client::new(&client_file.url, &client_file.api_key)?;
    let ready = async {
        ready::wait(&client, &store, &stack.workers, &lines).await;
        store.close().await;
        if let Some(targets) = &targets {
            lines.say(&format!("metrics of all roles: listed in {}", targets.file().display())).await;
        }
        if let Some(words) = client_words(&options) {
            lines.say(&words).await;
        }
        lines.say(&ready_words(&options, &config, &client_file.url)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ready => {}
        () = ending.asked() => {}
    }
    lines.say("stopping: workers hand their tasks back (Ctrl-C again kills everything)").await;
    let end = stack.stop(&mut ending, &lines).await;
    lines.flush().await;
    Ok(end)
}

fn ready_words(options: &UpOptions, config: &Config, url: &str) -> String {
    let UpOptions { workers, data_dir, .. } = options;
    let workers = count(u64::from(*workers), "worker");
    let slots = count(u64::from(config.worker.slots), "slot");
    format!("ready: {url}, {workers} of {slots}, data in {}", data_dir.display())
}

/// Tells clients where to look, if they would not look there by themselves.
fn client_words(options: &UpOptions) -> Option<String> {
    let file = directories::client_file(&options.data_dir);
    let is_default = directories::default_client_file().as_ref() == Some(&file);
    let file = file.display();
    (!is_default).then(|| format!("clients find it by --client {file} or MAKIMA_CLIENT_FILE={file}"))
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

impl Stack {
    /// Ends the workers, then the other roles, then the servers. Another request to end kills what is left.
    async fn stop(mut self, ending: &mut Ending, lines: &LogLines) -> ExitCode {
        let (workers, others) = (&mut self.workers, &mut self.others);
        let orderly = async {
            join_all(workers.iter_mut().map(Supervisor::stop)).await;
            join_all(others.iter_mut().map(Supervisor::stop)).await;
        };
        let in_order = tokio::select! {
            () = orderly => true,
            () = ending.asked() => false,
        };
        if in_order {
            let mut health = self.services.health();
            tokio::select! {
                () = self.services.stop() => {
                    lines.say("stopped").await;
                    return ExitCode::SUCCESS;
                }
                () = ending.asked() => {}
            }
            // The servers are killed where their supervisors are dropped, and those take their end of this with them.
            while health.changed().await.is_ok() {}
        } else {
            self.workers.iter().chain(&self.others).for_each(Supervisor::kill);
            let mut health = self.services.health();
            drop(self.services);
            while health.changed().await.is_ok() {}
        }
        lines.say("killed").await;
        failure::ended_by(Signal::SIGINT)
    }
}
