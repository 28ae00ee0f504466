//! `bursar doctor`: green when all is well, and red for each thing that is not.

mod support;

use std::{os::unix::fs::PermissionsExt, path::Path};

use bursar::{
    ledger::file,
    sandbox::{Behaviour, Ciphers, RelayMode, SandboxOptions, WalletOptions},
};
use serde_json::Value;
use support::{Seller, World, host};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::handshake::server::{Request, Response},
};

/// What the doctor found: exit code, the whole answer, and everything that was printed.
struct Found {
    code: i32,
    all: Value,
    text: String,
}

impl Found {
    /// The worst status of a check with this name, and what it says.
    fn of(&self, name: &str) -> (&str, String) {
        let rank = |status: &str| ["ok", "warn", "fail"].iter().position(|s| *s == status).unwrap();
        let checks = self.all["checks"].as_array().unwrap().iter().filter(|c| c["name"] == name);
        let worst = checks.max_by_key(|c| rank(c["status"].as_str().unwrap()));
        let worst = worst.unwrap_or_else(|| panic!("no check {name}: {:#}", self.all));
        (worst["status"].as_str().unwrap(), format!("{} {}", worst["say"], worst["do"]))
    }

    #[track_caller]
    fn is(&self, name: &str, status: &str, part: &str) {
        let (is, say) = self.of(name);
        assert!(is == status && say.contains(part), "{name} is {is}: {say}\n{:#}", self.all);
        assert_eq!(self.code, i32::from(self.all["status"] == "fail"));
        if status == "fail" {
            assert_eq!(self.all["status"], "fail");
        }
    }
}

async fn doctor_with(envs: &[(String, String)]) -> Found {
    let (code, out, err) = host::run(envs, &["doctor"]).await;
    let all = serde_json::from_str(&out).unwrap_or_else(|_| panic!("not JSON: {out}{err}"));
    Found { code, all, text: out + &err }
}

async fn doctor(world: &World) -> Found {
    let found = doctor_with(&world.envs()).await;
    let secret = world.sandbox.nwc_uri();
    let secret = secret.expose().split("secret=").nth(1).unwrap().to_owned();
    assert!(!found.text.contains(&secret), "{}", found.text);
    found
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn raw(world: &World) -> rusqlite::Connection {
    rusqlite::Connection::open(file(&world.home())).unwrap()
}

async fn world_with(wallet: WalletOptions) -> World {
    World::with_options("", SandboxOptions { wallet, ..SandboxOptions::default() }).await
}

#[tokio::test]
async fn everything_is_green_before_and_after_a_purchase() {
    let world = World::new().await;
    let found = doctor(&world).await;
    assert_eq!((found.code, &found.all["status"]), (0, &"ok".into()), "{:#}", found.all);
    for name in ["home", "config", "limits", "wallet", "relay", "clock", "answer", "encryption", "rights", "world"] {
        found.is(name, "ok", "");
    }
    found.is("ledger", "ok", "nothing was ever spent");
    assert!(!file(&world.home()).exists(), "a look made a ledger");

    let seller = Seller::honest(world.node(), 10_000, "{}").await;
    assert_eq!(world.run(&["fetch", &seller.url("/x")]).await.0, 0);
    let found = doctor(&world).await;
    assert_eq!(found.all["status"], "ok", "{:#}", found.all);
    found.is("ledger", "ok", "as they were written");
    found.is("world", "ok", "test money");
    found.is("sessions", "ok", "1 running");
    assert_eq!(world.wallet().seen("pay_invoice"), 1);
}

#[tokio::test]
async fn without_a_home_it_says_so_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let found = doctor_with(&[("BURSAR_HOME".into(), home.display().to_string())]).await;
    assert_eq!((found.code, &found.all["status"]), (0, &"warn".into()));
    found.is("home", "warn", "not there yet");
    found.is("wallet", "warn", "bursar wallet add nwc");
    found.is("config", "ok", "bursar init");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_stands_open_to_others_is_named_with_the_command_that_closes_it() {
    let mut world = World::new().await;
    set_mode(&world.home(), 0o755);
    doctor(&world).await.is("home", "warn", "chmod 700");
    set_mode(&world.home(), 0o700);

    let config = world.home().join("config.toml");
    set_mode(&config, 0o666);
    doctor(&world).await.is("config", "fail", "chmod 600");
    set_mode(&config, 0o600);

    let string = world.home().join("wallet.nwc");
    std::fs::write(&string, world.sandbox.nwc_uri().expose()).unwrap();
    set_mode(&string, 0o644);
    world.env("BURSAR_NWC", "");
    doctor(&world).await.is("wallet", "fail", "chmod 600");
    set_mode(&string, 0o600);
    doctor(&world).await.is("wallet", "ok", "wallet.nwc");

    std::fs::write(world.home().join("wallet.pending"), "").unwrap();
    doctor(&world).await.is("wallet", "warn", "goes on with it");
}

#[tokio::test]
async fn a_config_that_is_not_understood_is_named_by_line_and_never_quoted() {
    let mut world = World::with("# a comment\n[limits.default]\nsats = { purchase = \"1\" }\n").await;
    doctor(&world).await.is("config", "fail", "sats");
    world.set_config("[http]\n\nallow_loopbak = true\n");
    doctor(&world).await.is("config", "fail", "line 3: unknown field `allow_loopbak`");
    let string = world.sandbox.nwc_uri();
    for wrong in ["nwc", "nwc_file", "max_invoice_life"] {
        world.set_config(&format!("[wallet]\n{wrong} = \"{}\"\n", string.expose()));
        // The helper checks that the string is not printed.
        doctor(&world).await.is("config", "fail", "");
        let (code, out, err) = world.run(&["balance"]).await;
        assert!(code != 0 && !(out + &err).contains(string.expose()), "{err}");
    }
    world.set_config("[limits\n");
    doctor(&world).await.is("config", "fail", "line 1");
}

#[tokio::test]
async fn limits_that_cannot_be_meant_are_pointed_out() {
    let world = World::with(
        "[limits.ceiling]\nsat = { purchase = \"50\", session = \"0\", day = \"100\" }\n\
         [limits.default]\nsat = { purchase = \"60\", session = \"10\", day = \"10\" }\n[approval]\nabove = { sat = \"70\" }\n",
    )
    .await;
    let found = doctor(&world).await;
    for part in ["above its ceiling", "session is zero", "purchase (50 sat) is more than session", "nobody is asked"] {
        assert!(found.text.contains(part), "{part}: {}", found.text);
    }
    found.is("limits", "warn", "config.toml");
    assert_eq!(found.code, 0);
    let world = World::with("[limits.ceiling]\nusd = { purchase = \"5\", session = \"5\", day = \"5\" }\n").await;
    doctor(&world).await.is("limits", "warn", "no ceiling in sat");
}

#[tokio::test]
async fn a_relay_that_is_down_is_told_from_a_wallet_that_is_silent() {
    let mut world = World::new().await;
    let dead = "ws://127.0.0.1:9";
    world.env("BURSAR_NWC", world.wallet().nwc_uri_over(&[dead]).expose().to_owned().as_str());
    let found = doctor(&world).await;
    found.is("relay", "fail", "127.0.0.1:9");
    found.is("answer", "fail", "no relay");

    let alive = world.sandbox.relay().url();
    world.env("BURSAR_NWC", world.wallet().nwc_uri_over(&[dead, &alive]).expose().to_owned().as_str());
    let found = doctor(&world).await;
    found.is("relay", "warn", "another relay");
    found.is("answer", "ok", "");

    world.env("BURSAR_NWC", world.sandbox.nwc_uri().expose().to_owned().as_str());
    world.wallet().go_offline().await;
    let found = doctor(&world).await;
    found.is("relay", "ok", "connected");
    found.is("answer", "fail", "open the wallet");
}

#[tokio::test]
async fn a_relay_without_the_wallets_description_fails_and_says_what_is_missing() {
    let world = World::new().await;
    world.sandbox.relay().set_mode(RelayMode::NoInfo);
    doctor(&world).await.is("answer", "fail", "no description of the wallet");
}

#[tokio::test]
async fn missing_rights_and_weak_encryption_are_told() {
    let only = |methods: &[&str]| WalletOptions {
        methods: methods.iter().map(|m| (*m).to_owned()).collect(),
        ..WalletOptions::default()
    };
    let world = world_with(only(&["get_info", "get_balance", "lookup_invoice"])).await;
    doctor(&world).await.is("rights", "fail", "pay_invoice is not allowed");
    let world = world_with(only(&["get_info", "get_balance", "pay_invoice"])).await;
    doctor(&world).await.is("rights", "warn", "lookup_invoice is not allowed");
    let world = world_with(WalletOptions { ciphers: Ciphers::OnlyNip04, ..WalletOptions::default() }).await;
    doctor(&world).await.is("encryption", "warn", "NIP-04");
}

#[tokio::test]
async fn a_frozen_wallet_names_the_purchase_and_the_way_out() {
    let world = World::new().await;
    world.run(&["balance"]).await;
    let id = bursar::wallet::nwc::NwcWallet::id_of(&world.sandbox.nwc_uri()).unwrap();
    let why = "p_aaaaaaaaaaaaaaaaaaaaaaaaaa: it was taken for failed and settled";
    raw(&world)
        .execute(
            "INSERT OR REPLACE INTO wallet(wallet_id, world, cipher, frozen_ms, frozen_why, seen_ms) VALUES(?1, 'test', '', 1, ?2, 1)",
            [&id, why],
        )
        .unwrap();
    doctor(&world).await.is("frozen", "fail", "bursar approve p_aaaaaaaaaaaaaaaaaaaaaaaaaa");
    let listed: Value = serde_json::from_str(&world.run(&["wallet", "list"]).await.1).unwrap();
    assert_eq!(listed["wallets"][0]["frozen"], why);
}

#[tokio::test]
async fn a_ledger_of_the_other_world_or_with_a_changed_row_fails() {
    let world = World::new().await;
    world.run(&["balance"]).await;
    raw(&world).execute("INSERT INTO meta VALUES('world', 'main')", []).unwrap();
    doctor(&world).await.is("world", "fail", "another home");
    raw(&world).execute_batch("DROP TRIGGER purchase_pinned").unwrap();
    doctor(&world).await.is("ledger", "fail", "audit verify");
    std::fs::write(file(&world.home()), "not a database at all, but long enough to look like one".repeat(20)).unwrap();
    for beside in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(world.home().join(beside));
    }
    doctor(&world).await.is("ledger", "fail", "nothing is paid");
}

#[tokio::test]
async fn what_is_open_in_the_books_is_counted() {
    let world = World::with("[waits]\nwallet = 1\nanswer = 2\n[approval]\nabove = { sat = \"50\" }\n").await;
    let seller = Seller::honest(world.node(), 10_000, "{}").await;
    world.wallet().next(Behaviour::holds());
    world.run(&["fetch", &seller.url("/x")]).await;
    let dear = Seller::honest(world.node(), 60_000, "{}").await;
    world.run(&["fetch", &dear.url("/y")]).await;
    let found = doctor(&world).await;
    found.is("unresolved", "warn", "1 payment");
    found.is("awaiting", "warn", "bursar approve");
    assert_eq!(found.code, 0);
}

/// A world with these limits in which one purchase of 10 sat was made, which needs 20 with its fee allowance.
async fn having_bought(ceiling: &str, default: &str) -> World {
    let world =
        World::with(&format!("[limits.ceiling]\nsat = {{ {ceiling} }}\n[limits.default]\nsat = {{ {default} }}\n"))
            .await;
    let seller = Seller::honest(world.node(), 10_000, "{}").await;
    assert_eq!(world.run(&["fetch", &seller.url("/x")]).await.0, 0);
    assert_eq!(world.spent_msat(), 10_000);
    world
}

#[tokio::test]
async fn a_session_that_is_used_up_is_named_and_a_new_one_is_pointed_to() {
    let ceiling = r#"purchase = "100", session = "500", day = "1000""#;
    let world = having_bought(ceiling, r#"purchase = "20", session = "20", day = "1000""#).await;
    let found = doctor(&world).await;
    found.is("budgets", "warn", "10 sat of 20 sat left");
    found.is("budgets", "warn", "bursar session end begins a new one");
    found.is("budgets", "warn", "bursar budget set session raises it, up to 500 sat");
    assert_eq!(found.code, 0);
    assert_eq!(world.run(&["session", "end"]).await.0, 0);
    doctor(&world).await.is("budgets", "ok", "room in each");
}

#[tokio::test]
async fn a_day_that_is_used_up_is_named_and_when_the_next_begins() {
    let ceiling = r#"purchase = "100", session = "500", day = "20""#;
    let world = having_bought(ceiling, r#"purchase = "20", session = "500", day = "20""#).await;
    let found = doctor(&world).await;
    found.is("budgets", "warn", "the day budget is used up: 10 sat of 20 sat left");
    found.is("budgets", "warn", "a new day begins at 00:00 UTC");
    found.is("budgets", "warn", "raise day under [limits.ceiling]");
}

#[tokio::test]
async fn a_host_whose_budget_is_used_up_is_named() {
    let ceiling = r#"purchase = "100", session = "500", day = "1000", host = "20""#;
    let world = having_bought(ceiling, r#"purchase = "20", session = "500", day = "1000""#).await;
    let found = doctor(&world).await;
    found.is("budgets", "warn", "the budget of the host 127.0.0.1 is used up: 10 sat of 20 sat left");
    found.is("budgets", "warn", "raise host under [limits]");
}

#[tokio::test]
async fn a_total_that_is_used_up_is_named() {
    let ceiling = r#"purchase = "100", session = "500", day = "1000", total = "20""#;
    let world = having_bought(ceiling, r#"purchase = "20", session = "500", day = "1000""#).await;
    let found = doctor(&world).await;
    found.is("budgets", "warn", "the total budget is used up: 10 sat of 20 sat left");
    found.is("budgets", "warn", "raise total under [limits.ceiling]");
}

#[tokio::test]
async fn money_that_is_held_uses_a_budget_up_as_well_and_is_told() {
    let limits = r#"purchase = "20", session = "20", day = "1000""#;
    let config = format!("[waits]\nwallet = 1\nanswer = 2\n[limits.ceiling]\nsat = {{ {limits} }}\n");
    let world = World::with(&config).await;
    let seller = Seller::honest(world.node(), 10_000, "{}").await;
    world.wallet().next(Behaviour::holds());
    world.run(&["fetch", &seller.url("/x")]).await;
    doctor(&world).await.is("budgets", "warn", "0 sat of 20 sat left, 20 sat of it held");
    assert_eq!(world.spent_msat(), 0);
}

#[tokio::test]
async fn the_wallets_own_budget_is_told_and_warned_of_when_it_is_used_up() {
    let options = WalletOptions { quota_msat: Some(30_000), ..WalletOptions::default() };
    let world = world_with(options.and_methods(&["get_budget"])).await;
    doctor(&world).await.is("quota", "ok", "30 sat of 30 sat");
    let seller = Seller::honest(world.node(), 21_000, "{}").await;
    assert_eq!(world.run(&["fetch", &seller.url("/x")]).await.0, 0);
    let found = doctor(&world).await;
    found.is("quota", "warn", "is used up: 9 sat of 30 sat");
    found.is("quota", "warn", "raise it at the wallet");
    assert_eq!(found.code, 0);
    let tested: Value = serde_json::from_str(&world.run(&["wallet", "test"]).await.1).unwrap();
    assert_eq!(tested["wallets"][0]["own_budget"]["left"], "9 sat", "{tested:#}");
}

/// A relay that tells the time and nothing else.
#[expect(clippy::result_large_err, reason = "the handshake's callback has this shape")]
async fn telling(date: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let dated = |_: &Request, mut response: Response| {
                response.headers_mut().insert("date", date.parse().unwrap());
                Ok(response)
            };
            let _ = accept_hdr_async(stream, dated).await;
        }
    });
    format!("ws://{address}")
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_found_out_from_the_relay_alone() {
    let mut world = World::new().await;
    let late = telling("Sat, 01 Jan 2000 00:00:00 GMT").await;
    let alive = world.sandbox.relay().url();
    world.env("BURSAR_NWC", world.wallet().nwc_uri_over(&[&late, &alive]).expose().to_owned().as_str());
    doctor(&world).await.is("clock", "fail", "ahead of the relay");
    let odd = telling("whenever").await;
    world.env("BURSAR_NWC", world.wallet().nwc_uri_over(&[&odd, &alive]).expose().to_owned().as_str());
    doctor(&world).await.is("clock", "ok", "not compared");
}
