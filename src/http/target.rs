//! The address of a request, judged as far as it can be before a name is resolved.

use std::net::IpAddr;

use url::{Host, Position, Url};

use super::{
    Error, Policy, Settings,
    address::{Standing, standing},
    error::quoted,
};

const MAX_LENGTH: usize = 8192;

const SELLER_PORTS: [u16; 4] = [443, 80, 8080, 8443];

/// Names that never lead to a seller on the public internet, whatever the local resolver says.
const INNER_NAMES: [&str; 5] = ["internal", "local", "home.arpa", "onion", "alt"];

/// Reads an address and judges it by everything that can be known before its name is resolved.
///
/// # Errors
/// [`Error::Refused`], always: nothing was sent or looked up.
pub fn vet_url(policy: Policy, settings: &Settings, text: &str) -> Result<Url, Error> {
    // The parser drops line breaks and tabs in silence; an address that has them was not written in good faith.
    if text.chars().any(char::is_control) {
        return Err(Error::refused("url", "The address contains control characters."));
    }
    let url = Url::parse(text)
        .map_err(|_| Error::refused("url", "This is not a full web address such as https://api.example.com/path."))?;
    vet(policy, settings, &url)?;
    Ok(url)
}

/// Writes an address for a person, at most 200 characters, without what may be secret in it: never the user name or
/// the query, and of an operator's address not the path either, since node providers put keys there.
pub fn shown(policy: Policy, url: &Url) -> String {
    let path = if policy == Policy::Seller { url.path() } else { "" };
    let place = &url[Position::BeforeHost..Position::AfterPort];
    format!("{}://{place}{path}", url.scheme()).chars().take(200).collect()
}

/// Judges an address that is already parsed.
pub(super) fn vet(policy: Policy, settings: &Settings, url: &Url) -> Result<(), Error> {
    if url.as_str().len() > MAX_LENGTH {
        return Err(Error::refused("url", format!("The address is longer than {MAX_LENGTH} characters.")));
    }
    let plain = match (policy, url.scheme()) {
        (_, "https") | (Policy::Operator, "wss") => false,
        (_, "http") | (Policy::Operator, "ws") => true,
        (_, other) => {
            return Err(Error::refused(
                "scheme",
                format!("`{}:` addresses are not fetched, only https.", quoted(other)),
            ));
        }
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::refused("userinfo", "The address carries a user name or password, which is never sent."));
    }
    let host = url.host().ok_or_else(|| Error::refused("url", "The address names no host."))?;
    let here = match host {
        Host::Ipv4(ip) => vet_address(policy, settings, ip.into())?,
        Host::Ipv6(ip) => vet_address(policy, settings, ip.into())?,
        Host::Domain(name) => vet_name(policy, settings, name)?,
    };
    vet_port(policy, settings, url, here)?;
    if plain && !here {
        return Err(Error::refused(
            "plain_text",
            format!("{} would be plain text on the open network; only https is used there.", shown(policy, url)),
        ));
    }
    Ok(())
}

/// Judges one IP address, and says whether it is this machine.
pub(super) fn vet_address(policy: Policy, settings: &Settings, ip: IpAddr) -> Result<bool, Error> {
    match (policy, standing(ip)) {
        (_, Standing::Public) => Ok(false),
        (Policy::Operator, standing) => Ok(standing == Standing::Loopback),
        (Policy::Seller, Standing::Loopback) if settings.allow_loopback => Ok(true),
        (Policy::Seller, Standing::Loopback) => Err(loopback_refused()),
        (Policy::Seller, Standing::Closed(why)) => {
            Err(Error::refused("address", format!("The address is not on the public internet: it is {why}.")))
        }
    }
}

/// Whether a name is this machine's by definition (RFC 6761), whatever a resolver would say.
pub(super) fn is_localhost(name: &str) -> bool {
    ends_with_label(name.strip_suffix('.').unwrap_or(name), "localhost")
}

pub(super) fn loopback_refused() -> Error {
    Error::refused("address", "The address is this machine, which only the operator can allow (allow_loopback).")
}

fn vet_name(policy: Policy, settings: &Settings, name: &str) -> Result<bool, Error> {
    let here = is_localhost(name);
    if policy == Policy::Operator {
        return Ok(here);
    }
    if here && !settings.allow_loopback {
        return Err(loopback_refused());
    }
    let refused = |why: &str| Err(Error::refused("name", format!("`{}` {why}.", quoted(name))));
    // A last dot is refused as well: with it, the same host would be another origin.
    if name.split('.').any(str::is_empty) {
        return refused("is not a host name, or ends with a dot; write it without");
    }
    if here {
        return Ok(true);
    }
    if !name.contains('.') || INNER_NAMES.iter().any(|inner| ends_with_label(name, inner)) {
        return refused("is not a name on the public internet");
    }
    Ok(false)
}

fn vet_port(policy: Policy, settings: &Settings, url: &Url, here: bool) -> Result<(), Error> {
    let port = url.port_or_known_default().unwrap_or(0);
    let open = match policy {
        Policy::Operator => true,
        Policy::Seller => here || SELLER_PORTS.contains(&port) || settings.extra_ports.contains(&port),
    };
    if port != 0 && open {
        return Ok(());
    }
    Err(Error::refused(
        "port",
        format!("Port {port} is not one that sellers use; the operator can add it (extra_ports)."),
    ))
}

fn ends_with_label(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
