//! XXH64, the checksum of sections and header: as fast as memory, and good against accidents (not
//! against attacks).
//!
//! Implemented after xxHash's "xxh64 algorithm description", with seed 0.

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// The hash of `bytes`.
pub(super) fn xxh64(bytes: &[u8]) -> u64 {
    let (stripes, mut rest) = bytes.as_chunks::<32>();
    let mut hash = match stripes {
        [] => PRIMES[4],
        _ => stripes_hash(stripes),
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    while let Some((chunk, tail)) = rest.split_first_chunk() {
        hash = (hash ^ round(0, u64::from_le_bytes(*chunk))).rotate_left(27);
        hash = hash.wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3]);
        rest = tail;
    }
    if let Some((chunk, tail)) = rest.split_first_chunk() {
        hash ^= u64::from(u32::from_le_bytes(*chunk)).wrapping_mul(PRIMES[0]);
        hash = hash.rotate_left(23).wrapping_mul(PRIMES[1]).wrapping_add(PRIMES[2]);
        rest = tail;
    }
    for &byte in rest {
        hash = (hash ^ u64::from(byte).wrapping_mul(PRIMES[4]))
            .rotate_left(11)
            .wrapping_mul(PRIMES[0]);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIMES[1]);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIMES[2]);
    hash ^ (hash >> 32)
}

fn stripes_hash(stripes: &[[u8; 32]]) -> u64 {
    let mut lanes = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, PRIMES[0].wrapping_neg()];
    for stripe in stripes {
        for (lane, chunk) in lanes.iter_mut().zip(stripe.as_chunks().0) {
            *lane = round(*lane, u64::from_le_bytes(*chunk));
        }
    }
    let rotated = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
    let sum = rotated.fold(0u64, u64::wrapping_add);
    lanes.iter().fold(sum, |hash, &lane| {
        (hash ^ round(0, lane)).wrapping_mul(PRIMES[0]).wrapping_add(PRIMES[3])
    })
}

fn round(lane: u64, input: u64) -> u64 {
    lane.wrapping_add(input.wrapping_mul(PRIMES[1])).rotate_left(31).wrapping_mul(PRIMES[0])
}

#[cfg(test)]
mod tests {
    use super::xxh64;

    /// Values from the reference implementation.
    #[test]
    fn known_hashes() {
        let pangram = "The quick brown fox jumps over the lazy dog";
        let cases = [
            ("", 0xef46_db37_51d8_e999),
            ("abc", 0x44bc_2cf5_ad77_0999),
            (pangram, 0x0b24_2d36_1fda_71bc),
        ];
        for (text, hash) in cases {
            assert_eq!(xxh64(text.as_bytes()), hash, "{text:?}");
        }
    }
}
