//! TFRecord, the record format of TensorBoard's event files and of the teacher cache: length,
//! checksum of the length, payload, checksum of the payload.

use crc::{CRC_32_ISCSI, Crc};
use std::io::{self, Write};

/// CRC-32C, called iSCSI in the catalogue of CRCs.
static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The masked checksum that the format stores: rotated, plus a constant. This keeps the CRC of data
/// that contains CRCs from being trivial.
fn masked(bytes: &[u8]) -> u32 {
    CRC32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Writes one record.
pub(crate) fn write(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    let length = (payload.len() as u64).to_le_bytes();
    let frame =
        [&length[..], &masked(&length).to_le_bytes(), payload, &masked(payload).to_le_bytes()];
    out.write_all(&frame.concat())
}

/// The payload of the record at the beginning of `bytes`, and the bytes after the record; `None` if
/// the record is incomplete or damaged.
pub(crate) fn read(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = header(bytes)?;
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((payload, checked(payload, rest)?))
}

/// The payload length of the record at the beginning of `bytes`, which may be cut off after the
/// checksum of the length.
pub(crate) fn length(bytes: &[u8]) -> Option<u64> {
    Some(header(bytes)?.0)
}

/// The payload length, and the bytes after its checksum.
fn header(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*length), checked(length, rest)?))
}

/// Checks that `rest` begins with the checksum of `bytes`, and returns what follows it.
fn checked<'a>(bytes: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
    let (checksum, rest) = rest.split_first_chunk()?;
    (u32::from_le_bytes(*checksum) == masked(bytes)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_the_standard() {
        // RFC 3720, appendix B.4; the last is the check value of the CRC catalogue.
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, crc) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(CRC32C.checksum(bytes), crc);
        }
    }

    #[test]
    fn records_are_read_back_and_damage_is_detected() {
        let mut file = Vec::new();
        for payload in [&b"one"[..], b"", b"three"] {
            write(&mut file, payload).unwrap();
        }
        let (one, rest) = read(&file).unwrap();
        let (empty, rest) = read(rest).unwrap();
        let (three, rest) = read(rest).unwrap();
        assert_eq!((one, empty, three, rest), (&b"one"[..], &b""[..], &b"three"[..], &b""[..]));
        assert!(read(rest).is_none());
        let end = 16 + 3;
        for at in 0..end {
            let mut broken = file.clone();
            broken[at] ^= 1;
            assert!(read(&broken).is_none(), "byte {at}");
            assert!(read(&file[..at]).is_none(), "cut at {at}");
        }
    }
}
