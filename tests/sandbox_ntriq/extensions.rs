//! `payment-identifier` and `bazaar`, on the endpoints that advertise them.

use serde_json::{Value, json};

use crate::buyer::{Answer, Scene, encoded, v2};

const PII: &str = "/pii-detect";
const CODE: &str = "/code-review";

/// A payment for a path, named `id`, or with whatever else this does to its extensions.
async fn named(scene: &Scene, path: &str, bend: impl FnOnce(&mut Value)) -> String {
    let challenge = scene.post(path, &[]).await.challenge();
    let mut payment = v2(&challenge, &scene.signed(&challenge["accepts"][0], |_| {}));
    payment["extensions"] = challenge["extensions"].clone();
    bend(&mut payment["extensions"]);
    encoded(&payment)
}

fn id(id: &str) -> impl FnOnce(&mut Value) {
    let id = id.to_owned();
    move |all| all["payment-identifier"]["info"]["id"] = id.into()
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn rows_4_and_5_the_same_payment_under_the_same_name_gets_the_same_answer_and_another_gets_409() {
    let scene = Scene::new().await;
    let header = named(&scene, PII, id("purchase-0000000001")).await;
    let first = scene.pay(PII, &header).await;
    assert_eq!(first.status, 200);
    let again = scene.pay(PII, &header).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
    assert_eq!(again.receipt(), first.receipt());
    let anew = scene.pay(PII, &named(&scene, PII, id("purchase-0000000001")).await).await;
    assert_eq!(error(&anew), (409, "payment-identifier was used with another payload".into()));
    assert_eq!(scene.moved(), (20_000, 1));
    assert_eq!(scene.pay(PII, &named(&scene, PII, id("purchase-0000000002")).await).await.status, 200);
    assert_eq!(scene.moved(), (40_000, 2));
}

#[tokio::test]
async fn an_answer_that_was_lost_is_there_for_who_asks_with_the_same_payment() {
    let scene = Scene::new().await;
    scene.world.ntriq().next(bursar::sandbox::NtriqMode::LosesAnswer);
    let header = named(&scene, PII, id("purchase-0000000001")).await;
    scene.pay_in_vain(PII, &header).await;
    assert_eq!(scene.moved(), (20_000, 1));
    let again = scene.pay(PII, &header).await;
    assert_eq!((again.status, again.receipt().unwrap()["success"].clone()), (200, json!(true)));
    assert_eq!(scene.moved(), (20_000, 1));
}

#[tokio::test]
async fn a_name_is_optional_at_one_and_required_at_another_and_must_be_well_formed() {
    let scene = Scene::new().await;
    assert_eq!(scene.buy(PII).await.status, 200);
    let challenge = scene.post(CODE, &[]).await.challenge();
    assert_eq!(challenge["extensions"]["payment-identifier"]["info"], json!({"required": true}));
    assert_eq!(error(&scene.buy(CODE).await), (400, "payment-identifier required".into()));
    for bad in ["short", "with spaces in between", &"x".repeat(129)] {
        let answer = scene.pay(CODE, &named(&scene, CODE, id(bad)).await).await;
        assert_eq!(error(&answer), (400, "invalid payment-identifier".into()));
    }
    assert_eq!(scene.moved(), (20_000, 1));
    assert_eq!(scene.pay(CODE, &named(&scene, CODE, id("purchase-0000000001")).await).await.status, 200);
}

#[tokio::test]
async fn row_30_an_echo_may_add_and_may_not_change() {
    let scene = Scene::new().await;
    let changed = named(&scene, CODE, |all| {
        id("purchase-0000000001")(all);
        all["bazaar"]["info"]["input"]["method"] = "GET".into();
    });
    let refused = scene.pay(CODE, &changed.await).await;
    assert_eq!((refused.status, &*refused.error()), (402, "extension_echo_mismatch"));
    let added = named(&scene, CODE, |all| {
        id("purchase-0000000001")(all);
        all["mine"] = json!({"info": {}});
    });
    assert_eq!(scene.pay(CODE, &added.await).await.status, 200);
    assert_eq!(scene.moved(), (50_000, 1));
}

#[tokio::test]
async fn bazaar_says_what_goes_in_and_the_plain_endpoints_say_nothing() {
    let scene = Scene::new().await;
    let told = scene.post("/invoice-extract", &[]).await.challenge();
    assert_eq!(told["extensions"]["bazaar"]["info"]["input"]["body"], json!({"image_url": "..."}));
    assert_ne!(told["resource"]["description"], "");
    let untold = scene.post("/sentiment", &[]).await.challenge();
    assert!(untold.get("extensions").is_none());
    assert_eq!(untold["resource"]["description"], "");
}
