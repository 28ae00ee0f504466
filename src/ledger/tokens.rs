//! The door to tokens: who may come over HTTP, and with what purse.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::json;

use super::{Ledger, LedgerError, Scope, allowance, journal, session};
use crate::money::{Amount, Currency};

/// The principal of standard input and the command line.
pub const LOCAL: &str = "local";

/// Whether a text may name a principal: 1 to 32 of `a-z`, `0-9`, `_` and `-`. The ledger's own triggers say the same.
pub fn is_principal(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A purse of its own, at `/mcp`.
    Agent,
    /// The numbers at `/metrics`, and nothing else.
    Watch,
}

impl TokenKind {
    /// The name used in SQL and text.
    pub const fn name(self) -> &'static str {
        match self {
            TokenKind::Agent => "agent",
            TokenKind::Watch => "watch",
        }
    }
}

/// One token. Its secret stands nowhere, only this digest of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub principal: String,
    /// What it opens.
    pub kind: TokenKind,
    /// SHA-256 of its secret part.
    pub digest: [u8; 32],
    /// When it was made or renewed, unix milliseconds.
    pub created_ms: i64,
    /// When it was revoked, if it was.
    pub revoked_ms: Option<i64>,
    /// Its own limits.
    pub allowed: Vec<(Scope, Amount)>,
}

/// What became of a wish for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMade {
    /// It is there.
    Made,
    /// The name has a token already, or had one.
    NameTaken,
    /// There is none of that name to be renewed, or it opens something else.
    NothingToRenew,
}

const COLUMNS: &str = "principal, kind, digest, created_ms, revoked_ms";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Token> {
    let kind: String = row.get(1)?;
    Ok(Token {
        principal: row.get(0)?,
        kind: if kind == TokenKind::Agent.name() { TokenKind::Agent } else { TokenKind::Watch },
        digest: row.get(2)?,
        created_ms: row.get(3)?,
        revoked_ms: row.get(4)?,
        allowed: Vec::new(),
    })
}

fn find(conn: &Connection, principal: &str) -> Result<Option<Token>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM token WHERE principal = ?");
    Ok(conn.prepare_cached(&sql)?.query_row([principal], from_row).optional()?)
}

fn note(conn: &Connection, now_ms: u64, principal: &str, note: serde_json::Value) -> Result<(), LedgerError> {
    let line = journal::Line {
        purchase: None,
        session: None,
        principal,
        kind: "token",
        currency: Currency::Sat.code(),
        amount: 0,
        note,
    };
    journal::append(conn, now_ms, &line, &[])
}

impl Ledger {
    /// Makes a token, or gives the one of that name a new secret and new limits (`renew`): the purse stays the same.
    ///
    /// # Errors
    /// The ledger cannot be written; a name that is none.
    pub async fn make_token(
        &self,
        principal: &str,
        kind: TokenKind,
        digest: [u8; 32],
        allowed: Vec<(Scope, Amount)>,
        renew: bool,
    ) -> Result<TokenMade, LedgerError> {
        let (principal, now) = (principal.to_owned(), self.now());
        self.0
            .writer
            .write(move |conn| {
                match find(conn, &principal)? {
                    Some(_) if !renew => return Ok(TokenMade::NameTaken),
                    None if renew => return Ok(TokenMade::NothingToRenew),
                    Some(known) if known.kind != kind => return Ok(TokenMade::NothingToRenew),
                    _ => {}
                }
                conn.execute(
                    "INSERT INTO token(principal, kind, digest, created_ms) VALUES(?1,?2,?3,?4)
                     ON CONFLICT(principal) DO UPDATE SET digest = ?3, created_ms = ?4, revoked_ms = NULL",
                    params![principal, kind.name(), digest, now as i64],
                )?;
                allowance::write(conn, &principal, &allowed)?;
                // A running session keeps the limits it began with, so the new ones begin with a new session.
                session::end(conn, &principal, None, now)?;
                let limits: Vec<_> = allowed.iter().map(|(s, a)| json!({ "scope": s, "limit": a })).collect();
                let what = if renew { "renewed" } else { "made" };
                note(conn, now, &principal, json!({ "token": what, "kind": kind.name(), "limits": limits }))?;
                Ok(TokenMade::Made)
            })
            .await
    }

    /// Takes a token back for good, and ends its sessions. Returns whether there was one to take back.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn revoke_token(&self, principal: &str) -> Result<bool, LedgerError> {
        let (principal, now) = (principal.to_owned(), self.now());
        self.0
            .writer
            .write(move |conn| {
                let sql = "UPDATE token SET revoked_ms = ? WHERE principal = ? AND revoked_ms IS NULL";
                if conn.execute(sql, params![now as i64, principal])? == 0 {
                    return Ok(false);
                }
                session::end(conn, &principal, None, now)?;
                note(conn, now, &principal, json!({ "token": "revoked" }))?;
                Ok(true)
            })
            .await
    }

    /// The token of a name, while it is good. Its limits are left out: this is asked at every request.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn token(&self, principal: &str) -> Result<Option<Token>, LedgerError> {
        let principal = principal.to_owned();
        self.0.writer.read(move |conn| Ok(find(conn, &principal)?.filter(|t| t.revoked_ms.is_none()))).await
    }

    /// Every token there ever was, by name, with its limits.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn tokens(&self) -> Result<Vec<Token>, LedgerError> {
        self.0
            .writer
            .read(|conn| {
                let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM token ORDER BY principal"))?;
                let mut tokens: Vec<Token> = statement.query_map([], from_row)?.collect::<Result<_, _>>()?;
                for token in &mut tokens {
                    token.allowed = allowance::read(conn, &token.principal)?;
                }
                Ok(tokens)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::is_principal;

    #[test]
    fn a_principal_has_a_plain_name() {
        for good in ["a", "local", "agent-7", "the_one", &"x".repeat(32)] {
            assert!(is_principal(good), "{good}");
        }
        for bad in ["", "A", "a b", "a\nb", "a.b", "ä", "a/b", &"x".repeat(33)] {
            assert!(!is_principal(bad), "{bad:?}");
        }
    }
}
