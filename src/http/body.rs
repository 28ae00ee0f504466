//! An answer's body, read only as far as it is wanted.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Bytes, Error};

/// Reads at most `cap` decoded bytes, and says whether there were more.
///
/// Chunks are decoded one at a time, so a compressed bomb costs the cap and not what it would unpack to.
pub(super) async fn read(
    mut response: reqwest::Response,
    seller: &str,
    cap: usize,
    idle: Duration,
    deadline: Instant,
) -> Result<(Bytes, bool), Error> {
    let mut body = Vec::new();
    loop {
        let patience = Instant::now().checked_add(idle).map_or(deadline, |next| next.min(deadline));
        let chunk = match timeout_at(patience, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok((body.into(), false)),
            Ok(Err(_)) => return Err(Error::sent(format!("The answer of {seller} broke off."))),
            Err(_) => return Err(Error::sent(format!("The answer of {seller} did not end in time."))),
        };
        let room = cap - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body.into(), true));
        }
        body.extend_from_slice(&chunk);
    }
}
