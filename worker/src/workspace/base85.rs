//! git's base 85 (`base85.c`), in which a patch holds binary files.

const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
/// The value of each byte as a digit.
const VALUES: [u8; 256] = values();
const NO_DIGIT: u8 = u8::MAX;

const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut at = 0;
    while at < DIGITS.len() {
        #[allow(clippy::cast_possible_truncation, reason = "there are 85 digits")]
        let value = at as u8;
        values[DIGITS[at] as usize] = value;
        at += 1;
    }
    values
}

/// Decodes a line, a letter for its length and five digits for each four bytes, to the end of `bytes`. None if it is no such
/// line.
pub(super) fn decode(line: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let (letter, digits) = line.split_first()?;
    let length = usize::from(match letter {
        b'A'..=b'Z' => letter - b'A' + 1,
        b'a'..=b'z' => letter - b'a' + 27,
        _ => return None,
    });
    if digits.len() != length.div_ceil(4) * 5 {
        return None;
    }
    let begin = bytes.len();
    for group in digits.chunks(5) {
        let mut word = 0_u32;
        for digit in group {
            let value = VALUES[usize::from(*digit)];
            if value == NO_DIGIT {
                return None;
            }
            word = word.checked_mul(85)?.checked_add(u32::from(value))?;
        }
        bytes.extend(word.to_be_bytes());
    }
    bytes.truncate(begin + length);
    Some(())
}
