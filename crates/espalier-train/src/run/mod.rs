//! Runs of pretraining and pre-finetuning in a directory, with checkpoints. A run whose process was
//! killed can be resumed, and gives the same model, bit for bit.
//!
//! | in the directory | |
//! |---|---|
//! | `config.toml` | all settings, independent of the machine and the current directory |
//! | `metrics.jsonl` | the metrics, a line per step |
//! | `events.out.tfevents.*` | the same for TensorBoard |
//! | `checkpoints/` | the last few checkpoints |
//! | `backbone/`, `columns/`, `adapters/`, `concepts/` | the final model |
//! | `README.md` | its model card |
//! | `summary.json` | the result; written last |

mod card;
mod checkpoint;
mod corpora;
mod directory;
mod error;
mod events;
mod log;
mod settings;
mod state;
mod summary;

pub use error::RunError;
pub use settings::fingerprint as settings_fingerprint;
pub use summary::Summary;

use crate::config::PrefinetuneConfig;
use crate::error::TrainError;
use crate::trainer::{Encoders, StepReport, Trainer};
use checkpoint::Checkpoints;
use error::Result;
use espalier_encoder::{Backbone, files};
use log::Log;
use state::Origin;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// An event of a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent<'a> {
    /// A checkpoint is damaged and is skipped.
    Damaged(&'a RunError),
    /// The run resumes after this many steps.
    Resumed(usize),
    /// A step is done.
    Step(&'a StepReport),
    /// A checkpoint was written.
    Checkpoint(&'a Path),
}

/// How [`RunDirectory::train`] ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The run is finished, and the model is in the directory.
    Finished(Summary),
    /// The observer stopped the run. It can be resumed from its last checkpoint.
    Halted {
        /// The number of steps done.
        step: usize,
    },
}

/// The directory of a run.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The directory at `path`, which does not have to exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path of `config.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.path.join(directory::SETTINGS)
    }

    /// Checks that the files of a run are regular files, and not symbolic links or devices.
    ///
    /// # Errors
    /// [`RunError::NotARun`].
    pub fn check_files(&self) -> Result<()> {
        directory::check_file_types(&self.path)
    }

    /// Whether the directory contains a run.
    pub fn has_run(&self) -> bool {
        directory::has_run(&self.path)
    }

    /// The result of the run; `None` if it is not finished.
    ///
    /// # Errors
    /// [`TrainError`] if the file cannot be read.
    pub fn finished(&self) -> Result<Option<Summary>> {
        let path = self.path.join("summary.json");
        Ok(if path.exists() { Some(files::read_json(&path)?) } else { None })
    }

    /// Checks that a run with these settings may start here or, with `resume`, be resumed.
    ///
    /// # Errors
    /// [`RunError::NotARun`] if the directory contains other files; [`RunError::Exists`];
    /// [`RunError::OtherConfig`]; [`TrainError`] if the settings of the run cannot be read.
    pub fn check(&self, config: &PrefinetuneConfig, resume: bool) -> Result<()> {
        directory::check_file_types(&self.path)?;
        match (self.has_run(), resume) {
            (false, _) => directory::check_empty(&self.path),
            (true, false) => Err(RunError::Exists { directory: self.path.clone() }),
            (true, true) => {
                let then = PrefinetuneConfig::read(&self.config_file(), &[])?;
                settings::check(&self.path, &then, &settings::resolved(config))
            }
        }
    }

    /// [`RunDirectory::check`], then [`RunDirectory::finished`].
    fn check_finished(&self, config: &PrefinetuneConfig, resume: bool) -> Result<Option<Summary>> {
        self.check(config, resume)?;
        self.finished()
    }

    /// Trains a backbone and saves the model in the directory.
    ///
    /// With `resume`, a run that is already there continues from its newest intact checkpoint, or
    /// from the beginning if it has none. The model is the same, bit for bit, as without the
    /// interruption.
    ///
    /// If `observe` returns `Break` on [`RunEvent::Step`], the run writes a checkpoint and halts.
    /// For other events the returned value is ignored.
    ///
    /// ```
    /// use espalier_encoder::Backbone;
    /// use espalier_train::PrefinetuneConfig;
    /// use espalier_train::run::{Outcome, RunDirectory, RunEvent};
    /// use espalier_train::strategy::Strategy;
    /// use std::ops::ControlFlow;
    ///
    /// # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
    /// # let directory = tempfile::tempdir()?;
    /// let backbone = Backbone::open(model.as_ref())?;
    /// let corpus = directory.path().join("pairs.jsonl");
    /// let pairs = r#"{"anchor": "a cheap hotel", "positive": "about hotels"}
    ///                {"anchor": "a train to paris", "positive": "about trains"}"#;
    /// std::fs::write(&corpus, pairs)?;
    /// let mut config = PrefinetuneConfig::default();
    /// (config.strategy, config.train.steps) = (Strategy::TC, 3);
    /// config.tc.corpora = vec![corpus.into()];
    ///
    /// // Halts after step 2.
    /// let run = RunDirectory::new(directory.path().join("run"));
    /// let outcome = run.train(&backbone, &config, false, |event| match event {
    ///     RunEvent::Step(report) if report.step == 2 => ControlFlow::Break(()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert!(matches!(outcome, Outcome::Halted { step: 2 }));
    ///
    /// // Resumes with step 3.
    /// let outcome = run.train(&backbone, &config, true, |event| {
    ///     if let RunEvent::Resumed(steps) = event {
    ///         assert_eq!(steps, 2);
    ///     }
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert!(matches!(outcome, Outcome::Finished(summary) if summary.step == 3));
    /// Backbone::open(&directory.path().join("run/backbone"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`RunDirectory::check`]; [`TrainError`] for an invalid configuration, unreadable
    /// corpora, or files that cannot be written; [`RunError`] if a checkpoint is of another
    /// backbone or of other corpora, if all checkpoints are damaged, or if a loss or a gradient is
    /// not finite.
    pub fn train<'e>(
        &self,
        encoders: impl Into<Encoders<'e>>,
        config: &PrefinetuneConfig,
        resume: bool,
        mut observe: impl FnMut(RunEvent) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        if let Some(summary) = self.check_finished(config, resume)? {
            return Ok(Outcome::Finished(summary));
        }
        let config = &settings::resolved(config);
        let encoders = encoders.into();
        let backbone = encoders.backbone;
        let mut run = Trainer::new(encoders, config)?;
        let origin = Origin::new(encoders, config)?;
        let _lock = directory::lock(&self.path)?;
        // Again under the lock: another process may have started or finished a run in between.
        if let Some(summary) = self.check_finished(config, resume)? {
            return Ok(Outcome::Finished(summary));
        }
        let resumes = self.has_run();
        if !resumes {
            files::write_atomic(&self.config_file(), config.to_toml().as_bytes())?;
        }
        let keep = config.train.keep_checkpoints;
        let checkpoints = Checkpoints::open(self.path.join("checkpoints"), origin, keep)?;
        if resumes {
            checkpoints.restore(&mut run, backbone, |error| {
                let _ = observe(RunEvent::Damaged(error));
            })?;
            let _ = observe(RunEvent::Resumed(run.steps_done()));
        }
        let mut log = Log::open(&self.path, run.steps_done())?;
        while !run.is_done() {
            let report = run.step().map_err(|error| self.diverged(error))?;
            log.write(&report)?;
            let halt = observe(RunEvent::Step(&report)).is_break();
            if halt || run.is_done() || is_due(report.step, config.train.checkpoint_every) {
                log.sync()?;
                let path = checkpoints.write(&mut run, backbone, config)?;
                let _ = observe(RunEvent::Checkpoint(&path));
            }
            if halt && !run.is_done() {
                return Ok(Outcome::Halted { step: report.step });
            }
        }
        self.finish(run, backbone, config).map(Outcome::Finished)
    }

    /// Saves the model and its card, then writes the summary.
    fn finish(
        &self,
        run: Trainer,
        backbone: &Backbone,
        config: &PrefinetuneConfig,
    ) -> Result<Summary> {
        let state = run.state();
        let trained = run.finish(backbone);
        let lines = log::read(&self.path.join("metrics.jsonl"))?;
        let summary = Summary::new(config, &state, &trained, &lines);
        trained.save(&self.path, config)?;
        files::write_atomic(
            &self.path.join("README.md"),
            card::card(config, &summary, &lines).as_bytes(),
        )?;
        files::write_json(&self.path.join("summary.json"), &summary)?;
        Ok(summary)
    }

    /// Adds the newest checkpoint to an error about a loss or gradient that is not finite.
    fn diverged(&self, error: TrainError) -> RunError {
        match error {
            TrainError::NotFinite { .. } | TrainError::GradientNotFinite { .. } => {
                let checkpoint = checkpoint::newest(&self.path.join("checkpoints"));
                RunError::Diverged { cause: Box::new(error), checkpoint }
            }
            other => other.into(),
        }
    }
}

/// Whether a checkpoint is due after a step.
fn is_due(step: usize, every: usize) -> bool {
    every > 0 && step.is_multiple_of(every)
}
