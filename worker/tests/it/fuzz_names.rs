//! Fuzz targets: addresses of repositories and names of branches, as git would read them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::process::Command;

use makima_shared::domain::{BranchName, RepositoryUrl};
use proptest::prelude::*;

use crate::fuzzing::{DEFAULT_CASES, fuzz};

/// What git takes an address for (`connect.c` and `transport.c`).
#[derive(Debug, PartialEq)]
enum Taken {
    /// A program `git-remote-<name>` would be run.
    Helper,
    /// With what it says after `%41` was decoded: scheme, user with password, host.
    Url(String, Option<String>, String),
    /// `user@host:path`: user and host, path.
    Ssh(String, String),
    Path,
}

fn taken_by_git(text: &str) -> Taken {
    let is_scheme =
        |(at, c): (usize, char)| c.is_ascii_alphanumeric() || at > 0 && matches!(c, '+' | '-' | '.');
    let rest = text.char_indices().find(|found| !is_scheme(*found)).map_or("", |(at, _)| &text[at..]);
    if rest.starts_with("::") {
        return Taken::Helper;
    }
    if let Some(after) = rest.strip_prefix("://") {
        let scheme = text[..text.len() - rest.len()].to_owned();
        // http(s) is read by curl.
        let ends: &[char] =
            if scheme.to_ascii_lowercase().starts_with("http") { &['/', '?', '#'] } else { &['/'] };
        let authority = decoded(after.split(ends).next().unwrap());
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host.to_owned()),
            None => (None, authority),
        };
        return Taken::Url(scheme, user, host);
    }
    match (text.find(':'), text.find('/')) {
        (Some(colon), slash) if slash.is_none_or(|slash| colon < slash) => {
            Taken::Ssh(text[..colon].to_owned(), text[colon + 1..].to_owned())
        }
        _ => Taken::Path,
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).1,
            None => (bytes.push(*first), rest = after).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_odd(text: &str) -> bool {
    text.starts_with('-') || text.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[test]
fn no_accepted_address_is_anything_else_to_git() {
    const WORDS: &[&str] = &[
        "https://",
        "http://",
        "ssh://",
        "file://",
        "HTTPS://",
        "https:",
        "file:",
        "ext::",
        "fd::",
        "git://",
        "git@",
        "host",
        "-",
        "-oProxyCommand=x",
        "--upload-pack=x",
        "@",
        ":",
        "::",
        "/",
        "//",
        "///",
        "..",
        "%2d",
        "%0a",
        "%40",
        "%3A",
        "%2F",
        "[::1]",
        "localhost",
        "?",
        "#",
        "\\",
        "a.git",
        ":22",
        "user:password@",
        "~",
    ];
    fuzz("repository_url", DEFAULT_CASES, WORDS, |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return Ok(()) };
        for allow_local in [false, true] {
            let Ok(url) = RepositoryUrl::parse(text, allow_local) else { continue };
            prop_assert_eq!(url.as_str(), text);
            prop_assert_eq!(RepositoryUrl::parse(&url.to_string(), allow_local), Ok(url));
            prop_assert!(!is_odd(text) && text.len() <= 2048);
            match taken_by_git(text) {
                Taken::Helper => prop_assert!(false, "a helper would be run"),
                Taken::Path => prop_assert!(allow_local && text.starts_with('/')),
                Taken::Ssh(address, path) => {
                    let (user, host) = address.split_once('@').unwrap_or(("git", &address));
                    prop_assert!(!is_odd(user) && !is_odd(host) && !is_odd(&path) && !user.is_empty());
                    prop_assert!(
                        !host.is_empty() && !host.contains(['@', ':', '/', '%']) && !path.is_empty()
                    );
                }
                Taken::Url(scheme, user, host) => {
                    let scheme = scheme.to_ascii_lowercase();
                    prop_assert!(["https", "http", "ssh", "file"].contains(&&*scheme), "{}", scheme);
                    prop_assert!(
                        !is_odd(&host) && !user.as_deref().is_some_and(is_odd),
                        "{:?} {:?}",
                        user,
                        host
                    );
                    match scheme.as_str() {
                        "file" => prop_assert!(allow_local && host.is_empty() && user.is_none()),
                        "ssh" => {
                            prop_assert!(!user.is_some_and(|user| user.contains(':')) && !host.is_empty())
                        }
                        _ => prop_assert!(user.is_none() && !host.is_empty()),
                    }
                }
            }
        }
        Ok(())
    });
}

#[test]
fn every_accepted_branch_is_one_to_git() {
    const WORDS: &[&str] = &[
        "a",
        "main",
        "feature/",
        "/",
        "//",
        ".",
        "..",
        "-",
        "--",
        "@",
        "@{",
        "{",
        ".lock",
        ".LOCK",
        "~1",
        "^",
        ":",
        "?",
        "*",
        "[",
        "\\",
        " ",
        "HEAD",
        "refs/heads/",
        "refs/",
        "heads/",
        "@{-1}",
        "makima/",
        "FETCH_HEAD",
        "ü",
    ];
    // Shrinking comes back to the same names again and again.
    let known = RefCell::new(HashSet::new());
    fuzz("branch_name", DEFAULT_CASES, WORDS, |bytes| {
        let Ok(text) = str::from_utf8(bytes) else { return Ok(()) };
        let Some(branch) = BranchName::parse(text) else { return Ok(()) };
        prop_assert_eq!(branch.as_str(), text);
        let reference = format!("refs/heads/{text}");
        prop_assert!(git2::Reference::is_valid_name(&reference), "{}", reference);
        prop_assert!(text.len() <= 200 && !is_odd(text));
        if known.borrow_mut().insert(text.to_owned()) {
            let mut git = Command::new("git");
            let output = git.args(["check-ref-format", "--branch", text]).current_dir("/").output().unwrap();
            prop_assert!(output.status.success());
            let printed = String::from_utf8(output.stdout).unwrap();
            prop_assert_eq!(printed.trim_end_matches('\n'), text);
        }
        Ok(())
    });
}
