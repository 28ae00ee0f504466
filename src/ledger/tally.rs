//! The whole ledger in a few numbers.

use std::collections::BTreeMap;

use super::{Ledger, LedgerError};
use crate::money::{Amount, Currency};

/// Counts and sums over everyone.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many purchases stand where.
    pub purchases: BTreeMap<String, u64>,
    /// What left, fees included.
    pub spent: BTreeMap<Currency, Amount>,
    /// What is held.
    pub held: BTreeMap<Currency, Amount>,
}

impl Ledger {
    /// Counts and sums over everyone.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn tally(&self) -> Result<Tally, LedgerError> {
        self.0
            .writer
            .read(|conn| {
                let mut tally = Tally::default();
                let mut states = conn.prepare_cached("SELECT state, count(*) FROM purchase GROUP BY state")?;
                for row in states.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?)))? {
                    let (state, count) = row?;
                    tally.purchases.insert(state, count.max(0) as u64);
                }
                let mut sums = conn.prepare_cached(
                    "SELECT currency, ifnull(sum(spent + fee), 0),
                       ifnull(sum(CASE WHEN state IN('pinned','live') THEN amount + fee_cap ELSE 0 END), 0)
                     FROM intent GROUP BY currency",
                )?;
                let rows =
                    sums.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?)))?;
                for row in rows {
                    let (code, spent, held) = row?;
                    let Some(currency) = Currency::from_code(&code) else { continue };
                    let amount = |n: i64| Amount::new(currency, n.max(0) as u64).unwrap_or(Amount::zero(currency));
                    tally.spent.insert(currency, amount(spent));
                    tally.held.insert(currency, amount(held));
                }
                Ok(tally)
            })
            .await
    }
}
