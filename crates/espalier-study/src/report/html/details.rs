//! Every single result: strategies x tasks x seeds.

use super::text::{FAMILIES, NOTHING, counted, escape, family_title, points};
use crate::compare::Cell;
use crate::evaluate::Scores;
use crate::report::Report;
use espalier_encoder::Family;

/// The section.
pub fn section(report: &Report) -> String {
    let tables: String = FAMILIES.into_iter().map(|family| table(report, family)).collect();
    if tables.is_empty() {
        return tables;
    }
    let n = counted(report.cells.len(), "adapter", "adapters");
    format!(
        "<section>\n<h2>Every result</h2>\n<details>\n<summary>{n}, one by \
         one</summary>\n{tables}</details>\n</section>\n"
    )
}

fn table(report: &Report, family: Family) -> String {
    let bodies: String = report
        .tasks
        .iter()
        .filter(|task| task.family == family)
        .map(|task| body(&task.name, report.cells.iter().filter(|cell| cell.task == task.name)))
        .collect();
    if bodies.is_empty() {
        return bodies;
    }
    let columns: String =
        titles(family).iter().map(|title| format!("<th scope=\"col\">{title}</th>")).collect();
    format!(
        "<h3>{}</h3>\n<div class=\"scroll\"><table class=\"cells\">\n<thead><tr><th \
         scope=\"col\">strategy</th><th \
         scope=\"col\">seed</th>{columns}</tr></thead>\n{bodies}</table></div>\n",
        family_title(family)
    )
}

/// Columns after strategy and seed, in the order of [`figures`].
fn titles(family: Family) -> &'static [&'static str] {
    match family {
        Family::Ner => &["strict F1", "precision", "recall", "lenient F1", "entities", "seconds"],
        Family::Tc => &["accuracy", "macro F1", "texts", "seconds"],
    }
}

/// One task's rows under its name.
fn body<'a>(task: &str, cells: impl Iterator<Item = &'a Cell>) -> String {
    let mut width = 0;
    let mut rows = String::new();
    for cell in cells {
        let figures = figures(cell);
        width = figures.len() + 2;
        let figures: String = figures.iter().map(|figure| format!("<td>{figure}</td>")).collect();
        rows += &format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td>{figures}</tr>\n",
            cell.strategy, cell.seed
        );
    }
    if rows.is_empty() {
        return rows;
    }
    let task = escape(task);
    format!(
        "<tbody>\n<tr class=\"task\"><th scope=\"rowgroup\" \
         colspan=\"{width}\">{task}</th></tr>\n{rows}</tbody>\n"
    )
}

fn figures(cell: &Cell) -> Vec<String> {
    let seconds =
        if cell.seconds.abs() < 1e9 { format!("{:.1}", cell.seconds) } else { NOTHING.into() };
    match &cell.scores {
        Scores::Ner(scores) => {
            let (strict, lenient) = (&scores.strict, &scores.lenient);
            let shown = [strict.f1, strict.precision, strict.recall, lenient.f1].map(points);
            shown.into_iter().chain([strict.gold.to_string(), seconds]).collect()
        }
        Scores::Classification(scores) => {
            let shown = [scores.accuracy, scores.macro_f1].map(points);
            shown.into_iter().chain([scores.n.to_string(), seconds]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::sample;

    #[test]
    fn every_cell_fills_its_columns() {
        for cell in &sample::report().cells {
            let family =
                if matches!(cell.scores, Scores::Ner(_)) { Family::Ner } else { Family::Tc };
            assert_eq!(figures(cell).len(), titles(family).len());
        }
    }
}
