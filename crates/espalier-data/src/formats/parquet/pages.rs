//! Checks the sizes that pages state, before the library decompresses them.

use std::fs::File;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::thrift::{FALSE, Result, Thrift};
use crate::formats::limits::is_plausible;

/// Bytes of memory that an entry of a dictionary takes besides its value.
const ENTRY_BYTES: u64 = 32;

/// Bytes that a value counts as decompressed, whatever its type.
const VALUE_BYTES: u64 = 8;

/// The type of a dictionary page.
const DICTIONARY_PAGE: i64 = 2;

/// Checks the sizes that pages state, and the numbers of rows and values.
///
/// Of each column, one page and the dictionary are in memory at a time. Together, those of a row
/// group must not claim more than their stored bytes can plausibly decompress to.
pub(super) fn check(file: &File, metadata: &ParquetMetaData) -> Result<()> {
    let stored = Length::len(file);
    let (mut rows, mut values, mut walked) = (0_u64, 0_u64, 0_u64);
    for group in metadata.row_groups() {
        let stated = u64::try_from(group.num_rows()).map_err(|_| "a number of rows below 0")?;
        rows = rows.saturating_add(stated);
        let mut largest = Sizes::default();
        for column in group.columns() {
            // Overlapping columns could make a small file be read a million times.
            walked = walked.saturating_add(column.byte_range().1);
            if walked > stored {
                return Err("columns that overlap".into());
            }
            let column = Chunk::walk(file, column)?;
            largest = largest.plus(column.dictionary).plus(column.page);
            values = values.saturating_add(column.values);
        }
        if !is_plausible(largest.stated, largest.stored) {
            let Sizes { stated, stored } = largest;
            return Err(format!("pages of {stored} bytes state that they hold {stated}"));
        }
    }
    for (number, what) in [(rows, "rows"), (values, "values")] {
        if !is_plausible(number.saturating_mul(VALUE_BYTES), stored) {
            return Err(format!("{number} {what} in {stored} bytes"));
        }
    }
    Ok(())
}

/// Bytes that a page claims to decompress to, and its bytes in the file.
#[derive(Clone, Copy, Default)]
struct Sizes {
    stated: u64,
    stored: u64,
}

impl Sizes {
    fn plus(self, other: Self) -> Self {
        Self {
            stated: self.stated.saturating_add(other.stated),
            stored: self.stored + other.stored,
        }
    }
}

/// What the page headers of a column in a row group state.
#[derive(Default)]
struct Chunk {
    dictionary: Sizes,
    /// The largest page of data.
    page: Sizes,
    values: u64,
}

impl Chunk {
    fn walk(file: &File, column: &ColumnChunkMetaData) -> Result<Self> {
        let (mut at, length) = column.byte_range();
        let end = at.checked_add(length).filter(|&end| end <= Length::len(file));
        let end = end.ok_or("a column that goes beyond the file's end")?;
        let mut chunk = Self::default();
        while at < end {
            let mut source =
                Thrift::new(file.get_read(at).map_err(|error| error.to_string())?, end - at);
            let header = Header::read(&mut source)?;
            let (start, left) = (end - source.left(), source.left());
            let stored = u64::try_from(header.compressed).ok().filter(|&stored| stored <= left);
            let (Some(stored), Ok(stated)) = (stored, u64::try_from(header.uncompressed)) else {
                return Err("a page whose size is not possible".into());
            };
            if matches!(column.compression(), Compression::GZIP(_)) && !header.plain {
                let levels = u64::try_from(header.levels)
                    .ok()
                    .filter(|&levels| levels <= stored.min(stated));
                let levels = levels.ok_or("a page smaller than its levels")?;
                check_gzip(file, start + levels, stored - levels, stated - levels)?;
            }
            at = start + stored;
            chunk.add(&header, column.column_type(), Sizes { stated, stored })?;
        }
        Ok(chunk)
    }

    fn add(&mut self, header: &Header, kind: Type, sizes: Sizes) -> Result<()> {
        let values = u64::try_from(header.values).map_err(|_| "a page of fewer than 0 values")?;
        if header.kind == DICTIONARY_PAGE {
            // A text has its length before it.
            let least = if kind == Type::BYTE_ARRAY { 4 } else { 1 };
            if values.saturating_mul(least) > sizes.stated {
                return Err(format!("a dictionary of {values} values in {} bytes", sizes.stated));
            }
            self.dictionary = Sizes { stated: sizes.stated + ENTRY_BYTES * values, ..sizes };
        } else {
            self.values = self.values.saturating_add(values);
            if sizes.stated > self.page.stated {
                self.page = sizes;
            }
        }
        Ok(())
    }
}

/// The header of a page: the fields that are checked.
#[derive(Default)]
struct Header {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    values: i64,
    /// In pages of version 2: bytes of the levels before the values, which are never compressed.
    levels: i64,
    /// In pages of version 2: whether the values are uncompressed too.
    plain: bool,
}

impl Header {
    fn read(source: &mut Thrift<impl Read>) -> Result<Self> {
        let mut header = Self::default();
        source.structure(|source, (number, _)| {
            match number {
                1 => header.kind = source.integer()?,
                2 => header.uncompressed = source.integer()?,
                3 => header.compressed = source.integer()?,
                5 | 7 | 8 => source.structure(|source, (field, kind)| {
                    match (number, field) {
                        (_, 1) => header.values = source.integer()?,
                        (8, 5 | 6) => {
                            header.levels = header.levels.saturating_add(source.integer()?)
                        }
                        // A boolean field has its value in its type.
                        (8, 7) => {
                            header.plain = kind == FALSE;
                            return Ok(false);
                        }
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(header)
    }
}

/// Checks that a gzip page decompresses to no more than it states. The library decompresses gzip to
/// its end, whatever the page states; of other compressions it takes no more than stated.
fn check_gzip(file: &File, start: u64, stored: u64, stated: u64) -> Result<()> {
    let source = file.get_read(start).map_err(|error| error.to_string())?.take(stored);
    let decompressed = io::copy(&mut MultiGzDecoder::new(source).take(stated + 1), &mut io::sink());
    match decompressed {
        // Damaged data are refused later, by the library.
        Ok(decompressed) if decompressed > stated => {
            Err(format!("a page of {stated} bytes unpacks to more"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn gzip_must_not_decompress_to_more_than_the_page_states() {
        let mut gzip = GzEncoder::new(tempfile::tempfile().unwrap(), Default::default());
        gzip.write_all(&[b'a'; 1000]).unwrap();
        let file = gzip.finish().unwrap();
        let stored = Length::len(&file);
        assert_eq!(check_gzip(&file, 0, stored, 1000), Ok(()));
        assert_eq!(
            check_gzip(&file, 0, stored, 999),
            Err("a page of 999 bytes unpacks to more".into())
        );
    }

    #[test]
    fn dictionaries_must_have_room_for_the_values_that_they_state() {
        let add = |values, stated| {
            let header = Header { kind: DICTIONARY_PAGE, values, ..Default::default() };
            let mut chunk = Chunk::default();
            chunk
                .add(&header, Type::BYTE_ARRAY, Sizes { stated, stored: 9 })
                .map(|()| chunk.dictionary.stated)
        };
        assert_eq!(add(10, 40), Ok(360));
        assert_eq!(
            add(1 << 31, 1000),
            Err("a dictionary of 2147483648 values in 1000 bytes".into())
        );
        assert!(add(-1, 1000).is_err());
    }

    #[test]
    fn headers_are_read() {
        // 1: type 3; 2: 40; 3: 20; 8: { 1: 7; 2: 0; 3: 7; 4: 0; 5: 2; 6: 3; 7: false }.
        let bytes = [
            0x15, 6, 0x15, 80, 0x15, 40, 0x5c, 0x15, 14, 0x15, 0, 0x15, 14, 0x15, 0, 0x15, 4, 0x15,
            6, 0x12, 0, 0,
        ];
        let header = Header::read(&mut Thrift::new(&bytes[..], bytes.len() as u64)).unwrap();
        let Header { kind, uncompressed, compressed, values, levels, plain } = header;
        assert_eq!(
            (kind, uncompressed, compressed, values, levels, plain),
            (3, 40, 20, 7, 5, true)
        );
    }
}
