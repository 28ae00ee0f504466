//! The answers' bodies: files of mode 0600 in `results/`, named by their id, written before W3.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

use super::{kind, tokens};
use crate::{
    http::Answer,
    ledger::StoredResult,
    protocol::{Credential, text::clean},
};

/// What a seller answered.
#[derive(Clone, Debug)]
pub struct Body {
    /// The row that names it.
    pub row: StoredResult,
    /// The bytes, as far as they were kept.
    pub bytes: Vec<u8>,
    /// Where a redirect pointed that was not followed.
    pub moved: Option<String>,
    /// Whether it can be read again by its id.
    pub kept: bool,
    /// What its headers say that a caller can act on. Not kept with it.
    pub headers: Vec<(&'static str, String)>,
}

/// The headers that a caller can act on: where the rest is, whether it changed, when to come back.
const TELLING: [&str; 9] = [
    "etag",
    "last-modified",
    "content-range",
    "content-disposition",
    "location",
    "link",
    "retry-after",
    "allow",
    "x-total-count",
];

/// Not shortened here: a secret in them is masked first.
fn telling(answer: &Answer) -> Vec<(&'static str, String)> {
    let length = ["content-length"].into_iter().filter(|_| answer.body.is_empty());
    let told = TELLING.into_iter().chain(length).filter_map(|name| {
        let value = answer.headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        Some((name, value.filter(|value| !value.is_empty() && value != "0")?))
    });
    // Where an answer points that was not followed stands in our own sentence.
    told.filter(|(name, _)| *name != "location" || answer.moved.is_none()).collect()
}

impl Body {
    /// Whether an answer that was free must be kept all the same: it may not fit into one page, or it is no text.
    pub fn wants_keeping(&self) -> bool {
        kind::of(&self.bytes).is_some()
            || std::str::from_utf8(&self.bytes).map_or(true, |text| {
                // Half, since headers and what is not shown count otherwise there.
                text.contains('\0') || tokens::leading(text, tokens::PAGE / 2).len() < text.len()
            })
    }
}

impl Body {
    /// Masks what this request was unlocked with, where a seller says it back: an answer is shown to models and kept in
    /// files, and a credential is not.
    pub(super) fn mask(&mut self, credential: &Credential) {
        let bytes = credential.hide_bytes(&self.bytes);
        if bytes != self.bytes {
            self.bytes = bytes;
            self.row.size = self.bytes.len() as u64;
            self.row.sha256 = HEXLOWER.encode(&crate::sha256(&self.bytes));
        }
        for to in self.moved.iter_mut().chain(self.headers.iter_mut().map(|(_, value)| value)) {
            *to = credential.hide(to);
        }
    }
}

/// The directory of stored answers.
#[derive(Clone, Debug)]
pub struct Results(PathBuf);

/// The id of an answer that no purchase names.
pub fn free_id() -> String {
    format!("r_{}", data_encoding::BASE32_NOPAD.encode(&crate::random::<16>()).to_ascii_lowercase())
}

/// Whether a text can be the id of a stored answer; it becomes a file's name.
pub fn is_id(text: &str) -> bool {
    text.len() == 28
        && (text.starts_with("p_") || text.starts_with("r_"))
        && text[2..].bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

impl Results {
    /// The directory in a home. Nothing is made yet.
    pub fn new(home: &Path) -> Results {
        Results(home.join("results"))
    }

    /// Turns an answer into a body with its row. Nothing is written.
    pub fn body(id: String, answer: &Answer, now_ms: u64) -> Body {
        let kind = answer.headers.get(http::header::CONTENT_TYPE).map(|v| String::from_utf8_lossy(v.as_bytes()));
        let mut url = answer.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        let row = StoredResult {
            result_id: id,
            url: url.to_string(),
            status: answer.status,
            content_type: clean(&kind.unwrap_or_default(), 100),
            size: answer.body.len() as u64,
            sha256: HEXLOWER.encode(&crate::sha256(&answer.body)),
            cut: answer.cut,
            created_ms: now_ms as i64,
            gone_ms: None,
        };
        Body {
            row,
            bytes: answer.body.to_vec(),
            moved: answer.moved.as_ref().map(ToString::to_string),
            kept: false,
            headers: telling(answer),
        }
    }

    /// Writes a body and waits until it is on disk.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, body: &Body) -> std::io::Result<()> {
        crate::ledger::secure_home(&self.0).map_err(std::io::Error::other)?;
        let path = self.0.join(&body.row.result_id);
        let new = self.0.join(format!("{}.new", body.row.result_id));
        let mut make = fs::OpenOptions::new();
        make.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut make, 0o600);
        let mut file = make.open(&new)?;
        file.write_all(&body.bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    }

    /// Reads a body back and checks it against its row. `None` when it has gone or is not what was stored.
    ///
    /// # Errors
    /// The file may still be there and cannot be read just now: too many are open, say. That is no reason to buy it again.
    pub fn read(&self, row: StoredResult) -> std::io::Result<Option<Body>> {
        if !is_id(&row.result_id) || row.gone_ms.is_some() {
            return Ok(None);
        }
        let bytes = match fs::read(self.0.join(&row.result_id)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let same = HEXLOWER.encode(&crate::sha256(&bytes)) == row.sha256;
        Ok(same.then_some(Body { row, bytes, moved: None, kept: true, headers: Vec::new() }))
    }

    /// Removes bodies that the ledger marked as gone.
    pub fn remove(&self, ids: &[String]) {
        for id in ids.iter().filter(|id| is_id(id)) {
            let _ = fs::remove_file(self.0.join(id));
        }
    }
}
