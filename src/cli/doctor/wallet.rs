//! The wallet under `bursar doctor`: its string, its relays, the clock, its answer, what it lets us do.

use std::time::Duration;

use super::{Findings, budgets::used_up, now_ms};
use crate::{
    cli::wallet::{
        pending_file,
        test::{Tested, try_wallet},
    },
    config::{Config, ConfigError},
    http::{Policy, shown},
    ledger::Ledger,
    report::Since,
    wallet::{
        dialer,
        nwc::{NwcUri, reach},
    },
};

/// How long a relay may take to connect.
const RELAY_WITHIN: Duration = Duration::from_secs(10);

/// From which difference on the clock is worth a word, and from which on payments would be dropped as too old: a request
/// to a wallet is current for 60 seconds.
const SKEW_WARN_S: i64 = 20;
const SKEW_FAIL_S: i64 = 55;

/// The wallet: its string, its relays, the clock, its answer.
pub(super) async fn wallet(found: &mut Findings, config: &Config, ledger: Option<&Ledger>) -> Option<Tested> {
    if pending_file(config).exists() {
        found.warn(
            "wallet",
            "a connection was begun that no wallet has answered",
            "bursar wallet add nwc goes on with it",
        );
    }
    let mut strings = config.wallet_strings().into_iter();
    let Some((from, string)) = strings.next() else {
        found.warn("wallet", "none is set up for Lightning: nothing is paid there", "bursar wallet add nwc");
        return None;
    };
    let string = match string {
        Ok(string) => string,
        Err(e) => {
            let remedy = match &e {
                ConfigError::Open { mode, path, .. } => {
                    format!(
                        "chmod {mode} {}; whoever read it can spend: if in doubt, make a new connection",
                        path.display()
                    )
                }
                _ => "bursar wallet add nwc --replace".to_owned(),
            };
            found.fail("wallet", e.to_string(), remedy);
            return None;
        }
    };
    let uri = match NwcUri::parse(&string) {
        Ok(uri) => uri,
        Err(bad) => {
            found.fail("wallet", format!("{from}: {bad}"), "bursar wallet add nwc --paste --replace");
            return None;
        }
    };
    match strings.next() {
        Some((other, _)) => found.warn(
            "wallet",
            format!("{} from {from}; {other} holds another string, which is not used", uri.id()),
            "unset the variable or remove the file",
        ),
        None => found.ok("wallet", format!("{} from {from}", uri.id())),
    }
    if let Some(ledger) = ledger
        && let Ok(Some((_, _, Some(why)))) = ledger.known_wallet(&uri.id()).await
    {
        let id = why.split(':').next().filter(|id| id.starts_with("p_")).unwrap_or("p_...").to_owned();
        let remedy =
            format!("look at `bursar audit --all` and at the wallet; when it is explained: bursar approve {id}");
        found.fail("frozen", format!("the wallet pays nothing until you looked: {why}"), remedy);
    }
    if !relays(found, config, &uri).await {
        found.fail("answer", "the wallet cannot be asked: no relay of it is reached", "see the relay's line");
        return None;
    }
    let config = Config { nwc: Some(string), ..config.clone() };
    match try_wallet(&config, ledger).await {
        Ok(tested) => Some(tested),
        Err(e) => {
            found.fail("answer", e.to_string(), "bursar wallet add nwc --replace");
            None
        }
    }
}

/// Connects to each relay. Whether any was reached.
async fn relays(found: &mut Findings, config: &Config, uri: &NwcUri) -> bool {
    let dial = dialer(config);
    let mut skews: Vec<i64> = Vec::new();
    let (mut reached, mut lost) = (Vec::new(), Vec::new());
    for relay in uri.relays() {
        let name = shown(Policy::Operator, relay);
        match reach(relay, dial.as_ref(), RELAY_WITHIN).await {
            Ok(answer) => {
                reached.push(format!("{name} in {} ms", answer.took.as_millis()));
                skews.extend(answer.date.as_deref().and_then(http_date_ms).map(|theirs| (now_ms() - theirs) / 1000));
            }
            Err(why) => lost.push(format!("{name}: {why}")),
        }
    }
    if !reached.is_empty() {
        found.ok("relay", format!("connected to {}", reached.join(" and ")));
    }
    for why in lost {
        if reached.is_empty() {
            found.fail("relay", why, "check the network; if the relay is gone, make a new connection at the wallet");
        } else {
            found.warn("relay", why, "nothing at once: another relay of this wallet is reached");
        }
    }
    if !reached.is_empty() {
        clock(found, &skews);
    }
    !reached.is_empty()
}

/// Compares the clock with the relays', as far as they tell the time. One that agrees is enough.
fn clock(found: &mut Findings, skews: &[i64]) {
    let Some(skew) = skews.iter().copied().min_by_key(|s| s.abs()) else {
        return found.ok("clock", "not compared: the relay does not tell the time");
    };
    let say = match skew {
        0 => "agrees with the relay's".to_owned(),
        s if s > 0 => format!("{s} s ahead of the relay's"),
        s => format!("{} s behind the relay's", -s),
    };
    let remedy = "set the clock (time synchronisation): requests to a wallet are current for 60 s only";
    match skew.abs() {
        s if s >= SKEW_FAIL_S => {
            found.fail("clock", format!("{say}: wallets and relays may drop what we send"), remedy)
        }
        s if s >= SKEW_WARN_S => found.warn("clock", say, remedy),
        _ => found.ok("clock", say),
    }
}

/// Reads the date of an HTTP header, such as `Sat, 21 Nov 2026 08:40:59 GMT`, in unix milliseconds.
fn http_date_ms(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_whitespace().skip(1);
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|m| *m == month)? + 1;
    match format!("{year}-{month:02}-{day:0>2}T{time}Z").parse().ok()? {
        Since::At(ms) => Some(ms),
        Since::Ago(_) => None,
    }
}

/// What the wallet answered, and what the connection may do.
pub(super) fn rights(found: &mut Findings, tested: &Tested) {
    if tested.outcome == "unreachable" {
        let remedy = "open the wallet, see whether the connection still exists there, then: bursar wallet test";
        return found.fail("answer", tested.say.clone(), remedy);
    }
    let ms = tested.answer_ms.or(tested.connect_ms).unwrap_or_default();
    found.ok("answer", format!("the wallet answers in {ms} ms"));
    match tested.encryption.as_deref() {
        Some("nip04") => found.warn(
            "encryption",
            "the wallet speaks only NIP-04, the older encryption",
            "update the wallet, if it can do better; it works as it is",
        ),
        Some(name) => found.ok("encryption", name),
        None => {}
    }
    if let Some(own) = &tested.own_budget {
        match own.left {
            Some(left) if used_up(left) => found.warn(
                "quota",
                format!("the wallet's own budget for this connection is used up: {}", own.say()),
                "raise it at the wallet, or wait until it is renewed; until then the wallet refuses to pay",
            ),
            _ => found.ok("quota", format!("the wallet allows this connection {}", own.say())),
        }
    }
    if tested.missing.is_empty() {
        found.ok("rights", "it may pay, look payments up and tell its balance");
    }
    for missing in &tested.missing {
        let say = format!("{} is not allowed: {}", missing.method, missing.means);
        let remedy = format!("allow {} for this connection at the wallet, or make a new one", missing.method);
        if missing.method == "pay_invoice" {
            found.fail("rights", say, remedy);
        } else {
            found.warn("rights", say, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Status, *};

    #[test]
    fn a_clock_is_judged_by_the_relay_that_agrees_best() {
        let judged = |skews: &[i64]| {
            let mut found = Findings::new();
            clock(&mut found, skews);
            (found.status, found.checks[0].say.clone())
        };
        assert_eq!(judged(&[]).0, Status::Ok);
        assert_eq!(judged(&[3600, -2]), (Status::Ok, "2 s behind the relay's".into()));
        assert_eq!(judged(&[30]).0, Status::Warn);
        assert_eq!(judged(&[-90]).0, Status::Fail);
    }

    #[test]
    fn the_date_of_a_header_is_read_and_anything_else_is_not() {
        assert_eq!(http_date_ms("Sat, 21 Nov 2026 10:00:00 GMT"), Some(1_795_255_200_000));
        for bad in ["", "now", "Sat, 21 Nov", "Sat, 99 Nov 2026 10:00:00 GMT", "Sat, 21 Nov -026 10:00:00 GMT"] {
            assert_eq!(http_date_ms(bad), None, "{bad}");
        }
    }
}
