//! The end of a deposit: it is closed, and the wallet is asked what came back.

use std::{sync::atomic::Ordering, time::Duration};

use super::{DepositState, Held, No, Purse, Request};
use crate::{
    ledger::{Deposit, PurchaseId},
    money::Amount,
    protocol::mpp::session::{Effect, Input, said},
    purchase::{Wish, drive::kill_point, quote::seen},
    wallet::ReceivedSaid,
};

/// After how many seconds without a call a deposit is closed, where the seller does not close earlier.
const IDLE_S: u64 = 600;

/// How often deposits are looked after.
const TICK: Duration = Duration::from_secs(1);

/// A close that failed is tried again after so many ticks.
const AGAIN: u64 = 5;

/// The pauses between looks for a refund right after a close: most sellers pay at once.
const LOOKS_MS: [u64; 6] = [0, 100, 250, 500, 1000, 2000];

/// How long after the invoice for the rest ended a refund is still looked for, in seconds.
const GRACE_S: u64 = 600;

/// What became of a wish to close a deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// So much came back.
    Back(Amount),
    /// The seller was told, and nothing came back so far.
    Waiting,
    /// The seller could not be told; it is tried again.
    NotYet,
    /// Another process drives it, and was asked to close it.
    Asked,
}

impl Purse {
    /// Closes a deposit, and waits a moment for what comes back. One that another process drives is closed there.
    ///
    /// # Errors
    /// The ledger cannot be read or written.
    pub async fn close_deposit(&self, id: PurchaseId) -> Result<Closed, No> {
        let ledger = self.ledger().await?;
        match self.hold_deposit(id).await? {
            Some(mut held) => held.close().await?,
            None => {
                let open = [DepositState::Open, DepositState::Closing];
                if ledger.deposit(id).await?.is_some_and(|deposit| open.contains(&deposit.state)) {
                    ledger.ask_to_close(id).await?;
                    return Ok(Closed::Asked);
                }
            }
        }
        for pause in LOOKS_MS {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let Some(deposit) = ledger.deposit(id).await? else { break };
            if deposit.state == DepositState::Closed {
                self.look_for_refund(&deposit).await?;
            }
            match ledger.deposit(id).await? {
                Some(now) if now.state == DepositState::Done => return Ok(Closed::Back(now.back)),
                Some(now) if now.state == DepositState::Closed => {}
                _ => return Ok(Closed::NotYet),
            }
        }
        Ok(Closed::Waiting)
    }

    /// Closes the deposits that this process drives: it ends. What cannot be closed now is another process's to close.
    pub(in crate::purchase) async fn close_deposits(&self, within: Duration) {
        if !self.drives_deposits() {
            return;
        }
        let all = self.0.driven.ids().into_iter().map(|id| async move {
            match self.close_deposit(id).await {
                Ok(Closed::Back(back)) => tracing::info!("{id}: closed, and {back} came back"),
                Ok(closed) => tracing::info!("{id}: {closed:?}"),
                Err(no) => tracing::warn!("{id}: its deposit could not be closed: {no}"),
            }
        });
        if tokio::time::timeout(within, futures_util::future::join_all(all)).await.is_err() {
            tracing::warn!("a deposit could not be closed in time; the next run tries again");
        }
    }

    /// Asks our own wallet what came back of a deposit, and writes that down. Nobody else is believed.
    async fn look_for_refund(&self, deposit: &Deposit) -> Result<(), No> {
        let (ledger, id) = (self.ledger().await?, deposit.purchase);
        let said = match self.wallet_with_id(&deposit.wallet).await {
            Ok(wallet) => wallet.received(&deposit.return_hash).await,
            Err(why) => ReceivedSaid::CannotTell { why },
        };
        let over = self.0.clock.now_s() > deposit.return_until_s.saturating_add(GRACE_S);
        match said {
            ReceivedSaid::Came(amount) => {
                kill_point("before_credit");
                let proof = serde_json::json!({ "payment_hash": deposit.return_hash, "said_by": deposit.wallet });
                ledger.came_back(id, amount, proof.to_string().into_bytes()).await?;
                kill_point("after_credit");
            }
            ReceivedSaid::Never => {
                ledger.nothing_came_back(id, "the invoice for the rest ended, and nothing had come").await?;
            }
            ReceivedSaid::NotYet if over => {
                ledger.nothing_came_back(id, "the invoice for the rest ended, and nothing had come").await?;
            }
            ReceivedSaid::NotYet => {}
            ReceivedSaid::CannotTell { why } => tracing::debug!("{id}: what came back is not known: {why}"),
        }
        Ok(())
    }

    /// Takes up the deposits that nobody drives any more, and looks for what came back of those that are closed.
    pub(in crate::purchase) async fn look_after_deposits(&self) -> Result<(), No> {
        for deposit in self.ledger().await?.deposits(None).await? {
            match deposit.state {
                DepositState::Closed => self.look_for_refund(&deposit).await?,
                // To have it in hand is to look after it.
                DepositState::Open | DepositState::Closing => drop(self.hold_if_free(deposit.purchase).await?),
                DepositState::Done => {}
            }
        }
        Ok(())
    }

    /// Looks after the deposits in this process's hand, as long as there are any.
    pub(super) fn watch_deposits(&self) {
        if !self.begin_to_watch() {
            return;
        }
        let purse = self.clone();
        tokio::spawn(async move {
            let mut tick = 0;
            loop {
                tokio::time::sleep(TICK).await;
                tick += 1;
                if purse.closing() || !purse.drives_deposits() {
                    purse.watched().store(false, Ordering::SeqCst);
                    // One that came in between is watched anew.
                    if purse.closing() || !purse.drives_deposits() || !purse.begin_to_watch() {
                        return;
                    }
                }
                for id in purse.0.driven.ids() {
                    if let Err(no) = purse.look_after(id, tick).await {
                        tracing::warn!("{id}: its deposit could not be looked after: {no}");
                    }
                }
            }
        });
    }

    async fn look_after(&self, id: PurchaseId, tick: u64) -> Result<(), No> {
        let Some(deposit) = self.ledger().await?.deposit(id).await? else {
            self.0.driven.forget(id);
            return Ok(());
        };
        let idle_s = deposit.closes_s.map_or(IDLE_S, |s| (s - s / 5).clamp(1, IDLE_S));
        let idle = self.0.clock.now_ms() as i64 >= deposit.used_ms.saturating_add(idle_s as i64 * 1000);
        match deposit.state {
            DepositState::Open if deposit.close_asked || idle => {
                if let Some(mut held) = self.hold_if_free(id).await? {
                    held.close().await?;
                }
            }
            DepositState::Closing if deposit.close_asked || tick.is_multiple_of(AGAIN) => {
                if let Some(mut held) = self.hold_if_free(id).await? {
                    held.close().await?;
                }
            }
            DepositState::Closed if tick.is_multiple_of(AGAIN) => self.look_for_refund(&deposit).await?,
            DepositState::Done => self.0.driven.forget(id),
            _ => {}
        }
        Ok(())
    }
}

impl Held<'_> {
    /// Closes it as far as its seller lets us, and keeps that. A deposit that was never opened is opened first: else
    /// nothing of it would come back.
    pub(super) async fn close(&mut self) -> Result<(), No> {
        let request = self.place()?;
        let realm = self.hand()?.session.key.realm.clone();
        // Open, close, and the terms for either.
        for _ in 0..3 {
            let now_s = self.now_s();
            let mut effect = self.hand()?.session.step(Input::End, now_s);
            let mut went_on = false;
            for _ in 0..6 {
                self.keep().await?;
                if self.turn.is_none() {
                    return Ok(());
                }
                let credential = match &effect {
                    Effect::Show(action) => self.hand()?.session.credential(*action),
                    Effect::Ask => None,
                    _ => break,
                };
                went_on = true;
                kill_point("before_close");
                let answered = self.purse.send_harmless(&request, credential.as_ref()).await;
                kill_point("after_close");
                let now_s = self.now_s();
                let input = match &answered {
                    Ok(answer) => Input::Answered(said(seen(answer), &realm)),
                    Err(_) => Input::Unanswered,
                };
                effect = self.hand()?.session.step(input, now_s);
            }
            // Served by an open, or refused: from there it can be closed. At rest it is another time's.
            if !went_on || effect == Effect::Rest {
                break;
            }
        }
        if self.turn.is_some() {
            self.keep().await?;
        }
        Ok(())
    }

    /// Where its seller is told something that is no call: the path that opened it.
    fn place(&mut self) -> Result<Request, No> {
        let settings = self.purse.0.config.http.clone();
        let deposit = &self.hand()?.deposit;
        let url = format!("{}{}", deposit.origin, deposit.path);
        // Judged anew: what may be connected to can have changed since.
        Request::vet(&settings, &Wish { url, method: Some(deposit.method.clone()), ..Wish::default() })
    }
}
