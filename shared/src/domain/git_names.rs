//! Names of repositories and branches, parsed before git sees them.
//!
//! What git would take for an option, a transport helper (`ext::`) or a revision expression is refused here, so that no
//! later place has to.

use std::fmt;
use std::path::Path;

use url::Url;

/// Where a repository lies: a URL, an scp-like address or, where the configuration allows it, a local path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryUrl(String);

/// Why a text is no repository that makima works on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryUrlError {
    /// No known form.
    #[error("is neither an https, http or ssh URL, nor user@host:path, nor an absolute path")]
    Malformed,
    /// A password would end up in logs and process lists, and so would the token that http(s) takes for a user's name.
    #[error("must not carry credentials: set up a git credential helper on the workers instead")]
    Credentials,
    /// A path of the worker's own machine.
    #[error("is a local path, and repositories.allow_local is off")]
    LocalNotAllowed,
    /// Longer than any sane address.
    #[error("is longer than 2048 bytes")]
    TooLong,
}

impl RepositoryUrl {
    /// Reads a repository's address.
    ///
    /// # Errors
    /// Says why git must not see the text.
    pub fn parse(text: &str, allow_local: bool) -> Result<Self, RepositoryUrlError> {
        if text.len() > 2048 {
            return Err(RepositoryUrlError::TooLong);
        }
        if text.is_empty()
            || text.starts_with('-')
            || text.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(RepositoryUrlError::Malformed);
        }
        if text.contains("://") {
            check_url(text, allow_local)?
        } else {
            check_plain(text, allow_local)?
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_url(text: &str, allow_local: bool) -> Result<(), RepositoryUrlError> {
    let url = Url::parse(text).map_err(|_syntax| RepositoryUrlError::Malformed)?;
    let (scheme, rest) = text.split_once("://").ok_or(RepositoryUrlError::Malformed)?;
    // `Url` takes `https:a://b` for a URL as well; git takes it for a path on the host `https`.
    if !scheme.eq_ignore_ascii_case(url.scheme()) {
        return Err(RepositoryUrlError::Malformed);
    }
    match url.scheme() {
        "https" | "http" => {
            check_authority(text, &url, rest.split(['/', '?', '#']).next().unwrap_or_default())
        }
        // git knows no query here.
        "ssh" => check_authority(text, &url, rest.split('/').next().unwrap_or_default()),
        "file" if rest.starts_with('/') => local(allow_local),
        _ => Err(RepositoryUrlError::Malformed),
    }
}

/// Checks the user and the host of a network address, `authority` being where git looks for them.
fn check_authority(text: &str, url: &Url, authority: &str) -> Result<(), RepositoryUrlError> {
    // `Url` takes `https:///a` for `https://a` and `\` for `/`; git does neither. And git decodes an ssh URL before it looks
    // for user and host.
    let misread = text.contains('\\') || authority.is_empty() || authority.contains(['%', '?', '#']);
    let host = url.host_str().unwrap_or_default();
    if misread || host.is_empty() || host.starts_with('-') || url.username().starts_with('-') {
        return Err(RepositoryUrlError::Malformed);
    }
    let user_info = authority.rsplit_once('@').map(|(user_info, _)| user_info);
    // http(s) takes a token for a user's name.
    let is_secret = user_info.is_some_and(|user| url.scheme() != "ssh" || user.contains(':'));
    if is_secret { Err(RepositoryUrlError::Credentials) } else { Ok(()) }
}

fn check_plain(text: &str, allow_local: bool) -> Result<(), RepositoryUrlError> {
    if Path::new(text).is_absolute() {
        return local(allow_local);
    }
    // The scp-like form `user@host:path`. A second colon right behind the first would be a transport helper.
    let Some((address, path)) = text.split_once(':') else { return Err(RepositoryUrlError::Malformed) };
    let (user, host) = address.split_once('@').unwrap_or(("git", address));
    let word = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    let plausible = word(user) && word(host) && !path.is_empty() && !path.starts_with([':', '-']);
    if plausible { Ok(()) } else { Err(RepositoryUrlError::Malformed) }
}

fn local(allowed: bool) -> Result<(), RepositoryUrlError> {
    if allowed { Ok(()) } else { Err(RepositoryUrlError::LocalNotAllowed) }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The name of a branch, by the rules of `git check-ref-format --branch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchName(String);

impl BranchName {
    /// Reads a branch name; `None` if git would refuse it or take it for something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let forbidden = |c: char| {
            c.is_control() || c.is_whitespace() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
        };
        let component = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && !part.to_ascii_lowercase().ends_with(".lock")
        };
        let legal = text.len() <= 200
            && !text.starts_with('-')
            && !text.ends_with('.')
            && text != "@"
            && text != "HEAD"
            && !text.starts_with("refs/")
            && !text.contains("..")
            && !text.contains("@{")
            && !text.contains(forbidden)
            && text.split('/').all(component);
        legal.then(|| Self(text.to_owned()))
    }

    /// Returns the name without `refs/heads/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_git_would_run_or_misread_is_refused() {
        let refused = [
            "",
            "-x",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "ext::sh",
            "fd::17",
            "https://",
            "https:///path",
            "https://host\\@elsewhere/path",
            "https://host/a\nb",
            "https://host/a b",
            "ftp://host/x",
            "git@host",
            "git@-oProxyCommand=x:y",
            "relative/path",
            "ssh://-oProxyCommand=x/y",
            "ssh://%2doProxyCommand=x/y",
            "ssh://git%3Apassword@host/x",
            "ssh://g?it:password@host/x",
            "ssh://a#b@host/x",
            "https:host://x",
            "file:/x://y",
            "file://localhost/x",
            "file://host/path",
            "git@host::x",
            "C:\\x y",
        ];
        for text in refused {
            assert_eq!(RepositoryUrl::parse(text, true), Err(RepositoryUrlError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn the_usual_forms_are_taken() {
        for text in ["https://host/a/b.git", "ssh://git@host:22/a", "git@host:a/b.git", "host:a"] {
            assert!(RepositoryUrl::parse(text, false).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn local_paths_need_leave() {
        for text in ["/srv/a.git", "file:///srv/a.git"] {
            assert_eq!(RepositoryUrl::parse(text, false), Err(RepositoryUrlError::LocalNotAllowed));
            assert!(RepositoryUrl::parse(text, true).is_ok());
        }
    }

    #[test]
    fn secrets_are_never_taken() {
        for text in [
            "https://u:p@host/a",
            "https://token@host/a",
            "http://token:@host",
            "https://@host/a",
            "HTTPS://t@host?q",
            "ssh://git:p@host/a",
        ] {
            assert_eq!(RepositoryUrl::parse(text, true), Err(RepositoryUrlError::Credentials), "{text}");
        }
        for text in ["https://host/a@b", "https://host?a@b", "ssh://git@host/a", "git@host:a"] {
            assert!(RepositoryUrl::parse(text, false).is_ok(), "{text}");
        }
    }

    #[test]
    fn branch_names_follow_git() {
        for text in ["main", "feature/a-b", "ümlaut", "v1.2", "a@b"] {
            assert!(BranchName::parse(text).is_some(), "{text:?}");
        }
        for text in [
            "",
            "-x",
            "a..b",
            "a b",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "@",
            "a@{b",
            "a\\b",
            "HEAD",
            "refs/heads/a",
            "a\0b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
        ] {
            assert!(BranchName::parse(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_parser_panics_or_lets_an_option_through(text in ".{0,64}") {
            if let Ok(url) = RepositoryUrl::parse(&text, true) {
                prop_assert!(!url.as_str().starts_with('-') && !url.as_str().contains("::"));
            }
            if let Some(branch) = BranchName::parse(&text) {
                prop_assert!(!branch.as_str().starts_with('-') && !branch.as_str().contains(".."));
            }
        }
    }
}
