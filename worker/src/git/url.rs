//! Keeps credentials of URLs out of messages and out of what agents can read.

/// Replaces `user:password@` in every URL of `text` by `***@`.
pub(crate) fn scrub_credentials(text: &str) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        scrubbed.push_str(before);
        let host_end = after.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..host_end].rfind('@') {
            Some(sign) => {
                scrubbed.push_str("***");
                &after[sign..]
            }
            None => after,
        };
    }
    scrubbed.push_str(rest);
    scrubbed
}

/// Returns `url` without its secret: no user or password for http(s), no password for others (ssh needs its user).
pub(crate) fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Some((secret, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    let user = secret.split_once(':').map_or(secret, |(user, _)| user);
    if scheme.starts_with("http") {
        format!("{scheme}://{host}{path}")
    } else {
        format!("{scheme}://{user}@{host}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_scrubbed_from_messages() {
        let text = "fatal: unable to access 'https://me:s3cret@host/x.git/': no, try ssh://git@host/y";
        let expected = "fatal: unable to access 'https://***@host/x.git/': no, try ssh://***@host/y";
        assert_eq!(scrub_credentials(text), expected);
        assert_eq!(scrub_credentials("no url, me@host"), "no url, me@host");
    }

    #[test]
    fn remote_of_agent_has_no_secret() {
        assert_eq!(without_credentials("https://token@host/x"), "https://host/x");
        assert_eq!(without_credentials("https://a:b@host:1/x@y"), "https://host:1/x@y");
        assert_eq!(without_credentials("ssh://git:pw@host/x"), "ssh://git@host/x");
        assert_eq!(without_credentials("git@host:x/y.git"), "git@host:x/y.git");
        assert_eq!(without_credentials("/srv/x.git"), "/srv/x.git");
    }
}
