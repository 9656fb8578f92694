//! Makes a PostgreSQL cluster, by `initdb` or from a template.
//!
//! It is made under a passing name and renamed when it is whole, so a cluster that is there is complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::Durability;
use super::data_dir::{DataDir, passage_mode};
use super::error::ServicesError;
use super::owned::{make_dir, read_text, set_mode};
use super::postgres::NAME;
use super::programs::{self, PostgresPrograms};
use super::secrets::{Secrets, write_private};
use super::server;
use super::template;

const UNFINISHED: &str = "postgres.new-";

/// Makes the cluster if there is none, and finds the programs that fit it.
pub(super) async fn ensure(
    data_dir: &DataDir,
    durability: Durability,
    template: Option<PathBuf>,
) -> Result<PostgresPrograms, ServicesError> {
    let cluster = data_dir.cluster();
    if cluster.exists() {
        return find_programs(Some(&cluster));
    }
    remove_unfinished(data_dir.root())?;
    let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(data_dir.root());
    let unfinished = unfinished.map_err(ServicesError::io("create a directory in", data_dir.root()))?;
    // The cluster alone is the account's: what is in a directory of its own, it can replace under our hands.
    set_mode(unfinished.path(), passage_mode()).map_err(ServicesError::io("open", unfinished.path()))?;
    let new_cluster = unfinished.path().join("cluster");
    let handle = make_dir(&new_cluster, 0o700).map_err(ServicesError::io("create", &new_cluster))?;
    data_dir.account().own(&handle, &new_cluster)?;
    let programs = match template {
        Some(template) => {
            let programs = find_programs(Some(&template.join("postgres")))?;
            template::copy_cluster(&template, data_dir, &new_cluster).await?;
            programs
        }
        None => {
            let programs = find_programs(None)?;
            initdb(&programs, data_dir, durability, unfinished.path()).await?;
            programs
        }
    };
    finish(data_dir, durability, unfinished)?;
    Ok(programs)
}

fn find_programs(cluster: Option<&Path>) -> Result<PostgresPrograms, ServicesError> {
    let Some(cluster) = cluster else { return programs::find_postgres(None) };
    let file = cluster.join("PG_VERSION");
    let text = read_text(&file).map_err(ServicesError::io("read", &file))?;
    programs::find_postgres(text.trim().parse().ok().map(|major| (major, cluster)))
}

async fn initdb(
    programs: &PostgresPrograms,
    data_dir: &DataDir,
    durability: Durability,
    unfinished: &Path,
) -> Result<(), ServicesError> {
    let password_file = unfinished.join("password");
    let handle = write_private(&password_file, &Secrets::of(data_dir)?.postgres_password)?;
    data_dir.account().own(&handle, &password_file)?;

    let program = programs.dir.join("initdb");
    let mut command = server::command(&program, data_dir.account());
    command.arg("-D").arg(unfinished.join("cluster")).arg("--pwfile").arg(&password_file);
    command.args(["--username", NAME, "--auth-local", "scram-sha-256", "--auth-host", "reject"]);
    command.args(["--encoding", "UTF8", "--locale", "C", "--no-instructions"]);
    if durability == Durability::Ephemeral {
        command.arg("--no-sync");
    }
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await;
    let output = output.map_err(ServicesError::io("run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(ServicesError::Initdb {
        program: program.display().to_string(),
        status: output.status,
        output: String::from_utf8_lossy(&text).into_owned(),
    })
}

/// Gives the whole cluster its name.
fn finish(data_dir: &DataDir, durability: Durability, unfinished: TempDir) -> Result<(), ServicesError> {
    if durability == Durability::Durable {
        // A copied cluster consists of a thousand files: one call for all of them.
        nix::unistd::sync();
    }
    let cluster = data_dir.cluster();
    let renamed = fs::rename(unfinished.path().join("cluster"), &cluster);
    renamed.map_err(ServicesError::io("create", &cluster))?;
    unfinished.close().map_err(ServicesError::io("clear up beside", &cluster))?;
    if durability == Durability::Durable {
        let root = data_dir.root();
        fs::File::open(root).and_then(|root| root.sync_all()).map_err(ServicesError::io("sync", root))?;
    }
    Ok(())
}

/// Removes what kills midway have left.
fn remove_unfinished(root: &Path) -> Result<(), ServicesError> {
    let entries = fs::read_dir(root).map_err(ServicesError::io("read", root))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_unfinished =
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
        if is_unfinished {
            fs::remove_dir_all(&path).map_err(ServicesError::io("remove", &path))?;
        }
    }
    Ok(())
}
