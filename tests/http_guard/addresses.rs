//! Where we may connect.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::atomic::Ordering,
};

use crate::{asking::*, certificates::World, seller::*};
use bursar::http::{Client, Policy, Settings, connect_tcp, vet_url};
use tokio::net::TcpListener;
use url::Url;

/// Spellings of addresses that are nobody's on the public internet, as hosts of a URL.
const INNER_HOSTS: &[&str] = &[
    // This machine, A44.
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "00000000",
    "0x0",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f000001",
    "0X7F000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "017700000001",
    "00000000000000000000000000177.1",
    "2130706433",
    "127.0.0.0x1",
    "127.0x1",
    "①②⑦.⓪.⓪.①",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "%31%32%37.0.0.1",
    "%6c%6f%63%61%6c%68%6f%73%74",
    "localhost",
    "LOCALHOST",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    "localhost.",
    "api.localhost",
    "local\u{ad}host",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::0.0.0.1]",
    "[::]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:127.1.1.1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    // Metadata services, A45.
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "169.254.43518",
    "0251.0376.0251.0376",
    "169.254.170.2",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "[fe80::a9fe:a9fe]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.INTERNAL",
    "metadata.google.internal.",
    "instance-data.ec2.internal",
    // Private and special blocks, A46.
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "012.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.1.1",
    "3232235777",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::8.8.8.8]",
    "[64:ff9b:1::7f00:1]",
    "[64:ff9b:1:fffe::10.0.0.1]",
    "[100::1]",
    "[2001::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[2001:db8::1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001::1]",
    "[2002:a9fe:a9fe::]",
    "[2002:0a00:0001::1]",
    "[3ffe:831f::1]",
    "[3fff::1]",
    "[2a00:1450::5efe:127.0.0.1]",
    "[2a00:1450::200:5efe:10.0.0.1]",
    "[4000::1]",
    "[5f00::1]",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[fe80::1]",
    "[feb0::1]",
    "[fec0::1]",
    "[feff::1]",
    "[ff01::1]",
    "[ff02::1]",
    "[ff0e::1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:192.168.1.1]",
    "[::ffff:8.8.8.8]",
    "[::8.8.8.8]",
    // Names of inner networks.
    "printer.local",
    "PRINTER.LOCAL",
    "router.home.arpa",
    "kubernetes.default.svc.cluster.local",
    "host.docker.internal",
    "intranet",
    "wpad",
    "hidden.onion",
    "public.example.",
];

/// A44, A45, A46, A48: the rule is about the address that a spelling means, not about the spelling.
#[tokio::test]
async fn no_spelling_of_an_inner_address_is_ever_connected_to() {
    assert!(INNER_HOSTS.len() >= 120, "{}", INNER_HOSTS.len());
    let (v4, v6) = on_both_loopbacks().await;
    // The port is allowed, so that only the address can be what is wrong.
    let settings = Settings { extra_ports: vec![v4.port], ..Settings::default() };
    let client = Client::new(settings.clone());
    for host in INNER_HOSTS {
        for scheme in ["https", "http"] {
            let text = format!("{scheme}://{host}:{}/secret", v4.port);
            let code = refusal(vet_url(Policy::Seller, &settings, &text).map(|_| text.clone()));
            assert!(["address", "name", "url"].contains(&code), "{text}: {code}");
            // Whoever judged it before, the client judges it again; so does the relay link.
            if let Ok(url) = Url::parse(&text) {
                assert_eq!(refusal(seller_send(&client, get(url.clone())).await), code, "{text}");
                assert_eq!(refusal(connect_tcp(Policy::Seller, &settings, &url).await), code, "{text}");
            }
        }
    }
    assert_eq!((v4.connects(), v6.connects()), (0, 0));
}

async fn on_both_loopbacks() -> (Seller, Seller) {
    let act = |_, _| async {};
    for _ in 0..100 {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        if let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, v4.local_addr().unwrap().port())).await {
            return (Seller::open(v4, None, act), Seller::open(v6, None, act));
        }
    }
    panic!("no port is free on both loopbacks");
}

/// A44: the operator's word opens this machine, and nothing else with it.
#[tokio::test]
async fn allow_loopback_opens_this_machine_and_nothing_else() {
    let settings = Settings { allow_loopback: true, ..Settings::default() };
    for text in
        ["http://127.0.0.1:9", "http://127.9.9.9:1234", "https://[::1]:9", "http://localhost:9", "http://a.localhost"]
    {
        assert!(vet_url(Policy::Seller, &settings, text).is_ok(), "{text}");
    }
    let here = |host: &str| {
        let url = Url::parse(&format!("https://{host}")).ok();
        match url.as_ref().and_then(Url::host) {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
    };
    for host in INNER_HOSTS.iter().filter(|host| !here(host)) {
        refusal(vet_url(Policy::Seller, &settings, &format!("https://{host}/")));
    }
    let seller = Seller::saying(reply("200 OK", "", "hello")).await;
    let answer = seller_send(&at_home(), get(seller.url("/"))).await.unwrap();
    assert_eq!((answer.status, &answer.body[..], answer.hops), (200, &b"hello"[..], 0));
}

/// A47: one inner address among public ones refuses the name, over TLS as well; so do names that mean one.
#[tokio::test]
async fn a_name_with_one_inner_address_is_refused_whole() {
    let (v4, v6) = on_both_loopbacks().await;
    for answers in [
        &["127.0.0.1"][..],
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "1.1.1.1"],
        &["2606:4700::1111", "::1"],
        &["1.1.1.1", "1.0.0.1", "169.254.169.254"],
        &["10.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["100.100.100.200"],
    ] {
        let names = Names::answering("127.0.0.1.nip.example", &[answers]);
        let settings = Settings { extra_ports: vec![v4.port], resolver: Some(names.clone()), ..Settings::default() };
        let url = Url::parse(&format!("https://127.0.0.1.nip.example:{}/", v4.port)).unwrap();
        assert_eq!(refusal(connect_tcp(Policy::Seller, &settings, &url).await), "address", "{answers:?}");
        let sent = seller_send(&Client::new(settings), paying(post(url, "x"))).await;
        assert_eq!(refusal(sent), "address", "{answers:?}");
        assert_eq!(names.asked.load(Ordering::SeqCst), 2, "each connection asks once");
    }
    assert_eq!((v4.connects(), v6.connects()), (0, 0));
}

/// A47: a name that changes its answer is judged at each connection, and connected to where it was judged.
#[tokio::test]
async fn a_name_that_changes_its_answer_is_judged_again() {
    let world = World::new();
    let seller = world.seller(world.leaf(&["shop.example"], None)).await;
    let names = Names::answering("shop.example", &[&["127.0.0.1"], &["127.0.0.1", "10.0.0.1"], &["127.0.0.1"]]);
    let client = Client::new(Settings { resolver: Some(names.clone()), ..world.settings(&seller) });
    let url = Url::parse(&format!("https://shop.example:{}/", seller.port)).unwrap();
    assert_eq!(seller_send(&client, get(url.clone())).await.unwrap().status, 200);
    assert_eq!(refusal(seller_send(&client, get(url.clone())).await), "address");
    assert_eq!(seller_send(&client, get(url)).await.unwrap().status, 200);
    // One look-up a connection: there is no second one whose answer could differ from the one that was judged.
    assert_eq!((names.asked.load(Ordering::SeqCst), seller.connects()), (3, 2));
}

/// A47: `localhost` is this machine whatever a resolver says.
#[tokio::test]
async fn localhost_is_never_looked_up() {
    let names = Names::answering("a.localhost", &[&["1.1.1.1"]]);
    let seller = Seller::saying(reply("200 OK", "", "")).await;
    let settings = Settings { allow_loopback: true, resolver: Some(names.clone()), ..Settings::default() };
    let url = Url::parse(&format!("http://a.localhost:{}/", seller.port)).unwrap();
    assert_eq!(seller_send(&Client::new(settings), get(url)).await.unwrap().status, 200);
    assert_eq!(names.asked.load(Ordering::SeqCst), 0);
}

/// A51, A52: the scheme, the user name and the port are judged before anything is looked up.
#[tokio::test]
async fn only_https_on_the_usual_ports_without_a_user_name() {
    let names = Names::answering("api.example", &[&["1.1.1.1"]]);
    let settings = Settings { extra_ports: vec![9443], resolver: Some(names.clone()), ..Settings::default() };
    let client = Client::new(settings.clone());
    for (text, code) in [
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:70/", "scheme"),
        ("ftp://api.example/", "scheme"),
        ("data:text/plain,hello", "scheme"),
        ("unix:/var/run/docker.sock", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("ws://api.example/", "scheme"),
        ("wss://api.example/", "scheme"),
        ("https://me@api.example/", "userinfo"),
        ("https://me:pw@api.example/", "userinfo"),
        ("https://:pw@api.example/", "userinfo"),
        ("https://a@b@169.254.169.254/", "userinfo"),
        ("https://api.example:22/", "port"),
        ("https://api.example:25/", "port"),
        ("https://api.example:6379/", "port"),
        ("https://api.example:0/", "port"),
        ("https://api.example:8444/", "port"),
        ("http://api.example/", "plain_text"),
        ("http://api.example:8080/", "plain_text"),
        ("http://1.1.1.1/", "plain_text"),
        ("api.example/path", "url"),
        ("//api.example/path", "url"),
        ("https://", "url"),
        ("https://api..example/", "name"),
        ("", "url"),
    ] {
        assert_eq!(refusal(vet_url(Policy::Seller, &settings, text)), code, "{text}");
        if let Ok(url) = Url::parse(text) {
            assert_eq!(refusal(seller_send(&client, paying(get(url))).await), code, "{text}");
        }
    }
    for port in ["", ":443", ":80", ":8080", ":8443", ":9443"] {
        assert!(vet_url(Policy::Seller, &settings, &format!("https://api.example{port}/")).is_ok(), "{port}");
    }
    let long = format!("https://api.example/{}", "a".repeat(9000));
    assert_eq!(refusal(vet_url(Policy::Seller, &settings, &long)), "url");
    assert_eq!(names.asked.load(Ordering::SeqCst), 0);
}

/// Contracts, "Where we may connect": the operator may name any address, in plain text only this machine.
#[tokio::test]
async fn the_operator_may_name_any_address_but_plain_text_stays_here() {
    let settings = Settings::default();
    for text in [
        "https://10.0.0.1:8080/",
        "wss://relay.internal:7777",
        "https://node.local:1/",
        "http://127.0.0.1:1",
        "ws://localhost:7",
    ] {
        assert!(vet_url(Policy::Operator, &settings, text).is_ok(), "{text}");
    }
    for text in ["http://10.0.0.1/", "ws://relay.example/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/"] {
        assert_eq!(refusal(vet_url(Policy::Operator, &settings, text)), "plain_text", "{text}");
    }
    assert_eq!(refusal(vet_url(Policy::Operator, &settings, "https://me:pw@node.example/")), "userinfo");

    let seller = Seller::saying(redirect(307, "/again")).await;
    let answer = Client::new(settings.clone()).send(Policy::Operator, get(seller.url("/"))).await.unwrap();
    assert_eq!((answer.status, answer.moved, seller.connects()), (307, Some(seller.url("/again")), 1));

    let relay = Url::parse(&format!("ws://localhost:{}", seller.port)).unwrap();
    assert!(connect_tcp(Policy::Operator, &settings, &relay).await.unwrap().nodelay().unwrap());
    let relay = Url::parse("ws://127.0.0.1/").unwrap();
    assert_eq!(refusal(connect_tcp(Policy::Seller, &settings, &relay).await), "scheme");
    let ws = Client::new(settings).send(Policy::Operator, get(relay)).await;
    assert_eq!(refusal(ws), "scheme", "the HTTP client speaks no WebSocket");
}

/// A49: the variables that bend other clients through a proxy do nothing to this one.
#[tokio::test]
async fn proxy_variables_are_ignored() {
    let proxy = Seller::saying(reply("200 OK", "", "proxied")).await;
    let seller = Seller::saying(reply("200 OK", "", "direct")).await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "addresses::behind_a_proxy", "--ignored"]).env("SELLER", seller.url("/").as_str());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, format!("http://127.0.0.1:{}", proxy.port));
    }
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((proxy.connects(), seller.connects()), (0, 2));
}

/// The inner half of `proxy_variables_are_ignored`, since an environment belongs to a whole process.
#[tokio::test]
#[ignore = "run by proxy_variables_are_ignored"]
async fn behind_a_proxy() {
    let url = Url::parse(&std::env::var("SELLER").unwrap()).unwrap();
    for policy in [Policy::Seller, Policy::Operator] {
        let answer = at_home().send(policy, get(url.clone())).await.unwrap();
        assert_eq!(&answer.body[..], b"direct");
    }
}
