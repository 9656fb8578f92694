//! Fuzz targets on stable Rust: readers of what others wrote are given arbitrary bytes, and bytes close to those of a
//! corpus.
//!
//! A corpus is a directory of files, `tests/corpus/<target>/`: each is tried as it stands, and with damage. What a run
//! finds is shrunk, printed, and to be kept there as a file. `MAKIMA_CASES=100000` sets how many cases each target
//! tries.

use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

/// How many cases a target tries if nothing is said; a test that starts processes takes fewer.
pub(crate) const DEFAULT_CASES: u32 = 300;

/// One change to the bytes of a corpus. Places are taken modulo the length.
#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    /// Goes on with the end of another file of the corpus.
    Splice(usize, usize, usize),
    /// Puts another number in the place of one.
    Number(usize, String),
}

/// Numbers at which readers err.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "+7",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999",
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000000001073741824",
];

/// Tries `check` on the corpus of `target` as it stands, then on damaged pieces of it and on arbitrary bytes. `words` mean
/// something to the reader. Panics with the smallest case that fails.
pub(crate) fn fuzz(
    target: &str,
    default_cases: u32,
    words: &'static [&'static str],
    check: impl Fn(&[u8]) -> Result<(), TestCaseError>,
) {
    let corpus = corpus(target);
    for (name, bytes) in &corpus {
        if let Err(error) = check(bytes) {
            panic!("{target}: {name}: {error}");
        }
    }
    let cases =
        std::env::var("MAKIMA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(default_cases);
    let config = ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() };
    let bytes = bytes(corpus.into_iter().map(|(_, bytes)| bytes).collect(), words);
    match TestRunner::new(config).run(&bytes, |bytes| check(&bytes)) {
        Ok(()) => println!("{target}: {cases} cases passed"),
        Err(TestError::Fail(reason, bytes)) => {
            panic!("{target}: {reason}; to be kept in tests/corpus/{target}:\n{}", bytes.escape_ascii())
        }
        Err(TestError::Abort(reason)) => panic!("{target}: {reason}"),
    }
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let entries =
        std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn bytes(corpus: Vec<Vec<u8>>, words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let count = corpus.len();
    let damaged = (0..count, vec(damage(count, words), 0..6)).prop_map(move |(at, damages)| {
        damages.iter().fold(corpus[at].clone(), |bytes, damage| damage.done_to(bytes, &corpus))
    });
    let words = vec(
        prop_oneof![
            3 => word(words),
            1 => vec(any::<u8>(), 0..8),
        ],
        0..12,
    );
    prop_oneof![
        6 => damaged,
        2 => words.prop_map(|words| words.concat()),
        1 => vec(any::<u8>(), 0..200),
    ]
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        5 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::sample::select(&NUMBERS[..]).prop_map(|number| number.as_bytes().to_vec()),
        1 => prop::sample::select(&["\0", "\n", "\r\n", " ", "\u{7f}", "\u{85}", "\u{a0}", "\u{200b}", "\u{feff}", "ü"][..])
            .prop_map(|odd| odd.as_bytes().to_vec()),
    ]
}

fn damage(corpus: usize, words: &'static [&'static str]) -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    prop_oneof![
        2 => (at(), 1_u8..).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        3 => (at(), word(words)).prop_map(|(at, word)| Damage::Insert(at, word)),
        1 => (at(), vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => (at(), 1_usize..40).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (at(), 1_usize..40).prop_map(|(at, count)| Damage::Repeat(at, count)),
        1 => (at(), 0..corpus, at()).prop_map(|(at, other, from)| Damage::Splice(at, other, from)),
        2 => (at(), prop::sample::select(&NUMBERS[..])).prop_map(|(at, number)| Damage::Number(at, number.to_owned())),
    ]
}

impl Damage {
    fn done_to(&self, mut bytes: Vec<u8>, corpus: &[Vec<u8>]) -> Vec<u8> {
        let place = |at: usize, length: usize| at % (length + 1);
        let length = bytes.len();
        match self {
            Self::Flip(at, bits) => {
                if let Some(byte) = bytes.get_mut(place(*at, length)) {
                    *byte ^= bits;
                }
            }
            Self::Insert(at, word) => {
                let at = place(*at, length);
                bytes.splice(at..at, word.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = place(*at, length);
                bytes.drain(at..(at + count).min(length));
            }
            Self::Repeat(at, count) => {
                let at = place(*at, length);
                let piece = bytes[at..(at + count).min(length)].to_vec();
                bytes.splice(at..at, piece);
            }
            Self::Splice(at, other, from) => {
                bytes.truncate(place(*at, length));
                bytes.extend_from_slice(&corpus[*other][place(*from, corpus[*other].len())..]);
            }
            Self::Number(at, number) => replace_number(&mut bytes, *at, number),
        }
        bytes
    }
}

/// Replaces one of the runs of digits in `bytes`.
fn replace_number(bytes: &mut Vec<u8>, at: usize, number: &str) {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let begins: Vec<_> =
        (0..bytes.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1))).collect();
    if let Some(begin) = begins.get(at % begins.len().max(1)) {
        let length = bytes[*begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        bytes.splice(*begin..begin + length, number.bytes());
    }
}
