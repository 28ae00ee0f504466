//! How long the wallet takes to answer, over the sandbox's own relay and wallet on this machine: `cargo bench --bench nwc`.
//!
//! Prints medians. Nothing here is asserted: a busy machine is not a defect.
//!
//! `cargo bench --bench nwc -- --pay-lines FILE` measures nothing itself: it pays the invoices that it reads from
//! standard input, a line each, with the wallet whose connection string stands in the file, and writes a line when each
//! is paid. So `tests/peers/latency` can time it beside another client, on that client's clock.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bursar::{
    ledger::{Intent, PurchaseId},
    protocol::bolt11::Invoice,
    sandbox::{Sandbox, SandboxOptions, WalletOptions},
    secret::Secret,
    wallet::{
        Bill, PaySaid, Wallet,
        nwc::{NwcOptions, NwcWallet, Scheme},
    },
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const ROUNDS: usize = 100;

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
    println!("{what:<52} p50 {:>7.2} ms   p90 {:>7.2} ms", at(50), at(90));
}

fn client(sandbox: &Sandbox, floor: Option<Scheme>) -> NwcWallet {
    NwcWallet::new(&sandbox.nwc_uri(), NwcOptions { floor, ..NwcOptions::default() }).expect("a wallet string")
}

async fn info(client: &NwcWallet) -> Duration {
    let began = Instant::now();
    client.info().await.expect("the wallet answers");
    began.elapsed()
}

async fn pay(sandbox: &Sandbox, client: &NwcWallet) -> Duration {
    let invoice = sandbox.node().invoice(1_000, "bench", 600).expect("an invoice");
    let began = Instant::now();
    let said = pay_invoice(client, invoice.bolt11).await;
    assert!(matches!(said, PaySaid::Settled { .. }), "{said:?}");
    began.elapsed()
}

/// What a purchase asks of its wallet: the exact bytes, then their sending. What stands between the two, the ledger's
/// commit, is no work of the wallet's.
async fn pay_invoice(client: &NwcWallet, text: String) -> PaySaid {
    let invoice = Invoice::read(&text).expect("an invoice that names its price");
    let (price, fee_cap) = (invoice.amount, client.fee_cap(invoice.amount));
    let expires_at = invoice.expires_s;
    let payment_hash = invoice.payment_hash.clone();
    let bill = Bill::Bolt11 { invoice: text, payment_hash, amount: price, expires_at, fee_cap };
    let prepared = client.prepare(&bill).await.expect("it can be signed");
    let intent = Intent {
        purchase: PurchaseId::random(),
        n: 0,
        protocol: "l402".into(),
        rail: "lightning".into(),
        network: "regtest".into(),
        asset: "btc".into(),
        payee: String::new(),
        rail_key: format!("ln:{}", invoice.payment_hash),
        wallet: "nwc".into(),
        price,
        fee_cap,
        liability_until: expires_at,
        resend_until: prepared.resend_until,
        pin: Vec::new(),
        wire: prepared.wire,
    };
    client.pay_intent(&intent, true).await
}

/// Pays what it is told to until the lines end, over one connection that stays.
async fn pay_lines(file: &str) {
    let uri = std::fs::read_to_string(file).expect("a file with a wallet string");
    let client = NwcWallet::new(&Secret::new(uri.trim()), NwcOptions::default()).expect("a wallet string");
    // Waiting for a line leaves the runtime to the connection, as in a server that lives as long as its host.
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.expect("a line") {
        let said = pay_invoice(&client, line).await;
        assert!(matches!(said, PaySaid::Settled { .. }), "{said:?}");
        println!("paid");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A sandbox on a thread of its own, as if it were on another machine. It ends with the process.
fn elsewhere(options: SandboxOptions) -> Arc<Sandbox> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let sandbox = Arc::new(Sandbox::start(options).await.expect("the sandbox"));
            sender.send(sandbox.clone()).expect("somebody waits for it");
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().expect("the sandbox starts")
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--pay-lines");
    if arguments.next().is_some() {
        return runtime().block_on(pay_lines(&arguments.next().expect("--pay-lines FILE")));
    }
    let here = runtime();
    for (name, methods) in [("core wallet", &[][..]), ("wallet with get_budget and pay", &["get_budget", "pay"])] {
        let wallet = WalletOptions { quota_msat: Some(1_000_000_000), ..WalletOptions::default() }.and_methods(methods);
        let options = SandboxOptions { wallet, balance_sat: 1_000_000, ..SandboxOptions::default() };
        let sandbox = elsewhere(options);
        here.block_on(async {
            println!("{name}, {ROUNDS} rounds:");
            for (what, floor) in [("first run", None), ("later run", Some(Scheme::Nip44))] {
                let mut times = Vec::new();
                for _ in 0..ROUNDS {
                    times.push(info(&client(&sandbox, floor)).await);
                }
                show(&format!("  balance, cold: connect and ask, {what}"), times);
            }
            let warm = client(&sandbox, None);
            info(&warm).await;
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                times.push(info(&warm).await);
            }
            show("  balance, warm", times);
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                times.push(pay(&sandbox, &client(&sandbox, None)).await);
            }
            show("  pay, cold: connect, description, sign, pay", times);
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                times.push(pay(&sandbox, &warm).await);
            }
            show("  pay, warm: sign and pay", times);
        });
    }
}
