//! Atomic writes: a file is complete and on the disk before it gets its name.
//!
//! A file `NAME` is written as `NAME.NUMBER.partial` in the same directory, under a lock, and
//! renamed when it is complete. Partial files that a killed process has left behind are removed by
//! the next process that writes `NAME`: the lock tells whether their writer is still alive. Nothing
//! else is ever removed, and no link is followed.

use crate::error::{EncoderError, Result};
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How many names are tried for a temporary file; the first has the number of the process.
const TRIES: u32 = 64;

/// A complete file under a temporary name. Unless it is published, it is removed when dropped.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    partial: PathBuf,
    /// Kept open for its lock.
    file: File,
    published: bool,
}

impl Staged {
    /// Creates a temporary file in the directory of `path`, lets `write` fill it, and makes sure
    /// that it is on the disk. Creates the directory.
    ///
    /// # Errors
    /// [`EncoderError::Io`] when the directory or the file cannot be written; the temporary file is
    /// removed then.
    pub fn new(
        path: &Path,
        write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    ) -> Result<Self> {
        replaceable(path).map_err(EncoderError::io(path))?;
        let directory = directory_of(path);
        fs::create_dir_all(directory).map_err(EncoderError::io(directory))?;
        sweep(path);
        let (partial, file) = create(path).map_err(EncoderError::io(path))?;
        let staged = Self { path: path.to_path_buf(), partial, file, published: false };
        let mut out = BufWriter::new(&staged.file);
        let written =
            write(&mut out).and_then(|()| out.flush()).and_then(|()| staged.file.sync_all());
        // Without another attempt to write what is still in the buffer after an error.
        drop(out.into_parts());
        written.map_err(EncoderError::io(path)).map(|()| staged)
    }

    /// The temporary name that the file has until it is published.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Gives the file its name, replacing any file of that name.
    ///
    /// # Errors
    /// [`EncoderError::Io`] when it cannot be renamed.
    pub fn publish(mut self) -> Result<()> {
        fs::rename(&self.partial, &self.path).map_err(EncoderError::io(&self.path))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // If this fails, the next writer removes it.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Whether `name` is that of a partial file that a killed process may have left of the file `of`.
pub fn is_partial_file(name: &OsStr, of: &OsStr) -> bool {
    let number = name
        .as_encoded_bytes()
        .strip_prefix(of.as_encoded_bytes())
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(b".partial"));
    number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Fails if `path` is a device, a pipe or a directory, which must not be replaced by a file.
fn replaceable(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is there and no regular file: it is not replaced by one",
        )),
        _ => Ok(()),
    }
}

/// Creates and locks a partial file for `path`. Existing files and links are left alone.
fn create(path: &Path) -> io::Result<(PathBuf, File)> {
    for number in (0..TRIES).map(|more| std::process::id().wrapping_add(more)) {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{number}.partial"));
        let partial = path.with_file_name(name);
        match File::options().write(true).create_new(true).open(&partial) {
            // Before it was locked, another process may have removed it as abandoned.
            Ok(file)
                if matches!(file.try_lock(), Err(TryLockError::WouldBlock))
                    || !is_at(&file, &partial) => {}
            // Some network file systems have no locks: then abandoned files stay.
            Ok(file) => return Ok((partial, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        ErrorKind::AlreadyExists,
        "all names for a temporary file beside it are taken",
    ))
}

/// Removes partial files of `path` that killed processes have left. Failing to does no harm.
fn sweep(path: &Path) {
    let name = path.file_name().unwrap_or_default();
    for entry in fs::read_dir(directory_of(path)).into_iter().flatten().flatten() {
        // For a link this is the type of the link itself.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_partial_file(&entry.file_name(), name) {
            let _ = remove_unless_locked(&entry.path());
        }
    }
}

fn remove_unless_locked(path: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    if file.try_lock().is_ok() && is_at(&file, path) { fs::remove_file(path) } else { Ok(()) }
}

/// Whether an open file is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        #[cfg(unix)]
        (Ok(open), Ok(there)) => {
            use std::os::unix::fs::MetadataExt;
            (open.dev(), open.ino()) == (there.dev(), there.ino())
        }
        // On other systems an open file cannot be renamed or removed.
        #[cfg(not(unix))]
        (Ok(_), Ok(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn partial_files_are_recognised_by_their_exact_names() {
        let is = |name: &str| is_partial_file(name.as_ref(), "x.json".as_ref());
        assert!(is("x.json.1.partial") && is("x.json.4194304.partial"));
        for other in [
            "x.json",
            "x.json.partial",
            "x.json..partial",
            "x.json.a1.partial",
            "x.json.1.partial.gz",
        ] {
            assert!(!is(other), "{other}");
        }
        assert!(!is("y.json.1.partial") && !is("1.partial") && !is("x.json.1.2.partial"));
    }

    #[test]
    fn the_next_writer_removes_abandoned_partial_files_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let stale = ["x.1.partial", "x.77.partial"];
        let others = ["y.1.partial", "x.film.partial", "x.partial", "elsewhere"];
        stale.iter().chain(&others).for_each(|name| fs::write(at(name), "half").unwrap());
        fs::create_dir(at("x.2.partial")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(at("elsewhere"), at("x.3.partial")).unwrap();
        let live = File::create(at("x.4.partial")).unwrap();
        live.lock().unwrap();

        files::write_atomic(&at("x"), b"whole").unwrap();
        assert_eq!(fs::read(at("x")).unwrap(), b"whole");
        assert!(stale.iter().all(|name| !at(name).exists()));
        assert!(others.iter().all(|name| fs::read(at(name)).unwrap() == b"half"));
        assert!(at("x.2.partial").is_dir() && at("x.4.partial").exists());
        #[cfg(unix)]
        assert!(fs::symlink_metadata(at("x.3.partial")).unwrap().is_symlink());
        drop(live);
        files::write_atomic(&at("x"), b"again").unwrap();
        assert!(!at("x.4.partial").exists(), "its writer is gone");
    }

    #[test]
    #[cfg(unix)]
    fn nothing_is_written_through_a_link_that_lies_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("precious"), "precious").unwrap();
        std::os::unix::fs::symlink(
            at("precious"),
            at(&format!("x.{}.partial", std::process::id())),
        )
        .unwrap();
        files::write_atomic(&at("x"), b"whole").unwrap();
        assert_eq!(fs::read(at("x")).unwrap(), b"whole");
        assert_eq!(fs::read(at("precious")).unwrap(), b"precious");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn devices_pipes_and_directories_are_not_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink(&pipe, directory.path().join("link")).unwrap();
        fs::create_dir(directory.path().join("directory")).unwrap();
        for name in ["pipe", "link", "directory"] {
            let refusal =
                files::write_atomic(&directory.path().join(name), b"x").unwrap_err().to_string();
            assert!(refusal.contains(name) && refusal.contains("no regular file"), "{refusal}");
        }
        assert!(fs::metadata(pipe).unwrap().file_type().is_fifo());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn two_may_write_the_same_file_and_what_is_not_published_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let stage =
            |text: &str| Staged::new(&path, |file| file.write_all(text.as_bytes())).unwrap();
        let (first, second, third) = (stage("first"), stage("second"), stage("third"));
        assert_eq!(fs::read(first.partial()).unwrap(), b"first");
        second.publish().unwrap();
        first.publish().unwrap();
        drop(third);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
