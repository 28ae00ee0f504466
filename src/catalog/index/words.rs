//! Words: how a query and a listing are cut into them, and which say little.

/// Words that carry no meaning in a query.
const STOP: [&str; 64] = [
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "give",
    "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "latest", "like", "me", "my", "near", "need",
    "of", "on", "one", "or", "our", "out", "please", "recent", "show", "so", "some", "that", "the", "their", "them",
    "there", "this", "to", "up", "us", "use", "want", "was", "we", "what", "when", "where", "which", "who", "with",
    "you",
];

/// Words that half of a catalogue has: they help, and prove nothing.
const GENERIC: [&str; 41] = [
    "ai",
    "analysis",
    "api",
    "call",
    "check",
    "create",
    "data",
    "detect",
    "detection",
    "endpoint",
    "extract",
    "extraction",
    "fetch",
    "find",
    "generate",
    "get",
    "info",
    "information",
    "list",
    "live",
    "lookup",
    "maker",
    "online",
    "paid",
    "post",
    "price",
    "query",
    "report",
    "request",
    "result",
    "results",
    "search",
    "send",
    "service",
    "services",
    "text",
    "tool",
    "tools",
    "url",
    "v1",
    "web",
];

/// What people say and what sellers call it. Only the words of a task are widened by these.
const ALSO: [(&str, &str); 40] = [
    ("anonymise", "pii redact"),
    ("aviation", "metar taf"),
    ("captcha", "recaptcha solve"),
    ("chart", "graph plot"),
    ("clip", "video"),
    ("company", "business registry"),
    ("court", "legal opinion"),
    ("earthquake", "quake seismic usgs"),
    ("earthquakes", "quake seismic usgs"),
    ("email", "mail inbox"),
    ("emotion", "sentiment"),
    ("fax", "phone"),
    ("flight", "airline airport"),
    ("hotel", "travel lodging"),
    ("inflation", "cpi fred economic"),
    ("invoice", "receipt document"),
    ("job", "career hiring"),
    ("letter", "mail postcard print"),
    ("llm", "chat completion model"),
    ("logo", "brand image"),
    ("map", "geocode location"),
    ("masked", "pii redact"),
    ("news", "headline article"),
    ("opinions", "court legal"),
    ("personal", "pii"),
    ("phishing", "scam malware"),
    ("photo", "image ocr"),
    ("picture", "image"),
    ("recaptcha", "captcha"),
    ("scanned", "ocr document"),
    ("scrape", "crawl page extract"),
    ("sentiment", "emotion"),
    ("shareable", "clip"),
    ("speech", "audio transcription tts"),
    ("stock", "equity quote ticker"),
    ("transcribe", "transcription speech audio"),
    ("translate", "translation language"),
    ("tweets", "twitter"),
    ("vin", "vehicle decode"),
    ("weather", "forecast metar"),
];

/// Cuts a text into words: letters and digits, small, `camelCase` and path parts taken apart.
pub fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut lower) = (String::new(), false);
    for c in text.chars().chain([' ']) {
        let cut = !c.is_alphanumeric() || (lower && c.is_uppercase());
        if cut && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        lower = c.is_lowercase();
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// The text of a set of words, each once, in the order in which they come. A word that is repeated a hundred times counts
/// as one.
pub fn once(texts: &[&str], most: usize) -> String {
    let mut seen: Vec<String> = Vec::new();
    for word in texts.iter().flat_map(|text| split(text)) {
        if seen.len() < most && !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen.join(" ")
}

/// The words of a query: those that say what is wanted, and those that half of a catalogue has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What must be found for a match to mean something.
    pub telling: Vec<String>,
    /// What only helps.
    pub generic: Vec<String>,
}

/// Reads a query.
pub fn wanted(query: &str) -> Wanted {
    let mut wanted = Wanted::default();
    for word in split(query).into_iter().take(24) {
        let list = if GENERIC.contains(&word.as_str()) { &mut wanted.generic } else { &mut wanted.telling };
        if !STOP.contains(&word.as_str()) && word.len() <= 40 && !list.contains(&word) {
            list.push(word);
        }
    }
    if wanted.telling.is_empty() {
        wanted.telling = std::mem::take(&mut wanted.generic);
    }
    wanted
}

/// The words of a task, widened by what sellers call the same things.
pub fn task(task: &str) -> Vec<String> {
    let mut words = wanted(task).telling;
    for word in words.clone() {
        for (_, also) in ALSO.iter().filter(|(said, _)| *said == word) {
            words.extend(also.split(' ').map(str::to_owned).filter(|w| !words.contains(w)).collect::<Vec<_>>());
        }
    }
    words.truncate(40);
    words
}

/// Words as a full-text query that wants any of them. They hold only letters and digits, so that nothing in them is a
/// part of the query's language.
pub fn any_of(words: &[String]) -> String {
    words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_case_and_marks() {
        assert_eq!(split("/api/searchFeeds?x=10-K"), ["api", "search", "feeds", "x", "10", "k"]);
        assert_eq!(once(&["Pay pay PAY", "now"], 9), "pay now");
    }

    #[test]
    fn a_query_keeps_what_tells_something() {
        let read = wanted("find me the podcast search API");
        assert_eq!(read.telling, ["podcast"]);
        assert_eq!(read.generic, ["find", "search", "api"]);
        assert_eq!(wanted("web search").telling, ["web", "search"], "where all are generic, all tell");
        assert_eq!(wanted("\" OR *"), Wanted::default());
        assert!(task("is this a phishing site").contains(&"scam".to_owned()));
        assert_eq!(any_of(&wanted("a\"b").telling), "\"b\"");
    }
}
