//! Makes the catalogue that comes with the program: `cargo run --example catalog`. With `-- --check` it writes nothing, and
//! fails when what it would write is not what is there.
//!
//! It reads `data/catalog.jsonl.gz`, what public sources listed on the days that stand below, and the packs that are kept
//! by hand in `data/packs`, and writes `data/bundled.jsonl.gz`, and of that the index that a new home begins with,
//! `data/index.db.gz`. Of sellers' prose only a set of words is kept, by which a listing is found; what is shown of it is the
//! name of the operation.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
};

use bursar::{
    catalog::index::{
        admit::{Raw, Told, admit},
        listing::{Level, Listing},
        make_ready,
        volume::{BUNDLED, Header, SourceNote, Volume},
        words::{once, split},
    },
    http::Settings,
    money::{Amount, Currency},
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::Value;

/// The beginning of a row's source, our name for it, the day of its facts, and how far it is trusted.
const SOURCES: [(&str, &str, &str, Level); 15] = [
    ("tempoxyz/mpp", "mpp.dev", "2026-08-21", Level::Curated),
    ("whiteknightonhorse/APIbase", "apibase.pro", "2026-11-19", Level::Listed),
    ("kelm2021/x402-data-bazaar", "aurelianflo.com", "2026-11-19", Level::Listed),
    ("RipperMercs/tensorfeed", "tensorfeed.ai", "2026-08-17", Level::Listed),
    ("MikeyPetrillo/Agent402", "agent402.tools", "2026-11-19", Level::Listed),
    ("stored page: agoragentic", "agoragentic.com", "2026-11-19", Level::Listed),
    ("stored issue", "public issue threads", "2026-11-19", Level::Listed),
    ("ryanthegentry/402index", "402index.io", "2026-07-28", Level::Listed),
    ("NautDev", "nautdev.com", "2026-11-19", Level::Listed),
    ("stored page: api.", "sellers' own pages", "2026-11-19", Level::Listed),
    ("stored page: l402", "sellers' own pages", "2026-11-19", Level::Listed),
    ("stored page: llm402", "sellers' own pages", "2026-11-19", Level::Listed),
    ("stored page: myceliasignal", "sellers' own pages", "2026-11-19", Level::Listed),
    ("stored page: sats4ai", "sellers' own pages", "2026-11-19", Level::Listed),
    ("stored page: faucet", "sellers' own pages", "2026-11-19", Level::Listed),
];

/// The day on which the packs were last looked over.
const PACKED: &str = "2026-11-20";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut header = Header { name: BUNDLED.into(), ..Header::default() };
    let mut listings: BTreeMap<String, Listing> = BTreeMap::new();
    let source = |header: &mut Header, name: &str, as_of: &str| {
        let note = SourceNote { name: name.into(), as_of: as_of.into() };
        header.sources.iter().position(|s| *s == note).unwrap_or_else(|| {
            header.sources.push(note);
            header.sources.len() - 1
        }) as u8
    };
    for pack in ["jamie", "ntriq", "l402"] {
        let from = source(&mut header, &format!("pack {pack}"), PACKED);
        for line in fs::read_to_string(format!("data/packs/{pack}.jsonl"))?.lines() {
            let mut one: Listing = serde_json::from_str(line).map_err(|e| format!("{pack}: {e}: {line}"))?;
            (one.source, one.level) = (from, Level::Bundled);
            listings.insert(one.key(), one);
        }
    }
    let raw = BufReader::new(GzDecoder::new(fs::File::open("data/catalog.jsonl.gz")?));
    for line in raw.lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let said = row["source"].as_str().unwrap_or_default();
        let Some((_, name, as_of, level)) = SOURCES.iter().find(|(begins, ..)| said.starts_with(begins)) else {
            continue;
        };
        if row["url"].as_str().is_none() || row["url_uncertain"] == true {
            continue;
        }
        match admit(&Settings::default(), cut(&row, *level)) {
            Ok(mut one) => {
                one.source = source(&mut header, name, as_of);
                listings.entry(one.key()).or_insert(one);
            }
            Err(why) => *header.dropped.entry(why).or_default() += 1,
        }
    }
    let mut listings: Vec<Listing> = listings.into_values().collect();
    // Alike beside alike makes the file small.
    listings.sort_by(|a, b| (a.source, &a.url).cmp(&(b.source, &b.url)));
    let volume = Volume { header, listings };
    let check = std::env::args().any(|word| word == "--check");
    let kept = generated("data/bundled.jsonl.gz", volume.to_lines().as_bytes(), check)?;
    let folder = tempfile::tempdir()?;
    let index = folder.path().join("index.db");
    make_ready(&index, &kept)?;
    generated("data/index.db.gz", &fs::read(index)?, check)?;
    println!("{} listings; left out: {:?}", volume.listings.len(), volume.header.dropped);
    Ok(())
}

/// Writes a generated file, or only holds it against what it is to be; its bytes.
fn generated(path: &str, content: &[u8], check: bool) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    if !check {
        let mut gz = GzEncoder::new(Vec::new(), Compression::best());
        gz.write_all(content)?;
        fs::write(path, gz.finish()?)?;
    }
    let bytes = fs::read(path)?;
    let mut kept = Vec::new();
    GzDecoder::new(&bytes[..]).read_to_end(&mut kept)?;
    if kept != content {
        return Err(format!("{path} is not what data/ makes: cargo run --example catalog").into());
    }
    println!("{path} is what data/ makes: {} bytes, {} compressed", kept.len(), bytes.len());
    Ok(bytes)
}

/// A row of the source file, cut to neutral facts.
fn cut(row: &Value, level: Level) -> Raw {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let full = text("name");
    let (provider, name) = full.split_once(" – ").map_or(("", full.as_str()), |(a, b)| (a, b));
    let amount = || {
        let currency = Currency::from_code(&text("currency").to_ascii_lowercase())?;
        Amount::parse_in(currency, &text("price")).ok()
    };
    let price = match row["price_mode"].as_str() {
        Some("free") => Told::Free,
        Some("dynamic") => Told::Varies,
        _ => amount().map_or(Told::Unknown, Told::Fixed),
    };
    let protocols: Vec<String> =
        row["protocols"].as_array().into_iter().flatten().filter_map(|p| p.as_str().map(str::to_lowercase)).collect();
    let tags: Vec<&str> = row["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // What a name that is only a path says is said by the description's first words.
    let path = name.starts_with('/') || name.starts_with("https:");
    let about: String = text("description").chars().take(220).collect();
    let short = path && about.chars().count() <= 60;
    let name = if short { about.clone() } else { name.to_owned() };
    let provided: String = text("provider_description").chars().take(160).collect();
    let dull = [
        "data",
        "search",
        "provenance",
        "api",
        "and",
        "the",
        "with",
        "for",
        "from",
        "of",
        "in",
        "to",
        "a",
        "an",
        "or",
        "by",
        "on",
        "is",
        "per",
        "as",
        "at",
        "plus",
        "including",
        "your",
        "you",
        "all",
    ];
    let known = split(&name);
    // A set of words, so that nothing is left of how its seller put it.
    let set = |texts: &[&str], most: usize| {
        let words = once(texts, 60);
        let telling = |w: &&str| w.len() > 1 && !dull.contains(w) && !known.iter().any(|k| k == w);
        let mut words: Vec<&str> = words.split(' ').filter(telling).take(most).collect();
        words.sort_unstable();
        words.join(" ")
    };
    // A registry's tags are about a whole service, others' about the endpoint.
    let tags = tags.join(" ");
    let (own, service) = match level {
        Level::Curated => (set(&[&about], 16), set(&[&tags, &provided], 16)),
        _ => (set(&[&about, &tags], 22), String::new()),
    };
    let stub = row["quality_note"].as_str().is_some_and(|n| n.contains("stub"));
    Raw {
        url: text("url"),
        method: text("method"),
        name,
        about: String::new(),
        words: own,
        service,
        provider: if provider.is_empty() { text("provider") } else { provider.to_owned() },
        price,
        protocols: protocols.join(" "),
        network: text("network"),
        level,
        flags: if stub { "stub".into() } else { String::new() },
        ..Raw::default()
    }
}
