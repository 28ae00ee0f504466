//! Who is turned away at the door.

use http_body_util::Full;
use hyper::Request;
use serde_json::json;

use crate::{
    ERAS,
    door::{Agent, Door, token},
    support::World,
};

const PATHS: [&str; 6] = ["/mcp", "/sse", "/messages", "/healthz", "/metrics", "/"];

#[tokio::test]
async fn a_forged_host_or_origin_is_turned_away_on_every_path_token_or_not() {
    let world = World::new().await;
    let token = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    let bearer = format!("Bearer {token}");
    let port = door.port;
    let other = format!("http://127.0.0.1:{}", port.wrapping_add(1));
    for path in PATHS {
        for host in ["evil.example", "localhost", "127.0.0.1", "localhost:1", &format!("evil.example:{port}")] {
            let told = door.get(path, &[("host", host), ("authorization", &bearer)]).await;
            assert_eq!(told.status, 403, "{path} {host}");
        }
        for origin in ["http://evil.example", "null", &other, "https://localhost", "http://127.0.0.1"] {
            let told = door.get(path, &[("origin", origin), ("authorization", &bearer)]).await;
            assert_eq!(told.status, 403, "{path} {origin}");
            assert!(told.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
        }
    }
    let own = format!("http://localhost:{port}");
    assert_eq!(door.get("/healthz", &[("origin", &own)]).await.status, 200);
    assert_eq!(door.get("/healthz", &[("host", &format!("localhost:{port}"))]).await.status, 200);
}

#[tokio::test]
async fn without_a_good_token_nothing_but_health_is_answered() {
    let world = World::new().await;
    let token = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    let (head, _) = token.rsplit_once('_').unwrap();
    let bad = [
        None,
        Some("Bearer ".to_owned()),
        Some("Bearer x".into()),
        Some(format!("Basic {token}")),
        Some(format!("Bearer {head}_{}", "a".repeat(32))),
        Some(format!("Bearer {}", token.replace("scout", "other"))),
        Some(format!("Bearer {token}a")),
    ];
    for path in PATHS.into_iter().filter(|p| *p != "/healthz") {
        for value in &bad {
            let headers: Vec<_> = value.iter().map(|v| ("authorization", v.as_str())).collect();
            let told = door.get(path, &headers).await;
            assert_eq!(told.status, 401, "{path} {value:?}");
            assert!(told.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
            assert!(!told.body.contains("scout") && !told.body.contains(&token), "{}", told.body);
        }
        let bearer = format!("Bearer {token}");
        let twice = door.get(path, &[("authorization", &bearer), ("authorization", &bearer)]).await;
        assert_eq!(twice.status, 401, "{path}");
    }
    let health = door.get("/healthz", &[]).await;
    assert_eq!((health.status.as_u16(), health.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn a_token_in_a_url_is_refused_even_beside_a_good_one_and_stands_in_no_log() {
    let mut world = World::new().await;
    world.env("BURSAR_LOG", "trace");
    let token = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    let bearer = format!("Bearer {token}");
    for query in [format!("t={token}"), "access_token=x".into(), format!("a=1&TOKEN={token}")] {
        let told = door.get(&format!("/mcp?{query}"), &[("authorization", &bearer)]).await;
        assert_eq!(told.status, 400, "{query}");
    }
    for era in ERAS {
        Agent::come(&door, &token, era).await.call("get_balance", json!({})).await;
    }
    let secret = token.rsplit_once('_').unwrap().1;
    assert!(!door.log.lock().unwrap().contains(secret));
}

#[tokio::test]
async fn no_preflight_is_answered_and_nobody_is_told_to_share() {
    let world = World::new().await;
    let token = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &["--sse"]).await;
    for path in PATHS {
        let request = Request::builder()
            .method("OPTIONS")
            .uri(path)
            .header("host", door.host())
            .header("origin", format!("http://{}", door.host()))
            .header("access-control-request-method", "POST")
            .header("authorization", format!("Bearer {token}"))
            .body(Full::default())
            .unwrap();
        let told = door.ask(request).await;
        assert!(told.status.is_client_error(), "{path} {}", told.status);
        assert!(told.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{path}");
    }
}

#[tokio::test]
async fn another_machine_may_connect_only_with_leave_a_token_and_a_name() {
    let world = World::new().await;
    let refused = |args: &'static [&'static str]| {
        let world = &world;
        async move {
            let (code, out, err) = world.run(args).await;
            assert_eq!((code, out.as_str()), (1, ""), "{err}");
            err
        }
    };
    assert!(refused(&["serve", "--http", "0.0.0.0:0"]).await.contains("--allow-remote"));
    assert!(refused(&["serve", "--http", "0.0.0.0:0", "--allow-remote"]).await.contains("token"));
    // One that reads numbers and buys nothing is none of these.
    token(&world, "numbers", &["--watch"]).await;
    assert!(refused(&["serve", "--http", "0.0.0.0:0", "--allow-remote"]).await.contains("token"));
    token(&world, "scout", &[]).await;
    assert!(refused(&["serve", "--http", "0.0.0.0:0", "--allow-remote"]).await.contains("--host"));
    assert!(refused(&["serve", "--http", "[::]:0"]).await.contains("TLS"));
}

#[tokio::test]
async fn both_eras_are_served_and_the_list_of_tools_is_the_one_of_stdio() {
    let world = World::new().await;
    let token = token(&world, "scout", &[]).await;
    let door = Door::open(&world, &[]).await;
    for era in ERAS {
        let agent = Agent::come(&door, &token, era).await;
        let here = agent.rpc("tools/list", json!({})).await["result"]["tools"].clone();
        let host = world.host_in(era).await;
        let there = host.request("tools/list", json!({})).await.unwrap()["result"]["tools"].clone();
        assert_eq!(here.to_string(), there.to_string());
        assert_eq!(here.as_array().unwrap().len(), 4);
    }
}
