//! A training run in a directory, with progress and Ctrl-C: shared by the commands that train
//! encoders.

use crate::backbone;
use crate::interrupt::{Interrupted, Stop};
use crate::progress::Progress;
use anyhow::Context;
use espalier_encoder::{Backbone, EncoderError};
use espalier_train::config::NerObjective;
use espalier_train::objectives::{Teacher, TextTeacher};
use espalier_train::run::{Outcome, RunDirectory, RunEvent, Summary};
use espalier_train::strategy::ObjectiveKind;
use espalier_train::trainer::{Encoders, StepReport, fresh_backbone};
use espalier_train::{PrefinetuneConfig, TrainError};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The settings of a training run, and its directory.
#[derive(clap::Args)]
pub struct TrainingArgs {
    /// Configuration file, TOML [with --resume, default: DIR/config.toml]
    #[arg(required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Override a setting of the file, such as train.steps=100 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Optimizer, adamw or sgd: short for --set train.optimizer=NAME
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// Directory of the run
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Continue the run in DIR from its last complete checkpoint, or start it if there is none
    #[arg(long)]
    resume: bool,
}

impl TrainingArgs {
    /// The settings of the run. The overrides in `before` come before those of the command line.
    pub fn settings(&self, before: &[&str]) -> anyhow::Result<PrefinetuneConfig> {
        if self.config.is_none() {
            RunDirectory::new(&self.out).check_files()?;
        }
        let path =
            self.config.clone().unwrap_or_else(|| RunDirectory::new(&self.out).config_file());
        let mut overrides: Vec<String> = before.iter().map(|text| text.to_string()).collect();
        overrides.extend(self.overrides.iter().cloned());
        overrides.extend(self.optimizer.iter().map(|name| format!("train.optimizer={name}")));
        Ok(PrefinetuneConfig::read(&path, &overrides)?)
    }

    /// Trains, and prints the path of the encoder. `command` is the command to resume with, and
    /// `next` suggests what to do afterwards.
    pub fn train(
        &self,
        config: &PrefinetuneConfig,
        command: &str,
        next: impl Fn(&Summary) -> String,
    ) -> anyhow::Result<()> {
        config.check()?;
        let directory = RunDirectory::new(&self.out);
        directory.check(config, self.resume)?;
        if let Some(summary) = directory.finished()? {
            note!("this run is finished: {} of {} steps", summary.step, config.train.steps);
            return self.print_result(config, &next(&summary));
        }
        let backbone = open(config)?;
        let (teacher, text_teacher) = (open_teacher(config)?, open_text_teacher(config)?);
        let encoders = Encoders::from(&backbone).with_teacher(teacher.as_ref());
        let encoders = encoders.with_text_teacher(text_teacher.as_ref());
        let stop = Stop::on_signals()?;
        let mut progress =
            Progress::new(&format!("{command} ({})", config.strategy), config.train.steps);
        let mut line = Line::default();
        let outcome = directory.train(encoders, config, self.resume, |event| {
            match event {
                RunEvent::Damaged(error) => {
                    progress.note(&format!("warning: checkpoint skipped: {error}"))
                }
                RunEvent::Resumed(step) => {
                    progress.start_at(step);
                    progress.note(&format!("resumed after step {step} of {}", config.train.steps));
                }
                RunEvent::Step(step) => {
                    line.add(step);
                    progress.step(step.step, step.steps, || line.text(step));
                }
                _ => {}
            }
            if stop.requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match outcome {
            Outcome::Finished(summary) => {
                progress.finish(if summary.stopped_early {
                    "stopped early, no better validation"
                } else {
                    "done"
                });
                self.print_result(config, &next(&summary))
            }
            Outcome::Halted { step } => {
                progress.finish(&format!("interrupted after step {step}"));
                let resume = format!("espalier {command} --out {} --resume", quoted(&self.out));
                Err(Interrupted { resume }.into())
            }
            other => anyhow::bail!("the run ended in an unknown way: {other:?}"),
        }
    }

    /// The path to give as `--backbone`: of cross-stitch's two encoders, the directory of the run.
    pub fn encoder(&self, config: &PrefinetuneConfig) -> PathBuf {
        if config.strategy.family_encoders { self.out.clone() } else { self.out.join("backbone") }
    }

    fn print_result(&self, config: &PrefinetuneConfig, next: &str) -> anyhow::Result<()> {
        say!("{}", self.encoder(config).display())?;
        note!("next: {next}");
        Ok(())
    }
}

/// The encoder that a run starts from.
pub fn open(config: &PrefinetuneConfig) -> anyhow::Result<Backbone> {
    if config.starts_from_scratch() {
        return fresh_backbone(config).map_err(|error| {
            let no_tokenizer = matches!(
                error,
                TrainError::Encoder(EncoderError::MissingFile { .. } | EncoderError::Io { .. })
            );
            let hint = if no_tokenizer {
                "; espalier tokenizer train makes the tokenizer that it names"
            } else {
                ""
            };
            anyhow::Error::from(error)
                .context(format!("no encoder can be made from [scratch]{hint}"))
        });
    }
    let backbone = backbone::open_trainable(&config.backbone, config.train.precision)?;
    if config.strategy.objectives.contains(&ObjectiveKind::Mlm) && backbone.mlm_head().is_none() {
        note!(
            "note: {} has no head for masked language modelling: it starts with a fresh one",
            config.backbone
        );
    }
    Ok(backbone)
}

/// The teacher, if the run distils from one.
pub fn open_teacher(config: &PrefinetuneConfig) -> anyhow::Result<Option<Teacher>> {
    let distills = config.ner.objective() == NerObjective::Distill
        && config.strategy.objectives.contains(&ObjectiveKind::Ner);
    match &config.ner.teacher {
        Some(spec) if distills => Ok(Some(Teacher::open(&backbone::locate(spec)?, &config.ner)?)),
        _ => Ok(None),
    }
}

/// The teacher of text vectors, if the run has one.
pub fn open_text_teacher(config: &PrefinetuneConfig) -> anyhow::Result<Option<TextTeacher>> {
    let trains_pairs = config.strategy.objectives.contains(&ObjectiveKind::Tc);
    let Some(spec) = config.tc.teacher.as_ref().filter(|_| trains_pairs) else { return Ok(None) };
    let open = || anyhow::Ok(TextTeacher::open(&backbone::locate(spec)?, &config.tc)?);
    open().with_context(|| format!("tc.teacher {spec} cannot be opened")).map(Some)
}

/// The losses of a step, for a progress line.
pub fn losses(step: &StepReport) -> String {
    let losses =
        step.losses.iter().map(|(objective, loss)| format!("{} {loss:.4}", objective.name()));
    losses.collect::<Vec<_>>().join("  ")
}

/// The message of a progress line: the losses of the step, the last ones on held-out examples, and
/// the throughput since the start.
#[derive(Default)]
struct Line {
    held_out: BTreeMap<ObjectiveKind, f64>,
    tokens: usize,
    examples: usize,
    seconds: f64,
}

impl Line {
    fn add(&mut self, step: &StepReport) {
        if !step.validation.is_empty() {
            self.held_out.clone_from(&step.validation);
        }
        self.tokens += step.tokens;
        self.examples += step.examples;
        self.seconds += step.seconds;
    }

    fn text(&self, step: &StepReport) -> String {
        let held_out = self
            .held_out
            .iter()
            .map(|(objective, loss)| format!("  held-out {} {loss:.4}", objective.name()));
        let rate = |count: usize| count as f64 / self.seconds.max(f64::MIN_POSITIVE);
        let (tokens, examples) = (rate(self.tokens), rate(self.examples));
        format!(
            "{}{}  {tokens:.0} tokens/s  {examples:.0} examples/s",
            losses(step),
            held_out.collect::<String>()
        )
    }
}

/// A path, quoted for a shell if necessary.
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    match path.chars().all(|c| c.is_alphanumeric() || "-_./:".contains(c)) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
