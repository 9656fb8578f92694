//! Names that git takes nothing by, those that Windows would read as `.git`, and no symbolic link by: those that
//! Windows would read as `.gitmodules`. A patch with such a link is refused as a whole, so that all other work would be
//! lost with it.
//!
//! The rules are those of git's `verify_path` (`read-cache.c`) and `is_ntfs_dotgitmodules` (`path.c`), and the tests compare
//! with git itself.

const NAME: &[u8] = b"gitmodules";
/// How the short name begins that NTFS falls back to when `gitmod~1` to `gitmod~4` are taken.
const FALLBACK: &[u8; 6] = b"gi7eba";

/// Tells whether git refuses whatever is at `path` (`is_ntfs_dotgit`).
pub(in crate::workspace) fn is_in_git_dir(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|name| {
        let begin = [&b".git"[..], b"git~1"]
            .into_iter()
            .find(|begin| name.get(..begin.len()).is_some_and(|found| found.eq_ignore_ascii_case(begin)));
        let rest = begin.map(|begin| name[begin.len()..].iter().find(|byte| !matches!(byte, b' ' | b'.')));
        matches!(rest, Some(None | Some(b':' | b'\\')))
    })
}

/// Tells whether git refuses a symbolic link at `path`.
pub(in crate::workspace) fn is_refused(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        let is_last = names.peek().is_none();
        // A directory of that very name counts as well; and git does not look where a name ends if a colon comes first.
        let is_plain = name.eq_ignore_ascii_case(b".gitmodules");
        if is_plain || (is_last || name.contains(&b':')) && is_modules(name, is_last) {
            return true;
        }
    }
    false
}

fn is_modules(name: &[u8], is_last: bool) -> bool {
    let after = |count: usize| is_ignored_end(&name[count..], is_last);
    let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    if name.first() == Some(&b'.')
        && name.get(1..=NAME.len()).is_some_and(|rest| rest.eq_ignore_ascii_case(NAME))
    {
        return after(1 + NAME.len());
    }
    if begins(&NAME[..6]) && matches!(name.get(6..8), Some([b'~', b'1'..=b'4'])) {
        return after(8);
    }
    is_fallback(name) && after(8)
}

/// Tells whether the first eight bytes are a tilde and digits behind some of [`FALLBACK`].
fn is_fallback(name: &[u8]) -> bool {
    let Some(short) = name.get(..8) else { return false };
    let Some(tilde) = short.iter().position(|byte| *byte == b'~') else { return false };
    let (begin, digits) = (&short[..tilde], &short[tilde + 1..]);
    tilde <= FALLBACK.len()
        && begin.eq_ignore_ascii_case(&FALLBACK[..tilde])
        && matches!(digits.first(), Some(b'1'..=b'9'))
        && digits.iter().all(u8::is_ascii_digit)
}

/// Tells whether Windows would leave `end` off a name: spaces and dots, and all from a colon on.
fn is_ignored_end(end: &[u8], is_last: bool) -> bool {
    let rest = end.iter().find(|byte| !matches!(byte, b' ' | b'.'));
    rest.map_or(is_last, |byte| *byte == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_reads_as_the_list_of_submodules_are_refused() {
        for path in [
            ".gitmodules",
            "a/.GitModules",
            ".gitmodules. .",
            ".gitmodules::$DATA",
            ".gitmodules:x/link",
            ".gitmodules/link",
            "a/.GITMODULES/b/link",
            ".gitmodules/link",
            "a/.GITMODULES/b/link",
            "gitmod~1",
            "a/GITMOD~4 ",
            "gi7eba~1",
            "gi7eb~10",
            "gi~12345",
            "~1234567",
        ] {
            assert!(is_refused(path.as_bytes()), "{path}");
        }
        for path in [
            "gitmodules",
            ".gitmodules./x",
            ".gitmodulesx",
            ".gitmodule",
            "gitmod~5",
            "gitmod~1x",
            "gi7eba~0",
            "gi7ebab~1",
            "gitmod~1/x",
            "~0234567",
            "gi7eba",
            "",
            "a",
            ".gitmodules~1",
        ] {
            assert!(!is_refused(path.as_bytes()), "{path}");
        }
    }
}
