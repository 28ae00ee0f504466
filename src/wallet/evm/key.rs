//! The key: where it comes from, what is derived from it, and what it signs. Nothing else ever sees it.

use std::fmt;

use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::hmac;
use zeroize::Zeroizing;

use super::keystore;
use crate::{
    config::{EvmConfig, EvmKey},
    evm::{
        Address,
        assets::Token,
        eip3009::{Authorization, Signed, address_of},
        permit2, tempo,
    },
    secret::Secret,
    wallet::WalletError,
};

/// What the nonces' own key is derived with: it can sign nothing.
const NONCES: &[u8] = b"bursar eip3009 nonce 1";

/// The first word of a key file that says: the key is in the operating system's keychain. The address may follow.
pub const IN_KEYCHAIN: &str = "keychain";

/// A private key and its account.
#[derive(Clone)]
pub struct Key {
    secret: SecretKey,
    nonces: hmac::Key,
    address: Address,
}

impl Key {
    /// Makes a new one.
    pub fn generate() -> Key {
        loop {
            // One in 2^128 is none.
            if let Some(key) = Key::of_bytes(&Zeroizing::new(crate::random::<32>())) {
                return key;
            }
        }
    }

    /// Reads 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// [`WalletError::Setup`], which quotes nothing of the text.
    pub fn read(text: &Secret) -> Result<Key, WalletError> {
        let text = text.expose().trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map(Zeroizing::new).ok();
        let bytes: Option<Zeroizing<[u8; 32]>> =
            bytes.and_then(|b| <[u8; 32]>::try_from(&b[..]).ok()).map(Zeroizing::new);
        bytes.and_then(|bytes| Key::of_bytes(&bytes)).ok_or_else(|| {
            WalletError::Setup("what stands there is not a private key: it should be 64 hex digits".into())
        })
    }

    /// Makes the key of what the operator set up: reads it, opens the keystore, or asks the keychain.
    ///
    /// # Errors
    /// [`WalletError::Setup`] with a sentence that says where and how to mend it, and quotes no secret.
    pub fn unlock(found: &EvmKey, config: &EvmConfig) -> Result<Key, WalletError> {
        let setup = |say: String| WalletError::Setup(format!("{}: {say}", found.from));
        if in_keychain(&found.text) {
            let key = Key::read(&super::keychain::read().map_err(setup)?)?;
            return match super::claimed_address(&found.text) {
                Some(named) if named != key.address => {
                    Err(setup("the key in the keychain is not the key of the address that stands here".into()))
                }
                _ => Ok(key),
            };
        }
        if !is_keystore(&found.text) {
            return Key::read(&found.text).map_err(|e| setup(e.to_string()));
        }
        let passphrase = config.read_passphrase().map_err(|e| WalletError::Setup(e.to_string()))?.ok_or_else(|| {
            setup(
                "it is a keystore, and there is nobody to ask for its passphrase: name a file with the passphrase \
                 (mode 600) in BURSAR_EVM_PASSPHRASE_FILE"
                    .into(),
            )
        })?;
        let (bytes, named) = keystore::open(&found.text, &passphrase).map_err(|bad| setup(bad.to_string()))?;
        let key = Key::of_bytes(&bytes).ok_or_else(|| setup(keystore::BadKeystore::Shape.to_string()))?;
        match named {
            Some(named) if named != key.address => Err(setup(keystore::BadKeystore::OtherAddress.to_string())),
            _ => Ok(key),
        }
    }

    fn of_bytes(bytes: &Zeroizing<[u8; 32]>) -> Option<Key> {
        let secret = SecretKey::from_slice(&bytes[..]).ok()?;
        let address = address_of(&PublicKey::from_secret_key(&Secp256k1::signing_only(), &secret));
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes[..]), NONCES);
        Some(Key { secret, nonces: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), address })
    }

    /// Its account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The text of a plain key file: 64 hex digits. Secret.
    pub fn file(&self) -> Secret {
        Secret::new(HEXLOWER.encode(&*Zeroizing::new(self.secret.secret_bytes())))
    }

    /// The text of a keystore file under a passphrase. Secret. Takes half a second.
    pub fn keystore(&self, passphrase: &Secret) -> Secret {
        keystore::seal(&Zeroizing::new(self.secret.secret_bytes()), &self.address, passphrase)
    }

    /// The nonce of a transfer: the same for the same transfer of the same purchase, and never one for another. What a
    /// lost ledger signs again is what the token has already seen.
    pub(super) fn nonce(&self, token: &Token, seed: &[u8], to: &Address, value: u64) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&self.nonces);
        // Each purchase has one authorization; the last part leaves room for more.
        let parts: [&[u8]; 6] =
            [&token.chain_id.to_be_bytes(), &token.address.0, seed, &to.0, &value.to_be_bytes(), &0u32.to_be_bytes()];
        for part in parts {
            // With its length, so that no two lists of parts read the same.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut nonce = [0; 32];
        nonce.copy_from_slice(mac.sign().as_ref());
        nonce
    }

    pub(super) fn sign(&self, authorization: Authorization, token: &Token) -> Signed {
        authorization.sign(token, &self.secret)
    }

    pub(super) fn sign_for_tempo(&self, ask: &tempo::Ask, valid_before: u64) -> tempo::Signed {
        ask.sign(valid_before, &self.secret)
    }

    pub(super) fn sign_permit(&self, permit: permit2::Permit, chain_id: u64) -> permit2::Signed {
        permit.sign(chain_id, &self.secret)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, [secret])", self.address)
    }
}

/// Whether a key file's text is a keystore, which needs a passphrase.
pub fn is_keystore(text: &Secret) -> bool {
    text.expose().trim_start().starts_with('{')
}

/// Whether a key file's text says that the key is in the keychain.
pub fn in_keychain(text: &Secret) -> bool {
    text.expose().split_whitespace().next() == Some(IN_KEYCHAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_key_is_sixty_four_hex_digits_of_a_number_on_the_curve() {
        for text in [CANARY.to_owned(), format!("0x{CANARY}"), CANARY.to_uppercase(), format!(" {CANARY}\n")] {
            let key = Key::read(&Secret::new(text)).unwrap();
            assert_eq!(key.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
            assert_eq!(key.file().expose(), CANARY);
        }
        for bad in ["", "0x", &CANARY[2..], &"00".repeat(32), &"ff".repeat(32), &CANARY.replace('a', "g")] {
            let e = Key::read(&Secret::new(bad)).unwrap_err().to_string();
            assert!(e.contains("64 hex digits"), "{e}");
            assert!(bad.len() < 8 || !e.contains(bad), "{e}");
        }
        assert_ne!(Key::generate().address(), Key::generate().address());
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = Key::read(&Secret::new(CANARY)).unwrap();
        assert_eq!(format!("{key:?}"), "Key(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266, [secret])");
    }

    #[test]
    fn a_nonce_is_the_same_for_the_same_purchase_and_another_for_anything_else() {
        let key = Key::read(&Secret::new(CANARY)).unwrap();
        let token =
            |chain_id, byte| Token { chain_id, address: Address([byte; 20]), name: "T".into(), version: "2".into() };
        let (t, to) = (token(8453, 1), Address([2; 20]));
        let all = [
            key.nonce(&t, b"seed", &to, 5),
            key.nonce(&token(84532, 1), b"seed", &to, 5),
            key.nonce(&token(8453, 2), b"seed", &to, 5),
            key.nonce(&t, b"seed2", &to, 5),
            key.nonce(&t, b"", &to, 5),
            key.nonce(&t, b"seed", &Address([3; 20]), 5),
            key.nonce(&t, b"seed", &to, 6),
            Key::generate().nonce(&t, b"seed", &to, 5),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
        }
        let again = Key::read(&Secret::new(CANARY)).unwrap();
        assert_eq!(all[0], again.nonce(&t, b"seed", &to, 5), "another process must sign the same nonce");
        // Held in place: a change of the derivation would let a lost ledger pay twice.
        let pinned = "0x88ddfe286d4ce69088f839dc9b0527c058eb9d8954b7d8659db482c9aaa54a91";
        assert_eq!(crate::evm::hex(&all[0]), pinned);
    }
}
