//! What a node does to those who ask it.

/// How truthful and how quick a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RpcMode {
    /// It tells the truth at once.
    #[default]
    Honest,
    /// It says that it is another chain. All else is true.
    WrongChain(u64),
    /// It tells the truth after so many milliseconds.
    Slow(u64),
    /// It takes the question and never answers.
    Silent,
    /// It takes the question and closes the connection.
    HangsUp,
    /// It answers 429.
    RateLimited,
    /// It answers 200 and a page of HTML.
    Garbage,
    /// Every call fails with this JSON-RPC error.
    Fails(i64, String),
    /// `eth_call` gives `0x`, as a node does whose contract is not there.
    Empty,
    /// It has not seen the last so many seconds of the chain.
    Behind(u64),
    /// It lies: no nonce was ever used, and there are no logs.
    ForgetsPayments,
    /// It lies: every nonce is used.
    InventsPayments,
    /// It lies: everybody holds this much.
    SaysBalance(u64),
    /// It refuses `eth_getLogs` over more than so many blocks, as public nodes do.
    ShortLogs(u64),
}
