//! The line to a running agent: a pipe with a name, which is its standard input.
//!
//! The agent reads its end of the input once this end is dropped, and so when the worker dies.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;

/// The worker's end.
#[derive(Debug)]
pub(crate) struct Line {
    pipe: pipe::Sender,
    /// What is to be written first.
    opening: String,
}

impl Line {
    /// Makes the pipe at a path where nothing stands.
    pub(super) fn make(path: &Path, opening: String) -> io::Result<Self> {
        mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // For both directions, which waits for no reader. Whatever else stands there meanwhile is no pipe, or a link.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = File::options().read(true).write(true).custom_flags(flags.bits()).open(path)?;
        Ok(Self { pipe: pipe::Sender::from_file(file)?, opening })
    }

    /// Writes what is to be written first, unless that was done. Waits as long as the agent does not read.
    pub(crate) async fn open(&mut self) -> io::Result<()> {
        let opening = std::mem::take(&mut self.opening);
        self.write(&opening).await
    }

    /// Writes all of a text. Waits as long as the agent does not read.
    pub(crate) async fn write(&mut self, text: &str) -> io::Result<()> {
        self.pipe.write_all(text.as_bytes()).await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_up_to_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdin");
        let mut line = Line::make(&path, "plan\n".to_owned()).unwrap();
        let mut reader = File::open(&path).unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_bytes| text)
        });
        line.open().await.unwrap();
        line.open().await.unwrap();
        let long = "x".repeat(1 << 20);
        line.write(&long).await.unwrap();
        drop(line);
        assert_eq!(reading.await.unwrap().unwrap(), format!("plan\n{long}"));
    }

    #[tokio::test]
    async fn nothing_is_made_where_something_stands() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdin");
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(Line::make(&path, String::new()).is_err());
        assert!(!directory.path().join("elsewhere").exists());
    }
}
