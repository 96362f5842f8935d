use super::*;

#[cfg(unix)]
mod links {
    use super::*;
    use crate::hub::fake::{COMMIT, CONFIG, MODEL, VOCAB};
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn id() -> ModelId {
        ModelId::parse("org/name").unwrap()
    }

    /// A folder with config.json and vocab.txt as the hub's tools leave them, and
    /// model.safetensors, a link to `target`.
    fn hf_home(target: &Path) -> (TempDir, HfHome) {
        let home = tempfile::tempdir().unwrap();
        let repository = home.path().join("hub/models--org--name");
        let snapshot = repository.join("snapshots").join(COMMIT);
        for folder in [&repository.join("blobs"), &repository.join("refs"), &snapshot] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(repository.join("refs/main"), format!("{COMMIT}\n")).unwrap();
        for (name, text, sum) in [CONFIG, VOCAB, MODEL] {
            fs::write(repository.join("blobs").join(sum), text).unwrap();
            let link = format!("../../blobs/{sum}");
            symlink(if name == MODEL.0 { target } else { Path::new(&link) }, snapshot.join(name))
                .unwrap();
        }
        let folder = HfHome::at(home.path().into());
        (home, folder)
    }

    #[test]
    fn links_are_followed_to_blobs_only() {
        let blob = format!("../../blobs/{}", MODEL.2);
        let (_home, complete) = hf_home(Path::new(&blob));
        let names: Vec<_> =
            complete.snapshot(&id()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [CONFIG.0, MODEL.0, VOCAB.0]);
        // The right content and name, in another folder.
        let outside = tempfile::tempdir().unwrap();
        let copy = outside.path().join(MODEL.2);
        fs::write(&copy, MODEL.1).unwrap();
        for target in
            [&copy, Path::new("/etc/passwd"), Path::new("/dev/zero"), Path::new("../../refs/main")]
        {
            assert!(hf_home(target).1.snapshot(&id()).is_none(), "{}", target.display());
        }
    }

    #[test]
    fn a_blob_that_links_to_another_is_refused() {
        let (home, cache) = hf_home(Path::new("nowhere"));
        let blobs = home.path().join("hub/models--org--name/blobs");
        let checksum = Checksum::parse(MODEL.2).unwrap();
        assert!(cache.blob(&id(), &checksum).is_some());
        fs::remove_file(blobs.join(MODEL.2)).unwrap();
        symlink(VOCAB.2, blobs.join(MODEL.2)).unwrap();
        assert!(cache.blob(&id(), &checksum).is_none());
    }

    #[test]
    fn a_commit_that_is_a_path_is_not_followed() {
        let blob = format!("../../blobs/{}", MODEL.2);
        let (home, cache) = hf_home(Path::new(&blob));
        let main = home.path().join("hub/models--org--name/refs/main");
        fs::write(&main, format!("../snapshots/{COMMIT}")).unwrap();
        assert!(cache.snapshot(&id()).is_none());
        fs::remove_file(&main).unwrap();
        symlink("/dev/zero", &main).unwrap();
        assert!(cache.snapshot(&id()).is_none());
    }
}

#[test]
fn the_token_is_one_line_of_a_small_file() {
    let home = tempfile::tempdir().unwrap();
    let cache = HfHome::at(home.path().into());
    let file = home.path().join("token");
    assert_eq!(cache.token(), None);
    for (text, token) in [("hf_abc\n", Some("hf_abc")), ("\n", None), (&"x".repeat(5000), None)] {
        fs::write(&file, text).unwrap();
        assert_eq!(cache.token().as_deref(), token);
    }
}
