//! Checkpoints: directories that are whole or not there, each with all that a run needs to go on.

use super::corpora::{Corpora, check, corpora};
use super::error::{Result, RunError, io};
use crate::config::PrefinetuneConfig;
use crate::prefinetune::{Encoders, Run, Standing};
use espalier_encoder::tensors::TensorFile;
use espalier_encoder::{Backbone, files};
use safetensors::{Dtype, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The version of the format.
const FORMAT: u32 = 1;
/// Beginning and end of the names of directories that are not checkpoints yet, or no longer.
const HIDDEN: (&str, &str) = (".", ".partial");

/// What a run is made from; a checkpoint is of no use to any other run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Fingerprint of the backbone that the run starts from.
    backbone: String,
    /// What it trains on.
    corpora: Corpora,
    /// What tells its teacher from others, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    teacher: Option<String>,
}

impl Origin {
    /// That of a run of these encoders.
    pub(super) fn of(encoders: Encoders, config: &PrefinetuneConfig) -> Result<Self> {
        Ok(Self {
            backbone: encoders.backbone.fingerprint().to_string(),
            corpora: corpora(config)?,
            teacher: encoders.teacher.map(|teacher| teacher.identity().to_string()),
        })
    }
}

/// `state.json`.
#[derive(Serialize, Deserialize)]
struct State {
    format: u32,
    #[serde(flatten)]
    origin: Origin,
    standing: Standing,
    /// Every other file of the checkpoint: its SHA-256.
    files: BTreeMap<String, String>,
}

/// The run's checkpoints.
pub(super) struct Checkpoints {
    directory: PathBuf,
    origin: Origin,
}

impl Checkpoints {
    /// Those in `directory`, of runs of this origin. What a killed process left half done is removed.
    pub(super) fn open(directory: PathBuf, origin: Origin) -> Result<Self> {
        fs::create_dir_all(&directory).map_err(io(&directory))?;
        for path in entries(&directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(HIDDEN.0) && name.ends_with(HIDDEN.1) {
                fs::remove_dir_all(&path).map_err(io(&path))?;
            }
        }
        Ok(Self { directory, origin })
    }

    /// Writes where the run stands. Only when all of it is on the disk does it get its name, and only then do all but the
    /// `keep` newest checkpoints go.
    pub(super) fn write(&self, run: &mut Run, backbone: &Backbone, config: &PrefinetuneConfig) -> Result<PathBuf> {
        let standing = run.standing();
        let path = self.directory.join(format!("step-{:08}", standing.step));
        let partial = self.hidden(&path);
        let written = run
            .model(backbone)
            .save(&partial, config)
            .and_then(|()| write_vectors(&partial.join("state.safetensors"), run.vectors()))
            .and_then(|()| {
                let state =
                    State { format: FORMAT, origin: self.origin.clone(), standing, files: checksums(&partial)? };
                Ok(files::write_json(&partial.join("state.json"), &state)?)
            })
            .and_then(|()| self.remove(&path)) // one of this step that was found damaged
            .and_then(|()| fs::rename(&partial, &path).map_err(io(&path)));
        if let Err(error) = written {
            // The error that matters is the one reported; what cannot be removed now is removed at the next start.
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
        sync(&self.directory)?;
        list(&self.directory)?.iter().skip(config.train.keep_checkpoints).try_for_each(|old| self.remove(old))?;
        Ok(path)
    }

    /// Takes the run to the newest whole checkpoint and returns that, if there is one. Tells `damaged` of those passed over.
    pub(super) fn restore(
        &self,
        run: &mut Run,
        backbone: &Backbone,
        mut damaged: impl FnMut(&RunError),
    ) -> Result<Option<PathBuf>> {
        let mut first = None;
        for path in list(&self.directory)? {
            match read_state(&path) {
                Ok(state) => {
                    self.apply(&path, state, run, backbone)?;
                    return Ok(Some(path));
                }
                Err(reason) => {
                    damaged(&RunError::Damaged { path, reason: reason.clone() });
                    first.get_or_insert(reason);
                }
            }
        }
        match first {
            Some(reason) => Err(RunError::NoWholeCheckpoint { directory: self.directory.clone(), reason }.into()),
            None => Ok(None),
        }
    }

    fn apply(&self, path: &Path, state: State, run: &mut Run, backbone: &Backbone) -> Result<()> {
        if state.origin.backbone != backbone.fingerprint() {
            let (expected, found) = (state.origin.backbone, backbone.fingerprint().to_string());
            return Err(RunError::OtherBackbone { checkpoint: path.to_path_buf(), expected, found }.into());
        }
        check(&state.origin.corpora, &self.origin.corpora)?;
        if state.origin.teacher != self.origin.teacher {
            let name = |teacher: &Option<String>| teacher.clone().unwrap_or("no teacher".into());
            let (expected, found) = (name(&state.origin.teacher), name(&self.origin.teacher));
            return Err(RunError::OtherTeacher { checkpoint: path.to_path_buf(), expected, found }.into());
        }
        let trained = Backbone::open(&path.join("backbone"))?;
        if trained.weights().len() != backbone.weights().len() {
            let reason = "its backbone has another shape".to_string();
            return Err(RunError::Damaged { path: path.to_path_buf(), reason }.into());
        }
        let file = path.join("state.safetensors");
        let bytes = files::read(&file)?;
        let tensors = TensorFile::parse(&file, &bytes)?;
        run.restore(state.standing, trained.weights(), |name, values| {
            Ok(tensors.read_into(name, &[values.len()], values)?)
        })
    }

    /// Removes a checkpoint, if it is there. It loses its name first, so that no half of it is ever taken for a checkpoint.
    fn remove(&self, path: &Path) -> Result<()> {
        let hidden = self.hidden(path).with_extension("old.partial");
        match fs::rename(path, &hidden) {
            Ok(()) => fs::remove_dir_all(&hidden).map_err(io(&hidden)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io(path)(error)),
        }
    }

    fn hidden(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.directory.join(format!("{}{name}{}", HIDDEN.0, HIDDEN.1))
    }
}

/// The newest checkpoint by name, whole or not.
pub(super) fn newest(directory: &Path) -> Option<PathBuf> {
    list(directory).ok()?.into_iter().next()
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(io(directory))?;
    entries.map(|entry| Ok(entry.map_err(io(directory))?.path())).collect()
}

/// The checkpoints by name, the newest first.
fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let step = |path: &Path| path.file_name()?.to_str()?.strip_prefix("step-")?.parse::<usize>().ok();
    let mut steps: Vec<(usize, PathBuf)> =
        entries(directory)?.into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    Ok(steps.into_iter().map(|(_, path)| path).collect())
}

/// The state of a checkpoint of which every file is as it was written, or else what is wrong with it.
fn read_state(path: &Path) -> Result<State, String> {
    let state: State = files::read_json(&path.join("state.json")).map_err(|error| error.to_string())?;
    if state.format != FORMAT {
        return Err(format!("format {} instead of {FORMAT}", state.format));
    }
    for (name, checksum) in &state.files {
        // The names are read from a file, and must not lead to just any place.
        if !files::stays_below(name.as_ref()) || !path.join(name).is_file() {
            return Err(format!("{name} is no file of a checkpoint"));
        }
        let found = sha256(&path.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if found != *checksum {
            return Err(format!("{name} is not as it was written"));
        }
    }
    Ok(state)
}

/// SHA-256 of every file below the directory, by its path from there.
fn checksums(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(path) = open.pop() {
        // A link to a directory is no directory, so that links in a circle end the walk.
        if fs::symlink_metadata(&path).map_err(io(&path))?.is_dir() {
            open.extend(entries(&path)?);
            sync(&path)?;
        } else {
            let name: Vec<_> =
                path.strip_prefix(directory).into_iter().flatten().map(|part| part.to_string_lossy()).collect();
            sums.insert(name.join("/"), sha256(&path).map_err(io(&path))?);
        }
    }
    Ok(sums)
}

/// SHA-256 of a file, in hexadecimal digits.
pub(crate) fn sha256(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(super::hex(&hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// Makes sure that the names in a directory are on the disk, where the system can do that.
fn sync(directory: &Path) -> Result<()> {
    if cfg!(unix) { File::open(directory).and_then(|file| file.sync_all()).map_err(io(directory)) } else { Ok(()) }
}

/// Writes the vectors as tensors of one dimension, one after the other: they are converted to bytes one at a time.
fn write_vectors(path: &Path, vectors: Vec<(String, &mut [f32])>) -> Result<()> {
    let vectors = vectors.into_iter().map(|(name, values)| (name, Vector { shape: [values.len()], values }));
    let written = safetensors::serialize_to_file(vectors, None, path).map_err(std::io::Error::other);
    written.and_then(|()| File::open(path)?.sync_all()).map_err(io(path))
}

/// A vector as safetensors sees it.
struct Vector<'a> {
    shape: [usize; 1],
    values: &'a [f32],
}

impl View for Vector<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.values)
    }
}
