//! Limits on files that nobody vouches for.
//!
//! A file of some kilobytes can claim to hold, or decompress to, more than any memory holds. Every
//! reader compares sizes with these limits before it allocates.

/// The longest line or record that is read, in bytes.
///
/// A file without line ends (or a small compressed file that decompresses to one) would otherwise
/// fill the memory. It is also the most that is skipped between two records.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// The most columns of a table: as many as spreadsheets have.
pub(super) const MAX_COLUMNS: usize = 16_384;

/// How many times larger than the file its decompressed content may be. Text that people write
/// compresses 2 to 20 times.
pub(super) const MAX_RATIO: u64 = 100;

/// Decompressed bytes that any file may hold, whatever the ratio.
pub(super) const ALWAYS_ALLOWED: u64 = 64 << 20;

/// Whether a file may decompress `compressed` bytes to `decompressed` bytes.
pub(super) fn is_plausible(decompressed: u64, compressed: u64) -> bool {
    decompressed <= ALWAYS_ALLOWED.max(compressed.saturating_mul(MAX_RATIO))
}
