//! The sentence at the top: which strategy leads each family, by how much, and whether that is more
//! than noise.

use super::text::{FAMILIES, listed, points, with_interval};
use crate::report::Report;
use crate::statistics::Mean;
use espalier_encoder::Family;
use espalier_train::strategy::Strategy;

/// The strategies that every other one is compared with: no pre-finetuning, and joint training.
const BASELINES: [Strategy; 2] = [Strategy::NONE, Strategy::JOINT];

/// The conclusion as HTML.
pub fn conclusion(report: &Report) -> String {
    let parts: Vec<String> =
        FAMILIES.into_iter().filter_map(|family| of_family(report, family)).collect();
    match parts.is_empty() {
        true => "No strategy has a score yet.".into(),
        false => format!("On {}.", parts.join("; on ")),
    }
}

type Row = (Strategy, Mean);

fn of_family(report: &Report, family: Family) -> Option<String> {
    let rows = report
        .strategies
        .iter()
        .filter_map(|row| Some((row.strategy, *row.families.get(&family)?)));
    let rows: Vec<Row> = rows.filter(|(_, mean)| mean.mean.is_finite()).collect();
    let best = *rows.iter().reduce(|a, b| if b.1.mean > a.1.mean { b } else { a })?;
    let others: Vec<Row> = rows.into_iter().filter(|row| row.0 != best.0).collect();
    let (on, strategy, score) =
        (family.name().to_uppercase(), name(best.0), with_interval(&best.1));
    if others.is_empty() {
        return Some(format!("{on}, {strategy} alone was run: {score} points on average"));
    }
    let margins = margins(best, &others);
    let Some((near, far)) = by_interval(best, &others) else {
        return Some(format!(
            "{on}, {strategy} has the highest average, {score} points{margins}, but one seed \
             cannot tell that from noise"
        ));
    };
    if near.is_empty() {
        return Some(format!(
            "{on}, {strategy} is best on average with {score} points{margins}, its 95\u{a0}% \
             interval clear of all others"
        ));
    }
    let rest = if far.is_empty() { "" } else { " but clear of all others" };
    Some(format!(
        "{on}, {strategy} has the highest average, {score} points{margins}, within the noise of \
         {} (overlapping 95\u{a0}% intervals){rest}",
        listed(&near)
    ))
}

/// ` (+3.1 against none, +1.2 against joint)`, without those that were not run or are the best
/// themselves.
fn margins(best: Row, others: &[Row]) -> String {
    let baselines =
        BASELINES.iter().filter_map(|baseline| others.iter().find(|row| row.0 == *baseline));
    let margins: Vec<String> = baselines
        .map(|(baseline, mean)| {
            format!("+{} against {}", points(best.1.mean - mean.mean), name(*baseline))
        })
        .collect();
    if margins.is_empty() { String::new() } else { format!(" ({})", margins.join(", ")) }
}

/// The names of the strategies whose interval overlaps the best one's, and of the others; `None`
/// without intervals.
fn by_interval(best: Row, others: &[Row]) -> Option<(Vec<String>, Vec<String>)> {
    let least = best.1.mean - best.1.half_width?;
    let (mut near, mut far) = (Vec::new(), Vec::new());
    for (strategy, mean) in others {
        // A half-width that is not a number compares as false: not clear.
        let clear = least > mean.mean + mean.half_width?;
        if clear { &mut far } else { &mut near }.push(name(*strategy));
    }
    Some((near, far))
}

/// The name in bold.
fn name(strategy: Strategy) -> String {
    format!("<b>{strategy}</b>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::sample;

    const NONE: Strategy = Strategy::NONE;
    const JOINT: Strategy = Strategy::JOINT;
    const TPL: Strategy = Strategy::TPL;

    /// The conclusion, without tags and with plain spaces, of a report with these NER means and
    /// half-widths.
    fn on_ner(rows: &[(Strategy, f64, Option<f64>)]) -> String {
        let mut report = sample::report();
        report.strategies.retain(|row| rows.iter().any(|(strategy, ..)| *strategy == row.strategy));
        for row in &mut report.strategies {
            let &(_, mean, half_width) =
                rows.iter().find(|(strategy, ..)| *strategy == row.strategy).unwrap();
            row.families = [(Family::Ner, Mean { mean, half_width, n: 3 })].into();
        }
        conclusion(&report).replace("<b>", "").replace("</b>", "").replace('\u{a0}', " ")
    }

    #[test]
    fn a_clear_win() {
        let rows = [(NONE, 0.40, Some(0.01)), (JOINT, 0.42, Some(0.005)), (TPL, 0.444, Some(0.01))];
        assert_eq!(
            on_ner(&rows),
            "On NER, tpl is best on average with 44.4 ± 1.0 points (+4.4 against none, +2.4 \
             against joint), its 95 % interval clear of all others."
        );
    }

    #[test]
    fn a_lead_within_the_noise() {
        // 44.4 - 1.0 reaches 43.0 + 0.5 but not 40.0 + 1.0.
        let rows = [(NONE, 0.40, Some(0.01)), (JOINT, 0.43, Some(0.005)), (TPL, 0.444, Some(0.01))];
        assert_eq!(
            on_ner(&rows),
            "On NER, tpl has the highest average, 44.4 ± 1.0 points (+4.4 against none, +1.4 \
             against joint), within the noise of joint (overlapping 95 % intervals) but clear of \
             all others."
        );
        let rows =
            [(NONE, 0.40, Some(f64::NAN)), (JOINT, 0.43, Some(0.03)), (TPL, 0.444, Some(0.01))];
        assert_eq!(
            on_ner(&rows),
            "On NER, tpl has the highest average, 44.4 ± 1.0 points (+4.4 against none, +1.4 \
             against joint), within the noise of none and joint (overlapping 95 % intervals)."
        );
    }

    #[test]
    fn a_lead_from_one_seed() {
        let rows = [(NONE, 0.40, None), (TPL, 0.444, None)];
        assert_eq!(
            on_ner(&rows),
            "On NER, tpl has the highest average, 44.4 points (+4.4 against none), but one seed \
             cannot tell that from noise."
        );
    }

    #[test]
    fn a_baseline_may_be_best() {
        let rows = [(NONE, 0.45, Some(0.001)), (JOINT, 0.42, Some(0.001)), (TPL, f64::NAN, None)];
        assert_eq!(
            on_ner(&rows),
            "On NER, none is best on average with 45.0 ± 0.1 points (+3.0 against joint), its 95 \
             % interval clear of all others."
        );
    }

    #[test]
    fn one_strategy_is_not_compared() {
        assert_eq!(
            on_ner(&[(TPL, 0.4, None)]),
            "On NER, tpl alone was run: 40.0 points on average."
        );
    }

    #[test]
    fn both_families_in_one_sentence() {
        let sentence = conclusion(&sample::report());
        assert!(
            sentence.starts_with("On NER, <b>")
                && sentence.contains("; on TC, <b>")
                && sentence.ends_with('.'),
            "{sentence}"
        );
    }
}
