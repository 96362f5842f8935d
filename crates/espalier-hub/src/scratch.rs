//! Directories that are filled before they get their final name.

use crate::error::{HubError, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that is being filled. It is removed when it is dropped before it was renamed.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory at `path`, in the place of one that an interrupted process left there. Of
    /// a link, the link is removed and not its target.
    ///
    /// # Errors
    /// [`HubError::Io`].
    pub fn new(path: PathBuf) -> Result<Self> {
        if fs::symlink_metadata(&path).is_ok() {
            fs::remove_dir_all(&path).map_err(HubError::io(&path, "cannot remove"))?;
        }
        fs::create_dir_all(&path).map_err(HubError::io(&path, "cannot create"))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After a rename there is nothing to remove. If removal fails, the next run does it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Puts the file `from` at `to`: as a hard link if the file system can, else as a copy.
///
/// # Errors
/// [`HubError::Io`].
pub fn link_or_copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(HubError::io(parent, "cannot create"))?;
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).map_err(HubError::io(to, "cannot write"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_an_interrupted_process_are_removed() {
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
    fn a_link_in_its_place_is_removed_but_not_its_target() {
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
