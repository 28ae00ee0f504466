//! A person's word, asked for through the host in both eras of MCP: what each answer does to the money.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Era, Host, Seller, Told, World, money::held_msat, money::purchases, money::until};

/// Above this a person is asked.
const CONFIG: &str = "[approval]\nabove = { sat = \"50\" }";

struct Scene {
    world: World,
    seller: Seller,
    host: Host,
    era: Era,
}

impl Scene {
    async fn new(era: Era) -> Scene {
        Scene::with(era, CONFIG).await
    }

    async fn with(era: Era, config: &str) -> Scene {
        let world = World::with(config).await;
        let seller = Seller::honest(world.node(), 80_000, r#"{"data":"dear"}"#).await;
        let host = Host::start_with_forms(&world.envs(), era).await;
        Scene { world, seller, host, era }
    }

    fn wish(&self) -> Value {
        json!({ "url": self.seller.url("/dear"), "purpose": "a test of the person" })
    }

    /// Calls a tool and lets the person answer the question that comes: the question's message, and the tool's answer.
    async fn call_and_answer(&self, tool: &str, arguments: Value, answer: Value) -> (String, Told) {
        match self.era {
            Era::Handshake => {
                let (_, told) = self.host.begin_call(tool, arguments).await;
                let asked = self.host.asked().await.expect("the server asks");
                assert_eq!(asked["method"], "elicitation/create", "{asked}");
                self.host.answer(&asked, answer).await;
                let told = told.await.expect("an answer");
                (message(&asked["params"]), Told { raw: told["result"].clone() })
            }
            Era::Stateless => {
                let required = self.host.call(tool, arguments.clone()).await.raw;
                assert_eq!(required["resultType"], "input_required", "{required}");
                let asked = required["inputRequests"]["approval"]["params"].clone();
                let told = self.retry(tool, arguments, &required["requestState"], answer).await;
                (message(&asked), told)
            }
        }
    }

    /// Calls a tool, and nobody answers the question that comes until it no longer stands: the question as it came (an
    /// `elicitation/create`, or an `input_required`), and what was said in the end, where anything is.
    async fn call_and_never_answer(&self, tool: &str, arguments: Value) -> (Value, Option<Told>) {
        match self.era {
            Era::Handshake => {
                let (_, told) = self.host.begin_call(tool, arguments).await;
                let asked = self.host.asked().await.expect("the server asks");
                assert_eq!(asked["method"], "elicitation/create", "{asked}");
                let told = told.await.expect("an answer");
                (asked, Some(Told { raw: told["result"].clone() }))
            }
            Era::Stateless => {
                let required = self.host.call(tool, arguments).await.raw;
                assert_eq!(required["resultType"], "input_required", "{required}");
                let came = Instant::now();
                until("the end of the question", async || came.elapsed() > STANDS + Duration::from_millis(2)).await;
                (required, None)
            }
        }
    }

    /// The yes that comes after the question's end.
    async fn answer_too_late(&self, tool: &str, arguments: Value, question: &Value) {
        match self.era {
            Era::Handshake => self.host.answer(question, yes()).await,
            Era::Stateless => {
                let told = self.retry(tool, arguments, &question["requestState"], yes()).await;
                assert_eq!(told.facts()["code"], "stale_approval", "{}", told.text());
            }
        }
    }

    /// Calls a tool as a client does that says yes to whatever it is asked, and shows nobody anything.
    async fn call_accepting_all(&self, tool: &str, arguments: Value) -> Told {
        let (_, told) = self.host.begin_call(tool, arguments.clone()).await;
        tokio::pin!(told);
        let told = tokio::select! {
            told = &mut told => told,
            asked = self.host.asked() => {
                self.host.answer(&asked.expect("the server asks"), yes()).await;
                told.await
            }
        };
        let raw = told.expect("an answer")["result"].clone();
        if raw["resultType"] == "input_required" {
            return self.retry(tool, arguments, &raw["requestState"], yes()).await;
        }
        Told { raw }
    }

    async fn retry(&self, tool: &str, arguments: Value, state: &Value, answer: Value) -> Told {
        let params = json!({ "name": tool, "arguments": arguments, "requestState": state,
                             "inputResponses": { "approval": answer } });
        let told = self.host.request("tools/call", params).await.expect("an answer");
        Told { raw: told["result"].clone() }
    }

    async fn buy(&self, answer: Value) -> (String, Told) {
        self.call_and_answer("fetch_paid", self.wish(), answer).await
    }
}

fn message(params: &Value) -> String {
    assert_eq!(params["requestedSchema"]["properties"]["approve"]["type"], "boolean", "{params}");
    params["message"].as_str().unwrap_or_default().to_owned()
}

fn yes() -> Value {
    json!({ "action": "accept", "content": { "approve": true } })
}

const ERAS: [Era; 2] = [Era::Handshake, Era::Stateless];

#[tokio::test]
async fn a_person_who_says_yes_through_the_host_buys_exactly_what_was_shown() {
    for era in ERAS {
        let scene = Scene::new(era).await;
        let (asked, told) = scene.buy(yes()).await;
        for part in ["80 sat", "127.0.0.1", "/dear", "a test of the person"] {
            assert!(asked.contains(part), "{era:?}: {asked}");
        }
        assert_eq!(told.outcome(), "bought", "{era:?}: {}", told.text());
        assert!(told.text().contains("dear"), "{}", told.text());
        assert_eq!(scene.world.spent_msat(), 80_000, "{era:?}");
        let invoices = scene.seller.hits().iter().filter(|h| !h.paid()).count();
        assert_eq!(invoices, 1, "{era:?}: the invoice that was shown is the one that was paid");
        let note = &scene.world.audit().await[0].note;
        assert!(note.contains("approved in the host's form"), "a program may have ticked it: {note}");
        scene.world.verify_money().await;
    }
}

#[tokio::test]
async fn a_person_who_says_no_pays_nothing_and_nothing_stays_held() {
    for era in ERAS {
        for no in [json!({ "action": "decline" }), json!({ "action": "accept", "content": { "approve": false } })] {
            let scene = Scene::new(era).await;
            let (_, told) = scene.buy(no).await;
            assert!(told.is_error() && told.say().starts_with("Nothing was paid"), "{era:?}: {}", told.text());
            assert!(told.say().contains("a person said no"), "{era:?}: {}", told.text());
            assert_eq!(scene.world.spent_msat(), 0);
            let balance = scene.host.call("get_balance", json!({})).await;
            assert_eq!(balance.facts()["budgets"][1]["held"], "0 sat", "{}", balance.text());
            scene.world.verify_money().await;
        }
    }
}

/// An answer that is no answer: dismissed, malformed, or of a client that accepts without showing anything.
#[tokio::test]
async fn whatever_is_not_a_clear_yes_pays_nothing_and_the_terminal_still_can() {
    for era in ERAS {
        for answer in [
            json!({ "action": "cancel" }),
            json!({ "action": "accept" }),
            json!({ "action": "accept", "content": { "approve": "yes" } }),
            json!({ "action": "accept", "content": [] }),
            json!({ "nonsense": 1 }),
        ] {
            let scene = Scene::new(era).await;
            let (_, told) = scene.buy(answer.clone()).await;
            assert_eq!(told.outcome(), "awaiting_approval", "{era:?} {answer}: {}", told.text());
            assert_eq!(scene.world.spent_msat(), 0, "{era:?} {answer}");
            let (code, _, error) = scene.world.run(&["approve", told.purchase()]).await;
            assert_eq!(code, 0, "{error}");
            let told = scene.host.fetch(scene.wish()).await;
            assert_eq!(told.outcome(), "bought", "{era:?} {answer}: {}", told.text());
            assert_eq!(scene.world.spent_msat(), 80_000);
            scene.world.verify_money().await;
        }
    }
}

/// How long a question stands in [`UNANSWERED`].
const STANDS: Duration = Duration::from_secs(2);
/// The same limit, and a question that nobody answers is soon over.
const UNANSWERED: &str = "[approval]\nabove = { sat = \"50\" }\n[waits]\nperson = 2";

/// A host that takes the question and never answers it: time is no yes, and neither is a yes that comes after it. The
/// money stays held, the ledger says for what, and a person can still say yes in the terminal.
#[tokio::test]
async fn a_question_that_nobody_answers_pays_nothing_and_the_terminal_still_can() {
    for era in ERAS {
        let scene = Scene::with(era, UNANSWERED).await;
        let (question, told) = scene.call_and_never_answer("fetch_paid", scene.wish()).await;
        if let Some(told) = told {
            assert_eq!(told.outcome(), "awaiting_approval", "{era:?}: {}", told.text());
            assert!(told.say().contains(&format!("bursar approve {}", told.purchase())), "{}", told.text());
        }
        scene.answer_too_late("fetch_paid", scene.wish(), &question).await;
        let balance = scene.host.call("get_balance", json!({})).await;
        assert_eq!(balance.facts()["awaiting_approval"].as_array().map(Vec::len), Some(1), "{}", balance.text());
        assert_eq!((scene.world.spent_msat(), scene.world.asked_to_pay()), (0, 0), "{era:?}");
        let rows = purchases(&scene.world).await;
        assert_eq!(rows.iter().map(|row| row.state.as_str()).collect::<Vec<_>>(), ["awaiting_approval"], "{era:?}");
        assert_eq!(held_msat(&scene.world, "").await, 90_000, "{era:?}: the price and the fee");
        scene.world.verify_money().await;

        let id = rows[0].purchase.clone().expect("an id");
        let (code, _, error) = scene.world.run(&["approve", &id]).await;
        assert_eq!(code, 0, "{error}");
        let told = scene.host.fetch(scene.wish()).await;
        assert_eq!((told.outcome(), told.purchase()), ("bought", id.as_str()), "{era:?}: {}", told.text());
        assert_eq!((scene.world.spent_msat(), purchases(&scene.world).await.len()), (80_000, 1), "{era:?}");
        scene.world.verify_money().await;
    }
}

/// A person who does not answer in the host and says yes in the terminal meanwhile: when the question is over, the call says
/// what became of it, and not what stood before.
#[tokio::test]
async fn a_yes_in_the_terminal_while_the_question_stands_is_what_the_call_reports() {
    for era in ERAS {
        let scene = Scene::with(era, UNANSWERED).await;
        let approve = async || {
            let id = purchases(&scene.world).await[0].purchase.clone().expect("an id");
            let (code, _, error) = scene.world.run(&["approve", &id]).await;
            assert_eq!(code, 0, "{error}");
        };
        let told = match era {
            Era::Handshake => {
                let (_, told) = scene.host.begin_call("fetch_paid", scene.wish()).await;
                scene.host.asked().await.expect("the server asks");
                approve().await;
                Told { raw: told.await.expect("an answer")["result"].clone() }
            }
            Era::Stateless => {
                let required = scene.host.call("fetch_paid", scene.wish()).await.raw;
                approve().await;
                let nothing = json!({ "action": "cancel" });
                scene.retry("fetch_paid", scene.wish(), &required["requestState"], nothing).await
            }
        };
        assert_eq!(told.outcome(), "bought", "{era:?}: {}", told.text());
        assert_eq!((scene.world.spent_msat(), purchases(&scene.world).await.len()), (80_000, 1), "{era:?}");
        scene.world.verify_money().await;
    }
}

/// The same call again asks again, about the same purchase at the same price.
#[tokio::test]
async fn a_call_after_an_unanswered_question_asks_again_about_the_same_purchase() {
    for era in ERAS {
        let scene = Scene::with(era, UNANSWERED).await;
        scene.call_and_never_answer("fetch_paid", scene.wish()).await;
        let pinned = purchases(&scene.world).await;
        let (_, told) = scene.buy(yes()).await;
        assert_eq!(told.outcome(), "bought", "{era:?}: {}", told.text());
        assert_eq!(Some(told.purchase()), pinned[0].purchase.as_deref(), "{era:?}");
        let invoices = scene.seller.hits().iter().filter(|h| !h.paid()).count();
        assert_eq!((scene.world.spent_msat(), invoices), (80_000, 1), "{era:?}");
        scene.world.verify_money().await;
    }
}

#[tokio::test]
async fn a_limit_that_nobody_agrees_to_stays_as_it_was() {
    for era in ERAS {
        let scene = Scene::with(era, UNANSWERED).await;
        let raise = json!({ "scope": "session", "limit": "9000 sat" });
        let (question, told) = scene.call_and_never_answer("set_budget", raise.clone()).await;
        if let Some(told) = told {
            assert_ne!(told.outcome(), "set", "{era:?}: {}", told.text());
        }
        scene.answer_too_late("set_budget", raise, &question).await;
        let balance = scene.host.call("get_balance", json!({})).await;
        assert_eq!(balance.facts()["budgets"][1]["limit"], "5000 sat", "{era:?}: {}", balance.text());
    }
}

#[tokio::test]
async fn a_host_without_forms_is_told_the_terminal_command() {
    let world = World::with(CONFIG).await;
    let seller = Seller::honest(world.node(), 80_000, "{}").await;
    for era in ERAS {
        let host = world.host_in(era).await;
        let told = host.fetch(json!({ "url": seller.url("/dear") })).await;
        assert_eq!(told.outcome(), "awaiting_approval", "{}", told.text());
        assert!(told.say().contains(&format!("bursar approve {}", told.purchase())), "{}", told.text());
        assert!(host.close().await.success());
    }
    assert_eq!(world.spent_msat(), 0);
}

/// A client that accepts everything without a person spends up to the ceilings, and no further.
#[tokio::test]
async fn an_accept_without_a_person_never_goes_beyond_a_ceiling() {
    for era in ERAS {
        let scene = Scene::new(era).await;
        let raise = |to: &str| json!({ "scope": "purchase", "limit": to });
        let told = scene.host.call("set_budget", raise("6000 sat")).await;
        assert_eq!(told.outcome(), "refused", "nobody is even asked: {}", told.text());
        let (asked, told) = scene.call_and_answer("set_budget", raise("5000 sat"), yes()).await;
        assert!(asked.contains("5000 sat") && asked.contains("1000 sat"), "{asked}");
        assert_eq!(told.outcome(), "set", "{era:?}: {}", told.text());
        let dear = Seller::honest(scene.world.node(), 5_001_000, "{}").await;
        let told = scene.host.fetch(json!({ "url": dear.url("/too-dear") })).await;
        assert_eq!(told.outcome(), "refused", "{era:?}: {}", told.text());
        assert_eq!(scene.world.spent_msat(), 0);
        scene.world.verify_money().await;
    }
}

/// A client that says yes to whatever it is asked, raises the session's limit as far as it goes and buys until it is stopped:
/// what it spent is what fits under the session's ceiling, price and fee allowance of the last one included, and not a msat
/// more.
#[tokio::test]
async fn an_accept_all_client_is_stopped_by_the_sessions_ceiling() {
    for era in ERAS {
        // Each costs 80 sat and needs 90 with its fee allowance.
        for (ceiling, bought) in [(400, 4), (489, 5), (490, 6)] {
            let config = format!(
                "[limits.ceiling]\nsat = {{ purchase = \"100\", session = \"{ceiling}\", day = \"5000\" }}\n\
                 [limits.default]\nsat = {{ purchase = \"100\", session = \"100\", day = \"5000\" }}\n{CONFIG}"
            );
            let world = World::with(&config).await;
            let seller = Seller::honest_per_path(world.node(), 80_000, r#"{"data":"dear"}"#).await;
            let host = Host::start_with_forms(&world.envs(), era).await;
            let scene = Scene { world, seller, host, era };
            let raise = |to: u64| json!({ "scope": "session", "limit": format!("{to} sat") });
            let told = scene.call_accepting_all("set_budget", raise(ceiling)).await;
            assert_eq!(told.outcome(), "set", "{era:?}: {}", told.text());
            let mut told = Vec::new();
            for n in 0..bought + 2 {
                let wish = json!({ "url": scene.seller.url(&format!("/dear/{n}")) });
                told.push(scene.call_accepting_all("fetch_paid", wish).await);
                let raised = scene.call_accepting_all("set_budget", raise(ceiling + 1)).await;
                assert_eq!(raised.outcome(), "refused", "{era:?}: {}", raised.text());
            }
            let outcomes: Vec<&str> = told.iter().map(Told::outcome).collect();
            let expected = [vec!["bought"; bought], vec!["refused"; 2]].concat();
            assert_eq!(outcomes, expected, "{era:?} {ceiling}: {}", told.last().unwrap().text());
            assert_eq!(told.last().unwrap().facts()["code"], "budget_used_up", "{era:?} {ceiling}");
            assert_eq!(scene.world.spent_msat(), 80_000 * bought as u64, "{era:?} {ceiling}");
            scene.world.verify_money().await;
        }
    }
}

#[tokio::test]
async fn a_person_who_refuses_a_higher_limit_leaves_it_as_it_was() {
    for era in ERAS {
        let scene = Scene::new(era).await;
        let raise = json!({ "scope": "session", "limit": "9000 sat" });
        let (_, told) = scene.call_and_answer("set_budget", raise, json!({ "action": "decline" })).await;
        assert!(told.is_error() && told.say().starts_with("Nothing changed"), "{era:?}: {}", told.text());
        let balance = scene.host.call("get_balance", json!({})).await;
        assert_eq!(balance.facts()["budgets"][1]["limit"], "5000 sat", "{}", balance.text());
    }
}

/// The state that a stateless client echoes is bound to its call and good once.
#[tokio::test]
async fn a_forged_replayed_or_moved_state_approves_nothing() {
    let scene = Scene::new(Era::Stateless).await;
    let required = scene.host.fetch(scene.wish()).await.raw;
    let state = required["requestState"].clone();
    let other = json!({ "url": scene.seller.url("/other"), "purpose": "a test of the person" });
    let forged = json!(format!("{}A", state.as_str().unwrap()));
    let raise = json!({ "scope": "purchase", "limit": "5000 sat" });
    for (tool, arguments, state) in [
        ("fetch_paid", other, state.clone()),
        ("fetch_paid", scene.wish(), forged),
        ("set_budget", raise, state.clone()),
    ] {
        let told = scene.retry(tool, arguments.clone(), &state, yes()).await;
        assert!(told.is_error(), "{tool} {arguments}: {}", told.text());
        assert_eq!(told.facts()["code"], "stale_approval", "{}", told.text());
    }
    assert_eq!(scene.world.spent_msat(), 0);
    let told = scene.retry("fetch_paid", scene.wish(), &state, yes()).await;
    assert_eq!(told.outcome(), "bought", "{}", told.text());
    let again = scene.retry("fetch_paid", scene.wish(), &state, yes()).await;
    assert_eq!(again.outcome(), "stored", "{}", again.text());
    assert_eq!(scene.world.spent_msat(), 80_000);
    // A raise is good once as well: lowered again, it stays low.
    let raise = json!({ "scope": "session", "limit": "9000 sat" });
    let required = scene.host.call("set_budget", raise.clone()).await.raw;
    let told = scene.retry("set_budget", raise.clone(), &required["requestState"], yes()).await;
    assert_eq!(told.outcome(), "set", "{}", told.text());
    scene.host.call("set_budget", json!({ "scope": "session", "limit": "100 sat" })).await;
    let told = scene.retry("set_budget", raise, &required["requestState"], yes()).await;
    assert_eq!(told.facts()["code"], "stale_approval", "{}", told.text());
    let balance = scene.host.call("get_balance", json!({})).await;
    assert_eq!(balance.facts()["budgets"][1]["limit"], "100 sat", "{}", balance.text());
    scene.world.verify_money().await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_the_person_thinks_buys_nothing() {
    let scene = Scene::new(Era::Handshake).await;
    let (id, told) = scene.host.begin_call("fetch_paid", scene.wish()).await;
    let asked = scene.host.asked().await.expect("the server asks");
    scene.host.cancel(id).await;
    drop(told);
    scene.host.answer(&asked, yes()).await;
    let balance = scene.host.call("get_balance", json!({})).await;
    assert_eq!(balance.facts()["awaiting_approval"].as_array().map(Vec::len), Some(1), "{}", balance.text());
    assert_eq!(scene.world.spent_msat(), 0);
    scene.world.verify_money().await;
}
