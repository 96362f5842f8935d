//! The files of a task folder: one for each split.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::formats;

/// Names of the dev split.
const DEV: [&str; 4] = ["dev", "validation", "valid", "val"];

/// The file of the split `train`, `dev` or `test`, if there is one.
///
/// # Errors
/// A folder that cannot be listed, has two files of the split, or something else in its place.
pub(crate) fn find_split(dir: &Path, split: &str) -> Result<Option<PathBuf>, DataError> {
    let names = if split == "dev" { &DEV[..] } else { &[split] };
    let failed = |cause| DataError::Open { path: dir.to_owned(), cause };
    // A path that is not a folder has no splits; a folder that cannot be listed is an error.
    if !dir.is_dir() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if formats::split_name(&name).is_some_and(|(stem, _)| names.contains(&stem)) {
            found.push(name);
        }
    }
    found.sort();
    match found.as_slice() {
        [] => Ok(None),
        [name] => regular_file(dir.join(name)).map(Some),
        [first, second, ..] => Err(DataError::TwoSplits {
            dir: dir.to_owned(),
            first: first.clone(),
            second: second.clone(),
        }),
    }
}

/// The path itself, if it is a file or a link to one. Reading a pipe or a device could block, or
/// never end.
fn regular_file(path: PathBuf) -> Result<PathBuf, DataError> {
    match path.metadata() {
        Ok(metadata) if !metadata.is_file() => Err(DataError::NotAFile { path }),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_split_that_is_there_twice_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["train.jsonl", "train.jsonl.gz", "dev.csv", "val.csv", "test.txt", "x.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        for (split, expected) in [
            ("train", "both train.jsonl and train.jsonl.gz are here"),
            ("dev", "both dev.csv and val.csv are here"),
        ] {
            let error = find_split(dir.path(), split).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}: {expected}", dir.path().display())), "{error}");
        }
        assert_eq!(find_split(dir.path(), "test").unwrap(), Some(dir.path().join("test.txt")));
        assert_eq!(find_split(dir.path(), "x.txt").unwrap(), None);
    }

    #[test]
    fn pipes_and_folders_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("train.jsonl")).unwrap();
        let error = find_split(dir.path(), "train").unwrap_err().to_string();
        assert!(error.contains("train.jsonl: not a file"), "{error}");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/dev/zero", dir.path().join("test.csv")).unwrap();
            let error = find_split(dir.path(), "test").unwrap_err().to_string();
            assert!(error.contains("test.csv: not a file"), "{error}");
        }
    }
}
