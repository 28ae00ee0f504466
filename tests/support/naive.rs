//! A buyer without judgement: what most programs in the field would have paid. The negative control of the attack tests.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::World;

/// Asks a URL over plain text, follows redirects, pays the first invoice that it sees, whatever stands around it, and
/// says how many msat left. Shows that an attack would have cost money.
pub async fn naive_msat(world: &World, url: &str) -> u64 {
    let before = world.spent_msat();
    let mut url: url::Url = url.parse().expect("a URL");
    for _ in 0..5 {
        let answer = ask(&url).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some(to) = header(&text, "location") {
            url = url.join(&to).expect("a location");
            continue;
        }
        if let Some(hash) = invoice_in(&text) {
            let _ = world.node().pay(&hash);
        }
        break;
    }
    world.spent_msat() - before
}

async fn ask(url: &url::Url) -> Vec<u8> {
    let place = (url.host_str().expect("a host").to_owned(), url.port_or_known_default().expect("a port"));
    let mut wire = TcpStream::connect(place).await.expect("the seller listens");
    let head = format!("GET {} HTTP/1.1\r\nHost: seller\r\nConnection: close\r\n\r\n", url.path());
    wire.write_all(head.as_bytes()).await.expect("the seller reads");
    let mut answer = Vec::new();
    let _ = wire.take(4 << 20).read_to_end(&mut answer).await;
    answer
}

fn header(answer: &str, name: &str) -> Option<String> {
    let head = answer.split("\r\n\r\n").next()?;
    let lines = head.lines().filter_map(|l| l.split_once(": "));
    lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_owned())
}

/// The payment hash of the first play invoice in a text.
fn invoice_in(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let at = lower.find("lnbcrt")?;
    let word: String = lower[at..].chars().take_while(char::is_ascii_alphanumeric).collect();
    let invoice: lightning_invoice::Bolt11Invoice = word.parse().ok()?;
    Some(invoice.payment_hash().to_string())
}
