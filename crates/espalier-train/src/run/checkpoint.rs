//! Checkpoints: directories with everything that a run needs to resume. They are written
//! atomically.

use super::corpora::check;
use super::error::{Result, RunError, io};
use super::state::{Origin, State, sync};
use crate::config::PrefinetuneConfig;
use crate::trainer::Trainer;
use espalier_encoder::tensors::TensorFile;
use espalier_encoder::{Backbone, files};
use safetensors::{Dtype, View};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The checkpoints of a run.
pub(super) struct Checkpoints {
    directory: PathBuf,
    origin: Origin,
    /// The number of checkpoints to keep.
    keep: usize,
}

impl Checkpoints {
    /// Opens the directory of checkpoints of a run with these inputs, and removes unfinished
    /// checkpoints of a killed process.
    pub(super) fn open(directory: PathBuf, origin: Origin, keep: usize) -> Result<Self> {
        fs::create_dir_all(&directory).map_err(io(&directory))?;
        // The target of a symbolic link may belong to another run.
        if !directory.is_symlink() {
            for path in entries(&directory)?.iter().filter(|path| is_unfinished(path)) {
                fs::remove_dir_all(path).map_err(io(path))?;
            }
        }
        Ok(Self { directory, origin, keep })
    }

    /// Writes a checkpoint of the current state. It gets its final name when everything is on disk.
    /// After that, all but the `keep` newest checkpoints are removed.
    pub(super) fn write(
        &self,
        run: &mut Trainer,
        backbone: &Backbone,
        config: &PrefinetuneConfig,
    ) -> Result<PathBuf> {
        let state = run.state();
        let path = self.directory.join(name_of(state.step));
        let partial = self.hidden(&path, UNFINISHED);
        let written = remove_all(&partial)
            .and_then(|()| Ok(run.model(backbone).save(&partial, config)?))
            .and_then(|()| write_vectors(&partial.join("state.safetensors"), run.vectors()))
            .and_then(|()| State::write(&partial, self.origin.clone(), state))
            .and_then(|()| self.remove(&path)) // a damaged checkpoint of the same step
            .and_then(|()| fs::rename(&partial, &path).map_err(io(&path)));
        if let Err(error) = written {
            // The first error is reported. If removing fails too, the next start tries again.
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
        sync(&self.directory)?;
        self.remove_old(&path)?;
        Ok(path)
    }

    /// Removes all but the `keep` newest checkpoints, and never `intact`, the newest that is known
    /// to be intact.
    fn remove_old(&self, intact: &Path) -> Result<()> {
        let old = list(&self.directory)?.into_iter().skip(self.keep);
        old.filter(|old| old != intact).try_for_each(|old| self.remove(&old))
    }

    /// Resumes the run from the newest intact checkpoint and returns its path, if there is one.
    /// Calls `damaged` for each newer checkpoint, which is skipped.
    pub(super) fn restore(
        &self,
        run: &mut Trainer,
        backbone: &Backbone,
        mut damaged: impl FnMut(&RunError),
    ) -> Result<Option<PathBuf>> {
        let mut first = None;
        for path in list(&self.directory)? {
            match State::read(&path) {
                Ok(state) => {
                    self.apply(&path, state, run, backbone)?;
                    // A killed process may not have done so.
                    self.remove_old(&path)?;
                    return Ok(Some(path));
                }
                Err(reason) => {
                    damaged(&RunError::Damaged { path, reason: reason.clone() });
                    first.get_or_insert(reason);
                }
            }
        }
        match first {
            Some(reason) => {
                Err(RunError::NoUsableCheckpoint { directory: self.directory.clone(), reason })
            }
            None => Ok(None),
        }
    }

    /// Checks that a checkpoint is of a run with the same inputs, and restores the run from it.
    fn apply(
        &self,
        path: &Path,
        state: State,
        run: &mut Trainer,
        backbone: &Backbone,
    ) -> Result<()> {
        if state.origin.backbone != backbone.fingerprint() {
            let (expected, found) = (state.origin.backbone, backbone.fingerprint().to_string());
            return Err(RunError::OtherBackbone {
                checkpoint: path.to_path_buf(),
                expected,
                found,
            });
        }
        check(&state.origin.corpora, &self.origin.corpora)?;
        if state.origin.settings.is_some() && state.origin.settings != self.origin.settings {
            let differences = vec![format!(
                "config.toml is not the one that {} was written with",
                path.display()
            )];
            let directory = self.directory.parent().unwrap_or(&self.directory).to_path_buf();
            return Err(RunError::OtherConfig { directory, differences });
        }
        let (then, now) = (&state.origin, &self.origin);
        for (then, now) in [(&then.teacher, &now.teacher), (&then.text_teacher, &now.text_teacher)]
        {
            if then != now {
                let name =
                    |teacher: &Option<String>| teacher.clone().unwrap_or("no teacher".into());
                let (expected, found) = (name(then), name(now));
                let checkpoint = path.to_path_buf();
                return Err(RunError::OtherTeacher { checkpoint, expected, found });
            }
        }
        let trained = Backbone::open(&path.join("backbone"))?;
        if trained.weights().len() != backbone.weights().len() {
            let reason = "its backbone has another shape".to_string();
            return Err(RunError::Damaged { path: path.to_path_buf(), reason });
        }
        let file = path.join("state.safetensors");
        let bytes = files::read(&file)?;
        let tensors = TensorFile::parse(&file, &bytes)?;
        run.restore(state.training, trained.weights(), |name, values| {
            Ok(tensors.read_into(name, &[values.len()], values)?)
        })?;
        Ok(())
    }

    /// Removes a checkpoint, if it exists. It is renamed first, so that a partly removed checkpoint
    /// is never read.
    fn remove(&self, path: &Path) -> Result<()> {
        let hidden = self.hidden(path, REMOVED);
        match fs::rename(path, &hidden) {
            Ok(()) => remove_all(&hidden),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io(path)(error)),
        }
    }

    /// The hidden name of a checkpoint, with a suffix.
    fn hidden(&self, path: &Path, suffix: &str) -> PathBuf {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.directory.join(format!(".{name}{suffix}"))
    }
}

/// The suffix of checkpoints that are not complete yet.
const UNFINISHED: &str = ".partial";
/// The suffix of checkpoints that are being removed.
const REMOVED: &str = ".old.partial";

/// Whether this is a checkpoint that a killed process was writing or removing.
fn is_unfinished(path: &Path) -> bool {
    let name =
        path.file_name().unwrap_or_default().to_str().and_then(|name| name.strip_prefix('.'));
    let checkpoint =
        name.and_then(|name| name.strip_suffix(REMOVED).or(name.strip_suffix(UNFINISHED)));
    let is_directory = || fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    checkpoint.and_then(step_of).is_some() && is_directory()
}

/// The name of the checkpoint of a step.
fn name_of(step: usize) -> String {
    format!("step-{step:08}")
}

/// The inverse of [`name_of`]; `None` for other names.
fn step_of(name: &str) -> Option<usize> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (name_of(step) == name).then_some(step)
}

/// Removes a directory with its contents, if it exists.
fn remove_all(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io(directory)(error)),
        _ => Ok(()),
    }
}

/// The newest checkpoint, which may be damaged.
pub(super) fn newest(directory: &Path) -> Option<PathBuf> {
    list(directory).ok()?.into_iter().next()
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(io(directory))?;
    entries.map(|entry| Ok(entry.map_err(io(directory))?.path())).collect()
}

/// All checkpoints, the newest first.
fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let step = |path: &Path| step_of(path.file_name()?.to_str()?);
    let mut steps: Vec<(usize, PathBuf)> =
        entries(directory)?.into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    steps.sort_unstable_by(|a, b| b.cmp(a));
    Ok(steps.into_iter().map(|(_, path)| path).collect())
}

/// Writes vectors as one-dimensional tensors. They are converted to bytes one at a time, to save
/// memory.
fn write_vectors(path: &Path, vectors: Vec<(String, &mut [f32])>) -> Result<()> {
    let vectors =
        vectors.into_iter().map(|(name, values)| (name, Vector { shape: [values.len()], values }));
    let written =
        safetensors::serialize_to_file(vectors, None, path).map_err(std::io::Error::other);
    written.and_then(|()| File::open(path)?.sync_all()).map_err(io(path))
}

/// A vector in the interface of the crate safetensors.
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
