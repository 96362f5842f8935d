//! Annotated spans, in words or in characters of a text.

use serde_json::Value;

use super::row::{Found, Row, filled, index, list, type_name};
use super::words::{WordSpan, word_spans};
use super::{ConceptSpan, RecordError};

const START: [&str; 2] = ["start", "start_offset"];
const END: [&str; 2] = ["end", "end_offset"];
const LABEL: [&str; 5] = ["type", "label", "entity_type", "entity_group", "concept"];

/// What the end of a span means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The word or character after the last.
    Exclusive,
    /// The last one itself, as GLiNER's files have it.
    Inclusive,
}

/// The spans of a record, objects or `[start, end, label]`; not yet compared with the text.
pub(super) fn spans(found: Found, end: End) -> Result<Vec<ConceptSpan>, RecordError> {
    let spans =
        list(found)?.iter().map(|span| one(found.0, span)).collect::<Result<Vec<_>, _>>()?;
    let add = usize::from(end == End::Inclusive);
    Ok(spans
        .into_iter()
        .map(|span| ConceptSpan { end: span.end.saturating_add(add), ..span })
        .collect())
}

fn one(key: &'static str, span: &Value) -> Result<ConceptSpan, RecordError> {
    let (start, end, label) = match span {
        Value::Array(parts) => match parts.as_slice() {
            [start, end, label] => (("start", start), ("end", end), ("label", label)),
            _ => {
                return Err(RecordError::Type {
                    key,
                    expected: "a list of [start, end, label]",
                    found: "a list of others",
                });
            }
        },
        Value::Object(_) => {
            let row = Row::of(span)?;
            let need =
                |keys: &[&'static str], wanted| row.find(keys).ok_or_else(|| row.missing(wanted));
            (
                need(&START, "\"start\" of a span")?,
                need(&END, "\"end\" of a span")?,
                need(&LABEL, "\"type\" or \"label\" of a span")?,
            )
        }
        _ => {
            return Err(RecordError::Type {
                key,
                expected: "a list of spans",
                found: type_name(span),
            });
        }
    };
    Ok(ConceptSpan { start: index(start)?, end: index(end)?, concept: filled(label)?.to_owned() })
}

/// Checks that spans of words lie in a sentence of `tokens` words.
pub(super) fn in_words(
    spans: Vec<ConceptSpan>,
    tokens: usize,
) -> Result<Vec<ConceptSpan>, RecordError> {
    match spans.iter().find(|span| span.start >= span.end || span.end > tokens) {
        Some(&ConceptSpan { start, end, .. }) => Err(RecordError::Span { start, end, tokens }),
        None => Ok(spans),
    }
}

/// Where the words of a text are, and its spans of characters as spans of words. A word that a span
/// touches belongs to it.
pub(super) fn to_words(
    text: &str,
    spans: Vec<ConceptSpan>,
) -> Result<(Vec<WordSpan>, Vec<ConceptSpan>), RecordError> {
    let words = word_spans(text);
    let chars = text.chars().count();
    let to_word = |span: ConceptSpan| {
        let (start, end) = (span.start, span.end);
        if start >= end || end > chars {
            return Err(RecordError::CharacterSpan { start, end, chars });
        }
        let first = words.partition_point(|&(_, word_end)| word_end <= start);
        let after = words.partition_point(|&(word_start, _)| word_start < end);
        if first >= after {
            return Err(RecordError::NoWord { start, end });
        }
        Ok(ConceptSpan { start: first, end: after, ..span })
    };
    let spans = spans.into_iter().map(to_word).collect::<Result<_, _>>()?;
    Ok((words, spans))
}

/// Spans of words in their order, each once, of which no two share a word.
pub(super) fn disjoint(mut spans: Vec<ConceptSpan>) -> Result<Vec<ConceptSpan>, RecordError> {
    spans.sort_by_key(|span| (span.start, span.end));
    spans.dedup();
    let shown = |span: &ConceptSpan| format!("{}..{} ({:?})", span.start, span.end, span.concept);
    match spans.windows(2).find(|pair| pair[1].start < pair[0].end) {
        Some([first, second]) => {
            Err(RecordError::Overlap { first: shown(first), second: shown(second) })
        }
        _ => Ok(spans),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words_at;

    fn span(start: usize, end: usize, concept: &str) -> ConceptSpan {
        ConceptSpan { start, end, concept: concept.into() }
    }

    #[test]
    fn characters_become_words() {
        let text = "Zoë flew to São-Paulo .";
        let (words, spans) =
            to_words(text, vec![span(0, 3, "a"), span(12, 21, "b"), span(13, 14, "c")]).unwrap();
        assert_eq!(words_at(text, &words), ["Zoë", "flew", "to", "São", "-", "Paulo", "."]);
        // The last one cuts a word, which then belongs to it.
        assert_eq!(spans, [span(0, 1, "a"), span(3, 6, "b"), span(3, 4, "c")]);
    }

    #[test]
    fn spans_outside_the_text_are_refused() {
        let refused = |start, end| to_words("a  b", vec![span(start, end, "x")]).unwrap_err();
        assert_eq!(refused(0, 5), RecordError::CharacterSpan { start: 0, end: 5, chars: 4 });
        assert_eq!(refused(2, 2), RecordError::CharacterSpan { start: 2, end: 2, chars: 4 });
        assert_eq!(
            refused(usize::MAX, 0),
            RecordError::CharacterSpan { start: usize::MAX, end: 0, chars: 4 }
        );
        assert_eq!(refused(1, 3), RecordError::NoWord { start: 1, end: 3 });
    }

    #[test]
    fn overlapping_spans_are_refused() {
        let error = disjoint(vec![span(1, 3, "x"), span(0, 2, "y")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spans 0..2 (\"y\") and 1..3 (\"x\") share words: a tag can belong to one entity only"
        );
        let spans = vec![span(1, 3, "x"), span(0, 1, "x"), span(1, 3, "x")];
        assert_eq!(disjoint(spans).unwrap(), [span(0, 1, "x"), span(1, 3, "x")]);
    }
}
