//! The page of a study.

mod figures;
mod tables;

use super::page;
use super::text::{FAMILIES, NOTHING, counted, duration, escape, family_title};
use crate::grid::{Summary, Table};
use crate::report::study::labels;
use espalier_train::strategy::Strategy;
use figures::{curves, gains};
use std::collections::BTreeSet;
use std::fmt::Write;
use tables::{by_task, differences, means};

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
        crate::report::html::tests::assert_well_formed(&page);
        assert!(page.contains("genes &lt;b&gt;") && !page.contains("<script>"));
        for part in ["<svg", "Pre-finetuning", "ner.weight=2", "Close to the data", "+8.0 ["] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn a_study_without_results_has_a_page_too() {
        let page = study_html(&Summary::new(&[], &[], &[]), &[]);
        crate::report::html::tests::assert_well_formed(&page);
    }

    #[test]
    fn rows_of_other_names_have_colours_of_their_own() {
        let rows = ["none", "tpl", "tpl + teachers", "tpl, slow"];
        let colours = rows.map(|row| colour(row, &rows));
        assert_eq!(colours[1], "--strategy: var(--tpl)");
        assert_eq!(colours.iter().collect::<BTreeSet<_>>().len(), 4);
    }
}
