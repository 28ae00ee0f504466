//! `/metrics`: numbers for whoever runs this. No names of hosts, no secrets, nothing that an agent said.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize, atomic::Ordering},
};

use rmcp::ServerHandler;

use super::agents::Agents;
use crate::purchase::{No, Purse};

/// What is counted while the process runs.
#[derive(Default)]
pub(crate) struct Metrics {
    /// Connections that are open.
    pub(super) connections: Arc<AtomicUsize>,
    /// Calls of tools under way.
    pub(super) calls_now: Arc<AtomicUsize>,
    /// Answers that are not on the wire yet.
    pub(super) answers_now: Arc<AtomicUsize>,
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    calls: Mutex<BTreeMap<(&'static str, bool), u64>>,
}

/// Counts one up while it lives.
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn new(number: &Arc<AtomicUsize>) -> Counted {
        number.fetch_add(1, Ordering::Relaxed);
        Counted(number.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// A call of a tool begins.
    pub(crate) fn call(&self) -> Counted {
        Counted::new(&self.calls_now)
    }

    /// A call of a tool ended.
    pub(crate) fn called(&self, tool: &str, is_error: bool) {
        // Only our own names: what a client makes up must not grow this.
        let tools = ["discover_api", "fetch_paid", "get_balance", "set_budget"];
        let Some(tool) = tools.into_iter().find(|t| *t == tool) else { return };
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry((tool, is_error)).or_default() += 1;
    }

    /// A request was answered.
    pub(super) fn answered(&self, path: &'static str, status: u16) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry((path, status)).or_default() += 1;
    }

    /// The page.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) async fn page<F: ServerHandler + Clone>(&self, purse: &Purse, agents: &Agents<F>) -> Result<String, No> {
        let mut page = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, String)>| {
            // Writing to a String does not fail.
            let _ = writeln!(page, "# HELP bursar_{name} {help}\n# TYPE bursar_{name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(page, "bursar_{name}{labels} {value}");
            }
        };
        let one = |n: usize| vec![(String::new(), n.to_string())];
        family("connections", "gauge", "Connections that are open.", one(self.connections.load(Ordering::Relaxed)));
        family("sessions", "gauge", "MCP sessions that are open.", one(agents.sessions().await));
        family("calls_now", "gauge", "Calls of tools under way.", one(self.calls_now.load(Ordering::Relaxed)));
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let requests = requests.iter().map(|((p, s), n)| (format!("{{path=\"{p}\",status=\"{s}\"}}"), n.to_string()));
        family("requests_total", "counter", "HTTP requests answered.", requests.collect());
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let calls = calls.iter().map(|((t, e), n)| (format!("{{tool=\"{t}\",error=\"{e}\"}}"), n.to_string()));
        family("calls_total", "counter", "Calls of tools answered.", calls.collect());
        let tally = purse.ledger().await?.tally().await?;
        let states = tally.purchases.iter().map(|(s, n)| (format!("{{state=\"{s}\"}}"), n.to_string()));
        family("purchases", "gauge", "Purchases in the ledger, by where they stand.", states.collect());
        let money = |sums: &BTreeMap<crate::money::Currency, crate::money::Amount>| {
            sums.iter().map(|(c, a)| (format!("{{currency=\"{}\"}}", c.code()), a.decimal())).collect::<Vec<_>>()
        };
        family("spent_total", "counter", "Money that left, fees included.", money(&tally.spent));
        family("held", "gauge", "Money held for payments whose outcome is not known.", money(&tally.held));
        Ok(page)
    }
}
