//! TFRecord, the framing of TensorBoard's files and of the teacher's cache: length, its checksum,
//! payload, its checksum.

use crc::{CRC_32_ISCSI, Crc};
use std::io::{self, Write};

/// CRC-32C, which its catalogue calls iSCSI's.
static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// The checksum as the format stores it: rotated and shifted, so that a file of checksums has no
/// trivial ones itself.
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

/// The payload of the record at the beginning of `bytes`, and what follows it; `None` where no
/// whole record begins.
pub(crate) fn read(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = head(bytes)?;
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((payload, checked(payload, rest)?))
}

/// The length of the payload of the record at the beginning of `bytes`, of which the rest need not
/// be there.
pub(crate) fn length(bytes: &[u8]) -> Option<u64> {
    Some(head(bytes)?.0)
}

fn head(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*length), checked(length, rest)?))
}

/// What follows the checksum at the beginning of `rest`, if it is that of `bytes`.
fn checked<'a>(bytes: &[u8], rest: &'a [u8]) -> Option<&'a [u8]> {
    let (checksum, rest) = rest.split_first_chunk()?;
    (u32::from_le_bytes(*checksum) == masked(bytes)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4; the last is the usual check value.
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
    fn records_come_back_and_damage_is_seen() {
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
