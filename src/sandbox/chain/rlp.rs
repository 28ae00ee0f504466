//! RLP, the reading half: strict, since a chain takes one spelling of a transaction only.

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A string of bytes.
    Bytes(&'a [u8]),
    /// A list, its items still together.
    List(&'a [u8]),
}

impl<'a> Item<'a> {
    /// The first item and what follows it. `None` for every spelling but the shortest.
    pub(super) fn first(bytes: &'a [u8]) -> Option<(Item<'a>, &'a [u8])> {
        let (&head, rest) = bytes.split_first()?;
        let (base, short) = match head {
            0..0x80 => return Some((Item::Bytes(&bytes[..1]), rest)),
            0x80..0xc0 => (0x80, head - 0x80),
            0xc0.. => (0xc0, head - 0xc0),
        };
        let (len, rest) = match short {
            0..=55 => (usize::from(short), rest),
            _ => {
                let (digits, rest) = rest.split_at_checked(usize::from(short - 55))?;
                (usize::try_from(number(digits)?).ok().filter(|len| *len > 55)?, rest)
            }
        };
        let (body, rest) = rest.split_at_checked(len)?;
        match (base, body) {
            // A byte below 0x80 is its own encoding.
            (0x80, [byte]) if *byte < 0x80 => None,
            (0x80, _) => Some((Item::Bytes(body), rest)),
            _ => Some((Item::List(body), rest)),
        }
    }

    /// All items of a list's body.
    pub(super) fn all(mut body: &'a [u8]) -> Option<Vec<Item<'a>>> {
        let mut items = Vec::new();
        while !body.is_empty() {
            let (item, rest) = Item::first(body)?;
            items.push(item);
            body = rest;
        }
        Some(items)
    }

    /// The bytes of a string.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Item::Bytes(bytes) => Some(bytes),
            Item::List(_) => None,
        }
    }

    /// The items of a list.
    pub(super) fn list(self) -> Option<Vec<Item<'a>>> {
        match self {
            Item::List(body) => Item::all(body),
            Item::Bytes(_) => None,
        }
    }

    /// A whole number: no leading zeros, and zero is empty.
    pub(super) fn number(self) -> Option<u64> {
        number(self.bytes()?)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let sound = digits.len() <= 8 && digits.first() != Some(&0);
    sound.then(|| digits.iter().fold(0, |sum, digit| (sum << 8) | u64::from(*digit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_one_spelling() {
        assert_eq!(Item::first(b"\x83dog!"), Some((Item::Bytes(b"dog"), &b"!"[..])));
        assert_eq!(Item::first(&[0x7f]), Some((Item::Bytes(&[0x7f]), &[][..])));
        assert_eq!(Item::all(b"\x80\x0f\xc1\x05").map(|items| items.len()), Some(3));
        let long = [&[0xb8, 56][..], &[7; 56]].concat();
        assert_eq!(Item::first(&long), Some((Item::Bytes(&[7; 56]), &[][..])));
        for wrong in [&b"\x81\x05"[..], b"\xb8\x01\xff", b"\x83do", b"\xb9\x00\x38", b""] {
            assert_eq!(Item::first(wrong), None, "{wrong:?}");
        }
        assert_eq!((Item::Bytes(&[4, 0]).number(), Item::Bytes(&[]).number()), (Some(1024), Some(0)));
        assert_eq!((Item::Bytes(&[0, 4]).number(), Item::Bytes(&[1; 9]).number()), (None, None));
    }
}
