//! Which offer to take: allowed, payable, affordable, then the cheapest.

use serde::Serialize;

use super::prove::proof_of;
use crate::{
    ledger::{BudgetView, Scope},
    money::{Amount, Currency},
    protocol::{Offer, Rail, Way, World, bolt11::InvoicePolicy},
};

/// What an offer is judged against. All of it was read before; judging reads nothing.
pub struct Terms<'a> {
    /// Now, unix seconds.
    pub now_s: u64,
    /// What invoices must be like.
    pub invoices: InvoicePolicy,
    /// The most the caller is ready to pay.
    pub max_price: Option<Amount>,
    /// The limits as they stand.
    pub budgets: &'a [BudgetView],
    /// Why this seller may not be paid at all, if so.
    pub seller: Option<String>,
    /// The ledger's world, once it has one.
    pub world: Option<World>,
    /// Whether a seller that asks for no money may be shown whose account this is.
    pub proofs: bool,
}

/// The wallet that would pay an offer.
pub struct WalletTerms<'a> {
    /// Its world.
    pub world: World,
    /// Its network's own name, where it tells one.
    pub network: Option<&'a str>,
    /// Its fee allowance for this price.
    pub fee_cap: Amount,
    /// What it holds where the offer is to be paid, if that is known.
    pub balance: Option<Amount>,
    /// Why it could not pay the offer all the same: a stable word and a sentence.
    pub objection: Option<(&'static str, String)>,
}

/// An offer with a verdict.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct OfferView {
    /// `l402`, `x402`, `mpp` or `free`.
    pub protocol: String,
    /// `lightning`, `eip3009`, ... or `none`.
    pub rail: String,
    /// What would be paid, fees aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// Whether it can be paid now.
    pub payable: bool,
    /// Why not; or what is worth knowing.
    pub why: String,
}

/// What judging says: `Ok`, or a stable word and a sentence why not.
pub type Verdict = Result<(), (&'static str, String)>;

/// Judges one offer: `Ok` when it can be paid, else the first reason why not. `wallet` is the one that pays such offers, or
/// why there is none.
pub fn judge(offer: &Offer, terms: &Terms<'_>, wallet: Result<WalletTerms<'_>, String>) -> Verdict {
    if let Some(objection) = offer.objections_at(terms.now_s, &terms.invoices).into_iter().next() {
        return Err((objection.code, objection.say));
    }
    match offer.way {
        Way::Free { .. } => return Ok(()),
        Way::Listed => return Err(("unsupported", "this version of Bursar cannot pay it".into())),
        Way::Pay(_) => {}
    }
    let Some(price) = offer.price else { return Err(("no_amount", "it does not say what it costs".into())) };
    // The ledger knows no payment of nothing. What costs nothing is a proof of whose account this is, and no other
    // signature over no money.
    let proof = proof_of(offer).is_some();
    if price.is_zero() && !(proof && terms.proofs) {
        let say = match proof {
            true => {
                "it asks for no money, only for a proof of whose account this is, and the operator's config gives none \
                 (proofs under [evm])"
            }
            false => "it asks for a signature over no money; Bursar signs only payments",
        };
        return Err(("zero_amount", say.into()));
    }
    if let Some(seller) = &terms.seller {
        return Err(("seller_not_allowed", seller.clone()));
    }
    let wallet = wallet.map_err(|why| ("no_wallet", why))?;
    let worlds = [Some(wallet.world), terms.world];
    if worlds.into_iter().flatten().any(|w| Some(w) != offer.world) {
        let ours = wallet.world.name();
        return Err(("wrong_network", format!("it is on {}, and this wallet's world is {ours}", offer.network)));
    }
    // Within the test world there are several networks, and a wallet of one asked to pay on another leaves us guessing.
    let elsewhere = |ours: &&str| wallet.world == World::Test && invoices_of(ours) != offer.network;
    if let Some(ours) = wallet.network.filter(|_| offer.rail == Rail::LIGHTNING).filter(elsewhere) {
        return Err(("wrong_network", format!("it is on {}, and this wallet is on {ours}", offer.network)));
    }
    if price.is_zero() {
        return Ok(());
    }
    affordable(price, wallet.fee_cap, terms)?;
    if let Some(balance) = wallet.balance.filter(|balance| price.exceeds(*balance)) {
        return Err((
            "insufficient_balance",
            format!("it costs {price}, and the wallet holds {balance} on {}", offer.network),
        ));
    }
    wallet.objection.map_or(Ok(()), Err)
}

/// The name that BOLT11 has for a network's invoices.
fn invoices_of(network: &str) -> &str {
    match network {
        "testnet3" | "testnet4" => "testnet",
        "mutinynet" => "signet",
        other => other,
    }
}

fn affordable(price: Amount, fee_cap: Amount, terms: &Terms<'_>) -> Verdict {
    if let Some(max) = terms.max_price {
        if max.currency() != price.currency() {
            return Err(("other_currency", format!("it costs {price}, and max_price is in {}", max.currency())));
        }
        if price.exceeds(max) {
            return Err(("above_max_price", format!("it costs {price}, above max_price {max}")));
        }
    }
    let currency = price.currency();
    let of = |scope: Scope| terms.budgets.iter().find(|b| b.scope == scope && b.limit.currency() == currency);
    let Some(purchase) = of(Scope::Purchase) else {
        return Err(("no_ceiling", format!("the operator set no ceiling for {currency}, so none of it is spent")));
    };
    if price.exceeds(purchase.limit) {
        let raise = if price.exceeds(purchase.ceiling) { ", and above the operator's ceiling too" } else { "" };
        return Err((
            "above_limit",
            format!("it costs {price}, above the limit of {} a purchase{raise}", purchase.limit),
        ));
    }
    let needs = price.plus(fee_cap).unwrap_or(price);
    for scope in [Scope::Session, Scope::Day, Scope::Total] {
        let Some(budget) = of(scope) else { continue };
        if needs.exceeds(budget.left) {
            return Err((
                "budget_used_up",
                format!(
                    "it needs {needs} (price {price} and up to {fee_cap} fee), and {} of {} is left in the {} budget",
                    budget.left,
                    budget.limit,
                    scope.name()
                ),
            ));
        }
    }
    Ok(())
}

/// The reason where there was nothing to choose.
pub(super) const ONLY_OFFER: &str = "the only offer";

/// The offer to take among those that can be paid, with the reason: between currencies the operator's order, then the
/// cheapest, then the seller's own order.
pub fn choose<'a>(judged: &[(&'a Offer, Verdict)], order: &[Currency]) -> Option<(&'a Offer, String)> {
    let payable: Vec<(&Offer, Amount)> = judged
        .iter()
        .filter(|(offer, verdict)| verdict.is_ok() && matches!(offer.way, Way::Pay(_)))
        .filter_map(|(offer, _)| Some((*offer, offer.price.filter(|price| !price.is_zero())?)))
        .collect();
    let place = |c: Currency| order.iter().position(|o| *o == c).unwrap_or(order.len());
    let (best, price) = payable.iter().min_by_key(|(_, price)| (place(price.currency()), price.atomic())).copied()?;
    let rivals = payable.iter().filter(|(_, p)| p.currency() == price.currency()).count();
    let other = payable.len() - rivals;
    let mut why = match payable.len() {
        1 if judged.len() == 1 => ONLY_OFFER.to_owned(),
        1 => format!("the only payable one of {} offers", judged.len()),
        n if other == 0 => format!("the cheapest of {n} payable offers"),
        _ if rivals == 1 => format!("the only payable one in {}", price.currency()),
        _ => format!("the cheapest of {rivals} payable offers in {}", price.currency()),
    };
    if other > 0 {
        why.push_str(", which comes first in the operator's order of currencies");
    }
    Some((best, why))
}

/// The verdict in words for people and programs.
pub fn view(offer: &Offer, verdict: &Verdict) -> OfferView {
    OfferView {
        protocol: offer.protocol.name().to_owned(),
        rail: offer.rail.to_string(),
        price: offer.price,
        payable: verdict.is_ok(),
        why: match verdict {
            Ok(()) => offer.remarks.join("; "),
            Err((_, say)) => say.clone(),
        },
    }
}
