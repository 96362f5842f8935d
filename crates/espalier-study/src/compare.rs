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

/// What is compared. [`ComparisonConfig::default`] is all strategies with three seeds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComparisonConfig {
    /// The strategies, each a row of the report.
    pub strategies: Vec<Strategy>,
    /// Seeds of fine-tuning.
    pub seeds: Vec<u64>,
    /// Settings of pre-finetuning; the strategy in them is replaced by each of `strategies`.
    pub prefinetune: PrefinetuneConfig,
    /// Settings of fine-tuning; the seed in them is replaced by each of `seeds`.
    pub finetune: FinetuneConfig,
}

impl Default for ComparisonConfig {
    fn default() -> Self {
        Self {
            strategies: Strategy::ALL.to_vec(),
            seeds: vec![0, 1, 2],
            prefinetune: PrefinetuneConfig::default(),
            finetune: FinetuneConfig::default(),
        }
    }
}

/// Progress of a comparison.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step of pre-finetuning.
    Prefinetune(Strategy, &'a StepReport),
    /// A step of fine-tuning on the named task with a seed.
    Finetune(Strategy, &'a str, u64, FinetuneStep),
    /// An adapter was trained and scored.
    Scored(&'a Cell),
}

/// The result of one adapter: a strategy, a task and a seed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
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

/// The result of one strategy.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The strategy.
    pub strategy: Strategy,
    /// The pre-finetuned encoder, or two, and family adapters.
    pub prefinetuned: Prefinetuned,
    /// The steps of pre-finetuning.
    pub steps: Vec<StepReport>,
    /// Duration of pre-finetuning, seconds.
    pub seconds: f64,
    /// For each task the adapter of the first seed.
    pub adapters: BTreeMap<String, Adapter>,
}

/// The result of a comparison.
#[derive(Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// One per strategy.
    pub outcomes: Vec<Outcome>,
    /// Strategies x tasks x seeds.
    pub cells: Vec<Cell>,
    /// Duration of everything, seconds.
    pub seconds: f64,
}

/// Runs the comparison on tasks that have a test split.
///
/// ```
/// use espalier_data::{Examples, Task};
/// use espalier_encoder::Backbone;
/// use espalier_study::report::{Report, table};
/// use espalier_study::{ComparisonConfig, compare};
/// use espalier_train::strategy::Strategy;
/// # use std::path::Path;
/// # let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert"));
///
/// let backbone = Backbone::open(directory)?;
/// let rows = [("great music", "good"), ("bad weather", "bad")];
/// let examples = Examples::classification(rows)?;
/// let (train, test) = (examples.clone(), Some(examples));
/// let tasks = [Task { name: "opinions".into(), train, dev: None, test }];
///
/// // The backbone as it is; other strategies need corpora, in `config.prefinetune`.
/// let mut config = ComparisonConfig::default();
/// config.strategies = vec![Strategy::NONE];
/// config.seeds = vec![0, 1];
/// config.finetune.steps = 2;
/// let comparison = compare(&backbone, &tasks, &config, |_| {})?;
/// assert_eq!(comparison.cells.len(), 2);
/// println!("{}", table(&Report::new(&tasks, &config, &comparison)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    let started = Instant::now();
    let mut comparison = Comparison { outcomes: Vec::new(), cells: Vec::new(), seconds: 0.0 };
    for &strategy in &config.strategies {
        let start = Instant::now();
        let mut steps = Vec::new();
        let mut settings = config.prefinetune.clone();
        settings.strategy = strategy;
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
    comparison.seconds = started.elapsed().as_secs_f64();
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
    let mut settings = config.finetune.clone();
    settings.seed = seed;
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
        TrainError::Mismatch(format!("task {:?} has no test split to compare on", task.name))
    })
}

impl Comparison {
    /// Main scores of a strategy on a task, one per seed.
    pub fn main_scores(&self, strategy: Strategy, task: &str) -> Vec<f64> {
        let cells = self.cells.iter().filter(|cell| cell.strategy == strategy && cell.task == task);
        cells.map(|cell| cell.scores.main_score()).collect()
    }
}

/// For each seed a strategy's main score, averaged over the tasks of a family.
pub fn family_scores(cells: &[Cell], strategy: Strategy, family: Family) -> BTreeMap<u64, f64> {
    let mut by_seed: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for cell in
        cells.iter().filter(|cell| cell.strategy == strategy && cell.scores.family() == family)
    {
        by_seed.entry(cell.seed).or_default().push(cell.scores.main_score());
    }
    by_seed.into_iter().map(|(seed, scores)| (seed, Mean::of(&scores).mean)).collect()
}
