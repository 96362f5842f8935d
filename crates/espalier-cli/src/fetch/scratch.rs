//! Directories that are filled before they are given their name.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that is being filled. Dropped before it is published, it is removed.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory at `path`; what an interrupted run left there goes. A link goes, not what
    /// it leads to.
    pub fn new(path: PathBuf) -> Result<Self> {
        if fs::symlink_metadata(&path).is_ok() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("{}: cannot remove", path.display()))?;
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
        // Gone already when it was published; what cannot be removed now is removed by the next
        // run.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Puts a file at `to` without a second copy where the file system can.
pub fn place(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("no parent directory")?;
    fs::create_dir_all(parent).with_context(|| format!("{}: cannot create", parent.display()))?;
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("{}: cannot write", to.display()))?;
    }
    Ok(())
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

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_goes_and_what_it_leads_to_stays() {
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(other.path().join("thesis.txt"), "years").unwrap();
        for target in [other.path(), Path::new("nowhere")] {
            let path = root.path().join("org--name.partial");
            std::os::unix::fs::symlink(target, &path).unwrap();
            let scratch = Scratch::new(path.clone()).unwrap();
            assert!(fs::symlink_metadata(scratch.path()).unwrap().is_dir());
            fs::write(scratch.path().join("config.json"), "{}").unwrap();
        }
        assert_eq!(fs::read_to_string(other.path().join("thesis.txt")).unwrap(), "years");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
    }
}
