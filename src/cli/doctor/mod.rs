//! `bursar doctor`: everything that buying needs, looked at one by one. Nothing is paid or made.

mod budgets;
mod evm;
mod wallet;

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use self::wallet::{rights, wallet};
use super::{
    Common, Done,
    show::{print_json, say},
    wallet::ledger_if_there,
};
use crate::{
    config::{Config, ConfigError, Limits},
    http::tls_config,
    ledger::{Ledger, LedgerError, file as ledger_file},
    money::{Amount, Currency},
};

/// Up to how many lines the whole ledger is verified; beyond, only its end is looked at.
const VERIFIED_LINES: u64 = 20_000;

/// Free space below which the ledger may soon be unable to write.
const LITTLE_SPACE: u64 = 50 << 20;

/// Check that everything is fit to buy: home, permissions, config, limits and what is left of them, wallet, relay, clock,
/// ledger.
///
/// Each line says ok, warn or fail, what that means, and what to do. It connects only to your wallet's relays, pays
/// nothing and makes nothing. Ends with 1 when something fails.
#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Check {
    /// What was looked at.
    name: &'static str,
    status: Status,
    /// How it is, and what that means.
    say: String,
    /// What to do about it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// What `doctor` prints as JSON.
#[derive(Serialize)]
struct Findings {
    status: Status,
    checks: Vec<Check>,
}

impl Findings {
    fn new() -> Findings {
        Findings { status: Status::Ok, checks: Vec::new() }
    }

    fn ok(&mut self, name: &'static str, say: impl Into<String>) {
        self.checks.push(Check { name, status: Status::Ok, say: say.into(), remedy: None });
    }

    fn warn(&mut self, name: &'static str, say: impl Into<String>, remedy: impl Into<String>) {
        self.note(name, Status::Warn, say.into(), remedy.into());
    }

    fn fail(&mut self, name: &'static str, say: impl Into<String>, remedy: impl Into<String>) {
        self.note(name, Status::Fail, say.into(), remedy.into());
    }

    fn note(&mut self, name: &'static str, status: Status, say: String, remedy: String) {
        self.status = self.status.max(status);
        self.checks.push(Check { name, status, say, remedy: Some(remedy) });
    }

    /// What a person reads.
    fn text(&self) -> String {
        let mut text = String::new();
        for Check { name, status, say, remedy } in &self.checks {
            text.push_str(&format!("{:<4}  {name:<11} {say}\n", status.name()));
            if let Some(remedy) = remedy {
                text.push_str(&format!("{:<18}> {remedy}\n", ""));
            }
        }
        let count = |status| self.checks.iter().filter(|c| c.status == status).count();
        text.push_str(&match (count(Status::Fail), count(Status::Warn)) {
            (0, 0) => "All is well.".to_owned(),
            (0, warned) => format!("Fit to use; {warned} to look at."),
            (failed, warned) => format!("{failed} to mend, {warned} to look at."),
        });
        text
    }
}

pub(super) async fn run(args: DoctorArgs) -> Done {
    let mut found = Findings::new();
    look(&mut found).await;
    if args.common.json() {
        print_json(&found)?;
    } else {
        say(&found.text())?;
    }
    Ok(if found.status == Status::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn look(found: &mut Findings) {
    let home = match crate::config::home() {
        Ok(home) => home,
        Err(e) => return found.fail("home", e.to_string(), "set BURSAR_HOME"),
    };
    home_is_private(found, &home);
    let Some(config) = config(found, &home) else { return };
    limits(found, &config);
    if let Err(e) = tls_config(&config.http) {
        found.fail(
            "http",
            e.to_string(),
            "mend extra_roots in config.toml: no relay or seller is reached over TLS with it",
        );
    }
    // Before the ledger is opened: opening it closes what stands open.
    ledger_is_private(found, &home);
    let ledger = match ledger_if_there(&config) {
        Ok(ledger) => ledger,
        Err(e) => {
            broken_ledger(found, &e);
            None
        }
    };
    let tested = wallet(found, &config, ledger.as_ref()).await;
    if let Some(tested) = &tested {
        rights(found, tested);
    }
    evm::look(found, &config).await;
    let wallets_world = tested.as_ref().and_then(|t| t.world);
    if let Some(ledger) = &ledger {
        if let Err(e) = books(found, ledger, wallets_world).await {
            broken_ledger(found, &e);
        }
    } else {
        world(found, None, wallets_world);
        if fs::symlink_metadata(ledger_file(&home)).is_err() {
            found.ok("ledger", "there is none yet: nothing was ever spent");
        }
    }
    space(found, &home);
}

fn broken_ledger(found: &mut Findings, e: &LedgerError) {
    let remedy = "nothing is paid until it opens; keep the file, and see `bursar audit verify`";
    found.fail("ledger", e.to_string(), remedy);
}

#[cfg(unix)]
fn open_to_others(path: &Path, bits: u32) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & bits != 0)
}

#[cfg(not(unix))]
fn open_to_others(_: &Path, _: u32) -> bool {
    false
}

fn home_is_private(found: &mut Findings, home: &Path) {
    let shown = home.display();
    match fs::metadata(home) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => found.warn(
            "home",
            format!("{shown} is not there yet; it is made when it is first needed"),
            "nothing; or begin with: bursar init, bursar wallet add nwc",
        ),
        Err(e) => {
            found.fail("home", format!("{shown} cannot be read: {e}"), "mend its permissions, or set BURSAR_HOME")
        }
        Ok(meta) if !meta.is_dir() => {
            found.fail("home", format!("{shown} is not a directory"), "set BURSAR_HOME to a directory of your own");
        }
        Ok(_) if open_to_others(home, 0o077) => found.warn(
            "home",
            format!("{shown} is open to other users; it is closed at the next use"),
            format!("chmod 700 {shown}"),
        ),
        Ok(_) => found.ok("home", format!("{shown}, yours alone")),
    }
}

/// Reads the configuration; with one that is not understood the rest is looked at with the built-in one.
fn config(found: &mut Findings, home: &Path) -> Option<Config> {
    let path = home.join("config.toml");
    match Config::without_wallet(home.to_owned()) {
        Ok(config) => {
            if path.exists() {
                found.ok("config", format!("{} is understood, every key of it", path.display()));
            } else {
                found.ok("config", "there is none: the built-in limits hold (bursar init writes one to begin from)");
            }
            Some(config)
        }
        Err(e) => {
            let remedy = match &e {
                ConfigError::Open { mode, path, .. } => format!("chmod {mode} {}", path.display()),
                _ => "mend it; docs/config.md has every key. What follows is looked at without it".to_owned(),
            };
            found.fail("config", one_line(&e.to_string()), remedy);
            Config::built_in(home.to_owned()).ok()
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn limits(found: &mut Findings, config: &Config) {
    let mut odd: Vec<String> = config.cut.clone();
    for (place, table) in [("ceiling", &config.limits.ceiling), ("default", &config.limits.default)] {
        for (currency, limits) in table {
            odd.extend(
                odd_limits(limits).into_iter().map(|what| format!("limits.{place}.{}: {what}", currency.code())),
            );
        }
    }
    if !config.limits.ceiling.contains_key(&Currency::Sat) {
        odd.push("there is no ceiling in sat, so nothing can be bought over Lightning".into());
    }
    for (currency, above) in &config.approval_above {
        match config.limits.ceiling.get(currency) {
            Some(ceiling) if !above.exceeds(ceiling.purchase) || above.is_zero() => {}
            _ => odd.push(format!("approval.above of {above} is beyond what one purchase may cost: nobody is asked")),
        }
    }
    if odd.is_empty() {
        let a_session = config.limits.default.values().map(|l| l.session.to_string()).collect::<Vec<_>>().join(", ");
        return found.ok("limits", format!("sane; a session starts with {a_session}"));
    }
    for what in odd {
        found.warn("limits", what, "change [limits] in config.toml, if you meant something else");
    }
}

/// What is odd about one row: zero, or a larger scope that holds less than a smaller one.
fn odd_limits(limits: &Limits) -> Vec<String> {
    let scopes = [
        ("purchase", Some(limits.purchase)),
        ("session", Some(limits.session)),
        ("day", Some(limits.day)),
        ("total", limits.total),
    ];
    let scopes: Vec<(&str, Amount)> = scopes.into_iter().filter_map(|(name, limit)| Some((name, limit?))).collect();
    let mut odd: Vec<String> = scopes
        .iter()
        .filter(|(_, limit)| limit.is_zero())
        .map(|(name, _)| format!("{name} is zero: nothing can be bought"))
        .collect();
    if limits.host.is_some_and(Amount::is_zero) {
        odd.push("host is zero: nothing can be bought".into());
    }
    for pair in scopes.windows(2) {
        if let [(small, a), (large, b)] = pair
            && a.exceeds(*b)
        {
            odd.push(format!("{small} ({a}) is more than {large} ({b}), which holds"));
        }
    }
    odd
}

fn ledger_is_private(found: &mut Findings, home: &Path) {
    let path = ledger_file(home);
    if open_to_others(&path, 0o077) {
        let say = format!("{} was open to other users until now; it is closed when it is opened", path.display());
        found.warn("ledger", say, "nothing; find out who made it so");
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

/// The ledger: its chain, its world, what is open in it.
async fn books(found: &mut Findings, ledger: &Ledger, wallets_world: Option<&str>) -> Result<(), LedgerError> {
    let head = ledger.head().await?;
    if head.lines <= VERIFIED_LINES {
        let verified = ledger.verify().await?;
        match verified.findings.first() {
            None => found.ok("ledger", format!("{} lines, all as they were written", verified.lines)),
            Some(first) => {
                let n = verified.findings.len();
                let row = one_line(&crate::protocol::text::clean(&format!("{}: {}", first.row, first.say), 300));
                found.fail("ledger", format!("{n} finding(s), the first: {row}"), "bursar audit verify shows them all");
            }
        }
    } else {
        let end = head.hash.chars().take(12).collect::<String>();
        found.ok(
            "ledger",
            format!("opens; {} lines, the last {end}...; bursar audit verify walks them all", head.lines),
        );
    }
    world(found, ledger.world().await?.as_deref(), wallets_world);
    let mut open = 0;
    for id in ledger.unresolved().await? {
        let Some(at) = ledger.find(id).await?.filter(|at| at.state.at_risk()) else { continue };
        open += 1;
        if ledger.said_paid(id).await? {
            let held = at.price.plus(at.fee_cap).unwrap_or(at.price);
            let say = format!("{id}: the wallet says that it paid, and gives no proof; {held} stay held");
            let remedy = format!(
                "look for it in the wallet; with a preimage it is finished by itself, and without one, two minutes after its \
                 invoice ran out, `bursar deny {id}` counts it as spent"
            );
            found.warn("unproved", say, remedy);
        }
    }
    match open {
        0 => found.ok("unresolved", "no payment without a known outcome"),
        n => found.warn(
            "unresolved",
            format!("{n} payment(s) without a known outcome; their money stays held"),
            "bursar balance asks the wallet; it ends by itself when the invoices are long over",
        ),
    }
    match ledger.awaiting().await?.len() {
        0 => found.ok("awaiting", "no purchase waits for you"),
        n => found.warn("awaiting", format!("{n} purchase(s) wait for you"), "bursar approve lists them"),
    }
    budgets::look(found, ledger).await?;
    let sessions = ledger.sessions("local", 1000).await?;
    let running = sessions.iter().filter(|s| s.runs_at(now_ms().unsigned_abs())).count();
    found.ok("sessions", format!("{running} running"));
    Ok(())
}

/// Whether the wallet's money is of the kind that the ledger holds.
fn world(found: &mut Findings, books: Option<&str>, wallet: Option<&str>) {
    match (books, wallet) {
        (Some(books), Some(wallet)) if books != wallet => found.fail(
            "world",
            format!("the ledger holds {books} money and the wallet is of the {wallet} world: nothing can be paid"),
            "use another home (BURSAR_HOME) for this wallet",
        ),
        (_, Some(wallet)) => found.ok("world", format!("{wallet} money")),
        (Some(books), None) => found.ok("world", format!("the ledger holds {books} money")),
        (None, None) => {}
    }
}

#[cfg(unix)]
fn space(found: &mut Findings, home: &Path) {
    let Ok(disk) = rustix::fs::statvfs(home) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let say = format!("{} MB free", free >> 20);
    if free < LITTLE_SPACE {
        found.warn("disk", say, "make room: without it the ledger cannot be written, and nothing is paid");
    } else {
        found.ok("disk", say);
    }
}

#[cfg(not(unix))]
fn space(_: &mut Findings, _: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_world_than_the_ledgers_is_a_failure() {
        let mut found = Findings::new();
        world(&mut found, Some("test"), Some("main"));
        assert_eq!(found.status, Status::Fail);
    }

    #[test]
    fn each_line_says_what_it_is_and_what_to_do() {
        let mut found = Findings::new();
        found.ok("home", "yours alone");
        found.fail("relay", "it did not answer", "check the network");
        let text = found.text();
        assert!(text.starts_with("ok    home        yours alone\nfail  relay       it did not answer\n"), "{text}");
        assert!(text.contains("> check the network\n1 to mend, 0 to look at."), "{text}");
    }
}
