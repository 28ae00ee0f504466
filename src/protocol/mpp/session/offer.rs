//! The offer that a session's challenge is.

use super::{
    super::{
        super::{Offer, Pin, Rail, Way},
        Means,
        challenge::Challenge,
    },
    Terms, terms,
};
use crate::money::Amount;

/// The offer that a session's challenge is; `None` for any other challenge. Its deposit is its price. It can be paid only
/// once its pin names where the rest comes back to ([`super::super::Pin::returning_to`]).
pub(in crate::protocol::mpp) fn offer(challenge: &Challenge, offer: &Offer) -> Option<Offer> {
    if !terms::is_session(challenge) {
        return None;
    }
    let mut offer = Offer { rail: Rail::LIGHTNING, asset: "btc".into(), ..offer.clone() };
    offer.objections.extend(challenge.header_name().err());
    match Terms::read(challenge) {
        Err(objection) => offer.objections.push(objection),
        Ok(terms) => {
            offer.network = terms.network.clone();
            offer.world = Some(terms.world);
            offer.price = terms.deposit_sat.checked_mul(1000).and_then(Amount::msat);
            offer.payee = terms.payee.clone();
            offer.rail_key = format!("ln:{}", terms.payment_hash);
            offer.expires_at = Some(terms.expires_at);
            let (unit, deposit) = (terms.unit_sat, terms.deposit_sat);
            let name = if terms.unit.is_empty() { "unit".to_owned() } else { terms.unit.replace('"', "'") };
            offer.remarks.push(format!("a deposit of {deposit} sat, of which each \"{name}\" takes {unit} sat"));
            let means = Means::Session { terms: Box::new(terms), refund: None };
            offer.way = Way::Pay(Box::new(Pin::Mpp(super::super::Pin { challenge: challenge.clone(), means })));
        }
    }
    Some(offer)
}
