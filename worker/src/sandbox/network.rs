//! What agents are told of a proxy.

use makima_shared::config::NetworkMode;

/// The variables that programs look for a proxy in; curl reads `http_proxy` in small letters alone.
const VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Returns the variables that name the proxy, if there is one. Whoever does not heed them reaches the network as ever.
pub(crate) fn proxy_variables(network: &NetworkMode) -> impl Iterator<Item = (String, String)> {
    let url = match network {
        NetworkMode::Proxy(url) => Some(url.clone()),
        NetworkMode::On | NetworkMode::Off => None,
    };
    url.into_iter().flat_map(|url| VARIABLES.map(|name| (name.to_owned(), url.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_named_in_every_way_that_programs_look_for_it_and_nothing_without_one() {
        let url = "http://proxy:3128".to_owned();
        let named: Vec<_> = proxy_variables(&NetworkMode::Proxy(url.clone())).collect();
        assert_eq!(named.len(), VARIABLES.len());
        assert!(named.contains(&("https_proxy".to_owned(), url)));
        assert_eq!(proxy_variables(&NetworkMode::On).chain(proxy_variables(&NetworkMode::Off)).count(), 0);
    }
}
