//! How much of everything: one agent must not take what the others need.

use std::time::Duration;

/// Connections at once, of all agents together. Below the 1,024 files that a process may usually open.
pub(super) const CONNECTIONS: usize = 900;
/// Connections of one agent: one for each request that it may have open, and a few that wait for their next.
pub(super) const CONNECTIONS_EACH: usize = 80;
/// Connections on which nobody has shown a token yet. One more takes the place of the one that has waited longest.
pub(super) const STRANGERS: usize = 300;
/// How long a connection may stay open before somebody shows a token on it.
pub(super) const STRANGER_TIME: Duration = Duration::from_secs(5);
/// Requests of one agent at once, streams that stay open among them.
pub(super) const REQUESTS: usize = 64;
/// Calls of tools of one agent at once. A call may outlive the request that began it.
pub(super) const CALLS: usize = 32;
/// Sessions of one agent, handshake era. A further one takes the place of the one that was silent longest.
pub(super) const SESSIONS: usize = 64;
/// Streams of the older transport that one agent may have open.
pub(super) const STREAMS: usize = 16;
/// How long a request for such a stream waits until somebody reads what waits on it.
pub(super) const READ_FIRST: Duration = Duration::from_secs(5);
/// A stream of the older transport whose messages nobody takes for this long ends.
pub(super) const UNREAD: Duration = Duration::from_secs(30);
/// A session that was used this recently is not silent.
pub(super) const SILENT: Duration = Duration::from_secs(10);
/// A session without a request for this long ends.
pub(super) const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// The largest message.
pub(super) const BODY: usize = 4 * 1024 * 1024;
/// How long a message may take to arrive.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);
/// How many headers a request may have ...
pub(super) const HEADERS: usize = 64;
/// ... and how many bytes they may come to.
pub(super) const HEADER_BYTES: usize = 32 * 1024;
/// How long the next request's headers are waited for on a connection that is an agent's.
pub(super) const HEADER_TIME: Duration = Duration::from_secs(60);
/// How often an open stream shows that it lives, and finds out that nobody listens.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often open streams are held against the tokens that opened them.
pub(super) const TOKENS_AGAIN: Duration = Duration::from_secs(2);
/// How long calls under way are waited for at the end ...
pub(super) const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// ... and then how long for their answers to be on the wire.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);
