//! What a host can show beside the tools: resources and prompts.

use serde_json::{Value, json};

use crate::{
    ERAS,
    support::{Era, Seller, World},
};

#[tokio::test]
async fn resources_are_listed_and_read_in_both_eras() {
    let world = World::new().await;
    let seller = Seller::honest(world.node(), 8_000, r#"{"data":1}"#).await;
    for era in ERAS {
        let host = world.host_in(era).await;
        let listed = host.request("resources/list", json!({})).await.unwrap();
        assert_eq!(listed["result"]["resources"][0]["uri"], "bursar://audit", "{era:?} {listed}");
        let shapes = host.request("resources/templates/list", json!({})).await.unwrap();
        assert_eq!(shapes["result"]["resourceTemplates"][0]["uriTemplate"], "bursar://purchase/{id}", "{shapes}");
        let told =
            host.fetch(json!({ "url": seller.url("/x?q=private"), "idempotency_key": format!("{era:?}") })).await;
        let read = |uri: String| {
            let host = &host;
            async move {
                let answer = host.request("resources/read", json!({ "uri": uri })).await.unwrap();
                let text =
                    answer["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
                assert_eq!(answer["result"]["contents"][0]["uri"], uri);
                serde_json::from_str::<Value>(&text).unwrap()
            }
        };
        let audit = read("bursar://audit".into()).await;
        assert!(audit["rows"].as_array().unwrap().iter().any(|r| r["state"] == "delivered"), "{era:?} {audit}");
        let id = told.purchase();
        if !id.is_empty() {
            let one = read(format!("bursar://purchase/{id}")).await;
            assert_eq!((one["state"].as_str(), one["price"].as_str()), (Some("delivered"), Some("8 sat")), "{one}");
            for secret in ["preimage", "macaroon", "nostr", "private"] {
                assert!(!one.to_string().contains(secret), "{one}");
            }
        }
        host.close().await;
    }
}

#[tokio::test]
async fn a_resource_that_is_not_there_is_an_error_of_the_era() {
    let world = World::new().await;
    for era in ERAS {
        let host = world.host_in(era).await;
        let nobody = format!("bursar://purchase/p_{}", "a".repeat(26));
        for uri in ["bursar://nothing", "file:///etc/passwd", "bursar://purchase/../audit", nobody.as_str(), ""] {
            let answer = host.request("resources/read", json!({ "uri": uri })).await.unwrap();
            let expected = if era == Era::Stateless { -32602 } else { -32002 };
            assert_eq!(answer["error"]["code"], expected, "{era:?} {uri} {answer}");
            assert!(!answer.to_string().contains("root:"), "{answer}");
        }
    }
}

#[tokio::test]
async fn the_prompt_asks_for_the_audit() {
    let world = World::new().await;
    for era in ERAS {
        let host = world.host_in(era).await;
        let listed = host.request("prompts/list", json!({})).await.unwrap();
        let prompts = listed["result"]["prompts"].as_array().unwrap();
        assert_eq!(prompts.len(), 1, "{listed}");
        let got = host.request("prompts/get", json!({ "name": prompts[0]["name"] })).await.unwrap();
        let text = got["result"]["messages"][0]["content"]["text"].as_str().unwrap_or_else(|| panic!("{era:?} {got}"));
        assert!(text.contains("bursar://audit") && text.contains("get_balance"), "{text}");
    }
}
