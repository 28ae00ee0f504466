//! An answer's body, read only as far as it is wanted.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Bytes, Error};

/// Hears an answer while it comes: the next piece, and how many bytes there are with it.
pub type Heard<'a> = &'a (dyn Fn(&[u8], u64) + Sync);

/// How a body is read.
pub(super) struct Reading<'a> {
    /// The most decoded bytes.
    pub(super) cap: usize,
    /// Between two pieces.
    pub(super) idle: Duration,
    /// All of it.
    pub(super) deadline: Instant,
    /// Whether it is a stream of events, which need not end: then what came until it stopped is the answer, cut.
    pub(super) stream: bool,
    /// Hears each piece as it comes.
    pub(super) heard: Heard<'a>,
}

/// Reads at most `cap` decoded bytes, and says whether there were more, or might have been.
///
/// Chunks are decoded one at a time, so a compressed bomb costs the cap and not what it would unpack to.
pub(super) async fn read(
    mut response: reqwest::Response,
    seller: &str,
    how: Reading<'_>,
) -> Result<(Bytes, bool), Error> {
    let Reading { cap, idle, deadline, stream, heard } = how;
    let mut body = Vec::new();
    loop {
        let patience = Instant::now().checked_add(idle).map_or(deadline, |next| next.min(deadline));
        let chunk = match timeout_at(patience, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return Ok((body.into(), false)),
            // An answer in which nothing was said is none: what was bought can still be asked for again.
            Ok(Err(_)) | Err(_) if stream && !body.is_empty() => return Ok((body.into(), true)),
            Ok(Err(_)) => return Err(Error::sent(format!("The answer of {seller} broke off."))),
            Err(_) => return Err(Error::sent(format!("The answer of {seller} did not end in time."))),
        };
        heard(&chunk, (body.len() + chunk.len()) as u64);
        let room = cap - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body.into(), true));
        }
        body.extend_from_slice(&chunk);
    }
}
