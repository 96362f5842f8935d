//! Inputs that are several files, and a directory to put files into.

use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Separates the files of an input.
pub const SEPARATOR: &[u8] = b"\n=====\n";

/// The files of an input, in order. Files that are not there are empty; the last one is the rest
/// of the input.
pub fn parts<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut rest = input;
    std::array::from_fn(|index| {
        let end = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR);
        let (part, after) = match end {
            Some(end) if index + 1 < N => (&rest[..end], &rest[end + SEPARATOR.len()..]),
            _ => (rest, &[][..]),
        };
        rest = after;
        part
    })
}

/// Calls `run` with this thread's own directory.
pub fn in_directory<T>(run: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static DIRECTORY: TempDir = TempDir::new().expect("a temporary directory");
    }
    DIRECTORY.with(|directory| run(directory.path()))
}

/// Writes these files to `directory`, and removes those that are empty.
pub fn put(directory: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = directory.join(name);
        match bytes.is_empty() {
            // It may not have been there before.
            true => drop(fs::remove_file(path)),
            false => {
                fs::create_dir_all(path.parent().unwrap_or(directory))
                    .expect("the directory can be written");
                fs::write(path, bytes).expect("the directory can be written");
            }
        }
    }
}
