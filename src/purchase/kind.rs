//! What bytes are, by the bytes themselves: a seller's Content-Type is only a claim.

/// The most bytes of a picture that is handed to a model.
pub const PICTURE: usize = 1 << 20;

/// The most pixels a side: models refuse larger pictures, and with them the whole conversation.
const SIDE: u32 = 8_000;

/// How files begin that are not to be read as text, whatever a seller calls them.
const BEGINS: [(&[u8], &str); 25] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"BZh", "application/x-bzip2"),
    (b"\x7fELF", "application/x-executable"),
    (b"\0asm", "application/wasm"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"MZ", "application/x-msdownload"),
];

/// These begin like words do, so they count only where the bytes are not text after all.
const WORDS: [&str; 5] = ["BZh", "ID3", "PAR1", "MZ", "OggS"];

/// What bytes are, where their beginning tells and it is no text.
pub fn of(bytes: &[u8]) -> Option<&'static str> {
    let at = |from: usize, what: &[u8]| bytes.get(from..).is_some_and(|rest| rest.starts_with(what));
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Some("image/webp");
    }
    if at(0, b"RIFF") && at(8, b"WAVE") {
        return Some("audio/wav");
    }
    if at(4, b"ftyp") && bytes[0] == 0 {
        return Some(if at(8, b"avif") { "image/avif" } else { "video/mp4" });
    }
    let (magic, kind) = BEGINS.into_iter().find(|(magic, _)| bytes.starts_with(magic))?;
    let is_word = WORDS.iter().any(|w| w.as_bytes() == magic);
    (!is_word || std::str::from_utf8(bytes).is_err() || bytes.contains(&0)).then_some(kind)
}

/// The media type of a picture that can be handed to a model: a PNG, JPEG, GIF or WebP, whole, small, of sane size.
///
/// A host passes it on as it is, and a model's maker refuses a broken picture together with the conversation it is in;
/// so magic bytes alone are not enough.
pub fn picture(bytes: &[u8]) -> Option<&'static str> {
    let kind = of(bytes).filter(|_| bytes.len() <= PICTURE)?;
    let (wide, high) = match kind {
        "image/png" => png(bytes),
        "image/jpeg" => jpeg(bytes),
        "image/gif" => gif(bytes),
        "image/webp" => webp(bytes),
        _ => None,
    }?;
    ((1..=SIDE).contains(&wide) && (1..=SIDE).contains(&high)).then_some(kind)
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn little16(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

/// Every chunk in its place, from IHDR over IDAT to IEND.
fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    if big(bytes, 8)? != 13 || bytes.get(12..16)? != b"IHDR" {
        return None;
    }
    let (mut at, mut data) = (8usize, false);
    loop {
        let length = big(bytes, at)? as usize;
        let name = bytes.get(at + 4..at + 8)?;
        let end = at.checked_add(12)?.checked_add(length)?;
        bytes.get(..end)?;
        match name {
            b"IEND" => return data.then_some((big(bytes, 16)?, big(bytes, 20)?)),
            b"IDAT" => data = true,
            _ => {}
        }
        at = end;
    }
}

/// Segments up to the frame's size and the scan, and the end mark behind it.
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let (mut at, mut size) = (2usize, None);
    loop {
        if *bytes.get(at)? != 0xff {
            return None;
        }
        let marker = *bytes.get(at + 1)?;
        let length = usize::from(u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?));
        match marker {
            0xff => {
                at += 1;
                continue;
            }
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let side = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into());
                size = Some((side(at + 7)?, side(at + 5)?));
            }
            0xda => {
                let scan = bytes.get(at..)?;
                return size.filter(|_| scan.windows(2).any(|w| w == [0xff, 0xd9]));
            }
            _ => {}
        }
        if length < 2 {
            return None;
        }
        at += 2 + length;
    }
}

/// The screen's size, and the trailer at the end.
fn gif(bytes: &[u8]) -> Option<(u32, u32)> {
    let last = bytes.iter().rposition(|b| *b != 0)?;
    (bytes[last] == 0x3b && last > 13 && bytes.contains(&0x2c)).then_some(())?;
    Some((little16(bytes, 6)?, little16(bytes, 8)?))
}

/// The container as long as it says, and the size in its first chunk.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let says = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    bytes.get(..says.checked_add(8)?)?;
    match bytes.get(12..16)? {
        b"VP8 " if bytes.get(23..26)? == [0x9d, 0x01, 0x2a] => {
            Some((little16(bytes, 26)? & 0x3fff, little16(bytes, 28)? & 0x3fff))
        }
        b"VP8L" if *bytes.get(20)? == 0x2f => {
            let bits = u32::from_le_bytes(bytes.get(21..25)?.try_into().ok()?);
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8X" => {
            let side = |at: usize| {
                let b = bytes.get(at..at + 3)?;
                Some((u32::from(b[0]) | u32::from(b[1]) << 8 | u32::from(b[2]) << 16) + 1)
            };
            Some((side(24)?, side(27)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG of this size with so much data in it. Nobody here looks at a checksum.
    fn a_png(wide: u32, high: u32, data: usize) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut chunk = |name: &[u8], data: &[u8]| {
            png.extend((data.len() as u32).to_be_bytes());
            png.extend(name);
            png.extend(data);
            png.extend([0; 4]);
        };
        let ihdr = [&wide.to_be_bytes()[..], &high.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
        chunk(b"IHDR", &ihdr);
        chunk(b"IDAT", &vec![7; data]);
        chunk(b"IEND", b"");
        png
    }

    #[test]
    fn a_picture_is_whole_and_small() {
        assert_eq!(picture(&a_png(10, 10, 500)), Some("image/png"));
        assert_eq!(picture(&a_png(10, 10, PICTURE)), None, "too many bytes");
        assert_eq!(picture(&a_png(9_000, 10, 500)), None, "too wide");
        assert_eq!(picture(&a_png(0, 10, 500)), None, "nothing in it");
        let png = a_png(10, 10, 500);
        for cut in 0..png.len() - 4 {
            assert_eq!(picture(&png[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn every_kind_of_picture_is_known_by_its_bytes() {
        let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";
        assert_eq!(picture(gif), Some("image/gif"));
        let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0";
        assert_eq!(picture(webp), Some("image/webp"));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x0b\x08\0\x05\0\x06\x01\x01\x11\0\xff\xda\0\x02scan\xff\xd9";
        assert_eq!(picture(jpeg), Some("image/jpeg"));
        assert_eq!(jpeg_size(jpeg), Some((6, 5)));
        for bytes in [&gif[..], webp, jpeg] {
            assert_eq!(picture(&bytes[..bytes.len() - 2]), None, "{bytes:?}");
        }
    }

    fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
        jpeg(bytes)
    }

    #[test]
    fn words_are_no_files() {
        for text in ["MZ is a label", "ID3 tags explained", "PAR1 for the course", "BZh", "RIFF on it", "{}", ""] {
            assert_eq!(of(text.as_bytes()), None, "{text}");
        }
        assert_eq!(of(b"MZ\x90\0\x03"), Some("application/x-msdownload"));
        assert_eq!(of(b"%PDF-1.7\nall ascii"), Some("application/pdf"));
    }

    #[test]
    fn no_bytes_make_it_stumble() {
        let mut seed = 1u32;
        for (magic, _) in BEGINS {
            for _ in 0..500 {
                let mut bytes = magic.to_vec();
                for _ in 0..seed % 60 {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    bytes.push((seed >> 24) as u8);
                }
                seed = seed.wrapping_add(1);
                let _ = (of(&bytes), picture(&bytes));
            }
        }
    }
}
