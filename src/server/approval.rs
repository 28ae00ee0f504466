//! Asking a person through the host: where the host can, the question comes up in it; everywhere else the terminal is
//! the person's channel.
//!
//! Both eras of MCP are served. With a handshake the server asks the client (`elicitation/create`) and waits. Without one
//! it answers `input_required`, and the client calls again with the person's answer and a state that it cannot forge: an
//! HMAC over the question, bound to the tool, the arguments and the principal, good for as long as a question stands
//! (`waits.person`) and used once.
//!
//! An accept proves no person (some hosts let a program answer), so it never goes beyond what the operator's ceilings
//! allow: a purchase that waits has passed every limit already, and a limit is never raised above its ceiling.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use rmcp::{
    RoleServer,
    model::{
        ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema, InputRequest,
        InputRequiredResult, RequestStateCodec, SealOptions,
    },
    service::RequestContext,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ledger::Scope, money::Amount};

/// The name of the one question in a stateless answer.
const KEY: &str = "approval";
/// At most this many answers are remembered as used; they only matter while they stand.
const MOST_USED: usize = 4096;

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Question {
    /// To buy exactly what is pinned.
    Buy {
        /// The purchase.
        id: String,
        /// The question in words.
        say: String,
    },
    /// To raise a limit.
    Raise {
        /// Which limit.
        scope: Scope,
        /// To what.
        to: Amount,
        /// The question in words.
        say: String,
    },
}

impl Question {
    fn say(&self) -> &str {
        match self {
            Question::Buy { say, .. } | Question::Raise { say, .. } => say,
        }
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Accepted, with the box ticked.
    Yes,
    /// Declined, or accepted with the box not ticked.
    No,
    /// Dismissed, timed out, or not understood: nobody said yes.
    None,
}

/// Which way a host can put a question.
pub(super) enum Channel {
    /// The server asks the client and waits.
    Request,
    /// The answer to the call is the question.
    Retry,
}

/// Why an echoed state opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It is ours and was used: the question is answered already.
    Used(Question),
    /// It is not ours, of another call, or too old.
    Forged,
}

/// Asks, and checks what comes back. Its key lives and dies with the process.
#[derive(Clone)]
pub(super) struct Approval(Arc<Inner>);

struct Inner {
    codec: Option<RequestStateCodec>,
    stands: Duration,
    used: Mutex<HashMap<String, Instant>>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    question: Question,
    nonce: String,
}

impl Approval {
    /// Whoever asks waits for as long as `stands`.
    pub(super) fn new(stands: Duration) -> Approval {
        let codec = RequestStateCodec::try_new(crate::random::<32>().to_vec()).ok();
        Approval(Arc::new(Inner { codec, stands, used: Mutex::default() }))
    }

    /// The way this host can put a question, if it declares any.
    pub(super) fn channel(&self, context: &RequestContext<RoleServer>) -> Option<Channel> {
        let elicitation = context.client_capabilities()?.elicitation?;
        // Neither mode named means forms, as before modes were told apart.
        if elicitation.form.is_none() && elicitation.url.is_some() {
            return None;
        }
        let stateless = context.protocol_version().is_some_and(|v| v.as_str() >= "2026-07-28");
        Some(if stateless { Channel::Retry } else { Channel::Request })
    }

    /// Asks the client and waits for the person.
    pub(super) async fn ask(&self, context: &RequestContext<RoleServer>, question: &Question) -> Answer {
        match context.peer.create_elicitation_with_timeout(form(question), Some(self.0.stands)).await {
            Ok(result) => read(&result),
            Err(_) => Answer::None,
        }
    }

    /// The question as the answer to a call. `call` is what the state is bound to.
    pub(super) fn input_required(&self, question: &Question, call: &[u8]) -> Option<InputRequiredResult> {
        let codec = self.0.codec.as_ref()?;
        let sealed = Sealed { question: question.clone(), nonce: HEXLOWER.encode(&crate::random::<16>()) };
        let sealed = serde_json::to_vec(&sealed).ok()?;
        let state = codec.seal_with(&sealed, &SealOptions::new().associated_data(call).ttl(self.0.stands));
        let request = InputRequest::Elicitation(ElicitRequest::new(form(question)));
        Some(InputRequiredResult::new(Some(BTreeMap::from([(KEY.to_owned(), request)])), Some(state)))
    }

    /// Opens an echoed state and reads the answer that came with it. A state opens once.
    pub(super) fn open(
        &self,
        state: &str,
        responses: Option<&BTreeMap<String, Value>>,
        call: &[u8],
    ) -> Result<(Question, Answer), Unopened> {
        let forged = || Unopened::Forged;
        let codec = self.0.codec.as_ref().ok_or_else(forged)?;
        let sealed = codec.open_with(state, call).map_err(|_| forged())?;
        let sealed: Sealed = serde_json::from_slice(&sealed).map_err(|_| forged())?;
        let mut used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        // A state that is too old to open need not be remembered.
        used.retain(|_, at| at.elapsed() <= self.0.stands);
        if used.len() >= MOST_USED {
            return Err(Unopened::Forged);
        }
        if used.insert(sealed.nonce, Instant::now()).is_some() {
            return Err(Unopened::Used(sealed.question));
        }
        let answer = responses.and_then(|r| r.get(KEY)).cloned();
        let answer = answer.and_then(|a| serde_json::from_value::<ElicitResult>(a).ok());
        Ok((sealed.question, answer.as_ref().map_or(Answer::None, read)))
    }
}

/// What a state is bound to: the tool, its arguments, who calls.
pub(super) fn bound_to(tool: &str, arguments: &Value, principal: &str) -> Vec<u8> {
    crate::sha256(serde_json::json!([tool, arguments, principal]).to_string().as_bytes()).to_vec()
}

fn form(question: &Question) -> ElicitRequestParams {
    let tick = "Tick to say yes";
    let schema = ElicitationSchema::builder().required_bool("approve").description(tick).build_unchecked();
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: question.say().to_owned(),
        requested_schema: schema,
    }
}

fn read(result: &ElicitResult) -> Answer {
    match &result.action {
        ElicitationAction::Accept => match result.content.as_ref().and_then(|c| c.get("approve")) {
            Some(Value::Bool(true)) => Answer::Yes,
            Some(Value::Bool(false)) => Answer::No,
            _ => Answer::None,
        },
        ElicitationAction::Decline => Answer::No,
        _ => Answer::None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const STANDS: Duration = Duration::from_secs(300);

    fn question() -> Question {
        Question::Buy { id: "p_x".into(), say: "Pay?".into() }
    }

    fn answers(answer: Value) -> BTreeMap<String, Value> {
        BTreeMap::from([(KEY.to_owned(), answer)])
    }

    #[test]
    fn a_state_opens_once_for_its_own_call_and_for_no_other() {
        let approval = Approval::new(STANDS);
        let call = bound_to("fetch_paid", &json!({ "url": "a" }), "local");
        let state = approval.input_required(&question(), &call).unwrap().request_state.unwrap();
        let yes = answers(json!({ "action": "accept", "content": { "approve": true } }));
        for other in [
            bound_to("fetch_paid", &json!({ "url": "b" }), "local"),
            bound_to("set_budget", &json!({ "url": "a" }), "local"),
            bound_to("fetch_paid", &json!({ "url": "a" }), "mallory"),
        ] {
            assert_eq!(approval.open(&state, Some(&yes), &other), Err(Unopened::Forged));
        }
        assert_eq!(
            Approval::new(STANDS).open(&state, Some(&yes), &call),
            Err(Unopened::Forged),
            "another process's key"
        );
        assert_eq!(approval.open(&format!("{state}x"), Some(&yes), &call), Err(Unopened::Forged));
        assert_eq!(approval.open(&state, Some(&yes), &call), Ok((question(), Answer::Yes)));
        assert_eq!(approval.open(&state, Some(&yes), &call), Err(Unopened::Used(question())), "a second use");
    }

    #[test]
    fn only_a_ticked_box_is_a_yes() {
        let read = |answer: Value| {
            let approval = Approval::new(STANDS);
            let state = approval.input_required(&question(), b"call").unwrap().request_state.unwrap();
            approval.open(&state, Some(&answers(answer)), b"call").unwrap().1
        };
        assert_eq!(read(json!({ "action": "accept", "content": { "approve": true } })), Answer::Yes);
        assert_eq!(read(json!({ "action": "accept", "content": { "approve": false } })), Answer::No);
        assert_eq!(read(json!({ "action": "decline" })), Answer::No);
        for nothing in [
            json!({ "action": "cancel" }),
            json!({ "action": "accept" }),
            json!({ "action": "accept", "content": {} }),
            json!({ "action": "accept", "content": { "approve": "true" } }),
            json!({ "action": "accept", "content": { "approve": 1 } }),
            json!({ "action": "ACCEPT", "content": { "approve": true } }),
            json!("accept"),
            json!(null),
        ] {
            assert_eq!(read(nothing.clone()), Answer::None, "{nothing}");
        }
    }
}
