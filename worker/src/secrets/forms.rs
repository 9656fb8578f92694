//! The forms in which a secret turns up: as it is, as a string in JSON has it, and in base64 wherever it begins in there.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use makima_shared::domain::MIN_SECRET_BYTES;

/// Returns the forms of a whole value. Blanks around it, such as the end of a file that it came from, are no part of it.
pub(super) fn of_whole(value: &str) -> Vec<Vec<u8>> {
    let value = value.trim();
    let mut forms = vec![value.as_bytes().to_vec(), in_json(value)];
    forms.extend(in_base64(value.as_bytes()));
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Returns the forms without a line's end: those of the whole value, and each of its lines that is long enough to tell
/// anything.
pub(super) fn of_lines(value: &str) -> Vec<Vec<u8>> {
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_SECRET_BYTES);
    let of_lines = lines.flat_map(|line| [line.as_bytes().to_vec(), in_json(line)]);
    let mut forms: Vec<_> = of_whole(value).into_iter().chain(of_lines).collect();
    forms.retain(|form| !form.contains(&b'\n'));
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// Returns what stands between the quotes.
fn in_json(value: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

/// Returns the digits that the value alone decides, for each of the three places in a group where it may begin.
fn in_base64(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let padded = [&[0; 2][..before], value].concat();
        let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.push(engine.encode(&padded).as_bytes()[first..end].to_vec());
        }
    }
    forms
}
