//! The 32 bytes that every key of a sandbox comes from.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use bitcoin::secp256k1::SecretKey;
use data_encoding::HEXLOWER;
use ring::hmac;
use zeroize::Zeroizing;

/// A sandbox's root secret: play money only, and yet treated as a secret, because habits are.
pub(super) struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// A new one that is kept nowhere.
    pub(super) fn random() -> Seed {
        Seed(Zeroizing::new(crate::random()))
    }

    /// The one kept in `home/sandbox.seed` (64 hex digits, mode 0600), made at the first start.
    pub(super) fn kept_in(home: &Path) -> io::Result<Seed> {
        fs::create_dir_all(home)?;
        let path = home.join("sandbox.seed");
        match fs::read(&path) {
            Ok(text) => {
                let bytes = HEXLOWER.decode(text.trim_ascii()).ok().and_then(|b| <[u8; 32]>::try_from(b).ok());
                bytes.map(|b| Seed(Zeroizing::new(b))).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("{} is not 64 hex digits", path.display()))
                })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let seed = Seed::random();
                let mut options = fs::OpenOptions::new();
                options.write(true).create_new(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                options.open(&path)?.write_all(HEXLOWER.encode(&*seed.0).as_bytes())?;
                Ok(seed)
            }
            Err(e) => Err(e),
        }
    }

    /// A key of its own for each purpose.
    pub(super) fn derive(&self, purpose: &str) -> [u8; 32] {
        mac(&*self.0, purpose.as_bytes())
    }

    /// A key of secp256k1 for a purpose.
    pub(super) fn evm_key(&self, purpose: &str) -> SecretKey {
        let mut bytes = self.derive(purpose);
        loop {
            // Nearly every 32 bytes are a key; the few that are not are hashed again.
            if let Ok(key) = SecretKey::from_slice(&bytes) {
                return key;
            }
            bytes = crate::sha256(&bytes);
        }
    }
}

/// HMAC-SHA256.
pub(super) fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_gives_the_same_keys_after_a_restart_and_hides_them_from_others() {
        let home = tempfile::tempdir().unwrap();
        let first = Seed::kept_in(home.path()).unwrap().derive("wallet");
        assert_eq!(Seed::kept_in(home.path()).unwrap().derive("wallet"), first);
        assert_ne!(Seed::random().derive("wallet"), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(home.path().join("sandbox.seed")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_seed_is_an_error_and_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("sandbox.seed"), "zz").unwrap();
        assert!(Seed::kept_in(home.path()).is_err());
        assert_eq!(fs::read(home.path().join("sandbox.seed")).unwrap(), b"zz");
    }
}
