//! The same for sessions: what opened a deposit opens it again for whoever has it, and so does what topped it up.

use bursar::sandbox::{SandboxOptions, mpp_shop::MppShopOptions};
use serde_json::json;

use crate::{support::World, written::Written};

#[tokio::test]
async fn what_opens_a_session_or_tops_it_up_leaves_only_in_a_header_to_its_seller() {
    let shop = MppShopOptions { deposit_sat: 100, ..MppShopOptions::default() };
    let mut world = World::with_options("", SandboxOptions { mpp_shop: shop, ..SandboxOptions::default() }).await;
    for name in ["BURSAR_LOG", "RUST_LOG"] {
        world.env(name, "trace");
    }
    world.env("RUST_BACKTRACE", "full");
    let url = |path: &str| format!("{}{path}", world.sandbox.mpp_url());
    let host = world.host().await;
    let opened = host.fetch(json!({ "url": url("/chat") })).await;
    assert_eq!(opened.outcome(), "bought", "{}", opened.text());
    let streamed = host.fetch(json!({ "url": url("/stream?chunks=60") })).await;
    assert_eq!(streamed.outcome(), "bought", "{}", streamed.text());
    host.call("get_balance", json!({})).await;
    host.fetch(json!({ "result_id": opened.purchase() })).await;
    for uri in ["bursar://audit".to_owned(), format!("bursar://purchase/{}", opened.purchase())] {
        let read = host.request("resources/read", json!({ "uri": uri })).await.expect("an answer");
        assert!(read.get("error").is_none(), "{read}");
    }
    let mut written = Written::default();
    written.host("server", &host);
    for args in [
        &["sessions"][..],
        &["sessions", "--json"],
        &["balance"],
        &["audit"],
        &["audit", "--json"],
        &["audit", "--csv"],
    ] {
        let (_, out, err) = world.run(args).await;
        written.note(&format!("bursar {args:?}: standard output"), out);
        written.note(&format!("bursar {args:?}: standard error"), err);
    }
    written.home(&world.home());
    assert!(host.close().await.success());
    let (_, out, err) = world.run(&["sessions", "close"]).await;
    written.note("bursar sessions close: standard output", out);
    written.note("bursar sessions close: standard error", err);
    written.home(&world.home());
    let moved = world.node().moved();
    assert_eq!(moved.len(), 2, "a deposit and a top-up");
    let secrets: Vec<String> =
        moved.iter().map(|m| world.node().preimage(&m.hash).expect("a preimage").expose().to_owned()).collect();
    written.holds_none(&secrets);
    // The canaries are the right ones: the ledger's secret columns do hold them.
    let mut raw = Vec::new();
    for name in ["ledger.db", "ledger.db-wal"] {
        raw.extend(std::fs::read(world.home().join(name)).unwrap_or_default());
    }
    let raw = String::from_utf8_lossy(&raw).into_owned();
    assert!(secrets.iter().all(|secret| raw.contains(secret)), "the ledger keeps what was bought");
}
