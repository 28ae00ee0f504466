//! A client on rust-nostr's stable line asks the sandbox's wallet and pays with it: first the crate `nwc`, then a bare
//! NIP-47 request sent with `nostr-sdk`. Both speak NIP-04, which that line of NIP-47 is made of.

use std::{env, fs, time::Duration};

use nostr_sdk::{
    nips::nip47::{NostrWalletConnectURI, PayInvoiceRequest, Request, Response},
    prelude::*,
};
use nwc::NWC;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "bursar-peer-nostr-sdk CONNECTION_STRING_FILE INVOICE INVOICE";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [file, first, second] = &args[..] else { return Err(USAGE.into()) };
    let uri = NostrWalletConnectURI::parse(fs::read_to_string(file)?.trim())?;
    tokio::time::timeout(Duration::from_secs(60), drive(uri, first, second)).await?
}

async fn drive(uri: NostrWalletConnectURI, first: &str, second: &str) -> Result<(), Failure> {
    let nwc = NWC::new(uri.clone());
    let before = nwc.get_balance().await?;
    let paid = nwc.pay_invoice(PayInvoiceRequest::new(first)).await?;
    println!("preimage {}", paid.preimage);
    let between = nwc.get_balance().await?;

    let client = Client::default();
    for relay in &uri.relays {
        client.add_relay(relay).await?;
    }
    client.connect().await;
    let paid = bare(&client, &uri, Request::pay_invoice(PayInvoiceRequest::new(second))).await?.to_pay_invoice()?;
    println!("preimage {}", paid.preimage);
    let after = bare(&client, &uri, Request::get_balance()).await?.to_get_balance()?.balance;
    println!("balance {before} {between} {after}");
    client.disconnect().await;
    Ok(())
}

/// One request by hand: listen for its answer first, then publish it.
async fn bare(client: &Client, uri: &NostrWalletConnectURI, request: Request) -> Result<Response, Failure> {
    let event = request.to_event(uri)?;
    let filter = Filter::new().kind(Kind::WalletConnectResponse).author(uri.public_key).event(event.id);
    let mut notifications = client.notifications();
    client.subscribe(filter, None).await?;
    let sent = client.send_event(&event).await?;
    if sent.success.is_empty() {
        return Err(format!("no relay took it: {:?}", sent.failed).into());
    }
    loop {
        if let RelayPoolNotification::Event { event: reply, .. } = notifications.recv().await?
            && reply.tags.event_ids().any(|id| *id == event.id)
        {
            return Ok(Response::from_event(uri, &reply)?);
        }
    }
}
