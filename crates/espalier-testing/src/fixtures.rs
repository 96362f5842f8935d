//! The repository's fixtures, and copies of them to damage.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file or directory of the repository's fixtures.
pub fn fixture(name: &str) -> PathBuf {
    repository().join("fixtures").join(name)
}

/// The tiny BERT that all recorded numbers belong to.
#[cfg(feature = "encoder")]
pub fn tiny_bert() -> espalier_encoder::Backbone {
    let opened = espalier_encoder::Backbone::open(&fixture("tiny-bert"));
    opened.expect("fixtures/tiny-bert is a complete model")
}

/// A fresh directory with a copy of a fixture directory.
pub fn copy_of(name: &str) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    copy(&fixture(name), directory.path());
    directory
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// The content of a JSON file.
pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A change to a JSON file, for tables of them.
pub type Edit = fn(&mut Value);

/// Changes a JSON file in place.
pub fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = read_json(path);
    edit(&mut value);
    fs::write(path, value.to_string()).unwrap();
}
