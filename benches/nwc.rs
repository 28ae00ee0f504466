//! How long the wallet takes to answer, over the sandbox's own relay and wallet on this machine: `cargo bench --bench nwc`.
//!
//! Prints medians. Nothing here is asserted: a busy machine is not a defect.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bursar::{
    clock::Clock,
    ledger::{Intent, PurchaseId},
    money::Amount,
    sandbox::{Sandbox, SandboxOptions, WalletOptions},
    wallet::{
        Bill, PaySaid, Wallet,
        nwc::{NwcOptions, NwcWallet, Scheme},
    },
};

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
    let (price, fee_cap) = (Amount::msat(1_000).expect("an amount"), Amount::msat(10_000).expect("an amount"));
    let expires_at = Clock::system().now_s() + 600;
    let payment_hash = invoice.payment_hash.clone();
    let bill = Bill::Bolt11 { invoice: invoice.bolt11, payment_hash, amount: price, expires_at, fee_cap };
    let began = Instant::now();
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
    let said = client.pay_intent(&intent, true).await;
    assert!(matches!(said, PaySaid::Settled { .. }), "{said:?}");
    began.elapsed()
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
