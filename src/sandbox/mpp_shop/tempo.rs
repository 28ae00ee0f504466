//! What the shop sells for play dollars on Tempo: a transaction that it carries to the chain itself, and an answer that
//! costs nothing but a proof of whose account asks.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::{Gate, challenge::Shown};
use crate::{
    evm::{
        Address, hex,
        tempo::{Ask, MODERATO, Signed, attribution},
    },
    sandbox::{
        chain::tempo::{PATH_USD, TempoTransaction},
        lock,
    },
};

impl Gate {
    /// What a challenge asks for.
    pub(super) fn asks_on_tempo(&self, micro_usd: u64) -> Value {
        json!({
            "amount": micro_usd.to_string(), "currency": PATH_USD, "recipient": self.pay_to,
            "methodDetails": { "chainId": MODERATO },
        })
    }

    /// Takes a charge: carries its transaction to the chain, once.
    pub(super) fn charged_on_tempo(&self, shown: &Shown) -> Result<Map<String, Value>, &'static str> {
        let (id, realm) = (&shown.challenge.id, &shown.challenge.realm);
        if shown.request.get("amount") != Some(&self.options.price_micro_usd.to_string().into()) {
            return Err("The challenge is for another price.");
        }
        let bytes =
            shown.signature("transaction").and_then(|text| HEXLOWER.decode(text.strip_prefix("0x")?.as_bytes()).ok());
        let bytes = bytes.ok_or("There is no transaction.")?;
        let read = TempoTransaction::read(&bytes).map_err(|_| "The transaction cannot be read.")?;
        let [transfer] = &read.transfers[..] else { return Err("The transaction pays several.") };
        let pays = transfer.to == self.pay_to && transfer.value == self.options.price_micro_usd;
        if !pays || transfer.memo != Some(attribution(id, realm)) {
            return Err("The transaction does not pay this challenge.");
        }
        if shown.source() != Some(read.from) {
            return Err("The source is not who signed.");
        }
        // Under the lock, so that of two equal credentials at once one is served.
        let book = &mut *lock(&self.book);
        if book.used.contains(id) {
            return Err("The challenge was used before.");
        }
        let taken = self.tempo.carry(&bytes).map_err(|_| "The chain refused the transaction.")?;
        book.used.insert(id.clone());
        let mut receipt = self.receipt(id, &hex(&taken.hash));
        receipt.insert("method".into(), "tempo".into());
        Ok(receipt)
    }

    /// Takes a proof of whose account asks, once. Nothing moves.
    pub(super) fn proved(&self, shown: &Shown) -> Result<Map<String, Value>, &'static str> {
        let id = &shown.challenge.id;
        if shown.request.get("amount") != Some(&"0".into()) {
            return Err("The challenge is not free.");
        }
        let (bytes, from) = (shown.signature("proof"), shown.source());
        let (bytes, from) = bytes.zip(from).ok_or("There is no proof.")?;
        let realm = shown.challenge.realm.clone();
        let ask = Ask::Proof { chain_id: MODERATO, challenge_id: id.clone(), realm };
        let signed = Signed { from, valid_before: 0, ask: ask.clone(), bytes: bytes.to_owned() };
        if !ask.is_signed(&signed) {
            return Err("The proof is not signed by its source.");
        }
        if !lock(&self.book).used.insert(id.clone()) {
            return Err("The challenge was used before.");
        }
        let mut receipt = self.receipt(id, &from.to_string());
        receipt.insert("method".into(), "tempo".into());
        Ok(receipt)
    }
}

impl Shown {
    /// The signature in a payload of this type.
    fn signature(&self, kind: &str) -> Option<&str> {
        let payload = &self.payload;
        payload.get("signature").and_then(Value::as_str).filter(|_| payload.get("type") == Some(&kind.into()))
    }

    /// The account that it says it is of.
    fn source(&self) -> Option<Address> {
        self.source.strip_prefix(&format!("did:pkh:eip155:{MODERATO}:"))?.parse().ok()
    }
}
