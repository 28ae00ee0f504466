//! The shop's book of sessions: deposits that really came, units that were really served, and refunds that really go
//! back.

use std::{collections::HashMap, time::Duration};

use data_encoding::HEXLOWER;

use super::Refunds;
use crate::sandbox::PlayNode;

/// How long after its answer a refund is paid that is paid beside it.
const BESIDE: Duration = Duration::from_millis(50);

/// One session.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// All that was paid in, in satoshi.
    pub(super) deposit_sat: u64,
    /// All that was served, in satoshi.
    pub(super) spent_sat: u64,
    /// Where the rest goes back to.
    pub(super) return_invoice: String,
    pub(super) open: bool,
    /// When it was last used, unix milliseconds.
    pub(super) used_ms: u64,
}

/// How a session was closed.
pub(super) struct Closed {
    pub(super) refund_sat: u64,
    pub(super) status: &'static str,
}

/// Every session, by the payment hash of its deposit.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<String, Account>);

impl Sessions {
    /// Opens one. As real servers do, the deposit is gone even where the return invoice turns out to be bad.
    pub(super) fn open(&mut self, id: &str, deposit_sat: u64, return_invoice: &str, now_ms: u64) -> bool {
        let hash = amountless(return_invoice);
        if hash.is_none() || self.0.contains_key(id) {
            return false;
        }
        let account = Account {
            deposit_sat,
            spent_sat: 0,
            return_invoice: return_invoice.to_owned(),
            open: true,
            used_ms: now_ms,
        };
        self.0.insert(id.to_owned(), account);
        true
    }

    /// An open session.
    pub(super) fn of(&mut self, id: &str, now_ms: u64) -> Option<&mut Account> {
        let account = self.0.get_mut(id).filter(|account| account.open)?;
        account.used_ms = now_ms;
        Some(account)
    }

    /// Looks without using it.
    pub(super) fn look(&self, id: &str) -> Option<&Account> {
        self.0.get(id)
    }

    /// Closes one and sends back what is left, as it is in the mood to.
    pub(super) fn close(&mut self, id: &str, node: &PlayNode, refunds: Refunds) -> Option<Closed> {
        let account = self.0.get_mut(id).filter(|account| account.open)?;
        account.open = false;
        let refund_sat = account.deposit_sat.saturating_sub(account.spent_sat);
        if refund_sat == 0 {
            return Some(Closed { refund_sat, status: "skipped" });
        }
        let Some(hash) = amountless(&account.return_invoice) else {
            return Some(Closed { refund_sat, status: "failed" });
        };
        let msat = refund_sat.saturating_mul(1000);
        let went = match refunds {
            Refunds::Paid => node.receive_amount(&hash, msat),
            Refunds::SaidAndNeverPaid => true,
            Refunds::PaidAfterFailed => {
                let node = node.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(BESIDE).await;
                    node.receive_amount(&hash, msat);
                });
                false
            }
        };
        Some(Closed { refund_sat, status: if went { "succeeded" } else { "failed" } })
    }

    /// Closes what nobody used for a while.
    pub(super) fn close_idle(&mut self, idle_ms: u64, now_ms: u64, node: &PlayNode, refunds: Refunds) {
        let idle = |account: &Account| account.open && now_ms >= account.used_ms.saturating_add(idle_ms);
        let ids: Vec<String> = self.0.iter().filter(|(_, account)| idle(account)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.close(&id, node, refunds);
        }
    }
}

/// The payment hash of a regtest invoice without an amount.
fn amountless(text: &str) -> Option<String> {
    let invoice: lightning_invoice::Bolt11Invoice = text.parse().ok()?;
    let sound = invoice.amount_milli_satoshis().is_none() && !invoice.is_expired() && text.starts_with("lnbcrt1");
    sound.then(|| HEXLOWER.encode(AsRef::<[u8]>::as_ref(invoice.payment_hash())))
}
