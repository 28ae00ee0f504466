//! The same canaries, and the agents' own tokens, over every way in that HTTP has.

use bursar::sandbox::{Behaviour, LookupSaid, PreimageSaid};
use serde_json::json;

use crate::{
    Teller,
    door::{Agent, Door, token},
    loud,
    stream::Older,
    support::Era,
    wallet_secrets,
    written::Written,
};

#[tokio::test]
async fn no_secret_leaves_a_server_that_buys_over_http() {
    let world = loud().await;
    let (shop, keeper, doubtful) =
        (Teller::start(&world).await, Teller::start(&world).await, Teller::start(&world).await);
    let mut tokens = Vec::new();
    for name in ["handshake", "stateless", "older"] {
        tokens.push(token(&world, name, &[]).await);
    }
    let watch = token(&world, "numbers", &["--watch"]).await;
    let door = Door::open(&world, &["--sse"]).await;
    let mut written = Written::default();
    for (era, made) in [Era::Handshake, Era::Stateless].into_iter().zip(&tokens) {
        let agent = Agent::come(&door, made, era).await;
        let bought = agent.fetch(json!({ "url": shop.seller.url("/a"), "purpose": "canary" })).await;
        assert_eq!(bought.outcome(), "bought", "{}", bought.text());
        written.note(&format!("{era:?}: bought"), bought.raw.to_string());
        for args in [
            json!({ "url": shop.seller.url("/a") }),
            json!({ "url": keeper.seller.url("/keeps") }),
            json!({ "url": world.sandbox.nwc_uri().expose() }),
            json!({ "url": shop.seller.url("/b"), "max_price": "1 sat" }),
            json!({ "result_id": bought.purchase() }),
            json!({ "url": made }),
        ] {
            written.note(&format!("{era:?}: fetch_paid"), agent.fetch(args).await.raw.to_string());
        }
        written.note(&format!("{era:?}: balance"), agent.call("get_balance", json!({})).await.raw.to_string());
        for uri in ["bursar://audit".to_owned(), format!("bursar://purchase/{}", bought.purchase())] {
            let read = agent.rpc("resources/read", json!({ "uri": uri })).await;
            assert!(read.get("error").is_none(), "{read}");
            written.note(&format!("{era:?}: {uri}"), read.to_string());
        }
    }
    let mut older = Older::come(&door, &tokens[2]).await;
    world.wallet().next(Behaviour::shows(PreimageSaid::Wrong).then_lookup(LookupSaid::NoPreimage));
    for url in [doubtful.seller.url("/x"), shop.seller.url("/c")] {
        let call = json!({ "name": "fetch_paid", "arguments": { "url": url } });
        written.note("older: fetch_paid", older.ask("tools/call", call).await.to_string());
    }
    let metrics = door.get("/metrics", &[("authorization", &format!("Bearer {watch}"))]).await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.body.contains("bursar_purchases{state=\"delivered\"}"), "{}", metrics.body);
    written.note("/metrics", metrics.body);
    for (path, bearer) in [("/mcp", "wrong"), ("/nothing", tokens[0].as_str()), ("/metrics", tokens[0].as_str())] {
        let told = door.get(path, &[("authorization", &format!("Bearer {bearer}"))]).await;
        written.note(path, format!("{:?} {}", told.headers, told.body));
    }
    let query = door.get(&format!("/mcp?token={}", tokens[0]), &[]).await;
    written.note("a token in a URL", query.body);
    written.note("standard error", door.log.lock().unwrap().clone());
    assert!(door.log.lock().unwrap().contains("DEBUG"), "the log is loud: {}", door.log.lock().unwrap());
    written.process("server", door.child.id().expect("it runs"));
    drop(older);
    drop(door);
    written.home(&world.home());
    let mut secrets = wallet_secrets(world.sandbox.nwc_uri().expose());
    let bought = shop.secrets(&world);
    secrets.extend([&shop, &keeper, &doubtful].iter().flat_map(|s| s.secrets(&world)));
    for token in tokens.iter().chain([&watch]) {
        secrets.push(token.rsplit_once('_').expect("a token").1.to_owned());
    }
    written.holds_none(&secrets);
    // The canaries are the right ones: what was bought does stand in the ledger's secret columns.
    let raw = std::fs::read(world.home().join("ledger.db")).unwrap();
    let log = std::fs::read(world.home().join("ledger.db-wal")).unwrap_or_default();
    let raw = String::from_utf8_lossy(&[raw, log].concat()).into_owned();
    assert!(bought.iter().any(|secret| raw.contains(secret)), "the ledger keeps what was bought");
    world.verify().await;
}
