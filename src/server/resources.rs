//! What a host can show beside the tools: the audit of the session, and one purchase. Nothing secret is in them.

use rmcp::{
    ErrorData,
    model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate},
};
use serde_json::json;

use crate::{
    ledger::{Filter, PurchaseId},
    purchase::{Caller, No, Purse},
};

const AUDIT: &str = "bursar://audit";
const PURCHASE: &str = "bursar://purchase/";

pub(super) fn list() -> Vec<Resource> {
    vec![
        Resource::new(AUDIT, "audit")
            .with_description("What this session bought and was refused")
            .with_mime_type("application/json"),
    ]
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    vec![
        ResourceTemplate::new(format!("{PURCHASE}{{id}}"), "purchase")
            .with_description("One purchase: where it stands and what it cost")
            .with_mime_type("application/json"),
    ]
}

pub(super) async fn read(purse: &Purse, caller: &Caller, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let failed = |no: No| ErrorData::internal_error(no.say, None);
    let nothing = || ErrorData::resource_not_found("there is no such resource", Some(json!({ "uri": uri })));
    let purchase = uri.strip_prefix(PURCHASE).and_then(|id| id.parse::<PurchaseId>().ok());
    if uri != AUDIT && purchase.is_none() {
        return Err(nothing());
    }
    let ledger = purse.ledger().await.map_err(failed)?;
    let value = if uri == AUDIT {
        let session = ledger.session(&caller.principal, &caller.session_key).await.map_err(|e| failed(e.into()))?;
        let rows = match &session {
            None => Vec::new(),
            Some(session) => {
                let filter = Filter {
                    principal: Some(caller.principal.clone()),
                    session: Some(session.id.clone()),
                    limit: 200,
                    ..Filter::default()
                };
                ledger.audit(filter).await.map_err(|e| failed(e.into()))?
            }
        };
        json!({ "session": session.map(|s| s.id), "rows": rows })
    } else {
        let found = match purchase {
            Some(id) => ledger.find(id).await.map_err(|e| failed(e.into()))?,
            None => None,
        };
        let Some(p) = found.filter(|p| p.principal == caller.principal) else {
            return Err(nothing());
        };
        json!({
            "purchase": p.id.to_string(), "state": p.state, "host": p.host, "path": p.path, "method": p.method,
            "price": p.price, "spent": p.spent, "fee": p.fee, "protocol": p.protocol, "rail": p.rail,
            "network": p.network, "payee": p.payee, "purpose": p.purpose, "why": p.chosen_why, "note": p.note,
            "http_status": p.http_status, "created_ms": p.created_ms, "updated_ms": p.updated_ms,
        })
    };
    let text = ResourceContents::text(value.to_string(), uri).with_mime_type("application/json");
    Ok(ReadResourceResult::new(vec![text]))
}
