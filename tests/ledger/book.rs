//! A ledger in a home of its own, a clock that stands still, and purchases to put into it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;

use bursar::{
    clock::Clock,
    config::{LimitTable, Limits},
    ledger::{
        Begun, BudgetView, Idempotency, Intent, Ledger, LimitSet, NewPurchase, NoRoom, Payment, PurchaseId, Scope,
        SetBy, State, StoredResult,
    },
    money::{Amount, Currency},
};
use tempfile::TempDir;

/// 2026-11-21T10:00:00Z.
pub const NOON_ISH: u64 = 1_795_255_200_000;

/// Until when the books' intents may cost money, unix seconds.
pub const LIABLE_UNTIL: u64 = NOON_ISH / 1000 + 3600;

pub fn msat(n: u64) -> Amount {
    Amount::msat(n).unwrap()
}

pub fn sat(n: u64) -> Amount {
    msat(n * 1000)
}

/// Ceilings of twice the defaults given here: purchase, session, day in sat. Neither host nor total.
pub fn limits(purchase: u64, session: u64, day: u64) -> LimitTable {
    let row = |n: u64| Limits {
        purchase: sat(purchase * n),
        session: sat(session * n),
        day: sat(day * n),
        host: None,
        total: None,
    };
    LimitTable { ceiling: [(Currency::Sat, row(2))].into(), default: [(Currency::Sat, row(1))].into() }
}

/// The same with limits for one host and for everything.
pub fn limits_with(table: LimitTable, host: Option<u64>, total: Option<u64>) -> LimitTable {
    let with = |l: &Limits| Limits { host: host.map(sat), total: total.map(sat), ..*l };
    let all = |t: &std::collections::BTreeMap<Currency, Limits>| t.iter().map(|(c, l)| (*c, with(l))).collect();
    LimitTable { ceiling: all(&table.ceiling), default: all(&table.default) }
}

pub struct Book {
    pub home: TempDir,
    pub clock: Clock,
    pub limits: LimitTable,
    pub ledger: Ledger,
}

impl Book {
    pub fn new(limits: LimitTable) -> Book {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOON_ISH);
        let ledger = open(home.path(), &limits, &clock);
        Book { home, clock, limits, ledger }
    }

    /// As after a restart of the process.
    pub fn reopen(self) -> Book {
        let Book { home, clock, limits, ledger } = self;
        drop(ledger);
        let ledger = open(home.path(), &limits, &clock);
        Book { home, clock, limits, ledger }
    }

    /// As after a restart with another config file.
    pub fn reopen_with(self, limits: LimitTable) -> Book {
        Book { limits, ..self }.reopen()
    }

    /// Another connection to the same file, as someone with a database tool has it.
    pub fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(bursar::ledger::file(self.home.path())).unwrap()
    }

    pub async fn begin(&self, wish: &Wish) -> Begun {
        let (new, intent) = wish.parts();
        self.ledger.begin(new, intent, false).await.unwrap()
    }

    /// Begins a purchase that must be granted.
    pub async fn bought(&self, wish: &Wish) -> PurchaseId {
        match self.begin(wish).await {
            Begun::Committed(intent) => intent.purchase,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Begins a purchase that must find no room.
    pub async fn no_room(&self, wish: &Wish) -> NoRoom {
        match self.begin(wish).await {
            Begun::NoRoom(no) => no,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub async fn paid(&self, id: PurchaseId, spent: Amount, fee: Option<Amount>) -> State {
        self.ledger.paid(id, payment(spent, fee)).await.unwrap()
    }

    pub async fn delivered(&self, id: PurchaseId) -> State {
        self.ledger.delivered(id, answer(id, NOON_ISH)).await.unwrap()
    }

    /// A whole purchase, paid with a fee of 1 sat where its cap allows it, delivered and answered.
    pub async fn complete(&self, wish: &Wish) -> PurchaseId {
        let id = self.bought(wish).await;
        let fee = if wish.fee_cap.is_zero() { wish.fee_cap } else { sat(1) };
        assert_eq!(self.paid(id, wish.price, Some(fee)).await, State::Paid);
        assert_eq!(self.delivered(id).await, State::Delivered);
        self.ledger.answered(id).await.unwrap();
        id
    }

    pub async fn set(&self, scope: Scope, to: Amount, by: SetBy) -> LimitSet {
        self.ledger.set_limit("local", "", scope, to, by).await.unwrap()
    }

    pub async fn budget(&self, scope: Scope) -> BudgetView {
        let (_, views) = self.ledger.budgets("local", "").await.unwrap();
        views.into_iter().find(|v| v.scope == scope && v.limit.currency() == Currency::Sat).unwrap()
    }

    /// What the independent auditor finds, as text.
    pub async fn findings(&self) -> Vec<String> {
        let verified = self.ledger.verify().await.unwrap();
        verified.findings.into_iter().map(|f| format!("{}: {}", f.row, f.say)).collect()
    }

    pub async fn is_sound(&self) {
        assert_eq!(self.findings().await, Vec::<String>::new());
    }

    /// Every window: scope, reserved, spent, overrun in msat.
    pub fn windows(&self) -> Vec<(String, i64, i64, i64)> {
        let conn = self.raw();
        let mut statement = conn
            .prepare(
                "SELECT b.scope || '/' || b.principal, w.reserved, w.spent, w.overrun
                 FROM budget_window w JOIN budget b USING(budget_id) ORDER BY 1",
            )
            .unwrap();
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

pub fn open(home: &Path, limits: &LimitTable, clock: &Clock) -> Ledger {
    Ledger::open(home, limits.clone(), clock.clone()).unwrap()
}

pub fn payment(spent: Amount, fee: Option<Amount>) -> Payment {
    let proof = b"\"proof\"".to_vec();
    Payment { proof, transaction: None, spent, fee, opens_more: true, expires_s: None, wallet_id: "nwc:1".into() }
}

pub fn answer(id: PurchaseId, at_ms: u64) -> StoredResult {
    StoredResult {
        result_id: id.to_string(),
        url: "https://api.example/v1/data".into(),
        status: 200,
        content_type: "text/plain".into(),
        size: 5,
        sha256: "00".repeat(32),
        cut: false,
        created_ms: at_ms as i64,
        gone_ms: None,
    }
}

/// A purchase somebody wants.
#[derive(Clone)]
pub struct Wish {
    pub principal: String,
    pub session_key: String,
    pub host: String,
    pub price: Amount,
    pub fee_cap: Amount,
    pub key: String,
    pub explicit: bool,
    pub request: String,
    pub rail_key: String,
    pub world: String,
    pub wallet: String,
    pub purpose: String,
}

impl Wish {
    /// A wish like no other, for so much, without a fee.
    pub fn of(price: Amount) -> Wish {
        let unique = PurchaseId::random().to_string();
        Wish {
            principal: "local".into(),
            session_key: String::new(),
            host: "api.example".into(),
            price,
            fee_cap: msat(0),
            key: format!("a:{unique}"),
            explicit: false,
            request: format!("hash of {unique}"),
            rail_key: format!("ln:{unique}"),
            world: "main".into(),
            wallet: "nwc:1".into(),
            purpose: "a test".into(),
        }
    }

    pub fn fee(self, fee_cap: Amount) -> Wish {
        Wish { fee_cap, ..self }
    }

    pub fn at(self, host: &str) -> Wish {
        Wish { host: host.into(), ..self }
    }

    pub fn by(self, principal: &str) -> Wish {
        Wish { principal: principal.into(), ..self }
    }

    /// The same request again, with a new invoice.
    pub fn again(&self) -> Wish {
        Wish { rail_key: format!("ln:{}", PurchaseId::random()), ..self.clone() }
    }

    pub fn parts(&self) -> (NewPurchase, Intent) {
        let id = PurchaseId::random();
        let new = NewPurchase {
            id,
            principal: self.principal.clone(),
            session_key: self.session_key.clone(),
            idem: Idempotency { key: self.key.clone(), explicit: self.explicit, request_hash: self.request.clone() },
            // A call that saw all that came before it.
            seen: Some(i64::MAX),
            method: "GET".into(),
            origin: format!("https://{}", self.host),
            host: self.host.clone(),
            path: "/v1/data".into(),
            request: b"{}".to_vec(),
            purpose: self.purpose.clone(),
            max_price: None,
            chosen_why: "the only offer".into(),
            wallet_id: self.wallet.clone(),
            world: self.world.clone(),
        };
        let intent = Intent {
            purchase: id,
            n: 0,
            protocol: "l402".into(),
            rail: "lightning".into(),
            network: "bitcoin".into(),
            asset: "btc".into(),
            payee: "02ab".into(),
            rail_key: self.rail_key.clone(),
            wallet: "nwc".into(),
            price: self.price,
            fee_cap: self.fee_cap,
            liability_until: LIABLE_UNTIL,
            resend_until: NOON_ISH / 1000 + 60,
            pin: b"{}".to_vec(),
            wire: b"a signed event".to_vec(),
        };
        (new, intent)
    }
}
