//! Inputs that are several files, and a directory to put files into.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What stands between the files of an input.
pub const SEPARATOR: &[u8] = b"\n=====\n";

/// The files of an input, in order. Files that are not there are empty; the last one is all that is
/// left.
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

/// Makes `directory` hold these files: an empty one is not there at all.
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

/// A file or directory of the repository's fixtures.
pub fn fixture(name: &str) -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above
        .map(|above| above.join("fixtures").join(name))
        .find(|path| path.exists())
        .expect("a fixture")
}
