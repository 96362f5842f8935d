//! The report as one self-contained page: inline style and figures, no scripts, nothing fetched.
//! The page is also well-formed XML, so that tools can check and take apart what it holds.
//!
//! A section of the page is a file, in the order of the page: [`conclusion`], [`scores`],
//! [`means`], [`curves`], [`settings`]. [`chart`] and [`text`] are what they share. [`study`] is
//! the page of a study, [`conflict`] that of the conflict meter.

mod chart;
mod conclusion;
mod conflict;
mod curves;
mod means;
#[cfg(test)]
mod sample;
mod scores;
mod settings;
mod study;
mod text;

pub use conflict::{conflict_figures, conflict_html};
pub use study::study_html;

use super::{Example, Report};
use text::{counted, duration, escape};

const STYLE: &str = include_str!("style.css");

/// The report as an HTML page.
pub fn html(report: &Report) -> String {
    let sections = [
        scores::means(report),
        means::section(report),
        curves::section(report),
        scores::every_result(report),
        report.example.as_ref().map_or(String::new(), example),
        settings::section(report),
    ];
    let title = "Strategies of pre-finetuning compared";
    let header = format!(
        "<h1>{title}</h1>\n<p class=\"faint\">{}</p>\n<p class=\"conclusion\">{}</p>",
        summary(report),
        conclusion::conclusion(report)
    );
    page(title, &header, &sections.concat())
}

/// A figure as an SVG file of its own, in the style of the page.
fn standalone(svg: &str) -> String {
    let svg = svg.replacen("<svg ", "<svg xmlns=\"http://www.w3.org/2000/svg\" ", 1);
    let (start, drawing) = svg.split_once('>').unwrap_or((&svg, ""));
    format!(
        "{start}>\n<style>\n{STYLE}.chart {{ font-family: system-ui, sans-serif; \
         }}\n</style>{drawing}"
    )
}

/// A page with the common style.
fn page(title: &str, header: &str, sections: &str) -> String {
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
<header>
{header}
</header>
{sections}</main>
</body>
</html>
"#
    )
}

fn summary(report: &Report) -> String {
    let parts = [
        escape(&report.backbone),
        counted(report.strategies.len(), "strategy", "strategies"),
        counted(report.tasks.len(), "task", "tasks"),
        counted(report.seeds.len(), "seed", "seeds"),
        duration(report.seconds),
    ];
    parts.join(" · ")
}

fn example(example: &Example) -> String {
    let rows = example.answers.iter().map(|(application, answer)| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
            escape(application),
            escape(answer)
        )
    });
    format!(
        "<section>\n<h2>One sentence, every application</h2>\n<blockquote>{}</blockquote>\n<div \
         class=\"scroll\"><table class=\"words\">\n<thead><tr><th \
         scope=\"col\">application</th><th \
         scope=\"col\">answer</th></tr></thead>\n<tbody>\n{}</tbody></table></div>\n</section>\n",
        escape(&example.text),
        rows.collect::<String>()
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::statistics::Mean;
    use espalier_train::strategy::Strategy;

    /// The page as XML: an unescaped `<`, an unclosed tag or an attribute given twice is an error.
    pub(super) fn assert_well_formed(page: &str) -> usize {
        let body = page.strip_prefix("<!DOCTYPE html>\n").expect("the page declares itself HTML");
        let document =
            roxmltree::Document::parse(body).unwrap_or_else(|error| panic!("{error}\n{page}"));
        for attribute in document.descendants().flat_map(|node| node.attributes()) {
            let broken = ["NaN", "inf"].iter().any(|word| attribute.value().contains(word));
            assert!(!broken, "{}={:?}", attribute.name(), attribute.value());
        }
        document.descendants().filter(|node| node.has_tag_name("svg")).count()
    }

    #[test]
    fn the_page_is_well_formed_and_complete() {
        let page = html(&sample::report());
        // Means and loss curves, each for both families.
        assert_eq!(assert_well_formed(&page), 4);
        for part in [
            "wikigold",
            "banking77",
            "One sentence",
            "Loss",
            "lenient",
            "macro F1",
            "How this was made",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        for foreign in ["<script", "<link", "<img", "http://", "https://", "url("] {
            assert!(!page.contains(foreign), "{foreign} would run or fetch something");
        }
    }

    #[test]
    fn names_and_texts_are_escaped() {
        let attack = "<script>alert(\"x\")</script> & 'y'";
        let mut report = sample::report();
        let renamed = std::mem::replace(&mut report.tasks[0].name, attack.into());
        for row in &mut report.strategies {
            let mean = row.tasks.remove(&renamed).unwrap();
            row.tasks.insert(attack.into(), mean);
        }
        report
            .cells
            .iter_mut()
            .filter(|cell| cell.task == renamed)
            .for_each(|cell| cell.task = attack.into());
        report.backbone = attack.into();
        report.machine = attack.into();
        report.prefinetune.ner.corpora = vec![attack.into()];
        report.example =
            Some(Example { text: attack.into(), answers: vec![(attack.into(), attack.into())] });
        let page = html(&report);
        assert_well_formed(&page);
        assert!(!page.contains("<script"));
        assert!(
            page.contains("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39;")
        );
    }

    #[test]
    fn an_empty_report_is_a_page() {
        let mut report = sample::report();
        report.tasks.clear();
        report.strategies.clear();
        report.cells.clear();
        report.seeds.clear();
        report.example = None;
        let page = html(&report);
        assert_eq!(assert_well_formed(&page), 0);
        assert!(page.contains("No strategy has a score yet."));
    }

    #[test]
    fn numbers_that_are_none_leave_gaps() {
        for value in [f64::NAN, f64::INFINITY, f64::MAX] {
            let mut report = sample::report();
            let row =
                report.strategies.iter_mut().find(|row| row.strategy == Strategy::TPL).unwrap();
            row.seconds = value;
            row.tasks
                .values_mut()
                .for_each(|mean| *mean = Mean { mean: value, half_width: Some(value), n: 2 });
            row.families
                .values_mut()
                .for_each(|mean| *mean = Mean { mean: value, half_width: Some(value), n: 2 });
            row.steps
                .iter_mut()
                .flat_map(|step| step.losses.values_mut())
                .for_each(|loss| *loss = value);
            report.cells.iter_mut().for_each(|cell| cell.seconds = value);
            assert_well_formed(&html(&report));
        }
    }

    #[test]
    fn one_step_and_equal_scores_still_have_axes() {
        let mut report = sample::report();
        for row in &mut report.strategies {
            row.steps.truncate(1);
            row.families.values_mut().for_each(|mean| *mean = Mean::of(&[0.5]));
        }
        report.cells.clear();
        assert_eq!(assert_well_formed(&html(&report)), 4);
    }
}
