//! The operating system's keychain, where this build has it (`--features keychain`).

#[cfg(feature = "keychain")]
mod real {
    use keyring::Entry;

    use crate::secret::Secret;

    const SERVICE: &str = "bursar";
    const ACCOUNT: &str = "evm";

    fn entry() -> Result<Entry, String> {
        Entry::new(SERVICE, ACCOUNT).map_err(|_| "this machine has no keychain that can be used".into())
    }

    /// Reads the key.
    pub fn read() -> Result<Secret, String> {
        // The error could hold what it did not understand.
        entry()?.get_password().map(Secret::new).map_err(|_| "the keychain gives no key: is it unlocked?".into())
    }

    /// Writes the key, unless there is one.
    pub fn write(key: &Secret) -> Result<(), String> {
        let entry = entry()?;
        if !matches!(entry.get_password(), Err(keyring::Error::NoEntry)) {
            return Err("the keychain holds a key of Bursar's already, or does not tell".into());
        }
        entry.set_password(key.expose()).map_err(|_| "the keychain did not take the key".into())
    }
}

#[cfg(not(feature = "keychain"))]
mod real {
    use crate::secret::Secret;

    /// Says that this build has none.
    pub fn read() -> Result<Secret, String> {
        Err("the key is in the keychain, and this build of Bursar has no keychain (cargo feature `keychain`)".into())
    }
}

pub use real::*;
