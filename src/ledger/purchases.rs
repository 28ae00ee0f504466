//! The door to purchases: each call is one transaction of the writer thread.

use super::{
    Armed, Begun, By, Committed, Decided, Idempotency, Intent, Ledger, LedgerError, NewPurchase, Payment, PurchaseId,
    Standing, State, StoredResult, owner, purchase, steps,
};

impl Ledger {
    /// W1: pins the offer, holds the money in every budget, and writes the bytes that are about to be sent. With
    /// `ask_a_person` it only pins and holds.
    ///
    /// # Errors
    /// The ledger cannot be written; then nothing may be paid.
    pub async fn begin(&self, new: NewPurchase, intent: Intent, ask_a_person: bool) -> Result<Begun, LedgerError> {
        let (now, limits) = (self.now(), self.0.limits.clone());
        let owner = self.owner_name();
        let begun = self.0.writer.write(move |conn| {
            let begun = steps::begin(conn, &limits, now, &new, intent, ask_a_person)?;
            if let Begun::Committed(intent) = &begun {
                claim(conn, intent.purchase, &owner)?;
            }
            Ok(begun)
        });
        match begun.await {
            Err(LedgerError::NoRoom(no)) => Ok(Begun::NoRoom(*no)),
            other => other,
        }
    }

    /// The purchase an equal call must get, if there is one (Contracts, Idempotency), and the newest generation of its
    /// key.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn standing_for(
        &self,
        principal: &str,
        idem: &Idempotency,
    ) -> Result<(Option<Standing>, Option<i64>), LedgerError> {
        let (principal, idem) = (principal.to_owned(), idem.clone());
        self.0
            .writer
            .read(move |conn| {
                let latest = purchase::latest(conn, &principal, &idem.key)?;
                let seen = latest.as_ref().map(|(_, generation)| *generation);
                Ok((latest.map(|(s, _)| s).filter(|s| purchase::stands_for(s, idem.explicit)), seen))
            })
            .await
    }

    /// One purchase.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn find(&self, id: PurchaseId) -> Result<Option<Standing>, LedgerError> {
        self.0.writer.read(move |conn| purchase::find(conn, id)).await
    }

    /// The last committed intent of a purchase, as it was written. It is not fresh.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn intent(&self, id: PurchaseId) -> Result<Option<Committed<Intent>>, LedgerError> {
        self.0.writer.read(move |conn| purchase::intent(conn, id)).await
    }

    /// The credential's secret parts of a purchase: pin and proof, both JSON. `None` before W2.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn proof(&self, id: PurchaseId) -> Result<Option<Vec<u8>>, LedgerError> {
        self.0
            .writer
            .read(move |conn| {
                let sql = "SELECT proof FROM intent WHERE purchase_id = ? ORDER BY n DESC LIMIT 1";
                Ok(conn.query_row(sql, [id.to_string()], |r| r.get(0))?)
            })
            .await
    }

    /// Purchases that reconciliation may still move, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn unresolved(&self) -> Result<Vec<PurchaseId>, LedgerError> {
        let now_s = self.now() / 1000;
        self.0.writer.read(move |conn| purchase::unresolved(conn, now_s)).await
    }

    /// Makes this process the driver of a purchase, unless another running process is. Returns whether it is ours.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn claim(&self, id: PurchaseId) -> Result<bool, LedgerError> {
        let (home, me) = (self.0.home.clone(), self.owner_name());
        self.0
            .writer
            .write(move |conn| {
                use rusqlite::OptionalExtension;
                let sql = "SELECT owner FROM driver WHERE purchase_id = ?";
                let owner: Option<String> = conn.query_row(sql, [id.to_string()], |r| r.get(0)).optional()?;
                match owner {
                    Some(owner) if owner == me => Ok(true),
                    Some(owner) if owner::alive(&home, &owner) => Ok(false),
                    _ => claim(conn, id, &me).map(|()| true),
                }
            })
            .await
    }

    /// The name of this process as a driver, if it drives anything; empty else.
    pub(super) fn driver_name(&self) -> String {
        self.0.owner.get().and_then(|owner| owner.as_ref()).map(|owner| owner.name.clone()).unwrap_or_default()
    }

    fn owner_name(&self) -> String {
        let owner = self.0.owner.get_or_init(|| match owner::Owner::new(&self.0.home) {
            Ok(owner) => Some(owner),
            Err(e) => {
                tracing::warn!("this process cannot mark its purchases as its own: {e}");
                None
            }
        });
        owner.as_ref().map(|o| o.name.clone()).unwrap_or_default()
    }

    /// Writes the bytes of an approved purchase and makes it `paying`, if it still waits and the wallet may pay.
    ///
    /// # Errors
    /// The ledger cannot be written; then nothing may be paid.
    pub async fn arm(&self, id: PurchaseId, wire: Vec<u8>, resend_until: u64) -> Result<Armed, LedgerError> {
        let (now, owner) = (self.now(), self.owner_name());
        self.0
            .writer
            .write(move |conn| {
                let armed = steps::arm(conn, now, id, &wire, resend_until)?;
                if matches!(armed, Armed::Committed(_)) {
                    claim(conn, id, &owner)?;
                }
                Ok(armed)
            })
            .await
    }

    /// Records that nobody knows whether money left.
    ///
    /// # Errors
    /// The ledger cannot be written; the purchase is `paying` then, which reconciliation treats alike.
    pub async fn unknown(&self, id: PurchaseId, why: &str) -> Result<(), LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| steps::unknown(conn, now, id, &why)).await
    }

    /// W2: records proof, fee and credential. Returns where the purchase stands.
    ///
    /// # Errors
    /// The ledger cannot be written; the proof can then be looked up again.
    pub async fn paid(&self, id: PurchaseId, payment: Payment) -> Result<State, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| steps::paid(conn, now, id, &payment)).await
    }

    /// Records that no money left, and gives the holds back. Returns where the purchase stands.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn failed(&self, id: PurchaseId, why: &str) -> Result<State, LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| steps::failed(conn, now, id, &why, &steps::AT_RISK)).await
    }

    /// Gives the holds of a purchase back whose bytes never left. Returns where it stands: only one that nobody else has
    /// taken on since, who may have sent them, fails.
    ///
    /// # Errors
    /// The ledger cannot be written; it is `paying` then, which reconciliation treats as unknown.
    pub async fn unsent(&self, id: PurchaseId, why: &str) -> Result<State, LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| steps::failed(conn, now, id, &why, &[State::Paying])).await
    }

    /// Gives up a purchase of which nothing was sent. Returns where it stands: another process may have gone on with it.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn give_up(&self, id: PurchaseId, why: &str) -> Result<State, LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| steps::failed(conn, now, id, &why, &steps::WAITING)).await
    }

    /// Freezes the wallet of a purchase until a person looks.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn distrust(&self, id: PurchaseId, wallet: &str, why: &str) -> Result<(), LedgerError> {
        let (now, wallet, why) = (self.now(), wallet.to_owned(), format!("{id}: {why}"));
        self.0.writer.write(move |conn| steps::freeze(conn, now, &wallet, &why)).await
    }

    /// W3: records the answer. Its body is on disk already.
    ///
    /// # Errors
    /// The ledger cannot be written; the credential can be shown again.
    pub async fn delivered(&self, id: PurchaseId, result: StoredResult) -> Result<State, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| steps::delivered(conn, now, id, &result)).await
    }

    /// Records that the seller has the money and did not deliver.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn undelivered(&self, id: PurchaseId, status: Option<u16>, why: &str) -> Result<State, LedgerError> {
        let (now, why) = (self.now(), why.to_owned());
        self.0.writer.write(move |conn| steps::undelivered(conn, now, id, status, &why)).await
    }

    /// Records that the answer reached a caller.
    ///
    /// # Errors
    /// The ledger cannot be written; an equal call then gets the stored answer, free of charge.
    pub async fn answered(&self, id: PurchaseId) -> Result<(), LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| steps::answered(conn, now, id)).await
    }

    /// Notes a look-up that found nothing (`absent`) or something else; returns since when nothing has been found.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn absent(&self, id: PurchaseId, absent: bool) -> Result<Option<i64>, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| steps::absent(conn, now, id, absent)).await
    }

    /// A person's decision about a purchase that waits, or about the wallet that a purchase froze, and how it came.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn decide(&self, id: PurchaseId, yes: bool, by: By) -> Result<Decided, LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| steps::decide(conn, now, id, yes, by)).await
    }

    /// Lets go of purchases whose price ran out before a person decided.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn expire_awaiting(&self) -> Result<(), LedgerError> {
        let now = self.now();
        self.0.writer.write(move |conn| steps::expire_awaiting(conn, now)).await
    }

    /// Purchases that wait for a person.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn awaiting(&self) -> Result<Vec<Standing>, LedgerError> {
        self.0
            .writer
            .read(|conn| {
                let mut statement =
                    conn.prepare("SELECT purchase_id FROM purchase WHERE state = 'awaiting_approval'")?;
                let ids = statement.query_map([], |r| r.get::<_, String>(0))?;
                let ids: Vec<String> = ids.collect::<Result<_, _>>()?;
                let ids = ids.iter().filter_map(|id| id.parse().ok());
                ids.filter_map(|id| purchase::find(conn, id).transpose()).collect()
            })
            .await
    }
}

fn claim(conn: &rusqlite::Connection, id: PurchaseId, owner: &str) -> Result<(), LedgerError> {
    conn.execute(
        "INSERT INTO driver(purchase_id, owner) VALUES(?1, ?2)
         ON CONFLICT(purchase_id) DO UPDATE SET owner = ?2, absent_ms = NULL",
        rusqlite::params![id.to_string(), owner],
    )?;
    Ok(())
}
