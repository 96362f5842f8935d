//! What can be wrong with a text: broken characters, no letters, a near duplicate.

use std::hash::{DefaultHasher, Hash, Hasher};

/// What accents, quotes and dashes become when UTF-8 is decoded as Latin-1 or Windows-1252.
const MISREAD: [&str; 13] =
    ["â€", "Ã©", "Ã¨", "Ã¤", "Ã¶", "Ã¼", "Ã±", "Ã¡", "Ã³", "Ã§", "Â ", "Â£", "ï»¿"];

/// The byte at which the first character is that was lost or misread when the text was converted.
pub(super) fn broken_at(text: &str) -> Option<usize> {
    let lost = |c: char| {
        c == '\u{fffd}'
            || ('\u{80}'..='\u{9f}').contains(&c)
            || (c.is_ascii_control() && !c.is_ascii_whitespace())
    };
    let misread = || MISREAD.iter().filter_map(|part| text.find(part)).min();
    text.find(lost).or_else(|| if text.is_ascii() { None } else { misread() })
}

/// The text from a few words before `at` on.
pub(super) fn around(text: &str, at: usize) -> &str {
    let start = text[..at].char_indices().rev().nth(29).map_or(0, |(start, _)| start);
    &text[start..]
}

pub(super) fn has_letters(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Whether two texts differ in case, punctuation and white space only.
pub(super) fn nearly_same(a: &str, b: &str) -> bool {
    let letters = |text: &'_ str| {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    let a = letters(a);
    !a.is_empty() && a == letters(b)
}

/// A hash of a value. Two values share one with a probability of 2^-64.
pub(super) fn fingerprint(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_texts_are_distinguished_from_foreign_ones() {
        for good in
            ["", "plain", "naïve café", "São Paulo, Ångström", "Ã", "tab\tand\nline", "🙂 你好"]
        {
            assert_eq!(broken_at(good), None, "{good}");
        }
        for (broken, at) in [
            ("donâ€™t", 3),
            ("cafÃ©", 3),
            ("a \u{fffd} b", 2),
            ("\u{93}quoted\u{94}", 0),
            ("bell \u{7}", 5),
        ] {
            assert_eq!(broken_at(broken), Some(at), "{broken}");
        }
        assert_eq!(around("ä".repeat(40).as_str(), 78), "ä".repeat(31));
    }

    #[test]
    fn near_sameness_needs_letters() {
        assert!(nearly_same("A b-c!", "ab C"));
        assert!(!nearly_same("a", "b"));
        assert!(!nearly_same("?", "!"));
    }
}
