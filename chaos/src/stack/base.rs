//! What the roles of a stack are started from: a schema, keys, and for each role its environment and its ways.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::role::{Role, RoleSpec};
use super::{Member, OWNERS, settings};
use crate::proxy::{Protocol, Proxy};
use crate::scratch::Scratch;
use crate::servers::{self, Servers};

/// What all roles are started from.
pub(super) struct Base<'a> {
    pub(super) program: PathBuf,
    pub(super) scratch: &'a Scratch,
    pub(super) servers: &'a Servers,
    pub(super) listen: String,
}

impl Base<'_> {
    /// Brings the schema up to date and returns a key for each owner.
    pub(super) async fn prepare_database(&self) -> anyhow::Result<Vec<String>> {
        self.run(&["migrate"]).await?;
        let mut keys = Vec::new();
        for owner in OWNERS {
            keys.push(self.run(&["keys", "create", "--owner", owner]).await?.trim().to_owned());
        }
        Ok(keys)
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let socket = self.servers.postgres.lock().await.socket();
        let url = servers::postgres_url(socket.parent().context("a socket lies in a directory")?);
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("MAKIMA_DATABASE_URL", url);
        let output = command.kill_on_drop(true).output().await.context("makima cannot be run")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "makima {} failed: {words}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts the API or a scheduler.
    pub(super) async fn member(&self, name: &str, command: &str) -> anyhow::Result<Member> {
        self.start(name, vec![command.to_owned()], false).await
    }

    /// Starts a worker with a data directory of its own.
    pub(super) async fn worker(&self, name: &str, slots: usize) -> anyhow::Result<Member> {
        let data_dir = self.scratch.worker(name).display().to_string();
        let arguments = ["worker", "--slots", &slots.to_string(), "--data-dir", &data_dir];
        self.start(name, arguments.map(str::to_owned).to_vec(), true).await
    }

    async fn start(&self, name: &str, arguments: Vec<String>, is_named: bool) -> anyhow::Result<Member> {
        let links = self.scratch.links(name);
        let postgres = self.servers.postgres.lock().await.socket();
        let redis = self.servers.redis.lock().await.socket();
        let redis_link = links.join("redis.sock");
        let spec = RoleSpec {
            name: name.to_owned(),
            program: self.program.clone(),
            arguments,
            environment: self.environment(&links, &redis_link),
            log: self.scratch.log(name),
            is_named,
        };
        Ok(Member {
            postgres: Proxy::listen(&links.join(servers::POSTGRES_SOCKET), postgres, Protocol::Postgres)?,
            redis: Proxy::listen(&redis_link, redis, Protocol::Redis)?,
            role: Role::keep(spec),
            lasting_fault: Mutex::default(),
        })
    }

    fn environment(&self, links: &Path, redis_link: &Path) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = settings::SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        all.push(("MAKIMA_API_LISTEN".to_owned(), self.listen.clone()));
        all.push(("MAKIMA_DATABASE_URL".to_owned(), servers::postgres_url(links)));
        all.push(("MAKIMA_REDIS_URL".to_owned(), servers::redis_url(redis_link)));
        all
    }
}
