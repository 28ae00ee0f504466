//! Which running process drives which unfinished purchase.
//!
//! A process holds an exclusive lock on a file of its own. When it dies, the kernel lets go of the lock, and whoever can
//! take it may take over: no process ids, no clocks.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::LedgerError;

/// This process as a driver of purchases.
pub(super) struct Owner {
    pub(super) name: String,
    path: PathBuf,
    _locked: File,
}

fn dir(home: &Path) -> PathBuf {
    home.join("drivers")
}

impl Owner {
    /// Makes and locks this process's file.
    pub(super) fn new(home: &Path) -> Result<Owner, LedgerError> {
        let refused = |e: std::io::Error| LedgerError::Refused(format!("the driver's lock cannot be made: {e}"));
        let dir = dir(home);
        super::schema::secure_home(&dir)?;
        let name = data_encoding::HEXLOWER.encode(&crate::random::<8>());
        let path = dir.join(&name);
        let file = File::create_new(&path).map_err(refused)?;
        file.lock().map_err(refused)?;
        Ok(Owner { name, path, _locked: file })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the process of that name still runs. A missing file is a process that ended; a lock that can be taken is a
/// process that died.
pub(super) fn alive(home: &Path, name: &str) -> bool {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let path = dir(home).join(name);
    let Ok(file) = File::open(&path) else { return false };
    match file.try_lock() {
        Ok(()) => {
            let _ = fs::remove_file(&path);
            false
        }
        Err(_) => true,
    }
}
