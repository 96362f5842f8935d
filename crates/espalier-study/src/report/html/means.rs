//! The figure of family means: a dot per seed, the mean, and its interval.

use super::chart::{Axis, Frame};
use super::text::{FAMILIES, family_score, family_title, points};
use crate::compare::family_scores;
use crate::report::Report;
use crate::statistics::Mean;
use espalier_encoder::Family;
use espalier_train::strategy::Strategy;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A strategy's line in the figure.
struct Row {
    strategy: Strategy,
    mean: Mean,
    /// Mean over the family's tasks for each seed.
    seeds: BTreeMap<u64, f64>,
}

/// Height of a strategy's line, pixels.
const ROW: f64 = 38.0;

/// The section.
pub fn section(report: &Report) -> String {
    let charts: String = FAMILIES.into_iter().filter_map(|family| chart(report, family)).collect();
    if charts.is_empty() {
        return charts;
    }
    format!(
        "<section>\n<h2>Means and their spread</h2>\n<p>Mean score over the tasks of a family: a \
         dot for each seed of fine-tuning; below it the mean of the seeds with its 95 % interval \
         (Student’s t). The dashed line is the mean without pre-finetuning.</p>\n<div \
         class=\"charts\">\n{charts}</div>\n</section>\n"
    )
}

fn chart(report: &Report, family: Family) -> Option<String> {
    let rows = rows(report, family);
    let bottom = 10.0 + ROW * rows.len() as f64;
    let frame =
        Frame { width: 520.0, height: bottom + 42.0, left: 112.0, right: 468.0, top: 10.0, bottom };
    let axis = Axis::over(rows.iter().flat_map(Row::extent), (frame.left, frame.right))?;
    let mut out = frame.x_axis(&axis, &format!("mean {}, points", family_score(family)));
    if let Some(none) = rows.iter().find(|row| row.strategy == Strategy::NONE) {
        let x = axis.within(100.0 * none.mean.mean);
        let _ = writeln!(
            out,
            r#"<line class="reference" x1="{x:.1}" x2="{x:.1}" y1="{}" y2="{bottom}"/>"#,
            frame.top
        );
    }
    for (i, row) in rows.iter().enumerate() {
        row.draw(&mut out, &frame, &axis, frame.top + ROW * (i as f64 + 0.5));
    }
    let title = family_title(family);
    let svg = frame.svg(&format!("{title}: mean score of each strategy"), &out);
    Some(format!("<figure><figcaption>{title}</figcaption>\n{svg}</figure>\n"))
}

fn rows(report: &Report, family: Family) -> Vec<Row> {
    let with_mean = report
        .strategies
        .iter()
        .filter_map(|row| Some((row.strategy, *row.families.get(&family)?)));
    let finite = with_mean.filter(|(_, mean)| mean.mean.abs() <= 1e3);
    finite
        .map(|(strategy, mean)| Row { strategy, mean, seeds: seed_means(report, strategy, family) })
        .collect()
}

fn seed_means(report: &Report, strategy: Strategy, family: Family) -> BTreeMap<u64, f64> {
    let means = family_scores(&report.cells, strategy, family).into_iter();
    means.filter(|(_, mean)| mean.is_finite()).collect()
}

impl Row {
    /// The interval in points, cut to the range of scores.
    fn interval(&self) -> Option<(f64, f64)> {
        let half = self.mean.half_width.filter(|half| half.is_finite())?;
        let (low, high) = (self.mean.mean - half, self.mean.mean + half);
        Some((100.0 * low.max(0.0), 100.0 * high.min(1.0)))
    }

    /// All values that the axis must cover, in points.
    fn extent(&self) -> Vec<f64> {
        let (low, high) =
            self.interval().unwrap_or((100.0 * self.mean.mean, 100.0 * self.mean.mean));
        self.seeds.values().map(|seed| 100.0 * seed).chain([low, high]).collect()
    }

    /// Draws the row around the height `y`: seeds a little above, mean and interval a little below.
    fn draw(&self, out: &mut String, frame: &Frame, axis: &Axis, y: f64) {
        let Self { strategy, mean, seeds } = self;
        let _ = writeln!(out, r#"<g class="strategy-{strategy}">"#);
        let (x, baseline) = (frame.left - 10.0, y + 4.0);
        let _ = writeln!(
            out,
            r#"<text class="name" x="{x:.1}" y="{baseline:.1}" text-anchor="end">{strategy}</text>"#
        );
        for (seed, score) in seeds {
            let (x, shown) = (axis.within(100.0 * score), points(*score));
            let _ = writeln!(
                out,
                "<circle class=\"seed\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4\"><title>{strategy}, seed \
                 {seed}: {shown}</title></circle>",
                y - 6.0
            );
        }
        let y = y + 6.0;
        if let Some((low, high)) = self.interval() {
            let (low, high) = (axis.within(low), axis.within(high));
            let _ = writeln!(
                out,
                "<path class=\"interval\" d=\"M{low:.1} {a:.1}V{b:.1}M{low:.1} {y:.1}\
                 H{high:.1}M{high:.1} {a:.1}V{b:.1}\"/>",
                a = y - 4.0,
                b = y + 4.0
            );
        }
        let x = axis.within(100.0 * mean.mean);
        let _ = writeln!(
            out,
            r#"<path class="mean" d="M{x:.1} {:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>"#,
            y - 5.5
        );
        let (x, shown) = (frame.right + 12.0, points(mean.mean));
        let _ = writeln!(out, r#"<text class="value" x="{x:.1}" y="{baseline:.1}">{shown}</text>"#);
        out.push_str("</g>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::sample;

    #[test]
    fn the_means_of_seeds_agree_with_the_family_mean() {
        let report = sample::report();
        for family in FAMILIES {
            for row in rows(&report, family) {
                assert_eq!(row.seeds.len(), report.seeds.len());
                let values: Vec<f64> = row.seeds.values().copied().collect();
                assert!((Mean::of(&values).mean - row.mean.mean).abs() < 1e-12, "{}", row.strategy);
            }
        }
    }

    #[test]
    fn an_interval_ends_where_scores_do() {
        let mean = Mean { mean: 0.9, half_width: Some(0.3), n: 2 };
        let row = Row { strategy: Strategy::TPL, mean, seeds: BTreeMap::new() };
        let (low, high) = row.interval().unwrap();
        assert!((low - 60.0).abs() < 1e-9);
        assert_eq!(high, 100.0);
    }
}
