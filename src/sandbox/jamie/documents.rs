//! What the service says about itself, with the defects of the real documents.

use serde_json::{Value, json};

/// `/llms.txt`: good prose, and a price that is not the one in the 402.
pub(super) fn llms(base: &str) -> String {
    format!(
        "# Pull That Up Jamie (sandbox replica)\n\
         \n\
         > Search what was said in podcasts. Play money only.\n\
         \n\
         Base URL: {base}\n\
         \n\
         ## Workflow\n\
         \n\
         1. POST /api/discover-podcasts with {{\"query\": \"...\"}} to find shows.\n\
         2. POST /api/search-quotes with {{\"query\": \"...\", \"feedIds\": [\"...\"]}} to find what was said.\n\
         3. POST /api/search-chapters with {{\"search\": \"...\"}} for chapters.\n\
         4. POST /api/pull with {{\"message\": \"...\"}} for a written answer.\n\
         \n\
         ## Paying\n\
         \n\
         Requests without a credential get 402 with a Lightning invoice (L402). The payment becomes credit: 500 sats \
         are about 150+ searches. GET /api/agent/balance shows what is left.\n\
         \n\
         ## Free tier\n\
         \n\
         Send the header `X-Free-Tier: true` to use a small weekly quota without paying.\n\
         \n\
         ## Free endpoints\n\
         \n\
         GET /api/corpus/stats, GET /api/corpus/feeds\n"
    )
}

/// `/api/openapi.json`: the wrong host first, Swagger-2 bodies, no payment extension, a summary copied everywhere, and
/// routes that are nobody's business.
pub(super) fn openapi(apex: &str) -> Value {
    let wrong = "Run an LLM-orchestrated research query";
    let body = |fields: Value| json!([{"in": "body", "name": "body", "required": true, "schema": {"type": "object", "properties": fields}}]);
    let query = || json!({"query": {"type": "string"}, "limit": {"type": "integer"}});
    let ok = || json!({"200": {"description": "OK"}});
    let priced = || json!({"200": {"description": "OK"}, "402": {"description": "Payment Required"}});
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Pull That Up Jamie API", "version": "1.0.0"},
        "servers": [{"url": apex, "description": "Production"}],
        "paths": {
            "/api/discover-podcasts": {"post": {
                "summary": "Discover podcasts by topic, person or question",
                "parameters": body(query()), "responses": ok(),
            }},
            "/api/search-quotes": {"post": {
                "summary": "Search podcast quotes by meaning", "parameters": body(query()), "responses": ok(),
            }},
            "/api/search-chapters": {"post": {
                "summary": wrong,
                "parameters": body(json!({"search": {"type": "string"}, "limit": {"type": "integer"}})),
                "responses": priced(),
            }},
            "/api/pull": {"post": {
                "summary": wrong, "parameters": body(json!({"message": {"type": "string"}})), "responses": priced(),
            }},
            "/api/agent/balance": {"get": {"summary": wrong, "responses": ok()}},
            "/api/corpus/stats": {"get": {"summary": "Corpus statistics", "responses": ok()}},
            "/api/corpus/feeds": {"get": {"summary": "All feeds", "responses": ok()}},
            "/api/admin/entitlements/reset": {"post": {"summary": wrong, "responses": ok()}},
            "/api/debug/quota": {"get": {"summary": wrong, "responses": ok()}},
        },
    })
}
