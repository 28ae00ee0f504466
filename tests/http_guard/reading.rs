//! How much and how long we read.

use std::time::{Duration, Instant};

use crate::{asking::*, seller::*};
use bursar::http::{Ask, Limits};
use http::Method;
use tokio::io::AsyncWriteExt;

/// One MiB that unpacks to one GiB: a gzip head and 1,024 equal blocks, each a MiB of zeros.
fn bomb() -> Vec<u8> {
    let mut block = vec![0xec, 0xc1, 0x31, 0x01, 0, 0, 0, 0xc2, 0xa0, 0xf5, 0x4f, 0x6d, 0x08, 0x5f, 0xa0];
    block.extend([0; 1016]);
    block.extend([0x3e, 0x03, 0, 0, 0xff, 0xff]);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3];
    (0..1024).for_each(|_| bytes.extend(&block));
    bytes
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// A55: a compressed bomb costs its limit, on a 402 and on a 200, and not what it would unpack to.
#[tokio::test]
async fn a_compressed_bomb_is_cut_at_its_limit() {
    for (status, cap) in [("402 Payment Required", 64 << 10), ("200 OK", 8 << 20)] {
        let bytes = bomb();
        let head = format!("HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bytes.len());
        let seller = Seller::saying([head.into_bytes(), bytes].concat()).await;
        let (before, start) = (peak_memory_kib(), Instant::now());
        let answer = seller_send(&at_home(), get(seller.url("/"))).await.unwrap();
        assert_eq!((answer.body.len(), answer.cut), (cap, true), "{status}");
        assert!(answer.body.iter().all(|b| *b == 0), "it was unpacked");
        let grown = peak_memory_kib() - before;
        assert!(grown < 200 << 10, "{status}: {grown} KiB");
        assert!(start.elapsed() < Duration::from_secs(10), "{status}: {:?}", start.elapsed());
    }
}

/// A55: other encodings are neither asked for nor unpacked.
#[tokio::test]
async fn only_gzip_is_asked_for() {
    let seller = Seller::saying(reply("200 OK", "Content-Encoding: br\r\n", "brotli?")).await;
    let answer = seller_send(&at_home(), get(seller.url("/"))).await.unwrap();
    assert_eq!((&answer.body[..], answer.cut), (&b"brotli?"[..], false));
    assert!(seller.heard()[0].contains("accept-encoding: gzip\r\n"), "{}", seller.heard()[0]);
}

/// A55, A63: a body is bytes, cut exactly at the limit and marked so.
#[tokio::test]
async fn a_body_is_cut_exactly_at_its_limit() {
    for (status, long, cap) in [("200 OK", 1000, 100), ("200 OK", 100, 100), ("402 Pay", 1000, 50), ("402 Pay", 50, 50)]
    {
        let seller = Seller::saying(reply(status, "", &"x".repeat(long))).await;
        let limits = Limits { body: 100, challenge: 50, ..Limits::default() };
        let answer = seller_send(&at_home(), Ask { limits, ..get(seller.url("/")) }).await.unwrap();
        assert_eq!((answer.body.len(), answer.cut), (cap, long > cap), "{status} {long}");
    }
}

/// A58: hostile JSON passes through untouched; nothing in the client parses a body.
#[tokio::test]
async fn a_body_is_handed_over_as_it_came() {
    let nested = "[".repeat(60_000);
    for body in ["{\"a\":1,\"a\":2,\"__proto__\":NaN,\"b\":1e400}", "\u{feff}{\"x\":\"\\ud800\"}", nested.as_str()] {
        let seller = Seller::saying(reply("402 Payment Required", "", body)).await;
        let answer = seller_send(&at_home(), get(seller.url("/"))).await.unwrap();
        assert_eq!((&answer.body[..], answer.cut), (body.as_bytes(), false));
    }
}

/// A56: what never ends is ended by us: silence, drips, endless bodies, events, interim answers and trailers.
#[tokio::test]
async fn whatever_does_not_end_is_ended() {
    async fn drip(wire: &mut Box<dyn Wire>, piece: &[u8], every_ms: u64) {
        let mut tick = tokio::time::interval(Duration::from_millis(every_ms));
        while wire.write_all(piece).await.is_ok() && wire.flush().await.is_ok() {
            tick.tick().await;
        }
    }
    const CHUNKED: &[u8] = b"HTTP/1.1 402 Payment Required\r\nTransfer-Encoding: chunked\r\n\r\n";
    const TEXT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\ndata: 1\n\n";
    const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    const DEMAND: &[u8] = b"HTTP/1.1 402 Payment Required\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    let cases: [(&str, &[u8], &[u8], u64); 9] = [
        ("silence", b"", b"", 20),
        ("a head that drips", b"HTTP/1.1 200 OK\r\nX: ", b"x", 20),
        ("a body that drips", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x", 20),
        ("a challenge that drips", CHUNKED, b"1\r\nx\r\n", 20),
        ("a text that stops", TEXT, b"", 20),
        ("events that never come", EVENTS, b"", 20),
        ("events that demand payment", DEMAND, b"data: 2\n\n", 20),
        ("interim answers", b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1),
        ("trailers", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: 1\r\n", 20),
    ];
    for (what, head, piece, every_ms) in cases {
        let seller = Seller::doing(move |_, mut wire| async move {
            let _ = wire.write_all(head).await;
            drip(&mut wire, piece, every_ms).await;
        })
        .await;
        let start = Instant::now();
        failed_after_sending(seller_send(&at_home(), hasty(get(seller.url("/")))).await);
        assert!(start.elapsed() < Duration::from_secs(5), "{what}: {:?}", start.elapsed());
    }
    let flood = Seller::doing(|_, mut wire| async move {
        let many = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
        while wire.write_all(&many).await.is_ok() {}
    })
    .await;
    failed_after_sending(seller_send(&at_home(), hasty(get(flood.url("/")))).await);
    let endless = Seller::doing(|_, mut wire| async move {
        let _ = wire.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while wire.write_all(&[b'x'; 65536]).await.is_ok() {}
    })
    .await;
    let answer = seller_send(&at_home(), get(endless.url("/"))).await.unwrap();
    assert_eq!((answer.body.len(), answer.cut), (8 << 20, true));
}

/// A56: the first byte, the pause between two pieces and the total each end a request by themselves.
#[tokio::test]
async fn each_deadline_works_by_itself() {
    let short = Duration::from_millis(200);
    let usual = Limits::default();
    let silent = "";
    let stopped = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\ndata: 1\n\n";
    for (head, limits) in [
        (silent, Limits { first_byte: short, ..usual }),
        (stopped, Limits { idle: short, ..usual }),
        (silent, Limits { total: short, ..usual }),
        (stopped, Limits { total: short, ..usual }),
    ] {
        let seller = Seller::doing(move |_, mut wire| async move {
            let _ = wire.write_all(head.as_bytes()).await;
            std::future::pending().await
        })
        .await;
        let start = Instant::now();
        failed_after_sending(seller_send(&at_home(), Ask { limits, ..get(seller.url("/")) }).await);
        assert!(start.elapsed() < Duration::from_secs(8), "{limits:?}: {:?}", start.elapsed());
    }
}

/// A stream of events need not end: whichever deadline ends it, what came until then is the answer.
#[tokio::test]
async fn what_came_of_a_stream_of_events_is_the_answer() {
    let (short, usual) = (Duration::from_millis(200), Limits::default());
    for limits in [
        Limits { idle: short, ..usual },
        Limits { total: short, ..usual },
        Limits { stream: short, ..usual },
        Limits { body: 12, ..usual },
    ] {
        let seller = Seller::doing(move |_, mut wire| async move {
            let _ = wire
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream\r\n\r\ndata: 1\n\ndata: 2\n\n")
                .await;
            std::future::pending().await
        })
        .await;
        let start = Instant::now();
        let answer = seller_send(&at_home(), Ask { limits, ..get(seller.url("/")) }).await.unwrap();
        assert!(answer.cut && answer.body.starts_with(b"data: 1\n\n"), "{answer:?}");
        assert!(start.elapsed() < Duration::from_secs(8), "{limits:?}: {:?}", start.elapsed());
    }
}

/// A56: the total is one for all redirects together, not one for each.
#[tokio::test]
async fn redirects_share_one_deadline() {
    let seller = Seller::doing(|request, mut wire| async move {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
        let _ = wire.write_all(redirect(302, &format!("{path}x")).as_bytes()).await;
    })
    .await;
    failed_after_sending(seller_send(&at_home(), hasty(get(seller.url("/")))).await);
    assert!(seller.connects() <= 3, "{}", seller.connects());
}

/// A57: more than 64 KiB of headers, or more than a hundred, is no answer.
#[tokio::test]
async fn an_answer_with_too_many_headers_is_no_answer() {
    let many = |count: usize, size: usize| -> String {
        (0..count).map(|n| format!("X-{n}: {}\r\n", "a".repeat(size))).collect()
    };
    for (count, size) in [(1, 70 << 10), (1, 300 << 10), (1, 1 << 20), (70, 1000), (200, 1)] {
        let seller = Seller::saying(reply("402 Payment Required", &many(count, size), "")).await;
        let say = failed_after_sending(seller_send(&at_home(), get(seller.url("/"))).await);
        assert!(say.contains("headers"), "{count} x {size}: {say}");
    }
    let seller = Seller::saying(reply("402 Payment Required", &many(60, 1000), "")).await;
    assert_eq!(seller_send(&at_home(), get(seller.url("/"))).await.unwrap().status, 402);
}

/// A56: the answer to a HEAD has no body, whatever it announces.
#[tokio::test]
async fn a_head_request_waits_for_no_body() {
    let fields = "Content-Encoding: gzip\r\n";
    let seller = Seller::saying(reply("200 OK", fields, "").replace("Length: 0", "Length: 99999")).await;
    let ask = Ask { method: Method::HEAD, ..get(seller.url("/")) };
    let answer = seller_send(&at_home(), hasty(ask)).await.unwrap();
    assert_eq!((answer.status, answer.body.len(), answer.cut), (200, 0, false));
}
