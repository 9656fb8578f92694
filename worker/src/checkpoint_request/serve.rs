//! The worker's end: takes one request at a time, for as long as the agent runs.
//!
//! Whoever asks is untrusted. A request is a bounded line that has to come in time; requests are few a minute; a refusal
//! costs its asker a moment, so that a loop of them costs the worker nothing.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use makima_shared::domain::MAX_MESSAGE_CHARS;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Answer, MAX_LINE_BYTES, Reachable, Request};

/// The name of the socket in an attempt's directory.
const SOCKET: &str = "checkpoint.sock";
/// How long a request may take to be read, and an answer to be written.
const LINE_LIMIT: Duration = Duration::from_secs(5);
/// How many checkpoints an agent may ask for within [`WINDOW`].
const MOST_ASKS: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// How long nobody is heard after a refusal.
const REFUSAL_PAUSE: Duration = Duration::from_millis(100);

/// A checkpoint that an agent asked for.
pub(crate) struct Ask {
    /// What it said about it.
    pub(crate) message: Option<String>,
    /// Where the answer goes.
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// Where the agent of one attempt asks for checkpoints.
pub(crate) struct Desk {
    listener: UnixListener,
    socket: PathBuf,
    token: String,
}

impl Desk {
    /// Opens the socket in the attempt's directory, in which no agent runs yet.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let socket = root.join(SOCKET);
        if let Err(error) = std::fs::remove_file(&socket)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let reachable = Reachable::new(&socket)?;
        let listener = UnixListener::bind(&reachable.path)?;
        let bytes: [u8; 32] = rand::random();
        let token = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { listener, socket, token })
    }

    /// Returns the path of the socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns the token that requests have to carry.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Takes requests until the agent has ended.
    pub(crate) async fn serve(&self, asks: mpsc::Sender<Ask>, ended: &CancellationToken) {
        let serving = async {
            let mut asked = Asked::default();
            loop {
                let served = match self.listener.accept().await {
                    Ok((stream, _nameless)) => self.serve_one(stream, &asks, &mut asked).await,
                    Err(error) => Err(error),
                };
                match served {
                    Ok(Answer::Stored(_) | Answer::Unchanged) => {}
                    Ok(Answer::Refused(_)) => sleep(REFUSAL_PAUSE).await, // why: a loop of bad requests shall cost nothing
                    Err(error) => {
                        debug!(%error, "a request for a checkpoint came to nothing");
                        sleep(REFUSAL_PAUSE).await; // why: as above
                    }
                }
            }
        };
        tokio::select! {
            () = ended.cancelled() => {}
            () = serving => {}
        }
    }

    async fn serve_one(
        &self,
        stream: UnixStream,
        asks: &mpsc::Sender<Ask>,
        asked: &mut Asked,
    ) -> io::Result<Answer> {
        let (reader, mut writer) = stream.into_split();
        let mut line = Vec::new();
        let mut reader = BufReader::new(reader.take(MAX_LINE_BYTES));
        timeout(LINE_LIMIT, reader.read_until(b'\n', &mut line)).await??;
        let answer = match self.check(&line, asked) {
            Ok(message) => take(asks, message).await,
            Err(reason) => Answer::Refused(reason),
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        timeout(LINE_LIMIT, writer.write_all(&line)).await??;
        Ok(answer)
    }

    /// Returns the message of a request that may be carried out, or why it may not.
    fn check(&self, line: &[u8], asked: &mut Asked) -> Result<Option<String>, String> {
        // What could not be read is not repeated: a token may be in it.
        let request: Request =
            serde_json::from_slice(line).map_err(|_| "the request cannot be read".to_owned())?;
        if !is_same(request.token.as_bytes(), self.token.as_bytes()) {
            return Err("the token is not that of this workspace".to_owned());
        }
        let message = request.message.filter(|message| !message.trim().is_empty());
        if let Some(message) = &message {
            if message.chars().count() > MAX_MESSAGE_CHARS {
                return Err(format!("the message is longer than {MAX_MESSAGE_CHARS} characters"));
            }
            if message.contains('\0') {
                return Err("the message holds a NUL character".to_owned());
            }
        }
        asked.note(Instant::now()).map_err(|wait| {
            let seconds = wait.as_millis().div_ceil(1000);
            format!("{MOST_ASKS} checkpoints were asked for within a minute: try again in {seconds} s")
        })?;
        Ok(message)
    }
}

async fn take(asks: &mpsc::Sender<Ask>, message: Option<String>) -> Answer {
    let (reply, answer) = oneshot::channel();
    let over = || Answer::Refused("the attempt is over".to_owned());
    if asks.send(Ask { message, reply }).await.is_err() {
        return over();
    }
    answer.await.unwrap_or_else(|_dropped| over())
}

/// When the last checkpoints were asked for.
#[derive(Default)]
struct Asked(VecDeque<Instant>);

impl Asked {
    /// Counts one more, unless that is too many: then it says how long to wait.
    fn note(&mut self, now: Instant) -> Result<(), Duration> {
        while self.0.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
            self.0.pop_front();
        }
        match self.0.front() {
            Some(first) if self.0.len() >= MOST_ASKS => Err(WINDOW - now.duration_since(*first)),
            _ => {
                self.0.push_back(now);
                Ok(())
            }
        }
    }
}

/// Compares in a time that does not tell where the difference is.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let difference = |found: u8, (a, b): (&u8, &u8)| std::hint::black_box(found | (a ^ b));
    one.len() == other.len() && one.iter().zip(other).fold(0, difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ask;
    use super::*;
    use crate::fuzzing::{DEFAULT_CASES, fuzz};

    /// Serves with numbered answers while `asking` runs.
    async fn with_desk<T: Send + 'static>(
        root: &Path,
        asking: impl FnOnce(PathBuf, String) -> T + Send + 'static,
    ) -> (T, Vec<Option<String>>) {
        let desk = Desk::open(root).unwrap();
        let (sink, mut asks) = mpsc::channel::<Ask>(1);
        let ended = CancellationToken::new();
        let (socket, token) = (desk.socket().to_owned(), desk.token().to_owned());
        let asking = tokio::task::spawn_blocking(move || asking(socket, token));
        let saving = async {
            let mut messages = Vec::new();
            while let Some(ask) = asks.recv().await {
                messages.push(ask.message);
                ask.reply.send(Answer::Stored(i32::try_from(messages.len()).unwrap())).unwrap();
            }
            messages
        };
        let asked = async {
            let result = asking.await.unwrap();
            ended.cancel();
            result
        };
        // The sink goes with the serving, and with it the end of the saving.
        let serving = async { desk.serve(sink, &ended).await };
        let (result, (), messages) = tokio::join!(asked, serving, saving);
        (result, messages)
    }

    #[tokio::test]
    async fn whoever_has_the_token_is_answered_with_a_number() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket's path may be.
        let root = dir.path().join("d".repeat(120));
        std::fs::create_dir(&root).unwrap();
        let (answers, messages) = with_desk(&root, |socket, token| {
            [ask(&socket, &token, Some("tests pass\nall")).unwrap(), ask(&socket, &token, None).unwrap()]
        })
        .await;
        assert_eq!(answers, [Answer::Stored(1), Answer::Stored(2)]);
        assert_eq!(messages, [Some("tests pass\nall".to_owned()), None]);
    }

    #[tokio::test]
    async fn strangers_nonsense_and_long_messages_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (refusals, messages) = with_desk(dir.path(), |socket, token| {
            let mut refusals = vec![
                ask(&socket, &"0".repeat(64), None).unwrap(),
                ask(&socket, "", None).unwrap(),
                ask(&socket, &token, Some(&"x".repeat(2001))).unwrap(),
                ask(&socket, &token, Some("\0")).unwrap(),
            ];
            for line in [&b"{}\n"[..], b"\xff\n", &[b'x'; 40_000]] {
                use std::io::{Read as _, Write as _};
                let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
                // The worker may hang up before it has read all.
                let _ = stream.write_all(line);
                let mut answer = String::new();
                if stream.read_to_string(&mut answer).is_ok() && !answer.is_empty() {
                    refusals.push(serde_json::from_str(&answer).unwrap());
                }
            }
            refusals
        })
        .await;
        assert!(refusals.len() >= 6, "{refusals:?}");
        assert!(refusals.iter().all(|answer| matches!(answer, Answer::Refused(_))), "{refusals:?}");
        assert!(messages.is_empty());
    }

    #[tokio::test]
    async fn the_eleventh_of_a_minute_is_told_when_to_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let (answers, messages) = with_desk(dir.path(), |socket, token| {
            (0..11).map(|_| ask(&socket, &token, None).unwrap()).collect::<Vec<_>>()
        })
        .await;
        assert_eq!(messages.len(), 10);
        let Answer::Refused(reason) = &answers[10] else { panic!("{answers:?}") };
        assert!(reason.contains("try again in"), "{reason}");
    }

    #[test]
    fn old_requests_no_longer_count() {
        let mut asked = Asked::default();
        let begin = Instant::now();
        assert!((0..10).all(|second| asked.note(begin + Duration::from_secs(second)).is_ok()));
        assert_eq!(asked.note(begin + Duration::from_secs(20)), Err(Duration::from_secs(40)));
        assert_eq!(asked.note(begin + Duration::from_secs(60)), Ok(()));
        assert!(asked.note(begin + Duration::from_secs(60)).is_err());
    }

    #[tokio::test]
    async fn whatever_is_asked_is_a_bounded_message_or_a_refusal_without_the_token() {
        const WORDS: &[&str] = &[
            "{",
            "}",
            "\"token\":",
            "\"sesame\"",
            "\"message\":",
            "null",
            ",",
            "\n",
            "\\u0000",
            "\\ud83d",
            "[[[[[[[[",
            "\"x\":1",
            "xxxxxxxx",
        ];
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk { token: "sesame".to_owned(), ..Desk::open(dir.path()).unwrap() };
        fuzz("checkpoint_request", DEFAULT_CASES, WORDS, |bytes| {
            match desk.check(bytes, &mut Asked::default()) {
                Ok(message) => {
                    let said: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                    prop_assert_eq!(&said["token"], "sesame");
                    let message = message.unwrap_or_default();
                    prop_assert!(message.chars().count() <= MAX_MESSAGE_CHARS && !message.contains('\0'));
                }
                Err(reason) => prop_assert!(reason.len() < 100 && !reason.contains("sesame")),
            }
            Ok(())
        });
    }
}
