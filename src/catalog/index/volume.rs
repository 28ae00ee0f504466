//! One catalogue as it is kept: the one that comes with the program, and the snapshots that were fetched. Lines of JSON,
//! the first of which says where the others come from and when.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

use super::{admit::Dropped, listing::Listing};

/// The name of the catalogue that comes with the program.
pub const BUNDLED: &str = "bundled";

/// Its bytes; `cargo run --example catalog` makes them.
const BYTES: &[u8] = include_bytes!("../../../data/bundled.jsonl.gz");

/// The most listings that are read of one catalogue, and the longest of its lines.
pub const MOST: usize = 10_000;
const MOST_BYTES: u64 = 16 << 20;

/// Where a catalogue's listings come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Its name: `bundled`, `402index`.
    pub name: String,
    /// Each source of its listings, and the day of its facts.
    pub sources: Vec<SourceNote>,
    /// How many were left out, and why.
    pub dropped: BTreeMap<Dropped, usize>,
    /// Where it was fetched; empty when it came with the program.
    pub url: String,
    /// What the server called this state of it.
    pub etag: String,
    /// When it was fetched, unix milliseconds.
    pub fetched_ms: u64,
}

/// A source and the day of its facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceNote {
    /// Its name.
    pub name: String,
    /// The day, `2026-08-21`.
    pub as_of: String,
}

/// A catalogue, read.
#[derive(Clone, Debug, Default)]
pub struct Volume {
    /// Where it comes from.
    pub header: Header,
    /// What it lists.
    pub listings: Vec<Listing>,
}

impl Volume {
    /// The catalogue that comes with the program.
    ///
    /// # Errors
    /// The program is broken.
    pub fn bundled() -> io::Result<Volume> {
        Volume::read(GzDecoder::new(BYTES))
    }

    /// Reads lines. One that cannot be read is left out.
    ///
    /// # Errors
    /// The first line is not a header, or the bytes cannot be read.
    pub fn read(bytes: impl Read) -> io::Result<Volume> {
        let mut lines = BufReader::with_capacity(1 << 16, bytes.take(MOST_BYTES)).lines();
        let first = lines.next().ok_or(io::ErrorKind::UnexpectedEof)??;
        let header: Header = serde_json::from_str(&first).map_err(io::Error::other)?;
        let mut listings = Vec::new();
        for line in lines.take(MOST) {
            listings.extend(serde_json::from_str::<Listing>(&line?).ok());
        }
        Ok(Volume { header, listings })
    }

    /// The packs of bundled sellers at other addresses, each a host and where its replica on this machine is. What they
    /// take on a chain, the replicas take on `network`.
    ///
    /// # Errors
    /// The program is broken.
    pub fn replicas(of: &[(&str, &str)], network: &str) -> io::Result<Volume> {
        let mut volume = Volume::bundled()?;
        volume.listings.retain_mut(|listing| {
            let host = listing.host();
            let Some((_, at)) = of.iter().find(|(real, _)| *real == host) else { return false };
            listing.url = listing.url.replacen(&format!("https://{host}"), at.trim_end_matches('/'), 1);
            if listing.network.starts_with("eip155:") {
                network.clone_into(&mut listing.network);
            }
            listing.source = 0;
            true
        });
        volume.header.name = "sandbox".into();
        volume.header.sources.truncate(1);
        if let Some(source) = volume.header.sources.first_mut() {
            source.name = "replicas".into();
        }
        volume.header.dropped.clear();
        Ok(volume)
    }

    /// Its lines.
    pub fn to_lines(&self) -> String {
        let mut text = serde_json::to_string(&self.header).unwrap_or_default();
        for listing in &self.listings {
            text.push('\n');
            text.push_str(&serde_json::to_string(listing).unwrap_or_default());
        }
        text.push('\n');
        text
    }
}

/// The folder of what is kept of catalogues.
pub fn folder(home: &Path) -> PathBuf {
    home.join("catalog")
}

/// The snapshot of a source.
pub fn snapshot(home: &Path, source: &str) -> PathBuf {
    folder(home).join(format!("{source}.jsonl"))
}

/// The snapshots there are, in the order of their names.
pub fn snapshots(home: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(home)).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "jsonl")).collect();
    found.sort();
    found.truncate(16);
    found
}

/// Writes a snapshot: all of it or nothing, readable by its owner alone.
///
/// # Errors
/// The disk.
pub fn keep(home: &Path, source: &str, volume: &Volume) -> io::Result<()> {
    make_folder(home)?;
    let path = snapshot(home, source);
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&fresh, volume.to_lines())?;
    std::fs::rename(&fresh, &path)
}

/// Makes the folder, for its owner alone.
///
/// # Errors
/// The disk.
pub fn make_folder(home: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder(home))
}

/// What changes whenever the bundled catalogue does, or how an index is made of it.
pub fn stamp_of(gz: &[u8]) -> String {
    // A gzip file ends with the checksum of what is in it.
    let tail = &gz[gz.len().saturating_sub(8)..];
    format!("8 {}", data_encoding::HEXLOWER.encode(tail))
}

/// What changes whenever anything that the index of a home is made of does.
pub fn stamp(home: &Path) -> String {
    let mut stamp = stamp_of(BYTES);
    for path in snapshots(home) {
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        let changed = meta.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        stamp.push_str(&format!(" {name} {} {}", meta.len(), changed.map_or(0, |d| d.as_nanos())));
    }
    stamp
}
