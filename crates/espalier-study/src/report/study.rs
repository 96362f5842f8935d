//! The result of a study as Markdown and as CSV.

use crate::grid::{Interval, Record, Summary, Table};
use espalier_encoder::Family;
use espalier_encoder::text::escape_control;
use std::fmt::Write;

/// The tables of means and differences, in points, as Markdown.
pub fn study_markdown(summary: &Summary) -> String {
    let mut out = String::new();
    for table in &summary.tables {
        let _ = writeln!(out, "## {}, {}\n", cell(&table.backbone), labels(table.fraction));
        for family in [Family::Ner, Family::Tc] {
            if table.tasks.iter().any(|task| task.family == family) {
                out.push_str(&family_table(table, family));
            }
        }
    }
    let _ = writeln!(
        out,
        "{} cells. Points of strict entity F1 (NER) or accuracy (classification) on test, with \
         95 % intervals of a bootstrap over tasks and seeds. Won, tied and lost: tasks on which the \
         means differ by more than half a point, or do not.",
        summary.cells
    );
    out
}

fn family_table(table: &Table, family: Family) -> String {
    let title = match family {
        Family::Ner => "Named entity recognition",
        Family::Tc => "Classification",
    };
    let tasks = table.tasks.iter().filter(|task| task.family == family).count();
    let mut out = format!(
        "{title}, {tasks} tasks\n\n| strategy | mean | rank | n | against | difference | won / tied \
         / lost |\n|---|---|---|---|---|---|---|\n"
    );
    for row in &table.rows {
        let Some(result) = row.families.get(&family) else { continue };
        let rank = result.rank.map_or(String::new(), |rank| format!("{rank:.1}"));
        let start = format!(
            "| {} | {} | {rank} | {}",
            cell(&row.name),
            interval(&result.mean),
            result.mean.n
        );
        if result.against.is_empty() {
            let _ = writeln!(out, "{start} | | | |");
        }
        for (number, against) in result.against.iter().enumerate() {
            let start = if number == 0 { start.as_str() } else { "| | | |" };
            let _ = writeln!(
                out,
                "{start} | {} | {} | {} / {} / {} |",
                cell(&against.row),
                signed_interval(&against.difference),
                against.wins,
                against.ties,
                against.losses
            );
        }
    }
    out + "\n"
}

/// A name in a table of Markdown.
fn cell(name: &str) -> String {
    let mut out = String::new();
    for c in escape_control(name).chars() {
        if "|<>*_`[]\\".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `10 % of the labels`.
pub(super) fn labels(fraction: f64) -> String {
    match fraction {
        1.0 => "all labels".into(),
        fraction => format!("{} of the labels", percent(fraction)),
    }
}

/// `0.5 %`.
pub(super) fn percent(fraction: f64) -> String {
    format!("{} %", (1e6 * fraction).round() / 1e4)
}

/// `61.3 [60.2, 62.4]`.
pub(super) fn interval(interval: &Interval) -> String {
    let [mean, low, high] = [interval.mean, interval.low, interval.high].map(|score| 100.0 * score);
    format!("{mean:.1} [{low:.1}, {high:.1}]")
}

/// `+1.3 [-0.2, +2.4]`.
pub(super) fn signed_interval(interval: &Interval) -> String {
    let [mean, low, high] = [interval.mean, interval.low, interval.high].map(|score| 100.0 * score);
    format!("{mean:+.1} [{low:+.1}, {high:+.1}]")
}

/// The cells as CSV: a line each.
pub fn study_csv<'a>(records: impl IntoIterator<Item = &'a Record>) -> String {
    let mut out = String::from(
        "backbone,strategy,prefinetune_seed,task,family,fraction,train,test,seed,learning_rate,\
         score,second_score,seconds,machine\n",
    );
    for record in records {
        let Record::Cell(cell) = record else { continue };
        let fields = [
            quoted(&cell.backbone),
            quoted(&cell.row),
            cell.prefinetune_seed.to_string(),
            quoted(&cell.task),
            cell.family.name().to_string(),
            cell.fraction.to_string(),
            cell.train.to_string(),
            cell.test.to_string(),
            cell.seed.to_string(),
            cell.learning_rate.to_string(),
            cell.score.to_string(),
            cell.second_score.to_string(),
            format!("{:.2}", cell.seconds),
            quoted(&cell.machine),
        ];
        let _ = writeln!(out, "{}", fields.join(","));
    }
    out
}

/// A field of CSV (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::sample;

    #[test]
    fn markdown_has_a_table_for_each_family_and_fraction() {
        let order = ["none", "joint", "tpl"].map(String::from);
        let text = study_markdown(&Summary::new(&sample(), &order, &[]));
        assert_eq!(text.matches("## tiny, ").count(), 2);
        assert!(
            text.contains("## tiny, 10 % of the labels") && text.contains("## tiny, all labels")
        );
        let row = text.lines().find(|line| line.starts_with("| tpl")).unwrap();
        assert!(
            row.contains("| tpl | 53.0 [") && row.contains("| 1.0 | 6 | none | +2.0 ["),
            "{row}"
        );
        assert!(row.ends_with("| 2 / 0 / 0 |"), "{row}");
        let columns: Vec<usize> = text
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|l| l.matches('|').count())
            .collect();
        assert!(columns.iter().all(|&count| count == 8), "{columns:?}");
    }

    #[test]
    fn csv_quotes_what_needs_it_and_has_a_line_for_each_cell() {
        let text = study_csv(&sample());
        assert_eq!(text.lines().count(), 73);
        assert!(text.contains("tiny,tpl,0,genes <b>,ner,0.1,100,200,2,0.001,"));
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(cell("a|b_c"), "a\\|b\\_c");
        assert_eq!(
            [labels(0.01), labels(0.1), labels(0.005)],
            ["1 % of the labels", "10 % of the labels", "0.5 % of the labels"]
        );
    }
}
