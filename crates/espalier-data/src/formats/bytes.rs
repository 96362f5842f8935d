//! The bytes of a data file, unpacked. How it is compressed is told by its first bytes, whatever
//! its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What data may become when they are unpacked, bytes, whatever their size.
const HONEST: u64 = 64 << 20;

/// How many times larger they may become beyond that. What people write becomes 2 to 20 times
/// larger.
const RATIO: u64 = 100;

/// Whether `packed` bytes can honestly hold `unpacked`. Some kilobytes that are made for it unpack
/// to what no disk holds.
pub(super) fn is_plausible(unpacked: u64, packed: u64) -> bool {
    unpacked <= HONEST.max(packed.saturating_mul(RATIO))
}

/// A reader of text that may go to another thread.
pub(super) type Reader = Box<dyn BufRead + Send>;

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compression {
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

/// Opens a file that is plain or compressed by gzip or zstd.
pub(super) fn open(path: &Path) -> io::Result<(Reader, Compression)> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let compression = match magic.as_slice() {
        [a, b, ..] if [*a, *b] == GZIP_MAGIC => Compression::Gzip,
        magic if magic == ZSTD_MAGIC => Compression::Zstd,
        _ => Compression::None,
    };
    // Given back to the front instead of seeking, so that pipes can be read too.
    let packed = Arc::new(AtomicU64::new(0));
    let whole = Packed { source: Cursor::new(magic).chain(file), read: Arc::clone(&packed) };
    let whole = BufReader::with_capacity(1 << 16, whole);
    let reader: Reader = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => unpacked(MultiGzDecoder::new(whole), packed),
        Compression::Zstd => unpacked(Zstd { frame: None, source: whole }, packed),
    };
    Ok((reader, compression))
}

fn unpacked(source: impl Read + Send + 'static, packed: Arc<AtomicU64>) -> Reader {
    Box::new(BufReader::with_capacity(1 << 16, Unpacked { source, packed, read: 0 }))
}

/// Counts what is read of a file.
struct Packed<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What comes out of a file, as long as it is [plausible](is_plausible).
struct Unpacked<R> {
    source: R,
    packed: Arc<AtomicU64>,
    read: u64,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.read += read as u64;
        if is_plausible(self.read, self.packed.load(Ordering::Relaxed)) {
            return Ok(read);
        }
        Err(io::Error::other(format!(
            "it unpacks to more than {RATIO} times its size, so unpack it before"
        )))
    }
}

/// The content of a zstd file, frame after frame: parallel compressors write many.
struct Zstd<R> {
    frame: Option<FrameDecoder>,
    source: R,
}

impl<R: BufRead> Zstd<R> {
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

impl<R: BufRead> Read for Zstd<R> {
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

    fn unpacked(bytes: &[u8]) -> io::Result<(String, Compression)> {
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
            assert_eq!(unpacked(&bytes).unwrap(), (text.clone(), compression));
        }
        assert_eq!(unpacked(b"").unwrap(), (String::new(), Compression::None));
        assert_eq!(unpacked(b"\x1f").unwrap().0, "\u{1f}");
    }

    #[test]
    fn zstd_files_may_have_many_frames_and_some_to_skip() {
        let skipped = [&0x184d_2a53u32.to_le_bytes()[..], &5u32.to_le_bytes(), b"note!"].concat();
        let bytes = [zstd("a\n"), zstd(""), skipped, zstd("b\n")].concat();
        assert_eq!(unpacked(&bytes).unwrap().0, "a\nb\n");
    }

    #[test]
    fn what_unpacks_without_end_is_refused() {
        let text = "a line\n".repeat(200_000);
        // Each member of 1.4 MB takes some kilobytes.
        let mut gzip = GzEncoder::new(Vec::new(), Level::best());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        for (packed, text) in [(gzip, text.len()), (zstd(&text), text.len())] {
            let members = HONEST as usize / text + 1;
            let error = unpacked(&packed.repeat(members)).unwrap_err().to_string();
            assert!(error.contains("more than 100 times its size"), "{error}");
            assert_eq!(
                unpacked(&packed.repeat(members - 1)).unwrap().0.len(),
                (members - 1) * text
            );
        }
    }

    #[test]
    fn damaged_zstd_is_an_error() {
        let whole = zstd(&"some words ".repeat(1000));
        for end in 4..whole.len() {
            assert!(unpacked(&whole[..end]).is_err(), "{end}");
        }
        assert!(unpacked(&[&whole[..], b"rubbish"].concat()).is_err());
    }
}
