//! The attack catalogue from outside: where a model or a seller can make Bursar connect, and what goes along.

mod support;
#[path = "support/tls.rs"]
mod tls;

use serde_json::json;
use support::{
    Reply, Seller, World,
    attack::{refuses, refuses_with},
    naive_msat,
    seller::opens,
    token_for,
};
use tls::{Authority, front};

/// A44, A45, A46, A47, A48, A51, A52: addresses that no model reaches, in every spelling; the listener on this machine
/// hears nothing, even though it would sell.
#[tokio::test]
async fn no_spelling_of_an_inner_address_is_connected_to() {
    let mut world = World::new().await;
    let bait = Seller::honest(world.node(), 21_000, "secret").await;
    let port = bait.url("").rsplit(':').next().unwrap().to_owned();
    world.env("BURSAR_ALLOW_LOOPBACK", "0");
    let host = world.host().await;
    for place in [
        "127.0.0.1",
        "0",
        "0.0.0.0",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "①②⑦.⓪.⓪.①",
        "[::1]",
        "[::]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "127.0.0.1.",
        "%6c%6f%63alhost",
        "127。0。0。1",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[::ffff:0:127.0.0.1]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{place}:{port}/");
            refuses(&world, &host, json!({ "url": url }), &url).await;
        }
    }
    assert!(bait.hits().is_empty(), "{:?}", bait.hits());
    let bait_url = bait.url("/");
    host.close().await;

    // With loopback allowed, nothing else becomes reachable.
    world.env("BURSAR_ALLOW_LOOPBACK", "1");
    let host = world.host().await;
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "https://[fd00:ec2::254]/",
        "https://100.100.100.200/",
        "https://metadata.google.internal/",
        "https://192.0.0.192/",
        "https://10.0.0.1/",
        "https://192.168.0.1/",
        "https://172.16.0.1/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:a9fe:a9fe::]/",
        "https://[2001:0:a9fe:a9fe::]/",
        "https://[fec0::1]/",
        "https://[ff02::1]/",
        "https://[fe80::1]/",
        "https://0.1.2.3/",
        "https://100.64.0.1/",
        "https://192.0.0.1/",
        "https://198.18.0.1/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://router.local/",
        "https://db.internal/",
        "https://intranet/",
        "https://x.onion/",
        "https://example.com./",
        // A51: other schemes, users, ports
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "ftp://127.0.0.1/",
        "data:text/plain,x",
        "unix:/run/x",
        "javascript:alert(1)",
        "//127.0.0.1/",
        "\\\\127.0.0.1\\x",
        "https://a@b@169.254.169.254/",
        "https://user:secret@93.184.216.34/",
        "https://93.184.216.34:22/",
        "https://93.184.216.34:25/",
        "https://93.184.216.34:6379/",
        "https://93.184.216.34:0/",
        "http://127.0.0.1\r\n.example.com/",
        "https://93.184.216.34\t/",
        " ",
        "https://",
        "https:///x",
        "https://[::1",
        "https://exa mple.com/",
        // A52: nothing that could carry a credential over plain text
        "http://93.184.216.34/",
        "http://api.example.com/",
    ] {
        refuses(&world, &host, json!({ "url": url }), url).await;
        let told = host.call("discover_api", json!({ "url": url })).await;
        assert!(told.is_error() && !told.text().contains("user:secret"), "{url}: {}", told.text());
    }
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    let told = host.fetch(json!({ "url": bait_url })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "the operator's word opens loopback only");
    world.verify_money().await;
}

/// A49: a proxy in the environment is not asked.
#[tokio::test]
async fn a_proxy_in_the_environment_hears_nothing() {
    let mut world = World::new().await;
    let proxy = Seller::start(|_| Reply::ok("through the proxy")).await;
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        world.env(name, &proxy.url(""));
    }
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{}", told.text());
    refuses(&world, &host, json!({ "url": "http://169.254.169.254/" }), "metadata").await;
    assert!(proxy.hits().is_empty(), "{:?}", proxy.hits());
}

/// A50, l402 hazard 19: an unpaid request that is led elsewhere is not paid for there, whatever kind of redirect it was;
/// who asked is told where it points.
#[tokio::test]
async fn a_redirect_to_another_place_is_never_paid_at() {
    let world = World::new().await;
    let evil = Seller::honest(world.node(), 21_000, "evil").await;
    let host = world.host().await;
    let mut last = None;
    for status in [301, 302, 303, 307, 308] {
        let to = evil.url("/paid");
        let seller = Seller::start(move |_| Reply::status(status, "").header("location", &to)).await;
        for args in [json!({ "url": seller.url("/") }), json!({ "url": seller.url("/"), "body": "my words" })] {
            let before = evil.hits().len();
            let told = host.fetch(args.clone()).await;
            assert_ne!(told.outcome(), "bought", "{status} {args}: {}", told.text());
            assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0), "{status} {args}: {}", told.text());
            assert!(told.text().contains(&evil.url("/paid")), "{status} {args}: {}", told.text());
            assert!(
                evil.hits()[before..].iter().all(|h| h.body.is_empty() && !h.paid()),
                "{status}: nothing went along"
            );
        }
        last = Some(seller);
    }
    world.verify_money().await;
    assert_eq!(naive_msat(&world, &last.unwrap().url("/")).await, 21_000, "who follows pays the stranger");
}

/// A50: a host that the operator forbids is not paid by way of another one.
#[tokio::test]
async fn a_forbidden_host_is_not_paid_through_a_redirect() {
    let world = World::with("[sellers]\ndeny = [\"localhost\"]").await;
    let forbidden = Seller::honest(world.node(), 21_000, "forbidden").await;
    let named = forbidden.url("/x").replace("127.0.0.1", "localhost");
    let host = world.host().await;
    refuses_with(&world, &host, &named, "seller_not_allowed").await;
    let seller = Seller::start(move |_| Reply::status(302, "").header("location", &named)).await;
    let told = host.fetch(json!({ "url": seller.url("/") })).await;
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0), "{}", told.text());
    assert_eq!(naive_msat(&world, &seller.url("/")).await, 21_000);
}

/// A50: chains, loops, tricks of spelling and inner addresses end where they began; inside one origin a purchase works.
#[tokio::test]
async fn redirects_are_followed_inside_one_origin_and_not_for_ever() {
    let world = World::new().await;
    let node = world.node().clone();
    let seller = Seller::start(move |hit| {
        let to = |place: &str| Reply::status(302, "").header("location", place);
        match (hit.uri.path(), hit.credential()) {
            ("/door", _) => to("/room"),
            ("/room", Some((_, preimage))) if opens(&node, &preimage) => Reply::ok("inside"),
            ("/room", _) => {
                let invoice = node.invoice(21_000, "x", 600).expect("an invoice");
                Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
            }
            ("/loop", _) => to("/loop"),
            ("/metadata", _) => to("http://169.254.169.254/latest"),
            ("/inner", _) => to("//10.0.0.1/x"),
            ("/back", _) => to("\\\\10.0.0.1\\x"),
            ("/file", _) => to("file:///etc/passwd"),
            ("/script", _) => to("javascript:alert(1)"),
            (path, _) => to(&format!("{path}x")),
        }
    })
    .await;
    let host = world.host().await;
    for path in ["/loop", "/metadata", "/inner", "/back", "/file", "/script", "/hops"] {
        let told = host.fetch(json!({ "url": seller.url(path) })).await;
        assert!(["free", "refused"].contains(&told.outcome()), "{path}: {}", told.text());
        assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0), "{path}");
    }
    assert!(seller.hits().iter().filter(|h| h.uri.path().starts_with("/hops")).count() <= 4);
    let told = host.fetch(json!({ "url": seller.url("/door") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{}", told.text());
    assert!(told.text().contains("inside"), "{}", told.text());
    world.verify_money().await;
}

/// A50, A52, A69, A77, l402 hazards 18 and 19: what was bought at one origin is shown to no other, on the paid request, by
/// a redirect later, at another port, or under another name of the same machine.
#[tokio::test]
async fn a_token_never_leaves_its_origin() {
    let world = World::new().await;
    let other = Seller::start(|_| Reply::ok("other")).await;
    let (node, to) = (world.node().clone(), other.url("/landing"));
    let seller = Seller::start(move |hit| match (hit.uri.path(), hit.credential()) {
        ("/landing-after-pay" | "/later", Some(_)) => Reply::status(302, "").header("location", &to),
        (_, Some((_, preimage))) if opens(&node, &preimage) => Reply::ok("{}"),
        _ => {
            let invoice = node.invoice(21_000, "x", 600).expect("an invoice");
            Reply::l402(&token_for(&invoice.payment_hash), &invoice.bolt11)
        }
    })
    .await;
    let host = world.host().await;
    let told = host.fetch(json!({ "url": seller.url("/landing-after-pay") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{}", told.text());
    assert!(told.say().contains(&other.url("/landing")), "it says where it points: {}", told.say());
    for url in [seller.url("/later"), other.url("/landing"), seller.url("/x").replace("127.0.0.1", "localhost")] {
        host.fetch(json!({ "url": url })).await;
    }
    assert!(other.hits().iter().all(|h| !h.paid()), "{:?}", other.hits());
    let named = seller.hits().into_iter().filter(|h| h.headers["host"].to_str().unwrap().starts_with("localhost"));
    let named: Vec<_> = named.collect();
    assert!(!named[0].paid(), "another name is another origin: it is asked without the token first");
    assert_eq!(world.spent_msat(), 42_000, "and sells its own");
    world.verify_money().await;
}

/// A54: a certificate that is self-signed, over, or another's ends it before a price is heard; there is no switch.
#[tokio::test]
async fn a_seller_without_a_sound_certificate_is_not_paid() {
    let mut world = World::new().await;
    let authority = Authority::new();
    let seller = Seller::honest(world.node(), 21_000, "over TLS").await;
    let good = front(authority.leaf("127.0.0.1", None), &seller.url("")).await;
    let expired = front(authority.leaf("127.0.0.1", Some(2020)), &seller.url("")).await;
    let foreign = front(authority.leaf("api.example.com", None), &seller.url("")).await;
    let stranger = front(Authority::new().leaf("127.0.0.1", None), &seller.url("")).await;
    let host = world.host().await;
    for port in [good, expired, foreign, stranger] {
        refuses_with(&world, &host, &format!("https://127.0.0.1:{port}/"), "tls").await;
    }
    host.close().await;
    world.set_config(&format!("[http]\nextra_roots = \"{}\"", authority.roots().display()));
    let host = world.host().await;
    for port in [expired, foreign, stranger] {
        refuses_with(&world, &host, &format!("https://127.0.0.1:{port}/"), "tls").await;
    }
    assert!(seller.hits().is_empty(), "nothing was said through a false certificate");
    assert_eq!((world.spent_msat(), world.asked_to_pay()), (0, 0));
    let told = host.fetch(json!({ "url": format!("https://127.0.0.1:{good}/") })).await;
    assert_eq!((told.outcome(), world.spent_msat()), ("bought", 21_000), "{}", told.text());
    // A77: the same machine and another port, over plain text: the token stays at home.
    let before = seller.hits().len();
    host.fetch(json!({ "url": seller.url("/") })).await;
    assert!(!seller.hits()[before].paid(), "https and http are two origins");
}
