//! The comparison: every strategy pre-finetunes the same encoder, then every task is fine-tuned
//! from it under the same budget.

use crate::evaluate::{Scores, evaluate};
use crate::statistics::Mean;
use espalier_data::{Examples, Task};
use espalier_encoder::{Adapter, Backbone, Family};
use espalier_train::finetune::{FinetuneConfig, FinetuneStep};
use espalier_train::strategy::Strategy;
use espalier_train::trainer::StepReport;
use espalier_train::{Finetuner, PrefinetuneConfig, Prefinetuned, Result, TrainError, prefinetune};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// What is compared.
#[derive(Clone, Debug)]
pub struct ComparisonConfig {
    /// The strategies, each a row.
    pub strategies: Vec<Strategy>,
    /// Seeds of fine-tuning.
    pub seeds: Vec<u64>,
    /// Pre-finetuning; its strategy is set in turn.
    pub prefinetune: PrefinetuneConfig,
    /// Fine-tuning; its seed is set in turn.
    pub finetune: FinetuneConfig,
}

/// Progress of a comparison.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A step of pre-finetuning.
    Prefinetune(Strategy, &'a StepReport),
    /// A step of fine-tuning on the named task with a seed.
    Finetune(Strategy, &'a str, u64, FinetuneStep),
    /// A cell is done.
    Scored(&'a Cell),
}

/// One adapter's result.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The strategy.
    pub strategy: Strategy,
    /// The task.
    pub task: String,
    /// The seed of fine-tuning.
    pub seed: u64,
    /// Scores on the task's test split.
    pub scores: Scores,
    /// Duration of fine-tuning, seconds.
    pub seconds: f64,
}

/// What a strategy left.
#[derive(Debug)]
pub struct Outcome {
    /// The strategy.
    pub strategy: Strategy,
    /// Its encoder, or two, and family adapters.
    pub prefinetuned: Prefinetuned,
    /// The steps of pre-finetuning.
    pub steps: Vec<StepReport>,
    /// Duration of pre-finetuning, seconds.
    pub seconds: f64,
    /// For each task the adapter of the first seed.
    pub adapters: BTreeMap<String, Adapter>,
}

/// All of it.
#[derive(Debug)]
pub struct Comparison {
    /// One per strategy.
    pub outcomes: Vec<Outcome>,
    /// Strategies x tasks x seeds.
    pub cells: Vec<Cell>,
}

/// Runs the comparison on tasks that have a test split.
///
/// # Errors
/// [`TrainError`] from any of its runs, or when a task has no test split.
pub fn compare(
    backbone: &Backbone,
    tasks: &[Task],
    config: &ComparisonConfig,
    mut observe: impl FnMut(Event),
) -> Result<Comparison> {
    for task in tasks {
        test_split(task)?; // before hours of training, not after
    }
    let mut comparison = Comparison { outcomes: Vec::new(), cells: Vec::new() };
    for &strategy in &config.strategies {
        let start = Instant::now();
        let mut steps = Vec::new();
        let settings = PrefinetuneConfig { strategy, ..config.prefinetune.clone() };
        let prefinetuned = prefinetune(backbone, &settings, |step| {
            observe(Event::Prefinetune(strategy, step));
            steps.push(step.clone());
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let mut adapters = BTreeMap::new();
        for task in tasks {
            for &seed in &config.seeds {
                let (cell, adapter) =
                    run_cell(&prefinetuned, strategy, task, seed, config, &mut observe)?;
                observe(Event::Scored(&cell));
                comparison.cells.push(cell);
                adapters.entry(task.name.clone()).or_insert(adapter);
            }
        }
        comparison.outcomes.push(Outcome { strategy, prefinetuned, steps, seconds, adapters });
    }
    Ok(comparison)
}

fn run_cell(
    prefinetuned: &Prefinetuned,
    strategy: Strategy,
    task: &Task,
    seed: u64,
    config: &ComparisonConfig,
    observe: &mut impl FnMut(Event),
) -> Result<(Cell, Adapter)> {
    let start = Instant::now();
    let init = prefinetuned.adapters.get(&task.train.family());
    let settings = FinetuneConfig { seed, ..config.finetune.clone() };
    let tuner = Finetuner::new(prefinetuned).init(init).config(settings);
    let adapter = tuner.train(&task.train, |step| {
        observe(Event::Finetune(strategy, &task.name, seed, step));
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let scores = evaluate(prefinetuned, &adapter, test_split(task)?)?;
    Ok((Cell { strategy, task: task.name.clone(), seed, scores, seconds }, adapter))
}

fn test_split(task: &Task) -> Result<&Examples> {
    task.test.as_ref().ok_or_else(|| {
        TrainError::Init(format!("task {:?} has no test split to compare on", task.name))
    })
}

impl Comparison {
    /// Headline scores of a strategy on a task, one per seed.
    pub fn headlines(&self, strategy: Strategy, task: &str) -> Vec<f64> {
        let cells = self.cells.iter().filter(|cell| cell.strategy == strategy && cell.task == task);
        cells.map(|cell| cell.scores.headline()).collect()
    }
}

/// For each seed a strategy's headline score, averaged over the tasks of a family.
pub fn family_headlines(cells: &[Cell], strategy: Strategy, family: Family) -> BTreeMap<u64, f64> {
    let mut by_seed: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for cell in
        cells.iter().filter(|cell| cell.strategy == strategy && cell.scores.family() == family)
    {
        by_seed.entry(cell.seed).or_default().push(cell.scores.headline());
    }
    by_seed.into_iter().map(|(seed, scores)| (seed, Mean::of(&scores).mean)).collect()
}
