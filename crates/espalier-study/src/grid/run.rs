//! Runs a study, or a shard of it: every cell that has no result yet.

use super::config::StudyConfig;
use super::encoders::ModelSource;
use super::error::{Result, StudyError};
use super::plan::{CellPlan, EncoderPlan, Plan, Shard};
use super::results::{CellRecord, EncoderRecord, Record, Results, TuningRecord};
use super::tasks::StudyTask;
use crate::evaluate::Scores;
use crate::processor;
use espalier_data::Examples;
use espalier_encoder::Adapter;
use espalier_train::finetune::{CachedExamples, predict_cached};
use espalier_train::trainer::StepReport;
use espalier_train::{FinetuneConfig, Finetuner, PrefinetuneConfig, Prefinetuned};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Progress of a study.
#[derive(Debug)]
#[non_exhaustive]
pub enum StudyEvent<'a> {
    /// The number of cells that have no result yet, of those of the shard.
    Start {
        /// The cells to compute.
        missing: usize,
        /// All cells.
        cells: usize,
    },
    /// A step of pre-finetuning.
    Prefinetune(&'a EncoderPlan, &'a StepReport),
    /// A candidate of tuning was scored.
    Tuning(&'a TuningRecord),
    /// An encoder was pre-finetuned.
    Encoder(&'a EncoderRecord),
    /// A cell was computed.
    Cell(&'a CellRecord),
}

/// A study while it runs.
pub(super) struct Study<'a> {
    pub(super) config: &'a StudyConfig,
    pub(super) directory: &'a Path,
    pub(super) tasks: &'a [StudyTask],
    pub(super) results: Results,
    pub(super) models: &'a dyn ModelSource,
    /// The processor and this program's version.
    pub(super) machine: String,
    pub(super) observer: &'a mut dyn FnMut(StudyEvent) -> ControlFlow<()>,
}

impl StudyConfig {
    /// The encoders and cells of the study. Opens the tasks, whose content is part of the
    /// addresses.
    ///
    /// # Errors
    /// [`StudyError::Train`] if a task cannot be read.
    pub fn plan(&self) -> Result<Plan> {
        Plan::new(self, &open_tasks(self)?)
    }
}

/// Computes the cells of a shard that have no result yet, in the study's directory. If `observe`
/// returns `Break`, it stops after the current step of pre-finetuning or the current cell.
///
/// # Errors
/// [`StudyError`]: what was finished before is in `results.jsonl`, and is not computed again.
pub fn run(
    study: &StudyConfig,
    directory: &Path,
    shard: Shard,
    models: &dyn ModelSource,
    observe: &mut dyn FnMut(StudyEvent) -> ControlFlow<()>,
) -> Result<()> {
    let tasks = open_tasks(study)?;
    let mut study = Study {
        config: study,
        directory,
        tasks: &tasks,
        results: Results::of(directory),
        models,
        machine: machine(),
        observer: observe,
    };
    let plan = Plan::new(study.config, &tasks)?;
    let cells = plan.shard(shard);
    let missing = study.missing(&cells)?.len();
    study.observe(StudyEvent::Start { missing, cells: cells.len() })?;
    for of_encoder in cells.chunk_by(|a, b| a.encoder == b.encoder) {
        if study.missing(of_encoder)?.is_empty() {
            continue;
        }
        let plan = &plan.encoders[of_encoder[0].encoder];
        let encoder = study.encoder(plan)?;
        for of_task in of_encoder.chunk_by(|a, b| a.task == b.task) {
            study.task(plan, &encoder, of_task)?;
        }
    }
    Ok(())
}

fn open_tasks(study: &StudyConfig) -> Result<Vec<StudyTask>> {
    study.tasks.iter().map(|folder| StudyTask::open(folder, &study.limits)).collect()
}

/// The processor and this program's version.
fn machine() -> String {
    format!("espalier {}, {}", env!("CARGO_PKG_VERSION"), processor())
}

/// The examples of a task as one encoder's trunk has run over them.
struct CachedTask<'a> {
    /// The training examples that any cell uses.
    train: CachedExamples<'a>,
    /// `None` if there is nothing to choose.
    dev: Option<CachedExamples<'a>>,
}

/// An adapter and how it was chosen.
struct Chosen {
    adapter: Adapter,
    learning_rate: f32,
    /// Scores on dev by learning rate.
    dev: BTreeMap<String, f64>,
}

impl Study<'_> {
    pub(super) fn observe(&mut self, event: StudyEvent) -> Result<()> {
        match (self.observer)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(StudyError::Interrupted),
        }
    }

    /// The cells without a result.
    fn missing<'c>(&self, cells: &[&'c CellPlan]) -> Result<Vec<&'c CellPlan>> {
        let known = self.results.read()?;
        Ok(cells.iter().filter(|cell| !known.contains_key(&cell.address)).copied().collect())
    }

    /// Computes the missing cells of one encoder and one task. The trunk runs once over each text
    /// that they need.
    fn task(
        &mut self,
        plan: &EncoderPlan,
        encoder: &Prefinetuned,
        cells: &[&CellPlan],
    ) -> Result<()> {
        let cells = self.missing(cells)?;
        let Some(first) = cells.first() else { return Ok(()) };
        let task = &self.tasks[first.task];
        let min_train = self.config.limits.min_train;
        let subset = |cell: &CellPlan| task.subset(cell.fraction, min_train, cell.seed);
        let subsets = cells.iter().map(|cell| subset(cell)).collect::<Result<Vec<_>>>()?;

        let used: BTreeSet<usize> = subsets.iter().flatten().copied().collect();
        let used: Vec<usize> = used.into_iter().collect();
        let train = task.train.select(&used);
        let layers = trunk_layers(encoder, &plan.config, &train);
        let searches = self.config.finetune.learning_rates.len() > 1;
        let cached = CachedTask {
            train: CachedExamples::new(encoder, &train, layers),
            dev: searches.then(|| CachedExamples::new(encoder, &task.dev, layers)),
        };
        let test = CachedExamples::new(encoder, &task.test, layers);

        // Small tasks have the same examples at several fractions.
        let mut done: BTreeMap<(u64, Vec<usize>), CellRecord> = BTreeMap::new();
        for (cell, subset) in cells.iter().zip(subsets) {
            let key = (cell.seed, subset.clone());
            let record = match done.get(&key) {
                Some(same) => CellRecord {
                    address: cell.address.clone(),
                    fraction: cell.fraction,
                    ..same.clone()
                },
                None => {
                    let start = Instant::now();
                    let place = |index: &usize| used.partition_point(|used| used < index);
                    let subset: Vec<usize> = subset.iter().map(place).collect();
                    let chosen = self.best_adapter(encoder, plan, &cached, &subset, cell.seed)?;
                    let predictions = predict_cached(&chosen.adapter, &test)?;
                    let scores = Scores::of(&predictions, test.examples())?;
                    let seconds = start.elapsed().as_secs_f64();
                    self.cell_record(
                        plan,
                        cell,
                        chosen,
                        &scores,
                        (subset.len(), task.test.len()),
                        seconds,
                    )
                }
            };
            done.insert(key, record.clone());
            self.results.append(&Record::Cell(record.clone()))?;
            self.observe(StudyEvent::Cell(&record))?;
        }
        Ok(())
    }

    fn cell_record(
        &self,
        plan: &EncoderPlan,
        cell: &CellPlan,
        chosen: Chosen,
        scores: &Scores,
        (train, test): (usize, usize),
        seconds: f64,
    ) -> CellRecord {
        CellRecord {
            address: cell.address.clone(),
            backbone: plan.backbone.name.clone(),
            row: plan.row.name.clone(),
            prefinetune_seed: plan.seed,
            encoder: plan.address.clone(),
            task: self.tasks[cell.task].name.clone(),
            family: scores.family(),
            fraction: cell.fraction,
            train,
            test,
            seed: cell.seed,
            dev: chosen.dev,
            learning_rate: chosen.learning_rate,
            score: scores.main_score(),
            second_score: scores.second_score(),
            seconds,
            machine: self.machine.clone(),
        }
    }

    /// Trains with each learning rate, and returns the adapter with the best score on dev.
    fn best_adapter(
        &self,
        encoder: &Prefinetuned,
        plan: &EncoderPlan,
        cached: &CachedTask,
        subset: &[usize],
        seed: u64,
    ) -> Result<Chosen> {
        let settings = &self.config.finetune;
        let mut best: Option<(f64, Adapter, f32)> = None;
        let mut dev = BTreeMap::new();
        let init = encoder.adapters.get(&cached.train.examples().family());
        for &learning_rate in &settings.learning_rates {
            let mut config = FinetuneConfig::default();
            (config.steps, config.batch, config.seed) = (settings.steps, settings.batch, seed);
            config.learning_rate = learning_rate;
            config.head_learning_rate = settings.head_learning_rate;
            config.lora = Some(plan.config.adapter.lora(encoder.backbone.encoder.layers()));
            let tuner = Finetuner::new(encoder).init(init).config(config);
            let adapter = tuner.train_cached(&cached.train, subset, |_| {})?;
            let score = match &cached.dev {
                Some(examples) => {
                    let predictions = predict_cached(&adapter, examples)?;
                    let score = Scores::of(&predictions, examples.examples())?.main_score();
                    dev.insert(learning_rate.to_string(), score);
                    score
                }
                None => 0.0,
            };
            if best.as_ref().is_none_or(|(best, ..)| score > *best) {
                best = Some((score, adapter, learning_rate));
            }
        }
        let (_, adapter, learning_rate) = best
            .unwrap_or_else(|| unreachable!("StudyConfig::check wants at least one learning rate"));
        Ok(Chosen { adapter, learning_rate, dev })
    }

    /// The best score on a task's dev split: what tuning looks at.
    pub(super) fn dev_score(
        &self,
        encoder: &Prefinetuned,
        plan: &EncoderPlan,
        task: usize,
        fraction: f64,
    ) -> Result<f64> {
        let (task, seed) = (&self.tasks[task], self.config.seeds[0]);
        let subset = task.subset(fraction, self.config.limits.min_train, seed)?;
        let train = task.train.select(&subset);
        let layers = trunk_layers(encoder, &plan.config, &train);
        let cached = CachedTask {
            train: CachedExamples::new(encoder, &train, layers),
            dev: Some(CachedExamples::new(encoder, &task.dev, layers)),
        };
        let all: Vec<usize> = (0..train.len()).collect();
        let chosen = self.best_adapter(encoder, plan, &cached, &all, seed)?;
        Ok(chosen.dev.into_values().fold(0.0, f64::max))
    }
}

/// The number of layers below a task's adapter: the one that training starts from, or a fresh one.
fn trunk_layers(encoder: &Prefinetuned, config: &PrefinetuneConfig, train: &Examples) -> usize {
    let layers = encoder.backbone.encoder.layers();
    match encoder.adapters.get(&train.family()) {
        Some(lora) => lora.trunk_layers(),
        None => layers.saturating_sub(config.adapter.lora(layers).layers),
    }
}
