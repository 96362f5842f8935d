//! Opens a data file and decompresses it. Its first bytes tell the compression, whatever its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::limits::{MAX_RATIO, is_plausible};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

const BUFFER_BYTES: usize = 1 << 16;

/// A buffered reader that can be sent to another thread.
pub(super) type Reader = Box<dyn BufRead + Send>;

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    pub fn name(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        }
    }
}

/// Opens a file that is plain or compressed by gzip or zstd, to read its decompressed bytes.
pub(super) fn open(path: &Path) -> io::Result<(Reader, Compression)> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let compression = match magic.as_slice() {
        [a, b, ..] if [*a, *b] == GZIP_MAGIC => Compression::Gzip,
        magic if magic == ZSTD_MAGIC => Compression::Zstd,
        _ => Compression::None,
    };
    // Chaining the bytes already read, instead of seeking back, also works for pipes.
    let compressed_bytes = Arc::new(AtomicU64::new(0));
    let source =
        Counting { source: Cursor::new(magic).chain(file), bytes: Arc::clone(&compressed_bytes) };
    let source = BufReader::with_capacity(BUFFER_BYTES, source);
    let reader: Reader = match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => limited(MultiGzDecoder::new(source), compressed_bytes),
        Compression::Zstd => limited(ZstdDecoder { frame: None, source }, compressed_bytes),
    };
    Ok((reader, compression))
}

fn limited(source: impl Read + Send + 'static, compressed_bytes: Arc<AtomicU64>) -> Reader {
    let limited = Limited { source, compressed_bytes, bytes: 0 };
    Box::new(BufReader::with_capacity(BUFFER_BYTES, limited))
}

/// Counts the bytes that are read of a file.
struct Counting<R> {
    source: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Decompressed bytes, as long as their number is [plausible](is_plausible).
struct Limited<R> {
    source: R,
    compressed_bytes: Arc<AtomicU64>,
    bytes: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.bytes += read as u64;
        if is_plausible(self.bytes, self.compressed_bytes.load(Ordering::Relaxed)) {
            return Ok(read);
        }
        Err(io::Error::other(format!(
            "it unpacks to more than {MAX_RATIO} times its size, so unpack it before"
        )))
    }
}

/// Decodes a zstd file frame by frame: parallel compressors write many.
struct ZstdDecoder<R> {
    frame: Option<FrameDecoder>,
    source: R,
}

impl<R: BufRead> ZstdDecoder<R> {
    /// Begins the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            let mut frame = FrameDecoder::new();
            match frame.init(&mut self.source) {
                Ok(()) => {
                    self.frame = Some(frame);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for ZstdDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(frame) = &mut self.frame else {
                if self.next_frame()? { continue } else { return Ok(0) }
            };
            while frame.can_collect() == 0 && !frame.is_finished() {
                let blocks = BlockDecodingStrategy::UptoBlocks(1);
                frame.decode_blocks(&mut self.source, blocks).map_err(io::Error::other)?;
            }
            if frame.can_collect() > 0 {
                return frame.read(buffer);
            }
            match (frame.get_checksum_from_data(), frame.get_calculated_checksum()) {
                (Some(stored), Some(found)) if stored != found => {
                    return Err(io::Error::other("the checksum of a zstd frame does not match"));
                }
                _ => self.frame = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression as Level, write::GzEncoder};

    use super::*;
    use crate::formats::limits::ALWAYS_ALLOWED;

    fn decompressed(bytes: &[u8]) -> io::Result<(String, Compression)> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("any.name");
        std::fs::write(&path, bytes)?;
        let (mut reader, compression) = open(&path)?;
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        Ok((text, compression))
    }

    fn zstd(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(
            text.as_bytes(),
            ruzstd::encoding::CompressionLevel::Fastest,
        )
    }

    #[test]
    fn the_first_bytes_tell_the_compression() {
        let text = "some words ".repeat(20_000);
        let mut gzip = GzEncoder::new(Vec::new(), Level::default());
        gzip.write_all(text.as_bytes()).unwrap();
        for (bytes, compression) in [
            (text.clone().into_bytes(), Compression::None),
            (gzip.finish().unwrap(), Compression::Gzip),
            (zstd(&text), Compression::Zstd),
        ] {
            assert_eq!(decompressed(&bytes).unwrap(), (text.clone(), compression));
        }
        assert_eq!(decompressed(b"").unwrap(), (String::new(), Compression::None));
        assert_eq!(decompressed(b"\x1f").unwrap().0, "\u{1f}");
    }

    #[test]
    fn zstd_files_may_have_many_frames_and_skippable_ones() {
        let skipped = [&0x184d_2a53u32.to_le_bytes()[..], &5u32.to_le_bytes(), b"note!"].concat();
        let bytes = [zstd("a\n"), zstd(""), skipped, zstd("b\n")].concat();
        assert_eq!(decompressed(&bytes).unwrap().0, "a\nb\n");
    }

    #[test]
    fn decompression_bombs_are_refused() {
        let text = "a line\n".repeat(200_000);
        // Each member of 1.4 MB takes some kilobytes.
        let mut gzip = GzEncoder::new(Vec::new(), Level::best());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        for (packed, text) in [(gzip, text.len()), (zstd(&text), text.len())] {
            let members = ALWAYS_ALLOWED as usize / text + 1;
            let error = decompressed(&packed.repeat(members)).unwrap_err().to_string();
            assert!(error.contains("more than 100 times its size"), "{error}");
            assert_eq!(
                decompressed(&packed.repeat(members - 1)).unwrap().0.len(),
                (members - 1) * text
            );
        }
    }

    #[test]
    fn damaged_zstd_is_an_error() {
        let complete = zstd(&"some words ".repeat(1000));
        for end in 4..complete.len() {
            assert!(decompressed(&complete[..end]).is_err(), "{end}");
        }
        assert!(decompressed(&[&complete[..], b"garbage"].concat()).is_err());
    }
}
