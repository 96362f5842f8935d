//! Untrusted text in messages, tables and reports, made safe to show: what files, paths and a hub's
//! answers hold.
//!
//! A label may hold the escape sequences of a terminal, a path a line break. Shown as they are,
//! they clear the screen, reverse a line, or look like a line of the program's own output.

use std::borrow::Cow;

/// Names that a message lists at most.
const LISTED: usize = 10;

/// Characters of each of these names at most.
const NAME: usize = 60;

/// Whether a character acts on the display instead of being seen: control characters, line and
/// paragraph separators, and those that change the direction of writing.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// Escapes everything [hidden](is_hidden), line breaks too: `\n`, `\u{1b}`.
///
/// ```
/// use espalier_encoder::text::escape_control;
///
/// assert_eq!(escape_control("\u{1b}[31mred\n"), "\\u{1b}[31mred\\n");
/// ```
pub fn escape_control(text: &str) -> Cow<'_, str> {
    escape_except(text, |_| false)
}

/// [`escape_control`] for text of several lines: keeps its line breaks.
pub fn escape_control_lines(text: &str) -> Cow<'_, str> {
    escape_except(text, |c| c == '\n')
}

fn escape_except(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let escaped = |c: char| is_hidden(c) && !keep(c);
    if !text.contains(escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if escaped(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// The first `chars` characters of a text, [escaped](escape_control), and `...` if there are more.
pub fn excerpt(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", escape_control(&text[..end])),
        None => escape_control(text).into_owned(),
    }
}

/// Names for a message: the first few, [escaped](escape_control), and how many more there are.
pub fn first_few<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> =
        names.by_ref().take(LISTED).map(|name| excerpt(name.as_ref(), NAME)).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped() {
        for (text, shown) in [
            ("", ""),
            ("Zürich 東京 🙂", "Zürich 東京 🙂"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{7f}\u{80}\u{9b}2J", "\\u{7f}\\u{80}\\u{9b}2J"),
            (
                "a\u{202e}b\u{2066}c\u{2069}\u{200f}\u{61c}",
                "a\\u{202e}b\\u{2066}c\\u{2069}\\u{200f}\\u{61c}",
            ),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            // Joined emoji and Persian need the zero-width joiners.
            ("👩\u{200d}🔬 می\u{200c}خواهم", "👩\u{200d}🔬 می\u{200c}خواهم"),
        ] {
            assert_eq!(escape_control(text), shown);
            assert_eq!(escape_control(&escape_control(text)), shown, "escaping again does nothing");
        }
        assert_eq!(escape_control_lines("a\n\u{1b}b\r\n"), "a\n\\u{1b}b\\r\n");
    }

    #[test]
    fn excerpts_count_characters() {
        assert_eq!(excerpt("ä\u{7}ö", 3), "ä\\u{7}ö");
        assert_eq!(excerpt("ä\u{7}ö", 2), "ä\\u{7}...");
        assert_eq!(excerpt("", 0), "");
    }

    #[test]
    fn lists_end_after_a_few() {
        assert_eq!(first_few(["a", "b\n"]), "a, b\\n");
        assert_eq!(first_few(Vec::<String>::new()), "");
        let many = first_few((0..20_000).map(|i| i.to_string()));
        assert_eq!(many, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 19990 more");
        assert!(first_few(["x".repeat(1 << 20)]).len() < 100);
    }
}
