//! What some rows come to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    ledger::AuditRow,
    money::{Amount, Currency, MAX_ATOMIC},
};

/// The sums of some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Totals {
    /// How many purchases.
    pub purchases: u64,
    /// How many requests were refused.
    pub refused: u64,
    /// How many requests were opened, free of charge, by what an earlier purchase bought.
    pub reused: u64,
    /// The money, one entry a currency. Nothing is ever converted.
    pub money: Vec<Money>,
}

/// The money of one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Money {
    /// What sellers got.
    pub paid: Amount,
    /// What paying cost on top.
    pub fees: Amount,
    /// Both together: what left the wallet.
    pub spent: Amount,
    /// What came back of deposits, where something did. It is part of what was spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back: Option<Amount>,
    /// Held for payments under way or of unknown outcome.
    pub held: Amount,
}

impl Totals {
    /// Adds up some rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a AuditRow>) -> Totals {
        let mut totals = Totals::default();
        let mut money: BTreeMap<Currency, Money> = BTreeMap::new();
        for row in rows {
            match row.state.as_str() {
                "refused" => totals.refused += 1,
                "token" => totals.reused += 1,
                // They bought nothing.
                "proof" | "refund" => {}
                _ => totals.purchases += 1,
            }
            // A refusal and a re-use move no money, whatever they say.
            if row.purchase.is_none() {
                continue;
            }
            for (amount, field) in [(row.paid, 0), (row.fee, 1), (row.held, 2), (row.back, 3)] {
                let Some(amount) = amount else { continue };
                let sum = money.entry(amount.currency()).or_insert_with(|| Money::none(amount.currency()));
                match field {
                    0 => sum.paid = add(sum.paid, amount),
                    1 => sum.fees = add(sum.fees, amount),
                    2 => sum.held = add(sum.held, amount),
                    _ => sum.back = Some(sum.back.map_or(amount, |before| add(before, amount))),
                }
            }
        }
        totals.money = money.into_values().map(|m| Money { spent: add(m.paid, m.fees), ..m }).collect();
        totals
    }
}

impl Money {
    fn none(currency: Currency) -> Money {
        let zero = Amount::zero(currency);
        Money { paid: zero, fees: zero, spent: zero, back: None, held: zero }
    }
}

/// A sum that stays at the largest amount: more than all money there is, so only an edited ledger gets there, and
/// `audit verify` names the row.
fn add(a: Amount, b: Amount) -> Amount {
    a.plus(b).or(Amount::new(a.currency(), MAX_ATOMIC)).unwrap_or(a)
}
