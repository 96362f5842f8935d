//! Directories that are filled before they are given their name.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that is being filled. Dropped before it is published, it is removed.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory at `path`; what an interrupted run left there goes.
    pub fn new(path: PathBuf) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("{}: cannot remove", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot create", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Gone already when it was published; what cannot be removed now is removed by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interrupted_run_left_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        let left = root.path().join("org--name.partial");
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("model.safetensors"), "half").unwrap();
        let scratch = Scratch::new(left.clone()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        drop(scratch);
        assert!(!left.exists());
    }
}
