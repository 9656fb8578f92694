//! The names of files in a patch: as git quotes them, and which of them are taken.

use super::super::RestoreError;
use super::super::snapshot::link_names;
use super::refused;

/// No program could open a longer one (Linux's `PATH_MAX`), and no snapshot has one.
const MAX_PATH_BYTES: usize = 4096;

/// Reads the names of a line `diff --git a/x b/x`, which are the same but for their beginning.
pub(super) fn of_header(names: &[u8]) -> Result<Vec<u8>, RestoreError> {
    let middle = names.len() / 2;
    let is_pair = names.len() % 2 == 1 && names[middle] == b' ';
    let path = is_pair.then(|| (&names[..middle], &names[middle + 1..])).and_then(|(old, new)| {
        let old = unquoted(old)?.strip_prefix(b"a/")?.to_vec();
        (unquoted(new)?.strip_prefix(b"b/")? == old).then_some(old)
    });
    path.filter(|path| is_taken(path)).ok_or_else(|| refused("it names a file that git would not take"))
}

/// Tells whether a line `--- a/x` or `+++ b/x`, without its first word, names the file at `path`. git puts a tab behind a
/// name with a space in it.
pub(super) fn is_label(label: &[u8], side: &[u8], path: &[u8]) -> bool {
    let label = label.strip_suffix(b"\t").unwrap_or(label);
    unquoted(label).is_some_and(|name| name.strip_prefix(side) == Some(path))
}

/// Tells whether git takes a symbolic link at `path`.
pub(super) fn may_be_link(path: &[u8]) -> bool {
    !link_names::is_refused(path)
}

/// Tells whether `path` leads to a file of the tree: not out of it, and not into a git directory, however that is spelt.
fn is_taken(path: &[u8]) -> bool {
    let is_proper = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
    path.len() <= MAX_PATH_BYTES
        && path.split(|byte| *byte == b'/').all(is_proper)
        && !link_names::is_in_git_dir(path)
}

/// Takes the quotes off a name (git's `quote.c`).
fn unquoted(name: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = name.strip_prefix(b"\"") else {
        return (!name.contains(&b'"')).then(|| name.to_vec());
    };
    let quoted = quoted.strip_suffix(b"\"")?;
    let (mut bytes, mut path) = (quoted.iter().copied(), Vec::with_capacity(quoted.len()));
    while let Some(byte) = bytes.next() {
        path.push(match byte {
            b'"' => return None,
            b'\\' => escaped(&mut bytes)?,
            byte => byte,
        });
    }
    Some(path)
}

/// Reads what stands for one byte behind a backslash.
fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match bytes.next()? {
        b'a' => 0x07,
        b'b' => 0x08,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'r' => b'\r',
        byte @ (b'"' | b'\\') => byte,
        first @ b'0'..=b'3' => {
            let mut digit =
                || bytes.next().filter(|digit| matches!(digit, b'0'..=b'7')).map(|digit| digit - b'0');
            (first - b'0') << 6 | digit()? << 3 | digit()?
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_git_writes_them() {
        for (names, path) in [
            (&b"a/x b/x"[..], &b"x"[..]),
            (b"a/x y b/x y", b"x y"),
            (b"a/x b/x b/x b/x", b"x b/x"),
            (br#""a/\303\274\t\"\\" "b/\303\274\t\"\\""#, b"\xc3\xbc\t\"\\"),
            (b"a/\xff b/\xff", b"\xff"),
        ] {
            assert_eq!(of_header(names).unwrap(), path, "{}", names.escape_ascii());
        }
        for names in [
            &b"a/x b/y"[..],
            b"a/x  b/x",
            b"",
            b"a/ b/",
            b"a/../x b/../x",
            b"a//x b//x",
            b"a/x/ b/x/",
            b"a/.git/x b/.git/x",
            br#""a/\056GIT" "b/\056GIT""#,
            br#""a/\000" "b/\000""#,
            br#""a/\400" "b/\400""#,
            br#""a/x" b/x"#,
            br#"a/x" b/x""#,
            b"b/x a/x",
        ] {
            assert!(of_header(names).is_err(), "{}", names.escape_ascii());
        }
        assert!(is_label(b"b/x y\t", b"b/", b"x y") && !is_label(b"/dev/null", b"b/", b"null"));
    }
}
