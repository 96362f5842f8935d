//! Looking at data before training on it: what is in a file, and what in it is odd.
//!
//! Everything that the readers of this crate would refuse is found here too, but all rows are read,
//! not only those up to the first error.

mod file;
mod findings;
mod groups;
mod kind;
mod lengths;
mod report;
mod rows;
mod texts;

pub use findings::{Finding, Problem};
pub use groups::Group;
pub use kind::Kind;
pub use lengths::Lengths;
pub use report::{FileReport, Report};

use std::path::{Path, PathBuf};

use espalier_encoder::Tokenizer;

use super::DataError;
use super::formats::EXTENSIONS;
use super::task::find_split;
use file::FileCheck;
use rows::Train;

/// Checks one file. `kind` is what it must hold; without it, the first record decides.
pub fn check_file(path: &Path, kind: Option<Kind>, tokenizer: Option<&Tokenizer>) -> Report {
    Report::new(path, vec![FileCheck::new(path, None, kind, tokenizer).run(&mut Train::default())])
}

/// Checks a folder: a task if it has a training split, else each data file in it on its own.
///
/// # Errors
/// [`DataError::Open`] when it cannot be looked into; a split that is there twice.
pub fn check_folder(dir: &Path, tokenizer: Option<&Tokenizer>) -> Result<Vec<Report>, DataError> {
    let mut train = Train::default();
    let mut files = Vec::new();
    for split in ["train", "dev", "test"] {
        if let Some(path) = find_split(dir, split)? {
            let kind =
                files.first().map(|first: &FileReport| first.kind).unwrap_or(Some(Kind::Task));
            files.push(FileCheck::new(&path, Some(split), kind, tokenizer).run(&mut train));
        }
    }
    if files.first().is_some_and(|first| first.role == Some("train")) {
        return Ok(vec![Report::new(dir, files)]);
    }
    Ok(data_files(dir)?.iter().map(|path| check_file(path, None, tokenizer)).collect())
}

/// The files of a folder with the ending of a data format, sorted.
fn data_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |cause| DataError::Open { path: dir.to_owned(), cause };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let plain = super::formats::uncompressed(&name);
        // A .json or .txt beside the data describes it more often than it is data.
        let is_data = |(extension, _): &(&str, _)| {
            !["json", "txt"].contains(extension) && plain.ends_with(&format!(".{extension}"))
        };
        if EXTENSIONS.iter().any(is_data) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
