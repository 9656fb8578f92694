use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::io::{AsyncWriteExt as _, ReadBuf, duplex, empty};

use super::*;
use crate::fuzzing::{DEFAULT_CASES, fuzz};

/// Gives its bytes in reads of the given sizes.
struct Chunks {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
    at: usize,
    reads: usize,
}

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size =
            self.sizes[self.reads % self.sizes.len()].min(self.bytes.len() - self.at).min(buffer.remaining());
        buffer.put_slice(&self.bytes[self.at..self.at + size]);
        self.at += size;
        self.reads += 1;
        Poll::Ready(Ok(()))
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work)
}

fn read_all(bytes: &[u8], sizes: &[usize]) -> Vec<OutputLine> {
    let chunks = Chunks { bytes: bytes.to_vec(), sizes: sizes.to_vec(), at: 0, reads: 0 };
    block_on(async {
        let mut reader = LineReader::new(Stream::Stdout, chunks);
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await.unwrap() {
            lines.push(line);
        }
        assert_eq!(reader.taken_bytes(), bytes.len() as u64);
        lines
    })
}

fn texts(bytes: &[u8]) -> Vec<String> {
    read_all(bytes, &[7]).into_iter().map(|line| line.text).collect()
}

#[test]
fn lines_are_split_at_newlines_alone_and_the_last_needs_none() {
    assert_eq!(texts(b"one\r\n\ntwo\rthree\nfour"), ["one\r", "", "two\rthree", "four"]);
    assert_eq!(texts(b"one\n"), ["one"]);
    assert_eq!(texts(b""), [""; 0]);
}

#[test]
fn bytes_that_the_store_cannot_hold_become_replacement_characters() {
    assert_eq!(texts(b"a\0b\n\xff\xc3\n"), ["a\u{FFFD}b", "\u{FFFD}\u{FFFD}"]);
}

#[test]
fn line_of_exactly_the_longest_piece_is_whole() {
    let mut bytes = vec![b'x'; MAX_PIECE_BYTES];
    bytes.push(b'\n');
    let lines = read_all(&bytes, &[4096]);
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].partial && lines[0].text.len() == MAX_PIECE_BYTES);
}

#[test]
fn endless_line_is_cut_between_characters() {
    let bytes = "aäöü€😀".repeat(20_000).into_bytes();
    let lines = read_all(&bytes, &[10_000]);
    assert!(lines.iter().all(|line| line.text.len() <= MAX_PIECE_BYTES && !line.text.contains('\u{FFFD}')));
    let partial: Vec<_> = lines.iter().map(|line| line.partial).collect();
    assert_eq!(partial.iter().rposition(|partial| *partial), Some(lines.len() - 2));
}

fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "[a-z\u{0}äß€😀\r\n]{0,40}".prop_map(String::into_bytes),
        (MAX_PIECE_BYTES - 8..MAX_PIECE_BYTES + 8).prop_map(|length| vec![b'x'; length]),
        proptest::sample::select(vec![
            &b"\xf0\x9f\x98"[..],
            b"\xe2\x82",
            b"\xf0\x80\x80",
            b"\x80\x80\x80\x80"
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn check_pieces(bytes: &[u8], sizes: &[usize]) -> Result<(), TestCaseError> {
    let lines = read_all(bytes, sizes);
    let mut joined = String::new();
    for line in &lines {
        prop_assert!(line.text.len() <= 3 * MAX_PIECE_BYTES && !line.text.contains(['\n', '\0']));
        joined.push_str(&line.text);
        if !line.partial {
            joined.push('\n');
        }
    }
    let mut expected = String::from_utf8_lossy(bytes).replace('\0', "\u{FFFD}");
    if !expected.is_empty() && !expected.ends_with('\n') {
        expected.push('\n');
    }
    prop_assert_eq!(joined, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_joined_are_the_input_decoded(
        bytes in hostile_bytes(),
        sizes in proptest::collection::vec(1_usize..40_000, 1..6),
    ) {
        check_pieces(&bytes, &sizes)?;
    }
}

#[test]
fn lines_are_the_input_decoded_however_it_comes() {
    const WORDS: &[&str] =
        &["\n", "\r\n", "\0", "\u{1b}[31m", "€", "😀", "{\"type\":\"result\"}\n", "xxxxxxxxxxxxxxxx"];
    fuzz("output_lines", DEFAULT_CASES, WORDS, |bytes| {
        // Once so that the longest piece ends somewhere in the bytes.
        let long = [&vec![b'x'; MAX_PIECE_BYTES - bytes.len().min(100) / 2], bytes].concat();
        check_pieces(bytes, &[1])?;
        check_pieces(bytes, &[3, 1, 50])?;
        check_pieces(&long, &[9_000])
    });
}

async fn pump_all(stdout: &[u8], stderr: &[u8], limit_bytes: u64) -> (Vec<Batch>, PumpReport) {
    let (tx, mut rx) = mpsc::channel(1);
    let receive = async {
        let mut batches = Vec::new();
        while let Some(batch) = rx.recv().await {
            batches.push(batch);
        }
        batches
    };
    tokio::join!(receive, pump(stdout, stderr, limit_bytes, tx))
}

#[test]
fn both_streams_arrive_complete_and_in_order_in_few_batches() {
    let numbered = |name: &str| (0..1_000).map(|n| format!("{name} {n}\n")).collect::<String>();
    let (out, err) = (numbered("out"), numbered("err"));
    let (batches, report) = block_on(pump_all(out.as_bytes(), err.as_bytes(), u64::MAX));
    for (stream, sent) in [(Stream::Stdout, &out), (Stream::Stderr, &err)] {
        let lines = batches.iter().flat_map(|batch| &batch.lines).filter(|line| line.stream == stream);
        assert_eq!(lines.map(|line| format!("{}\n", line.text)).collect::<String>(), *sent);
    }
    assert_eq!(batches.len(), 2_000_usize.div_ceil(BATCH_LINES));
    let kept_bytes = (out.len() + err.len()) as u64;
    assert_eq!(report, PumpReport { lines: 2_000, kept_bytes, dropped_bytes: 0 });
}

#[test]
fn batch_goes_when_its_bytes_are_enough() {
    let line = format!("{}\n", "x".repeat(60_000));
    let (batches, _) = block_on(pump_all(line.repeat(10).as_bytes(), b"", u64::MAX));
    assert_eq!(batches.iter().map(|batch| batch.lines.len()).collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn lone_line_goes_by_its_age_while_the_stream_stays_open() {
    block_on(async {
        let (mut agent, stdout) = duplex(1024);
        let (tx, mut rx) = mpsc::channel(1);
        let pump = tokio::spawn(pump(stdout, empty(), u64::MAX, tx));
        agent.write_all(b"hello\nunfinished").await.unwrap();
        assert_eq!(rx.recv().await.unwrap().lines.len(), 1);
        drop(agent);
        assert_eq!(rx.recv().await.unwrap().lines[0].text, "unfinished");
        assert_eq!(pump.await.unwrap().lines, 2);
    });
}

#[test]
fn output_past_the_limit_is_drained_and_counted() {
    let out = "0123456\n".repeat(100_000);
    let (batches, report) = block_on(pump_all(out.as_bytes(), b"", 80));
    assert_eq!(batches.len(), 2);
    assert_eq!((batches[0].lines.len(), batches[0].truncated), (10, Some(Truncated { dropped_bytes: 8 })));
    assert_eq!(batches[1].lines, []);
    assert_eq!(batches[1].truncated, Some(Truncated { dropped_bytes: 800_000 - 80 }));
    assert_eq!(report, PumpReport { lines: 10, kept_bytes: 80, dropped_bytes: 800_000 - 80 });
}

#[test]
fn full_channel_holds_the_agent_back() {
    block_on(async {
        let (mut agent, stdout) = duplex(1024);
        let (tx, mut rx) = mpsc::channel(1);
        let pump = tokio::spawn(pump(stdout, empty(), u64::MAX, tx));
        let flood = tokio::spawn(async move {
            for _ in 0..10 * BATCH_LINES {
                agent.write_all(b"x\n").await.unwrap();
            }
        });
        // With the clock paused, this returns once nothing else can run: the agent is blocked for want of a receiver.
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(!flood.is_finished());
        let mut lines = 0;
        while let Some(batch) = rx.recv().await {
            lines += batch.lines.len();
        }
        assert_eq!(lines, 10 * BATCH_LINES);
        flood.await.unwrap();
        assert_eq!(pump.await.unwrap().dropped_bytes, 0);
    });
}

#[test]
fn pipes_are_drained_when_nobody_receives() {
    let out = "x\n".repeat(5_000);
    let report = block_on(async {
        let (tx, rx) = mpsc::channel(1);
        drop(rx);
        pump(out.as_bytes(), &b"y\n"[..], u64::MAX, tx).await
    });
    assert_eq!(report, PumpReport { lines: 0, kept_bytes: 0, dropped_bytes: 10_002 });
}
