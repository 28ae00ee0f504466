//! `get_balance`: the wallet, the limits, and what is not known yet.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refusal, Said, arguments};
use crate::{
    ledger::{BudgetView, Deposit, DepositState, Scope, Standing},
    money::{Amount, Currency},
    purchase::{BalanceReport, Caller, NO_WALLET, No, Purse, WalletReport},
    report::iso,
    wallet::{Place, WalletBudget},
};

/// No arguments.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {}

/// What programs read; `bursar balance --json` prints exactly this.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Output {
    /// In words.
    pub say: String,
    /// A stable word, where nothing could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The wallets that are set up.
    pub wallets: Vec<WalletView>,
    /// The running session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The limits.
    pub budgets: Vec<LimitView>,
    /// Payments whose outcome is not known yet.
    pub unresolved: Vec<WaitingView>,
    /// Purchases that wait for a person.
    pub awaiting_approval: Vec<WaitingView>,
    /// Deposits at sellers that calls draw on, or whose rest has not come back yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deposits: Vec<DepositView>,
}

/// One deposit.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct DepositView {
    /// The purchase that paid it.
    pub purchase: String,
    /// Where it lies.
    pub host: String,
    /// `open`, `closing`, or `closed`: then what is left may still come back.
    pub state: DepositState,
    /// All that was paid in. It counts as spent.
    pub paid_in: Amount,
    /// How much of it seems to be used: the seller's word.
    pub used: Amount,
    /// When it was used last.
    pub used_at: String,
}

impl From<&Deposit> for DepositView {
    fn from(d: &Deposit) -> DepositView {
        DepositView {
            purchase: d.purchase.to_string(),
            host: d.host.clone(),
            state: d.state,
            paid_in: d.paid_in,
            used: d.used,
            used_at: iso(d.used_ms),
        }
    }
}

impl DepositView {
    /// One short line.
    pub fn line(&self) -> String {
        let DepositView { purchase, host, state, paid_in, used, .. } = self;
        format!("{purchase} {} deposit of {paid_in} at {host}, about {used} used", state.name())
    }
}

/// The wallet as it says of itself.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct WalletView {
    /// `nwc` (Lightning) or `evm` (USDC).
    pub kind: String,
    /// What it reports; some wallets tell the whole node's, not this connection's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
    /// `main` (real money) or `test` (play money).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world: Option<String>,
    /// Its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The budget that the wallet itself keeps for this connection, beside the limits here; the smaller one binds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_budget: Option<OwnBudgetView>,
    /// Where its money lies, for a wallet that pays on several chains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlaceView>,
    /// Why it cannot be asked, or why it is frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One place where a wallet's money lies.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct PlaceView {
    /// The network in CAIP-2, such as `eip155:8453`.
    pub network: String,
    /// Its usual name, such as `base`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub chain: String,
    /// What is there; absent where no node told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Amount>,
    /// What to know about it: no node answers, code at the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

impl From<&Place> for PlaceView {
    fn from(p: &Place) -> PlaceView {
        PlaceView { network: p.network.clone(), chain: p.name.clone(), balance: p.balance, remark: p.remark.clone() }
    }
}

impl PlaceView {
    /// One short line.
    fn line(&self) -> String {
        let name = if self.chain.is_empty() { &self.network } else { &self.chain };
        let balance = self.balance.map(|b| b.to_string());
        let said: Vec<&str> = [balance.as_deref(), self.remark.as_deref()].into_iter().flatten().collect();
        format!("{name}: {}", if said.is_empty() { "balance not known".to_owned() } else { said.join("; ") })
    }
}

/// The wallet's own budget.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct OwnBudgetView {
    /// The limit of a period.
    pub total: Amount,
    /// Spent, as the wallet counts it; absent where it does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Amount>,
    /// Left; absent where it does not tell what was spent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Amount>,
    /// `daily`, `weekly`, `monthly`, `yearly` or `never`.
    pub period: String,
    /// When the next period begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews_at: Option<String>,
}

impl From<&WalletBudget> for OwnBudgetView {
    fn from(b: &WalletBudget) -> OwnBudgetView {
        let shown = |s: u64| i64::try_from(s).ok()?.checked_mul(1000).filter(|ms| *ms < LAST_MS).map(iso);
        OwnBudgetView {
            total: b.total,
            used: b.used,
            left: b.left(),
            period: b.period.clone(),
            renews_at: b.renews_at_s.and_then(shown),
        }
    }
}

impl OwnBudgetView {
    /// What is left of what, and until when.
    pub fn say(&self) -> String {
        let until = self.renews_at.as_ref().map(|at| format!(" until {at}")).unwrap_or_default();
        match self.left {
            Some(left) => format!("{left} of {}{until}", self.total),
            None => format!("{}{until}, and does not tell how much of it is used", self.total),
        }
    }
}

/// The end of the year 9999: no wallet's budget is renewed later.
const LAST_MS: i64 = 253_402_300_800_000;

/// One limit.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct LimitView {
    /// What it is over.
    pub scope: Scope,
    /// The limit.
    pub limit: Amount,
    /// Spent, fees included; absent for scope purchase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent: Option<Amount>,
    /// Held for what is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Amount>,
    /// Left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<Amount>,
    /// How far a person could raise it.
    pub ceiling: Amount,
}

impl From<&BudgetView> for LimitView {
    fn from(b: &BudgetView) -> LimitView {
        let counts = b.scope != Scope::Purchase;
        LimitView {
            scope: b.scope,
            limit: b.limit,
            spent: counts.then_some(b.spent),
            held: counts.then_some(b.held),
            left: counts.then_some(b.left),
            ceiling: b.ceiling,
        }
    }
}

/// One purchase that waits for something.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct WaitingView {
    /// Its id.
    pub purchase: String,
    /// Who is paid.
    pub host: String,
    /// The price.
    pub price: Amount,
    /// Where it stands.
    pub state: String,
    /// Why.
    pub note: String,
}

impl From<&Standing> for WaitingView {
    fn from(s: &Standing) -> WaitingView {
        WaitingView {
            purchase: s.id.to_string(),
            host: s.host.clone(),
            price: s.price,
            state: s.state.to_string(),
            note: s.note.clone(),
        }
    }
}

impl From<&WalletReport> for WalletView {
    fn from(w: &WalletReport) -> WalletView {
        let info = w.info.as_ref().ok();
        let frozen = w.frozen.as_ref().map(|why| format!("frozen until a person looks: {why}"));
        WalletView {
            kind: w.kind.to_owned(),
            balance: info.and_then(|i| i.balance),
            world: info.map(|i| i.world.name().to_owned()),
            network: info.and_then(|i| i.network.clone()),
            own_budget: info.and_then(|i| i.budget.as_ref()).map(OwnBudgetView::from),
            places: info.map(|i| i.places.iter().map(PlaceView::from).collect()).unwrap_or_default(),
            problem: frozen.or_else(|| w.info.as_ref().err().map(ToString::to_string)),
        }
    }
}

impl WalletView {
    /// One or two sentences; `name` is how the wallet is called.
    fn say(&self, name: &str) -> String {
        let mut say = match (&self.balance, &self.problem) {
            (Some(balance), None) => format!("{name} holds {balance}."),
            (_, Some(problem)) => format!("{name} cannot pay: {}.", problem.trim_end_matches('.')),
            (None, None) if self.places.is_empty() => format!("{name} does not tell its balance."),
            (None, None) => format!("{name} can pay; its balance is not known."),
        };
        if let Some(own) = &self.own_budget {
            say.push_str(&format!(" The wallet allows this connection {}.", own.say()));
        }
        say
    }
}

impl Output {
    /// Whether a wallet may hold this currency; its limits matter only then.
    fn spends(&self, currency: Currency) -> bool {
        self.wallets.is_empty() || self.wallets.iter().any(|w| w.balance.is_none_or(|b| b.currency() == currency))
    }

    /// Makes the facts of a report.
    pub fn new(report: &BalanceReport) -> Output {
        let mut output = Output {
            say: String::new(),
            code: None,
            wallets: report.wallets.iter().map(WalletView::from).collect(),
            session: report.session.as_ref().map(|s| s.id.clone()),
            budgets: report.budgets.iter().map(LimitView::from).collect(),
            unresolved: report.unresolved.iter().map(WaitingView::from).collect(),
            awaiting_approval: report.awaiting.iter().map(WaitingView::from).collect(),
            deposits: report.deposits.iter().map(DepositView::from).collect(),
        };
        let mut say = match output.wallets.as_slice() {
            [] => format!("The wallet cannot pay: {NO_WALLET}."),
            [wallet] => wallet.say("The wallet"),
            more => more.iter().map(|w| w.say(&format!("The {} wallet", w.kind))).collect::<Vec<_>>().join(" "),
        };
        // A wallet that holds one currency spends no other; the facts list all the same.
        for budget in report.budgets.iter().filter(|b| output.spends(b.limit.currency())) {
            if budget.scope == Scope::Session {
                let held = if budget.held.is_zero() { String::new() } else { format!(", {} held", budget.held) };
                say.push_str(&format!(" Session: {} of {} left{held}.", budget.left, budget.limit));
            }
        }
        if !report.unresolved.is_empty() {
            say.push_str(&format!(" {} payment(s) have no known outcome yet.", report.unresolved.len()));
        }
        if !report.awaiting.is_empty() {
            say.push_str(&format!(" {} purchase(s) wait for a person.", report.awaiting.len()));
        }
        let open = report.deposits.iter().filter(|d| d.state == DepositState::Open).count();
        if open > 0 {
            say.push_str(&format!(" {open} deposit(s) at sellers are open; calls there draw on them."));
        }
        output.say = say;
        output
    }

    /// What the model reads.
    pub fn text(&self) -> String {
        let mut text = self.say.clone();
        for place in self.wallets.iter().flat_map(|w| &w.places) {
            text.push_str(&format!("\n- {}", place.line()));
        }
        for b in self.budgets.iter().filter(|b| self.spends(b.limit.currency())) {
            let scope = b.scope.name();
            match b.left {
                Some(left) => {
                    text.push_str(&format!("\n- {scope}: {left} of {} left (ceiling {})", b.limit, b.ceiling))
                }
                None => text.push_str(&format!("\n- {scope}: at most {} (ceiling {})", b.limit, b.ceiling)),
            }
        }
        for w in self.unresolved.iter().chain(&self.awaiting_approval) {
            text.push_str(&format!("\n- {} {} {} at {}", w.purchase, w.state, w.price, w.host));
        }
        for deposit in &self.deposits {
            text.push_str(&format!("\n- {}", deposit.line()));
        }
        text
    }
}

impl Refusal for Output {
    fn refusal(code: &str, say: String) -> Output {
        Output {
            say,
            code: Some(code.to_owned()),
            wallets: Vec::new(),
            session: None,
            budgets: Vec::new(),
            unresolved: Vec::new(),
            awaiting_approval: Vec::new(),
            deposits: Vec::new(),
        }
    }
}

pub(super) async fn call(purse: Purse, caller: Caller, given: Value) -> Said {
    if let Err(said) = arguments::<Args, Output>(given) {
        return said;
    }
    match purse.balance(&caller).await {
        Ok(report) => {
            let output = Output::new(&report);
            let structured = serde_json::to_value(&output).unwrap_or_default();
            Said {
                blocks: vec![output.text()],
                picture: None,
                structured,
                is_error: false,
                hands_over: None,
                asks: None,
            }
        }
        Err(no) => refused::<Output>(no),
    }
}

/// The result of a tool that could not be carried out and never pays.
pub(super) fn refused<O: Refusal>(no: No) -> Said {
    Said::wrong::<O>(no.code, format!("Nothing was paid: {}.", no.say.trim_end_matches('.')))
}
