//! Whether a relay can be reached at all, apart from any wallet.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_tungstenite::{
    client_async,
    tungstenite::{client::IntoClientRequest, http::HeaderValue},
};
use url::Url;

use super::dial::Dial;

/// A relay that answered.
#[derive(Clone, Debug)]
pub struct Reached {
    /// How long connecting took, TLS and WebSocket included.
    pub took: Duration,
    /// What it said the time is, in the words of HTTP, where it said so; untrusted.
    pub date: Option<String>,
}

/// Connects to a relay, and hangs up.
///
/// # Errors
/// What failed, in words that quote nothing.
pub async fn reach(relay: &Url, dial: &dyn Dial, within: Duration) -> Result<Reached, &'static str> {
    let began = Instant::now();
    let attempt = async {
        let wire =
            dial.dial(relay).await.map_err(|_| "it cannot be connected to (network, name, port or certificate)")?;
        let mut request = relay.as_str().into_client_request().map_err(|_| "its address cannot be used")?;
        let agent = HeaderValue::from_static(concat!("bursar/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert("user-agent", agent);
        let (_, response) = client_async(request, wire).await.map_err(|_| "what answers there is not a relay")?;
        let date = response.headers().get("date").and_then(|d| d.to_str().ok());
        Ok(Reached { took: began.elapsed(), date: date.map(|d| d.chars().take(40).collect()) })
    };
    timeout(within, attempt).await.unwrap_or(Err("it did not answer in time"))
}
