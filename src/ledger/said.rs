//! The wallet's word that it paid, without a proof.
//!
//! It is written down once and for good: a wallet may forget its payments or never be asked again, and then a "no such
//! payment" must not give back money that has most likely left. Only a proof moves such a purchase on, or a person, whose
//! no can then only count it as spent.

use rusqlite::{Connection, params};

use super::{
    Ledger, LedgerError, Payment, PurchaseId, Standing, State,
    purchase::{find, intent},
    steps::{Step, advance, paid, undelivered},
};

/// The kind of the journal's line.
const KIND: &str = "said_paid";

/// What stands where a proof would: JSON that is none, and opens nothing.
const NO_PROOF: &[u8] = b"null";

impl Ledger {
    /// Writes down that the wallet says that it paid, and gave no proof. Once; a purchase that is known stays as it is.
    ///
    /// # Errors
    /// The ledger cannot be written; the wallet can be asked again.
    pub async fn note_said_paid(&self, id: PurchaseId) -> Result<(), LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| note(conn, now, id)).await
    }

    /// Whether the wallet ever said that it paid, without a proof.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn said_paid(&self, id: PurchaseId) -> Result<bool, LedgerError> {
        self.0.writer.read(move |conn| stands(conn, id)).await
    }
}

pub(super) fn stands(conn: &Connection, id: PurchaseId) -> Result<bool, LedgerError> {
    let sql = "SELECT EXISTS(SELECT 1 FROM journal WHERE purchase_id = ? AND kind = ?)";
    Ok(conn.prepare_cached(sql)?.query_row(params![id.to_string(), KIND], |r| r.get(0))?)
}

fn note(conn: &Connection, now_ms: u64, id: PurchaseId) -> Result<(), LedgerError> {
    match find(conn, id)? {
        Some(at) if at.state == State::Unknown && !stands(conn, id)? => {
            let note = "the wallet says that it paid, and gives no proof";
            advance(conn, now_ms, &at, &Step { kind: KIND, to: State::Unknown, note, amount: at.price })
        }
        _ => Ok(()),
    }
}

/// Closes a purchase of which only the wallet's word is known: price and fee allowance count as spent, and the seller,
/// which cannot be shown a proof, has not delivered.
pub(super) fn close(conn: &Connection, now_ms: u64, at: &Standing) -> Result<(), LedgerError> {
    let Some(intent) = intent(conn, at.id)? else {
        return Err(LedgerError::Broken(format!("{} has no intent", at.id)));
    };
    let payment = Payment {
        proof: NO_PROOF.to_vec(),
        transaction: None,
        spent: at.price,
        fee: None,
        opens_more: false,
        expires_s: None,
        wallet_id: intent.wallet.clone(),
    };
    paid(conn, now_ms, at.id, &payment)?;
    let why =
        "a person closed it: the wallet said that it paid and gave no proof, so price and fee allowance count as spent";
    undelivered(conn, now_ms, at.id, None, why)?;
    Ok(())
}
