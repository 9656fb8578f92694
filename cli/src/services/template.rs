//! Templates: data directories with an initialised, stopped cluster, which others copy instead of running `initdb`.
//!
//! A copy has its template's password, so whoever may read the template can use every copy: for tests and demos.

use std::path::{Path, PathBuf};

use super::Durability;
use super::data_dir::DataDir;
use super::error::ServicesError;
use super::launch::launch;
use super::postgres::Postgres;
use super::secrets::Secrets;
use super::server::{self, Server};
use super::supervisor;

/// Makes a template of the directory: a cluster with the database `makima`, stopped.
pub(crate) async fn make_template(dir: PathBuf) -> Result<(), ServicesError> {
    let data_dir = DataDir::open(dir).await?;
    let server = Server::Postgres(Postgres::prepare(&data_dir, Durability::Ephemeral, None).await?);
    let child = launch(&server).await?;
    supervisor::end(server.name(), child).await;
    Ok(())
}

/// Copies the template's cluster into the directory `target` and takes over its password. The servers' user copies, as
/// both belong to it: root would follow what links it has put there.
pub(super) async fn copy_cluster(
    template: &Path,
    data_dir: &DataDir,
    target: &Path,
) -> Result<(), ServicesError> {
    let source = template.join("postgres");
    let source = std::path::absolute(&source).map_err(ServicesError::io("find", &source))?;
    let password = Secrets::read(&template.join("secrets.json")).map(|secrets| secrets.postgres_password);
    let Some(postgres_password) = password.filter(|_| !source.join("postmaster.pid").exists()) else {
        return Err(ServicesError::Template(template.to_owned()));
    };
    Secrets { postgres_password, ..Secrets::of(data_dir)? }.write(&data_dir.secrets())?;
    let mut copy = server::command(Path::new("cp"), data_dir.account());
    copy.arg("-RP").arg(source.join(".")).arg(target);
    server::succeed(copy).await.map_err(ServicesError::io("copy", &source))
}
