//! A top-up: more money for a session whose stream has paused. It is bought like a charge, and shown for the session.

use serde_json::json;

use super::{
    super::{
        super::{Credential, Offer, Pin, Protocol, Rail, Way, l402::preimage_fits},
        Means,
        challenge::Challenge,
        credential::credential as header,
    },
    Terms,
};
use crate::{money::Amount, secret::Secret};

/// The offer that a top-up is. `session` is the session's id; its proof opens nothing else.
pub fn top_up(session: &str, terms: &Terms) -> Offer {
    let means = Means::TopUp { session: session.to_owned(), terms: Box::new(terms.clone()) };
    let pin = super::super::Pin { challenge: terms.challenge.clone(), means };
    Offer {
        protocol: Protocol::Mpp,
        rail: Rail::LIGHTNING,
        network: terms.network.clone(),
        world: Some(terms.world),
        asset: "btc".into(),
        price: terms.deposit_sat.checked_mul(1000).and_then(Amount::msat),
        payee: terms.payee.clone(),
        rail_key: format!("ln:{}", terms.payment_hash),
        expires_at: Some(terms.expires_at),
        way: Way::Pay(Box::new(Pin::Mpp(pin))),
        objections: Vec::new(),
        remarks: Vec::new(),
    }
}

/// The header that adds a paid top-up to its session. `None` when the preimage is another invoice's.
pub(in crate::protocol::mpp) fn credential(
    challenge: &Challenge,
    session: &str,
    terms: &Terms,
    preimage: &Secret,
) -> Option<Credential> {
    let preimage = preimage.expose().to_ascii_lowercase();
    if !preimage_fits(&preimage, &terms.payment_hash) {
        return None;
    }
    header(challenge, None, json!({ "action": "topUp", "sessionId": session, "topUpPreimage": preimage }))
}
