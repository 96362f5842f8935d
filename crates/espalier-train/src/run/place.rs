//! Whose a directory is: a run begins where nothing is, goes on where it began, and has no company.

use super::error::{Result, RunError, io};
use espalier_encoder::files;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

const LOCK: &str = ".lock";
/// What every run has, whatever befell it: the lock from its first moment on, unless it was copied
/// without hidden files, and metrics after that.
const SIGNS: [&str; 2] = [LOCK, "metrics.jsonl"];

/// Whether a run was begun in the directory: it has settings, and they are a run's.
pub(super) fn has_run(directory: &Path, settings: &str) -> bool {
    directory.join(settings).exists() && SIGNS.iter().any(|sign| directory.join(sign).exists())
}

/// Checks that a run may begin in the directory: it is missing, empty, or holds no more than what a
/// start leaves that was killed before it had written its settings.
pub(super) fn vacant(directory: &Path, settings: &str) -> Result<()> {
    let ours =
        |name: &std::ffi::OsStr| name == LOCK || files::is_partial_file(name, settings.as_ref());
    match files::unknown_entry(directory, ours)? {
        Some(found) => Err(RunError::NoRun { directory: directory.to_path_buf(), found }),
        None => Ok(()),
    }
}

/// Directories of a run.
const FOLDERS: [&str; 5] = ["checkpoints", "backbone", "columns", "adapters", "concepts"];
/// Files of a run; those of TensorBoard are known by how their names begin.
const FILES: [&str; 4] = ["config.toml", "metrics.jsonl", "summary.json", "README.md"];
const EVENTS: &str = "events.out.tfevents.";

/// Checks that what goes by the names of a run's files and folders is such, and no link: nothing is
/// read or written through one, and nothing without an end is opened.
pub(super) fn plain(directory: &Path) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io(directory))?,
    };
    for entry in entries {
        let entry = entry.map_err(io(directory))?;
        let (name, kind) = (
            entry.file_name().to_string_lossy().into_owned(),
            entry.file_type().map_err(io(directory))?,
        );
        let is_file = FILES.contains(&name.as_str()) || name.starts_with(EVENTS);
        if (is_file && !kind.is_file()) || (FOLDERS.contains(&name.as_str()) && !kind.is_dir()) {
            let found = format!("{name}, which is a link or of another kind than a run's");
            return Err(RunError::NoRun { directory: directory.to_path_buf(), found });
        }
    }
    Ok(())
}

/// Keeps other processes out. The system takes the lock back when this one ends, however it ends.
pub(super) fn lock(directory: &Path) -> Result<File> {
    fs::create_dir_all(directory).map_err(io(directory))?;
    let path = directory.join(LOCK);
    let file = match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // A link may lead to a file that is not ours.
            if !fs::symlink_metadata(&path).map_err(io(&path))?.is_file() {
                let found = format!("{LOCK}, which is no plain file");
                return Err(RunError::NoRun { directory: directory.to_path_buf(), found });
            }
            File::options().write(true).open(&path)
        }
        created => created,
    };
    let file = file.map_err(io(&path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(RunError::Busy { directory: directory.to_path_buf() }),
        // Some network file systems have no locks: then nobody is kept out.
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_begins_where_nothing_is() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let check = || vacant(place.path(), "config.toml").map_err(|error| error.to_string());
        vacant(&at("missing"), "config.toml").unwrap();
        check().unwrap();
        let held = lock(place.path()).unwrap();
        fs::write(at("config.toml.17.partial"), "[tr").unwrap();
        check().unwrap();
        assert!(lock(place.path()).unwrap_err().to_string().contains("another process"));
        drop(held);
        for name in ["film.mkv.partial", "config.toml", "config.toml.old.partial"] {
            fs::write(at(name), "precious").unwrap();
            let message = check().unwrap_err();
            assert!(
                message.contains(name) && message.contains("choose another directory"),
                "{message}"
            );
            fs::remove_file(at(name)).unwrap();
        }
    }

    #[test]
    fn settings_alone_are_no_run() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("config.toml"), "").unwrap();
        assert!(!has_run(place.path(), "config.toml"));
        fs::write(place.path().join("metrics.jsonl"), "").unwrap();
        assert!(has_run(place.path(), "config.toml"));
    }

    #[test]
    #[cfg(unix)]
    fn links_in_the_place_of_what_a_run_writes_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let (run, other) = (place.path().join("run"), place.path().join("other"));
        fs::create_dir_all(&run).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(run.join("notes.txt"), "").unwrap();
        plain(&run).unwrap();
        for name in FILES.into_iter().chain(FOLDERS).chain(["events.out.tfevents.1.x"]) {
            std::os::unix::fs::symlink(&other, run.join(name)).unwrap();
            let refusal = plain(&run).unwrap_err().to_string();
            assert!(refusal.contains(name) && refusal.contains("a link"), "{refusal}");
            fs::remove_file(run.join(name)).unwrap();
        }
    }

    #[test]
    #[cfg(unix)]
    fn what_the_lock_links_to_is_not_touched() {
        let place = tempfile::tempdir().unwrap();
        let precious = place.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let run = place.path().join("run");
        fs::create_dir(&run).unwrap();
        std::os::unix::fs::symlink(&precious, run.join(LOCK)).unwrap();
        assert!(lock(&run).unwrap_err().to_string().contains("no plain file"));
        assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    }
}
