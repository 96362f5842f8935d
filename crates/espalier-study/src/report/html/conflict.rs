//! The page of a conflict report: cosines per layer, and over the steps of a run.

use super::chart::{Axis, Frame};
use super::text::escape;
use super::{page, standalone};
use crate::conflict::{ConflictReport, Summary};
use crate::statistics::Mean;
use espalier_train::trainer::Part;
use std::fmt::Write;

/// Height of a layer's row, pixels.
const ROW: f64 = 26.0;
/// Most columns of the map of measurements; of longer runs some measurements are left out.
const COLUMNS: usize = 150;

/// The report as an HTML page.
pub fn conflict_html(report: &ConflictReport) -> String {
    let title = "Where the families’ gradients conflict";
    let header = format!(
        "<h1>{title}</h1>\n<p class=\"faint\">{} · {} · {} measurements</p>\n<p \
         class=\"conclusion\">Suggested: adapters on the last <b>{}</b> of {} layers ({}).</p>",
        escape(&report.backbone),
        report.strategy,
        report.measurements.len(),
        report.suggestion.layers,
        report.layers.len(),
        report.suggestion.reason(),
    );
    page(title, &header, &[layers(report), map(report)].concat())
}

/// The page's figures as SVG files, each with its name: the layers, and the measurements one by
/// one. A figure that would be empty is left out.
pub fn conflict_figures(report: &ConflictReport) -> Vec<(&'static str, String)> {
    let figures = [
        ("layers.svg", layers_figure(report)),
        ("measurements.svg", map_figure(report).map(|(svg, _)| svg)),
    ];
    figures.into_iter().filter_map(|(name, svg)| Some((name, standalone(&svg?)))).collect()
}

fn layers(report: &ConflictReport) -> String {
    let Some(svg) = layers_figure(report) else { return String::new() };
    format!(
        "<section>\n<h2>Layer by layer</h2>\n<p>Cosine between the families’ gradients on the \
         shared weights: mean over the measurements with its 95 % interval (Student’s t); faint, \
         the parts of the layer. Left of the dashed line they \
         conflict.</p>\n<figure>{svg}</figure>\n</section>\n"
    )
}

fn layers_figure(report: &ConflictReport) -> Option<String> {
    let rows = rows(report);
    if rows.is_empty() {
        return None;
    }
    let bottom = 10.0 + ROW * rows.len() as f64;
    let frame =
        Frame { width: 640.0, height: bottom + 42.0, left: 96.0, right: 620.0, top: 10.0, bottom };
    let extents = rows.iter().flat_map(|(_, summary)| extent(summary)).chain([0.0]);
    let axis = Axis::over(extents, (frame.left, frame.right))?;
    let mut out = frame.x_axis(&axis, "cosine of the NER and the TC gradient");
    let zero = axis.at(0.0);
    let _ = writeln!(
        out,
        r#"<line class="reference" x1="{zero:.1}" x2="{zero:.1}" y1="{}" y2="{bottom}"/>"#,
        frame.top
    );
    for (i, (name, summary)) in rows.iter().enumerate() {
        draw(&mut out, &frame, &axis, frame.top + ROW * (i as f64 + 0.5), (name, summary));
    }
    Some(frame.svg("Cosine of both families' gradients on each layer", &out))
}

/// The embeddings and the layers, with names; without those whose cosine is not a number.
fn rows(report: &ConflictReport) -> Vec<(String, &Summary)> {
    let layers =
        report.layers.iter().enumerate().map(|(i, summary)| (format!("layer {}", i + 1), summary));
    let embeddings = report.embeddings.iter().map(|summary| ("embeddings".to_string(), summary));
    embeddings.chain(layers).filter(|(_, summary)| summary.cosine.mean.is_finite()).collect()
}

/// The interval of a mean, cut to the range of cosines.
fn interval(mean: &Mean) -> [f64; 2] {
    let half_width = mean.half_width.filter(|half_width| half_width.is_finite()).unwrap_or(0.0);
    [(mean.mean - half_width).max(-1.0), (mean.mean + half_width).min(1.0)]
}

fn extent(summary: &Summary) -> Vec<f64> {
    summary.parts.values().map(|part| part.mean).chain(interval(&summary.cosine)).collect()
}

fn draw(out: &mut String, frame: &Frame, axis: &Axis, y: f64, (name, summary): (&str, &Summary)) {
    let class = if summary.conflicts() { "against" } else { "along" };
    let _ = writeln!(out, r#"<g class="{class}">"#);
    let (x, baseline) = (frame.left - 10.0, y + 4.0);
    let _ = writeln!(out, r#"<text x="{x:.1}" y="{baseline:.1}" text-anchor="end">{name}</text>"#);
    for (part, mean) in summary.parts.iter().filter(|(_, mean)| mean.mean.is_finite()) {
        let x = axis.within(mean.mean);
        let (part, shown) = (part.name(), mean.mean);
        let _ = writeln!(
            out,
            "<circle class=\"seed\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"><title>{name}, {part}: \
             {shown:.3}</title></circle>"
        );
    }
    let [low, high] = interval(&summary.cosine).map(|value| axis.within(value));
    let (a, b) = (y - 4.0, y + 4.0);
    let _ = writeln!(
        out,
        "<path class=\"interval\" d=\"M{low:.1} {a:.1}V{b:.1}M{low:.1} {y:.1}H{high:.1}M{high:.1} \
         {a:.1}V{b:.1}\"/>"
    );
    let (x, top) = (axis.within(summary.cosine.mean), y - 5.5);
    let _ =
        writeln!(out, r#"<path class="mean" d="M{x:.1} {top:.1}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>"#);
    out.push_str("</g>\n");
}

fn map(report: &ConflictReport) -> String {
    let Some((svg, most)) = map_figure(report) else { return String::new() };
    format!(
        "<section>\n<h2>Measurement by measurement</h2>\n<p>The same cosines one by one: green \
         where the families agree, orange where they conflict, full colour at \
         {most:.2}.</p>\n<figure>{svg}</figure>\n</section>\n"
    )
}

/// The figure of layers x measurements, and the cosine that has the full colour: the larger the
/// cosine, whatever its sign, the stronger the colour.
fn map_figure(report: &ConflictReport) -> Option<(String, f64)> {
    let every = report.measurements.len().div_ceil(COLUMNS).max(1);
    let columns: Vec<_> = report.measurements.iter().step_by(every).collect();
    let bottom = 10.0 + ROW * report.layers.len() as f64;
    let frame =
        Frame { width: 640.0, height: bottom + 42.0, left: 96.0, right: 620.0, top: 10.0, bottom };
    let cosines = columns
        .iter()
        .flat_map(|(_, conflict)| conflict.layers.iter().filter_map(|l| l.get(&Part::Layer)));
    let most = cosines
        .map(|value| value.cosine.abs())
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    if most == 0.0 {
        return None;
    }
    let axis = Axis::over(
        columns.iter().map(|column| column.0 as f64).chain([0.0]),
        (frame.left, frame.right),
    )?;
    let mut out = String::new();
    let mut start = 0.0;
    for (number, conflict) in &columns {
        let (left, right) = (axis.at(start), axis.at(*number as f64));
        for (i, layer) in conflict.layers.iter().enumerate() {
            let Some(cosine) =
                layer.get(&Part::Layer).map(|value| value.cosine).filter(|c| c.is_finite())
            else {
                continue;
            };
            let (class, opacity) =
                (if cosine < 0.0 { "against" } else { "along" }, cosine.abs() / most);
            let (y, width) = (frame.top + ROW * i as f64, right - left);
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.2}\" \
                 height=\"{ROW}\" fill-opacity=\"{opacity:.2}\"><title>{number}, layer {}: \
                 {cosine:.3}</title></rect>",
                i + 1
            );
        }
        start = *number as f64;
    }
    for i in 0..report.layers.len() {
        let (x, y) = (frame.left - 10.0, frame.top + ROW * (i as f64 + 0.5) + 4.0);
        let _ = writeln!(
            out,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="end">layer {}</text>"#,
            i + 1
        );
    }
    out.push_str(&frame.x_axis(&axis, "step, or number of the batch"));
    Some((
        frame.svg("Cosine of both families' gradients on each layer over the measurements", &out),
        most,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_train::strategy::Strategy;
    use espalier_train::trainer::{Agreement, Conflict};

    fn report(cosines: &[f64], backbone: &str) -> ConflictReport {
        let conflict = |&cosine: &f64| Conflict {
            embeddings: None,
            layers: vec![[(Part::Layer, Agreement { cosine, norm_ratio: 1.0 })].into(); 2],
        };
        let measurements =
            cosines.iter().enumerate().map(|(i, cosine)| (10 * (i + 1), conflict(cosine)));
        ConflictReport::new(backbone, Strategy::TPL, measurements.collect())
    }

    fn figures(page: &str) -> usize {
        let body = page.strip_prefix("<!DOCTYPE html>\n").expect("the page declares itself HTML");
        let document =
            roxmltree::Document::parse(body).unwrap_or_else(|error| panic!("{error}\n{page}"));
        for attribute in document.descendants().flat_map(|node| node.attributes()) {
            assert!(
                !attribute.value().contains("NaN") && !attribute.value().contains("inf"),
                "{attribute:?}"
            );
        }
        document.descendants().filter(|node| node.has_tag_name("svg")).count()
    }

    #[test]
    fn the_page_is_well_formed() {
        let page = conflict_html(&report(&[-0.31, -0.3, -0.32], "<b> & co"));
        assert_eq!(figures(&page), 2);
        for part in ["&lt;b&gt; &amp; co", "layer 2", "tpl", "down to the first layer"] {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn figures_stand_alone() {
        let figures = conflict_figures(&report(&[-0.31, 0.1, -0.32], "b"));
        assert_eq!(
            figures.iter().map(|figure| figure.0).collect::<Vec<_>>(),
            ["layers.svg", "measurements.svg"]
        );
        for (name, svg) in figures {
            let document =
                roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{name}: {error}"));
            let root = document.root_element();
            assert_eq!(root.tag_name().namespace(), Some("http://www.w3.org/2000/svg"), "{name}");
            assert!(
                root.children()
                    .any(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "style"))),
                "{name}"
            );
        }
        assert!(conflict_figures(&report(&[], "b")).is_empty());
    }

    #[test]
    fn strange_measurements_leave_gaps() {
        assert_eq!(figures(&conflict_html(&report(&[], "b"))), 0);
        assert_eq!(figures(&conflict_html(&report(&[0.1], "b"))), 2);
        figures(&conflict_html(&report(&[f64::NAN, 0.1], "b")));
        assert_eq!(figures(&conflict_html(&report(&vec![-0.2; 1000], "b"))), 2);
    }
}
