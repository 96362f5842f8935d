//! Runs of pre-finetuning in a directory, which survive whatever happens to the process.
//!
//! | in the directory | what |
//! |---|---|
//! | `config.toml` | every setting, with what depends on the machine or the place decided |
//! | `metrics.jsonl` | a line per step |
//! | `events.out.tfevents.*` | the same for TensorBoard |
//! | `checkpoints/` | where the run stood, the last few times it was written down |
//! | `backbone/`, `columns/`, `adapters/` | the model, at the end |
//! | `README.md` | its card |
//! | `summary.json` | how the run ended; written last |

mod card;
mod checkpoint;
mod corpora;
mod error;
mod events;
mod log;
mod place;
mod settings;
mod state;

pub use error::RunError;

use crate::config::PrefinetuneConfig;
use crate::error::TrainError;
use crate::strategy::ObjectiveKind;
use crate::trainer::{Encoders, StepReport, Trainer};
use checkpoint::Checkpoints;
use error::Result;
use espalier_encoder::{Backbone, Family, files};
use log::Log;
use serde::{Deserialize, Serialize};
use state::Origin;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What happens in a run.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// A checkpoint was not whole and is passed over.
    Damaged(&'a RunError),
    /// The run goes on after this many steps.
    Resumed(usize),
    /// A step was done.
    Step(&'a StepReport),
    /// A checkpoint was written.
    Checkpoint(&'a Path),
}

/// `summary.json`: how a run ended. It is written last: where it is, the run is finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Updates done.
    pub step: usize,
    /// Whether validation ended the run before its last step.
    pub stopped_early: bool,
    /// The step that the weights are of, where the run kept the best in validation.
    pub best_step: Option<usize>,
    /// Mean loss of each objective on held-out examples, at that step or else at the last.
    pub validation: BTreeMap<ObjectiveKind, f64>,
    /// Sentences and pairs trained on, counted as often as they came.
    pub examples: usize,
    /// Tokens that went through the encoder in training.
    pub tokens: usize,
    /// Families with an adapter of their own.
    pub adapters: Vec<Family>,
    /// Fingerprint of the encoder.
    pub backbone: String,
}

/// How a run came to an end, or to a halt.
#[derive(Debug)]
pub enum Outcome {
    /// The model is in the directory.
    Finished(Summary),
    /// The observer asked for a halt; the run can go on from its last checkpoint.
    Halted {
        /// Updates done.
        step: usize,
    },
}

/// The file with the settings of a run.
const SETTINGS: &str = "config.toml";

/// A directory for one run.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The directory at `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file with the settings of the run in the directory.
    pub fn config_file(&self) -> PathBuf {
        self.path.join(SETTINGS)
    }

    /// Checks that what has the names of a run's files and folders is no link and no special file.
    ///
    /// # Errors
    /// [`RunError::NoRun`].
    pub fn check_files(&self) -> Result<()> {
        place::plain(&self.path)
    }

    /// Whether a run was begun here.
    pub fn has_run(&self) -> bool {
        place::has_run(&self.path, SETTINGS)
    }

    /// How the run here ended; `None` when it has not.
    ///
    /// # Errors
    /// [`TrainError`] when the file cannot be read.
    pub fn finished(&self) -> Result<Option<Summary>> {
        let path = self.path.join("summary.json");
        Ok(if path.exists() { Some(files::read_json(&path)?) } else { None })
    }

    /// Checks that a run of `config` may begin here or, with `resume`, go on.
    ///
    /// # Errors
    /// [`RunError::NoRun`] where other things are, [`RunError::Exists`], [`RunError::OtherConfig`],
    /// or [`TrainError`] when the settings of the run here cannot be read.
    pub fn check(&self, config: &PrefinetuneConfig, resume: bool) -> Result<()> {
        place::plain(&self.path)?;
        match (self.has_run(), resume) {
            (false, _) => place::vacant(&self.path, SETTINGS),
            (true, false) => Err(RunError::Exists { directory: self.path.clone() }),
            (true, true) => {
                let then = PrefinetuneConfig::read(&self.config_file(), &[])?;
                settings::check(&self.path, &then, &settings::resolved(config))
            }
        }
    }

    /// [`RunDirectory::check`], and how the run here ended, if it has.
    fn checked(&self, config: &PrefinetuneConfig, resume: bool) -> Result<Option<Summary>> {
        self.check(config, resume)?;
        self.finished()
    }

    /// Trains a backbone as `config` says, from the beginning or, with `resume`, from the last
    /// whole checkpoint if there is one, and leaves the model here. However often the process was
    /// killed and the run resumed, the model is the same to the bit.
    ///
    /// When `observe` breaks, the run writes a checkpoint and halts; a break matters on
    /// [`RunEvent::Step`] only.
    ///
    /// # Errors
    /// As [`RunDirectory::check`]; [`TrainError`] for an invalid configuration, unreadable corpora
    /// or files that cannot be written; [`RunError`] when a checkpoint is of another backbone or of
    /// other corpora, when no checkpoint is whole, and when a loss or a gradient is no longer a
    /// number.
    pub fn train<'e>(
        &self,
        encoders: impl Into<Encoders<'e>>,
        config: &PrefinetuneConfig,
        resume: bool,
        mut observe: impl FnMut(RunEvent) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        if let Some(summary) = self.checked(config, resume)? {
            return Ok(Outcome::Finished(summary));
        }
        let config = &settings::resolved(config);
        let encoders = encoders.into();
        let backbone = encoders.backbone;
        let mut run = Trainer::new(encoders, config)?;
        let origin = Origin::of(encoders, config)?;
        let _lock = place::lock(&self.path)?;
        // Once more, now that nobody else can begin or end a run here.
        if let Some(summary) = self.checked(config, resume)? {
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
            if halt || run.is_done() || due(report.step, config.train.checkpoint_every) {
                log.sync()?;
                let _ =
                    observe(RunEvent::Checkpoint(&checkpoints.write(&mut run, backbone, config)?));
            }
            if halt && !run.is_done() {
                return Ok(Outcome::Halted { step: report.step });
            }
        }
        self.finish(run, backbone, config).map(Outcome::Finished)
    }

    /// Writes the model, its card and, last, the summary.
    fn finish(
        &self,
        run: Trainer,
        backbone: &Backbone,
        config: &PrefinetuneConfig,
    ) -> Result<Summary> {
        let state = run.state();
        let trained = run.finish(backbone);
        let lines = log::read(&self.path.join("metrics.jsonl"))?;
        let best_step = state.keeps_best.then_some(state.validation.best_step);
        let mut validated = lines.iter().filter(|line| !line.validation.is_empty());
        let validated = validated.rfind(|line| best_step.is_none_or(|best| line.step == best));
        let summary = Summary {
            step: state.step,
            stopped_early: state.step < config.train.steps && !lines.is_empty(),
            best_step,
            validation: validated.map(|line| line.validation.clone()).unwrap_or_default(),
            examples: lines.iter().map(|line| line.examples).sum(),
            tokens: lines.iter().map(|line| line.tokens).sum(),
            adapters: trained.adapters.keys().copied().collect(),
            backbone: trained.backbone.fingerprint().to_string(),
        };
        trained.save(&self.path, config)?;
        files::write_atomic(
            &self.path.join("README.md"),
            card::card(config, &summary, &lines).as_bytes(),
        )?;
        files::write_json(&self.path.join("summary.json"), &summary)?;
        Ok(summary)
    }

    /// Names the last good checkpoint beside what is no longer a number.
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

fn due(step: usize, every: usize) -> bool {
    every > 0 && step.is_multiple_of(every)
}
