//! The cache: the folder that keeps downloaded backbones.
//!
//! `$ESPALIER_CACHE`, else `$XDG_CACHE_HOME/espalier`, else `~/.cache/espalier`. It has one
//! directory per model, `models/<org>--<name>/`, with the files as the hub has them. A directory is
//! filled under another name and renamed once it is complete, and the last file written into it is
//! a record of the sizes and checksums of the others. So nobody sees an incomplete directory, and
//! damage is noticed. A directory that a user put there has no record; it is used as it is if it
//! has the files that a backbone needs.
//!
//! Next to the directories, under names that begin with a dot, are locks, directories that are
//! being filled, and partial downloads. Other users may be able to write to the folder: a link or
//! a special file under one of these names is never written through, and never taken for a file
//! of ours.

use crate::error::{HubError, Result};
use crate::model_id::ModelId;
use crate::scratch::Scratch;
use espalier_encoder::digest::sha256_of_file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// The files of a model repository that espalier reads.
pub const FILES: [&str; 9] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
];
/// No file of a small encoder is larger. A file that claims to be is refused before it fills the
/// disk.
pub const MAX_FILE_BYTES: u64 = 4 << 30;
const RECORD: &str = "fetched.json";
/// An honest record has about 2 kB.
const MAX_RECORD_BYTES: u64 = 1 << 20;

/// The files that a backbone cannot do without and that `has` does not find.
pub fn missing(has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut missing: Vec<_> =
        ["config.json", "model.safetensors"].into_iter().filter(|name| !has(name)).collect();
    if !has("tokenizer.json") && !has("vocab.txt") {
        missing.push("tokenizer.json (or vocab.txt)");
    }
    missing
}

/// The environment variable `name`; an empty one counts as not set.
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `<application>` inside the user's cache folder, by the XDG rules.
pub fn user_cache(env: impl Fn(&str) -> Option<String>, application: &str) -> Option<PathBuf> {
    let home =
        || env("HOME").or_else(|| env("USERPROFILE")).map(|home| Path::new(&home).join(".cache"));
    Some(env("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join(application))
}

/// A cache folder.
pub struct Cache {
    models: PathBuf,
}

/// `fetched.json`: the files of a complete directory.
#[derive(Serialize, Deserialize)]
struct Record {
    id: String,
    files: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    sha256: String,
}

impl Cache {
    /// The cache that the environment names.
    ///
    /// # Errors
    /// [`HubError::NoCacheFolder`].
    pub fn from_env() -> Result<Self> {
        Self::from_vars(env)
    }

    fn from_vars(env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let root =
            env("ESPALIER_CACHE").map(PathBuf::from).or_else(|| user_cache(&env, "espalier"));
        root.map(|root| Self::at(&root)).ok_or(HubError::NoCacheFolder)
    }

    /// The cache in the folder `root`.
    pub fn at(root: &Path) -> Self {
        Self { models: root.join("models") }
    }

    /// The directory of `id`, whether it exists or not.
    pub fn dir(&self, id: &ModelId) -> PathBuf {
        self.models.join(id.folder())
    }

    /// The directory of `id` if it is complete by the sizes of its files.
    ///
    /// # Errors
    /// [`HubError::Incomplete`] for a directory that a user put there.
    pub fn find(&self, id: &ModelId) -> Result<Option<PathBuf>> {
        self.find_where(id, has_size)
    }

    /// [`Cache::find`] that also reads every file and compares its checksum.
    pub fn verify(&self, id: &ModelId) -> Result<Option<PathBuf>> {
        self.find_where(id, |file, entry| {
            has_size(file, entry) && sha256_of_file(file).is_ok_and(|sum| sum == entry.sha256)
        })
    }

    fn find_where(
        &self,
        id: &ModelId,
        intact: impl Fn(&Path, &Entry) -> bool,
    ) -> Result<Option<PathBuf>> {
        let dir = self.dir(id);
        if !dir.exists() {
            return Ok(None);
        }
        let complete = match fs::metadata(dir.join(RECORD)) {
            Ok(metadata) => read_record(&dir, &metadata).is_some_and(|record| {
                let listed = |name: &str| record.files.contains_key(name);
                // These names become paths, so that no others are accepted.
                let known = |name: &String| FILES.contains(&name.as_str());
                missing(listed).is_empty()
                    && record
                        .files
                        .iter()
                        .all(|(name, entry)| known(name) && intact(&dir.join(name), entry))
            }),
            Err(_) => {
                let missing = missing(|name| dir.join(name).is_file());
                if !missing.is_empty() {
                    return Err(HubError::Incomplete { directory: dir, missing });
                }
                true
            }
        };
        Ok(complete.then_some(dir))
    }

    /// Waits until no other process downloads `id`, and keeps others waiting until the returned
    /// file is dropped.
    ///
    /// # Errors
    /// [`HubError::Io`], [`HubError::NotALock`].
    pub fn lock(&self, id: &ModelId) -> Result<File> {
        fs::create_dir_all(&self.models).map_err(HubError::io(
            &self.models,
            "cannot create; set ESPALIER_CACHE to a directory that can be written",
        ))?;
        let path = self.sibling(id, "lock");
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(HubError::NotALock { path });
        }
        // Not truncated: a lock is empty, so that a file with content is not ours.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(HubError::io(&path, "cannot create"))?;
        file.lock().map_err(HubError::io(&path, "cannot lock"))?;
        Ok(file)
    }

    /// An empty directory next to that of `id`, on the same file system.
    pub fn scratch(&self, id: &ModelId, purpose: &str) -> Result<Scratch> {
        Scratch::new(self.sibling(id, purpose))
    }

    /// The directory that keeps the files downloaded for `id`, named by their checksums, until
    /// `id` is published.
    pub fn downloads(&self, id: &ModelId) -> PathBuf {
        self.sibling(id, "downloads")
    }

    /// A path that is not the directory of any model: no id begins with a dot.
    fn sibling(&self, id: &ModelId, purpose: &str) -> PathBuf {
        self.models.join(format!(".{}.{purpose}", id.folder()))
    }

    /// Writes the record into a filled directory and renames it to the directory of `id`, which it
    /// replaces if that exists.
    ///
    /// # Errors
    /// [`HubError::Io`]; [`HubError::Listing`] when a needed file is missing.
    pub fn publish(&self, id: &ModelId, filled: Scratch) -> Result<PathBuf> {
        let missing = missing(|name| filled.path().join(name).is_file());
        if !missing.is_empty() {
            return Err(HubError::listing(format!("it lacks {}", missing.join(", "))));
        }
        let record = Record { id: id.to_string(), files: entries(filled.path())? };
        let path = filled.path().join(RECORD);
        let json = serde_json::to_vec_pretty(&record).map_err(std::io::Error::from);
        json.and_then(|json| fs::write(&path, json))
            .map_err(HubError::io(&path, "cannot write"))?;
        let dir = self.dir(id);
        // Of a link, the link is removed and not its target.
        if fs::symlink_metadata(&dir).is_ok() {
            fs::remove_dir_all(&dir).map_err(HubError::io(&dir, "cannot replace"))?;
        }
        fs::rename(filled.path(), &dir).map_err(HubError::io(&dir, "cannot rename to it"))?;
        // No longer needed. Usually it does not exist.
        let _ = fs::remove_dir_all(self.downloads(id));
        Ok(dir)
    }
}

fn has_size(file: &Path, entry: &Entry) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() == entry.bytes)
}

fn read_record(dir: &Path, metadata: &fs::Metadata) -> Option<Record> {
    let sane = metadata.is_file() && metadata.len() <= MAX_RECORD_BYTES;
    let json = sane.then(|| fs::read(dir.join(RECORD)).ok()).flatten()?;
    serde_json::from_slice(&json).ok()
}

fn entries(dir: &Path) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    for name in FILES {
        let path = dir.join(name);
        if path.is_file() {
            let entry = sha256_of_file(&path)
                .and_then(|sha256| Ok(Entry { bytes: fs::metadata(&path)?.len(), sha256 }));
            let entry = entry.map_err(HubError::io(&path, "cannot read"))?;
            entries.insert(name.to_string(), entry);
        }
    }
    Ok(entries)
}

/// The size of the files of a backbone directory, in bytes.
pub fn size(dir: &Path) -> u64 {
    FILES.iter().filter_map(|name| fs::metadata(dir.join(name)).ok()).map(|m| m.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ModelId {
        ModelId::parse("org/name").unwrap()
    }

    fn fill(dir: &Path) {
        fs::create_dir_all(dir.join("1_Pooling")).unwrap();
        for name in ["config.json", "model.safetensors", "vocab.txt", "1_Pooling/config.json"] {
            fs::write(dir.join(name), name).unwrap();
        }
    }

    fn published(root: &Path) -> (Cache, PathBuf) {
        let cache = Cache::at(root);
        let scratch = cache.scratch(&id(), "partial").unwrap();
        fill(scratch.path());
        let dir = cache.publish(&id(), scratch).unwrap();
        (cache, dir)
    }

    /// A record of the files that [`fill`] writes, and of one more.
    fn with_file(name: &str, bytes: u64) -> String {
        let entry = |name: &str, bytes: u64| format!(r#""{name}":{{"bytes":{bytes},"sha256":""}}"#);
        let needed = ["config.json", "model.safetensors", "vocab.txt"]
            .map(|name| entry(name, name.len() as u64));
        format!(r#"{{"id":"org/name","files":{{{},{}}}}}"#, needed.join(","), entry(name, bytes))
    }

    #[test]
    fn the_folder_comes_from_the_environment() {
        let models = |vars: &[(&str, &str)]| {
            let vars: BTreeMap<_, _> =
                vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Cache::from_vars(|name| vars.get(name).cloned()).map(|cache| cache.models)
        };
        let all = [("ESPALIER_CACHE", "/e"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(models(&all).unwrap(), Path::new("/e/models"));
        assert_eq!(models(&all[1..]).unwrap(), Path::new("/x/espalier/models"));
        assert_eq!(models(&all[2..]).unwrap(), Path::new("/h/.cache/espalier/models"));
        assert!(models(&[]).unwrap_err().to_string().contains("ESPALIER_CACHE"));
    }

    #[test]
    fn a_published_directory_is_found_and_no_temporary_file_is_left() {
        let root = tempfile::tempdir().unwrap();
        let (cache, dir) = published(root.path());
        assert_eq!(dir, root.path().join("models/org--name"));
        assert_eq!(cache.find(&id()).unwrap(), Some(dir.clone()));
        assert_eq!(cache.verify(&id()).unwrap(), Some(dir.clone()));
        assert_eq!(fs::read_dir(root.path().join("models")).unwrap().count(), 1);
        // The four names are the contents: 11 + 17 + 9 + 21 characters.
        assert_eq!(size(&dir), 58);
    }

    #[test]
    fn damage_is_noticed_and_repaired() {
        let damages = [
            ("model.safetensors", "mod"),
            ("vocab.txt", "longer than it was"),
            (RECORD, "{\"id\":"),
            (RECORD, "{\"id\":\"org/name\",\"files\":{}}"),
        ];
        for (name, content) in damages {
            let root = tempfile::tempdir().unwrap();
            let (cache, dir) = published(root.path());
            fs::write(dir.join(name), content).unwrap();
            assert_eq!(cache.find(&id()).unwrap(), None, "{name}: {content}");
            published(root.path());
            assert_eq!(cache.verify(&id()).unwrap(), Some(dir), "{name}: {content}");
        }
    }

    #[test]
    fn only_verify_sees_a_changed_byte() {
        let root = tempfile::tempdir().unwrap();
        let (cache, dir) = published(root.path());
        fs::write(dir.join("model.safetensors"), "model.safetensorS").unwrap();
        assert!(cache.find(&id()).unwrap().is_some());
        assert!(cache.verify(&id()).unwrap().is_none());
    }

    #[test]
    fn a_record_may_only_name_files_of_a_model() {
        let root = tempfile::tempdir().unwrap();
        let (cache, dir) = published(root.path());
        fs::write(root.path().join("models/x"), "y").unwrap();
        fs::write(dir.join(RECORD), with_file("modules.json", 1)).unwrap();
        fs::write(dir.join("modules.json"), "y").unwrap();
        assert!(cache.find(&id()).unwrap().is_some());
        fs::write(dir.join(RECORD), with_file("../x", 1)).unwrap();
        assert_eq!(cache.find(&id()).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_does_not_follow_links_and_truncates_nothing() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        drop(cache.lock(&id()).unwrap());
        let (lock, thesis) =
            (root.path().join("models/.org--name.lock"), root.path().join("thesis.txt"));
        fs::write(&thesis, "years").unwrap();
        fs::remove_file(&lock).unwrap();
        fs::hard_link(&thesis, &lock).unwrap();
        drop(cache.lock(&id()).unwrap());
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(&thesis, &lock).unwrap();
        let error = cache.lock(&id()).unwrap_err().to_string();
        assert!(error.contains("must be a plain file"), "{error}");
        assert_eq!(fs::read_to_string(&thesis).unwrap(), "years");
    }

    #[test]
    fn downloads_are_removed_once_the_model_is_published() {
        let root = tempfile::tempdir().unwrap();
        let downloads = Cache::at(root.path()).downloads(&id());
        fs::create_dir_all(&downloads).unwrap();
        fs::write(downloads.join("0123"), "half").unwrap();
        published(root.path());
        assert!(!downloads.exists());
    }

    #[test]
    fn an_incomplete_directory_is_not_published() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let scratch = cache.scratch(&id(), "partial").unwrap();
        fs::write(scratch.path().join("config.json"), "{}").unwrap();
        let error = cache.publish(&id(), scratch).unwrap_err().to_string();
        assert_eq!(error, "it lacks model.safetensors, tokenizer.json (or vocab.txt)");
        assert_eq!(cache.find(&id()).unwrap(), None);
    }

    #[test]
    fn a_directory_of_a_user_is_used_if_complete_and_kept_if_not() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::at(root.path());
        let dir = cache.dir(&id());
        fill(&dir);
        assert_eq!(cache.find(&id()).unwrap(), Some(dir.clone()));
        fs::remove_file(dir.join("model.safetensors")).unwrap();
        let error = cache.find(&id()).unwrap_err().to_string();
        assert!(error.contains("org--name: lacks model.safetensors"), "{error}");
    }
}
