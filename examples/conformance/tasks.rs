//! The fixtures that go on after their call was answered.

use std::time::Duration;

use rmcp::{
    ErrorData,
    model::{ContentBlock, CreateTaskResult},
};
use rmcp::{
    model::CallToolResult,
    task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions},
};
use serde_json::{Value, json};

use crate::asking::form;

fn said(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text.into())])
}

/// Begins a task; `said_before` is what was answered before it began.
pub fn begin(tasks: &TaskManager, name: &str, arguments: &Value, said_before: String) -> CreateTaskResult {
    let (name, arguments) = (name.to_owned(), arguments.clone());
    let task = tasks.spawn(TaskOptions::new().with_poll_interval_ms(100), move |context| {
        Box::pin(async move { work(&context, &name, &arguments, said_before).await })
    });
    CreateTaskResult::new(task)
}

async fn work(
    context: &TaskContext,
    name: &str,
    arguments: &Value,
    before: String,
) -> Result<CallToolResult, TaskExit> {
    let confirm = |what: &str| {
        let request = form(what, json!({ "confirm": { "type": "boolean" } }), &["confirm"]);
        serde_json::from_value(request).expect("a request as the protocol has it")
    };
    match name {
        "confirm_delete" => {
            let answer = context.request_input("confirm", confirm("Delete it?")).await?;
            Ok(said(format!("answered: {answer}")))
        }
        "multi_input" => {
            let (first, second) = tokio::join!(
                context.request_input("first", confirm("The first?")),
                context.request_input("second", confirm("The second?")),
            );
            Ok(said(format!("answered: {} {}", first?, second?)))
        }
        "test_tool_with_task" => Ok(said(before)),
        "protocol_error_job" => Err(ErrorData::internal_error("it broke", None).into()),
        _ => {
            let seconds = arguments["seconds"].as_f64().unwrap_or(1.0);
            tokio::select! {
                () = context.cancelled() => return Err(TaskExit::Cancelled),
                () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => {}
            }
            Ok(match name {
                "failing_job" => CallToolResult::error(vec![ContentBlock::text("the job failed")]),
                _ => said("computed"),
            })
        }
    }
}
