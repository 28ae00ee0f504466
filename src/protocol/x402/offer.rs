//! One entry of `accepts`, judged: what it asks to be transferred, and why it cannot be paid.
//!
//! Fields: x402-specification-v2 5.1.2 and v1 5.1; what `extra` means on EVM chains: schemes/exact/scheme_exact_evm.md.

use serde_json::{Map, Value};
use url::Url;

use super::{
    super::{Objection, Offer, Protocol, Rail, Way, World, text::clean},
    Pin,
    challenge::{Entry, Terms, given},
};
use crate::{
    evm::{
        Address,
        assets::{Assets, Chain, Token, chain_named},
        eip3009::Transfer,
        permit2::Taking,
    },
    money::{Amount, Currency},
};

/// The most of a seller's bytes that a payment repeats; a header of more is refused by most servers.
const MAX_ECHO: usize = 48 << 10;

/// An authorization that lives shorter than this may be void before it can be carried to the chain; seconds.
const MIN_LIFE_S: u64 = 10;

/// Nobody's authorization lives longer than this, whatever a seller wants; seconds.
const MAX_LIFE_S: u64 = 86_400;

/// How long an authorization may live where the seller does not say; seconds.
const USUAL_LIFE_S: u64 = 60;

/// What is said of settling before answering.
pub(super) const UPFRONT: &str = "the seller settles before it answers";

/// Judges an entry of terms that came from `asked`.
pub(super) fn offer(terms: &Terms, entry: &Entry, asked: &Url, assets: &Assets) -> Offer {
    let mut offer = Offer { objections: Vec::new(), ..Offer::listed(Protocol::X402, Rail::UNKNOWN, bad("")) };
    let Some(fields) = entry.value.as_object() else {
        offer.objections.push(bad("one of its terms is no object"));
        return offer;
    };
    let mut judge = Judge { fields, extra: Map::new(), objections: Vec::new() };
    match given(fields, "extra") {
        None => {}
        Some(Value::Object(extra)) => judge.extra = extra.clone(),
        Some(_) => judge.objections.push(bad("its \"extra\" is no object")),
    }
    let permit2;
    (offer.rail, permit2) = judge.rail(assets.permit2());
    let chain = judge.chain(&mut offer);
    if chain.is_none() {
        // On a chain that is not known nobody can say how an asset moves.
        offer.rail = Rail::UNKNOWN;
    }
    let token = judge.token(chain, assets, &mut offer);
    let value = judge.value();
    if let (Some((_, currency)), Some(value)) = (&token, value)
        && offer.rail != Rail::UNKNOWN
    {
        offer.price = Amount::new(*currency, value);
    }
    let payee = judge.payee(&mut offer);
    let max_life_s = judge.life();
    if let Some((token, _)) = &token {
        // A permit is signed for Permit2's own domain, so the token's does not matter to it.
        if offer.rail == Rail::EIP3009 {
            judge.domain(token);
        }
        judge.contract(token);
        if payee == Some(token.address) {
            judge.object("bad_payee", "it would pay the token's own contract, where money is lost");
        }
    }
    judge.flow(&mut offer);
    if let Some(Taking::UpTo { .. }) = permit2 {
        offer.remarks.push("the price is the most that it may charge".into());
    }
    offer.remarks.extend(resource_elsewhere(terms, fields, asked));
    let echoed = [Some(&entry.raw), terms.resource.as_ref(), terms.extensions.as_ref()];
    let echoed: usize = echoed.into_iter().flatten().map(String::len).sum();
    if echoed > MAX_ECHO {
        judge.object("too_large", format!("a payment would have to repeat {echoed} bytes, and {MAX_ECHO} are carried"));
    }
    offer.objections = judge.objections;
    if let (Some((token, _)), Some(to), Some(value), Some(max_life_s)) = (token, payee, value, max_life_s)
        && offer.objections.is_empty()
        && (offer.rail == Rail::PERMIT2) == permit2.is_some()
    {
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        offer.way = Way::Pay(Box::new(super::super::Pin::X402(Pin {
            version: terms.version,
            scheme: text("scheme"),
            network: text("network"),
            accepted: entry.raw.clone(),
            resource: terms.resource.clone(),
            extensions: terms.extensions.clone(),
            transfer: Transfer { token, to, value, max_life_s, nonce: None },
            permit2,
        })));
    }
    offer
}

fn bad(say: &str) -> Objection {
    Objection::new("bad_terms", say)
}

/// A seller's words in quotation marks.
fn quoted(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // Its own quotation marks must not end ours.
    format!("\"{}\"", clean(&text, 60).replace('"', "'"))
}

struct Judge<'a> {
    fields: &'a Map<String, Value>,
    extra: Map<String, Value>,
    objections: Vec<Objection>,
}

impl<'a> Judge<'a> {
    fn object(&mut self, code: &'static str, say: impl Into<String>) {
        self.objections.push(Objection::new(code, say));
    }

    /// The way the money would move, told by `scheme` and `extra.assetTransferMethod`; and how Permit2 would take it.
    fn rail(&mut self, permit2: bool) -> (Rail, Option<Taking>) {
        let method = given(&self.extra, "assetTransferMethod").cloned();
        let method_name = method.as_ref().map(|m| m.as_str().unwrap_or("?"));
        match (given(self.fields, "scheme").map(|s| s.as_str().unwrap_or("?")), method_name) {
            (Some("exact"), None | Some("eip3009")) => return (Rail::EIP3009, None),
            (Some("exact"), Some("permit2")) if permit2 => return (Rail::PERMIT2, Some(Taking::Exact)),
            (Some("exact"), Some("permit2")) => {
                self.object("permit2_off", format!("it {PERMIT2_OFF}"));
                return (Rail::PERMIT2, None);
            }
            (Some("upto"), None | Some("permit2")) if permit2 => {
                return (Rail::PERMIT2, self.facilitator().map(|facilitator| Taking::UpTo { facilitator }));
            }
            (Some("upto"), None | Some("permit2")) => {
                self.object("permit2_off", format!("it charges up to its price, which {PERMIT2_OFF}"));
                return (Rail::PERMIT2, None);
            }
            (Some("exact" | "upto"), Some("erc7710")) => {
                self.object("unsupported_method", "it is paid by a smart account's delegation (ERC-7710)");
            }
            (Some("exact" | "upto"), Some(_)) => {
                let method = quoted(&method.unwrap_or_default());
                self.object("unsupported_method", format!("it wants the asset moved by {method}, which is not known"));
            }
            (Some("batch-settlement"), _) => {
                self.object("unsupported_scheme", "it wants a deposit to draw on (scheme batch-settlement)");
            }
            (Some("auth-capture"), _) => {
                self.object("unsupported_scheme", "it wants money put in escrow (scheme auth-capture)");
            }
            (Some(_), _) => {
                let scheme = self.fields.get("scheme").map(quoted).unwrap_or_default();
                self.object("unsupported_scheme", format!("its payment scheme {scheme} is not known"));
            }
            (None, _) => self.object("bad_terms", "it names no payment scheme"),
        }
        (Rail::UNKNOWN, None)
    }

    /// Who alone may carry a payment of the scheme `upto` to the chain.
    fn facilitator(&mut self) -> Option<Address> {
        let named = given(&self.extra, "facilitatorAddress").and_then(|f| f.as_str()?.parse::<Address>().ok());
        let named = named.filter(|address| !address.is_zero());
        if named.is_none() {
            self.object("bad_terms", "it charges up to its price and does not say who may charge (facilitatorAddress)");
        }
        named
    }

    /// The chain, named as CAIP-2 has it (version 2) or by its own name (version 1); either is read in both versions.
    fn chain(&mut self, offer: &mut Offer) -> Option<&'static Chain> {
        let Some(network) = given(self.fields, "network") else {
            self.object("bad_terms", "it names no network");
            return None;
        };
        let chain = network.as_str().and_then(chain_named);
        match chain {
            Some(chain) => {
                offer.network = chain.caip2();
                offer.world = Some(if chain.test { World::Test } else { World::Main });
            }
            None => {
                offer.network = clean(network.as_str().unwrap_or_default(), 60);
                self.object(
                    "unknown_network",
                    format!("it pays on the network {}, which is not known", quoted(network)),
                );
            }
        }
        chain
    }

    /// The token, which must be one that somebody here vouches for: nothing else says how many decimals it has.
    fn token(&mut self, chain: Option<&Chain>, assets: &Assets, offer: &mut Offer) -> Option<(Token, Currency)> {
        let asset = given(self.fields, "asset");
        let address = asset.and_then(|asset| asset.as_str()?.parse::<Address>().ok());
        let shown = asset.and_then(Value::as_str).unwrap_or_default();
        offer.asset = address.map_or_else(|| clean(shown, 60), |address| address.to_string());
        // Where the chain is not known, that is said already.
        let chain = chain?;
        let Some(asset) = asset else {
            self.object("bad_terms", "it names no asset");
            return None;
        };
        let token = address.and_then(|address| assets.find(chain.id, &address));
        if token.is_none() {
            let (shown, chain) = (address.map_or_else(|| quoted(asset), |a| a.to_string()), chain.name);
            self.object("unknown_asset", format!("nobody here knows what one unit of {shown} on {chain} is worth"));
        }
        token
    }

    /// How many atomic units: `amount` in version 2, `maxAmountRequired` in version 1. Either name is read where it is
    /// the only one or both agree, since sellers mix them up and payments only echo it.
    fn value(&mut self) -> Option<u64> {
        let both = [given(self.fields, "amount"), given(self.fields, "maxAmountRequired")];
        let amount = match both {
            [Some(a), Some(b)] if a != b => {
                self.object("ambiguous_amount", format!("it names two prices, {} and {}", quoted(a), quoted(b)));
                return None;
            }
            [a, b] => a.or(b),
        };
        let Some(amount) = amount else {
            self.object("no_amount", "it does not say what it costs");
            return None;
        };
        let digits = match amount {
            Value::String(text) => text.clone(),
            // A float is no count of atomic units, however whole it looks: it may have been rounded on its way.
            Value::Number(number) if number.is_u64() => number.to_string(),
            other => other.to_string(),
        };
        let plain = (1..=78).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        if !plain {
            let say = format!("its price {} is no whole number of the token's smallest units", quoted(amount));
            self.object("bad_amount", say);
            return None;
        }
        match digits.parse::<u64>() {
            Ok(0) => {
                self.object("zero_amount", "it asks for a signature over no money at all");
                None
            }
            Ok(value) if value <= crate::money::MAX_ATOMIC => Some(value),
            _ => {
                self.object("too_much", format!("its price of {} units is beyond all reason", quoted(amount)));
                None
            }
        }
    }

    /// Who is paid.
    fn payee(&mut self, offer: &mut Offer) -> Option<Address> {
        let Some(pay_to) = given(self.fields, "payTo") else {
            self.object("bad_payee", "it does not say who is to be paid");
            return None;
        };
        let text = pay_to.as_str().unwrap_or_default();
        match text.parse::<Address>() {
            Ok(address) if address.is_zero() => {
                self.object("bad_payee", "it would pay the zero address, where money is lost");
                None
            }
            Ok(address) => {
                if address.is_misspelt_in(text) {
                    offer.remarks.push("the payee's address is written with a wrong checksum".into());
                }
                offer.payee = address.to_string();
                Some(address)
            }
            Err(_) => {
                offer.payee = clean(text, 60);
                // On other networks an address looks otherwise, and that is said already.
                if offer.world.is_some() {
                    self.object("bad_payee", format!("it is to be paid to {}, which is no address", quoted(pay_to)));
                }
                None
            }
        }
    }

    /// How long an authorization may live, in seconds.
    fn life(&mut self) -> Option<u64> {
        let seconds = match given(self.fields, "maxTimeoutSeconds") {
            None => Some(USUAL_LIFE_S),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(Value::Number(number)) => {
                // A float is cut down to whole seconds: the authorization may only become shorter by it.
                number.as_u64().or_else(|| number.as_f64().filter(|s| *s >= 0.0).map(|s| s as u64))
            }
            Some(_) => None,
        };
        match seconds {
            Some(seconds) if seconds >= MIN_LIFE_S => Some(seconds.min(MAX_LIFE_S)),
            _ => {
                let shown = self.fields.get("maxTimeoutSeconds").map(quoted).unwrap_or_default();
                let say =
                    format!("it gives a payment {shown} seconds to arrive, and less than {MIN_LIFE_S} is too short");
                self.object("too_short", say);
                None
            }
        }
    }

    /// The EIP-712 domain, which must be the token's own: a signature for any other is either refused or for something
    /// else. Where nothing is said the pinned one is used.
    fn domain(&mut self, token: &Token) {
        let told = |name: &str| {
            given(&self.extra, name).map(|value| match value {
                Value::Number(number) => number.to_string(),
                other => other.as_str().unwrap_or("?").to_owned(),
            })
        };
        let (name, version) = (told("name"), told("version"));
        let differs = |told: &Option<String>, own: &str| told.as_ref().is_some_and(|told| told != own);
        if differs(&name, &token.name) || differs(&version, &token.version) {
            let show = |told: &Option<String>, own: &str| {
                quoted(&Value::String(told.clone().unwrap_or_else(|| own.to_owned())))
            };
            self.object(
                "wrong_domain",
                format!(
                    "it wants a signature for {} version {}, and the token is \"{}\" version \"{}\": no payment of it can \
                     succeed",
                    show(&name, &token.name),
                    show(&version, &token.version),
                    token.name,
                    token.version
                ),
            );
        }
    }

    /// The contract to sign for, which must be the token.
    fn contract(&mut self, token: &Token) {
        if let Some(contract) = given(&self.extra, "verifyingContract")
            && contract.as_str().and_then(|text| text.parse().ok()) != Some(token.address)
        {
            let say = format!("it wants a signature for the contract {} instead of the token", quoted(contract));
            self.object("wrong_contract", say);
        }
    }

    /// When the seller settles (x402-specification-v2 6.1, payment flows). A flow that is not known may do anything.
    fn flow(&mut self, offer: &mut Offer) {
        match given(&self.extra, "paymentFlow").map(|flow| (flow.as_str().unwrap_or("?"), flow)) {
            None | Some(("authorization", _)) => {}
            Some(("upfront", _)) => offer.remarks.push(UPFRONT.into()),
            Some((_, flow)) => {
                let say = format!("it settles by the flow {}, which is not paid here", quoted(flow));
                self.object("unsupported_flow", say);
            }
        }
    }
}

const PERMIT2_OFF: &str = "needs a Permit2 allowance, which the operator has not turned on";

/// Terms that name another host than the one that answered: behind a proxy that is common and harmless, so it is only
/// said.
fn resource_elsewhere(terms: &Terms, fields: &Map<String, Value>, asked: &Url) -> Option<String> {
    let named = match &terms.resource {
        Some(raw) => serde_json::from_str::<Value>(raw).ok()?.get("url")?.as_str()?.to_owned(),
        None => fields.get("resource")?.as_str()?.to_owned(),
    };
    let host = Url::parse(&named).ok()?.host_str()?.to_owned();
    (Some(host.as_str()) != asked.host_str())
        .then(|| format!("its terms speak of another host, {}", quoted(&Value::String(host))))
}
