//! Words of plain text, as BERT's tokenizer splits it before it looks words up in its vocabulary.
//!
//! Places are counted in characters (Unicode scalar values), not in bytes.

/// The first character of a word and the character after its last.
pub(crate) type WordSpan = (usize, usize);

/// The words of a text: what is between white space; each punctuation mark and ideograph is a word
/// of its own.
pub(crate) fn word_spans(text: &str) -> Vec<WordSpan> {
    let mut spans: Vec<WordSpan> = Vec::new();
    let mut open = false;
    for (i, c) in text.chars().enumerate() {
        let alone = is_word_of_its_own(c);
        match spans.last_mut() {
            _ if c.is_whitespace() => {}
            Some(word) if open && !alone => word.1 = i + 1,
            _ => spans.push((i, i + 1)),
        }
        open = !c.is_whitespace() && !alone;
    }
    spans
}

/// The words at `spans`.
pub(crate) fn words_at(text: &str, spans: &[WordSpan]) -> Vec<String> {
    let starts: Vec<usize> =
        text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    spans.iter().map(|&(start, end)| text[starts[start]..starts[end]].to_owned()).collect()
}

/// The words as a text, with a space between them, and the span of each in it.
pub(crate) fn joined(words: &[String]) -> (String, Vec<WordSpan>) {
    let mut start = 0;
    let spans = words.iter().map(|word| {
        let span = (start, start + word.chars().count());
        start = span.1 + 1;
        span
    });
    let spans = spans.collect();
    (words.join(" "), spans)
}

/// The first character of each word, where words are separated by white space only.
pub(crate) fn word_starts(text: &str) -> Vec<usize> {
    let mut before = ' ';
    let starts = text.chars().enumerate().filter_map(|(at, c)| {
        let starts = before.is_whitespace() && !c.is_whitespace();
        before = c;
        starts.then_some(at)
    });
    starts.collect()
}

/// The number of words, where words are separated by white space only.
pub(crate) fn count_words(text: &str) -> usize {
    text.split_whitespace().count()
}

fn is_word_of_its_own(c: char) -> bool {
    c.is_ascii_punctuation() || is_punctuation(c) || is_ideograph(c)
}

/// Punctuation marks beyond ASCII.
fn is_punctuation(c: char) -> bool {
    matches!(c, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}')
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}')
        || matches!(c, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}')
        || matches!(c, '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}')
        || matches!(c, '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}')
        || matches!(c, '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_words_are_at_their_spans() {
        let words = ["Zoë", "", "a b", "."].map(String::from);
        let (text, spans) = joined(&words);
        assert_eq!(text, "Zoë  a b .");
        assert_eq!(words_at(&text, &spans), words);
        assert_eq!(joined(&[]), (String::new(), Vec::new()));
    }

    #[test]
    fn words_end_at_white_space_and_punctuation() {
        for (text, words) in [
            ("", &[][..]),
            (" \n", &[]),
            ("Fly to Oslo!", &["Fly", "to", "Oslo", "!"]),
            (
                "O'Neil's  «naïve» café…",
                &["O", "'", "Neil", "'", "s", "«", "naïve", "»", "café", "…"],
            ),
            ("北京 a𝒳", &["北", "京", "a𝒳"]),
        ] {
            assert_eq!(words_at(text, &word_spans(text)), words, "{text}");
        }
    }
}
