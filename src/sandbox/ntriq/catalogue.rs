//! What is sold, and for how much: each thing alone, and by the batch for a few hundred times as much.

/// A priced endpoint; all of them are `POST`.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub kind: Kind,
    pub path: &'static str,
    /// Words that tell a batch from a single call only to those who read to the end.
    pub about: &'static str,
    /// The price of a call, in millionths of a dollar, which are also the units of USDC.
    pub units: u64,
    /// Whether it takes a list.
    pub batch: bool,
    pub extensions: Extensions,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reads a text.
    Text(Reading),
    /// Looks at an image: `image_url` or `image_base64`.
    Image(Looking),
    /// Needs this one field.
    Field(&'static str),
}

/// What is read out of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Sentiment,
    Pii,
    Compliance,
}

/// What is read out of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looking {
    Invoice,
    Words,
}

/// What the challenge tells beside the terms. The real service registers `bazaar` and declares nothing; three of ours
/// declare something, so that buyers meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extensions {
    None,
    /// `payment-identifier`, as the buyer likes.
    Identifier,
    /// `bazaar`: what goes in and what comes out.
    Bazaar,
    /// Both, and the identifier is required.
    Required,
}

const fn one(path: &'static str, kind: Kind, units: u64, about: &'static str) -> Endpoint {
    Endpoint { kind, path, about, units, batch: false, extensions: Extensions::None }
}

const fn many(path: &'static str, kind: Kind, dollars: u64, about: &'static str) -> Endpoint {
    Endpoint { kind, path, about, units: dollars * 1_000_000, batch: true, extensions: Extensions::None }
}

const fn with(extensions: Extensions, endpoint: Endpoint) -> Endpoint {
    Endpoint { extensions, ..endpoint }
}

const CENT: u64 = 10_000;
const TEXT: Kind = Kind::Text(Reading::Sentiment);
const PII: Kind = Kind::Text(Reading::Pii);
const RULES: Kind = Kind::Text(Reading::Compliance);
const INVOICE: Kind = Kind::Image(Looking::Invoice);
const WORDS: Kind = Kind::Image(Looking::Words);

pub(super) static ENDPOINTS: [Endpoint; 26] = [
    one("/document-intel", WORDS, 5 * CENT, "Document understanding and data extraction from an image"),
    with(Extensions::Bazaar, one("/invoice-extract", INVOICE, 3 * CENT, "Invoice data extraction from an image")),
    one("/screenshot-data", WORDS, 2 * CENT, "Screenshot data extraction from an image"),
    one("/alt-text", WORDS, CENT, "Alternative text for an image"),
    with(Extensions::Identifier, one("/pii-detect", PII, 2 * CENT, "Personal data detection and masking in a text")),
    one("/sentiment", TEXT, CENT, "Sentiment, emotion and intent analysis of a text"),
    one("/content-generate", Kind::Field("prompt"), 2 * CENT, "Content generation from a prompt"),
    one("/compliance-check", RULES, 3 * CENT, "Compliance check of a text"),
    with(Extensions::Required, one("/code-review", Kind::Field("code"), 5 * CENT, "Code review of a piece of code")),
    one("/blueprint", Kind::Field("prompt"), 5 * CENT, "Software blueprint from a prompt"),
    one("/phish-radar", Kind::Field("url"), 3 * CENT, "Phishing detection for a URL"),
    one("/audio-intel", Kind::Field("audio_url"), 5 * CENT, "Audio transcription and understanding of a recording"),
    one("/image-upscale", WORDS, 10 * CENT, "Image upscaling of an image"),
    many("/document-intel-batch", WORDS, 15, "Document understanding and data extraction from images"),
    many("/invoice-extract-batch", INVOICE, 9, "Invoice data extraction from images"),
    many("/screenshot-data-batch", WORDS, 6, "Screenshot data extraction from images"),
    many("/alt-text-batch", WORDS, 3, "Alternative text for images"),
    many("/pii-detect-batch", PII, 6, "Personal data detection and masking in texts"),
    many("/sentiment-batch", TEXT, 3, "Sentiment, emotion and intent analysis of texts"),
    many("/content-generate-batch", Kind::Field("prompt"), 6, "Content generation from prompts"),
    many("/compliance-check-batch", RULES, 9, "Compliance check of texts"),
    many("/code-review-batch", Kind::Field("code"), 15, "Code review of pieces of code"),
    many("/blueprint-batch", Kind::Field("prompt"), 15, "Software blueprint from prompts"),
    many("/phish-radar-batch", Kind::Field("url"), 9, "Phishing detection for URLs"),
    many("/audio-intel-batch", Kind::Field("audio_url"), 9, "Audio transcription and understanding of recordings"),
    many("/image-upscale-batch", WORDS, 30, "Image upscaling of images"),
];

impl Endpoint {
    /// Finds the endpoint behind a path.
    pub fn find(path: &str) -> Option<&'static Endpoint> {
        ENDPOINTS.iter().find(|e| e.path == path)
    }
}
