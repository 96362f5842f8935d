//! Formatting of texts and numbers for the page.

use crate::statistics::Mean;
use espalier_encoder::Family;
use espalier_encoder::text::is_hidden;

/// The families in the order of the page.
pub const FAMILIES: [Family; 2] = [Family::Ner, Family::Tc];

/// What is shown for a missing number.
pub const NOTHING: &str = "–";

/// Escapes everything that has a meaning in HTML, between tags or in quoted attributes. Control
/// characters, which HTML does not allow, and other hidden characters become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if is_hidden(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A score as points, `61.3`.
pub fn points(score: f64) -> String {
    // A score is at most 100 points: numbers far beyond have no meaning, and are too wide to show.
    if score.abs() <= 1e3 { format!("{:.1}", 100.0 * score) } else { NOTHING.into() }
}

/// A mean in points with its 95 % interval, `61.3 ± 0.8`, with spaces that do not break lines.
pub fn with_interval(mean: &Mean) -> String {
    match mean.half_width {
        Some(half_width) => format!("{}\u{a0}±\u{a0}{}", points(mean.mean), points(half_width)),
        None => points(mean.mean),
    }
}

/// `42 s`, `4 min 10 s`, `1 h 05 min`.
pub fn duration(seconds: f64) -> String {
    // More than a century is surely an error, and might not fit an integer.
    if !(0.0..=3.2e9).contains(&seconds) {
        return NOTHING.into();
    }
    let rounded = seconds.round() as u64;
    match rounded {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{rounded} s"),
        60..3600 => format!("{} min {:02} s", rounded / 60, rounded % 60),
        _ => format!("{} h {:02} min", rounded / 3600, rounded / 60 % 60),
    }
}

/// `1 task`, `3 tasks`.
pub fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The name of a family's kind of task.
pub fn family_title(family: Family) -> &'static str {
    match family {
        Family::Ner => "Named entity recognition",
        Family::Tc => "Text classification",
    }
}

/// The main metric of a family's tasks.
pub fn family_score(family: Family) -> &'static str {
    match family {
        Family::Ner => "strict entity F1",
        Family::Tc => "accuracy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_has_a_meaning() {
        assert_eq!(
            escape("a<b> & \"c\" 'd'\u{0}\u{7f}\u{ffff}"),
            "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(escape("a\u{202e}b\u{2028}c\u{9b}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(escape("Zürich\t東京\n"), "Zürich\t東京\n");
    }

    #[test]
    fn durations_in_words() {
        let shown: Vec<String> =
            [0.04, 9.6, 41.7, 250.0, 3900.0, f64::NAN, 1e300].into_iter().map(duration).collect();
        assert_eq!(shown, ["0.0 s", "10 s", "42 s", "4 min 10 s", "1 h 05 min", "–", "–"]);
    }

    #[test]
    fn lists_in_words() {
        let items = ["a", "b", "c"].map(String::from);
        assert_eq!(
            [listed(&items[..0]), listed(&items[..1]), listed(&items[..2]), listed(&items)],
            ["", "a", "a and b", "a, b and c"]
        );
    }
}
