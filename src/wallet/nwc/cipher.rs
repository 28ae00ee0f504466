//! Which encryption is spoken with a wallet.
//!
//! The wallet says so in an event of kind 13194, signed with its own key. A relay can withhold that event or show an
//! old one, so there is no guess without it, and the best scheme ever seen for the wallet is a floor below which
//! nothing is sent.

use nostr::{
    event::{Event, Kind},
    key::{Keys, PublicKey},
    nips::{nip04, nip44},
};
use zeroize::Zeroizing;

use super::words::cleaned;

/// The kind of the event in which a wallet describes itself.
pub(super) const INFO: Kind = Kind::Custom(13194);

/// A way to encrypt, the weaker first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// NIP-04: old, without authentication of its own. Only for wallets that offer nothing else.
    Nip04,
    /// NIP-44 version 2.
    Nip44,
}

impl Scheme {
    /// The name in NIP-47, also the one to store: `nip04` or `nip44_v2`.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Nip04 => "nip04",
            Scheme::Nip44 => "nip44_v2",
        }
    }

    /// Finds a scheme by its name.
    pub fn from_name(name: &str) -> Option<Scheme> {
        [Scheme::Nip04, Scheme::Nip44].into_iter().find(|s| s.name() == name)
    }

    /// The scheme that a request event declares; none declared means NIP-04.
    pub(super) fn of_request(event: &Event) -> Option<Scheme> {
        match event.tags.iter().find(|tag| tag.kind() == "encryption") {
            None => Some(Scheme::Nip04),
            Some(tag) => Scheme::from_name(tag.content()?),
        }
    }

    /// Encrypts for the wallet. `None` when the text is too long for the scheme.
    pub(super) fn encrypt(self, keys: &Keys, wallet: &PublicKey, text: &str) -> Option<String> {
        match self {
            Scheme::Nip04 => nip04::encrypt(keys.secret_key(), wallet, text).ok(),
            Scheme::Nip44 => nip44::encrypt(keys.secret_key(), wallet, text, nip44::Version::V2).ok(),
        }
    }

    /// Decrypts what the wallet wrote in answer to a request in this scheme.
    ///
    /// The answer's own scheme is seen from its form. A better one is read (some wallets complain in NIP-44 whatever
    /// they were asked in), a weaker one never.
    pub(super) fn decrypt(self, keys: &Keys, wallet: &PublicKey, content: &str) -> Option<Zeroizing<String>> {
        let text = if content.contains("?iv=") {
            if self > Scheme::Nip04 {
                return None;
            }
            nip04::decrypt(keys.secret_key(), wallet, content).ok()?
        } else {
            nip44::decrypt(keys.secret_key(), wallet, content).ok()?
        };
        Some(Zeroizing::new(text))
    }
}

/// What a wallet's signed self-description says.
#[derive(Clone, Debug)]
pub(super) struct Info {
    /// The best scheme it offers that we know; `None` when it offers only others.
    pub scheme: Option<Scheme>,
    /// The methods it names, in any state: some wallets leave them out.
    pub methods: Vec<String>,
    /// What it sends of its own accord, such as `payment_sent`.
    pub notifications: Vec<String>,
    /// The numbered extensions that it knows, such as `321`.
    pub extensions: Vec<String>,
}

impl Info {
    /// Reads an info event, whose author and signature were checked before.
    pub fn read(event: &Event) -> Info {
        let words = |text: &str| -> Vec<String> {
            text.split([' ', ',', '\n', '\t']).filter(|w| !w.is_empty()).take(64).map(cleaned).collect()
        };
        let tag = |name: &str| -> Vec<String> {
            let named = event.tags.iter().filter(|tag| tag.kind() == name);
            named.flat_map(|tag| tag.as_slice().iter().skip(1).flat_map(|value| words(value))).take(64).collect()
        };
        let offered = tag("encryption");
        let tagged = event.tags.iter().any(|tag| tag.kind() == "encryption");
        let scheme = if tagged {
            offered.iter().filter_map(|name| Scheme::from_name(name)).max()
        } else {
            // The specification's own rule for a wallet that says nothing.
            Some(Scheme::Nip04)
        };
        Info {
            scheme,
            methods: words(&event.content),
            notifications: tag("notifications"),
            extensions: tag("extensions").iter().map(|e| e.to_ascii_lowercase()).collect(),
        }
    }

    /// Whether the wallet says that it knows a fee limit. The one that does not is to pass it over, and some may not.
    pub fn caps_fees(&self) -> bool {
        self.extensions.iter().any(|e| ["321", "nwc-321", "max_fee"].contains(&e.as_str()))
    }

    /// Whether the wallet tells of payments that it sent.
    pub fn tells_of_payments(&self) -> bool {
        self.notifications.iter().any(|n| n == "payment_sent")
    }

    /// Whether the wallet may know a method. One that names none is asked.
    pub fn may(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| m == method)
    }
}

#[cfg(test)]
mod tests {
    use nostr::event::{EventBuilder, FinalizeEvent, Tag};

    use super::*;

    fn info(tags: Vec<Tag>, content: &str) -> Info {
        Info::read(&EventBuilder::new(INFO, content).tags(tags).finalize(&Keys::generate()).unwrap())
    }

    #[test]
    fn the_best_offered_scheme_is_chosen_and_an_absent_tag_means_nip04() {
        let tag = |values: &[&str]| vec![Tag::custom("encryption", values.iter().copied())];
        assert_eq!(info(vec![], "pay_invoice").scheme, Some(Scheme::Nip04));
        assert_eq!(info(tag(&["nip44_v2 nip04"]), "").scheme, Some(Scheme::Nip44));
        assert_eq!(info(tag(&["nip04", "nip44_v2"]), "").scheme, Some(Scheme::Nip44));
        assert_eq!(info(tag(&["nip04,nip44_v2"]), "").scheme, Some(Scheme::Nip44));
        assert_eq!(info(tag(&["nip04"]), "").scheme, Some(Scheme::Nip04));
        assert_eq!(info(tag(&["nip99"]), "").scheme, None);
        assert_eq!(info(tag(&[""]), "").scheme, None);
        assert_eq!(info(vec![], "pay_invoice,get_balance get_info").methods.len(), 3);
        let extra =
            info(vec![Tag::custom("extensions", ["02 321"]), Tag::custom("notifications", ["payment_sent"])], "");
        assert!(extra.caps_fees() && extra.tells_of_payments());
        let plain =
            info(vec![Tag::custom("extensions", ["02"]), Tag::custom("notifications", ["payment_received"])], "");
        assert!(!plain.caps_fees() && !plain.tells_of_payments());
    }

    #[test]
    fn an_answer_in_a_weaker_scheme_than_the_request_is_not_read() {
        let (us, wallet) = (Keys::generate(), Keys::generate());
        let (ours, theirs) = (us.public_key(), wallet.public_key());
        let weak = Scheme::Nip04.encrypt(&wallet, &ours, "{}").unwrap();
        let strong = Scheme::Nip44.encrypt(&wallet, &ours, "{}").unwrap();
        let read = |scheme: Scheme, content: &str| scheme.decrypt(&us, &theirs, content).map(|t| t.to_string());
        assert_eq!(read(Scheme::Nip44, &weak), None);
        assert_eq!(read(Scheme::Nip44, &strong), Some("{}".into()));
        assert_eq!(read(Scheme::Nip04, &weak), Some("{}".into()));
        assert_eq!(read(Scheme::Nip04, &strong), Some("{}".into()));
        assert_eq!(read(Scheme::Nip04, "junk"), None);
    }
}
