//! What all formats have in common: a name, file name extensions, and a way to open a file as
//! [`Records`].

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::compression::Compression;
use crate::error::{DataError, RecordError};

/// A file format. Each has a file of its own that defines it.
pub(crate) struct Format {
    /// For reports.
    pub name: &'static str,
    /// Extensions of file names, in lower case.
    pub extensions: &'static [&'static str],
    /// Opens a file of this format.
    pub open: fn(&Path) -> Result<Records, DataError>,
}

/// A record as JSON with its place: the number of the line it begins on or, in Parquet, of its row.
/// Both count from 1.
pub(super) type Numbered = (usize, Value);

/// The records of a file. After an invalid record the next one follows; after an error of reading
/// nothing does.
pub(crate) struct Records {
    path: PathBuf,
    compression: Compression,
    records: Box<dyn Iterator<Item = Result<Numbered, DataError>> + Send>,
}

impl Records {
    pub(super) fn new(
        path: &Path,
        compression: Compression,
        records: impl Iterator<Item = Result<Numbered, DataError>> + Send + 'static,
    ) -> Self {
        Self { path: path.to_owned(), compression, records: Box::new(records) }
    }

    /// The name of the compression, if the file is compressed.
    pub fn compression(&self) -> Option<&'static str> {
        self.compression.name()
    }

    /// What `parse` makes of each record. It gets the record's place and value; its errors get the
    /// file and the place.
    pub fn parse<T, F>(self, mut parse: F) -> impl Iterator<Item = Result<T, DataError>> + use<T, F>
    where
        F: FnMut(usize, &Value) -> Result<T, RecordError>,
    {
        let (path, records) = (self.path, self.records);
        records.map(move |record| {
            let (line, value) = record?;
            parse(line, &value).map_err(|problem| DataError::Record {
                path: path.clone(),
                line,
                problem,
            })
        })
    }
}

impl Iterator for Records {
    type Item = Result<Numbered, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.records.next()
    }
}
