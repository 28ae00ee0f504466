//! `set_budget`: the model may only tighten.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Refusal, Said, approval::Question, arguments, get_balance::LimitView, get_balance::refused};
use crate::{
    ledger::{LimitSet, Scope, SetBy},
    money::Amount,
    purchase::{Caller, Purse},
};

/// What the model passes.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    pub scope: SetScope,
    /// e.g. "500 sat" or "2 usd"
    pub limit: Amount,
}

/// The limits a session can move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SetScope {
    /// One purchase.
    Purchase,
    /// This session.
    Session,
    /// A UTC day.
    Day,
}

impl From<SetScope> for Scope {
    fn from(s: SetScope) -> Scope {
        match s {
            SetScope::Purchase => Scope::Purchase,
            SetScope::Session => Scope::Session,
            SetScope::Day => Scope::Day,
        }
    }
}

/// What programs read.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct Output {
    /// `set`, `needs_a_person` or `refused`.
    pub outcome: String,
    /// In words.
    pub say: String,
    /// A stable word, where the wish could not even be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The limit as it stands now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<LimitView>,
    /// What a person can run to raise it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Output {
    /// Makes the facts of what became of a wish.
    pub fn new(set: &LimitSet, scope: Scope, to: Amount) -> Output {
        let name = scope.name();
        match set {
            LimitSet::Done { before, after, .. } => Output {
                outcome: "set".into(),
                say: match scope {
                    Scope::Purchase => {
                        format!("The limit of one purchase is {} now (it was {}).", after.limit, before.limit)
                    }
                    _ => format!(
                        "The {name} limit is {} now (it was {}); {} of it is left.",
                        after.limit, before.limit, after.left
                    ),
                },
                code: None,
                budget: Some(after.into()),
                command: None,
            },
            LimitSet::NeedsAPerson { before, session } => {
                let command = format!("bursar budget set {name} \"{to}\" --session {session}");
                Output {
                    outcome: "needs_a_person".into(),
                    say: format!(
                        "Nothing changed: the {name} limit is {}, and only a person may raise it. In a terminal: {command}",
                        before.limit
                    ),
                    code: None,
                    budget: Some(before.into()),
                    command: Some(command),
                }
            }
            LimitSet::AboveCeiling(before) => Output {
                outcome: "refused".into(),
                say: format!(
                    "Nothing changed: the operator's ceiling for the {name} limit is {}; only the config file can move it.",
                    before.ceiling
                ),
                code: None,
                budget: Some(before.into()),
                command: None,
            },
            LimitSet::NoCeiling => Output {
                outcome: "refused".into(),
                say: format!("Nothing changed: the operator allows no {} at all.", to.currency()),
                code: None,
                budget: None,
                command: None,
            },
        }
    }
}

impl Refusal for Output {
    fn refusal(code: &str, say: String) -> Output {
        Output { outcome: "refused".into(), say, code: Some(code.to_owned()), budget: None, command: None }
    }
}

pub(super) async fn call(purse: Purse, caller: Caller, given: Value) -> Said {
    let args: Args = match arguments::<_, Output>(given) {
        Ok(args) => args,
        Err(said) => return said,
    };
    let scope = Scope::from(args.scope);
    match purse.set_limit(&caller, scope, args.limit, SetBy::Model).await {
        Ok(set) => said(&set, scope, args.limit),
        Err(no) => refused::<Output>(no),
    }
}

/// Raises a limit after a person said yes, up to the ceiling.
pub(super) async fn raise(purse: &Purse, caller: &Caller, scope: Scope, to: Amount) -> Said {
    match purse.set_limit(caller, scope, to, SetBy::Human).await {
        Ok(set) => Said { asks: None, ..said(&set, scope, to) },
        Err(no) => refused::<Output>(no),
    }
}

fn said(set: &LimitSet, scope: Scope, to: Amount) -> Said {
    let output = Output::new(set, scope, to);
    let asks = match set {
        LimitSet::NeedsAPerson { before, .. } => Some(Box::new(Question::Raise {
            scope,
            to,
            say: format!("The agent asks to raise its {} limit from {} to {to}. Allow it?", scope.name(), before.limit),
        })),
        _ => None,
    };
    Said {
        blocks: vec![output.say.clone()],
        picture: None,
        structured: serde_json::to_value(&output).unwrap_or_default(),
        is_error: output.outcome != "set",
        hands_over: None,
        asks,
    }
}
