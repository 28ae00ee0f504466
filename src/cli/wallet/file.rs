//! Writing what only its owner may read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use crate::{cli::Failure, secret::Secret};

/// Writes a file of mode 0600, whole or not at all: it is written beside its place and moved there.
pub(super) fn write_secret(path: &Path, text: &Secret) -> Result<(), Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    let written = (|| {
        // A file that an interrupted run left there may be open to others.
        match fs::remove_file(beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut make = OpenOptions::new();
        make.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut make, 0o600);
        let mut file = make.open(beside)?;
        file.write_all(text.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(beside, path)
    })();
    written.map_err(|e| Failure::new(format!("{} cannot be written: {e}", path.display())))
}

/// Writes a file of mode 0600 where there is none: what stands there may be the only key to somebody's money. It is on
/// disk, with its name, before this returns.
pub(super) fn write_new_secret(path: &Path, text: &Secret) -> Result<(), Failure> {
    let written = (|| {
        let mut make = OpenOptions::new();
        make.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut make, 0o600);
        let mut file = make.open(path)?;
        file.write_all(text.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        #[cfg(unix)]
        if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    })();
    written.map_err(|e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(format!(
            "{} is there already, and it was not touched: it may be the only key to some money",
            path.display()
        )),
        _ => Failure::new(format!("{} cannot be written: {e}", path.display())),
    })
}
