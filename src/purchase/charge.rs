//! How much was taken of a price "up to".
//!
//! The receipt tells, and it is the seller's word: one that names less than it takes would make room in the budgets that is
//! not there. So less than the most is posted only where the chain shows it. Until then the most counts, and what the chain
//! shows later is given back.

use std::time::Duration;

use super::{
    No, Purse,
    drive::{Run, Settled},
    resume::CHAIN_SURE_S,
};
use crate::{
    evm::permit2::Taking,
    ledger::{Committed, Intent, Posted, PurchaseId},
    money::Amount,
    protocol::{Pin, Proof, Rail, Receipt, Witness},
    wallet::LookSaid,
};

/// The pauses before the looks at a chain while the answer waits: its nodes may be a block behind the seller's.
const LOOKS_MS: [u64; 4] = [0, 300, 700, 1_500];

/// The pause before the first of the later looks, in seconds. The last is when what was signed has surely run out.
const SOON_S: u64 = 5;

/// How long after it was posted a charge is looked at again, in milliseconds: later no node tells.
const YOUNG_MS: u64 = 24 * 3600 * 1000;

/// Whether less may be taken than was signed.
pub(super) fn is_up_to(pin: &Pin) -> bool {
    matches!(pin.permit(), Some((_, Taking::UpTo { .. })))
}

/// What a chain shows to have been taken of a price, as an amount; `None` where all of it counts.
pub(super) fn part(pin: Option<&Pin>, price: Amount, taken: Option<u64>) -> Option<Amount> {
    let taken = taken.filter(|_| pin.is_some_and(is_up_to)).and_then(|units| Amount::new(price.currency(), units))?;
    (!taken.exceeds(price)).then_some(taken)
}

impl Run<'_> {
    /// What an answer that was given counts as: what it settled, and who says so.
    pub(super) async fn charged(&self, receipt: Option<&Receipt>) -> Settled {
        let said = receipt.filter(|r| r.settled);
        let by = if said.is_some() { Witness::Receipt } else { Witness::Nobody };
        let transaction = receipt.and_then(|r| r.transaction.clone());
        let mut settled = Settled::new(Proof::Transfer { by, transaction });
        let price = self.intent.price;
        let units = said.and_then(|r| r.amount).filter(|_| self.pin.as_ref().is_some_and(is_up_to));
        let Some(units) = units.filter(|units| *units != price.atomic()) else { return settled };
        let told = Amount::new(price.currency(), units);
        let Some(told) = told.filter(|told| !told.exceeds(price)) else {
            settled.note =
                format!(" Its receipt speaks of more than the {price} that were signed for, which is the most.");
            return settled;
        };
        // What was not taken can still be taken: about nothing the chain says nothing before it ran out.
        let looks = if told.is_zero() { &[][..] } else { &LOOKS_MS[..] };
        for pause in looks {
            tokio::time::sleep(Duration::from_millis(*pause)).await;
            let Ok(wallet) = self.purse.wallet_with_id(&self.intent.wallet).await else { break };
            let LookSaid::OnChain { transaction, taken: Some(taken) } = wallet.look_up(&self.intent).await else {
                continue;
            };
            settled.proof = Proof::Transfer { by: Witness::Chain, transaction };
            settled.spent = part(self.pin.as_ref(), price, Some(taken));
            if taken != units {
                let shown = settled.spent.unwrap_or(price);
                settled.note = format!(" Its receipt says {told}, and the chain shows that {shown} was taken.");
            }
            return settled;
        }
        settled.note = format!(
            " Its receipt says that {told} of it was taken; {price} counts as spent until the chain shows that, and the rest \
             is then given back."
        );
        settled
    }
}

impl Purse {
    /// Looks later at what was taken with a permit, if the chain has not shown it yet.
    pub(super) fn look_at_charge(&self, id: PurchaseId, liability_until_s: u64) {
        let purse = self.clone();
        let now_s = self.0.clock.now_s();
        tokio::spawn(async move {
            for at in [now_s + SOON_S, liability_until_s + CHAIN_SURE_S] {
                if !purse.is_charge_open(id).await {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(at.saturating_sub(purse.0.clock.now_s()))).await;
                purse.settle_charges().await;
            }
        });
    }

    async fn is_charge_open(&self, id: PurchaseId) -> bool {
        self.open_charges().await.is_ok_and(|open| open.iter().any(|intent| intent.purchase == id))
    }

    /// What was posted in full on nobody's word but the seller's, and of which less may have been taken.
    async fn open_charges(&self) -> Result<Vec<Committed<Intent>>, No> {
        let since = self.0.clock.now_ms().saturating_sub(YOUNG_MS);
        let mut settled = self.ledger().await?.settled_on(Rail::PERMIT2.0, since).await?;
        settled.retain(|Posted { intent, proof }| {
            let shown = serde_json::from_str(proof.expose());
            let shown = matches!(shown, Ok(Proof::Transfer { by: Witness::Chain, .. }));
            !shown && serde_json::from_slice::<Pin>(&intent.pin).is_ok_and(|pin| is_up_to(&pin))
        });
        Ok(settled.into_iter().map(|posted| posted.intent).collect())
    }

    /// Asks the chain how much was taken where only the seller said so, and posts that. Moves nothing.
    pub(super) async fn settle_charges(&self) {
        let open = self.open_charges().await.unwrap_or_default();
        for intent in open {
            if let Err(no) = self.settle_charge(&intent).await {
                tracing::warn!("{}: what was taken could not be found out: {no}", intent.purchase);
            }
        }
    }

    async fn settle_charge(&self, intent: &Committed<Intent>) -> Result<(), No> {
        let wallet = self.wallet_with_id(&intent.wallet).await.map_err(|why| No::new("other_wallet", why))?;
        let (taken, transaction) = match wallet.look_up(intent).await {
            LookSaid::OnChain { transaction, taken: Some(taken) } => (taken, transaction),
            LookSaid::Void => (0, None),
            _ => return Ok(()),
        };
        let Some(taken) = Amount::new(intent.price.currency(), taken) else { return Ok(()) };
        let proof = serde_json::to_vec(&Proof::Transfer { by: Witness::Chain, transaction });
        let proof = proof.map_err(|e| No::new("internal", e.to_string()))?;
        self.ledger().await?.took(intent.purchase, intent.n, taken, proof).await?;
        Ok(())
    }
}
