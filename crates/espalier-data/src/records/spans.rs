//! Annotated spans, over the words or the characters of a text.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Field, Fields, filled, index, list, type_name};
use super::words::{WordSpan, word_spans};
use crate::error::RecordError;

/// The words `start..end` of a sentence, an instance of `concept`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConceptSpan {
    /// Index of the first word.
    pub start: usize,
    /// Index after the last word.
    pub end: usize,
    /// Free text such as "hotel name".
    pub concept: String,
}

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

/// Parses a list of spans: objects, or lists of `[start, end, label]`. Whether they fit the text is
/// not checked here.
pub(super) fn parse_spans(field: Field, end: End) -> Result<Vec<ConceptSpan>, RecordError> {
    let (key, add) = (field.0, usize::from(end == End::Inclusive));
    let spans = list(field)?.iter().map(|span| parse_span(key, span));
    let spans = spans.collect::<Result<Vec<_>, _>>()?.into_iter();
    Ok(spans.map(|span| ConceptSpan { end: span.end.saturating_add(add), ..span }).collect())
}

fn parse_span(key: &'static str, span: &Value) -> Result<ConceptSpan, RecordError> {
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
            let fields = Fields::of(span)?;
            let need = |keys: &[&'static str], wanted| {
                fields.find(keys).ok_or_else(|| fields.missing(wanted))
            };
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

/// Checks that spans over words are within a sentence of `tokens` words.
pub(super) fn check_bounds(
    spans: Vec<ConceptSpan>,
    tokens: usize,
) -> Result<Vec<ConceptSpan>, RecordError> {
    match spans.iter().find(|span| span.start >= span.end || span.end > tokens) {
        Some(&ConceptSpan { start, end, .. }) => Err(RecordError::Span { start, end, tokens }),
        None => Ok(spans),
    }
}

/// Splits a text into words and turns spans over its characters into spans over its words. A word
/// of which a span covers a part belongs to the span.
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

/// Sorts spans over words, removes repeated ones, and checks that no two overlap.
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
    use crate::records::words::words_at;

    fn span(start: usize, end: usize, concept: &str) -> ConceptSpan {
        ConceptSpan { start, end, concept: concept.into() }
    }

    #[test]
    fn characters_become_words() {
        let text = "Zoë flew to São-Paulo .";
        let (words, spans) =
            to_words(text, vec![span(0, 3, "a"), span(12, 21, "b"), span(13, 14, "c")]).unwrap();
        assert_eq!(words_at(text, &words), ["Zoë", "flew", "to", "São", "-", "Paulo", "."]);
        // The last one covers a part of a word, which then belongs to it.
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
