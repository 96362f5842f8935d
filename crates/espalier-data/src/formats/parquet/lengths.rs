//! Texts whose lengths are stored as differences: how many there are is said within the page, and
//! the library makes room for that number. Here it is compared with the page's number of values
//! first.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as Read};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::thrift::{Result, Thrift};

/// A file whose pages are looked at before their values are read.
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

/// The pages of a column, with its greatest levels of repetition and definition.
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
        // The lengths of what each text shares with the one before, then those of the rest.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Ok(()),
    };
    let mut values = values(page, levels)?;
    for _ in 0..count {
        let (lengths, rest) = differences(values)?;
        if lengths > u64::from(page.num_values()) {
            return Err(format!("{lengths} texts in a page of {} values", page.num_values()));
        }
        values = rest;
    }
    Ok(())
}

/// What follows the levels in a page of data.
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

/// Bytes of the levels that `rest` begins with.
fn level_bytes(rest: &[u8], most: i16, values: u32, encoding: Encoding) -> Option<u64> {
    match encoding {
        Encoding::RLE => Some(4 + u64::from(u32::from_le_bytes(*rest.first_chunk()?))),
        _ => Some((u64::from(values) * u64::from(u16::BITS - most.leading_zeros())).div_ceil(8)),
    }
}

/// How many differences there are, and what follows them.
fn differences(bytes: &[u8]) -> Result<(u64, &[u8])> {
    let mut source = Thrift::new(bytes, bytes.len() as u64);
    let [block, parts, count] = [source.varint()?, source.varint()?, source.varint()?];
    source.integer()?; // the first number
    let values = block
        .checked_div(parts)
        .filter(|&values| values > 0)
        .ok_or("differences in blocks of no size")?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        source.integer()?; // the smallest difference of the block
        let widths = (0..parts).map(|_| source.byte()).collect::<Result<Vec<u8>>>()?;
        for width in widths {
            if left > 0 {
                source.pass((u64::from(width) * values).div_ceil(8))?;
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
    fn differences_are_counted_and_passed_over() {
        // Blocks of 128 in 4 parts; 3 numbers, the first 5; differences from 0, of 2 bits, of which
        // 32 are stored.
        let bytes = [128, 1, 4, 3, 10, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'x'];
        assert_eq!(differences(&bytes), Ok((3, &b"x"[..])));
        // As many as memory has no room for.
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
