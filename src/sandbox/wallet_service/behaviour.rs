//! How a wallet treats a payment: what it does with the money, and what it says about it. The two need not agree.

/// The treatment of one payment. Each part can be bent alone; the constructors name the cases that are met in life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// How long to wait before anything happens, in milliseconds.
    pub before_ms: u64,
    /// What happens to the money.
    pub money: Money,
    /// What the reply says.
    pub reply: ReplySaid,
    /// How long the reply waits once it is known, in milliseconds.
    pub reply_after_ms: u64,
    /// The preimage in the reply.
    pub preimage: PreimageSaid,
    /// The fee in the reply and in lookups.
    pub fees: FeesSaid,
    /// What later lookups say.
    pub lookup: LookupSaid,
    /// How the reply event is addressed and signed.
    pub envelope: Envelope,
}

/// What happens to the money of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Money {
    /// It moves at once.
    #[default]
    Settles,
    /// It moves after so many milliseconds, whatever was replied.
    SettlesAfter(u64),
    /// It stays in flight until the test releases or fails it.
    Held,
    /// It never moves, and the wallet keeps a record of the failure.
    Fails,
    /// It never moves, and the wallet forgets that it was asked.
    Never,
}

/// What the reply to a payment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReplySaid {
    /// The truth, once it is known.
    #[default]
    Truth,
    /// Nothing at all.
    Nothing,
    /// An error with this code, at once.
    Error(String),
    /// `{"error": "<text>"}`: a bare string, without a result type.
    BareError(String),
    /// An error with this code **and** an empty result.
    ErrorAndResult(String),
    /// The truth, once it is known, under another method's result type.
    WrongResultType,
    /// The truth, once it is known, under an empty result type.
    NoResultType,
    /// A text that is not JSON.
    Garbage,
}

/// The preimage in a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreimageSaid {
    /// The one that was paid for.
    #[default]
    Truth,
    /// 32 other bytes.
    Wrong,
    /// 64 zeros.
    Zeros,
    /// An empty text.
    Empty,
    /// No such field.
    Missing,
    /// The invoice itself.
    Invoice,
}

/// The fee in replies and lookups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FeesSaid {
    /// What the route cost.
    #[default]
    Truth,
    /// So many times what the route cost, and so many satoshi where it cost nothing.
    Times(u64),
    /// No such field.
    Missing,
    /// No such field in the reply; lookups tell the truth.
    OnlyLookedUp,
}

/// What lookups say about a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LookupSaid {
    /// The truth.
    #[default]
    Truth,
    /// `RESTRICTED`.
    NotAllowed,
    /// `NOT_FOUND`, whatever happened: an index that lags. Lists leave it out too.
    NotFound,
    /// Pending, whatever happened.
    Pending,
    /// Failed, whatever happened.
    Failed,
    /// Settled by its date, with 64 zeros for a preimage and no state: LNbits' way of saying failed.
    ZeroPreimage,
    /// Settled, without a preimage.
    NoPreimage,
    /// No answer.
    Nothing,
}

/// How a reply event is addressed and signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// With the client's `p` and the request's `e`, signed by the wallet.
    #[default]
    Proper,
    /// Without an `e` tag.
    NoRequest,
    /// With the `e` tag of some other event.
    ForeignRequest,
    /// Without a `p` tag.
    NoClient,
    /// Encrypted by the wallet and signed by a stranger.
    ForeignAuthor,
}

impl Behaviour {
    /// Pays and says so.
    pub fn honest() -> Behaviour {
        Behaviour::default()
    }

    /// Pays at once and says so only after `ms`.
    pub fn slow_reply(ms: u64) -> Behaviour {
        Behaviour { reply_after_ms: ms, ..Behaviour::default() }
    }

    /// Thinks for `ms`, then pays and says so.
    pub fn slow_payment(ms: u64) -> Behaviour {
        Behaviour { before_ms: ms, ..Behaviour::default() }
    }

    /// Pays and never says so.
    pub fn lost_reply() -> Behaviour {
        Behaviour { reply: ReplySaid::Nothing, ..Behaviour::default() }
    }

    /// Says nothing now and pays after `ms`.
    pub fn silent_then_pays(ms: u64) -> Behaviour {
        Behaviour { money: Money::SettlesAfter(ms), reply: ReplySaid::Nothing, ..Behaviour::default() }
    }

    /// Replies with an error code and pays nothing; lookups know of nothing.
    pub fn refuses(code: impl Into<String>) -> Behaviour {
        Behaviour { money: Money::Never, reply: ReplySaid::Error(code.into()), ..Behaviour::default() }
    }

    /// Replies with an error code, pays nothing, and says `failed` in lookups.
    pub fn fails(code: impl Into<String>) -> Behaviour {
        Behaviour { money: Money::Fails, reply: ReplySaid::Error(code.into()), ..Behaviour::default() }
    }

    /// The liar: replies with an error code and pays all the same, when `money` says.
    pub fn lies(code: impl Into<String>, money: Money) -> Behaviour {
        Behaviour { money, reply: ReplySaid::Error(code.into()), ..Behaviour::default() }
    }

    /// Keeps the payment in flight until it is released; lookups say pending.
    pub fn holds() -> Behaviour {
        Behaviour { money: Money::Held, ..Behaviour::default() }
    }

    /// Pays and shows another preimage.
    pub fn shows(preimage: PreimageSaid) -> Behaviour {
        Behaviour { preimage, ..Behaviour::default() }
    }

    /// Pays and claims another fee.
    pub fn claims(fees: FeesSaid) -> Behaviour {
        Behaviour { fees, ..Behaviour::default() }
    }

    /// Pays and answers in another shape.
    pub fn says(reply: ReplySaid) -> Behaviour {
        Behaviour { reply, ..Behaviour::default() }
    }

    /// Pays and sends the reply in another envelope.
    pub fn sends(envelope: Envelope) -> Behaviour {
        Behaviour { envelope, ..Behaviour::default() }
    }

    /// The same, with other words in later lookups.
    pub fn then_lookup(self, lookup: LookupSaid) -> Behaviour {
        Behaviour { lookup, ..self }
    }
}
