//! From the bytes of a file to JSON records with their places.
//!
//! | file | holds |
//! |---|---|
//! | `csv.rs`, `json_lines.rs`, `conll.rs`, `plain_text.rs`, `parquet/` | one format each |
//! | `format.rs` | what a format is to the rest of the crate |
//! | `lines.rs`, `compression.rs` | numbered lines of UTF-8, and gzip and zstd below them |
//! | `limits.rs` | sizes beyond which a file is refused |
//!
//! What a record means is no matter of its format: see [`records`](crate::records). A new format is
//! a new file that defines a [`Format`], named in [`FORMATS`].

mod compression;
mod conll;
mod csv;
mod format;
mod json_lines;
mod limits;
mod lines;
mod parquet;
mod plain_text;

pub(crate) use conll::{looks_tagged, split_tag};
pub(crate) use format::{Format, Records};
pub use limits::MAX_LINE_BYTES;

use std::path::Path;

use crate::error::DataError;

/// All formats. A file is of the first that has its extension, or of the first of all if none has.
const FORMATS: [&Format; 6] = [
    &json_lines::FORMAT,
    &csv::CSV,
    &csv::TSV,
    &conll::FORMAT,
    &parquet::FORMAT,
    // `.txt` is CoNLL above; see `format_of_documents`.
    &plain_text::FORMAT,
];

/// The format of a file, by its name.
pub(crate) fn format_of(path: &Path) -> &'static Format {
    let name = file_name(path);
    let format = split_name(&name).map(|(_, extension)| extension).and_then(with_extension);
    format.unwrap_or(FORMATS[0])
}

/// The format of a file that holds documents: `.txt` is plain text here.
pub(crate) fn format_of_documents(path: &Path) -> &'static Format {
    match split_name(&file_name(path)) {
        Some((_, extension)) if plain_text::FORMAT.extensions.contains(&extension) => {
            &plain_text::FORMAT
        }
        _ => format_of(path),
    }
}

/// Opens a file in the format of its name.
pub(crate) fn open(path: &Path) -> Result<Records, DataError> {
    (format_of(path).open)(path)
}

/// The stem and the extension of a data file's name, which may also say how the file is compressed:
/// `train` and `csv` for `train.csv.gz`. Nothing for names without the extension of a format.
pub(crate) fn split_name(name: &str) -> Option<(&str, &str)> {
    let (stem, extension) = uncompressed(name).rsplit_once('.')?;
    with_extension(extension).map(|_| (stem, extension))
}

/// A file's name without the extension of a compression.
pub(crate) fn uncompressed(name: &str) -> &str {
    [".gz", ".zst"].iter().find_map(|extension| name.strip_suffix(extension)).unwrap_or(name)
}

fn with_extension(extension: &str) -> Option<&'static Format> {
    FORMATS.into_iter().find(|format| format.extensions.contains(&extension))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        for (name, format) in [
            ("a/train.jsonl", "JSON lines"),
            ("train.CSV.gz", "CSV"),
            ("train.tsv.zst", "TSV"),
            ("a.b.txt", "CoNLL columns"),
            ("x", "JSON lines"),
            ("a.gz", "JSON lines"),
            ("p.parquet", "Parquet"),
        ] {
            assert_eq!(format_of(Path::new(name)).name, format, "{name}");
        }
        assert_eq!(format_of_documents(Path::new("a.TXT.gz")).name, "plain text");
        assert_eq!(format_of_documents(Path::new("a.csv")).name, "CSV");
    }
}
