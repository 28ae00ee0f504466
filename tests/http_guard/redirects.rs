//! Which redirects are followed, and what goes along.

use std::{
    net::Ipv4Addr,
    sync::{Arc, OnceLock},
};

use crate::{asking::*, certificates::World, seller::*};
use bursar::http::{Ask, Bytes, Client, Error, Settings};
use http::{HeaderValue, Method};
use tokio::{io::AsyncWriteExt, net::TcpListener};
use url::Url;

/// A50, A69: what pays or says something stays in its origin, whatever the status and the spelling of the target.
#[tokio::test]
async fn a_credential_or_a_body_never_leaves_its_origin() {
    let other = Seller::saying(reply("200 OK", "", "caught")).await;
    for status in [301, 302, 303, 307, 308] {
        for target in [
            format!("http://127.0.0.1:{}/x", other.port),
            format!("//127.0.0.1:{}/x", other.port),
            format!("\\\\127.0.0.1:{}\\x", other.port),
            format!("http://localhost:{}/x", other.port),
        ] {
            let seller = Seller::saying(redirect(status, &target)).await;
            for ask in [
                paying(get(seller.url("/"))),
                post(seller.url("/"), "body"),
                paying(post(seller.url("/"), "body")),
                Ask { method: Method::DELETE, ..get(seller.url("/")) },
                Ask { body: Bytes::from_static(b"body"), ..get(seller.url("/")) },
            ] {
                let answer = seller_send(&at_home(), ask).await.unwrap();
                assert_eq!((answer.status, answer.hops, &answer.body[..]), (status, 0, &b"moved"[..]));
                let moved = answer.moved.expect("the target is shown");
                assert_eq!((moved.port(), moved.path()), (Some(other.port), "/x"));
            }
        }
    }
    assert_eq!(other.connects(), 0);
}

/// A50: a request that only reads may go on to another seller, without what says who asks.
#[tokio::test]
async fn a_reader_may_be_sent_elsewhere_but_takes_nothing_along() {
    let end = Seller::saying(reply("200 OK", "", "found")).await;
    let seller = Seller::saying(redirect(302, end.url("/end#part").as_str())).await;
    let mut ask = get(seller.url("/start?q=1"));
    for (name, value) in
        [("accept", "text/csv"), ("idempotency-key", SECRET), ("x-free-tier", SECRET), ("x-api-key", SECRET)]
    {
        ask.headers.insert(name, HeaderValue::from_static(value));
    }
    let answer = seller_send(&at_home(), ask).await.unwrap();
    assert_eq!((answer.status, answer.hops, answer.moved), (200, 1, None));
    assert_eq!((answer.url, &answer.body[..]), (end.url("/end"), &b"found"[..]));
    assert!(seller.heard()[0].contains(SECRET));
    let heard = &end.heard()[0];
    assert!(heard.contains("accept: text/csv") && !heard.contains(SECRET), "{heard}");
    assert!(!heard.contains("referer") && !heard.contains("q=1"), "{heard}");
}

/// A50: who was elsewhere on the way comes home as a stranger: the way back is the other seller's choice.
#[tokio::test]
async fn the_way_back_from_another_origin_takes_nothing_along() {
    let back = Arc::new(OnceLock::<Url>::new());
    let home = back.clone();
    let other = Seller::doing(move |_, mut wire| {
        let answer = redirect(302, home.get().map_or("/", Url::as_str));
        async move {
            let _ = wire.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let away = other.url("/");
    let seller = Seller::doing(move |request, mut wire| {
        let first = request.starts_with("GET /start");
        let answer = if first { redirect(302, away.as_str()) } else { reply("200 OK", "", "") };
        async move {
            let _ = wire.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    back.set(seller.url("/chosen")).unwrap();
    let mut ask = get(seller.url("/start"));
    ask.headers.insert("idempotency-key", HeaderValue::from_static(SECRET));
    let answer = seller_send(&at_home(), ask).await.unwrap();
    assert_eq!((answer.status, answer.hops, answer.url), (200, 2, seller.url("/chosen")));
    let carried: Vec<bool> = seller.heard().iter().map(|heard| heard.contains(SECRET)).collect();
    assert_eq!(carried, [true, false]);
}

/// A50: within its origin a paid request follows, byte for byte, where the status keeps its method.
#[tokio::test]
async fn within_its_origin_a_paid_request_keeps_its_method_body_and_credential() {
    for (status, method, follows) in [
        (301, Method::GET, true),
        (303, Method::GET, true),
        (308, Method::GET, true),
        (302, Method::HEAD, true),
        (307, Method::POST, true),
        (308, Method::POST, true),
        (301, Method::POST, false),
        (302, Method::POST, false),
        (303, Method::POST, false),
    ] {
        let seller = Seller::doing(move |request, mut wire| async move {
            let first = request.split(' ').nth(1) == Some("/");
            let body = if request.starts_with("HEAD") { "" } else { "ok" };
            let answer = if first { redirect(status, "/next") } else { reply("200 OK", "", body) };
            let answer = if request.starts_with("HEAD") { answer.replace("moved", "") } else { answer };
            let _ = wire.write_all(answer.as_bytes()).await;
        })
        .await;
        let body = if method == Method::POST { "buy" } else { "" };
        let ask = Ask { method: method.clone(), ..paying(post(seller.url("/"), body)) };
        let answer = seller_send(&at_home(), ask).await.unwrap();
        assert_eq!(answer.status == 200, follows, "{status} {method}");
        assert_eq!(answer.moved.is_some(), !follows, "{status} {method}");
        for request in seller.heard() {
            assert!(request.starts_with(&method.as_str().to_lowercase()) && request.ends_with(body), "{request}");
            assert!(request.contains(&format!("payment-signature: {SECRET}")), "{request}");
        }
        assert_eq!(seller.connects(), 1 + usize::from(follows));
    }
}

/// A50: three redirects at most, and never in a circle.
#[tokio::test]
async fn redirects_end() {
    let seller = Seller::doing(|request, mut wire| async move {
        let path = request.split(' ').nth(1).unwrap_or("/");
        let next = match path {
            "/self" => "/self".to_owned(),
            "/a" => "/b".to_owned(),
            "/b" => "/a#again".to_owned(),
            more => format!("{more}x"),
        };
        let _ = wire.write_all(redirect(302, &next).as_bytes()).await;
    })
    .await;
    for (path, hops, asked) in [("/self", 0, 1), ("/a", 1, 2), ("/long", 3, 4)] {
        let before = seller.connects();
        let answer = seller_send(&at_home(), get(seller.url(path))).await.unwrap();
        assert_eq!((answer.status, answer.hops, seller.connects() - before), (302, hops, asked), "{path}");
        assert!(answer.moved.is_some());
    }
}

/// A50: each hop is judged like a first one; a target that is refused is shown and not asked.
#[tokio::test]
async fn a_redirect_to_an_inner_address_is_not_followed() {
    for (target, moved) in [
        ("http://169.254.169.254/latest/meta-data", true),
        ("http://10.0.0.1/", true),
        ("https://[::ffff:127.0.0.1]/", true),
        ("https://metadata.google.internal/", true),
        ("https://me:pw@api.example/", true),
        ("https://api.example:22/", true),
        ("http://api.example/", true),
        ("//2852039166/", true),
        ("https://bent.example/", true),
        ("javascript:alert(1)", false),
        ("file:///etc/passwd", false),
        ("data:,x", false),
        ("http://[", false),
    ] {
        let names = Names::answering("bent.example", &[&["1.1.1.1", "10.0.0.1"]]);
        let settings = Settings { allow_loopback: true, resolver: Some(names), ..Settings::default() };
        let seller = Seller::saying(redirect(307, target)).await;
        let answer = seller_send(&Client::new(settings), get(seller.url("/"))).await.unwrap();
        assert_eq!((answer.status, answer.hops, answer.moved.is_some()), (307, 0, moved), "{target}");
        assert_eq!(seller.connects(), 1);
    }
}

/// A50, A52: from TLS nothing follows into plain text, not even on the same host.
#[tokio::test]
async fn a_redirect_from_tls_to_plain_text_is_not_followed() {
    let world = World::new();
    let plain = Seller::saying(reply("200 OK", "", "")).await;
    let target = plain.url("/x");
    let seller = world.seller_saying(world.leaf(&["127.0.0.1"], None), redirect(302, target.as_str())).await;
    let url = Url::parse(&format!("https://127.0.0.1:{}/", seller.port)).unwrap();
    let answer = seller_send(&Client::new(world.settings(&seller)), get(url)).await.unwrap();
    assert_eq!((answer.status, answer.moved, plain.connects()), (302, Some(target), 0));
}

/// Rule 2 of a purchase, "an error is not a no": once any seller heard the request, a failure says so.
#[tokio::test]
async fn a_failure_says_whether_the_request_may_have_arrived() {
    let deaf = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = Url::parse(&format!("http://{}/", deaf.local_addr().unwrap())).unwrap();
    drop(deaf);
    let error = seller_send(&at_home(), paying(get(closed.clone()))).await.unwrap_err();
    assert!(matches!(error, Error::Failed { sent: false, .. }), "{error:?}");

    let seller = Seller::saying(redirect(302, closed.as_str())).await;
    failed_after_sending(seller_send(&at_home(), get(seller.url("/"))).await);

    let silent = Seller::doing(|_, wire| async move { drop(wire) }).await;
    failed_after_sending(seller_send(&at_home(), paying(post(silent.url("/"), "x"))).await);
    assert_eq!(silent.connects(), 1, "nothing is sent twice");

    let short = Seller::saying("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").await;
    failed_after_sending(seller_send(&at_home(), get(short.url("/"))).await);

    let names = Names::answering("known.example", &[&[]]);
    let client = Client::new(Settings { resolver: Some(names), ..Settings::default() });
    for name in ["known", "unknown"] {
        let url = Url::parse(&format!("https://{name}.example/")).unwrap();
        let error = seller_send(&client, get(url)).await.unwrap_err();
        assert!(matches!(error, Error::Failed { sent: false, .. }), "{error:?}");
    }
}
