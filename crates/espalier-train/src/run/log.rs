//! What is written down of every step.

use super::error::Result;
use super::events::Events;
use super::metrics::Metrics;
use crate::trainer::StepReport;
use std::path::Path;

/// Metrics and events, growing.
pub(super) struct Log {
    metrics: Metrics,
    events: Events,
}

impl Log {
    pub(super) fn open(directory: &Path, steps: usize) -> Result<Self> {
        let metrics = Metrics::open(&directory.join("metrics.jsonl"), steps)?;
        Ok(Self { metrics, events: Events::open(directory, steps)? })
    }

    pub(super) fn write(&mut self, report: &StepReport) -> Result<()> {
        self.metrics.write(report)?;
        self.events.scalars(report.step, &scalars(report))
    }

    pub(super) fn sync(&self) -> Result<()> {
        self.metrics.sync()?;
        self.events.sync()
    }
}

/// A step's report as TensorBoard groups it.
fn scalars(report: &StepReport) -> Vec<(String, f64)> {
    let losses =
        report.losses.iter().map(|(objective, &loss)| (format!("loss/{}", objective.name()), loss));
    let validation = report
        .validation
        .iter()
        .map(|(objective, &loss)| (format!("validation/{}", objective.name()), loss));
    let seconds = report.seconds.max(f64::MIN_POSITIVE);
    let rest = [
        ("optimizer/gradient_norm", report.gradient_norm),
        ("optimizer/learning_rate_factor", report.learning_rate_factor.into()),
        ("speed/tokens_per_second", report.tokens as f64 / seconds),
        ("speed/examples_per_second", report.examples as f64 / seconds),
    ];
    losses.chain(validation).chain(rest.map(|(tag, value)| (tag.to_string(), value))).collect()
}
