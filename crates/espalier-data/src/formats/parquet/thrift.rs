//! The part of Thrift's compact protocol that Parquet's metadata need: reading a few numbers and
//! skipping the rest.

use std::io::{self, Read};

/// A result whose error is the text of a message.
pub(super) type Result<T> = std::result::Result<T, String>;

/// Levels of nested values. Those of Parquet are not that deep.
const MAX_DEPTH: usize = 24;

const TRUE: u8 = 1;
pub(super) const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Reads values one after the other.
pub(super) struct Thrift<R> {
    source: R,
    /// Bytes that may still be read.
    left: u64,
}

/// A field of a struct: its number and the type of its value, which is the next to read.
pub(super) type Field = (i16, u8);

impl<R: Read> Thrift<R> {
    /// Reads at most `length` bytes.
    pub fn new(source: R, length: u64) -> Self {
        Self { source, left: length }
    }

    /// Bytes that have not been read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Reads a byte.
    pub fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.left = self.left.checked_sub(1).ok_or("the metadata break off")?;
        self.source.read_exact(&mut byte).map_err(|_| "the metadata break off")?;
        Ok(byte[0])
    }

    /// Reads an unsigned varint: 7 bits in each byte.
    pub fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number in the metadata has no end".into())
    }

    /// Reads a signed integer (zigzag).
    pub fn integer(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The next field of a struct, or nothing at its end; `last` is the number of the field before.
    fn field(&mut self, last: i16) -> Result<Option<Field>> {
        let byte = self.byte()?;
        let (delta, kind) = (byte >> 4, byte & 0xf);
        if kind == 0 {
            return Ok(None);
        }
        let number = match delta {
            0 => i16::try_from(self.integer()?).ok(),
            delta => last.checked_add(delta.into()),
        };
        Ok(Some((number.ok_or("a field in the metadata has no number")?, kind)))
    }

    /// Reads a struct. `read` either reads the value of a field and returns true, or returns false
    /// to skip it.
    pub fn structure(
        &mut self,
        mut read: impl FnMut(&mut Self, Field) -> Result<bool>,
    ) -> Result<()> {
        let mut last = 0;
        while let Some(field) = self.field(last)? {
            if !read(self, field)? {
                self.skip(field.1, 0)?;
            }
            last = field.0;
        }
        Ok(())
    }

    /// The type and the number of the elements of a list, which are the next to read.
    pub fn list(&mut self) -> Result<(u8, u64)> {
        let byte = self.byte()?;
        let length = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
        // Every element takes a byte or more.
        if length > self.left {
            return Err("a list in the metadata is longer than they are".into());
        }
        Ok((byte & 0xf, length))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(format!("the metadata are nested more than {MAX_DEPTH} deep"));
        }
        match kind {
            TRUE | FALSE => Ok(()),
            BYTE => self.skip_bytes(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.skip_bytes(8),
            BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            LIST | SET => {
                let (kind, length) = self.list()?;
                (0..length).try_for_each(|_| self.skip(element(kind), depth + 1))
            }
            MAP => {
                let length = self.varint()?;
                let kinds = if length > 0 { self.byte()? } else { 0 };
                (0..length).try_for_each(|_| {
                    self.skip(element(kinds >> 4), depth + 1)?;
                    self.skip(element(kinds & 0xf), depth + 1)
                })
            }
            STRUCT => {
                let mut last = 0;
                while let Some((number, kind)) = self.field(last)? {
                    self.skip(kind, depth + 1)?;
                    last = number;
                }
                Ok(())
            }
            other => Err(format!("the metadata hold a value of the unknown type {other}")),
        }
    }

    /// Skips bytes.
    pub fn skip_bytes(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or("the metadata break off")?;
        let skipped = io::copy(&mut self.source.by_ref().take(bytes), &mut io::sink());
        if skipped.is_ok_and(|skipped| skipped == bytes) {
            Ok(())
        } else {
            Err("the metadata break off".into())
        }
    }
}

/// The type of an element. A boolean in a collection takes a byte; only a field has it in its type.
fn element(kind: u8) -> u8 {
    if matches!(kind, TRUE | FALSE) { BYTE } else { kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bytes: &[u8]) -> Result<Vec<(i16, i64)>> {
        let (mut found, mut thrift) = (Vec::new(), Thrift::new(bytes, bytes.len() as u64));
        thrift.structure(|thrift, (number, kind)| {
            if kind == I32 {
                found.push((number, thrift.integer()?));
            }
            Ok(kind == I32)
        })?;
        assert_eq!(thrift.left(), 0);
        Ok(found)
    }

    #[test]
    fn numbers_are_read_and_the_rest_is_skipped() {
        // 1: i32 -3; 2: binary "ab"; 3: list of 2 i16; 4: struct { 1: true }; 20: i32 300.
        let bytes =
            [0x15, 5, 0x18, 2, b'a', b'b', 0x19, 0x24, 2, 4, 0x1c, 0x11, 0, 0x05, 40, 0xd8, 4, 0];
        assert_eq!(numbers(&bytes), Ok(vec![(1, -3), (20, 300)]));
        (0..bytes.len()).for_each(|end| assert!(numbers(&bytes[..end]).is_err(), "{end}"));
    }

    #[test]
    fn lengths_and_depths_are_limited() {
        for bytes in [
            // A list of 2^31 structs; a text of 2^40 bytes; a map of 2^60 empty values; a number
            // without end; structs nested 100,000 deep.
            &[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 7][..],
            &[0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
            &[0x1b, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10, 0x11],
            &[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x1c; 100_000],
        ] {
            assert!(numbers(bytes).is_err());
        }
    }
}
