//! Starts one role in this process: logs, servers, the way out.

use clap::Args;
use makima_shared::config::{Config, ConfigSource};
use makima_shared::queue::Queue;
use makima_shared::store::Store;
use makima_shared::{shutdown, telemetry};
use tokio_util::sync::CancellationToken;

use crate::failure;
use crate::settings::{SettingsArgs, require_urls};

/// Flags of every role.
#[derive(Args, Clone, Debug)]
pub(crate) struct RoleArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    /// End when standard input does: it is a pipe that the parent holds
    #[arg(long, hide = true)]
    pub(crate) exit_with_parent: bool,
}

/// What a role works with.
pub(crate) struct RoleContext {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) queue: Queue,
    /// Cancelled when the process is asked to end.
    pub(crate) shutdown: CancellationToken,
}

/// Reads the configuration, sets up logs and opens the servers, which may be down yet.
pub(crate) async fn prepare(
    name: &'static str,
    source: &ConfigSource,
    exit_with_parent: bool,
) -> anyhow::Result<RoleContext> {
    let config = Config::load(source)?;
    require_urls(&config, true)?;
    telemetry::init_logs(&config.log)?;
    install_tls();
    let application = format!("makima-{name}");
    let store = Store::open(&config.database.url, config.database.max_connections, &application)?;
    let queue = Queue::open(&config.redis.url, &config.redis.prefix)?;
    let shutdown = shutdown::on_signals(exit_with_parent)?;
    shutdown.run_until_cancelled(store.check_pooler()).await.transpose()?;
    tracing::info!(role = name, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starts");
    tokio::spawn(say_who_is_missing(store.clone(), queue.clone(), shutdown.clone()));
    Ok(RoleContext { config, store, queue, shutdown })
}

/// Chooses the provider of TLS for the whole process.
pub(crate) fn install_tls() {
    // An error means that one was chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A role starts without its servers and takes up its work when they come; the person who waits should know.
async fn say_who_is_missing(store: Store, queue: Queue, shutdown: CancellationToken) {
    let check = async {
        let (postgres, redis) = tokio::join!(store.ping(), queue.ping());
        if let Err(error) = postgres {
            tracing::warn!(
                error = failure::chain(&error),
                "PostgreSQL does not answer; going on, and trying again"
            );
        }
        if let Err(error) = redis {
            tracing::warn!(
                error = failure::chain(&error),
                "Redis does not answer; going on, and trying again"
            );
        }
    };
    shutdown.run_until_cancelled(check).await;
}
