//! The MCP face: four tools, two resources, one prompt. It holds no rule about money.
//!
//! One file a tool: its arguments, its structured output, the words the model reads. Descriptions are in `tools/`,
//! schemas are generated into `schemas/`.

mod approval;
mod concise;
pub mod discover_api;
pub mod fetch_paid;
pub mod get_balance;
mod handed;
pub mod http;
mod page;
mod prompts;
mod resources;
pub mod schema;
pub mod set_budget;
mod stdio;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use http::bearer::make as new_token;
pub use http::{HttpOptions, serve_http, serve_http_as};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, GetPromptRequestParams,
        GetPromptResponse, Implementation, InputRequiredResult, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
        ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
pub use stdio::serve_stdio;
use tokio::sync::{Semaphore, watch};

use crate::{
    ledger::PurchaseId,
    purchase::{Caller, Purse},
};
use approval::{Answer, Approval, Channel, Question, Unopened};
use handed::{Exchange, Handed};
use http::metrics::Metrics;
use page::Picture;

/// What a host tells its model about us, before any tool is loaded.
const INSTRUCTIONS: &str = "Bursar buys data from paid HTTP APIs (402 Payment Required: L402, x402, MPP) within limits \
     the user set, and keeps a ledger. Use it when a URL or API asks for payment.";

/// The server: one purse for one caller.
#[derive(Clone)]
pub struct Server {
    purse: Purse,
    caller: Caller,
    handed: Handed,
    approval: Approval,
    over_http: Option<OverHttp>,
}

/// What only agents that come over HTTP have: how many calls they may make at once, and what counts them.
#[derive(Clone)]
struct OverHttp {
    calls: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// What a tool gives back: text for the model, facts for programs.
pub struct Said {
    /// The first block says what happened to the money and what to do next; further ones are the seller's words.
    pub blocks: Vec<String>,
    /// A picture, which comes after the first block.
    pub picture: Option<Box<Picture>>,
    /// The same facts.
    pub structured: Value,
    /// Whether the caller did not get what it asked for.
    pub is_error: bool,
    /// The purchase whose answer is handed over with this.
    pub hands_over: Option<PurchaseId>,
    /// What a person would have to say yes to.
    asks: Option<Box<Question>>,
}

/// What a tool's structured output is when there is nothing to tell but why not: it keeps the tool's own shape.
pub(crate) trait Refusal: Serialize {
    fn refusal(code: &str, say: String) -> Self;
}

impl Said {
    /// An error that never reached the purse, or that the purse could not get past.
    fn wrong<O: Refusal>(code: &str, say: impl Into<String>) -> Said {
        let say = say.into();
        let structured = serde_json::to_value(O::refusal(code, say.clone())).unwrap_or_default();
        Said { blocks: vec![say], picture: None, structured, is_error: true, hands_over: None, asks: None }
    }
}

/// How a call ends: with an answer, or with a question to a person.
enum Heard {
    Said(Said),
    Asks(Box<InputRequiredResult>),
}

/// Reports progress of one call.
#[derive(Clone)]
pub(crate) struct Teller(watch::Sender<String>);

impl Teller {
    fn tell(&self, what: String) {
        self.0.send_if_modified(|now| std::mem::replace(now, what.clone()) != what);
    }
}

impl Server {
    /// A server that opens nothing yet.
    pub fn new(purse: Purse, caller: Caller) -> Server {
        let handed = Handed::new(purse.clone());
        let approval = Approval::new(purse.config().waits.person);
        Server { purse, caller, handed, approval, over_http: None }
    }

    /// The same for an agent that comes over HTTP.
    fn over_http(self, calls: Arc<Semaphore>, metrics: Arc<Metrics>) -> Server {
        Server { over_http: Some(OverHttp { calls, metrics }), ..self }
    }

    /// One call of a tool, with the person's word where it needs one and the host can get it.
    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
        teller: Teller,
    ) -> Option<Heard> {
        let name = request.name.into_owned();
        let arguments = request.arguments.map(Value::Object).unwrap_or_default();
        let bound = approval::bound_to(&name, &arguments, &self.caller.principal);
        if let Some(state) = &request.request_state {
            return Some(match self.approval.open(state, request.input_responses.as_ref(), &bound) {
                Ok((question, answer)) => Heard::Said(self.decided(&name, arguments, question, answer, teller).await?),
                // The person's word was taken already, and its answer may have been lost on the way: tell it again.
                Err(Unopened::Used(Question::Buy { id, .. })) => {
                    let again = serde_json::json!({ "result_id": id });
                    Heard::Said(self.run("fetch_paid", again, teller).await?)
                }
                Err(Unopened::Used(Question::Raise { .. })) => Heard::Said(Said::wrong::<set_budget::Output>(
                    "stale_approval",
                    "Nothing changed: this answer was used before. Calling again without it asks anew.",
                )),
                Err(Unopened::Forged) => {
                    let say = "This call approved nothing and began no payment: the answer belongs to another question, \
                               or came too late. Calling again without it asks anew.";
                    Heard::Said(match name.as_str() {
                        "set_budget" => Said::wrong::<set_budget::Output>("stale_approval", say),
                        _ => Said::wrong::<fetch_paid::Output>("stale_approval", say),
                    })
                }
            });
        }
        let said = self.run(&name, arguments.clone(), teller.clone()).await?;
        let Some(question) = said.asks.as_deref().cloned() else { return Some(Heard::Said(said)) };
        Some(match self.approval.channel(context) {
            None => Heard::Said(said),
            Some(Channel::Retry) => match self.approval.input_required(&question, &bound) {
                Some(required) => Heard::Asks(Box::new(required)),
                None => Heard::Said(said),
            },
            Some(Channel::Request) => {
                teller.tell("waiting for a person".into());
                // Nobody's word is an answer too: a person may have said yes in the terminal while the question stood.
                let answer = self.approval.ask(context, &question).await;
                Heard::Said(self.decided(&name, arguments, question, answer, teller).await?)
            }
        })
    }

    /// Goes on with a call after a person answered, or did not.
    async fn decided(
        &self,
        name: &str,
        arguments: Value,
        question: Question,
        answer: Answer,
        teller: Teller,
    ) -> Option<Said> {
        let (purse, caller) = (self.purse.clone(), self.caller.clone());
        match (question, answer) {
            (Question::Buy { id, .. }, Answer::Yes) => match fetch_paid::decide(&purse, &caller, &id, true).await {
                Ok(()) => self.run(name, arguments, teller).await,
                // Decided elsewhere meanwhile: say what became of it.
                Err(_) => self.run("fetch_paid", serde_json::json!({ "result_id": id }), teller).await,
            },
            (Question::Buy { id, .. }, Answer::No) => {
                Some(match fetch_paid::decide(&purse, &caller, &id, false).await {
                    Ok(()) => {
                        let say = format!("Nothing was paid: a person said no to {id}.");
                        Said::wrong::<fetch_paid::Output>("denied", say)
                    }
                    Err(said) => said,
                })
            }
            // Nobody said yes: the purchase still waits, and its report says where else it can be approved.
            (Question::Buy { id, .. }, Answer::None) => {
                let again = serde_json::json!({ "result_id": id });
                self.run("fetch_paid", again, teller).await
            }
            (Question::Raise { scope, to, .. }, Answer::Yes) => {
                Some(set_budget::raise(&purse, &caller, scope, to).await)
            }
            (Question::Raise { .. }, Answer::No) => Some(Said::wrong::<set_budget::Output>(
                "denied",
                "Nothing changed: a person said no to a higher limit.",
            )),
            (Question::Raise { .. }, Answer::None) => self.run(name, arguments, teller).await,
        }
    }

    /// Runs one tool in a task of its own, so that a panic in it is an answer and not a silence.
    async fn run(&self, name: &str, arguments: Value, teller: Teller) -> Option<Said> {
        let (purse, caller) = (self.purse.clone(), self.caller.clone());
        Some(match name {
            "fetch_paid" => apart::<fetch_paid::Output>(name, fetch_paid::call(purse, caller, arguments, teller)).await,
            "discover_api" => apart::<discover_api::Output>(name, discover_api::call(purse, caller, arguments)).await,
            "get_balance" => apart::<get_balance::Output>(name, get_balance::call(purse, caller, arguments)).await,
            "set_budget" => apart::<set_budget::Output>(name, set_budget::call(purse, caller, arguments)).await,
            _ => return None,
        })
    }
}

/// Runs a tool in a task of its own. One that panics answers like one that failed.
async fn apart<O: Refusal>(name: &str, tool: impl Future<Output = Said> + Send + 'static) -> Said {
    let point = panic_point(name);
    let task = tokio::spawn(async move {
        assert!(!point, "a test asked for this");
        tool.await
    });
    task.await.unwrap_or_else(|e| {
        tracing::error!("{name} broke off: {e}");
        Said::wrong::<O>(
            "internal",
            "Something went wrong here. The ledger knows what was paid: repeating the same call goes on from there and \
             pays nothing twice.",
        )
    })
}

/// Lets a test see what a panic in a tool looks like from outside: `BURSAR_PANIC_IN` names the tool. Only in debug
/// builds.
fn panic_point(name: &str) -> bool {
    cfg!(debug_assertions) && std::env::var("BURSAR_PANIC_IN").is_ok_and(|tool| tool == name)
}

/// Reads a tool's arguments.
fn arguments<T: DeserializeOwned, O: Refusal>(arguments: Value) -> Result<T, Said> {
    let arguments = if arguments.is_null() { Value::Object(Default::default()) } else { arguments };
    serde_json::from_value(arguments)
        .map_err(|e| Said::wrong::<O>("bad_arguments", format!("Nothing was paid: the arguments are wrong ({e}).")))
}

/// The answer to a call beyond what one agent may have under way.
fn too_many_calls(tool: &str) -> CallToolResponse {
    let say = "Nothing was paid: too many calls of this agent are under way. Wait for one of them, then call again.";
    let said = match tool {
        "discover_api" => Said::wrong::<discover_api::Output>("busy", say),
        "get_balance" => Said::wrong::<get_balance::Output>("busy", say),
        "set_budget" => Said::wrong::<set_budget::Output>("busy", say),
        _ => Said::wrong::<fetch_paid::Output>("busy", say),
    };
    let mut result = CallToolResult::error(said.blocks.into_iter().map(ContentBlock::text).collect());
    result.structured_content = Some(said.structured);
    result.into()
}

/// Sends progress from the first second on: at every change, and every eight seconds.
fn report_progress(context: &RequestContext<RoleServer>, mut news: watch::Receiver<String>) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let peer = context.peer.clone();
    let begun = Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        loop {
            if news.has_changed().is_err() {
                return;
            }
            let message = news.borrow_and_update().clone();
            if !message.is_empty() {
                let seconds = begun.elapsed().as_secs_f64();
                let progress = ProgressNotificationParam::new(token.clone(), seconds).with_message(message);
                if peer.notify_progress(progress).await.is_err() {
                    return;
                }
            }
            let _ = tokio::time::timeout(Duration::from_secs(8), news.changed()).await;
        }
    });
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().enable_prompts().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("bursar", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(schema::tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        schema::tools().into_iter().find(|t| t.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let over_http = self.over_http.as_ref();
        let _permit = match over_http.map(|o| o.calls.clone().try_acquire_owned()) {
            Some(Err(_)) => return Ok(too_many_calls(&request.name)),
            Some(Ok(permit)) => Some(permit),
            None => None,
        };
        let _counted = over_http.map(|o| o.metrics.call());
        let (teller, news) = watch::channel(String::new());
        report_progress(&context, news);
        let name = request.name.clone();
        let heard = tokio::select! {
            heard = self.call(request, &context, Teller(teller)) => heard,
            // The purchase goes on; nobody hears this answer, so it does not count as handed over.
            () = context.ct.cancelled() => {
                let say = "The call was cancelled; what it began goes on.";
                Some(Heard::Said(Said::wrong::<fetch_paid::Output>("cancelled", say)))
            }
        };
        let said = match heard {
            Some(Heard::Said(said)) => said,
            Some(Heard::Asks(required)) => return Ok(CallToolResponse::InputRequired(*required)),
            None => return Err(ErrorData::invalid_params(format!("there is no tool named {name:?}"), None)),
        };
        if let Some(id) = said.hands_over.filter(|_| !context.ct.is_cancelled()) {
            self.handed.expect(Exchange::of(&context.extensions), &context.id, id);
        }
        if let Some(o) = over_http {
            o.metrics.called(&name, said.is_error);
        }
        let mut content: Vec<ContentBlock> = said.blocks.into_iter().map(ContentBlock::text).collect();
        if let Some(picture) = said.picture {
            content.insert(content.len().min(1), ContentBlock::image(picture.base64, picture.media_type));
        }
        let mut result = if said.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
        result.structured_content = Some(said.structured);
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(resources::list()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let _permit = match self.over_http.as_ref().map(|o| o.calls.clone().try_acquire_owned()) {
            Some(Err(_)) => {
                return Err(ErrorData::internal_error(
                    "too many calls of this agent are under way; read it again",
                    None,
                ));
            }
            permit => permit,
        };
        let (purse, caller) = (self.purse.clone(), self.caller.clone());
        let read = tokio::spawn(async move { resources::read(&purse, &caller, &request.uri).await });
        match read.await {
            Ok(read) => read.map(Into::into),
            Err(_) => Err(ErrorData::internal_error("the resource could not be read", None)),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::list()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        prompts::get(&request.name).map(Into::into)
    }
}
