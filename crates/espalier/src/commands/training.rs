//! What the commands that train in a run's directory have in common.

use crate::interrupt::{Interrupted, Stop};
use crate::progress::Progress;
use espalier_train::PrefinetuneConfig;
use espalier_train::config::NerObjective;
use espalier_train::objectives::Objective;
use espalier_train::prefinetune::{Encoders, StepReport, Teacher};
use espalier_train::run::{Outcome, RunDirectory, RunEvent, Summary};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A run: its settings and its directory.
#[derive(clap::Args)]
pub struct TrainingArgs {
    /// The configuration, a TOML file [with --resume: DIR/config.toml if left out]
    #[arg(required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Override a setting, such as train.steps=100 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Short for --set train.optimizer=...: adamw or sgd
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// Where the run goes
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Go on with the run in DIR from its last whole checkpoint; where there is no run yet, begin one
    #[arg(long)]
    resume: bool,
}

/// A command that trains.
pub struct Training {
    /// The subcommand, for the line that goes on with an interrupted run.
    pub command: &'static str,
    /// What it is called while it goes on.
    pub title: &'static str,
    /// Settings that it makes whatever the configuration says.
    pub settings: &'static [&'static str],
}

impl Training {
    /// Trains until the end; an interrupt leaves a run that can go on.
    pub fn run(&self, args: &TrainingArgs) -> anyhow::Result<Summary> {
        let directory = RunDirectory::new(&args.out);
        let config = self.config(args, &directory)?;
        config.check()?;
        directory.check(&config, args.resume)?;
        if let Some(summary) = directory.finished()? {
            eprintln!("this run is finished: {} of {} steps", summary.step, config.train.steps);
            return Ok(summary);
        }
        let backbone = super::open_trainable(&config.backbone, config.train.precision)?;
        let teacher = open_teacher(&config)?;
        let encoders = Encoders { backbone: &backbone, teacher: teacher.as_ref() };
        let stop = Stop::on_signals()?;
        let mut progress = Progress::new(&format!("{} ({})", self.title, config.strategy), config.train.steps);
        let mut line = Line::default();
        let outcome = directory.train(encoders, &config, args.resume, |event| {
            match event {
                RunEvent::Damaged(error) => progress.note(&format!("warning: passed over: {error}")),
                RunEvent::Resumed(step) => {
                    progress.start_at(step);
                    progress.note(&format!("resumed after step {step} of {}", config.train.steps));
                }
                RunEvent::Step(step) => {
                    line.add(step);
                    progress.step(step.step, step.steps, || line.text(step));
                }
                RunEvent::Checkpoint(_) => {}
            }
            if stop.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match outcome {
            Outcome::Finished(summary) => {
                progress.finish(if summary.stopped_early { "stopped early, no better validation" } else { "done" });
                Ok(summary)
            }
            Outcome::Halted { step } => {
                progress.finish(&format!("interrupted after step {step}"));
                let resume = format!("espalier {} --out {} --resume", self.command, quoted(&args.out));
                Err(Interrupted { resume }.into())
            }
        }
    }

    fn config(&self, args: &TrainingArgs, directory: &RunDirectory) -> anyhow::Result<PrefinetuneConfig> {
        let mut overrides = args.overrides.clone();
        overrides.extend(args.optimizer.as_ref().map(|name| format!("train.optimizer={name}")));
        overrides.extend(self.settings.iter().map(|setting| setting.to_string()));
        let path = args.config.clone().unwrap_or_else(|| directory.config_file());
        Ok(PrefinetuneConfig::read(&path, &overrides)?)
    }
}

/// The teacher of a run that has one.
pub fn open_teacher(config: &PrefinetuneConfig) -> anyhow::Result<Option<Teacher>> {
    let distills =
        config.ner.objective == NerObjective::Distill && config.strategy.objectives().contains(&Objective::Ner);
    match &config.ner.teacher {
        Some(spec) if distills => Ok(Some(Teacher::open(&super::locate(spec)?, &config.ner)?)),
        _ => Ok(None),
    }
}

/// The losses of a step, for a progress line.
pub fn losses(step: &StepReport) -> String {
    let losses = step.losses.iter().map(|(objective, loss)| format!("{} {loss:.4}", objective.name()));
    losses.collect::<Vec<_>>().join("  ")
}

/// What a progress line says: the losses of the step, the last on held-out examples, and throughput since the start.
#[derive(Default)]
struct Line {
    held_out: BTreeMap<Objective, f64>,
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
        let held_out =
            self.held_out.iter().map(|(objective, loss)| format!("  held-out {} {loss:.4}", objective.name()));
        let rate = |count: usize| count as f64 / self.seconds.max(f64::MIN_POSITIVE);
        let (tokens, examples) = (rate(self.tokens), rate(self.examples));
        format!("{}{}  {tokens:.0} tokens/s  {examples:.0} examples/s", losses(step), held_out.collect::<String>())
    }
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    match path.chars().all(|c| c.is_alphanumeric() || "-_./:".contains(c)) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
