//! Files of every format as JSON values with their places, so that what a record means is written
//! once.

mod bytes;
#[cfg(feature = "parquet")]
mod class_names;
mod conll;
mod delimited;
mod jsonl;
mod lines;
mod paragraphs;
#[cfg(feature = "parquet")]
mod parquet;

pub(super) use conll::looks_tagged;
pub use lines::MAX_LINE_BYTES;

use std::path::Path;

use serde_json::Value;

use super::DataError;
use bytes::Compression;

/// The format of a file, told by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    JsonLines,
    Csv,
    Tsv,
    Conll,
    Text,
    Parquet,
}

/// Name endings and what they stand for. Files with any other are read as JSON lines.
pub(super) const EXTENSIONS: [(&str, Format); 11] = [
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
    ("json", Format::JsonLines),
    ("csv", Format::Csv),
    ("tsv", Format::Tsv),
    ("conll", Format::Conll),
    ("bio", Format::Conll),
    ("iob", Format::Conll),
    ("iob2", Format::Conll),
    ("txt", Format::Conll),
    ("parquet", Format::Parquet),
];

impl Format {
    pub fn of(path: &Path) -> Format {
        let extension = extension(path);
        EXTENSIONS
            .iter()
            .find(|(known, _)| *known == extension)
            .map_or(Format::JsonLines, |&(_, format)| format)
    }

    /// The format where texts alone are wanted: there, `.txt` is plain text.
    pub fn of_texts(path: &Path) -> Format {
        if extension(path) == "txt" { Format::Text } else { Format::of(path) }
    }

    pub fn name(self) -> &'static str {
        match self {
            Format::JsonLines => "JSON lines",
            Format::Csv => "CSV",
            Format::Tsv => "TSV",
            Format::Conll => "CoNLL columns",
            Format::Text => "plain text",
            Format::Parquet => "Parquet",
        }
    }
}

fn extension(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    uncompressed(&name).rsplit_once('.').map_or("", |(_, extension)| extension).to_owned()
}

/// A file's name without the ending that says how it is compressed.
pub(super) fn uncompressed(name: &str) -> &str {
    [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The records of a file with their places: the line that a record begins on, or, in Parquet, its
/// row; both from 1. A record that is wrong does not end them; a file that cannot be read on does.
pub(super) struct Records {
    pub format: Format,
    pub compression: Option<&'static str>,
    rows: Box<dyn Iterator<Item = Result<(usize, Value), DataError>> + Send>,
}

impl Records {
    pub fn open(path: &Path) -> Result<Records, DataError> {
        Self::open_as(path, Format::of(path))
    }

    pub fn open_as(path: &Path, format: Format) -> Result<Records, DataError> {
        let opened = |compression: Compression, rows| Records {
            format,
            compression: compression.name(),
            rows,
        };
        Ok(match format {
            Format::JsonLines => {
                let rows = jsonl::JsonLines::open(path)?;
                opened(rows.lines.compression, Box::new(rows))
            }
            Format::Csv | Format::Tsv => {
                let rows = delimited::Delimited::open(path, format == Format::Tsv)?;
                opened(rows.compression, Box::new(rows))
            }
            Format::Conll => {
                let rows = conll::Conll::open(path)?;
                opened(rows.lines.compression, Box::new(rows))
            }
            Format::Text => {
                let rows = paragraphs::Paragraphs::open(path)?;
                opened(rows.lines.compression, Box::new(rows))
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => opened(Compression::None, Box::new(parquet::open(path)?)),
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => {
                let problem = "this build does without; build with the feature `parquet`, or \
                               convert the file to JSON lines";
                return Err(DataError::Parquet { path: path.to_owned(), problem: problem.into() });
            }
        })
    }
}

impl Iterator for Records {
    type Item = Result<(usize, Value), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        for (name, format) in [
            ("a/train.jsonl", Format::JsonLines),
            ("train.CSV.gz", Format::Csv),
            ("train.tsv.zst", Format::Tsv),
            ("a.b.txt", Format::Conll),
            ("x", Format::JsonLines),
            ("a.gz", Format::JsonLines),
            ("p.parquet", Format::Parquet),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
