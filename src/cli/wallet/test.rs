//! `bursar wallet test`: what the wallet allows, and how fast it answers. Nothing is paid.

use std::{process::ExitCode, time::Instant};

use serde::Serialize;

use super::{
    ask_passphrase, ledger_if_there,
    list::relays,
    test_evm::{EvmTested, try_evm},
};
use crate::{
    cli::{
        Done, Failure,
        show::{print_json, say},
    },
    clock::Clock,
    config::Config,
    ledger::Ledger,
    money::Amount,
    server::get_balance::OwnBudgetView,
    wallet::{self, WalletError, nwc::NwcUri},
};

/// What is needed to buy, and what it means when it is missing.
const NEEDED: [(&str, &[&str], &str); 4] = [
    ("pay_invoice", &[], "nothing can be bought"),
    (
        "lookup_invoice",
        &["list_transactions"],
        "a payment whose answer is lost cannot be looked up, so its money stays held until its invoice is long over",
    ),
    ("get_balance", &[], "the balance is not shown, and a payment that it cannot cover fails only at the wallet"),
    ("get_info", &[], "its network is not known, so it counts as real money"),
];

/// A right that the connection lacks.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Missing {
    /// The method.
    pub method: &'static str,
    /// What follows from that.
    pub means: &'static str,
}

/// What a try found out.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Tested {
    /// `ready`, `limited` (it may not pay), or `unreachable`.
    pub outcome: &'static str,
    /// The same in words.
    pub say: String,
    /// The wallet's kind.
    pub kind: &'static str,
    /// Its public fingerprint.
    pub id: String,
    /// Its relays, without what may be secret in their addresses.
    pub relays: Vec<String>,
    /// Its own name: untrusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// `main` or `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world: Option<&'static str>,
    /// The network it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What it holds, where it may tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
    /// The budget that the wallet itself keeps for this connection, where it has one and tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_budget: Option<OwnBudgetView>,
    /// The encryption spoken with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// Milliseconds for the first answers, connecting included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<u64>,
    /// Milliseconds for the same answers once connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_ms: Option<u64>,
    /// What it allows.
    pub may: Vec<String>,
    /// What it does not allow and Bursar would use.
    pub missing: Vec<Missing>,
}

impl Tested {
    /// What a person reads.
    fn text(&self) -> String {
        let mut text = self.say.clone();
        let mut line = |name: &str, value: &str| text.push_str(&format!("\n  {name:<11}{value}"));
        line("wallet", &self.id);
        if let Some(alias) = &self.alias {
            line("calls itself", &format!(" {alias:?}"));
        }
        for relay in &self.relays {
            line("relay", relay);
        }
        if let Some(world) = self.world {
            let network = self.network.as_deref().unwrap_or("no network named");
            line("world", &format!("{world} ({network})"));
        }
        if let Some(balance) = self.balance {
            line("balance", &balance.to_string());
        }
        if let Some(own) = &self.own_budget {
            line("its budget", &own.say());
        }
        if let Some(encryption) = &self.encryption {
            line("encryption", encryption);
        }
        if let (Some(connect), Some(answer)) = (self.connect_ms, self.answer_ms) {
            line("speed", &format!("{answer} ms an answer, {connect} ms with connecting"));
        }
        if !self.may.is_empty() {
            line("may", &self.may.join(", "));
        }
        for Missing { method, means } in &self.missing {
            line("may not", &format!("{method}: {means}"));
        }
        text
    }
}

/// What `wallet test` prints as JSON.
#[derive(Serialize)]
struct AllTested {
    /// `ready` when each wallet is, else what the first is that is not.
    outcome: &'static str,
    /// The same in words.
    say: String,
    wallets: Vec<One>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum One {
    Nwc(Box<Tested>),
    Evm(Box<EvmTested>),
}

impl One {
    fn outcome(&self) -> (&'static str, &str) {
        match self {
            One::Nwc(tested) => (tested.outcome, &tested.say),
            One::Evm(tested) => (tested.outcome, &tested.say),
        }
    }

    fn text(&self) -> String {
        match self {
            One::Nwc(tested) => tested.text(),
            One::Evm(tested) => tested.text(),
        }
    }
}

pub(super) async fn run(json: bool) -> Done {
    let mut config = Config::load()?;
    if !config.has_wallet() {
        return Err(Failure::new("no wallet is set up: bursar wallet add nwc, or bursar wallet add evm"));
    }
    ask_passphrase(&mut config).await?;
    let ledger = ledger_if_there(&config)?;
    let mut wallets = Vec::new();
    if config.nwc.is_some() {
        wallets.push(One::Nwc(Box::new(try_wallet(&config, ledger.as_ref()).await?)));
    }
    if let Some(tested) = try_evm(&config).await {
        wallets.push(One::Evm(Box::new(tested?)));
    }
    let lacking = |one: &&One| one.outcome().0 != "ready";
    let told = wallets.iter().find(lacking).or(wallets.first()).map(One::outcome);
    let (outcome, say_it) = told.map_or(("unreachable", String::new()), |(outcome, say)| (outcome, say.to_owned()));
    if json {
        print_json(&AllTested { outcome, say: say_it, wallets })?;
    } else {
        say(&wallets.iter().map(One::text).collect::<Vec<_>>().join("\n\n"))?;
    }
    Ok(if outcome == "ready" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same, for a person who has just added a wallet.
pub(super) async fn tell(config: &Config) -> Done {
    let tested = try_wallet(config, ledger_if_there(config)?.as_ref()).await?;
    say(&tested.text())?;
    Ok(if tested.outcome == "ready" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Connects to the wallet of this configuration and asks what it is and allows.
///
/// # Errors
/// What is set up is not a usable connection.
pub(in crate::cli) async fn try_wallet(config: &Config, ledger: Option<&Ledger>) -> Result<Tested, WalletError> {
    let string = config.nwc.as_ref().ok_or(WalletError::None)?;
    let uri = NwcUri::parse(string).map_err(|bad| WalletError::Setup(bad.to_string()))?;
    // The best encryption it was ever seen to speak is a floor here too.
    let remembered = match ledger {
        Some(ledger) => ledger.wallets().await.unwrap_or_default(),
        None => Default::default(),
    };
    let wallet = wallet::nwc_from_config(config, string, &Clock::system(), |id| remembered.get(id).cloned())?;
    let mut tested = Tested {
        outcome: "unreachable",
        say: String::new(),
        kind: wallet.kind(),
        id: wallet.id(),
        relays: relays(&uri),
        alias: None,
        world: None,
        network: None,
        balance: None,
        own_budget: None,
        encryption: None,
        connect_ms: None,
        answer_ms: None,
        may: Vec::new(),
        missing: Vec::new(),
    };
    let began = Instant::now();
    let info = match wallet.info().await {
        Ok(info) => info,
        Err(why) => {
            tested.say = format!("The wallet cannot be used now: {why}. Nothing was paid.");
            return Ok(tested);
        }
    };
    tested.connect_ms = Some(began.elapsed().as_millis() as u64);
    let began = Instant::now();
    if wallet.info().await.is_ok() {
        tested.answer_ms = Some(began.elapsed().as_millis() as u64);
    }
    let may = |method: &str| info.methods.is_empty() || info.methods.iter().any(|m| m == method);
    for (method, or, means) in NEEDED {
        if !may(method) && !or.iter().any(|other| may(other)) {
            tested.missing.push(Missing { method, means });
        }
    }
    (tested.outcome, tested.say) = if may("pay_invoice") {
        ("ready", "The wallet answers and may pay. Nothing was paid.".into())
    } else {
        let say = "The wallet answers, and this connection may not pay: allow pay_invoice at the wallet, or make a new \
                   connection. Nothing was paid.";
        ("limited", say.into())
    };
    tested.encryption = Some(wallet.remember()).filter(|name| !name.is_empty());
    tested.alias = info.alias;
    tested.world = Some(info.world.name());
    tested.network = info.network;
    tested.balance = info.balance;
    tested.own_budget = info.budget.as_ref().map(OwnBudgetView::from);
    tested.may = info.methods;
    Ok(tested)
}
