//! Reading files of a bounded kind and size, and writing them atomically.

mod staged;

pub use staged::{Staged, is_partial_file};

use crate::error::{EncoderError, Result};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path};

/// The largest file of weights in bytes: ten billion parameters in f32 take 40 GB.
const LARGEST_WEIGHTS: u64 = 64 << 30;
/// The largest configuration, vocabulary or list of labels in bytes: the largest published
/// tokenizers have some 30 MB.
const LARGEST_SETTINGS: u64 = 256 << 20;

/// Reads a file of weights.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name, also for what is not a regular file or is larger than
/// 64 GiB.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_regular(path, LARGEST_WEIGHTS)
}

/// Reads a file of anything but weights.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name, also for what is not a regular file or is larger than
/// 256 MiB.
pub fn read_settings(path: &Path) -> Result<Vec<u8>> {
    read_regular(path, LARGEST_SETTINGS)
}

/// Reads and parses a JSON file.
///
/// # Errors
/// [`EncoderError::Io`], as [`read_settings`], or [`EncoderError::Json`], with the file's name.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read_settings(path)?).map_err(EncoderError::json(path))
}

fn read_regular(path: &Path, largest: u64) -> Result<Vec<u8>> {
    is_regular(path, largest)?;
    fs::read(path).map_err(EncoderError::io(path))
}

/// Checks, before it is opened, that a path names a regular file (neither a directory nor a device
/// nor a pipe) of at most `largest` bytes.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name.
pub(crate) fn is_regular(path: &Path, largest: u64) -> Result<()> {
    let found = fs::metadata(path).map_err(EncoderError::io(path))?;
    let (kind, what) = match (found.is_file(), found.len()) {
        (false, _) => (ErrorKind::InvalidInput, "it is not a regular file".into()),
        (true, length) if length > largest => (
            ErrorKind::FileTooLarge,
            format!("it has {length} bytes; of its kind at most {largest} are read"),
        ),
        (true, _) => return Ok(()),
    };
    Err(EncoderError::io(path)(io::Error::new(kind, what)))
}

/// Fails if there is nothing at a path. That is a better message than that a file is missing in a
/// directory that does not exist.
pub(crate) fn exists(path: &Path) -> Result<()> {
    fs::metadata(path).map(drop).map_err(EncoderError::io(path))
}

/// Whether a relative path that is named in a file stays below that file's directory: it is not
/// absolute and has no `..`.
pub fn stays_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The name of an entry of a directory for which `is_known` is false; `None` if there is none, or
/// no directory.
///
/// # Errors
/// [`EncoderError::Io`] when the directory cannot be read.
pub fn unknown_entry(
    directory: &Path,
    is_known: impl Fn(&OsStr) -> bool,
) -> Result<Option<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(EncoderError::io(directory))?,
    };
    for entry in entries {
        let name = entry.map_err(EncoderError::io(directory))?.file_name();
        if !is_known(&name) {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// Writes a file under a temporary name and renames it, so that nobody ever reads an incomplete
/// one. Creates the directory.
///
/// # Errors
/// [`EncoderError::Io`] when the directory or the file cannot be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    Staged::new(path, |file| file.write_all(bytes))?.publish()
}

/// Writes several files of a directory as a unit, replacing files of the same names. The first must
/// be one that readers cannot do without.
///
/// Once all are on the disk under temporary names, the old files are removed, the last first, and
/// the first is replaced; then the others follow. Whenever this is interrupted, old and new files
/// are never mixed.
///
/// # Errors
/// [`EncoderError::Io`] when a file cannot be written, replaced or removed.
pub fn write_set(directory: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let paths: Vec<_> = files.iter().map(|(name, _)| directory.join(name)).collect();
    let stage =
        |(path, (_, bytes)): (_, &(&str, &[u8]))| Staged::new(path, |file| file.write_all(bytes));
    let staged = paths
        .iter()
        .map(|path| path.as_path())
        .zip(files)
        .map(stage)
        .collect::<Result<Vec<_>>>()?;
    for old in paths.iter().skip(1).rev() {
        match fs::remove_file(old) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(EncoderError::io(old)(error));
            }
            _ => {}
        }
    }
    staged.into_iter().try_for_each(Staged::publish)
}

/// Writes a value as indented JSON, atomically.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    write_atomic(path, &json_bytes(path, value)?)
}

/// The bytes that [`write_json`] writes; `path` is named in errors.
///
/// # Errors
/// [`EncoderError::Json`] for a value that JSON cannot represent.
pub fn json_bytes(path: &Path, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(EncoderError::json(path))?;
    text.push(b'\n');
    Ok(text)
}
