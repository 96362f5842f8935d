//! The result of a comparison, for scripts (JSON, by serde) and for people ([`table`], [`html`]).

mod html;
mod table;

pub use html::{conflict_figures, conflict_html, html};
pub use table::table;

use crate::compare::{Cell, Comparison, ComparisonConfig, family_headlines};
use crate::statistics::Mean;
use espalier_data::Task;
use espalier_encoder::Family;
use espalier_train::PrefinetuneConfig;
use espalier_train::finetune::FinetuneConfig;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::StepReport;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that a reader of the figures needs to judge and to repeat them.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the encoder was, in words or as a hub id.
    pub backbone: String,
    /// Version of this program.
    pub version: &'static str,
    /// The machine: instruction set and threads.
    pub machine: String,
    /// Duration of all, seconds.
    pub seconds: f64,
    /// The tasks.
    pub tasks: Vec<TaskSummary>,
    /// One row per strategy.
    pub strategies: Vec<StrategySummary>,
    /// Every single result.
    pub cells: Vec<Cell>,
    /// Settings of pre-finetuning.
    pub prefinetune: PrefinetuneConfig,
    /// Settings of fine-tuning.
    pub finetune: FinetuneConfig,
    /// The seeds of fine-tuning.
    pub seeds: Vec<u64>,
    /// One sentence through all applications, if it was asked for.
    pub example: Option<Example>,
}

/// A task in numbers.
#[derive(Debug, Serialize)]
pub struct TaskSummary {
    /// Its name.
    pub name: String,
    /// Its family.
    pub family: Family,
    /// Training examples.
    pub train: usize,
    /// Test examples.
    pub test: usize,
    /// Entity labels or classes.
    pub labels: usize,
}

/// A strategy's figures.
#[derive(Debug, Serialize)]
pub struct StrategySummary {
    /// The strategy.
    pub strategy: Strategy,
    /// Duration of pre-finetuning, seconds.
    pub seconds: f64,
    /// Mean headline score per task over seeds.
    pub tasks: BTreeMap<String, Mean>,
    /// Mean over the tasks of each family, with its interval over seeds.
    pub families: BTreeMap<Family, Mean>,
    /// The steps of pre-finetuning: losses, gradient norms.
    pub steps: Vec<StepReport>,
}

/// One sentence and what each application says about it.
#[derive(Debug, Serialize)]
pub struct Example {
    /// The sentence.
    pub text: String,
    /// Application and its answer, in words.
    pub answers: Vec<(String, String)>,
}

impl Report {
    /// Gathers a comparison's figures.
    pub fn new(
        backbone: &str,
        tasks: &[Task],
        config: &ComparisonConfig,
        comparison: &Comparison,
        seconds: f64,
    ) -> Self {
        let strategies = comparison.outcomes.iter().map(|outcome| {
            let of_task = |task: &Task| {
                (task.name.clone(), Mean::of(&comparison.headlines(outcome.strategy, &task.name)))
            };
            let of_family = |family| {
                let by_seed = family_headlines(&comparison.cells, outcome.strategy, family);
                (family, Mean::of(&by_seed.into_values().collect::<Vec<_>>()))
            };
            StrategySummary {
                strategy: outcome.strategy,
                seconds: outcome.seconds,
                tasks: tasks.iter().map(of_task).collect(),
                families: [Family::Ner, Family::Tc]
                    .into_iter()
                    .map(of_family)
                    .filter(|(_, m)| m.n > 0)
                    .collect(),
                steps: outcome.steps.clone(),
            }
        });
        let instruction_set = format!("{:?}", espalier_kernels::instruction_set()).to_lowercase();
        Self {
            backbone: backbone.into(),
            version: env!("CARGO_PKG_VERSION"),
            machine: format!("{instruction_set}, {} threads", rayon::current_num_threads()),
            seconds,
            tasks: tasks.iter().map(summary).collect(),
            strategies: strategies.collect(),
            cells: comparison.cells.clone(),
            prefinetune: config.prefinetune.clone(),
            finetune: config.finetune.clone(),
            seeds: config.seeds.clone(),
            example: None,
        }
    }
}

fn summary(task: &Task) -> TaskSummary {
    TaskSummary {
        name: task.name.clone(),
        family: task.train.family(),
        train: task.train.len(),
        test: task.test.as_ref().map_or(0, |test| test.len()),
        labels: task.labels().len(),
    }
}
