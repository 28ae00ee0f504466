//! What goes wrong at the API: one switch for each hazard that buyers have met.

/// How the API treats a request. The word of the book ([`PlayChain::moved`](crate::sandbox::PlayChain::moved)) is what
/// each says about money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NtriqMode {
    /// It works.
    #[default]
    Open,

    // -- the answer to a paid request
    /// It settles, and the connection breaks before a byte of the answer left. *Moved.*
    LosesAnswer,
    /// It reads the payment, and the connection breaks. *Not moved.*
    CutsUnsettled,
    /// It reads the payment and never answers.
    Stalls {
        /// Whether it settles first.
        moves: bool,
    },
    /// One request after the other, each this many milliseconds: a global lock around a slow handler. *Moved.*
    Slow(u64),
    /// 202 and where the result will be; 202 is below 400, so it is settled. *Moved.*
    Asynchronous,

    // -- what the facilitator does
    /// 402 and a receipt that says it failed. *Not moved.*
    SettleFails,
    /// The same answer, without a transaction. *Moved.*
    SettleFailsButMoves,
    /// The same answer, after so many milliseconds: the facilitator did not answer in time.
    SettleTimesOut {
        /// How long it takes.
        after_ms: u64,
        /// Whether the transaction made it to the chain.
        moves: bool,
    },
    /// 402 and `settlement_pending` with a transaction that waits for
    /// [`PlayChain::mine_pending`](crate::sandbox::PlayChain::mine_pending). *Not moved yet.*
    SettlementPending,
    /// A racing facilitator: verifying each payment fails so many times, with a new challenge, before it goes through.
    FailsVerifyFirst(u32),
    /// A racing facilitator: settling each payment fails so many times, with a receipt, before it goes through.
    FailsSettleFirst(u32),
    /// 402 and a new challenge, without a receipt, as if nothing had been paid. *Moved.*
    ChallengesAfterMoving,
    /// 402 and a new challenge; the authorization is kept, whatever price it was signed for, and [`Ntriq::submit_kept`](super::Ntriq::submit_kept) carries
    /// it to the chain later. *Not moved yet.*
    KeepsAuthorization,
    /// 200 without a receipt.
    NoReceipt(Settling),
    /// 200 and a receipt that says success. *Not moved.*
    FalseReceipt,

    /// It settles as it should, and its receipt speaks of so many units (only for prices "up to"). *Moved: its charge.*
    ReceiptSays(u64),
    /// 200 and a receipt that says that nothing was charged; the permit is kept, and
    /// [`Ntriq::submit_kept`](super::Ntriq::submit_kept) takes all of it later. *Not moved yet.*
    ChargesLater,

    // -- the handler
    /// 500. *Not moved.*
    HandlerFails,
    /// It settles before the handler, which fails: 500 and a true receipt. *Moved.*
    Upfront {
        /// Whether the terms say so (`extra.paymentFlow`), as they must.
        declared: bool,
    },
    /// A body that is refused is refused before anything about payment is said: 400 before 402.
    ChecksBodyFirst,
    /// 200 for everybody. *Not moved.*
    Free,

    // -- the terms
    /// It quotes its price, and wants this many units when the payment comes. *Not moved.*
    DearerOnPayment(u64),
    /// It quotes its account, and wants another paid when the payment comes. *Not moved.*
    OtherPayeeOnPayment,
    /// The `resource` it names is on another host.
    ForeignResource,
    /// It pastes Circle's `GatewayWalletBatched` domain on plain USDC.
    GatewayDomain,
    /// Four ways to pay that most buyers cannot take stand before the one they can.
    OffersMore,
    /// It writes its addresses in odd case and adds a key of its own, and wants its terms back to the letter.
    Recases,
    /// Its challenge is longer by this many bytes than it need be.
    HugeChallenge(usize),

    // -- the transport
    /// It redirects with 307, which repeats method, headers and body.
    Redirects(Whither, Leg),
    /// Its `Date` header is wrong by so many seconds.
    DateOff(i64),
}

/// When a payment without a receipt is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Never.
    Never,
    /// Before the answer.
    AtOnce,
    /// Whenever [`PlayChain::mine_pending`](crate::sandbox::PlayChain::mine_pending) says.
    InBackground,
}

/// Where a redirect leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whither {
    /// To another path of the same origin, which works.
    SameOrigin,
    /// To another origin, which takes what it gets ([`Stranger`](super::Stranger)).
    Stranger,
}

/// Which requests are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// Those without a payment.
    Unpaid,
    /// Those with a payment.
    Paid,
    /// All.
    Both,
}

impl Leg {
    /// Whether a request of this kind is redirected.
    pub(super) fn covers(self, paid: bool) -> bool {
        match self {
            Leg::Unpaid => !paid,
            Leg::Paid => paid,
            Leg::Both => true,
        }
    }
}

/// Whose error strings the facilitator speaks: they are dialects and no contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `@x402/evm`.
    #[default]
    Foundation,
    /// The Rust facilitator `x402-rs`, which also takes more money than was asked for.
    X402Rs,
}
