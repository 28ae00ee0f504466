//! The NWC wallet against a scripted relay and wallet: honest, odd and hostile.
//!
//! "Row" names a way in which a relay or wallet misbehaves and some client fails, "hazard" a numbered group of what was
//! seen of real wallets (1 lost replies, 2 late execution, 4 false preimages, 5 forgeries, 6 duplicates, 7 downgrades,
//! 8 and 9 relays, 10 silence, 12 odd shapes, 13 clocks, 14 same-second requests, 15 rate limits, 16 leaks, 17 fees,
//! 18 leaked subscriptions, 19 delays, 20 where a relay may be); A17, A75 and A78 are attacks: a wrong preimage, a
//! leaked secret, a forged reply.

mod dials;
mod encryption;
mod payments;
mod peer;
mod reading;
mod relays;
mod replies;
mod secrets;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bursar::{
    clock::Clock,
    money::Amount,
    protocol::World,
    wallet::{LookSaid, PaySaid, Wallet, WalletError, nwc::NwcWallet, nwc::Pace, nwc::Scheme},
};
use dials::{Counting, Redirect};
use nostr::{event::Event, key::Keys};
use peer::*;
use serde_json::{Value, json};
use tokio::sync::Notify;
/// Prepares the usual bill and pays it as the ledger would.
async fn buy(client: &NwcWallet) -> PaySaid {
    let prepared = client.prepare(&bill()).await.unwrap();
    client.pay_intent(&intent(&prepared.wire, prepared.resend_until), true).await
}

fn settled(said: &PaySaid) -> bool {
    matches!(said, PaySaid::Settled { preimage, .. } if preimage.expose() == PREIMAGE)
}

fn why(said: PaySaid) -> String {
    match said {
        PaySaid::Unknown { why } => why,
        other => panic!("not unknown: {other:?}"),
    }
}

fn not_sent(said: PaySaid) -> String {
    match said {
        PaySaid::NotSent { why } => why,
        other => panic!("it may have been sent: {other:?}"),
    }
}

fn refused(said: PaySaid) -> (String, bool) {
    match said {
        PaySaid::Refused { code, sent_once, .. } => (code, sent_once),
        other => panic!("not refused: {other:?}"),
    }
}

/// One purchase from a wallet that answers a payment with these events.
async fn against(script: impl Fn(&Service, &Asked) -> Vec<Act> + Send + Sync + 'static) -> PaySaid {
    let service = Service::new();
    let peer = Peer::scripted(&service, script).await;
    buy(&service.client(&[&peer.url], |_| {})).await
}

/// One purchase from a wallet that stays silent in the end, so that the wait runs out.
async fn in_vain(script: impl Fn(&Service, &Asked) -> Vec<Act> + Send + Sync + 'static) -> String {
    let service = Service::new();
    let peer = Peer::scripted(&service, script).await;
    why(buy(&service.client(&[&peer.url], short)).await)
}

fn short(o: &mut bursar::wallet::nwc::NwcOptions) {
    o.reply_timeout = Duration::from_secs(1);
}

fn looked(said: LookSaid) -> String {
    match said {
        LookSaid::Settled { preimage: Some(p), fee } if p.expose() == PREIMAGE => format!("proved {fee:?}"),
        LookSaid::CannotTell { why } => format!("cannot tell: {why}"),
        other => format!("{other:?}"),
    }
}

fn error_of(asked: &Asked, code: &str) -> Value {
    error(&asked.method, code)
}
