//! Files that are either whole or absent.

use crate::error::{EncoderError, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

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

/// Fails when there is nothing at a path, which is better said than that a file is missing in it.
pub(crate) fn exists(path: &Path) -> Result<()> {
    fs::metadata(path).map(drop).map_err(EncoderError::io(path))
}

/// Reads a whole file.
///
/// # Errors
/// [`EncoderError::Io`] with the file's name.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(EncoderError::io(path))
}

/// Reads and parses a JSON file.
///
/// # Errors
/// [`EncoderError::Io`] or [`EncoderError::Json`], with the file's name.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?).map_err(EncoderError::json(path))
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
