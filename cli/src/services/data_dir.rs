//! The directory that holds both servers: its layout, its lock, who may enter it and who could have tampered with it.
//!
//! It belongs to us and nobody else can write to it, so nobody else puts names there; `log` is the same. What the servers
//! write is in directories that belong to their account, and those are given away by their handles.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::unistd::geteuid;
use tokio::process::Command;

use super::account::Account;
use super::error::ServicesError;
use super::owned::{make_dir, make_private_dir, open_dir, open_file, require_ours};
use super::postgres;

/// The longest path of a unix socket, in bytes: `sun_path` has 104 on macOS and 108 on Linux, with the final zero.
const SOCKET_PATH_MAX: usize = 103;
/// What is tried on our directories, for error messages.
const FIND_DIR: &str = "find a directory of ours (links are refused) at";

/// A data directory that this process alone uses, for as long as the value lives.
#[derive(Debug)]
pub(super) struct DataDir {
    root: PathBuf,
    account: Account,
    lock: File,
}

/// Unlocks at once: closing would not, while a process that was just forked off us holds the file till its exec.
impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl DataDir {
    /// Makes the directory if missing, locks it and makes sure that the servers' user can work in it.
    pub(super) async fn open(path: PathBuf) -> Result<Self, ServicesError> {
        let root = make_root(&path)?;
        check_name(&root)?;
        let lock = lock(&root)?;
        let cluster = root.join("postgres");
        match open_dir(&cluster) {
            Err(failed) if failed.kind() != io::ErrorKind::NotFound => {
                return Err(ServicesError::io(FIND_DIR, &cluster)(failed));
            }
            Ok(_) | Err(_) => {}
        }
        let account = Account::choose(&cluster)?;
        let data_dir = Self { root, account, lock };
        data_dir.make_layout()?;
        data_dir.check_entry().await?;
        Ok(data_dir)
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The user that the servers run as.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// PostgreSQL's cluster.
    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join("postgres")
    }

    /// Redis's files.
    pub(super) fn redis(&self) -> PathBuf {
        self.root.join("redis")
    }

    /// The unix sockets.
    pub(super) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The passwords of both servers.
    pub(super) fn secrets(&self) -> PathBuf {
        self.root.join("secrets.json")
    }

    /// The log of one server.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.root.join("log").join(name)
    }

    fn make_layout(&self) -> Result<(), ServicesError> {
        let log = self.root.join("log");
        make_private_dir(&log).map_err(ServicesError::io(FIND_DIR, &log))?;
        for dir in [self.run(), self.redis()] {
            let handle = make_dir(&dir, 0o700).map_err(ServicesError::io(FIND_DIR, &dir))?;
            self.account.own(&handle, &dir)?;
        }
        Ok(())
    }

    /// Lets the servers' user itself try, as access lists and the like make mode bits an unsure answer.
    async fn check_entry(&self) -> Result<(), ServicesError> {
        let Some(user) = self.account.switched_name() else { return Ok(()) };
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd \"$0\""]).arg(self.run()).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.account.apply(&mut command);
        let entered = command.status().await.map_err(ServicesError::io("run", Path::new("/bin/sh")))?;
        if entered.success() {
            return Ok(());
        }
        let closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 == 0);
        let ancestors: Vec<_> = self.root.ancestors().collect();
        let blocked = ancestors.into_iter().rev().find(closed).unwrap_or(&self.root).to_owned();
        Err(ServicesError::CannotTraverse { user: user.to_owned(), blocked })
    }
}

/// The mode of our directories that the servers' user has to pass through, who is another one if we are root.
pub(super) fn passage_mode() -> u32 {
    if geteuid().is_root() { 0o711 } else { 0o700 }
}

/// Makes the directory, open to nobody else; as root one may pass through it, as the servers' user has to.
fn make_root(path: &Path) -> Result<PathBuf, ServicesError> {
    let path = std::path::absolute(path).map_err(ServicesError::io("resolve", path))?;
    check_place(&path)?;
    let parent = path.parent().unwrap_or(&path);
    let made = DirBuilder::new().recursive(true).mode(0o755).create(parent);
    made.map_err(ServicesError::io("create", parent))?;
    let is_new = match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => true,
        Err(failed) if failed.kind() == io::ErrorKind::AlreadyExists => false,
        Err(failed) => return Err(ServicesError::io("create", &path)(failed)),
    };
    let root = fs::canonicalize(&path).map_err(ServicesError::io("resolve", &path))?;
    check_place(&root)?;
    check_root(&root, is_new).map_err(ServicesError::io("use the data directory", &root))?;
    Ok(root)
}

/// Refuses a path on which anybody at all may have put something, and one where anybody could put another directory in
/// the place of root's. The owners of the directories above could as well: whoever chose the path trusts them.
fn check_place(path: &Path) -> Result<(), ServicesError> {
    for dir in path.ancestors() {
        // What is not there yet, we make.
        let (Some(Ok(place)), Ok(meta)) = (dir.parent().map(fs::metadata), fs::symlink_metadata(dir)) else {
            continue;
        };
        let (public, sticky) = (place.mode() & 0o002 != 0, place.mode() & 0o1000 != 0);
        let foreign = ![0, geteuid().as_raw()].contains(&meta.uid());
        let refuse = |why| Err(ServicesError::UntrustedPlace { dir: dir.to_owned(), why });
        if public && foreign {
            return refuse("belongs to somebody else and lies where anybody could put it");
        }
        if public && !sticky && geteuid().is_root() {
            return refuse("can be replaced by anybody: what holds it is open to all and not sticky");
        }
    }
    Ok(())
}

/// Sees to it that the directory is ours and that nobody else can change it, so that what is in it came from us. Root,
/// who gives parts of it to the servers' user, takes none that others could prepare.
fn check_root(root: &Path, is_new: bool) -> io::Result<()> {
    let handle = open_dir(root)?;
    require_ours(&handle)?;
    let mode = handle.metadata()?.mode();
    if is_new {
        handle.set_permissions(Permissions::from_mode(passage_mode()))
    } else if mode & 0o022 == 0 {
        Ok(())
    } else if geteuid().is_root() {
        Err(io::Error::other("others than root can write to it; choose another one or run: chmod go-w"))
    } else {
        handle.set_permissions(Permissions::from_mode(mode & 0o7755))
    }
}

fn check_name(root: &Path) -> Result<(), ServicesError> {
    let name = root.to_str().filter(|name| !name.chars().any(char::is_control));
    name.ok_or_else(|| ServicesError::DataDirName(root.to_owned()))?;
    let socket = root.join("run").join(postgres::SOCKET);
    let length = socket.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        let data_dir = root.to_owned();
        return Err(ServicesError::SocketPathTooLong { data_dir, socket, length, limit: SOCKET_PATH_MAX });
    }
    Ok(())
}

/// Takes the lock, which the kernel gives back when the process ends, however it ends.
pub(super) fn lock(root: &Path) -> Result<File, ServicesError> {
    let path = root.join("lock");
    let file = open_file(File::options().create(true).truncate(false).write(true), &path);
    let file = file.and_then(|file| require_ours(&file).map(|()| file));
    let file = file.map_err(ServicesError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServicesError::DataDirInUse(root.to_owned())),
        Err(TryLockError::Error(source)) => Err(ServicesError::Io { action: "lock", path, source }),
    }
}
