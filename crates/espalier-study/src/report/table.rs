//! The figures as a plain-text table.

use super::Report;
use crate::statistics::Mean;
use espalier_encoder::Family;
use espalier_encoder::text::escape_control;
use std::fmt::Write;

/// One row per strategy: points on each task, then the mean of each family with its interval over
/// seeds.
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
pub(super) fn points(mean: &Mean) -> String {
    format!("{:.1}", 100.0 * mean.mean)
}

/// A mean in points with its 95 % interval, `61.3 ± 0.8`.
pub(super) fn with_interval(mean: &Mean) -> String {
    match mean.half_width {
        Some(half_width) => format!("{:.1} ± {:.1}", 100.0 * mean.mean, 100.0 * half_width),
        None => points(mean),
    }
}
