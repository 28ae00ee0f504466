//! The facilitator: it checks an authorization as the chain will, carries it there, and puts faults in its own words.

use serde_json::{Value, json};

use super::{mode::Dialect, terms::Terms};
use crate::{
    evm::{Address, eip3009::Signed, hex},
    sandbox::chain::{PlayChain, Revert, Transfer},
};

/// An authorization must live at least this long, in seconds.
const LEAST_LIFE_S: u64 = 6;

/// Why a payment is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not an authorization at all.
    Payload,
    Signature,
    Recipient,
    ValidBefore,
    ValidAfter,
    Value,
    /// The token would refuse it, for this reason.
    Simulation(Revert),
    /// The token refused it, when it was too late to say so before.
    Transaction,
    /// The echo of an extension says something else.
    Echo,
    /// The facilitator itself failed to verify.
    Unexpected,
}

impl Fault {
    /// What the error is called.
    pub fn text(self, dialect: Dialect) -> &'static str {
        use Dialect::{Foundation, X402Rs};
        match (self, dialect) {
            (Fault::Payload, _) => "invalid_payload",
            (Fault::Echo, _) => "extension_echo_mismatch",
            (Fault::Signature, Foundation) => "invalid_exact_evm_signature",
            (Fault::Recipient, Foundation) => "invalid_exact_evm_recipient_mismatch",
            (Fault::ValidBefore, Foundation) => "invalid_exact_evm_payload_authorization_valid_before",
            (Fault::ValidAfter, Foundation) => "invalid_exact_evm_payload_authorization_valid_after",
            (Fault::Value, Foundation) => "invalid_exact_evm_payload_authorization_value_mismatch",
            (Fault::Simulation(_), Foundation) => "invalid_exact_evm_transaction_simulation_failed",
            (Fault::Transaction, Foundation) => "invalid_exact_evm_transaction_failed",
            (Fault::Unexpected, Foundation) => "unexpected_verify_error",
            (Fault::Recipient, X402Rs) => "recipient_mismatch",
            (Fault::ValidBefore, X402Rs) => "invalid_payment_expired",
            (Fault::ValidAfter, X402Rs) => "invalid_payment_early",
            (Fault::Value, X402Rs) => "invalid_payment_amount",
            (Fault::Simulation(Revert::InsufficientBalance), X402Rs) => "insufficient_funds",
            (Fault::Signature | Fault::Simulation(_) | Fault::Transaction | Fault::Unexpected, X402Rs) => {
                "unexpected_error"
            }
        }
    }
}

/// Checks a payment; nothing moves.
pub(super) fn verify(
    chain: &PlayChain,
    dialect: Dialect,
    now_s: u64,
    terms: &Terms,
    payload: &Value,
) -> Result<Signed, Fault> {
    let signed: Signed = serde_json::from_value(payload.clone()).map_err(|_| Fault::Payload)?;
    let a = &signed.authorization;
    if signed.signer(chain.token()) != Some(a.from) {
        return Err(Fault::Signature);
    }
    if a.to != terms.pay_to {
        return Err(Fault::Recipient);
    }
    if a.valid_before < now_s + LEAST_LIFE_S {
        return Err(Fault::ValidBefore);
    }
    if a.valid_after > now_s {
        return Err(Fault::ValidAfter);
    }
    let too_much = a.value > terms.units && dialect == Dialect::Foundation;
    if a.value < terms.units || too_much {
        return Err(Fault::Value);
    }
    chain.simulate(&signed).map_err(Fault::Simulation)?;
    Ok(signed)
}

/// A receipt that says it went through.
pub(super) fn success(terms: &Terms, payer: &Address, transaction: &[u8; 32]) -> Value {
    json!({"success": true, "payer": payer, "transaction": hex(transaction), "network": terms.network()})
}

/// The receipt of a transfer that the book has.
pub(super) fn settled(terms: &Terms, transfer: &Transfer) -> Value {
    success(terms, &transfer.from, &transfer.transaction)
}

/// A receipt that says it did not go through.
pub(super) fn failure(terms: &Terms, payer: &Address, reason: &str, message: &str, transaction: &str) -> Value {
    json!({
        "success": false, "errorReason": reason, "errorMessage": message,
        "payer": payer, "transaction": transaction, "network": terms.network(),
    })
}
