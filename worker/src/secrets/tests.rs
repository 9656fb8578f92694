//! What is found and scrubbed, wherever it stands and however it is cut.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;
use tokio::io::AsyncReadExt as _;

use super::*;

fn secrets(values: &[&str]) -> Secrets {
    let secret = |(place, value): (usize, &&str)| Secret {
        env: format!("E{place}"),
        name: format!("S{place}"),
        value: SecretValue::parse((*value).to_owned()).unwrap(),
    };
    Secrets::new(values.iter().enumerate().map(secret).collect()).unwrap()
}

#[test]
fn a_value_is_found_as_it_is_in_json_and_in_base64_wherever_it_begins() {
    let value = "p\"ss\\word\u{e9}?>~~";
    let secrets = secrets(&[value]);
    for before in ["", "a", "ab", "abc", "user:"] {
        let whole = format!("{before}{value}{before}");
        let json = serde_json::json!({ "key": whole }).to_string();
        for text in [whole.clone(), json, STANDARD.encode(&whole), URL_SAFE.encode(&whole)] {
            assert_eq!(secrets.find_in(text.as_bytes()), Some("S0"), "{text}");
            let scrubbed = secrets.scrub(&text);
            assert!(
                scrubbed.contains("[secret S0]") && secrets.find_in(scrubbed.as_bytes()).is_none(),
                "{scrubbed}"
            );
        }
    }
    let json = secrets.scrub(&serde_json::json!({ "key": value }).to_string());
    assert_eq!(json, r#"{"key":"[secret S0]"}"#, "what was JSON still is");
    assert_eq!(secrets.find_in(b"p\"ss\\wor"), None);
}

#[test]
fn of_a_value_with_lines_each_long_one_is_scrubbed_and_the_whole_is_what_a_file_may_not_hold() {
    let secrets = secrets(&["-----BEGIN KEY-----\nfirst line of it\nshort\n-----END KEY-----\n"]);
    assert_eq!(secrets.scrub("> first line of it\nshort"), "> [secret S0]\nshort");
    assert_eq!(secrets.find_in(b"-----BEGIN KEY-----\nanother one"), None);
    assert_eq!(
        secrets.find_in(b"x\n-----BEGIN KEY-----\nfirst line of it\nshort\n-----END KEY-----"),
        Some("S0")
    );
}

#[test]
fn the_longer_of_two_values_that_begin_alike_is_named() {
    assert_eq!(secrets(&["12345678", "123456789"]).scrub("a123456789 12345678"), "a[secret S1] [secret S0]");
}

#[test]
fn no_secret_changes_nothing_and_too_much_of_them_is_refused() {
    assert_eq!(Secrets::default().scrub("as it is"), "as it is");
    assert_eq!(Secrets::default().find_in(b"as it is"), None);
    let large = "x".repeat(32 * 1024);
    let secret = |name: &str| Secret {
        env: name.to_owned(),
        name: name.to_owned(),
        value: SecretValue::parse(large.clone()).unwrap(),
    };
    assert!(Secrets::new(["A", "B"].map(secret).to_vec()).is_ok());
    assert!(Secrets::new(["A", "B", "C"].map(secret).to_vec()).is_err());
    assert!(!format!("{:?}", secrets(&["hunter2hunter2"])).contains("hunter2"));
}

/// Reads a stream that comes in pieces of these lengths.
fn read(secrets: &Secrets, text: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut pieces = in_pieces(text, lengths);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut read = Vec::new();
    runtime.block_on(secrets.reader(&mut pieces).read_to_end(&mut read)).unwrap();
    read
}

/// Chains readers, each of which gives one piece at once.
fn in_pieces(text: &[u8], lengths: &[usize]) -> Box<dyn tokio::io::AsyncRead + Unpin> {
    let mut rest = text.to_vec();
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let after = rest.split_off((*length).clamp(1, rest.len()));
        pieces.push(std::mem::replace(&mut rest, after));
    }
    let begin: Box<dyn tokio::io::AsyncRead + Unpin> = Box::new(tokio::io::empty());
    pieces.into_iter().fold(begin, |before, piece| Box::new(before.chain(io::Cursor::new(piece))))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn however_a_stream_is_cut_no_secret_passes_and_nothing_else_is_lost(
        parts in prop::collection::vec(prop_oneof![
            Just("12345678".to_owned()), Just("abcabcabcd".to_owned()), Just("abcabc".to_owned()),
            Just("\n".to_owned()), Just("1234567".to_owned()), "[a-d1-8 \n]{0,40}",
        ], 0..60),
        lengths in prop::collection::vec(1_usize..30, 1..8),
    ) {
        let (text, secrets) = (parts.concat(), secrets(&["12345678", "abcabcabcd"]));
        let scrubbed = String::from_utf8(read(&secrets, text.as_bytes(), &lengths)).unwrap();
        prop_assert!(!scrubbed.contains("12345678") && !scrubbed.contains("abcabcabcd"));
        prop_assert_eq!(scrubbed, secrets.scrub(&text));
    }

    #[test]
    fn a_secret_in_an_endless_line_is_found_at_any_place(before in 60_000_usize..90_000, length in 1_usize..40_000) {
        let secrets = secrets(&["12345678"]);
        let text = [vec![b'x'; before], b"12345678".to_vec(), vec![b'y'; 70_000]].concat();
        let wanted = [vec![b'x'; before], b"[secret S0]".to_vec(), vec![b'y'; 70_000]].concat();
        prop_assert!(read(&secrets, &text, &[length]) == wanted);
    }

    #[test]
    fn what_comes_in_pieces_is_looked_through_as_a_whole(before in 0_usize..40, cut in 1_usize..60) {
        let secrets = secrets(&["12345678"]);
        let text = [vec![b'x'; before], b"12345678".to_vec(), vec![b'y'; 9]].concat();
        let mut watch = secrets.watch();
        let found = text.chunks(cut).filter_map(|piece| watch.see(piece)).count();
        prop_assert!(found > 0);
        prop_assert!(!text[1..].chunks(7).any(|piece| secrets.find_in(piece).is_some()));
    }
}
