//! Making a connection whose key is made here, so that no secret is ever shown, copied or sent.
//!
//! ```text
//!   here: key, state ──link──► the person's wallet: "may Bursar spend up to ...?" ── yes
//!                                   │
//!   here: wait  ◄── relay ◄── the wallet's signed info event (13194), which names our key in a `p` tag
//! ```
//!
//! These are the drafts around NIP-47 (client-created secret). The relay sees our public key and so could answer in a
//! wallet's place; it does not see the `state` that stands in the link. An answer that repeats the state is certain; one
//! with another state is passed over; one without is taken if no second wallet answers within a moment, and the person is
//! told. A false wallet gains nothing but knowledge of what is bought: it would pay with its own money.

use std::{sync::Arc, time::Duration};

use nostr::{
    event::Event,
    key::{Keys, PublicKey, SecretKey},
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use url::{Url, form_urlencoded};

use super::{
    Pace,
    cipher::INFO,
    dial::Dial,
    exchange::Relays,
    fingerprint,
    frame::Wanted,
    relay::Parties,
    uri::{self, NwcUri},
};
use crate::{
    clock::Clock,
    money::Amount,
    secret::{Secret, looks_secret},
};

/// What the connection is to be allowed, as the drafts name it.
const METHODS: [&str; 6] =
    ["pay_invoice", "get_balance", "get_info", "lookup_invoice", "list_transactions", "make_invoice"];

/// How long a second wallet is waited for after an answer that does not repeat the state.
const SETTLE: Duration = Duration::from_secs(2);

/// The name under which the wallet shows the connection.
const NAME: &str = "Bursar";

/// What the wallet is asked to allow. It is a wish: the person decides in the wallet.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    /// The most that may be spent in each period.
    pub most: Option<Amount>,
    /// The period: `never`, `daily`, `weekly`, `monthly`, `yearly`.
    pub renewal: Option<&'static str>,
}

/// A connection that was begun and that no wallet has answered yet. Holds a private key.
pub struct Invitation {
    keys: Keys,
    relays: Vec<Url>,
    state: String,
}

/// An invitation as it is kept between two runs.
#[derive(Serialize, Deserialize)]
struct Kept {
    key: Secret,
    relays: Vec<Url>,
    state: String,
}

/// The wallet that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    wallet: PublicKey,
    relays: Vec<Url>,
}

/// What was heard on the relays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// One wallet. `certain` when it repeated the link's state, which no relay has seen.
    One {
        /// The wallet.
        answer: Answer,
        /// Whether it proved that it saw the link.
        certain: bool,
    },
    /// Several that did not prove anything: one of them is false.
    Several,
}

/// Why a pasted answer is not one. No variant holds anything of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// It holds a secret.
    #[error(
        "that is a whole connection string with a secret in it: stop here, and run `bursar wallet add nwc --paste`"
    )]
    Secret,
    /// It holds no key.
    #[error(
        "no wallet key can be read there: paste the wallet's public key (npub1... or 64 hex digits), or the address it sent you to"
    )]
    NoKey,
    /// It answers another link.
    #[error("that is the answer to another link than this one")]
    OtherState,
}

impl Invitation {
    /// Makes a key and a state. `None` without relays or with one that is not a `wss://` address (`ws://` for this machine).
    pub fn new<R: AsRef<str>>(relays: &[R]) -> Option<Invitation> {
        let relays: Vec<Url> = relays.iter().map(|r| uri::read_relay(r.as_ref())).collect::<Option<_>>()?;
        if relays.is_empty() {
            return None;
        }
        let state = data_encoding::HEXLOWER.encode(&crate::random::<16>());
        Some(Invitation { keys: Keys::generate(), relays, state })
    }

    /// Reads what [`Invitation::kept`] wrote.
    pub fn read(text: &Secret) -> Option<Invitation> {
        let kept: Kept = serde_json::from_str(text.expose()).ok()?;
        let relays: Vec<Url> = kept.relays.iter().map(|r| uri::read_relay(r.as_str())).collect::<Option<_>>()?;
        let keys = Keys::new(SecretKey::parse(kept.key.expose()).ok()?);
        (!relays.is_empty()).then_some(Invitation { keys, relays, state: kept.state })
    }

    /// The text to keep until the wallet answers. Secret.
    pub fn kept(&self) -> Secret {
        let kept = Kept {
            key: Secret::new(self.keys.secret_key().to_secret_hex()),
            relays: self.relays.clone(),
            state: self.state.clone(),
        };
        Secret::new(serde_json::to_string(&kept).unwrap_or_default())
    }

    /// The relays on which an answer is waited for.
    pub fn relays(&self) -> &[Url] {
        &self.relays
    }

    /// The link for a wallet: `nostr+walletauth://<our public key>?...`. Holds no secret.
    pub fn link(&self, allowance: &Allowance) -> String {
        let mut link = format!("nostr+walletauth://{}?", self.keys.public_key().to_hex());
        let relays = self.relays.iter().map(|r| ("relay", r.as_str().trim_end_matches('/').to_owned()));
        let all = relays.chain([("state", self.state.clone())]).chain(self.wishes(allowance));
        for (n, (name, value)) in all.enumerate() {
            // Some wallets read a plus sign as itself, so a space is %20.
            let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            link.push_str(&format!("{}{name}={}", if n > 0 { "&" } else { "" }, value.replace('+', "%20")));
        }
        link
    }

    /// The same as an address of a wallet's own page, such as Alby Hub's.
    pub fn page(&self, page: &Url, allowance: &Allowance) -> Url {
        let mut page = page.clone();
        {
            let mut query = page.query_pairs_mut();
            query.append_pair("pubkey", &self.keys.public_key().to_hex());
            for (name, value) in self.wishes(allowance) {
                query.append_pair(name, &value);
            }
            query.append_pair("state", &self.state);
        }
        page
    }

    fn wishes(&self, allowance: &Allowance) -> Vec<(&'static str, String)> {
        let mut wishes = vec![("name", NAME.to_owned()), ("request_methods", METHODS.join(" "))];
        wishes.extend(allowance.most.map(|most| ("max_amount", most.atomic().to_string())));
        wishes.extend(allowance.renewal.map(|renewal| ("budget_renewal", renewal.to_owned())));
        wishes
    }

    /// Waits until a wallet answers on a relay, for as long as the caller lets it. `unreachable` is called once when no
    /// relay can be reached; trying goes on.
    pub async fn answered(
        &self,
        dial: &Arc<dyn Dial>,
        clock: &Clock,
        pace: Pace,
        unreachable: impl FnOnce(),
    ) -> Option<Found> {
        let us = Parties { us: self.keys.clone(), wallet: None };
        let relays = Relays::new(&self.relays, &us, dial, clock, pace);
        let wanted =
            Wanted { author: None, kind: INFO, answers: None, reader: Some(self.keys.public_key()), stored: None };
        let mut exchange = relays.open(wanted, None)?;
        let (mut first, mut until, mut unreachable) = (None::<Answer>, None::<Instant>, Some(unreachable));
        loop {
            let heard = match until {
                Some(until) => match timeout_at(until, exchange.next()).await {
                    Ok(heard) => heard,
                    Err(_) => return first.map(|answer| Found::One { answer, certain: false }),
                },
                None => exchange.next().await,
            };
            if let Some(event) = heard {
                let answer = Answer { wallet: event.pubkey, relays: self.relays_of(&event) };
                match self.state_of(&event) {
                    Some(true) => return Some(Found::One { answer, certain: true }),
                    Some(false) => {}
                    None if first.as_ref().is_some_and(|first| first.wallet != answer.wallet) => {
                        return Some(Found::Several);
                    }
                    None => {
                        first = Some(answer);
                        until = until.or(Some(Instant::now() + SETTLE));
                    }
                }
            }
            if exchange.all_failed(1)
                && let Some(tell) = unreachable.take()
            {
                tell();
            }
        }
    }

    /// Whether an answer repeats our state; `None` when it names none.
    fn state_of(&self, event: &Event) -> Option<bool> {
        let tag = event.tags.iter().find(|tag| tag.kind() == "state")?;
        Some(tag.content() == Some(self.state.as_str()))
    }

    /// The relay that the wallet prefers, where its `p` tag names one, then those of the link.
    fn relays_of(&self, event: &Event) -> Vec<Url> {
        let ours = self.keys.public_key().to_hex();
        let named =
            event.tags.iter().map(|tag| tag.as_slice()).filter(|tag| {
                tag.first().is_some_and(|kind| kind == "p") && tag.get(1).is_some_and(|key| *key == ours)
            });
        let hints = named.filter_map(|tag| uri::read_relay(tag.get(2)?));
        self.together(hints.take(1))
    }

    /// Relays that a wallet names, then ours. A stranger must not send us to this machine, unless we are there already.
    fn together(&self, hints: impl Iterator<Item = Url>) -> Vec<Url> {
        let here = self.relays.iter().all(uri::is_loopback);
        let mut relays: Vec<Url> = hints.filter(|hint| here || !uri::is_loopback(hint)).collect();
        relays.extend(self.relays.iter().cloned());
        let mut unique: Vec<Url> = Vec::new();
        for relay in relays {
            if !unique.contains(&relay) {
                unique.push(relay);
            }
        }
        unique
    }

    /// Reads what a person pasted: the wallet's public key, or the address to which its page sent them.
    ///
    /// # Errors
    /// [`BadAnswer`], which quotes nothing.
    pub fn read_answer(&self, text: &str) -> Result<Answer, BadAnswer> {
        let text = text.trim();
        if let Some(wallet) = uri::read_wallet_key(text) {
            return Ok(Answer { wallet, relays: self.relays.clone() });
        }
        let (head, query) = text.split_once(['?', '#']).ok_or(BadAnswer::NoKey)?;
        let head = head.rsplit(['/', ':']).next().unwrap_or_default();
        let (mut wallet, mut hints) = (uri::read_wallet_key(head), Vec::new());
        for (name, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
            match &*name {
                "secret" => return Err(BadAnswer::Secret),
                "state" if value != self.state => return Err(BadAnswer::OtherState),
                "pubkey" | "wallet_pubkey" => wallet = uri::read_wallet_key(&value),
                "relay" => hints.extend(uri::read_relay(&value)),
                _ => {}
            }
        }
        if looks_secret(query) {
            return Err(BadAnswer::Secret);
        }
        Ok(Answer { wallet: wallet.ok_or(BadAnswer::NoKey)?, relays: self.together(hints.into_iter().take(4)) })
    }

    /// The connection string with this wallet. Secret.
    pub fn string(&self, answer: &Answer) -> Secret {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for relay in &answer.relays {
            query.append_pair("relay", relay.as_str());
        }
        query.append_pair("secret", &self.keys.secret_key().to_secret_hex());
        Secret::new(format!("nostr+walletconnect://{}?{}", answer.wallet.to_hex(), query.finish()))
    }
}

impl Answer {
    /// The wallet's public key, for a person to compare.
    pub fn wallet_key(&self) -> String {
        self.wallet.to_hex()
    }
}

impl NwcUri {
    /// The public fingerprint of the connection, as [`Wallet::id`](crate::wallet::Wallet::id) gives it.
    pub fn id(&self) -> String {
        fingerprint(&self.wallet(), &self.keys().public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: &str = "b889ff5b1513b641e2a139f661a661364979c5beee91842f8f0ef42ab558e9d4";

    fn invitation() -> Invitation {
        Invitation::new(&["wss://relay.example/v1"]).unwrap()
    }

    #[test]
    fn a_link_and_a_page_name_the_key_and_the_wishes_and_never_the_secret() {
        let invitation = invitation();
        let allowance = Allowance { most: Some(Amount::msat(21_000_000).unwrap()), renewal: Some("monthly") };
        let page = Url::parse("https://hub.example/apps/new?theme=dark").unwrap();
        for text in [invitation.link(&allowance), invitation.page(&page, &allowance).to_string()] {
            assert!(text.contains(&invitation.keys.public_key().to_hex()), "{text}");
            assert!(!text.contains(&invitation.keys.secret_key().to_secret_hex()), "{text}");
            assert!(text.contains("max_amount=21000000&budget_renewal=monthly"), "{text}");
            assert!(text.contains(&invitation.state), "{text}");
        }
        let link = invitation.link(&Allowance::default());
        assert!(link.contains("?relay=wss%3A%2F%2Frelay.example%2Fv1&state="), "{link}");
        assert!(link.contains("request_methods=pay_invoice%20get_balance%20get_info%20lookup"), "{link}");
    }

    #[test]
    fn what_is_kept_is_read_back_and_makes_the_same_connection() {
        let made = invitation();
        let again = Invitation::read(&made.kept()).unwrap();
        let answer = made.read_answer(WALLET).unwrap();
        assert_eq!(made.string(&answer), again.string(&answer));
        let uri = NwcUri::parse(&made.string(&answer)).unwrap();
        assert_eq!(uri.wallet().to_hex(), WALLET);
        assert_eq!(uri.keys().public_key(), made.keys.public_key());
        assert!(Invitation::read(&Secret::new("{}")).is_none());
        assert!(Invitation::new(&["https://relay.example"]).is_none());
        assert!(Invitation::new(&[] as &[&str]).is_none());
    }

    #[test]
    fn a_pasted_answer_is_a_key_or_an_address_and_never_a_secret() {
        let ours = invitation();
        let read = |text: &str| ours.read_answer(text);
        assert_eq!(read(&format!(" {WALLET}\n")).unwrap().wallet_key(), WALLET);
        let other = format!("https://app.example/cb?pubkey={WALLET}&relay=wss://two.example&lud16=a@b.example");
        let relays: Vec<_> = read(&other).unwrap().relays.iter().map(Url::to_string).collect();
        assert_eq!(relays, ["wss://two.example/", "wss://relay.example/v1"]);
        assert!(read(&format!("nostr+walletconnect://{WALLET}?relay=wss://two.example")).is_ok());
        let here = format!("https://app.example/cb?pubkey={WALLET}&relay=ws://127.0.0.1:1");
        assert_eq!(read(&here).unwrap().relays.len(), 1, "a stranger sent us to this machine");
        let whole = format!("nostr+walletconnect://{WALLET}?relay=wss://two.example&secret={WALLET}");
        assert_eq!(read(&whole), Err(BadAnswer::Secret));
        assert_eq!(read(&format!("x?pubkey={WALLET}&state=other")), Err(BadAnswer::OtherState));
        for bad in ["", "hello", "https://app.example/cb?pubkey=zz", "?"] {
            assert_eq!(read(bad), Err(BadAnswer::NoKey), "{bad}");
        }
    }
}
