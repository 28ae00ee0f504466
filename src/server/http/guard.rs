//! Who may knock at all: exact Host, exact Origin. A page in a browser on this machine is not the user.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri, header};

/// The names this server goes by.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
}

/// Why a request is turned away before anybody looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forged {
    /// It is for another host.
    Host,
    /// It comes from another page.
    Origin,
}

impl Guard {
    /// A guard for a listener; `names` are further names, as clients write them (`purse.example`, `10.0.0.5:8402`).
    pub(super) fn new(at: SocketAddr, names: &[String]) -> Guard {
        let port = at.port();
        let mut hosts: Vec<String> = match at.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => vec![format!("{ip}:{port}"), format!("localhost:{port}")],
            IpAddr::V6(ip) if ip.is_loopback() => vec![format!("[{ip}]:{port}"), format!("localhost:{port}")],
            // It stands for every address of the machine; of these only loopback is known to be ours.
            ip if ip.is_unspecified() => vec![format!("127.0.0.1:{port}"), format!("localhost:{port}")],
            _ => vec![at.to_string()],
        };
        let mut origins: Vec<String> = hosts.iter().map(|host| format!("http://{host}")).collect();
        for name in names {
            let name = name.to_ascii_lowercase();
            // Whoever is in front may speak TLS.
            origins.extend([format!("https://{name}"), format!("http://{name}")]);
            hosts.push(name);
        }
        Guard { hosts, origins }
    }

    /// Checks where a request says it is going and where it comes from.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Forged> {
        let known = |host: &str| self.hosts.iter().any(|h| h.eq_ignore_ascii_case(host));
        let host = only(headers, header::HOST).ok_or(Forged::Host)?;
        if !known(host) || uri.authority().is_some_and(|authority| !known(authority.as_str())) {
            return Err(Forged::Host);
        }
        match headers.contains_key(header::ORIGIN) {
            false => Ok(()),
            true => {
                let origin = only(headers, header::ORIGIN).ok_or(Forged::Origin)?;
                self.origins.iter().any(|o| o == origin).then_some(()).ok_or(Forged::Origin)
            }
        }
    }
}

/// A header that is there once and is text.
pub(super) fn only(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, host: &str, origin: Option<&str>) -> Result<(), Forged> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        guard.check(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn only_the_exact_host_and_the_exact_origin_pass() {
        let guard = Guard::new("127.0.0.1:8402".parse().unwrap(), &[]);
        for host in ["127.0.0.1:8402", "localhost:8402", "LOCALHOST:8402"] {
            assert_eq!(check(&guard, host, None), Ok(()), "{host}");
        }
        for host in ["127.0.0.1", "localhost", "localhost:1", "evil.example:8402", "127.0.0.1.evil.example:8402", ""] {
            assert_eq!(check(&guard, host, None), Err(Forged::Host), "{host}");
        }
        let host = "127.0.0.1:8402";
        for origin in ["http://127.0.0.1:8402", "http://localhost:8402"] {
            assert_eq!(check(&guard, host, Some(origin)), Ok(()), "{origin}");
        }
        for origin in
            ["null", "http://evil.example", "http://127.0.0.1:1", "http://127.0.0.1", "https://127.0.0.1:8402", ""]
        {
            assert_eq!(check(&guard, host, Some(origin)), Err(Forged::Origin), "{origin}");
        }
    }

    #[test]
    fn two_hosts_or_another_one_in_the_address_are_forged() {
        let guard = Guard::new("127.0.0.1:8402".parse().unwrap(), &[]);
        let mut headers = HeaderMap::new();
        assert_eq!(guard.check(&Uri::from_static("/mcp"), &headers), Err(Forged::Host));
        headers.insert(header::HOST, "127.0.0.1:8402".parse().unwrap());
        assert_eq!(guard.check(&Uri::from_static("http://evil.example/mcp"), &headers), Err(Forged::Host));
        headers.append(header::HOST, "evil.example".parse().unwrap());
        assert_eq!(guard.check(&Uri::from_static("/mcp"), &headers), Err(Forged::Host));
    }

    #[test]
    fn a_remote_server_goes_by_the_names_it_was_given() {
        let guard = Guard::new("0.0.0.0:8402".parse().unwrap(), &["purse.example".into()]);
        assert_eq!(check(&guard, "purse.example", Some("https://purse.example")), Ok(()));
        assert_eq!(check(&guard, "127.0.0.1:8402", None), Ok(()));
        assert_eq!(check(&guard, "0.0.0.0:8402", None), Err(Forged::Host));
    }
}
