//! Credentials that may open a resource again: by principal, exact origin, and what is known of paths.

use rusqlite::{Connection, params};

use super::{Ledger, LedgerError, deposits};

/// A credential that may be tried.
#[derive(Clone)]
pub struct StoredCredential {
    /// Its row.
    pub id: i64,
    /// The purchase that bought it.
    pub purchase: String,
    /// JSON of `protocol::Pin` (secret).
    pub pin: Vec<u8>,
    /// JSON of `protocol::Proof` (secret).
    pub proof: Vec<u8>,
    /// Whether it opened this very path before.
    pub opened_here: bool,
}

impl std::fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredCredential({} of {})", self.id, self.purchase)
    }
}

/// What is known of a credential on a path after trying it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It opened the path.
    Accepted,
    /// It did not, and may still open others.
    Rejected,
    /// It used to open this path and no longer does: it ran out.
    Spent,
}

/// The one credential worth trying for a path: one that opened it, else the one that opened the nearest path, else the
/// newest whose reach is unknown. Never one that this path rejected, nor a deposit that another process drives (`theirs`, by
/// its owner).
pub(super) fn best(
    conn: &Connection,
    now_s: u64,
    principal: &str,
    origin: &str,
    path: &str,
    theirs: impl Fn(Option<&str>) -> bool,
) -> Result<Option<StoredCredential>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT c.credential_id, c.purchase_id, c.body, c.proof,
                (SELECT verdict FROM credential_path p WHERE p.credential_id = c.credential_id AND p.path = ?4),
                (SELECT d.owner FROM driver d JOIN deposit USING(purchase_id) WHERE d.purchase_id = c.purchase_id)
         FROM credential c
         WHERE c.principal = ?1 AND c.origin = ?2 AND c.state = 'usable' AND (c.expires_s IS NULL OR c.expires_s > ?3)
         ORDER BY c.credential_id DESC LIMIT 64",
    )?;
    let rows = statement.query_map(params![principal, origin, now_s as i64, path], |r| {
        let body: Vec<u8> = r.get(2)?;
        let verdict: Option<String> = r.get(4)?;
        let found = StoredCredential {
            id: r.get(0)?,
            purchase: r.get(1)?,
            pin: super::purchase::pin_of(&body),
            proof: r.get(3)?,
            opened_here: verdict.as_deref() == Some("accepted"),
        };
        let owner: Option<String> = r.get(5)?;
        Ok((verdict.as_deref() == Some("rejected"), owner, found))
    })?;
    let mut best: Option<(usize, StoredCredential)> = None;
    for row in rows {
        let (rejected, owner, found) = row?;
        if rejected || theirs(owner.as_deref()) {
            continue;
        }
        let near = if found.opened_here { usize::MAX } else { nearest(conn, found.id, path)? };
        if best.as_ref().is_none_or(|(n, _)| near > *n) {
            best = Some((near, found));
        }
    }
    Ok(best.map(|(_, found)| found))
}

/// How many leading path segments the credential's accepted paths share with `path`.
fn nearest(conn: &Connection, id: i64, path: &str) -> Result<usize, LedgerError> {
    let mut statement =
        conn.prepare_cached("SELECT path FROM credential_path WHERE credential_id = ? AND verdict = 'accepted'")?;
    let paths = statement.query_map([id], |r| r.get::<_, String>(0))?;
    let mut most = 0;
    for known in paths {
        let known = known?;
        most = most.max(known.split('/').zip(path.split('/')).take_while(|(a, b)| a == b).count());
    }
    Ok(most)
}

/// Remembers what a path said to a credential.
pub(super) fn learn(conn: &Connection, now_ms: u64, id: i64, path: &str, verdict: Verdict) -> Result<(), LedgerError> {
    let text = match verdict {
        Verdict::Accepted => "accepted",
        Verdict::Rejected => "rejected",
        Verdict::Spent => {
            conn.execute("UPDATE credential SET state = 'spent' WHERE credential_id = ?", [id])?;
            return Ok(());
        }
    };
    conn.execute(
        "INSERT INTO credential_path VALUES(?,?,?,?)
         ON CONFLICT DO UPDATE SET verdict = excluded.verdict, at_ms = excluded.at_ms",
        params![id, path, text, now_ms as i64],
    )?;
    Ok(())
}

impl Ledger {
    /// The one credential worth trying for a path.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn credential(
        &self,
        principal: &str,
        origin: &str,
        path: &str,
    ) -> Result<Option<StoredCredential>, LedgerError> {
        let (principal, origin, path) = (principal.to_owned(), origin.to_owned(), path.to_owned());
        let now_s = self.now() / 1000;
        let (home, me) = (self.0.home.clone(), self.driver_name());
        let theirs = move |owner: Option<&str>| deposits::is_driven_elsewhere(&home, &me, owner);
        self.0.writer.read(move |conn| best(conn, now_s, &principal, &origin, &path, theirs)).await
    }

    /// Remembers what a path said to a credential.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn learn(&self, credential: i64, path: &str, verdict: Verdict) -> Result<(), LedgerError> {
        let (path, now) = (path.to_owned(), self.now());
        self.0.writer.write(move |conn| learn(conn, now, credential, &path, verdict)).await
    }
}
