//! How much was taken, where only the seller says so: of a price "up to", and whether a fixed price was taken at all.
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
    ledger::{Committed, Intent, Posted, PurchaseId, Standing},
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

/// Whether an intent may have taken less than was posted for it, as long as no chain has shown it: less of a price "up to",
/// nothing of any other.
fn may_be_less(intent: &Intent) -> bool {
    let pin = || serde_json::from_slice::<Pin>(&intent.pin);
    intent.rail == Rail::EIP3009.0 || pin().is_ok_and(|pin| is_up_to(&pin))
}

impl Purse {
    /// Looks later at what was taken of what was posted on somebody's word, if a chain can be asked and has not shown it yet.
    pub(super) fn look_at_charge(&self, standing: &Standing) {
        let rails = [Rail::EIP3009.0, Rail::PERMIT2.0];
        if !rails.contains(&standing.rail.as_str()) {
            return;
        }
        let (id, end) = (standing.id, standing.liability_until_s.max(0) as u64);
        let purse = self.clone();
        let now_s = self.0.clock.now_s();
        tokio::spawn(async move {
            for at in [now_s + SOON_S, end + CHAIN_SURE_S] {
                if !purse.is_charge_open(id).await {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(at.saturating_sub(purse.0.clock.now_s()))).await;
                purse.settle_charges(Some(id)).await;
            }
        });
    }

    async fn is_charge_open(&self, id: PurchaseId) -> bool {
        let open = self.open_charges(Some(id)).await.unwrap_or_default();
        let wallet = match open.first() {
            Some((intent, _)) => self.wallet_with_id(&intent.wallet).await.ok(),
            None => None,
        };
        wallet.is_some_and(|wallet| open.iter().any(|(intent, _)| wallet.proves(&intent.network)))
    }

    /// What was posted in full on nobody's word but the seller's, or on nobody's, and of which less may have been taken;
    /// with the transaction that was named. All of them, or those of one purchase.
    async fn open_charges(&self, only: Option<PurchaseId>) -> Result<Vec<(Committed<Intent>, Option<String>)>, No> {
        let since = self.0.clock.now_ms().saturating_sub(YOUNG_MS);
        let ledger = self.ledger().await?;
        let mut open = Vec::new();
        for rail in [Rail::PERMIT2, Rail::EIP3009] {
            for Posted { intent, proof } in ledger.settled_on(rail.0, since, only).await? {
                let proof: Option<Proof> = serde_json::from_str(proof.expose()).ok();
                let shown = matches!(proof, Some(Proof::Transfer { by: Witness::Chain, .. }));
                if !shown && may_be_less(&intent) {
                    open.push((intent, proof.as_ref().and_then(Proof::transaction).map(str::to_owned)));
                }
            }
        }
        Ok(open)
    }

    /// Asks the chain how much was taken where only the seller said so, and posts that. Moves nothing.
    pub(super) async fn settle_charges(&self, only: Option<PurchaseId>) {
        let open = self.open_charges(only).await.unwrap_or_default();
        // A chain whose nodes are down is asked for one of them, and not for each of hundreds.
        let mut silent: Vec<String> = Vec::new();
        for (intent, named) in open {
            if silent.contains(&intent.network) {
                continue;
            }
            match self.settle_charge(&intent, named.as_deref()).await {
                Ok(true) => {}
                Ok(false) => silent.push(intent.network.clone()),
                Err(no) => tracing::warn!("{}: what was taken could not be found out: {no}", intent.purchase),
            }
        }
    }

    /// Whether somebody could be asked about an intent; posts what they said. `named` is the transaction in the books.
    async fn settle_charge(&self, intent: &Committed<Intent>, named: Option<&str>) -> Result<bool, No> {
        let wallet = self.wallet_with_id(&intent.wallet).await.map_err(|why| No::new("other_wallet", why))?;
        let (taken, transaction) = match wallet.look_up(intent).await {
            LookSaid::OnChain { transaction, taken: Some(taken) } => (taken, transaction),
            // By an authorization all of it moves, or nothing.
            LookSaid::OnChain { transaction, taken: None } if intent.rail == Rail::EIP3009.0 => {
                (intent.price.atomic(), transaction)
            }
            LookSaid::Void => (0, None),
            LookSaid::CannotTell { .. } => return Ok(false),
            _ => return Ok(true),
        };
        let Some(taken) = Amount::new(intent.price.currency(), taken) else { return Ok(true) };
        let new = transaction.clone().filter(|new| !named.is_some_and(|named| named.eq_ignore_ascii_case(new)));
        let proof = serde_json::to_vec(&Proof::Transfer { by: Witness::Chain, transaction });
        let proof = proof.map_err(|e| No::new("internal", e.to_string()))?;
        self.ledger().await?.took(intent.purchase, intent.n, taken, proof, new).await?;
        Ok(true)
    }
}
