//! Files that are either whole or absent, and of a kind and a size that can be read.

use crate::error::{EncoderError, Result};
pub use crate::staged::{Staged, is_partial_file};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Component, Path};

/// Writes a file under a temporary name and renames it, so that nobody ever reads half of it. Makes
/// the directory.
///
/// # Errors
/// [`EncoderError::Io`] when the directory or the file cannot be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    Staged::new(path, |file| file.write_all(bytes))?.publish()
}

/// Writes files that are one thing into a directory, in the place of those of the same names.
/// Readers cannot do without the first. Only when all are on the disk are the old ones removed, the
/// last first, and the first replaced; then the others follow. However that is cut short, old and
/// new never lie there together.
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

/// The name of something in a directory that is not `ours`; `None` where there is no such thing or
/// no directory.
///
/// # Errors
/// [`EncoderError::Io`] when the directory cannot be read.
pub fn unknown_entry(directory: &Path, ours: impl Fn(&OsStr) -> bool) -> Result<Option<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(EncoderError::io(directory))?,
    };
    for entry in entries {
        let name = entry.map_err(EncoderError::io(directory))?.file_name();
        if !ours(&name) {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// The most bytes of a file of weights: those of ten thousand million parameters in f32 have 40 GB.
const WEIGHTS: u64 = 64 << 30;
/// The most bytes of settings, vocabularies and lists of labels: the largest published tokenizers
/// have some 30 MB.
const SETTINGS: u64 = 256 << 20;

/// Fails when there is nothing at a path, which is better said than that a file is missing in it.
pub(crate) fn exists(path: &Path) -> Result<()> {
    fs::metadata(path).map(drop).map_err(EncoderError::io(path))
}

/// Whether a path that stands in a file leads to somewhere below that file's directory: it is not
/// absolute and has no `..`.
pub fn stays_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Checks, before it is opened, that a file is one with an end: neither a directory nor a device
/// nor a pipe, and at most `largest` bytes long.
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

/// Reads a whole file of weights.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name, also for what is not a regular file or is larger than
/// 64 GiB.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_regular(path, WEIGHTS)
}

/// Reads a whole file of anything but weights.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name, also for what is not a regular file or is larger than
/// 256 MiB.
pub fn read_settings(path: &Path) -> Result<Vec<u8>> {
    read_regular(path, SETTINGS)
}

fn read_regular(path: &Path, largest: u64) -> Result<Vec<u8>> {
    is_regular(path, largest)?;
    fs::read(path).map_err(EncoderError::io(path))
}

/// Reads and parses a JSON file.
///
/// # Errors
/// [`EncoderError::Io`], as [`read_settings`], or [`EncoderError::Json`], with the file's name.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read_settings(path)?).map_err(EncoderError::json(path))
}

/// Writes a value as indented JSON, whole or not at all.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    write_atomic(path, &json_bytes(path, value)?)
}

/// What [`write_json`] writes; `path` is for messages.
///
/// # Errors
/// [`EncoderError::Json`] for a value that JSON does not have.
pub fn json_bytes(path: &Path, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(EncoderError::json(path))?;
    text.push(b'\n');
    Ok(text)
}
