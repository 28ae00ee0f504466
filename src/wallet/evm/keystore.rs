//! A V3 keystore ("Web3 Secret Storage"): a private key under a passphrase, as geth, MetaMask and Foundry write it.
//!
//! The file says itself how much work and memory opening it takes, so what it asks for is bounded first.

use std::num::NonZeroU32;

use aes::{
    Aes128,
    cipher::{BlockEncrypt, KeyInit},
};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::pbkdf2;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    evm::{Address, keccak256},
    secret::Secret,
};

/// The most that a file may ask of scrypt: `n * r`, of which each costs 128 bytes (256 MiB: geth's own default), and
/// `n * r * p`, which is the work (four times geth's own).
const MAX_MEMORY: u64 = 1 << 21;
const MAX_WORK: u64 = 1 << 23;

/// The most rounds a file may ask of PBKDF2 (geth's own is 262,144).
const MAX_ROUNDS: u32 = 10_000_000;

/// What scrypt costs in the files we write: 128 MiB, half of geth's, since a server opens it at each start.
const OUR_LOG_N: u8 = 17;
const OUR_R: u32 = 8;

/// Why a keystore gives no key. No variant holds anything of the file or the passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeystore {
    /// It is not one.
    #[error("it is not a V3 keystore")]
    Shape,
    /// It asks for a cipher or a derivation that we do not have.
    #[error("its cipher is not aes-128-ctr, or its kdf neither scrypt nor pbkdf2 with hmac-sha256")]
    Unknown,
    /// It asks for more than a keystore needs.
    #[error("opening it would take far more memory or time than any wallet's own keystores")]
    TooMuch,
    /// The passphrase does not fit.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// It says that it is another account's.
    #[error("the key in it is not the key of the address that it names")]
    OtherAddress,
}

#[derive(Deserialize)]
struct File {
    version: u64,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    address: Option<String>,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
struct KdfParams {
    dklen: u64,
    salt: String,
    n: Option<u64>,
    r: Option<u32>,
    p: Option<u32>,
    c: Option<u32>,
    prf: Option<String>,
}

/// The address that a keystore names, without opening it: the file's own claim.
pub(super) fn claimed(text: &Secret) -> Option<Address> {
    let file: File = serde_json::from_str(text.expose()).ok()?;
    address(&file)
}

fn address(file: &File) -> Option<Address> {
    let digits = file.address.as_deref()?;
    format!("0x{}", digits.trim_start_matches("0x")).parse().ok()
}

/// Opens a keystore: the 32 bytes of the key, and the address that the file says they belong to, unchecked.
///
/// # Errors
/// [`BadKeystore`].
pub(super) fn open(text: &Secret, passphrase: &Secret) -> Result<(Zeroizing<[u8; 32]>, Option<Address>), BadKeystore> {
    let file: File = serde_json::from_str(text.expose()).map_err(|_| BadKeystore::Shape)?;
    if file.version != 3 {
        return Err(BadKeystore::Shape);
    }
    let crypto = &file.crypto;
    if crypto.cipher != "aes-128-ctr" {
        return Err(BadKeystore::Unknown);
    }
    let iv = hex::<16>(&crypto.cipherparams.iv)?;
    let sealed = hex::<32>(&crypto.ciphertext)?;
    let mac = hex::<32>(&crypto.mac)?;
    let derived = derive(&crypto.kdf, &crypto.kdfparams, passphrase)?;
    if keccak256(&[&derived[16..], &sealed[..]].concat()) != mac {
        return Err(BadKeystore::Passphrase);
    }
    let mut key = Zeroizing::new(sealed);
    aes_128_ctr(&derived, iv, &mut key);
    let address = address(&file);
    Ok((key, address))
}

fn derive(kdf: &str, params: &KdfParams, passphrase: &Secret) -> Result<Zeroizing<[u8; 32]>, BadKeystore> {
    let salt = data(&params.salt).filter(|salt| salt.len() <= 256).ok_or(BadKeystore::Shape)?;
    // Longer ones begin with the same bytes, and no more are used.
    if !(32..=1024).contains(&params.dklen) {
        return Err(BadKeystore::Shape);
    }
    let mut out = Zeroizing::new([0; 32]);
    match kdf {
        "scrypt" => {
            let (n, r, p) = (params.n.ok_or(BadKeystore::Shape)?, params.r, params.p);
            let (r, p) = (r.ok_or(BadKeystore::Shape)?, p.ok_or(BadKeystore::Shape)?);
            let memory = n.checked_mul(r.into()).ok_or(BadKeystore::TooMuch)?;
            let work = memory.checked_mul(p.into()).ok_or(BadKeystore::TooMuch)?;
            if memory > MAX_MEMORY || work > MAX_WORK {
                return Err(BadKeystore::TooMuch);
            }
            if !n.is_power_of_two() || n < 2 {
                return Err(BadKeystore::Shape);
            }
            let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| BadKeystore::Shape)?;
            let params = scrypt::Params::new(log_n, r, p).map_err(|_| BadKeystore::Shape)?;
            scrypt::scrypt(passphrase.expose().as_bytes(), &salt, &params, &mut *out)
                .map_err(|_| BadKeystore::Shape)?;
        }
        "pbkdf2" if params.prf.as_deref() == Some("hmac-sha256") => {
            let rounds = params.c.and_then(NonZeroU32::new).ok_or(BadKeystore::Shape)?;
            if rounds.get() > MAX_ROUNDS {
                return Err(BadKeystore::TooMuch);
            }
            let passphrase = passphrase.expose().as_bytes();
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, passphrase, &mut *out);
        }
        _ => return Err(BadKeystore::Unknown),
    }
    Ok(out)
}

/// Writes a keystore of a key under a passphrase.
pub(super) fn seal(key: &[u8; 32], address: &Address, passphrase: &Secret) -> Secret {
    let (salt, iv) = (crate::random::<32>(), crate::random::<16>());
    let n = 1u64 << OUR_LOG_N;
    let kdfparams = json!({ "dklen": 32, "n": n, "r": OUR_R, "p": 1, "salt": HEXLOWER.encode(&salt) });
    let mut derived = Zeroizing::new([0; 32]);
    let params = scrypt::Params::new(OUR_LOG_N, OUR_R, 1).expect("our own parameters are in order");
    scrypt::scrypt(passphrase.expose().as_bytes(), &salt, &params, &mut *derived).expect("32 bytes can be derived");
    let mut sealed = *key;
    aes_128_ctr(&derived, iv, &mut sealed);
    let mac = keccak256(&[&derived[16..], &sealed[..]].concat());
    let mut id = crate::random::<16>();
    (id[6], id[8]) = (id[6] & 0x0f | 0x40, id[8] & 0x3f | 0x80);
    let id = HEXLOWER.encode(&id);
    let file = json!({
        "version": 3,
        "id": format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]),
        "address": HEXLOWER.encode(&address.0),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": HEXLOWER.encode(&iv) },
            "ciphertext": HEXLOWER.encode(&sealed),
            "kdf": "scrypt",
            "kdfparams": kdfparams,
            "mac": HEXLOWER.encode(&mac),
        },
    });
    Secret::new(file.to_string())
}

/// Encrypts or decrypts in place with the first 16 bytes of `key`. The counter is the whole block, big-endian.
fn aes_128_ctr(key: &[u8; 32], iv: [u8; 16], bytes: &mut [u8; 32]) {
    let mut short = Zeroizing::new([0u8; 16]);
    short.copy_from_slice(&key[..16]);
    let cipher = Aes128::new((&*short).into());
    let mut counter = u128::from_be_bytes(iv);
    for part in bytes.chunks_mut(16) {
        let mut block = Zeroizing::new(counter.to_be_bytes());
        cipher.encrypt_block((&mut *block).into());
        part.iter_mut().zip(block.iter()).for_each(|(byte, mask)| *byte ^= mask);
        counter = counter.wrapping_add(1);
    }
}

fn data(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.strip_prefix("0x").unwrap_or(text).as_bytes()).ok()
}

fn hex<const N: usize>(text: &str) -> Result<[u8; N], BadKeystore> {
    data(text).and_then(|bytes| bytes.try_into().ok()).ok_or(BadKeystore::Shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

    /// The two vectors of the format's definition (Ethereum wiki, "Web3 Secret Storage Definition").
    const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":
        {"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    const SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext":"d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c","kdf":"scrypt","kdfparams":
        {"dklen":32,"n":262144,"p":8,"r":1,"salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
        "mac":"2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

    fn opened(text: &str, passphrase: &str) -> Result<String, BadKeystore> {
        open(&Secret::new(text), &Secret::new(passphrase)).map(|(key, _)| HEXLOWER.encode(&*key))
    }

    #[test]
    fn the_formats_own_vectors_open_with_their_passphrase_and_no_other() {
        for text in [PBKDF2, SCRYPT] {
            assert_eq!(opened(text, "testpassword"), Ok(KEY.to_owned()));
        }
        assert_eq!(opened(PBKDF2, "testpassword "), Err(BadKeystore::Passphrase));
        assert_eq!(opened(&PBKDF2.replace("\"crypto\"", "\"Crypto\""), "testpassword"), Ok(KEY.to_owned()));
    }

    #[test]
    fn a_file_that_asks_for_the_machines_memory_or_a_day_of_work_is_refused_at_once() {
        for (from, to) in [
            ("\"n\":262144", "\"n\":1073741824"),
            ("\"n\":262144", "\"n\":9223372036854775808"),
            ("\"r\":1", "\"r\":4294967295"),
            ("\"p\":8", "\"p\":4294967295"),
            ("\"p\":8", "\"p\":1000"),
        ] {
            assert_eq!(opened(&SCRYPT.replace(from, to), "testpassword"), Err(BadKeystore::TooMuch), "{to}");
        }
        let many = PBKDF2.replace("\"c\":262144", "\"c\":4294967295");
        assert_eq!(opened(&many, "testpassword"), Err(BadKeystore::TooMuch));
    }

    #[test]
    fn a_file_of_another_shape_is_refused_with_a_reason_and_without_a_panic() {
        use BadKeystore::{Passphrase, Shape, Unknown};
        for (from, to, why) in [
            ("\"version\":3", "\"version\":4", Shape),
            ("aes-128-ctr", "aes-128-cbc", Unknown),
            ("\"kdf\":\"scrypt\"", "\"kdf\":\"argon2\"", Unknown),
            ("\"n\":262144", "\"n\":262143", Shape),
            ("\"n\":262144", "\"n\":0", Shape),
            ("\"r\":1", "\"r\":0", Shape),
            ("\"p\":8", "\"p\":0", Shape),
            ("\"dklen\":32", "\"dklen\":16", Shape),
            ("\"iv\":\"83", "\"iv\":\"", Shape),
            ("\"ciphertext\":\"d1", "\"ciphertext\":\"", Shape),
            ("\"mac\":\"21", "\"mac\":\"zz", Shape),
            ("\"mac\":\"21", "\"mac\":\"22", Passphrase),
        ] {
            let text = SCRYPT.replace(from, to).replace("\"n\":262144", "\"n\":1024");
            assert_eq!(opened(&text, "testpassword"), Err(why), "{to}");
        }
        assert_eq!(opened("{}", ""), Err(Shape));
        assert_eq!(opened(&PBKDF2.replace("hmac-sha256", "hmac-sha512"), ""), Err(Unknown));
    }

    #[test]
    fn what_is_sealed_opens_again_and_names_its_address() {
        let (key, address) = ([7; 32], Address([9; 20]));
        let (text, passphrase) = (seal(&key, &address, &Secret::new("a b")), Secret::new("a b"));
        assert!(!text.expose().contains(&HEXLOWER.encode(&key)));
        assert_eq!(claimed(&text), Some(address));
        assert_eq!(open(&text, &passphrase), Ok((Zeroizing::new(key), Some(address))));
        assert_eq!(open(&text, &Secret::new("a")), Err(BadKeystore::Passphrase));
    }
}
