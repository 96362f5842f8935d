//! The tables of scores: means of strategies and tasks, and every result.

use super::text::{FAMILIES, NOTHING, counted, escape, family_score, family_title, points};
use crate::compare::Cell;
use crate::evaluate::Scores;
use crate::report::Report;
use crate::statistics::Mean;
use espalier_encoder::Family;

/// A column: a task, or the mean of a family.
struct Column {
    title: String,
    is_mean: bool,
    /// One per strategy.
    values: Vec<Option<Mean>>,
}

/// The section of means over seeds: strategies x tasks.
pub fn means(report: &Report) -> String {
    let families: Vec<(Family, Vec<Column>)> = FAMILIES
        .into_iter()
        .map(|family| (family, columns(report, family)))
        .filter(|(_, columns)| !columns.is_empty())
        .collect();
    if families.is_empty() || report.strategies.is_empty() {
        return String::new();
    }
    let columns: Vec<&Column> = families.iter().flat_map(|(_, columns)| columns).collect();
    format!(
        "<section>\n<h2>Scores</h2>\n<p>Points on each task’s test split, means of {} of \
         fine-tuning with their 95 % intervals. The highest value of a column is <b \
         class=\"best\">marked</b>.</p>\n<div class=\"scroll\"><table \
         class=\"scores\">\n<thead>\n{}</thead>\n<tbody>\n{}</tbody></table></div>\n</section>\n",
        counted(report.seeds.len(), "seed", "seeds"),
        head(&families),
        (0..report.strategies.len()).map(|i| row(report, &columns, i)).collect::<String>()
    )
}

fn columns(report: &Report, family: Family) -> Vec<Column> {
    let mut columns: Vec<Column> = report
        .tasks
        .iter()
        .filter(|task| task.family == family)
        .map(|task| {
            let values =
                report.strategies.iter().map(|row| row.tasks.get(&task.name).copied()).collect();
            Column { title: escape(&task.name), is_mean: false, values }
        })
        .collect();
    if !columns.is_empty() {
        let values =
            report.strategies.iter().map(|row| row.families.get(&family).copied()).collect();
        columns.push(Column { title: "mean".into(), is_mean: true, values });
    }
    columns
}

fn head(families: &[(Family, Vec<Column>)]) -> String {
    let groups = families.iter().map(|(family, columns)| {
        let (title, score) = (family_title(*family), family_score(*family));
        format!(
            "<th scope=\"colgroup\" colspan=\"{}\">{title} <small>{score}</small></th>",
            columns.len()
        )
    });
    let titles = families.iter().flat_map(|(_, columns)| columns).map(|column| {
        let class = if column.is_mean { " class=\"mean\"" } else { "" };
        format!("<th scope=\"col\"{class}>{}</th>", column.title)
    });
    format!(
        "<tr class=\"groups\"><td></td>{}</tr>\n<tr><th scope=\"col\">strategy</th>{}</tr>\n",
        groups.collect::<String>(),
        titles.collect::<String>()
    )
}

fn row(report: &Report, columns: &[&Column], i: usize) -> String {
    let strategy = report.strategies[i].strategy;
    let cells = columns.iter().map(|column| {
        let class = if column.is_mean { " class=\"mean\"" } else { "" };
        format!("<td{class}>{}</td>", value(column, i))
    });
    format!(
        "<tr><th scope=\"row\" class=\"strategy-{strategy}\"><i class=\"swatch\"></i>{strategy} \
         <small>{}</small></th>{}</tr>\n",
        strategy.description,
        cells.collect::<String>()
    )
}

fn value(column: &Column, i: usize) -> String {
    let Some(mean) = column.values[i] else { return NOTHING.into() };
    let shown = points(mean.mean);
    let interval =
        mean.half_width.map_or(String::new(), |half| format!(" <small>± {}</small>", points(half)));
    match is_best(column, mean) {
        true => format!("<b class=\"best\">{shown}</b>{interval}"),
        false => format!("{shown}{interval}"),
    }
}

/// Whether this is the highest of several, to the digits shown.
fn is_best(column: &Column, mean: Mean) -> bool {
    let finite =
        column.values.iter().flatten().map(|mean| mean.mean).filter(|mean| mean.is_finite());
    let best = finite.max_by(f64::total_cmp);
    column.values.len() > 1 && best.is_some_and(|best| points(best) == points(mean.mean))
}

/// The section of every result: strategies x tasks x seeds.
pub fn every_result(report: &Report) -> String {
    let tables: String = FAMILIES.into_iter().map(|family| results_table(report, family)).collect();
    if tables.is_empty() {
        return tables;
    }
    let n = counted(report.cells.len(), "adapter", "adapters");
    format!(
        "<section>\n<h2>Every result</h2>\n<details>\n<summary>{n}, one by \
         one</summary>\n{tables}</details>\n</section>\n"
    )
}

fn results_table(report: &Report, family: Family) -> String {
    let bodies: String = report
        .tasks
        .iter()
        .filter(|task| task.family == family)
        .map(|task| {
            results_of_task(&task.name, report.cells.iter().filter(|cell| cell.task == task.name))
        })
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
fn results_of_task<'a>(task: &str, cells: impl Iterator<Item = &'a Cell>) -> String {
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
    fn marks_the_highest_and_its_equals() {
        let values = [0.6101, 0.6104, 0.59, f64::NAN]
            .map(|mean| Some(Mean { mean, half_width: None, n: 1 }));
        let column = Column { title: "task".into(), is_mean: false, values: values.to_vec() };
        let shown: Vec<String> = (0..4).map(|i| value(&column, i)).collect();
        assert_eq!(
            shown,
            ["<b class=\"best\">61.0</b>", "<b class=\"best\">61.0</b>", "59.0", "–"]
        );
        let alone = Column { values: values[..1].to_vec(), ..column };
        assert_eq!(value(&alone, 0), "61.0");
    }

    #[test]
    fn every_cell_fills_its_columns() {
        for cell in &sample::report().cells {
            let family =
                if matches!(cell.scores, Scores::Ner(_)) { Family::Ner } else { Family::Tc };
            assert_eq!(figures(cell).len(), titles(family).len());
        }
    }
}
