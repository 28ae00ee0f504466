//! Who paid, and what is left of it.

use std::collections::HashMap;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use data_encoding::{BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::{Value, json};

use super::{MICRO_USD_PER_SAT, SATS_PER_USD, Service, usd};
use crate::sandbox::{lock, macaroon::Macaroon};

/// The location and the `service` caveat of the real service.
const LOCATION: &str = "https://www.pullthatupjamie.ai";
const SERVICE: &str = "pullthatupjamie";
/// How long a token is good for, in seconds: 90 days.
const TOKEN_S: u64 = 90 * 86_400;

/// Prepaid balances by payment hash. An invoice that is not yet paid waits with its amount.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pending: HashMap<String, u64>,
    open: HashMap<String, Account>,
}

/// One prepaid balance, in millionths of a dollar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    deposited: u64,
    used: u64,
}

impl Accounts {
    pub(super) fn expect(&mut self, hash: &str, sat: u64) {
        self.pending.insert(hash.to_owned(), sat.saturating_mul(MICRO_USD_PER_SAT));
    }

    fn activate(&mut self, hash: &str) {
        if let Some(deposited) = self.pending.remove(hash) {
            self.open.insert(hash.to_owned(), Account { deposited, used: 0 });
        }
    }

    /// Takes a price; what is left, either way.
    pub(super) fn charge(&mut self, hash: &str, price: u64) -> Result<u64, u64> {
        let Some(account) = self.open.get_mut(hash) else { return Err(0) };
        let left = account.left();
        let rest = left.checked_sub(price).ok_or(left)?;
        account.used += price;
        Ok(rest)
    }

    pub(super) fn state(&self, hash: &str) -> Option<Account> {
        self.open.get(hash).copied()
    }

    pub(super) fn total_left(&self) -> u64 {
        self.open.values().map(|a| a.left()).sum()
    }
}

impl Account {
    fn left(self) -> u64 {
        self.deposited.saturating_sub(self.used)
    }

    /// The answer of `GET /api/agent/balance`.
    pub(super) fn describe(self, hash: &str) -> Value {
        json!({
            "balanceUsd": usd(self.left()),
            "balanceUsdMicro": self.left(),
            "totalDepositedUsd": usd(self.deposited),
            "totalDepositedUsdMicro": self.deposited,
            "usedUsd": usd(self.used),
            "usedUsdMicro": self.used,
            "btcUsdRate": SATS_PER_USD * 100,
            "clientId": format!("prepaid:{hash}"),
        })
    }
}

impl Service {
    /// Mints the token of an invoice: macaroons.js, V1, base64url, the hash in hex as its identifier.
    pub(super) fn mint(&self, hash: &str) -> String {
        let expires = self.clock.now_s() + TOKEN_S;
        let caveats =
            vec![format!("service = {SERVICE}"), format!("payment_hash = {hash}"), format!("expires_at = {expires}")];
        let token = Macaroon::mint(&self.root_key.of(hash.as_bytes()), LOCATION, hash.as_bytes().to_vec(), caveats);
        BASE64URL_NOPAD.encode(&token.to_v1())
    }

    /// The payment hash behind a valid credential, whose balance is opened at its first use. `None` is an anonymous
    /// caller, whatever was wrong.
    pub(super) fn prepaid(&self, headers: &HeaderMap) -> Option<String> {
        let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = text.split_once(' ')?;
        let (token, preimage) = rest.trim().rsplit_once(':')?;
        if !scheme.eq_ignore_ascii_case("L402") || preimage.len() != 64 {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).or_else(|_| BASE64URL.decode(token.as_bytes())).ok()?;
        let token = Macaroon::from_v1(&bytes)?;
        let hash = String::from_utf8(token.identifier.clone()).ok()?;
        let preimage = HEXLOWER_PERMISSIVE.decode(preimage.as_bytes()).ok()?;
        let fits = HEXLOWER.encode(&crate::sha256(&preimage)) == hash && token.caveat("payment_hash") == Some(&hash);
        let fresh = token.caveat("expires_at")?.parse::<u64>().ok()? > self.clock.now_s();
        let ours = token.caveat("service") == Some(SERVICE) && token.is_genuine(&self.root_key.of(hash.as_bytes()));
        (fits && fresh && ours).then(|| {
            lock(&self.accounts).activate(&hash);
            hash
        })
    }
}
