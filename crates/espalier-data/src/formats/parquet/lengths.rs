//! Checks delta-encoded text lengths. A page states how many there are, and the library allocates
//! for that number; here it is first compared with the page's number of values.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as Read};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::thrift::{Result, Thrift};

/// A file whose pages are checked before their values are read.
pub(super) struct Checked<R>(pub R);

impl<R: FileReader> FileReader for Checked<R> {
    fn metadata(&self) -> &ParquetMetaData {
        self.0.metadata()
    }

    fn num_row_groups(&self) -> usize {
        self.0.num_row_groups()
    }

    fn get_row_group(&self, index: usize) -> Read<Box<dyn RowGroupReader + '_>> {
        Ok(Box::new(CheckedGroup(self.0.get_row_group(index)?)))
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Read<RowIter<'_>> {
        RowIter::from_file(projection, self)
    }
}

struct CheckedGroup<'a>(Box<dyn RowGroupReader + 'a>);

impl RowGroupReader for CheckedGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.0.metadata()
    }

    fn num_columns(&self) -> usize {
        self.0.num_columns()
    }

    fn get_column_page_reader(&self, index: usize) -> Read<Box<dyn PageReader>> {
        let column = self.metadata().schema_descr().column(index);
        let levels = [column.max_rep_level(), column.max_def_level()];
        Ok(Box::new(CheckedPages { pages: self.0.get_column_page_reader(index)?, levels }))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&parquet::bloom_filter::Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Read<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// The pages of a column, with its maximal repetition and definition levels.
struct CheckedPages {
    pages: Box<dyn PageReader>,
    levels: [i16; 2],
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Read<Option<Page>> {
        let page = self.pages.get_next_page()?;
        match page.as_ref().map_or(Ok(()), |page| check(page, self.levels)) {
            Ok(()) => Ok(page),
            Err(problem) => Err(ParquetError::General(problem)),
        }
    }

    fn peek_next_page(&mut self) -> Read<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Read<()> {
        self.pages.skip_next_page()
    }
}

impl Iterator for CheckedPages {
    type Item = Read<Page>;

    fn next(&mut self) -> Option<Read<Page>> {
        self.get_next_page().transpose()
    }
}

fn check(page: &Page, levels: [i16; 2]) -> Result<()> {
    let count = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // The lengths of the prefixes shared with the text before, then those of the suffixes.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    let mut values = values(page, levels)?;
    for _ in 0..count {
        let (lengths, rest) = deltas(values)?;
        if lengths > u64::from(page.num_values()) {
            return Err(format!("{lengths} texts in a page of {} values", page.num_values()));
        }
        values = rest;
    }
    Ok(())
}

/// The values of a data page, which follow its levels.
fn values(page: &Page, levels: [i16; 2]) -> Result<&[u8]> {
    let damaged = || "a page smaller than its levels".to_owned();
    let skipped = match page {
        Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
            u64::from(*rep_levels_byte_len) + u64::from(*def_levels_byte_len)
        }
        Page::DataPage { buf, num_values, def_level_encoding, rep_level_encoding, .. } => {
            let mut at = 0;
            for (most, encoding) in levels.into_iter().zip([rep_level_encoding, def_level_encoding])
            {
                if most > 0 {
                    let rest = buf.get(at as usize..).ok_or_else(damaged)?;
                    at += level_bytes(rest, most, *num_values, *encoding).ok_or_else(damaged)?;
                }
            }
            at
        }
        Page::DictionaryPage { .. } => 0,
    };
    page.buffer().get(skipped as usize..).ok_or_else(damaged)
}

/// Bytes of the encoded levels that `rest` begins with.
fn level_bytes(rest: &[u8], most: i16, values: u32, encoding: Encoding) -> Option<u64> {
    match encoding {
        Encoding::RLE => Some(4 + u64::from(u32::from_le_bytes(*rest.first_chunk()?))),
        _ => Some((u64::from(values) * u64::from(u16::BITS - most.leading_zeros())).div_ceil(8)),
    }
}

/// The number of delta-encoded integers at the beginning of `bytes`, and what follows them
/// (DELTA_BINARY_PACKED in the Parquet specification).
fn deltas(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut source = Thrift::new(bytes, bytes.len() as u64);
    let [block, parts, count] = [source.varint()?, source.varint()?, source.varint()?];
    source.integer()?; // The first value.
    let values = block
        .checked_div(parts)
        .filter(|&values| values > 0)
        .ok_or("delta-encoded blocks of size 0")?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        source.integer()?; // The smallest delta of the block.
        let widths = (0..parts).map(|_| source.byte()).collect::<Result<Vec<u8>>>()?;
        for width in widths {
            if left > 0 {
                source.skip_bytes((u64::from(width) * values).div_ceil(8))?;
                left = left.saturating_sub(values);
            }
        }
    }
    Ok((count, &bytes[bytes.len() - source.left() as usize..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_are_counted_and_skipped() {
        // Blocks of 128 values in 4 miniblocks; 3 values, the first 5; minimal delta 0; miniblocks
        // of 2 bits a value, of which 32 are stored.
        let bytes = [128, 1, 4, 3, 10, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x'];
        assert_eq!(deltas(&bytes), Ok((3, &b"x"[..])));
        // More than memory has room for.
        let page = |count: &[u8]| Page::DataPage {
            buf: [&[128, 1, 4], count, &[10]].concat().into(),
            num_values: 1,
            encoding: Encoding::DELTA_LENGTH_BYTE_ARRAY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        assert_eq!(check(&page(&[1]), [0, 0]), Ok(()));
        assert!(check(&page(&[2, 0]), [0, 0]).is_err());
        assert!(check(&page(&[0xff, 0xff, 0xff, 0xff, 0xff, 1]), [0, 0]).is_err());
    }
}
