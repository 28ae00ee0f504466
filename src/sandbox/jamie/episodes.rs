//! The podcasts of the replica. Every show, person and word is invented.

/// A podcast.
pub(super) struct Show {
    pub(super) feed_id: u32,
    pub(super) guid: &'static str,
    pub(super) title: &'static str,
    pub(super) host: &'static str,
    pub(super) episodes: &'static [Episode],
}

/// One episode of a show.
pub(super) struct Episode {
    pub(super) guid: &'static str,
    pub(super) title: &'static str,
    pub(super) date: &'static str,
    pub(super) about: &'static str,
    pub(super) guests: &'static [&'static str],
    /// Its length, in seconds.
    pub(super) seconds: u32,
    /// Whether its words can be searched.
    pub(super) transcribed: bool,
    pub(super) quotes: &'static [Quote],
    pub(super) chapters: &'static [Chapter],
}

/// Something that was said.
pub(super) struct Quote {
    pub(super) text: &'static str,
    /// When it begins and ends, in seconds from the start.
    pub(super) span: (u32, u32),
}

/// A part of an episode with a headline.
pub(super) struct Chapter {
    pub(super) headline: &'static str,
    pub(super) keywords: &'static [&'static str],
    /// When it begins and ends, in seconds from the start.
    pub(super) span: (u32, u32),
}

/// Every show there is.
pub(super) const SHOWS: &[Show] = &[
    Show {
        feed_id: 4_710_021,
        guid: "b1f0c7de-0001-4a6e-9c55-3f6f2a7d1001",
        title: "The Corner Till",
        host: "Maren Oakhurst",
        episodes: &[
            Episode {
                guid: "tct-0147",
                title: "When the Card Machine Says No",
                date: "2026-09-14T06:00:00.000Z",
                about: "Three small business owners describe what payment processing really costs them: fees that \
                        arrive a month late, terminals that die on market day, and money that is held for review.",
                guests: &["Tobiah Renn", "Calla Vestergaard"],
                seconds: 3_124,
                transcribed: true,
                quotes: &[
                    Quote {
                        text: "I run a bakery. On a four dollar loaf the processor takes nineteen cents, and I do not \
                               see that number until the statement comes five weeks later.",
                        span: (412, 431),
                    },
                    Quote {
                        text: "The terminal went down on the busiest market day of the year. We wrote names in a \
                               notebook and hoped people would come back to pay. Most did.",
                        span: (1_208, 1_229),
                    },
                    Quote {
                        text: "Every small business owner I know has a story about payment processing. Mine is \
                               eleven thousand dollars held for ninety days because our sales went up.",
                        span: (1_874, 1_899),
                    },
                ],
                chapters: &[
                    Chapter {
                        headline: "What a card payment costs a bakery",
                        keywords: &["fees", "payment processing", "small business"],
                        span: (380, 905),
                    },
                    Chapter {
                        headline: "Funds on hold: ninety days without your own money",
                        keywords: &["payment processor", "reserve", "cash flow"],
                        span: (1_820, 2_460),
                    },
                ],
            },
            Episode {
                guid: "tct-0151",
                title: "Chargebacks for Beginners",
                date: "2026-10-12T06:00:00.000Z",
                about: "What happens after a customer disputes a payment, and why the shop usually loses.",
                guests: &["Ilse Quarrington"],
                seconds: 2_655,
                transcribed: true,
                quotes: &[Quote {
                    text: "A chargeback costs me the lamp, the sale and a twenty five dollar fee. I now photograph \
                           every parcel, which is my evening gone.",
                    span: (733, 749),
                }],
                chapters: &[Chapter {
                    headline: "The evidence a dispute wants from a small shop",
                    keywords: &["chargeback", "dispute", "small business"],
                    span: (690, 1_340),
                }],
            },
        ],
    },
    Show {
        feed_id: 5_238_114,
        guid: "b1f0c7de-0002-4a6e-9c55-3f6f2a7d1002",
        title: "Ledger & Ladle",
        host: "Dario Fenwick-Sato",
        episodes: &[Episode {
            guid: "lal-0088",
            title: "Tips, Splits and Three Percent",
            date: "2026-08-03T09:30:00.000Z",
            about: "Restaurant owners on the challenges of tipping through a payment terminal, surcharges, and why \
                    one of them went back to cash on Mondays.",
            guests: &["Noor Abernathy-Lind"],
            seconds: 2_940,
            transcribed: true,
            quotes: &[
                Quote {
                    text: "People think the three percent comes out of profit. In a restaurant the profit is five \
                           percent. The processor is my biggest partner and never washes a plate.",
                    span: (540, 561),
                },
                Quote {
                    text: "The challenge is not the fee, it is that no two statements are alike. I pay a bookkeeper \
                           two hundred dollars to find out what I paid.",
                    span: (1_402, 1_419),
                },
            ],
            chapters: &[Chapter {
                headline: "Reading a processing statement line by line",
                keywords: &["payment processing", "fees", "restaurant"],
                span: (1_360, 1_905),
            }],
        }],
    },
    Show {
        feed_id: 6_004_377,
        guid: "b1f0c7de-0003-4a6e-9c55-3f6f2a7d1003",
        title: "Sats at the Counter",
        host: "Wilhelmina Crane-Adeyemi",
        episodes: &[
            Episode {
                guid: "sac-0031",
                title: "A Bike Shop Takes Lightning",
                date: "2026-07-21T12:00:00.000Z",
                about: "A bicycle repairer adds Lightning beside the card reader: what worked, what confused the \
                        customers, and what the accountant said.",
                guests: &["Pascoe Lindqvist-Mbeki"],
                seconds: 3_480,
                transcribed: true,
                quotes: &[
                    Quote {
                        text: "A puncture is nine dollars. By card I wait two days and lose forty cents. Over \
                               Lightning I had it before the customer had the helmet on.",
                        span: (966, 984),
                    },
                    Quote {
                        text: "Refunds were the hard part. A card has a refund button. With Lightning I ask for an \
                               invoice, and half of my customers do not know where to find one.",
                        span: (1_713, 1_734),
                    },
                ],
                chapters: &[Chapter {
                    headline: "Refunds, receipts and the accountant",
                    keywords: &["Lightning", "refunds", "bookkeeping"],
                    span: (1_650, 2_300),
                }],
            },
            Episode {
                guid: "sac-0035",
                title: "Machines That Pay by Themselves",
                date: "2026-11-02T12:00:00.000Z",
                about: "An API seller and an agent builder talk about charging a few satoshi for a request.",
                guests: &["Jorun Ashgrove"],
                seconds: 2_760,
                transcribed: false,
                quotes: &[],
                chapters: &[],
            },
        ],
    },
    Show {
        feed_id: 6_551_902,
        guid: "b1f0c7de-0004-4a6e-9c55-3f6f2a7d1004",
        title: "Invoice Overdue",
        host: "Benedikt Marlowe-Osei",
        episodes: &[Episode {
            guid: "iov-0212",
            title: "Switching Processors Without Losing a Week",
            date: "2026-06-10T05:00:00.000Z",
            about: "How owners of a florist's and a print shop changed their payment processor, what broke, and the \
                    contract clause they wish they had read.",
            guests: &["Saskia Thornbury", "Emeka Vauclair"],
            seconds: 3_305,
            transcribed: true,
            quotes: &[
                Quote {
                    text: "The contract renewed itself for three years because I was four days late. Leaving cost \
                           more than a month of payment processing.",
                    span: (622, 640),
                },
                Quote {
                    text: "We moved on a Tuesday in February, kept the old reader in the drawer, and told the regulars. \
                           That is the whole trick for a small business.",
                    span: (2_011, 2_030),
                },
            ],
            chapters: &[Chapter {
                headline: "The clause that renews itself",
                keywords: &["contract", "payment processor", "switching"],
                span: (580, 1_120),
            }],
        }],
    },
    Show {
        feed_id: 6_930_458,
        guid: "b1f0c7de-0005-4a6e-9c55-3f6f2a7d1005",
        title: "Harbour Lights Astronomy",
        host: "Oswin Pelletier-Rao",
        episodes: &[Episode {
            guid: "hla-0019",
            title: "Why Is the Night Dark?",
            date: "2026-05-05T20:00:00.000Z",
            about: "An old paradox, a telescope on a fishing boat, and the age of starlight.",
            guests: &["Liv Castellane"],
            seconds: 2_210,
            transcribed: true,
            quotes: &[Quote {
                text: "If the stars went on for ever, the sky would be as bright as noon. The dark is the oldest \
                       measurement we have.",
                span: (305, 320),
            }],
            chapters: &[Chapter {
                headline: "A paradox on a fishing boat",
                keywords: &["astronomy", "paradox"],
                span: (240, 700),
            }],
        }],
    },
];

/// Words that say nothing about the subject.
const EMPTY_WORDS: [&str; 26] = [
    "a", "about", "an", "and", "are", "by", "discuss", "do", "find", "for", "from", "how", "in", "is", "me", "of",
    "on", "or", "podcast", "talk", "that", "the", "to", "what", "where", "with",
];

/// The words of a text that count, in a common form.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .map(|word| stem(&word.to_lowercase()))
        .filter(|word| !word.is_empty() && !EMPTY_WORDS.contains(&word.as_str()))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Cuts the ends that only grammar asks for.
fn stem(word: &str) -> String {
    let cut = ["ing", "ors", "or", "ers", "er", "es", "ed", "s"].iter().find_map(|end| {
        let rest = word.strip_suffix(end)?;
        (rest.len() >= 4).then_some(rest)
    });
    cut.unwrap_or(word).to_owned()
}

/// How much of what was asked a text has: 0 for nothing, 1 for every word.
pub(super) fn likeness(asked: &[String], text: &str) -> f64 {
    if asked.is_empty() {
        return 0.0;
    }
    let said = words(text);
    asked.iter().filter(|word| said.contains(word)).count() as f64 / asked.len() as f64
}
