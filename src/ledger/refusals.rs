//! Journal lines without a purchase of their own: refusals, credentials used again, and proofs of whose account asks.

use serde_json::json;

use super::{Ledger, LedgerError, credential, credential::Verdict, journal, session};
use crate::money::{Amount, Currency};

/// What a refusal leaves in the journal.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Who asked.
    pub principal: String,
    /// The key of the session, or empty.
    pub session_key: String,
    /// The host that was asked, in ASCII, or empty.
    pub host: String,
    /// Method and path.
    pub path: String,
    /// A stable word.
    pub code: String,
    /// One sentence.
    pub say: String,
    /// What the seller asked for, where it is known.
    pub price: Option<Amount>,
    /// The caller's words.
    pub purpose: String,
}

/// A use of a credential that cost nothing.
#[derive(Clone, Debug)]
pub struct Reused {
    /// Who asked.
    pub principal: String,
    /// The key of the session, or empty.
    pub session_key: String,
    /// The host.
    pub host: String,
    /// Method and path.
    pub path: String,
    /// The credential.
    pub credential: i64,
    /// The purchase that bought it.
    pub purchase: String,
    /// The bare path, for what is learned.
    pub bare_path: String,
    /// The seller's status.
    pub status: u16,
    /// The caller's words.
    pub purpose: String,
}

/// A proof of whose account asks, which moved nothing.
#[derive(Clone, Debug)]
pub struct Proved {
    /// Who asked.
    pub principal: String,
    /// The key of the session, or empty.
    pub session_key: String,
    /// The host that is shown the proof.
    pub host: String,
    /// Method and path.
    pub path: String,
    /// The network of the account.
    pub network: String,
    /// The caller's words.
    pub purpose: String,
}

impl Ledger {
    /// Writes into the journal that a seller is about to be shown whose account this is.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn proved(&self, proved: Proved) -> Result<(), LedgerError> {
        let now = self.now();
        self.0
            .writer
            .write(move |conn| {
                let session = session::touch(conn, &proved.principal, &proved.session_key, now)?;
                let line = journal::Line {
                    purchase: None,
                    session: Some(&session),
                    principal: &proved.principal,
                    kind: "prove",
                    currency: Currency::Usd.code(),
                    amount: 0,
                    note: json!({ "host": proved.host, "path": proved.path, "rail": "proof",
                                  "network": proved.network, "purpose": proved.purpose,
                                  "say": "it was shown whose account this is; nothing was paid" }),
                };
                journal::append(conn, now, &line, &[])
            })
            .await
    }

    /// Writes a refusal into the journal.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn refuse(&self, no: Refused) -> Result<(), LedgerError> {
        let now = self.now();
        self.0
            .writer
            .write(move |conn| {
                let session = session::touch(conn, &no.principal, &no.session_key, now)?;
                let price = no.price.unwrap_or(Amount::zero(Currency::Sat));
                let line = journal::Line {
                    purchase: None,
                    session: Some(&session),
                    principal: &no.principal,
                    kind: "refuse",
                    currency: price.currency().code(),
                    amount: price.atomic() as i64,
                    note: json!({ "host": no.host, "path": no.path, "code": no.code, "say": no.say,
                                  "purpose": no.purpose }),
                };
                journal::append(conn, now, &line, &[])
            })
            .await
    }

    /// Writes a use of a stored credential into the journal, and learns that it opens the path.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn reused(&self, used: Reused) -> Result<(), LedgerError> {
        let now = self.now();
        self.0
            .writer
            .write(move |conn| {
                // An error says nothing about what the credential opens.
                if used.status < 400 {
                    credential::learn(conn, now, used.credential, &used.bare_path, Verdict::Accepted)?;
                }
                let session = session::touch(conn, &used.principal, &used.session_key, now)?;
                let line = journal::Line {
                    purchase: None,
                    session: Some(&session),
                    principal: &used.principal,
                    kind: "reuse",
                    currency: Currency::Sat.code(),
                    amount: 0,
                    note: json!({ "host": used.host, "path": used.path, "status": used.status, "rail": "token",
                                  "purpose": used.purpose, "say": format!("opened by {}", used.purchase) }),
                };
                journal::append(conn, now, &line, &[])
            })
            .await
    }
}
