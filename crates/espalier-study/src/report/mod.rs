//! The result of a comparison, for scripts (JSON, by serde) and for people ([`table`], [`html`]),
//! and that of a study ([`study_html`], [`study_markdown`], [`study_csv`]).

mod html;
mod study;

pub use html::{conflict_figures, conflict_html, html, study_html};
pub use study::{study_csv, study_markdown};

use crate::compare::{Cell, Comparison, ComparisonConfig, family_scores};
use crate::processor;
use crate::statistics::Mean;
use espalier_data::Task;
use espalier_encoder::Family;
use espalier_encoder::text::escape_control;
use espalier_train::PrefinetuneConfig;
use espalier_train::finetune::FinetuneConfig;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::StepReport;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The scores of a comparison, with everything needed to judge and to reproduce them.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The encoder: a description, a directory or a hub id.
    pub backbone: String,
    /// Version of this program.
    pub version: &'static str,
    /// The machine: instruction set and threads.
    pub machine: String,
    /// Duration of everything, seconds.
    pub seconds: f64,
    /// The tasks.
    pub tasks: Vec<TaskSummary>,
    /// One row per strategy.
    pub strategies: Vec<StrategySummary>,
    /// Every result: strategies x tasks x seeds.
    pub cells: Vec<Cell>,
    /// Settings of pre-finetuning.
    pub prefinetune: PrefinetuneConfig,
    /// Settings of fine-tuning.
    pub finetune: FinetuneConfig,
    /// The seeds of fine-tuning.
    pub seeds: Vec<u64>,
    /// One sentence and the answer of each adapter, if the caller adds it.
    pub example: Option<Example>,
}

/// The size of a task.
#[derive(Debug, Serialize)]
#[non_exhaustive]
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

/// A strategy's scores and losses.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct StrategySummary {
    /// The strategy.
    pub strategy: Strategy,
    /// Duration of pre-finetuning, seconds.
    pub seconds: f64,
    /// Mean of the main score over seeds, per task.
    pub tasks: BTreeMap<String, Mean>,
    /// Mean over the tasks of each family, with its interval over seeds.
    pub families: BTreeMap<Family, Mean>,
    /// The steps of pre-finetuning: losses, gradient norms.
    pub steps: Vec<StepReport>,
}

/// One sentence and the answer of each adapter.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Example {
    /// The sentence.
    pub text: String,
    /// The names of adapters and their answers, in words.
    pub answers: Vec<(String, String)>,
}

impl Example {
    /// A sentence, and the names of adapters with their answers.
    pub fn new(text: impl Into<String>, answers: Vec<(String, String)>) -> Self {
        Self { text: text.into(), answers }
    }
}

impl Report {
    /// The report of a comparison of `tasks` under `config`. The name of the encoder is that in the
    /// settings of pre-finetuning, the duration that of the comparison; a caller who knows better
    /// sets them.
    pub fn new(tasks: &[Task], config: &ComparisonConfig, comparison: &Comparison) -> Self {
        let strategies = comparison.outcomes.iter().map(|outcome| {
            let of_task = |task: &Task| {
                (task.name.clone(), Mean::of(&comparison.main_scores(outcome.strategy, &task.name)))
            };
            let of_family = |family| {
                let by_seed = family_scores(&comparison.cells, outcome.strategy, family);
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
        Self {
            backbone: config.prefinetune.backbone.clone(),
            version: env!("CARGO_PKG_VERSION"),
            machine: processor(),
            seconds: comparison.seconds,
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

/// A plain-text table: one row per strategy, with points on each task, then the mean of each family
/// with its 95 % interval over seeds.
pub fn table(report: &Report) -> String {
    let mut out = format!("{:<14}", "strategy");
    let names: Vec<_> = report.tasks.iter().map(|task| escape_control(&task.name)).collect();
    let widths: Vec<usize> = names.iter().map(|name| name.chars().count().max(6) + 2).collect();
    for (name, width) in names.iter().zip(&widths) {
        let _ = write!(out, "{name:>width$}");
    }
    let _ = writeln!(out, "{:>16}{:>16}", "NER mean", "TC mean");
    for row in &report.strategies {
        let _ = write!(out, "{:<14}", row.strategy);
        for (task, width) in report.tasks.iter().zip(&widths) {
            let _ =
                write!(out, "{:>width$}", row.tasks.get(&task.name).map_or(String::new(), points));
        }
        for family in [Family::Ner, Family::Tc] {
            let _ = write!(
                out,
                "{:>16}",
                row.families.get(&family).map_or(String::new(), with_interval)
            );
        }
        out.push('\n');
    }
    out
}

/// A mean in points, `61.3`.
fn points(mean: &Mean) -> String {
    format!("{:.1}", 100.0 * mean.mean)
}

/// A mean in points with its 95 % interval, `61.3 ± 0.8`.
fn with_interval(mean: &Mean) -> String {
    match mean.half_width {
        Some(half_width) => format!("{:.1} ± {:.1}", 100.0 * mean.mean, 100.0 * half_width),
        None => points(mean),
    }
}
