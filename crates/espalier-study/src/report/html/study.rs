//! The page of a study.

use super::chart::{Axis, Frame};
use super::page;
use super::text::{
    FAMILIES, NOTHING, counted, duration, escape, family_score, family_title, points,
};
use crate::grid::{Interval, Summary, Table};
use crate::report::study::{interval, labels, signed_interval};
use espalier_encoder::Family;
use espalier_train::strategy::Strategy;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A study's results as an HTML page. `settings` are the names and contents of its files.
pub fn study_html(summary: &Summary, settings: &[(String, String)]) -> String {
    let title = "Does pre-finetuning pay?";
    let machines = summary.machines.iter().map(|machine| escape(machine));
    let backbones = backbones(summary);
    let facts = [
        counted(backbones.len(), "backbone", "backbones"),
        counted(summary.encoders.len(), "pre-finetuned encoder", "pre-finetuned encoders"),
        counted(summary.cells, "cell", "cells"),
        format!("{} of computation", duration(summary.seconds)),
        machines.collect::<Vec<_>>().join("; "),
    ];
    let header = format!("<h1>{title}</h1>\n<p class=\"faint\">{}</p>", facts.join(" · "));
    let mut sections = String::new();
    for backbone in backbones {
        let tables: Vec<&Table> =
            summary.tables.iter().filter(|table| table.backbone == backbone).collect();
        let _ = writeln!(sections, "<section>\n<h2>{}</h2>", escape(backbone));
        for family in FAMILIES {
            sections.push_str(&means(&tables, family));
        }
        sections.push_str(&curves(&tables));
        sections.push_str("</section>\n");
        for table in tables {
            sections.push_str(&details(table));
        }
    }
    sections.push_str(&encoders(summary));
    sections.push_str(&notes(summary));
    sections.push_str(&files(settings));
    page(title, &header, &sections)
}

fn backbones(summary: &Summary) -> Vec<&str> {
    let names: BTreeSet<&str> = summary.tables.iter().map(|table| &*table.backbone).collect();
    names.into_iter().collect()
}

/// The colour of a row among others: a strategy's own, or that of a strategy that is no row.
fn colour(name: &str, rows: &[&str]) -> String {
    let known: Vec<&str> = Strategy::ALL.iter().map(|strategy| strategy.name).collect();
    if known.contains(&name) {
        return format!("--strategy: var(--{name})");
    }
    let free: Vec<&&str> = known.iter().filter(|name| !rows.contains(*name)).collect();
    let mut others = rows.iter().filter(|row| !known.contains(*row));
    let place = others.position(|row| *row == name).unwrap_or_default();
    let name = if free.is_empty() { known[0] } else { free[place % free.len()] };
    format!("--strategy: var(--{name})")
}

fn row_names(table: &Table) -> Vec<&str> {
    table.rows.iter().map(|row| row.name.as_str()).collect()
}

fn row_head(name: &str, rows: &[&str]) -> String {
    format!(
        "<th scope=\"row\"><span class=\"swatch\" style=\"{}\"></span>{}</th>",
        colour(name, rows),
        escape(name)
    )
}

/// The headline of a family: a row per strategy, and for each fraction its mean and its difference
/// to none.
fn means(tables: &[&Table], family: Family) -> String {
    let tables: Vec<&&Table> =
        tables.iter().filter(|table| table.tasks.iter().any(|t| t.family == family)).collect();
    if tables.is_empty() {
        return String::new();
    }
    let head = tables.iter().map(|table| {
        let tasks = table.tasks.iter().filter(|task| task.family == family).count();
        let tasks = counted(tasks, "task", "tasks");
        format!(
            "<th scope=\"col\" colspan=\"2\">{}<br/><small>{tasks}</small></th>",
            labels(table.fraction)
        )
    });
    let mut names: Vec<&str> = Vec::new();
    for row in tables.iter().flat_map(|table| &table.rows) {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    let mut body = String::new();
    for name in &names {
        let _ = write!(body, "<tr>{}", row_head(name, &names));
        for table in &tables {
            let row = table.rows.iter().find(|row| row.name == *name);
            let result = row.and_then(|row| row.families.get(&family));
            let best = |mean: f64| {
                let all = table.rows.iter().filter_map(|row| row.families.get(&family));
                all.map(|result| result.mean.mean).fold(0.0, f64::max) <= mean
            };
            let mean = result.map_or(NOTHING.into(), |result| match best(result.mean.mean) {
                true => format!("<span class=\"best\">{}</span>", points(result.mean.mean)),
                false => points(result.mean.mean),
            });
            let gain = result
                .and_then(|result| result.against.iter().find(|against| against.row == "none"));
            let gain = gain.map_or(String::new(), |gain| signed_interval(&gain.difference));
            let _ = write!(body, "<td>{mean}</td><td><small>{gain}</small></td>");
        }
        body.push_str("</tr>\n");
    }
    format!(
        "<h3>{}: {} in points</h3>\n<div class=\"scroll\"><table class=\"scores\">\n<thead><tr \
         class=\"groups\"><td></td>{}</tr>\n<tr><th scope=\"col\">strategy</th>{}</tr></thead>\n\
         <tbody>\n{body}</tbody></table></div>\n",
        family_title(family),
        family_score(family),
        head.collect::<String>(),
        "<th scope=\"col\">mean</th><th scope=\"col\">against none</th>".repeat(tables.len()),
    )
}

/// The means over the fractions, a figure per family.
fn curves(tables: &[&Table]) -> String {
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
        let label = format!("{} %", (1e6 * table.fraction).round() / 1e4);
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
    // From below, so that names do not overlap and none is pushed onto the axis.
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    for i in (1..ends.len()).rev() {
        ends[i - 1].0 = ends[i - 1].0.min(ends[i].0 - LINE);
    }
    // Then from above, so that none is pushed out of the figure.
    let mut lowest = frame.top;
    for end in &mut ends {
        end.0 = end.0.max(lowest);
        lowest = end.0 + LINE;
    }
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

/// Differences, scores by task and gains by task, of one backbone and fraction.
fn details(table: &Table) -> String {
    let mut out =
        format!("<section>\n<h2>{}: {}</h2>\n", escape(&table.backbone), labels(table.fraction));
    for family in FAMILIES {
        if !table.tasks.iter().any(|task| task.family == family) {
            continue;
        }
        let _ = writeln!(out, "<h3>{}</h3>", family_title(family));
        out.push_str(&differences(table, family));
        out.push_str(&by_task(table, family));
        out.push_str(&gains(table, family));
    }
    out + "</section>\n"
}

fn differences(table: &Table, family: Family) -> String {
    let mut body = String::new();
    let names = row_names(table);
    for row in &table.rows {
        let Some(result) = row.families.get(&family) else { continue };
        let head = row_head(&row.name, &names);
        let rank = result.rank.map_or(NOTHING.into(), |rank| format!("{rank:.1}"));
        let far = result.without_close.as_ref().map_or(NOTHING.into(), interval);
        let mut start = format!(
            "<tr>{head}<td>{}</td><td>{far}</td><td>{rank}</td><td>{}</td>",
            interval(&result.mean),
            result.mean.n
        );
        if result.against.is_empty() {
            let _ = writeln!(body, "{start}<td></td><td></td><td></td></tr>");
        }
        for against in &result.against {
            let _ = writeln!(
                body,
                "{start}<td>{}</td><td>{}</td><td>{} / {} / {}</td></tr>",
                escape(&against.row),
                signed_interval(&against.difference),
                against.wins,
                against.ties,
                against.losses
            );
            start = "<tr><th scope=\"row\"></th><td></td><td></td><td></td><td></td>".into();
        }
    }
    let columns = [
        "mean [95 %]",
        "without close tasks",
        "rank",
        "n",
        "against",
        "difference [95 %]",
        "won / tied / lost",
    ];
    let columns = columns.map(|column| format!("<th scope=\"col\">{column}</th>")).concat();
    format!(
        "<div class=\"scroll\"><table class=\"cells\">\n<thead><tr><th \
         scope=\"col\">strategy</th>{columns}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )
}

fn by_task(table: &Table, family: Family) -> String {
    let tasks: Vec<_> = table.tasks.iter().filter(|task| task.family == family).collect();
    let head = table.rows.iter().map(|row| format!("<th scope=\"col\">{}</th>", escape(&row.name)));
    let rows = tasks.iter().map(|task| {
        let score = |score: Option<&Interval>| score.map_or(NOTHING.into(), |s| points(s.mean));
        let best = table.rows.iter().filter_map(|row| row.tasks.get(&task.name));
        let best = best.map(|score| score.mean).fold(0.0, f64::max);
        let cells = table.rows.iter().map(|row| {
            let own = row.tasks.get(&task.name);
            match own.is_some_and(|own| own.mean >= best) {
                true => format!("<td><span class=\"best\">{}</span></td>", score(own)),
                false => format!("<td>{}</td>", score(own)),
            }
        });
        format!(
            "<tr><th scope=\"row\">{} <small>{} / {}</small></th>{}</tr>\n",
            escape(&task.name),
            task.train,
            task.test,
            cells.collect::<String>()
        )
    });
    format!(
        "<details><summary>Every task</summary>\n<div class=\"scroll\"><table \
         class=\"cells\">\n<thead><tr><th scope=\"col\">task <small>train / \
         test</small></th>{}</tr></thead>\n<tbody>\n{}</tbody></table></div></details>\n",
        head.collect::<String>(),
        rows.collect::<String>()
    )
}

/// A figure of the gains over none by task, with intervals: of tpl, or of the last row.
fn gains(table: &Table, family: Family) -> String {
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

fn encoders(summary: &Summary) -> String {
    if summary.encoders.is_empty() {
        return String::new();
    }
    let rows = summary.encoders.iter().map(|encoder| {
        let losses = encoder.validation.iter();
        let losses: Vec<String> =
            losses.map(|(objective, loss)| format!("{} {loss:.3}", escape(objective))).collect();
        let chosen = match encoder.chosen.is_empty() {
            true => NOTHING.into(),
            false => escape(&encoder.chosen.join(", ")),
        };
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{chosen}\
             </td><td>{}</td></tr>\n",
            escape(&encoder.row),
            escape(&encoder.backbone),
            encoder.seed,
            encoder.steps,
            losses.join(", "),
            duration(encoder.seconds)
        )
    });
    let columns =
        ["strategy", "backbone", "seed", "steps", "held-out losses", "chosen on dev", "time"];
    let head = columns.map(|column| format!("<th scope=\"col\">{column}</th>")).concat();
    format!(
        "<section>\n<h2>Pre-finetuning</h2>\n<div class=\"scroll\"><table \
         class=\"cells\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n\
         </section>\n",
        rows.collect::<String>()
    )
}

fn notes(summary: &Summary) -> String {
    let close = match summary.close_tasks.is_empty() {
        true => String::new(),
        false => format!(
            "<li>Close to the data of pre-finetuning: {}. “Without close tasks” leaves them \
             out.</li>\n",
            escape(&summary.close_tasks.join(", "))
        ),
    };
    format!(
        "<section>\n<h2>How to read it</h2>\n<ul class=\"notes\">\n<li>Every strategy has the same \
         adapter shape, training steps, batch and search; only what training starts from \
         differs. Settings are chosen on dev; test is scored once.</li>\n<li>Intervals: 95 %, \
         percentiles of a bootstrap over tasks, seeds of fine-tuning and seeds of pre-finetuning. \
         Differences are paired by task and seed. With one seed of pre-finetuning, intervals do \
         not contain what another run of it would change.</li>\n<li>Won, tied, lost: tasks on \
         which the means differ by more than half a point, or do not. Rank: the mean over the tasks \
         that every strategy has; 1 is the best.</li>\n{close}<li>Not shown: other languages, longer \
         texts, larger encoders, and whether these tasks are like yours.</li>\n</ul>\n</section>\n"
    )
}

fn files(settings: &[(String, String)]) -> String {
    let files = settings.iter().map(|(name, content)| {
        format!(
            "<details><summary>{}</summary>\n<div class=\"scroll\"><pre>{}</pre></div></details>\n",
            escape(name),
            escape(content)
        )
    });
    match settings.is_empty() {
        true => String::new(),
        false => format!("<section>\n<h2>Settings</h2>\n{}</section>\n", files.collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::sample;

    fn summary() -> Summary {
        let order = ["none", "joint", "tpl"].map(String::from);
        Summary::new(&sample(), &order, &["cities".to_string()])
    }

    #[test]
    fn the_page_is_well_formed_and_escapes_names() {
        let settings = [("study.toml".to_string(), "name = \"<script>\"".to_string())];
        let page = study_html(&summary(), &settings);
        super::super::tests::assert_well_formed(&page);
        assert!(page.contains("genes &lt;b&gt;") && !page.contains("<script>"));
        for part in ["<svg", "Pre-finetuning", "ner.weight=2", "Close to the data", "+8.0 ["] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_study_without_results_has_a_page_too() {
        let page = study_html(&Summary::new(&[], &[], &[]), &[]);
        super::super::tests::assert_well_formed(&page);
    }

    #[test]
    fn rows_of_other_names_have_colours_of_their_own() {
        let rows = ["none", "tpl", "tpl + teachers", "tpl, slow"];
        let colours = rows.map(|row| colour(row, &rows));
        assert_eq!(colours[1], "--strategy: var(--tpl)");
        assert_eq!(colours.iter().collect::<BTreeSet<_>>().len(), 4);
    }
}
