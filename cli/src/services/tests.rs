//! Starts real servers, kills them in every way that a machine does, and starts them again.

use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::orphan::read_pid;
use super::owned::set_mode;
use super::*;

mod tampering;

/// A directory that the servers' user can enter, whoever runs the tests.
fn scratch() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o711).unwrap();
    dir
}

fn options(data_dir: &Path) -> ServicesOptions {
    ServicesOptions {
        data_dir: data_dir.to_owned(),
        durability: Durability::Durable,
        template: std::env::var_os("MAKIMA_PG_TEMPLATE").map(PathBuf::from),
        external: External::default(),
    }
}

async fn sql(services: &Services, statement: &'static str) -> Option<i32> {
    let mut connection = PgConnection::connect(services.database_url()).await.unwrap();
    sqlx::query_scalar(statement).fetch_optional(&mut connection).await.unwrap()
}

fn postmaster(data_dir: &Path) -> Pid {
    read_pid(&data_dir.join("postgres/postmaster.pid")).unwrap()
}

/// Any child of the process.
fn child_of(parent: Pid) -> Pid {
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let mut rows =
        table.lines().map(|row| row.split_whitespace().map(|n| n.parse().unwrap()).collect::<Vec<i32>>());
    Pid::from_raw(rows.find(|row| row[1] == parent.as_raw()).unwrap()[0])
}

fn redis_process(data_dir: &Path) -> Pid {
    read_pid(&data_dir.join("redis/redis.pid")).unwrap()
}

/// Starts both servers and leaves them alone, as a makima does that is killed.
async fn start_and_abandon(data_dir: &Path) {
    let options = options(data_dir);
    let data_dir = DataDir::open(options.data_dir).await.unwrap();
    let postgres = Postgres::prepare(&data_dir, options.durability, options.template).await.unwrap();
    let redis = Redis::prepare(&data_dir, options.durability).unwrap();
    for server in [Server::Postgres(postgres), Server::Redis(redis)] {
        std::mem::forget(launch(&server).await.unwrap());
    }
}

#[tokio::test]
async fn rows_survive_a_stop_and_another_start() {
    let dir = scratch();
    let services = Services::start(options(dir.path())).await.unwrap();
    sql(&services, "CREATE TABLE kept AS SELECT 7 AS n").await;
    services.stop().await;
    assert!(!dir.path().join("postgres/postmaster.pid").exists());
    assert!(!dir.path().join("redis/redis.pid").exists());

    let services = Services::start(options(dir.path())).await.unwrap();
    assert_eq!(sql(&services, "SELECT n FROM kept").await, Some(7));
    services.stop().await;
}

#[tokio::test]
async fn a_second_makima_on_the_same_directory_is_refused() {
    let dir = scratch();
    let services = Services::start(options(dir.path())).await.unwrap();
    let refused = Services::start(options(dir.path())).await.unwrap_err();
    assert!(matches!(refused, ServicesError::DataDirInUse(_)), "{refused}");
    services.stop().await;
}

#[tokio::test]
async fn servers_that_are_killed_are_started_again() {
    let dir = scratch();
    let services = Services::start(options(dir.path())).await.unwrap();
    sql(&services, "CREATE TABLE kept AS SELECT 7 AS n").await;
    let mut health = services.health();

    kill(postmaster(dir.path()), Signal::SIGKILL).unwrap();
    kill(redis_process(dir.path()), Signal::SIGKILL).unwrap();
    let back = |health: &Health| {
        [health.postgres, health.redis].iter().all(|server| server.deaths == 1 && !server.down)
    };
    health.wait_for(back).await.unwrap();

    assert_eq!(sql(&services, "SELECT n FROM kept").await, Some(7));
    services.stop().await;
}

#[tokio::test]
async fn servers_that_outlived_their_makima_are_stopped_first() {
    let dir = scratch();
    start_and_abandon(dir.path()).await;
    let orphans = [postmaster(dir.path()), redis_process(dir.path())];

    let services = Services::start(options(dir.path())).await.unwrap();
    assert_eq!(sql(&services, "SELECT 7").await, Some(7));
    let now = [postmaster(dir.path()), redis_process(dir.path())];
    assert!(orphans.iter().all(|orphan| !now.contains(orphan)));
    services.stop().await;
}

#[tokio::test]
async fn a_start_waits_for_the_last_processes_of_a_killed_postgres() {
    let dir = scratch();
    start_and_abandon(dir.path()).await;
    // Stopped, this process holds the shared memory until it is continued and notices the postmaster's death.
    let last = child_of(postmaster(dir.path()));
    kill(last, Signal::SIGSTOP).unwrap();
    kill(postmaster(dir.path()), Signal::SIGKILL).unwrap();

    let starting = tokio::spawn(Services::start(options(dir.path())));
    let log = dir.path().join("log/postgres.log");
    while !std::fs::read_to_string(&log).unwrap().contains("pre-existing shared memory block") {
        tokio::task::yield_now().await;
    }
    assert!(!starting.is_finished());
    kill(last, Signal::SIGCONT).unwrap();
    let services = starting.await.unwrap().unwrap();
    assert_eq!(sql(&services, "SELECT 7").await, Some(7));
    services.stop().await;
}

#[tokio::test]
async fn a_pid_file_whose_number_is_another_process_by_now_keeps_nothing_from_starting() {
    let dir = scratch();
    let services = Services::start(options(dir.path())).await.unwrap();
    let pid_file = dir.path().join("postgres/postmaster.pid");
    let text = std::fs::read_to_string(&pid_file).unwrap();
    services.stop().await;

    // A bystander of the servers' user, as PostgreSQL takes no notice of anybody else's process.
    let account = account::Account::choose(&dir.path().join("postgres")).unwrap();
    let mut bystander = server::command(Path::new("/bin/sleep"), &account).arg("600").spawn().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    std::fs::write(&pid_file, format!("{}\n{rest}", bystander.id().unwrap())).unwrap();

    let services = Services::start(options(dir.path())).await.unwrap();
    assert!(bystander.try_wait().unwrap().is_none(), "the bystander was killed");
    services.stop().await;
}

#[tokio::test]
async fn an_append_only_file_that_redis_cannot_read_is_set_aside() {
    let dir = scratch();
    let services = Services::start(options(dir.path())).await.unwrap();
    services.stop().await;
    let append_only = dir.path().join("redis/appendonlydir");
    for entry in std::fs::read_dir(&append_only).unwrap() {
        std::fs::write(entry.unwrap().path(), "nothing that Redis knows\n").unwrap();
    }

    let services = Services::start(options(dir.path())).await.unwrap();
    assert!(append_only.with_extension("unreadable").exists());
    services.stop().await;
}

#[tokio::test]
async fn a_directory_with_too_long_a_name_is_refused_with_the_limit() {
    let dir = scratch();
    let refused = Services::start(options(&dir.path().join("d".repeat(100)))).await.unwrap_err().to_string();
    assert!(refused.contains("the limit is 103"), "{refused}");
}

#[tokio::test]
async fn a_lost_password_file_is_named() {
    let dir = scratch();
    Services::start(options(dir.path())).await.unwrap().stop().await;
    std::fs::remove_file(dir.path().join("secrets.json")).unwrap();
    let refused = Services::start(options(dir.path())).await.unwrap_err();
    assert!(matches!(refused, ServicesError::SecretsLost { .. }), "{refused}");
}

#[tokio::test]
async fn a_directory_that_the_servers_user_cannot_enter_is_named() {
    if !geteuid().is_root() {
        return; // Only root switches users.
    }
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o700).unwrap();
    let refused = Services::start(options(&dir.path().join("data"))).await.unwrap_err();
    let ServicesError::CannotTraverse { blocked, .. } = refused else { panic!("{refused}") };
    assert_eq!(blocked, dir.path().canonicalize().unwrap());
}

#[tokio::test]
async fn external_servers_are_passed_on_and_none_is_started() {
    let dir = scratch();
    let external = External {
        database_url: Some("postgres://elsewhere/db".to_owned()),
        redis_url: Some("redis://elsewhere".to_owned()),
    };
    let services = Services::start(ServicesOptions { external, ..options(dir.path()) }).await.unwrap();
    assert_eq!(services.database_url(), "postgres://elsewhere/db");
    assert_eq!(services.redis_url(), "redis://elsewhere");
    assert!(!dir.path().join("postgres").exists());
    services.stop().await;
}
