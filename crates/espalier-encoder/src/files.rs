//! Files that are either whole or absent, and of a kind and a size that can be read.

use crate::error::{EncoderError, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path};

/// Writes a file under a temporary name and renames it, so that nobody ever reads half of it. Makes the directory.
///
/// # Errors
/// [`EncoderError::Io`] when the directory or the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes))
}

/// [`write_whole`] of what `write` writes.
pub(crate) fn write_with(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(EncoderError::io(directory))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let written = File::create(&partial).and_then(|file| {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.into_inner()?.sync_all()
    });
    written.and_then(|()| fs::rename(&partial, path)).map_err(|cause| {
        // The error that matters is the one reported; a leftover that cannot be removed either changes nothing.
        let _ = fs::remove_file(&partial);
        EncoderError::Io { path: path.to_path_buf(), cause }
    })
}

/// The most bytes of a file of weights: those of ten thousand million parameters in f32 have 40 GB.
const WEIGHTS: u64 = 64 << 30;
/// The most bytes of settings, vocabularies and lists of labels: the largest published tokenizers have some 30 MB.
const SETTINGS: u64 = 256 << 20;

/// Fails when there is nothing at a path, which is better said than that a file is missing in it.
pub(crate) fn exists(path: &Path) -> Result<()> {
    fs::metadata(path).map(drop).map_err(EncoderError::io(path))
}

/// Whether a path that stands in a file leads to somewhere below that file's directory: it is not absolute and has no `..`.
pub fn stays_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Checks, before it is opened, that a file is one with an end: neither a directory nor a device nor a pipe, and at most `largest`
/// bytes long.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name.
pub(crate) fn is_regular(path: &Path, largest: u64) -> Result<()> {
    let found = fs::metadata(path).map_err(EncoderError::io(path))?;
    let (kind, what) = match (found.is_file(), found.len()) {
        (false, _) => (io::ErrorKind::InvalidInput, "it is not a regular file".into()),
        (true, length) if length > largest => {
            (io::ErrorKind::FileTooLarge, format!("it has {length} bytes; of its kind at most {largest} are read"))
        }
        (true, _) => return Ok(()),
    };
    Err(EncoderError::io(path)(io::Error::new(kind, what)))
}

/// Reads a whole file of weights.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name, also for what is not a regular file or is larger than 64 GiB.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_regular(path, WEIGHTS)
}

/// Reads a whole file of anything but weights.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name, also for what is not a regular file or is larger than 256 MiB.
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
    let mut text = serde_json::to_string_pretty(value).map_err(EncoderError::json(path))?;
    text.push('\n');
    write_whole(path, text.as_bytes())
}
