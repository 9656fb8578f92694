//! Data directories that somebody else prepared, and servers whose account plants links in what is its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::process::Stdio;

use super::*;

/// Somebody who is neither root nor the servers' account.
const STRANGER: u32 = 12_345;
const SECRET: &str = "nobody else's business";

/// Something of ours that links lead to.
struct Victim {
    dir: TempDir,
}

impl Victim {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        set_mode(dir.path(), 0o750).unwrap();
        fs::write(dir.path().join("file"), SECRET).unwrap();
        set_mode(&dir.path().join("file"), 0o600).unwrap();
        Self { dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("file")
    }

    fn assert_untouched(&self) {
        for (path, mode) in [(self.dir.path(), 0o750), (&*self.file(), 0o600)] {
            let meta = fs::metadata(path).unwrap();
            assert_eq!((meta.mode() & 0o777, meta.uid()), (mode, geteuid().as_raw()), "{}", path.display());
        }
        assert_eq!(fs::read_to_string(self.file()).unwrap(), SECRET);
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 1);
    }
}

/// A data directory that was used and is at rest.
async fn used() -> TempDir {
    let dir = scratch();
    Services::start(options(dir.path())).await.unwrap().stop().await;
    dir
}

async fn refused(data_dir: &Path) -> String {
    let refused = Services::start(options(data_dir)).await.unwrap_err();
    std::iter::successors(Some(&refused as &dyn std::error::Error), |error| error.source())
        .map(|error| format!("{error}: "))
        .collect()
}

#[tokio::test]
async fn a_data_directory_of_somebody_else_is_refused() {
    let (dir, victim) = (scratch(), Victim::new());
    // Only root can give a directory away; others are refused one of root's.
    let foreign = if geteuid().is_root() { dir.path() } else { Path::new("/usr") };
    if geteuid().is_root() {
        for name in ["run", "redis", "log"] {
            symlink(victim.dir.path(), dir.path().join(name)).unwrap();
        }
        symlink(victim.dir.path().join("made"), dir.path().join("lock")).unwrap();
        chown(dir.path(), Some(STRANGER), None).unwrap();
    }
    let refused = refused(foreign).await;
    assert!(refused.contains("belongs to"), "{refused}");
    victim.assert_untouched();
}

#[tokio::test]
async fn links_in_the_place_of_our_own_entries_are_refused() {
    for name in ["run", "redis", "log", "lock", "postgres"] {
        let (dir, victim) = (scratch(), Victim::new());
        let target =
            if name == "lock" { victim.dir.path().join("made") } else { victim.dir.path().to_owned() };
        symlink(target, dir.path().join(name)).unwrap();
        let refused = refused(dir.path()).await;
        assert!(refused.contains(&format!("/{name}:")), "{refused}");
        victim.assert_untouched();
    }
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_refused_by_root_and_closed_by_others() {
    let dir = scratch();
    set_mode(dir.path(), 0o777).unwrap();
    if geteuid().is_root() {
        let refused = refused(dir.path()).await;
        assert!(refused.contains("chmod go-w"), "{refused}");
    } else {
        Services::start(options(dir.path())).await.unwrap().stop().await;
        assert_eq!(fs::metadata(dir.path()).unwrap().mode() & 0o777, 0o755);
    }
}

#[tokio::test]
async fn a_place_where_anybody_can_swap_the_directory_is_refused_by_root() {
    let dir = scratch();
    let data_dir = dir.path().join("deep/data");
    fs::create_dir(dir.path().join("deep")).unwrap();
    set_mode(dir.path(), 0o777).unwrap();
    if !geteuid().is_root() {
        // The risk is the user's own, and what lies there is too.
        Services::start(options(&data_dir)).await.unwrap().stop().await;
        return;
    }
    let without_sticky = refused(&data_dir).await;
    assert!(without_sticky.contains("can be replaced by anybody"), "{without_sticky}");
    set_mode(dir.path(), 0o1777).unwrap();
    chown(dir.path().join("deep"), Some(STRANGER), None).unwrap();
    let of_a_stranger = refused(&data_dir).await;
    assert!(of_a_stranger.contains("belongs to somebody else"), "{of_a_stranger}");
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn passwords_that_somebody_else_wrote_are_not_taken() {
    let dir = used().await;
    let secrets = dir.path().join("secrets.json");
    if geteuid().is_root() {
        chown(&secrets, Some(STRANGER), None).unwrap();
    } else {
        // Only root can give a file away; a link stands for it.
        fs::rename(&secrets, dir.path().join("elsewhere.json")).unwrap();
        symlink(dir.path().join("elsewhere.json"), &secrets).unwrap();
    }
    let refused = Services::start(options(dir.path())).await.unwrap_err();
    assert!(matches!(refused, ServicesError::SecretsLost { .. }), "{refused}");
}

#[tokio::test]
async fn a_start_follows_no_link_that_the_servers_account_planted() {
    let (dir, victim) = (used().await, Victim::new());
    let planted = [
        "redis/redis.conf",
        "redis/redis.pid",
        "run/redis.sock",
        "run/.s.PGSQL.5432",
        "run/.s.PGSQL.5432.lock",
        "postgres/postmaster.pid.new",
    ];
    for name in planted {
        symlink(victim.file(), dir.path().join(name)).unwrap();
    }
    // A number of another process, so that the file is rewritten.
    let account = account::Account::choose(&dir.path().join("postgres")).unwrap();
    let bystander = server::command(Path::new("/bin/sleep"), &account).arg("600").spawn().unwrap();
    let pid_file = dir.path().join("postgres/postmaster.pid");
    let pid_text = format!("{}\n/nowhere\n1\n5432\n\n\n       1         1\n", bystander.id().unwrap());
    fs::write(&pid_file, pid_text).unwrap();
    account.own(&fs::File::open(&pid_file).unwrap(), &pid_file).unwrap();

    let services = Services::start(options(dir.path())).await.unwrap();
    services.stop().await;
    victim.assert_untouched();
    assert!(!dir.path().join("redis/redis.conf").exists());
}

#[tokio::test]
async fn what_the_account_puts_in_the_place_of_files_that_we_read_is_no_file_to_us() {
    let (dir, victim) = (used().await, Victim::new());
    let version = dir.path().join("postgres/PG_VERSION");
    fs::remove_file(&version).unwrap();
    symlink(victim.file(), &version).unwrap();
    let refused = refused(dir.path()).await;
    assert!(refused.contains("cannot read") && !refused.contains(SECRET), "{refused}");

    let pid_file = dir.path().join("redis/redis.pid");
    fs::write(victim.file(), std::process::id().to_string()).unwrap();
    symlink(victim.file(), &pid_file).unwrap();
    assert_eq!(read_pid(&pid_file), None);
}

#[tokio::test]
async fn a_template_is_copied_without_following_its_links() {
    let (template, dir, victim) = (scratch(), scratch(), Victim::new());
    make_template(template.path().to_owned()).await.unwrap();
    symlink(victim.file(), template.path().join("postgres/leak")).unwrap();

    let template = Some(template.path().to_owned());
    let services = Services::start(ServicesOptions { template, ..options(dir.path()) }).await.unwrap();
    services.stop().await;
    assert!(fs::symlink_metadata(dir.path().join("postgres/leak")).unwrap().is_symlink());
    victim.assert_untouched();
}

#[tokio::test]
async fn below_the_directories_of_the_account_everything_is_its_own_and_above_nothing() {
    let dir = used().await;
    let owner = |path: &Path| fs::symlink_metadata(path).unwrap().uid();
    let account = owner(&dir.path().join("postgres"));
    assert_eq!(account != geteuid().as_raw(), geteuid().is_root());
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let of_account = ["postgres", "redis", "run"].contains(&entry.file_name().to_str().unwrap());
        let expected = if of_account { account } else { geteuid().as_raw() };
        let mut pending = vec![entry.path()];
        while let Some(path) = pending.pop() {
            assert_eq!(owner(&path), expected, "{}", path.display());
            if path.is_dir() {
                pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
}

#[tokio::test]
async fn a_redis_of_the_release_before_is_stopped_and_its_configuration_removed() {
    let dir = used().await;
    // That release kept the configuration beside the append-only file, and named it as the argument.
    let redis = dir.path().join("redis");
    let config = redis.join("redis.conf");
    let text = format!(
        "port 0\nunixsocket {0}/run/redis.sock\nset-proc-title no\ndir {0}/redis\npidfile {0}/redis/redis.pid\n",
        dir.path().display()
    );
    fs::write(&config, text).unwrap();
    let account = account::Account::choose(&dir.path().join("postgres")).unwrap();
    account.own(&fs::File::open(&config).unwrap(), &config).unwrap();
    let mut command = server::command(&programs::find_redis().unwrap(), &account);
    let mut old = command.arg(&config).stdout(Stdio::null()).spawn().unwrap();
    while read_pid(&redis.join("redis.pid")).is_none() {
        assert!(old.try_wait().unwrap().is_none(), "the old Redis does not start");
        tokio::task::yield_now().await;
    }

    let services = Services::start(options(dir.path())).await.unwrap();
    assert!(old.wait().await.unwrap().success());
    assert!(!config.exists());
    services.stop().await;
}
