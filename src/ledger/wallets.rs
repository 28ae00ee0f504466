//! What is remembered of wallets, and the world they fix.

use super::{Ledger, LedgerError};

impl Ledger {
    /// Remembers a wallet's world and the best encryption it was seen to speak.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub async fn saw_wallet(&self, id: &str, world: &str, cipher: &str) -> Result<(), LedgerError> {
        let (id, world, cipher, now) = (id.to_owned(), world.to_owned(), cipher.to_owned(), self.now() as i64);
        self.0
            .writer
            .write(move |conn| {
                conn.execute(
                    "INSERT INTO wallet(wallet_id, world, cipher, frozen_why, seen_ms) VALUES(?1,?2,?3,'',?4)
                     ON CONFLICT(wallet_id) DO UPDATE SET world = ?2, seen_ms = ?4,
                       cipher = CASE WHEN ?3 = '' THEN cipher ELSE ?3 END",
                    rusqlite::params![id, world, cipher, now],
                )?;
                Ok(())
            })
            .await
    }

    /// What is remembered of each wallet, by its id (see `wallet::Wallet::remember`).
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn wallets(&self) -> Result<std::collections::HashMap<String, String>, LedgerError> {
        self.0
            .writer
            .read(|conn| {
                let mut statement = conn.prepare("SELECT wallet_id, cipher FROM wallet")?;
                let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    /// What is remembered of a wallet: its world, its best encryption, and why it is frozen, if it is.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn known_wallet(&self, id: &str) -> Result<Option<(String, String, Option<String>)>, LedgerError> {
        use rusqlite::OptionalExtension;
        let id = id.to_owned();
        self.0
            .writer
            .read(move |conn| {
                let sql = "SELECT world, cipher, CASE WHEN frozen_ms IS NULL THEN NULL ELSE frozen_why END
                           FROM wallet WHERE wallet_id = ?";
                Ok(conn.query_row(sql, [id], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional()?)
            })
            .await
    }

    /// The world this ledger holds, once a wallet fixed it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn world(&self) -> Result<Option<String>, LedgerError> {
        use rusqlite::OptionalExtension;
        self.0
            .writer
            .read(|conn| {
                Ok(conn.query_row("SELECT value FROM meta WHERE key = 'world'", [], |r| r.get(0)).optional()?)
            })
            .await
    }
}
