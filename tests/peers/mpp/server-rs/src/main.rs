//! A seller on Tempo by the crate `mpp`: `/tempo/NAME` for a cent. It listens on a free port of loopback, prints which, and
//! ends with its standard input.

use std::{env, sync::Arc};

use axum::{Json, Router, extract::Path, routing::get};
use mpp::server::{
    Mpp, TempoConfig,
    axum::{ChargeChallenger, ChargeConfig, MppCharge, WithReceipt},
    tempo,
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

const PATH_USD: &str = "0x20c0000000000000000000000000000000000000";

struct Cent;

impl ChargeConfig for Cent {
    fn amount() -> &'static str {
        "0.01"
    }
}

async fn item(charge: MppCharge<Cent>, Path(name): Path<String>) -> WithReceipt<Json<Value>> {
    WithReceipt { receipt: charge.receipt, body: Json(json!({ "item": name, "by": "mpp-rs" })) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (rpc, pay_to) = (env::var("LAB_TEMPO")?, env::var("LAB_PAY_TO")?);
    let mpp = Mpp::create(
        tempo(TempoConfig { recipient: &pay_to })
            .rpc_url(&rpc)
            .chain_id(42431)
            .currencies([PATH_USD])
            .realm("127.0.0.1")
            .secret_key("a secret of the lab that is long enough for it"),
    )?;
    let app = Router::new().route("/tempo/{name}", get(item)).with_state(Arc::new(mpp) as Arc<dyn ChargeChallenger>);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", json!({ "port": listener.local_addr()?.port() }));
    let served = axum::serve(listener, app).with_graceful_shutdown(async {
        let mut nothing = [0; 64];
        while tokio::io::stdin().read(&mut nothing).await.is_ok_and(|read| read > 0) {}
    });
    Ok(served.await?)
}
