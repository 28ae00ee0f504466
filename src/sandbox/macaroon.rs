//! Macaroons as sellers mint them: the HMAC-SHA256 chain, in the V1 text and the V2 binary form.

use std::fmt;

use data_encoding::HEXLOWER;

use super::seed::mac;

/// Every macaroon library hashes the root key with this before the chain starts.
const KEY_GENERATOR: &[u8] = b"macaroons-key-generator";

/// The key a seller's tokens are minted under. Whoever has it can mint tokens, so it is never printed.
#[derive(Clone)]
pub struct RootKey([u8; 32]);

impl RootKey {
    /// Takes a key.
    pub fn new(key: [u8; 32]) -> RootKey {
        RootKey(key)
    }

    /// A new key that is kept nowhere.
    pub fn random() -> RootKey {
        RootKey(crate::random())
    }

    /// The key of one token.
    pub(super) fn of(&self, token: &[u8]) -> [u8; 32] {
        mac(&self.0, token)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey([secret])")
    }
}

/// A token with first-party caveats only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Macaroon {
    pub(super) location: String,
    pub(super) identifier: Vec<u8>,
    pub(super) caveats: Vec<String>,
    signature: [u8; 32],
}

impl Macaroon {
    /// Mints a token under a root key.
    pub(super) fn mint(root_key: &[u8], location: &str, identifier: Vec<u8>, caveats: Vec<String>) -> Macaroon {
        let signature = chain(root_key, &identifier, &caveats);
        Macaroon { location: location.to_owned(), identifier, caveats, signature }
    }

    /// Whether it was minted under this root key and not changed since.
    pub(super) fn is_genuine(&self, root_key: &[u8]) -> bool {
        chain(root_key, &self.identifier, &self.caveats) == self.signature
    }

    /// Finds a caveat by its condition, in either spelling of the equals sign.
    pub(super) fn caveat(&self, condition: &str) -> Option<&str> {
        self.caveats.iter().find_map(|c| {
            let (name, value) = c.split_once('=')?;
            (name.trim_end() == condition).then(|| value.trim_start())
        })
    }

    /// The V1 form: text packets, each with its own length in four hex digits.
    pub(super) fn to_v1(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut packet = |name: &str, value: &[u8]| {
            out.extend(format!("{:04x}{name} ", 4 + name.len() + 1 + value.len() + 1).into_bytes());
            out.extend(value);
            out.push(b'\n');
        };
        packet("location", self.location.as_bytes());
        packet("identifier", &self.identifier);
        for caveat in &self.caveats {
            packet("cid", caveat.as_bytes());
        }
        packet("signature", &self.signature);
        out
    }

    /// Reads the V1 form; `None` for anything else.
    pub(super) fn from_v1(mut bytes: &[u8]) -> Option<Macaroon> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let length = HEXLOWER.decode(bytes.get(..4)?).ok()?;
            let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
            let packet = bytes.get(4..length)?.strip_suffix(b"\n")?;
            let space = packet.iter().position(|b| *b == b' ')?;
            fields.push((&packet[..space], &packet[space + 1..]));
            bytes = &bytes[length..];
        }
        let [(b"location", location), (b"identifier", identifier), caveats @ .., (b"signature", signature)] =
            &fields[..]
        else {
            return None;
        };
        let caveats =
            caveats.iter().map(|(name, value)| (*name == b"cid").then(|| text(value))?).collect::<Option<_>>()?;
        Some(Macaroon {
            location: text(location)?,
            identifier: identifier.to_vec(),
            caveats,
            signature: <[u8; 32]>::try_from(*signature).ok()?,
        })
    }

    /// The V2 form: `02 | 01 len location | 02 len identifier | 00 | (02 len caveat | 00)* | 00 | 06 20 signature`.
    pub(super) fn to_v2(&self) -> Vec<u8> {
        let mut out = vec![2];
        field(&mut out, 1, self.location.as_bytes());
        field(&mut out, 2, &self.identifier);
        out.push(0);
        for caveat in &self.caveats {
            field(&mut out, 2, caveat.as_bytes());
            out.push(0);
        }
        out.push(0);
        field(&mut out, 6, &self.signature);
        out
    }

    /// Reads the V2 form; `None` for anything else.
    pub(super) fn from_v2(bytes: &[u8]) -> Option<Macaroon> {
        let mut rest = bytes.strip_prefix(&[2])?;
        let location = if rest.first() == Some(&1) { take(&mut rest, 1)? } else { Vec::new() };
        let identifier = take(&mut rest, 2)?;
        rest = rest.strip_prefix(&[0])?;
        let mut caveats = Vec::new();
        while rest.first() == Some(&2) {
            caveats.push(String::from_utf8(take(&mut rest, 2)?).ok()?);
            rest = rest.strip_prefix(&[0])?;
        }
        rest = rest.strip_prefix(&[0])?;
        let signature = take(&mut rest, 6)?.try_into().ok()?;
        let location = String::from_utf8(location).ok()?;
        rest.is_empty().then_some(Macaroon { location, identifier, caveats, signature })
    }
}

fn chain(root_key: &[u8], identifier: &[u8], caveats: &[String]) -> [u8; 32] {
    let start = mac(&mac(KEY_GENERATOR, root_key), identifier);
    caveats.iter().fold(start, |signature, caveat| mac(&signature, caveat.as_bytes()))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn field(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    let mut length = value.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(value);
}

fn take(rest: &mut &[u8], tag: u8) -> Option<Vec<u8>> {
    let mut bytes = rest.strip_prefix(&[tag])?;
    let mut length = 0usize;
    for shift in [0, 7, 14] {
        let (byte, tail) = bytes.split_first()?;
        bytes = tail;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let value = bytes.get(..length)?.to_vec();
            *rest = &bytes[length..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the macaroons README, which every implementation reproduces.
    fn readme() -> Macaroon {
        let key = b"this is our super secret key; only we should know it";
        Macaroon::mint(key, "http://mybank/", b"we used our secret key".to_vec(), vec!["test = caveat".into()])
    }

    #[test]
    fn the_chain_is_the_one_every_library_computes() {
        assert_eq!(
            HEXLOWER.encode(&readme().signature),
            "197bac7a044af33332865b9266e26d493bdd668a660e44d88ce1a998c23dbd67"
        );
    }

    #[test]
    fn both_forms_survive_a_round_trip() {
        let long = Macaroon::mint(b"k", "", vec![0; 300], vec!["a=b".into(), "c = d".into()]);
        for token in [readme(), long] {
            assert_eq!(Macaroon::from_v1(&token.to_v1()), Some(token.clone()));
            assert_eq!(Macaroon::from_v2(&token.to_v2()), Some(token));
        }
    }

    #[test]
    fn a_changed_caveat_or_another_key_is_not_genuine() {
        let mut token = Macaroon::mint(b"k", "l", b"id".to_vec(), vec!["expires_at = 5".into()]);
        assert!(token.is_genuine(b"k") && !token.is_genuine(b"other"));
        assert_eq!(token.caveat("expires_at"), Some("5"));
        token.caveats[0] = "expires_at = 6".into();
        assert!(!token.is_genuine(b"k"));
    }

    #[test]
    fn no_cut_of_a_token_panics_or_reads() {
        let (v1, v2) = (readme().to_v1(), readme().to_v2());
        for end in 0..v1.len() {
            assert_eq!(Macaroon::from_v1(&v1[..end]), None);
        }
        for end in 0..v2.len() {
            assert_eq!(Macaroon::from_v2(&v2[..end]), None);
        }
        assert_eq!(Macaroon::from_v1(b"0001x y\n"), None);
    }
}
