//! RLP, the encoding of Ethereum's transactions: the writing half, which is all that signing needs.
//!
//! By hand, since it is shorter than the list of what a crate for it would bring along.

/// Writes items one after another; wrap the result with [`list`].
#[derive(Clone, Default)]
pub(super) struct Items(Vec<u8>);

impl Items {
    /// Adds a string of bytes.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Items {
        match bytes {
            [byte @ 0..0x80] => self.0.push(*byte),
            _ => {
                head(&mut self.0, 0x80, bytes.len());
                self.0.extend_from_slice(bytes);
            }
        }
        self
    }

    /// Adds a whole number: big-endian without leading zeros, so that zero is the empty string.
    pub(super) fn number(self, value: u64) -> Items {
        let bytes = value.to_be_bytes();
        let zeros = value.leading_zeros() as usize / 8;
        self.bytes(&bytes[zeros..])
    }

    /// Adds a list.
    pub(super) fn list(mut self, items: Items) -> Items {
        self.0.extend(list(&items));
        self
    }
}

/// The encoding of a list of items.
pub(super) fn list(items: &Items) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.0.len() + 9);
    head(&mut out, 0xc0, items.0.len());
    out.extend_from_slice(&items.0);
    out
}

/// The byte (or bytes) that say how long what follows is.
fn head(out: &mut Vec<u8>, base: u8, len: usize) {
    match u8::try_from(len) {
        Ok(short @ 0..=55) => out.push(base + short),
        _ => {
            let bytes = len.to_be_bytes();
            let zeros = len.leading_zeros() as usize / 8;
            // At most eight bytes of length.
            out.push(base + 55 + (bytes.len() - zeros) as u8);
            out.extend_from_slice(&bytes[zeros..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the Ethereum wiki's page on RLP.
    #[test]
    fn the_known_examples_are_written_as_they_should_be() {
        let of = |items: Items| items.0;
        assert_eq!(of(Items::default().bytes(b"dog")), b"\x83dog");
        assert_eq!(of(Items::default().bytes(b"")), [0x80]);
        assert_eq!(of(Items::default().bytes(&[0])), [0]);
        assert_eq!(of(Items::default().bytes(&[0x7f])), [0x7f]);
        assert_eq!(of(Items::default().bytes(&[0x80])), [0x81, 0x80]);
        assert_eq!(of(Items::default().number(0)), [0x80]);
        assert_eq!(of(Items::default().number(15)), [15]);
        assert_eq!(of(Items::default().number(1024)), [0x82, 4, 0]);
        assert_eq!(of(Items::default().number(u64::MAX)), [0x88, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(list(&Items::default().bytes(b"cat").bytes(b"dog")), b"\xc8\x83cat\x83dog");
        assert_eq!(list(&Items::default()), [0xc0]);
        let one = Items::default().list(Items::default());
        assert_eq!(list(&Items::default().list(Items::default()).list(one)), [0xc3, 0xc0, 0xc1, 0xc0]);
        let long = Items::default().bytes(&[7; 56]);
        assert_eq!(&of(long.clone())[..2], [0xb8, 56]);
        assert_eq!(&list(&long)[..2], [0xf8, 58]);
        assert_eq!(&of(Items::default().bytes(&[7; 1024]))[..3], [0xb9, 4, 0]);
    }
}
