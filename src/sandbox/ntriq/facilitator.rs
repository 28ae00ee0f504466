//! The facilitator: it checks an authorization as the chain will, carries it there, and puts faults in its own words.

use serde_json::{Value, json};

use super::{
    mode::{Dialect, NtriqMode},
    terms::{Means, Terms},
};
use crate::{
    evm::{Address, eip3009, hex, permit2},
    sandbox::chain::{Carried, PlayChain, Revert, Transfer},
};

/// Its account, which alone may charge less than was signed.
pub(super) const FACILITATOR: Address = Address([0xfa; 20]);

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
) -> Result<Carried, Fault> {
    if terms.means() != Means::Eip3009 {
        let carried = permit(chain, now_s, terms, payload)?;
        chain.simulate(&carried).map_err(Fault::Simulation)?;
        return Ok(carried);
    }
    let signed: eip3009::Signed = serde_json::from_value(payload.clone()).map_err(|_| Fault::Payload)?;
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
    Ok(signed.into())
}

/// Reads a permit that lets exactly what was asked be taken, by whom it was asked for.
fn permit(chain: &PlayChain, now_s: u64, terms: &Terms, payload: &Value) -> Result<Carried, Fault> {
    let signed: permit2::Signed = serde_json::from_value(payload.clone()).map_err(|_| Fault::Payload)?;
    let permit = &signed.permit;
    let taking = match terms.means() {
        Means::UpTo => permit2::Taking::UpTo { facilitator: FACILITATOR },
        Means::Permit2 | Means::Eip3009 => permit2::Taking::Exact,
    };
    if signed.signer(chain.token().chain_id) != Some(permit.from) || !permit.is_for(&taking) {
        return Err(Fault::Signature);
    }
    if permit.witness.to != terms.pay_to {
        return Err(Fault::Recipient);
    }
    if permit.deadline < now_s + LEAST_LIFE_S {
        return Err(Fault::ValidBefore);
    }
    if permit.witness.valid_after > now_s {
        return Err(Fault::ValidAfter);
    }
    if permit.permitted.amount != terms.units {
        return Err(Fault::Value);
    }
    Ok(Carried::Permit { signed, amount: terms.charge, by: FACILITATOR })
}

/// A receipt that says it went through.
pub(super) fn success(terms: &Terms, payer: &Address, transaction: &[u8; 32]) -> Value {
    let mut said =
        json!({"success": true, "payer": payer, "transaction": hex(transaction), "network": terms.network()});
    if terms.means() == Means::UpTo {
        let says = if let NtriqMode::ReceiptSays(units) = terms.mode { units } else { terms.charge };
        said["amount"] = says.to_string().into();
    }
    said
}

/// A receipt that says that nothing was charged, so that there is no transaction.
pub(super) fn nothing(terms: &Terms, payer: &Address) -> Value {
    json!({"success": true, "payer": payer, "transaction": "", "network": terms.network(), "amount": "0"})
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
