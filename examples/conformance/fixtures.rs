//! The server that the suite expects.
#![allow(deprecated)] // The suite asks for what the older era still has.

use std::{sync::Arc, time::Duration};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::*,
    service::{RequestContext, SubscriptionContext},
    task_manager::TaskManager,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::{
    asking::{self, Retry, Round},
    catalogue::{self, PNG, WAV},
    tasks,
};

/// What changed, for those who listen.
#[derive(Clone, Copy)]
enum Changed {
    Tools,
    Prompts,
}

/// The fixtures of one agent.
#[derive(Clone)]
pub struct Fixtures {
    tasks: TaskManager,
    codec: Arc<RequestStateCodec>,
    news: broadcast::Sender<Changed>,
}

type Context = RequestContext<RoleServer>;

fn read<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|e| ErrorData::internal_error(e.to_string(), None))
}

/// A whole result.
fn result<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    value["resultType"] = json!("complete");
    read(value)
}

fn text(text: impl Into<String>) -> Result<CallToolResponse, ErrorData> {
    Ok(CallToolResult::success(vec![ContentBlock::text(text.into())]).into())
}

fn content(blocks: Value) -> Result<CallToolResponse, ErrorData> {
    Ok(result::<CallToolResult>(json!({ "content": blocks }))?.into())
}

async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

impl Fixtures {
    pub fn new() -> Fixtures {
        // A process of a test lives for minutes: its key need not be remembered.
        let key = std::array::from_fn::<_, 2, _>(|_| std::hash::RandomState::new()).map(|s| {
            use std::hash::BuildHasher;
            [s.hash_one(0).to_be_bytes(), s.hash_one(1).to_be_bytes()].concat()
        });
        let codec = Arc::new(RequestStateCodec::new(key.concat()));
        Fixtures { tasks: TaskManager::new(), codec, news: broadcast::channel(16).0 }
    }

    /// Asks a person as the older era does.
    async fn ask(&self, context: &Context, request: Value, begin: &str) -> Result<CallToolResponse, ErrorData> {
        let params = read(request["params"].clone())?;
        match context.peer.create_elicitation(params).await {
            Ok(answer) => {
                let answer = serde_json::to_value(answer).unwrap_or_default();
                let action = answer["action"].as_str().unwrap_or_default();
                text(format!("{begin}: action={action}, content={}", answer["content"]))
            }
            Err(e) => Ok(CallToolResult::error(vec![ContentBlock::text(e.to_string())]).into()),
        }
    }

    async fn sample(&self, context: &Context, prompt: &str) -> Result<CallToolResponse, ErrorData> {
        match context.peer.create_message(read(asking::sampling(prompt, 100)["params"].clone())?).await {
            Ok(answer) => text(format!("LLM response: {}", serde_json::to_value(answer).unwrap_or_default())),
            Err(e) => Ok(CallToolResult::error(vec![ContentBlock::text(e.to_string())]).into()),
        }
    }

    async fn log(&self, context: &Context, line: &str) {
        let params = LoggingMessageNotificationParam::new(LoggingLevel::Info, json!(line));
        let _ = context.peer.notify_logging_message(params).await;
    }
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_logging()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("bursar-fixtures", "0"))
    }

    async fn list_tools(&self, _: Option<PaginatedRequestParams>, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(read(catalogue::tools())?))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let all: Vec<Tool> = read(catalogue::tools()).ok()?;
        all.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.as_ref();
        let arguments = request.arguments.clone().map(Value::Object).unwrap_or_default();
        let can = context.client_capabilities().unwrap_or_default();
        let tasks_known = can.supports_tasks();
        let retry = Retry {
            answers: request.input_responses.as_ref(),
            state: request.request_state.as_deref(),
            can: can.clone(),
        };
        match asking::round(name, &retry, &self.codec)? {
            Some(Round::Ask(required)) => return Ok(CallToolResponse::InputRequired(required)),
            Some(Round::Done(said)) if name == "test_tool_with_task" && tasks_known => {
                return Ok(CallToolResponse::Task(tasks::begin(&self.tasks, name, &arguments, said)));
            }
            Some(Round::Done(said)) => return text(said),
            None => {}
        }
        match name {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => content(json!([{ "type": "image", "data": PNG, "mimeType": "image/png" }])),
            "test_audio_content" => content(json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }])),
            "test_embedded_resource" => {
                let inside = json!({ "uri": "test://embedded-resource", "mimeType": "text/plain",
                                     "text": "This is an embedded resource content." });
                content(json!([{ "type": "resource", "resource": inside }]))
            }
            "test_multiple_content_types" => {
                let inside = json!({ "uri": "test://mixed-content-resource", "mimeType": "application/json",
                                     "text": r#"{"test":"data","value":123}"# });
                content(json!([{ "type": "text", "text": "Multiple content types test:" },
                               { "type": "image", "data": PNG, "mimeType": "image/png" },
                               { "type": "resource", "resource": inside }]))
            }
            "test_error_handling" => {
                let say = "This tool intentionally returns an error for testing";
                Ok(CallToolResult::error(vec![ContentBlock::text(say)]).into())
            }
            "test_tool_with_progress" => {
                for (n, done) in [0.0, 50.0, 100.0].into_iter().enumerate() {
                    if n > 0 {
                        a_moment().await;
                    }
                    if let Some(token) = context.meta.get_progress_token() {
                        let progress = ProgressNotificationParam::new(token, done).with_total(100.0);
                        let _ = context.peer.notify_progress(progress).await;
                    }
                }
                text("done")
            }
            "test_tool_with_logging" => {
                for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                    self.log(&context, line).await;
                    a_moment().await;
                }
                text("done")
            }
            "test_logging_tool" => {
                // Without a handshake only who names a level is told.
                if context.meta.log_level().is_some() {
                    self.log(&context, "it was asked for").await;
                }
                text("done")
            }
            "test_sampling" => self.sample(&context, arguments["prompt"].as_str().unwrap_or_default()).await,
            "test_elicitation" => {
                let fields = json!({ "username": { "type": "string", "description": "User's response" },
                                     "email": { "type": "string", "description": "User's email address" } });
                let message = arguments["message"].as_str().unwrap_or_default();
                self.ask(&context, asking::form(message, fields, &["username", "email"]), "User response").await
            }
            "test_elicitation_sep1034_defaults" => {
                self.ask(&context, asking::defaults(), "Elicitation completed").await
            }
            "test_elicitation_sep1330_enums" => self.ask(&context, asking::choices(), "Elicitation completed").await,
            "test_reconnection" => {
                a_moment().await;
                text("done")
            }
            "test_missing_capability" if can.sampling.is_none() => Err(ErrorData::missing_required_client_capability(
                ClientCapabilities::builder().enable_sampling().build(),
            )),
            "test_trigger_tool_change" => {
                let _ = self.news.send(Changed::Tools);
                text("changed")
            }
            "test_trigger_prompt_change" => {
                let _ = self.news.send(Changed::Prompts);
                text("changed")
            }
            "test_missing_capability" | "test_custom_header" | "json_schema_2020_12_tool" => text("done"),
            "greet" => text(format!("Hello, {}!", arguments["name"].as_str().unwrap_or_default())),
            "slow_compute" if arguments["seconds"] == json!(0) => text("computed"),
            "slow_compute" | "confirm_delete" | "multi_input" | "protocol_error_job" if !tasks_known => {
                text("computed")
            }
            // It runs as a task or not at all; who cannot follow one is refused before anything begins.
            "failing_job" if !tasks_known => {
                Err(ErrorData::missing_required_client_capability(ClientCapabilities::builder().enable_tasks().build()))
            }
            "slow_compute" | "confirm_delete" | "multi_input" | "protocol_error_job" | "failing_job" => {
                Ok(CallToolResponse::Task(tasks::begin(&self.tasks, name, &arguments, String::new())))
            }
            _ => Err(ErrorData::invalid_params(format!("there is no tool named {name:?}"), None)),
        }
    }

    async fn get_task(&self, request: GetTaskParams, _: Context) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(&self, request: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(&self, request: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(read(catalogue::resources())?))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let one = json!([{ "uriTemplate": "test://template/{id}/data", "name": "template",
                           "mimeType": "application/json" }]);
        Ok(ListResourceTemplatesResult::with_all_items(read(one)?))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let nothing =
            || ErrorData::resource_not_found("there is no such resource", Some(json!({ "uri": request.uri })));
        let found = catalogue::resource(&request.uri).ok_or_else(nothing)?;
        Ok(result::<ReadResourceResult>(json!({ "contents": [found] }))?.into())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut news = self.news.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                // What was not asked for is not sent: the sink sees to it.
                changed = news.recv() => match changed {
                    Ok(Changed::Tools) => { let _ = context.sink().notify_tool_list_changed().await; }
                    Ok(Changed::Prompts) => { let _ = context.sink().notify_prompt_list_changed().await; }
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(read(catalogue::prompts())?))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        let can = context.client_capabilities().unwrap_or_default();
        let retry = Retry { answers: request.input_responses.as_ref(), state: request.request_state.as_deref(), can };
        let arguments = request.arguments.clone().map(Value::Object).unwrap_or_default();
        match asking::round(&request.name, &retry, &self.codec)? {
            Some(Round::Ask(required)) => Ok(GetPromptResponse::InputRequired(required)),
            Some(Round::Done(said)) => {
                let message = json!({ "role": "user", "content": { "type": "text", "text": said } });
                Ok(result::<GetPromptResult>(json!({ "messages": [message] }))?.into())
            }
            None => match catalogue::prompt(&request.name, &arguments) {
                Some(prompt) => Ok(result::<GetPromptResult>(prompt)?.into()),
                None => Err(ErrorData::invalid_params("there is no such prompt", None)),
            },
        }
    }

    async fn complete(&self, _: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        result(json!({ "completion": { "values": [] } }))
    }
}
