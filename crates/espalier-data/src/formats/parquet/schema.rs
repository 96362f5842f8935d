//! Checks the tree of columns before the library builds it: the library allocates by the number of
//! children that a group states, and recurses into each nested group.

use std::fs::File;
use std::io::Read;

use parquet::file::reader::{ChunkReader, Length};

use super::thrift::{Result, Thrift};
use crate::formats::limits::MAX_COLUMNS;

/// Levels of nested groups.
const MAX_DEPTH: usize = 32;

/// Length of the metadata and magic bytes, at the end of the file.
const TAIL: u64 = 8;

/// Checks the tree of columns. A file that is not Parquet is left for the library to refuse.
pub(super) fn check(file: &File) -> Result<()> {
    let size = Length::len(file);
    let read = |start, length| file.get_bytes(start, length).map_err(|error| error.to_string());
    let Some(start) = size.checked_sub(TAIL) else { return Ok(()) };
    let tail = read(start, TAIL as usize)?;
    let length = tail.iter().take(4).rev().fold(0, |length, &byte| length << 8 | u64::from(byte));
    let Some(start) = start.checked_sub(length).filter(|_| tail.ends_with(b"PAR1")) else {
        return Ok(());
    };
    let mut footer = Thrift::new(file.get_read(start).map_err(|error| error.to_string())?, length);
    footer.structure(|footer, (number, _)| {
        if number != 2 {
            return Ok(false);
        }
        let (_, elements) = footer.list()?;
        if elements > MAX_COLUMNS as u64 {
            return Err(format!("{elements} columns, more than {MAX_COLUMNS}"));
        }
        let mut tree = Tree { elements, open: Vec::new() };
        (0..elements).try_for_each(|_| tree.add(children(footer)?))?;
        Ok(true)
    })
}

/// The number of children of the next element of a schema.
fn children(footer: &mut Thrift<impl Read>) -> Result<i64> {
    let mut children = 0;
    footer.structure(|footer, (number, _)| {
        if number == 5 {
            children = footer.integer()?;
        }
        Ok(number == 5)
    })?;
    Ok(children)
}

/// A tree whose nodes are added one by one, parents first.
struct Tree {
    elements: u64,
    /// For each node that is not complete, the number of its children still to come.
    open: Vec<u64>,
}

impl Tree {
    fn add(&mut self, children: i64) -> Result<()> {
        while self.open.pop_if(|children| *children == 0).is_some() {}
        if let Some(siblings) = self.open.last_mut() {
            *siblings -= 1;
        }
        match u64::try_from(children) {
            Ok(0) => {}
            Ok(children) if children < self.elements => self.open.push(children),
            _ => {
                return Err(format!(
                    "a column of {children} columns in a schema of {}",
                    self.elements
                ));
            }
        }
        if self.open.len() > MAX_DEPTH {
            return Err(format!("columns nested more than {MAX_DEPTH} deep"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_no_more_nodes_than_there_are() {
        let grow = |nodes: &[i64]| {
            let mut tree = Tree { elements: nodes.len() as u64, open: Vec::new() };
            nodes.iter().try_for_each(|&children| tree.add(children))
        };
        assert_eq!(grow(&[2, 1, 0, 0]), Ok(()));
        assert_eq!(grow(&[3, 0, 0]), Err("a column of 3 columns in a schema of 3".into()));
        assert!(grow(&[i64::from(i32::MAX), 0]).is_err() && grow(&[-1, 0]).is_err());
        assert!(grow(&[1; 100]).is_err());
    }
}
