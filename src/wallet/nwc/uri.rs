//! The connection string that a wallet hands out.
//!
//! `nostr+walletconnect://<wallet key>?relay=<url>&relay=<url>&secret=<key>&lud16=<address>`, read as wallets really
//! write it: with or without `//`, with the older scheme, relays encoded or not, keys in hex or bech32. It is half of a
//! bearer token, so nothing of it is ever printed, and no error quotes it.

use std::fmt;

use nostr::key::{Keys, PublicKey, SecretKey};
use url::{Host, Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The longest connection string that is read, in bytes.
const LONGEST: usize = 4096;

/// The most relays that one connection may name: each payment is published to all of them.
const MOST_RELAYS: usize = 8;

/// A connection to one wallet: its key, our key, and the relays between us.
#[derive(Clone)]
pub struct NwcUri {
    wallet: PublicKey,
    keys: Keys,
    relays: Vec<Url>,
    lud16: Option<String>,
}

/// Why a text is not a usable connection string. No variant holds anything of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUri {
    /// It starts with something else.
    #[error("the wallet string does not start with nostr+walletconnect://; copy it whole from the wallet")]
    Scheme,
    /// It is longer than any real one.
    #[error("the wallet string is too long to be one")]
    TooLong,
    /// The wallet's public key cannot be read.
    #[error("the wallet string has no readable wallet key before its question mark; copy it whole from the wallet")]
    WalletKey,
    /// The `secret` cannot be read.
    #[error("the wallet string has no readable secret= part; copy it whole from the wallet")]
    SecretKey,
    /// The `secret` stands there twice, differently.
    #[error("the wallet string has two different secret= parts; copy it again from the wallet")]
    TwoSecrets,
    /// There is no `relay`.
    #[error("the wallet string names no relay; copy it whole from the wallet")]
    NoRelay,
    /// There are more relays than Bursar publishes to.
    #[error("the wallet string names more than {MOST_RELAYS} relays")]
    TooManyRelays,
    /// A relay is not a `wss://` address.
    #[error("relay number {0} of the wallet string is not a wss:// address (ws:// is for this machine only)")]
    Relay(usize),
}

impl NwcUri {
    /// Reads a connection string. Relays are all kept, in order, without repeats.
    pub fn parse(text: &Secret) -> Result<NwcUri, BadUri> {
        let text = text.expose().trim();
        if text.len() > LONGEST {
            return Err(BadUri::TooLong);
        }
        let rest = without_scheme(text).ok_or(BadUri::Scheme)?.trim_start_matches('/');
        let (host, query) = rest.split_once('?').unwrap_or((rest, ""));
        let wallet = read_wallet_key(host.trim_end_matches('/')).ok_or(BadUri::WalletKey)?;

        // A plus sign is a plus sign here; only web forms use it for a space.
        let query = Zeroizing::new(query.replace('+', "%2B"));
        let (mut secret, mut relays, mut lud16) = (None::<SecretKey>, Vec::<Url>::new(), None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "relay" => relays.push(read_relay(&value).ok_or(BadUri::Relay(relays.len() + 1))?),
                "relays" => {
                    for one in value.split(',').filter(|one| !one.trim().is_empty()) {
                        relays.push(read_relay(one).ok_or(BadUri::Relay(relays.len() + 1))?);
                    }
                }
                "secret" => {
                    let read = SecretKey::parse(value.trim()).map_err(|_| BadUri::SecretKey)?;
                    if secret.as_ref().is_some_and(|first| *first != read) {
                        return Err(BadUri::TwoSecrets);
                    }
                    secret = Some(read);
                }
                "lud16" if value.len() <= 320 => lud16 = Some(value.into_owned()),
                _ => {}
            }
            if relays.len() > MOST_RELAYS {
                return Err(BadUri::TooManyRelays);
            }
        }
        let mut unique: Vec<Url> = Vec::with_capacity(relays.len());
        for relay in relays {
            if !unique.contains(&relay) {
                unique.push(relay);
            }
        }
        if unique.is_empty() {
            return Err(BadUri::NoRelay);
        }
        let keys = Keys::new(secret.ok_or(BadUri::SecretKey)?);
        Ok(NwcUri { wallet, keys, relays: unique, lud16 })
    }

    /// The wallet service's public key.
    pub fn wallet(&self) -> PublicKey {
        self.wallet
    }

    /// Our own key pair, which signs and encrypts. Secret.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The relays, `wss://` all, or `ws://` on this machine.
    pub fn relays(&self) -> &[Url] {
        &self.relays
    }

    /// The wallet's Lightning address, where the string names one: untrusted, not cleaned.
    pub fn lud16(&self) -> Option<&str> {
        self.lud16.as_deref()
    }
}

impl fmt::Debug for NwcUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NwcUri([secret])")
    }
}

impl fmt::Display for NwcUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

fn without_scheme(text: &str) -> Option<&str> {
    ["nostr+walletconnect:", "nostrwalletconnect:", "nostr%2Bwalletconnect:"].into_iter().find_map(|scheme| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

pub(super) fn read_wallet_key(text: &str) -> Option<PublicKey> {
    let key = PublicKey::parse(text).ok()?;
    // Thirty-two bytes need not be a point on the curve, and only a point can answer.
    key.xonly().ok().map(|_| key)
}

pub(super) fn read_relay(text: &str) -> Option<Url> {
    let mut url = Url::parse(text.trim()).ok()?;
    let plain = match url.scheme() {
        "wss" => false,
        "ws" => true,
        _ => return None,
    };
    if (plain && !is_loopback(&url)) || url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_fragment(None);
    Some(url)
}

/// Whether a URL's host is this machine by its name or number.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use nostr::nips::nip19::ToBech32;

    use super::*;

    const WALLET: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";
    const SECRET: &str = "71a8c14c1407c113601079c4302dab36460f0ccd0ad506f1f2dc73b5100e4f3c";

    fn parse(text: &str) -> Result<NwcUri, BadUri> {
        NwcUri::parse(&Secret::new(text))
    }

    #[test]
    fn every_spelling_that_wallets_use_is_read_alike() {
        let npub = PublicKey::from_hex(WALLET).unwrap().to_bech32().unwrap();
        let nsec = SecretKey::from_hex(SECRET).unwrap().to_bech32().unwrap();
        let encoded = "relay=wss%3A%2F%2Frelay.example.com%2Fv1";
        for text in [
            format!("nostr+walletconnect://{WALLET}?{encoded}&secret={SECRET}"),
            format!("  NOSTR+WalletConnect://{WALLET}?{encoded}&secret={SECRET}\n"),
            format!("nostr+walletconnect:{WALLET}?{encoded}&secret={SECRET}"),
            format!("nostrwalletconnect://{WALLET}?{encoded}&secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}/?{encoded}&secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}?relay=wss://relay.example.com/v1&secret={SECRET}"),
            format!("nostr+walletconnect://{WALLET}?secret={SECRET}&relays=wss://relay.example.com/v1"),
            format!("nostr+walletconnect://{npub}?{encoded}&secret={nsec}&pubkey={WALLET}"),
        ] {
            let uri = parse(&text).unwrap();
            assert_eq!(uri.wallet().to_hex(), WALLET);
            assert_eq!(uri.keys().secret_key().to_secret_hex(), SECRET);
            assert_eq!(uri.relays().iter().map(Url::as_str).collect::<Vec<_>>(), ["wss://relay.example.com/v1"]);
        }
    }

    #[test]
    fn several_relays_are_kept_once_each_in_order() {
        let uri = parse(&format!(
            "nostr+walletconnect://{WALLET}?relay=wss://a.example&relay=wss://b.example:444/x+y?k=1&relay=wss://a.example/\
             &relays=wss://c.example,wss://b.example:444/x+y?k=1&secret={SECRET}&lud16=me%40example.com"
        ))
        .unwrap();
        let relays: Vec<_> = uri.relays().iter().map(Url::as_str).collect();
        assert_eq!(relays, ["wss://a.example/", "wss://b.example:444/x+y?k=1", "wss://c.example/"]);
        assert_eq!(uri.lud16(), Some("me@example.com"));
    }

    #[test]
    fn plain_text_relays_are_only_for_this_machine() {
        for good in ["ws://127.0.0.1:7777", "ws://localhost", "ws://[::1]:80/x", "wss://10.0.0.1"] {
            assert!(parse(&format!("nostr+walletconnect://{WALLET}?relay={good}&secret={SECRET}")).is_ok(), "{good}");
        }
        for bad in [
            "ws://relay.example.com",
            "ws://10.0.0.1",
            "ws://127.0.0.1.example.com",
            "ws://localhost.example.com",
            "http://127.0.0.1",
            "https://relay.example.com",
            "file:///etc/passwd",
            "wss://user:pass@relay.example.com",
            "relay.example.com",
            "",
        ] {
            let text = format!("nostr+walletconnect://{WALLET}?relay=wss://ok.example&relay={bad}&secret={SECRET}");
            assert_eq!(parse(&text).unwrap_err(), BadUri::Relay(2), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_wallet_string_is_refused_by_its_part() {
        let relay = "relay=wss://a.example";
        for (text, why) in [
            (String::new(), BadUri::Scheme),
            (format!("https://{WALLET}?{relay}&secret={SECRET}"), BadUri::Scheme),
            (format!("nostr+walletconnect://?{relay}&secret={SECRET}"), BadUri::WalletKey),
            (format!("nostr+walletconnect://{}?{relay}&secret={SECRET}", &WALLET[1..]), BadUri::WalletKey),
            (format!("nostr+walletconnect://{}?{relay}&secret={SECRET}", "f".repeat(64)), BadUri::WalletKey),
            (format!("nostr+walletconnect://{WALLET}?{relay}"), BadUri::SecretKey),
            (format!("nostr+walletconnect://{WALLET}?{relay}&secret={}", &SECRET[2..]), BadUri::SecretKey),
            (format!("nostr+walletconnect://{WALLET}?{relay}&secret={}", "0".repeat(64)), BadUri::SecretKey),
            (format!("nostr+walletconnect://{WALLET}?{relay}&secret={SECRET}&secret={WALLET}"), BadUri::TwoSecrets),
            (format!("nostr+walletconnect://{WALLET}?secret={SECRET}"), BadUri::NoRelay),
            (format!("nostr+walletconnect://{WALLET}?{relay}&secret={SECRET}&x={}", "y".repeat(5000)), BadUri::TooLong),
        ] {
            let error = parse(&text).unwrap_err();
            assert_eq!(error, why);
            let said = format!("{error} {error:?}");
            assert!(!said.contains(&WALLET[..8]) && !said.contains(&SECRET[2..10]) && !said.contains("a.example"));
        }
        let nine: String = (0..9).map(|n| format!("relay=wss://r{n}.example&")).collect();
        assert_eq!(
            parse(&format!("nostr+walletconnect://{WALLET}?{nine}secret={SECRET}")).unwrap_err(),
            BadUri::TooManyRelays
        );
    }

    #[test]
    fn nothing_of_the_string_is_ever_printed() {
        let uri = parse(&format!("nostr+walletconnect://{WALLET}?relay=wss://a.example&secret={SECRET}")).unwrap();
        let said = format!("{uri} {uri:?} {uri:#?}");
        for part in [WALLET, SECRET, "a.example"] {
            assert!(!said.contains(part));
        }
    }
}
