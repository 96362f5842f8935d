//! The record of every step: `metrics.jsonl`, a line per step and each step once, and the same for
//! TensorBoard.

use super::error::{Result, io};
use super::events::Events;
use crate::strategy::ObjectiveKind;
use crate::trainer::StepReport;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

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

/// The file, growing.
struct Metrics {
    path: PathBuf,
    file: File,
}

/// What is read back of a line.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) step: usize,
    /// Loss of each objective trained.
    pub(super) losses: BTreeMap<ObjectiveKind, f64>,
    #[serde(default)]
    pub(super) examples: usize,
    pub(super) tokens: usize,
    /// Held-out loss of each objective, at the steps that measured it.
    #[serde(default)]
    pub(super) validation: BTreeMap<ObjectiveKind, f64>,
}

impl Metrics {
    /// The metrics of a run of which `steps` steps count: what an earlier start wrote beyond them
    /// is cut off.
    fn open(path: &Path, steps: usize) -> Result<Self> {
        let kept = match steps {
            0 => 0,
            _ => walk(path, |line| line.step <= steps)?,
        };
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(io(path))?;
        // A device, which has no length, is none to cut either.
        if file.metadata().map_err(io(path))?.len() != kept {
            file.set_len(kept).map_err(io(path))?;
        }
        Ok(Self { path: path.to_path_buf(), file })
    }

    /// Adds a line.
    fn write(&mut self, report: &StepReport) -> Result<()> {
        let mut line = serde_json::to_vec(report).map_err(|error| io(&self.path)(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(io(&self.path))
    }

    /// Makes sure that what was written is on the disk.
    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(io(&self.path))
    }
}

/// All lines of the file.
pub(super) fn read(path: &Path) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    walk(path, |line| {
        lines.push(line);
        true
    })?;
    Ok(lines)
}

/// Goes through the whole lines as long as `keep` wants them; the length of those it kept, bytes.
fn walk(path: &Path, mut keep: impl FnMut(Line) -> bool) -> Result<u64> {
    let mut reader = BufReader::new(match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        file => file.map_err(io(path))?,
    });
    let (mut kept, mut bytes) = (0, Vec::new());
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes).map_err(io(path))?;
        match serde_json::from_slice::<Line>(&bytes)
            .ok()
            .filter(|_| bytes.ends_with(b"\n"))
            .map(&mut keep)
        {
            Some(true) => kept += length as u64,
            _ => return Ok(kept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: usize) -> StepReport {
        let losses = BTreeMap::from([(ObjectiveKind::Tc, 0.1 * step as f64)]);
        StepReport { step, steps: 9, losses, ..StepReport::default() }
    }

    #[test]
    fn each_step_stands_there_once_however_often_the_run_started() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.jsonl");
        let mut metrics = Metrics::open(&path, 0).unwrap();
        (1..=5).for_each(|step| metrics.write(&report(step)).unwrap());
        let whole = std::fs::read_to_string(&path).unwrap();
        // Killed within line 5; the checkpoint is of step 3.
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let mut metrics = Metrics::open(&path, 3).unwrap();
        (4..=5).for_each(|step| metrics.write(&report(step)).unwrap());
        metrics.sync().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        let losses: Vec<f64> =
            read(&path).unwrap().iter().map(|line| line.losses[&ObjectiveKind::Tc]).collect();
        assert_eq!(losses, (1..=5).map(|step| 0.1 * step as f64).collect::<Vec<_>>());
        // A run from the start begins a new file.
        Metrics::open(&path, 0).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
}
