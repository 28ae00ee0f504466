//! What the wallet remembers of its payments.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use nostr::prelude::EventId;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::behaviour::{Behaviour, FeesSaid, LookupSaid, Money, PreimageSaid};
use crate::{sandbox::node::Paid, secret::Secret};

/// What became of a payment.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    Pending,
    Settled { preimage: Secret, fee_msat: u64, at_s: u64 },
    Failed,
}

/// One payment the wallet took on.
#[derive(Debug)]
pub(super) struct Payment {
    pub(super) hash: String,
    pub(super) invoice: String,
    pub(super) memo: String,
    pub(super) amount_msat: u64,
    pub(super) created_s: u64,
    pub(super) expires_s: u64,
    pub(super) behaviour: Behaviour,
    pub(super) fate: watch::Sender<Fate>,
}

/// One invoice the wallet made to be paid by others.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) hash: String,
    pub(super) invoice: String,
    pub(super) memo: String,
    pub(super) amount_msat: u64,
    pub(super) created_s: u64,
    pub(super) expires_s: u64,
}

/// The wallet's memory and its script.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// In the order in which they were taken on.
    pub(super) payments: Vec<Payment>,
    pub(super) incoming: Vec<Incoming>,
    pub(super) always: Behaviour,
    pub(super) next: VecDeque<Behaviour>,
    pub(super) quota_msat: Option<u64>,
    pub(super) seen: HashMap<String, usize>,
    pub(super) handled: HashSet<EventId>,
    pub(super) pay_events: BTreeSet<String>,
    pub(super) deliveries: HashMap<String, usize>,
}

impl Book {
    pub(super) fn payment(&self, hash: &str) -> Option<&Payment> {
        self.payments.iter().find(|p| p.hash == hash)
    }

    /// What this connection has spent or may yet spend, in millisatoshi.
    pub(super) fn committed_msat(&self) -> u64 {
        let cost = |p: &Payment| match &*p.fate.borrow() {
            Fate::Settled { fee_msat, .. } => p.amount_msat.saturating_add(*fee_msat),
            Fate::Pending if p.behaviour.money != Money::Never => p.amount_msat,
            _ => 0,
        };
        self.payments.iter().map(cost).fold(0, u64::saturating_add)
    }

    /// Notes how a payment ended; says whether it was still open.
    pub(super) fn close(&self, hash: &str, fate: Fate) -> bool {
        self.payment(hash).is_some_and(|p| {
            p.fate.send_if_modified(|now| {
                let open = matches!(now, Fate::Pending);
                if open {
                    *now = fate;
                }
                open
            })
        })
    }
}

impl Fate {
    pub(super) fn settled(paid: Paid) -> Fate {
        Fate::Settled { preimage: paid.preimage, fee_msat: paid.movement.fee_msat, at_s: paid.movement.at_ms / 1000 }
    }
}

impl Payment {
    /// The fee as the wallet tells it.
    pub(super) fn fee_said(&self, true_msat: u64) -> Option<u64> {
        match self.behaviour.fees {
            FeesSaid::Truth | FeesSaid::OnlyLookedUp => Some(true_msat),
            FeesSaid::Times(n) if true_msat == 0 => Some(n.saturating_mul(1000)),
            FeesSaid::Times(n) => Some(true_msat.saturating_mul(n)),
            FeesSaid::Missing => None,
        }
    }

    /// The result of a successful `pay_invoice`, as the wallet tells it.
    pub(super) fn result(&self, preimage: &Secret, fee_msat: u64) -> Value {
        let mut result = json!({});
        let said = match self.behaviour.preimage {
            PreimageSaid::Truth => Some(preimage.expose().to_owned()),
            PreimageSaid::Wrong => Some(data_encoding::HEXLOWER.encode(&crate::random::<32>())),
            PreimageSaid::Zeros => Some("0".repeat(64)),
            PreimageSaid::Empty => Some(String::new()),
            PreimageSaid::Invoice => Some(self.invoice.clone()),
            PreimageSaid::Missing => None,
        };
        if let Some(said) = said {
            result["preimage"] = said.into();
        }
        let told = self.fee_said(fee_msat).filter(|_| self.behaviour.fees != FeesSaid::OnlyLookedUp);
        if let Some(fee) = told {
            result["fees_paid"] = fee.into();
        }
        result
    }

    /// The transaction as lookups and lists show it.
    pub(super) fn transaction(&self, lookup: LookupSaid) -> Value {
        let mut out = json!({
            "type": "outgoing",
            "invoice": self.invoice,
            "description": self.memo,
            "payment_hash": self.hash,
            "amount": self.amount_msat,
            "fees_paid": 0,
            "created_at": self.created_s,
            "expires_at": self.expires_s,
        });
        match (lookup, &*self.fate.borrow()) {
            (LookupSaid::ZeroPreimage, _) => {
                out["settled_at"] = self.created_s.into();
                out["preimage"] = "0".repeat(64).into();
            }
            (LookupSaid::Failed, _) => out["state"] = "failed".into(),
            (LookupSaid::Pending, _) | (_, Fate::Pending) => out["state"] = "pending".into(),
            (_, Fate::Failed) => out["state"] = "failed".into(),
            (_, Fate::Settled { preimage, fee_msat, at_s }) => {
                out["state"] = "settled".into();
                out["settled_at"] = (*at_s).into();
                if lookup != LookupSaid::NoPreimage {
                    out["preimage"] = preimage.expose().into();
                }
                match self.fee_said(*fee_msat) {
                    Some(fee) => out["fees_paid"] = fee.into(),
                    None => out["fees_paid"] = Value::Null,
                }
            }
        }
        out
    }
}

impl Incoming {
    /// The transaction as lookups and lists show it.
    pub(super) fn transaction(&self, paid: bool, preimage: Option<Secret>) -> Value {
        let mut out = json!({
            "type": "incoming",
            "state": if paid { "settled" } else { "pending" },
            "invoice": self.invoice,
            "description": self.memo,
            "payment_hash": self.hash,
            "amount": self.amount_msat,
            "fees_paid": 0,
            "created_at": self.created_s,
            "expires_at": self.expires_s,
        });
        if let (true, Some(preimage)) = (paid, preimage) {
            out["preimage"] = preimage.expose().into();
            out["settled_at"] = self.created_s.into();
        }
        out
    }
}
