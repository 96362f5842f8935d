//! The figures of a study's page.

use super::{colour, row_names};
use crate::grid::{Interval, Table};
use crate::report::html::chart::{Axis, Frame, spread};
use crate::report::html::text::{FAMILIES, escape, family_title};
use crate::report::study::percent;
use espalier_encoder::Family;
use std::fmt::Write;

/// The means over the fractions, a figure per family.
pub(super) fn curves(tables: &[&Table]) -> String {
    if tables.len() < 2 {
        return String::new();
    }
    let charts: String = FAMILIES.into_iter().filter_map(|family| curve(tables, family)).collect();
    format!("<h3>By fraction of the labels</h3>\n<div class=\"charts\">\n{charts}</div>\n")
}

fn curve(tables: &[&Table], family: Family) -> Option<String> {
    const LINE: f64 = 14.0;
    let frame =
        Frame { width: 520.0, height: 300.0, left: 62.0, right: 380.0, top: 10.0, bottom: 258.0 };
    let mut lines: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for (x, table) in tables.iter().enumerate() {
        for row in &table.rows {
            let Some(result) = row.families.get(&family) else { continue };
            let point = (x as f64, 100.0 * result.mean.mean);
            match lines.iter_mut().find(|(name, _)| *name == row.name) {
                Some((_, points)) => points.push(point),
                None => lines.push((&row.name, vec![point])),
            }
        }
    }
    let all = || lines.iter().flat_map(|(_, points)| points);
    let y = Axis::over(all().map(|point| point.1), (frame.bottom, frame.top))?;
    let step = (frame.right - frame.left) / (tables.len() - 1) as f64;
    let at = |x: f64| frame.left + step * x;
    let mut out = frame.y_axis(&y, "points");
    for (x, table) in tables.iter().enumerate() {
        let label = percent(table.fraction);
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            at(x as f64),
            frame.bottom + 16.0
        );
    }
    let mut ends: Vec<(f64, String)> = Vec::new();
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    for (name, points) in &lines {
        let colour = colour(name, &names);
        let path: Vec<String> =
            points.iter().map(|&(a, b)| format!("{:.1},{:.1}", at(a), y.at(b))).collect();
        let _ = writeln!(
            out,
            "<polyline class=\"smooth\" style=\"{colour}\" points=\"{}\"/>",
            path.join(" ")
        );
        if let Some(&(x, value)) = points.last() {
            let name = escape(name);
            let text = format!("style=\"{colour}\" x=\"{:.1}\"|{name}", at(x) + 8.0);
            ends.push((y.at(value), text));
        }
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    spread(ends.iter_mut().map(|end| &mut end.0), LINE, frame.top);
    for (height, text) in &ends {
        if let Some((attributes, name)) = text.split_once('|') {
            let _ = writeln!(
                out,
                "<text class=\"name\" {attributes} y=\"{:.1}\">{name}</text>",
                height + 4.0
            );
        }
    }
    let title = family_title(family);
    let svg = frame.svg(&format!("{title}: mean over tasks by fraction of the labels"), &out);
    Some(format!("<figure><figcaption>{title}</figcaption>\n{svg}</figure>\n"))
}

/// A figure of the gains over none by task, with intervals: of tpl, or of the last row.
pub(super) fn gains(table: &Table, family: Family) -> String {
    const LINE: f64 = 22.0;
    let with_gains = || table.rows.iter().filter(|row| !row.gains.is_empty());
    let tpl = with_gains().find(|row| row.name == "tpl").or_else(|| with_gains().next_back());
    let Some(row) = tpl else { return String::new() };
    let mut gains: Vec<(&str, &Interval)> = table
        .tasks
        .iter()
        .filter(|task| task.family == family)
        .filter_map(|task| Some((task.name.as_str(), row.gains.get(&task.name)?)))
        .collect();
    gains.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    let height = LINE * gains.len() as f64 + 58.0;
    let frame =
        Frame { width: 620.0, height, left: 190.0, right: 600.0, top: 6.0, bottom: height - 48.0 };
    let ends = gains.iter().flat_map(|(_, gain)| [100.0 * gain.low, 100.0 * gain.high]);
    let Some(x) = Axis::over(ends.chain([0.0]), (frame.left, frame.right)) else {
        return String::new();
    };
    let mut out = frame.x_axis(&x, "points above none");
    let zero = x.at(0.0);
    let _ = writeln!(
        out,
        "<line class=\"reference\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"{}\" y2=\"{}\"/>",
        frame.top, frame.bottom
    );
    let colour = colour(&row.name, &row_names(table));
    for (number, (task, gain)) in gains.iter().enumerate() {
        let y = frame.top + LINE * (number as f64 + 0.5);
        let [low, mean, high] = [gain.low, gain.mean, gain.high].map(|gain| x.at(100.0 * gain));
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n<line class=\"interval\" \
             style=\"{colour}\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n\
             <circle class=\"seed\" style=\"{colour}; fill-opacity: 1\" cx=\"{mean:.1}\" \
             cy=\"{y:.1}\" r=\"4\"/>",
            frame.left - 10.0,
            y + 4.0,
            escape(task)
        );
    }
    let title = format!("Gain of {} over none by task", escape(&row.name));
    let svg = frame.svg(&title, &out);
    format!("<figure><figcaption>{title}</figcaption>\n{svg}</figure>\n")
}
