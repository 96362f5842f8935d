//! Checks of the directory of a run, and the lock that keeps other processes out of it.

use super::error::{Result, RunError, io};
use espalier_encoder::files;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

/// The file with the settings of a run.
pub(super) const SETTINGS: &str = "config.toml";
const LOCK: &str = ".lock";
/// Files that show that the settings belong to a run. The lock is created first, but is lost if the
/// directory is copied without hidden files. Metrics are there from the first step on.
const MARKERS: [&str; 2] = [LOCK, "metrics.jsonl"];

/// Whether there is a run in the directory: settings, and a sign that they belong to a run.
pub(super) fn has_run(directory: &Path) -> bool {
    let exists = |name: &str| directory.join(name).exists();
    exists(SETTINGS) && MARKERS.into_iter().any(exists)
}

/// Checks that a run may start in the directory: it does not exist, is empty, or contains only the
/// files of a run that was killed before it had written its settings.
pub(super) fn check_empty(directory: &Path) -> Result<()> {
    let ours = |name: &OsStr| name == LOCK || files::is_partial_file(name, SETTINGS.as_ref());
    match files::unknown_entry(directory, ours)? {
        Some(found) => Err(RunError::NotARun { directory: directory.to_path_buf(), found }),
        None => Ok(()),
    }
}

/// Directories in the directory of a run.
const DIRECTORIES: [&str; 5] = ["checkpoints", "backbone", "columns", "adapters", "concepts"];
/// Files in the directory of a run, other than those of TensorBoard.
const FILES: [&str; 4] = [SETTINGS, "metrics.jsonl", "summary.json", "README.md"];
/// The beginning of the names of TensorBoard's files.
const EVENTS: &str = "events.out.tfevents.";

/// Checks that everything with the name of a run's file is a regular file, and everything with the
/// name of its directories a directory. Symbolic links are refused, so that nothing is read or
/// written elsewhere, and so are devices and pipes, which may never end.
pub(super) fn check_file_types(directory: &Path) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io(directory))?,
    };
    for entry in entries {
        let entry = entry.map_err(io(directory))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(io(directory))?;
        let is_file = FILES.contains(&name.as_str()) || name.starts_with(EVENTS);
        let is_directory = DIRECTORIES.contains(&name.as_str());
        if (is_file && !kind.is_file()) || (is_directory && !kind.is_dir()) {
            let found = format!("{name}, which is a link or has the wrong file type");
            return Err(RunError::NotARun { directory: directory.to_path_buf(), found });
        }
    }
    Ok(())
}

/// Locks the directory against other processes. The operating system releases the lock when this
/// process ends, even if it is killed.
pub(super) fn lock(directory: &Path) -> Result<File> {
    fs::create_dir_all(directory).map_err(io(directory))?;
    let path = directory.join(LOCK);
    let file = match File::create_new(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            // A symbolic link may point to a file that is not ours.
            if !fs::symlink_metadata(&path).map_err(io(&path))?.is_file() {
                let found = format!("{LOCK}, which is not a regular file");
                return Err(RunError::NotARun { directory: directory.to_path_buf(), found });
            }
            File::options().write(true).open(&path)
        }
        created => created,
    };
    let file = file.map_err(io(&path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(RunError::Busy { directory: directory.to_path_buf() }),
        // Some network file systems have no locks. There, other processes are not kept out.
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_may_start_only_in_an_empty_directory() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let check = || check_empty(directory.path()).map_err(|error| error.to_string());
        check_empty(&at("missing")).unwrap();
        check().unwrap();
        let held = lock(directory.path()).unwrap();
        fs::write(at("config.toml.17.partial"), "[tr").unwrap();
        check().unwrap();
        assert!(lock(directory.path()).unwrap_err().to_string().contains("another process"));
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
    fn settings_alone_are_not_a_run() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.toml"), "").unwrap();
        assert!(!has_run(directory.path()));
        fs::write(directory.path().join("metrics.jsonl"), "").unwrap();
        assert!(has_run(directory.path()));
    }

    #[test]
    #[cfg(unix)]
    fn links_with_the_names_of_a_runs_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (run, other) = (directory.path().join("run"), directory.path().join("other"));
        fs::create_dir_all(&run).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(run.join("notes.txt"), "").unwrap();
        check_file_types(&run).unwrap();
        for name in FILES.into_iter().chain(DIRECTORIES).chain(["events.out.tfevents.1.x"]) {
            std::os::unix::fs::symlink(&other, run.join(name)).unwrap();
            let refusal = check_file_types(&run).unwrap_err().to_string();
            assert!(refusal.contains(name) && refusal.contains("a link"), "{refusal}");
            fs::remove_file(run.join(name)).unwrap();
        }
    }

    #[test]
    #[cfg(unix)]
    fn the_target_of_a_linked_lock_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let run = directory.path().join("run");
        fs::create_dir(&run).unwrap();
        std::os::unix::fs::symlink(&precious, run.join(LOCK)).unwrap();
        assert!(lock(&run).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    }
}
