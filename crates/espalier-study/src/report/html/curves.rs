//! The figure of losses during pre-finetuning.

use super::chart::{Axis, Frame, spread};
use super::text::{FAMILIES, family_title};
use crate::report::Report;
use espalier_encoder::Family;
use espalier_train::strategy::Strategy;
use std::fmt::Write;

/// A line has at most this many points; of longer runs, consecutive steps are averaged.
const POINTS: usize = 300;

/// A strategy's losses, (step, loss).
struct Line {
    strategy: Strategy,
    raw: Vec<(f64, f64)>,
    smooth: Vec<(f64, f64)>,
}

/// The section.
pub fn section(report: &Report) -> String {
    let charts: String = FAMILIES.into_iter().filter_map(|family| chart(report, family)).collect();
    if charts.is_empty() {
        return charts;
    }
    let steps = report.strategies.iter().map(|row| row.steps.len()).max().unwrap_or(0);
    let faint = match steps.div_ceil(POINTS) {
        0 | 1 => "every step".into(),
        piece => format!("means of {piece} steps"),
    };
    format!(
        "<section>\n<h2>Loss during pre-finetuning</h2>\n<p>Mean loss of each family’s batch \
         before its weight: faint, {faint}; bold, a moving average. Losses of different families \
         are not comparable, and a lower one need not mean better adapters.</p>\n<div \
         class=\"charts\">\n{charts}</div>\n</section>\n"
    )
}

fn chart(report: &Report, family: Family) -> Option<String> {
    let lines: Vec<Line> = report
        .strategies
        .iter()
        .filter_map(|row| {
            let losses = row
                .steps
                .iter()
                .filter_map(|step| Some((step.step as f64, *step.losses.get(&family.into())?)));
            let finite: Vec<(f64, f64)> = losses.filter(|(_, loss)| loss.is_finite()).collect();
            (!finite.is_empty()).then(|| Line::new(row.strategy, &finite))
        })
        .collect();
    let frame =
        Frame { width: 520.0, height: 300.0, left: 62.0, right: 412.0, top: 10.0, bottom: 258.0 };
    let steps = lines.iter().flat_map(|line| &line.raw).map(|point| point.0);
    let x = Axis::over(steps.chain([0.0]), (frame.left, frame.right))?;
    let y = Axis::over(
        lines.iter().flat_map(|line| &line.raw).map(|point| point.1),
        (frame.bottom, frame.top),
    )?;

    let mut out = frame.y_axis(&y, "loss");
    out.push_str(&frame.x_axis(&x, "step"));
    for (class, smooth) in [("raw", false), ("smooth", true)] {
        for line in &lines {
            let points = if smooth { &line.smooth } else { &line.raw };
            let points: String =
                points.iter().map(|&(a, b)| format!("{:.1},{:.1} ", x.at(a), y.at(b))).collect();
            let strategy = line.strategy;
            let _ = writeln!(
                out,
                r#"<polyline class="{class} strategy-{strategy}" points="{}"/>"#,
                points.trim_end()
            );
        }
    }
    out.push_str(&names(&lines, &x, &y, frame.top));
    let title = family_title(family);
    let svg = frame.svg(&format!("{title}: loss of each strategy over the steps"), &out);
    Some(format!("<figure><figcaption>{title}</figcaption>\n{svg}</figure>\n"))
}

impl Line {
    fn new(strategy: Strategy, losses: &[(f64, f64)]) -> Self {
        let raw = thin(losses, POINTS);
        let smooth = moving_average(&raw, raw.len() / 20);
        Self { strategy, raw, smooth }
    }
}

/// Means of consecutive groups of equal length, at most `most` of them.
fn thin(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    points.chunks(points.len().div_ceil(most).max(1)).map(mean).collect()
}

/// The mean over each window of `reach` points to either side; the ends, which have no such window,
/// are left out.
fn moving_average(points: &[(f64, f64)], reach: usize) -> Vec<(f64, f64)> {
    points.windows(2 * reach + 1).map(mean).collect()
}

fn mean(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    (
        points.iter().map(|point| point.0).sum::<f64>() / n,
        points.iter().map(|point| point.1).sum::<f64>() / n,
    )
}

/// Each line's strategy next to its end; names that would overlap are moved.
fn names(lines: &[Line], x: &Axis, y: &Axis, top: f64) -> String {
    const LINE_HEIGHT: f64 = 15.0;
    let ends = lines.iter().filter_map(|line| {
        let (step, loss) = (line.raw.last()?.0, line.smooth.last()?.1);
        Some((y.at(loss), x.at(step), line.strategy))
    });
    let mut ends: Vec<(f64, f64, Strategy)> = ends.collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    spread(ends.iter_mut().map(|end| &mut end.0), LINE_HEIGHT, top);
    let name = |&(y, x, strategy): &(f64, f64, Strategy)| {
        let (x, y) = (x + 8.0, y + 4.0);
        format!(
            "<text class=\"name strategy-{strategy}\" x=\"{x:.1}\" \
             y=\"{y:.1}\">{strategy}</text>\n"
        )
    };
    ends.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_centred() {
        let points: Vec<(f64, f64)> = (1..=5).map(|i| (i as f64, (i * i) as f64)).collect();
        // (1 + 4 + 9) / 3, (4 + 9 + 16) / 3, (9 + 16 + 25) / 3.
        assert_eq!(
            moving_average(&points, 1),
            [(2.0, 14.0 / 3.0), (3.0, 29.0 / 3.0), (4.0, 50.0 / 3.0)]
        );
        assert_eq!(moving_average(&points, 0), points);
    }

    #[test]
    fn long_runs_are_thinned() {
        let points: Vec<(f64, f64)> = (1..=7).map(|i| (i as f64, 1.0)).collect();
        assert_eq!(thin(&points, 3), [(2.0, 1.0), (5.0, 1.0), (7.0, 1.0)]);
        assert_eq!(thin(&points, 7), points);
        assert_eq!(thin(&[], 3), []);
    }
}
