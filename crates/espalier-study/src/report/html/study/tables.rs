//! The tables of a study's page.

use super::{row_head, row_names};
use crate::grid::{Interval, Table};
use crate::report::html::text::{NOTHING, counted, escape, family_score, family_title, points};
use crate::report::study::{interval, labels, signed_interval};
use espalier_encoder::Family;
use std::fmt::Write;

/// The headline of a family: a row per strategy, and for each fraction its mean and its difference
/// to none.
pub(super) fn means(tables: &[&Table], family: Family) -> String {
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

pub(super) fn differences(table: &Table, family: Family) -> String {
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

pub(super) fn by_task(table: &Table, family: Family) -> String {
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
