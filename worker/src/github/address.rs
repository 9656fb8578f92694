//! Which repository of a GitHub server a task's address names.

use reqwest::Url;

/// A repository as its server calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryName {
    /// Whose it is.
    pub owner: String,
    /// Its name, without `.git`.
    pub name: String,
}

impl RepositoryName {
    /// Reads an https, http or ssh URL or `user@host:path` that names a repository of `host`; nothing for any other address.
    pub(super) fn of_url(url: &str, host: &str) -> Option<Self> {
        let (found, path) = match Url::parse(url) {
            Ok(parsed) if url.contains("://") => {
                matches!(parsed.scheme(), "https" | "http" | "ssh").then_some(())?;
                (parsed.host_str()?.to_owned(), parsed.path().to_owned())
            }
            Ok(_) | Err(_) => {
                let (address, path) = url.split_once(':').filter(|_| !url.contains("://"))?;
                (address.rsplit('@').next()?.to_owned(), path.to_owned())
            }
        };
        let found = found.to_ascii_lowercase();
        // Over port 443, ssh has a host of its own.
        if found != host && found.strip_prefix("ssh.") != Some(host) {
            return None;
        }
        let path = path.strip_prefix('/').unwrap_or(&path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let (owner, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
        (is_word(owner) && is_word(name)).then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= 100 && text.chars().all(plain) && !matches!(text, "." | "..")
}

/// Returns the host of the repositories behind an API: `api.github.com` is that of `github.com`; an Enterprise server
/// has its API below its own host.
pub(super) fn web_host(api: &Url) -> Option<String> {
    let host = api.host_str()?.to_ascii_lowercase();
    Some(host.strip_prefix("api.").map(str::to_owned).unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_address_is_read() {
        for url in [
            "https://github.com/team/project.git",
            "https://github.com/team/project",
            "https://GitHub.com/team/project/",
            "ssh://git@github.com/team/project.git",
            "ssh://git@github.com:22/team/project.git",
            "ssh://git@ssh.github.com:443/team/project.git",
            "git@github.com:team/project.git",
            "git@github.com:/team/project",
        ] {
            let found = RepositoryName::of_url(url, "github.com").map(|found| (found.owner, found.name));
            assert_eq!(found, Some(("team".to_owned(), "project".to_owned())), "{url}");
        }
    }

    #[test]
    fn what_is_not_of_the_host_or_no_repository_is_refused() {
        for url in [
            "https://gitlab.com/team/project.git",
            "https://github.com.evil.org/team/project",
            "git@github.org:team/project.git",
            "https://github.com/team",
            "https://github.com/team/group/project",
            "https://github.com/../project",
            "https://github.com/te%20am/project",
            "/srv/github.com/team/project",
            "file:///srv/project",
            "",
        ] {
            assert_eq!(RepositoryName::of_url(url, "github.com"), None, "{url}");
        }
    }

    #[test]
    fn the_host_of_the_repositories_is_that_of_the_api() {
        let host = |url: &str| web_host(&Url::parse(url).unwrap()).unwrap();
        assert_eq!(host("https://api.github.com"), "github.com");
        assert_eq!(host("https://git.corp.example/api/v3"), "git.corp.example");
        assert_eq!(host("https://api.octo.ghe.com/"), "octo.ghe.com");
    }
}
