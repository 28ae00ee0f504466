//! Macaroons, read just far enough to see what they commit to. Nothing can be verified: the key is the seller's.
//!
//! Binary version 2, as Go's `macaroon.v2` and pymacaroons write it (the L402 repository's own page has the field
//! numbers wrong): `02 | [01 len location] | 02 len identifier | 00 | { [01 len location] | 02 len caveat |
//! [04 len vid] | 00 }* | 00 | 06 20 signature`. Version 1: packets of four hex digits of length, a key, a space, the
//! data, a line feed.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};

/// The longest macaroon that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;

/// The most caveats that are read.
const MAX_CAVEATS: usize = 256;

/// What a macaroon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macaroon {
    /// Its identifier, raw.
    pub identifier: Vec<u8>,
    /// Its caveats' identifiers, raw, in their order.
    pub caveats: Vec<Vec<u8>>,
}

/// Why bytes are not a macaroon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMacaroon {
    /// Neither of the two formats.
    #[error("it is no macaroon of version 1 or 2")]
    Foreign,
    /// It ends inside a field.
    #[error("it is cut short")]
    Truncated,
    /// More bytes or more caveats than are read.
    #[error("it is too large")]
    TooLarge,
    /// A field in a wrong place, of a wrong length or behind the end.
    #[error("its fields are out of order")]
    Malformed,
}

/// What a macaroon's identifier turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// L402's version 0: two zero bytes, the payment hash, 32 bytes of token id; 66 bytes, or their hex digits.
    V0([u8; 32]),
    /// The same length with a version we do not know, so that nothing in it has a known meaning.
    Version(u16),
    /// 32 bytes and nothing else, in binary (perhaps behind `0xff`) or as 64 hex digits: a payment hash by custom.
    Bare([u8; 32]),
    /// Anything else.
    Other,
}

impl Macaroon {
    /// Reads a macaroon of either version.
    ///
    /// # Errors
    /// [`BadMacaroon`], never a panic.
    pub fn read(bytes: &[u8]) -> Result<Macaroon, BadMacaroon> {
        if bytes.len() > MAX_BYTES {
            return Err(BadMacaroon::TooLarge);
        }
        match bytes.split_first() {
            Some((2, rest)) => read_v2(rest),
            Some((b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', _)) => read_v1(bytes),
            _ => Err(BadMacaroon::Foreign),
        }
    }

    /// Reads the macaroon that a token is, in hex or in any base64.
    ///
    /// # Errors
    /// [`BadMacaroon`]; a token in no such encoding is [`BadMacaroon::Foreign`].
    pub fn from_token(token: &str) -> Result<Macaroon, BadMacaroon> {
        let hex = HEXLOWER_PERMISSIVE.decode(token.as_bytes()).ok().and_then(|bytes| Macaroon::read(&bytes).ok());
        match (hex, base64(token)) {
            (Some(macaroon), _) => Ok(macaroon),
            (None, Some(bytes)) => Macaroon::read(&bytes),
            (None, None) => Err(BadMacaroon::Foreign),
        }
    }

    /// What the identifier at the head of a token turns out to be, even where the rest of the token is broken: an
    /// identifier that is all there says which invoice was meant.
    pub(super) fn head(token: &str) -> Identifier {
        let end =
            token.bytes().position(|b| !(b.is_ascii_alphanumeric() || b"+/-_".contains(&b))).unwrap_or(token.len());
        let whole = end.min(1024) / 4 * 4;
        let Some(bytes) = token.get(..whole).and_then(base64) else { return Identifier::Other };
        match bytes.split_first() {
            Some((2, rest)) => match (Fields { rest }).section() {
                Ok(Some((id, _))) => classify(id),
                _ => Identifier::Other,
            },
            _ => Identifier::Other,
        }
    }

    /// What the identifier turns out to be.
    pub fn id(&self) -> Identifier {
        classify(&self.identifier)
    }

    /// The caveats that are text of the form `name=value`, with the spaces round both taken away.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.caveats
            .iter()
            .filter_map(|c| std::str::from_utf8(c).ok()?.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
    }
}

/// Decodes standard or URL-safe base64, padded or not. Tail bits that are not zero are refused.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD].iter().find_map(|e| e.decode(text.as_bytes()).ok())
}

fn classify(id: &[u8]) -> Identifier {
    if let Some((version, rest)) = id.split_first_chunk::<2>()
        && rest.len() == 64
        && let Some(hash) = rest.first_chunk::<32>()
    {
        return match u16::from_be_bytes(*version) {
            0 => Identifier::V0(*hash),
            // 66 bytes of text are a text, not a version from the year 3000.
            _ if id.iter().all(|b| b.is_ascii_graphic() || *b == b' ') => Identifier::Other,
            other => Identifier::Version(other),
        };
    }
    let bare = match id {
        [0xff, rest @ ..] if rest.len() == 32 => rest,
        _ => id,
    };
    if let Ok(hash) = bare.try_into() {
        return Identifier::Bare(hash);
    }
    // As text: 64 digits of a bare hash, or 132 digits of a whole version 0.
    match (id.len(), HEXLOWER_PERMISSIVE.decode(id)) {
        (64 | 132, Ok(raw)) => classify(&raw),
        _ => Identifier::Other,
    }
}

fn read_v2(bytes: &[u8]) -> Result<Macaroon, BadMacaroon> {
    let mut fields = Fields { rest: bytes };
    let (identifier, vid) = fields.section()?.ok_or(BadMacaroon::Malformed)?;
    if vid {
        return Err(BadMacaroon::Malformed);
    }
    let mut caveats = Vec::new();
    while let Some((caveat, _)) = fields.section()? {
        if caveats.len() == MAX_CAVEATS {
            return Err(BadMacaroon::TooLarge);
        }
        caveats.push(caveat.to_vec());
    }
    match fields.field()? {
        Some((6, signature)) if signature.len() == 32 && fields.rest.is_empty() => {
            Ok(Macaroon { identifier: identifier.to_vec(), caveats })
        }
        _ => Err(BadMacaroon::Malformed),
    }
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Takes `[location] identifier [vid] end`, and gives the identifier and whether a vid followed; `None` for the
    /// lone end mark that closes a list of sections.
    fn section(&mut self) -> Result<Option<(&'a [u8], bool)>, BadMacaroon> {
        let Some(mut field) = self.field()? else { return Ok(None) };
        if field.0 == 1 {
            field = self.field()?.ok_or(BadMacaroon::Malformed)?;
        }
        if field.0 != 2 {
            return Err(BadMacaroon::Malformed);
        }
        let vid = match self.field()? {
            None => false,
            Some((4, _)) if self.field()?.is_none() => true,
            Some(_) => return Err(BadMacaroon::Malformed),
        };
        Ok(Some((field.1, vid)))
    }

    /// Takes one field; `None` for an end mark.
    fn field(&mut self) -> Result<Option<(u32, &'a [u8])>, BadMacaroon> {
        let kind = self.varint()?;
        if kind == 0 {
            return Ok(None);
        }
        let len = usize::try_from(self.varint()?).map_err(|_| BadMacaroon::TooLarge)?;
        if len > MAX_BYTES {
            return Err(BadMacaroon::TooLarge);
        }
        let (data, rest) = self.rest.split_at_checked(len).ok_or(BadMacaroon::Truncated)?;
        self.rest = rest;
        Ok(Some((kind, data)))
    }

    fn varint(&mut self) -> Result<u32, BadMacaroon> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21] {
            let (byte, rest) = self.rest.split_first().ok_or(BadMacaroon::Truncated)?;
            self.rest = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadMacaroon::TooLarge)
    }
}

fn read_v1(mut rest: &[u8]) -> Result<Macaroon, BadMacaroon> {
    let (mut identifier, mut caveats) = (None, Vec::new());
    loop {
        let (len, _) = rest.split_at_checked(4).ok_or(BadMacaroon::Truncated)?;
        let len = std::str::from_utf8(len)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .ok_or(BadMacaroon::Foreign)?;
        let (packet, after) = rest.split_at_checked(len).ok_or(BadMacaroon::Truncated)?;
        rest = after;
        let body = packet.get(4..).and_then(|p| p.strip_suffix(b"\n")).ok_or(BadMacaroon::Malformed)?;
        let space = body.iter().position(|b| *b == b' ').ok_or(BadMacaroon::Malformed)?;
        let (key, data) = (&body[..space], &body[space + 1..]);
        match (key, &identifier) {
            (b"location", None) => {}
            (b"identifier", None) => identifier = Some(data.to_vec()),
            (b"cid", Some(_)) if caveats.len() < MAX_CAVEATS => caveats.push(data.to_vec()),
            (b"cid", Some(_)) => return Err(BadMacaroon::TooLarge),
            (b"vid" | b"cl", Some(_)) => {}
            (b"signature", Some(id)) if data.len() == 32 && rest.is_empty() => {
                return Ok(Macaroon { identifier: id.clone(), caveats });
            }
            _ => return Err(BadMacaroon::Malformed),
        }
    }
}
