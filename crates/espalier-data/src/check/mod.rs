//! Checks data files before training: what they contain, and which rows are invalid or suspicious.
//!
//! Everything that the readers of this crate refuse is found here too. But all rows are read, not
//! only those up to the first error.
//!
//! # Examples
//! ```
//! use espalier_data::check::{FileKind, Problem, check_file};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("faq.csv");
//! std::fs::write(&path, "question,answer\nIs it open?,Yes.\nIs it open?,Yes.\nAnd today?,\n")?;
//! let report = check_file(&path, None, None);
//! let file = &report.files[0];
//! assert_eq!((file.kind, file.rows), (Some(FileKind::Pairs), 3));
//! // The last row has no answer, and the second one is the same as the first.
//! assert!(!report.usable);
//! let problems: Vec<Problem> = file.findings.iter().map(|finding| finding.problem).collect();
//! assert_eq!(problems, [Problem::Wrong, Problem::Duplicate]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod file_kind;
mod findings;
mod report;
mod rows;
mod statistics;
mod texts;

pub use file_kind::FileKind;
pub use findings::{Finding, Problem};
pub use report::{FileReport, Report};
pub use statistics::{Group, Lengths};

use std::path::{Path, PathBuf};

use espalier_encoder::Tokenizer;

use crate::error::DataError;
use crate::formats;
use crate::splits::find_split;
use file::FileCheck;

/// Checks one file. `kind` is what it must hold; without it, the first record decides. With a
/// tokenizer, the lengths of texts are counted in its tokens too.
pub fn check_file(path: &Path, kind: Option<FileKind>, tokenizer: Option<&Tokenizer>) -> Report {
    Report::new(path, vec![FileCheck::new(path, None, kind, tokenizer).run(&mut None)])
}

/// Checks a folder: a task if it has a train split, otherwise each data file in it on its own.
///
/// # Errors
/// [`DataError::Open`] when it cannot be listed; a split that has two files.
///
/// # Examples
/// ```
/// let task = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/tasks/wikigold");
/// let reports = espalier_data::check::check_folder(task.as_ref(), None)?;
/// assert!(reports[0].usable, "{}", reports[0]);
/// assert_eq!(reports[0].files.len(), 2, "train and test");
/// # Ok::<(), espalier_data::DataError>(())
/// ```
pub fn check_folder(dir: &Path, tokenizer: Option<&Tokenizer>) -> Result<Vec<Report>, DataError> {
    let mut train = None;
    let mut files: Vec<FileReport> = Vec::new();
    for split in ["train", "dev", "test"] {
        if let Some(path) = find_split(dir, split)? {
            // What the first split holds, the others must hold too.
            let kind = files.first().map_or(Some(FileKind::Task(None)), |first| first.kind);
            files.push(FileCheck::new(&path, Some(split), kind, tokenizer).run(&mut train));
        }
    }
    if files.first().is_some_and(|first| first.role == Some("train")) {
        return Ok(vec![Report::new(dir, files)]);
    }
    Ok(data_files(dir)?.iter().map(|path| check_file(path, None, tokenizer)).collect())
}

/// The files of a folder that have the extension of a data format, sorted.
fn data_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |cause| DataError::Open { path: dir.to_owned(), cause };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        // Next to data, a .json or .txt file is more often a description than data.
        let is_data = formats::split_name(&name)
            .is_some_and(|(_, extension)| !["json", "txt"].contains(&extension));
        if is_data && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
