//! What is counted and questioned in one valid record of each kind.

use std::collections::{HashMap, HashSet};

use espalier_encoder::tags::Entity;
use espalier_encoder::text::excerpt;

use super::findings::Problem;
use super::texts::{around, broken_at, fingerprint, has_letters, nearly_same};
use crate::words::{count_words, word_starts};
use crate::{AnnotatedText, ConceptSentence, ConceptSpan, LabelledText, TextPair};

const MANY_WORDS: usize = 1000;
const LONG_ENTITY: usize = 20;

/// What a record holds for the check: texts with what they are, names with their length in words,
/// and problems.
#[derive(Default)]
pub(super) struct Row {
    pub texts: Vec<(&'static str, Text)>,
    pub names: Vec<(String, usize)>,
    pub problems: Vec<(Problem, String)>,
    /// Stands for what the model reads.
    pub input: u64,
    /// Stands for what it should answer.
    pub answer: u64,
}

/// A text as it is or in words.
pub(super) enum Text {
    Plain(String),
    Words(Vec<String>),
}

impl Text {
    pub fn words(&self) -> usize {
        match self {
            Text::Plain(text) => count_words(text),
            Text::Words(words) => words.len(),
        }
    }

    pub fn excerpt(&self) -> String {
        match self {
            Text::Plain(text) => excerpt(text, 80),
            Text::Words(words) => excerpt(&words.join(" "), 80),
        }
    }
}

/// What is remembered of the training split for the others.
#[derive(Default)]
pub(super) struct Train {
    pub inputs: HashMap<u64, u64>,
    pub labels: HashSet<String>,
    pub known: bool,
}

impl Row {
    fn new(texts: Vec<(&'static str, Text)>, input: u64, answer: u64) -> Row {
        let mut row = Row { input, answer, ..Row::default() };
        for (_, text) in &texts {
            let whole = match text {
                Text::Plain(text) => text.clone(),
                Text::Words(words) => words.join(" "),
            };
            let odd = [
                (Problem::Empty, whole.trim().is_empty()),
                (Problem::NoLetters, !whole.trim().is_empty() && !has_letters(&whole)),
                (Problem::VeryLong, text.words() > MANY_WORDS),
            ];
            if let Some(at) = broken_at(&whole) {
                row.problems.push((Problem::Broken, excerpt(around(&whole, at), 80)));
            }
            row.problems.extend(
                odd.into_iter().filter(|odd| odd.1).map(|(problem, _)| (problem, text.excerpt())),
            );
        }
        Row { texts, ..row }
    }

    pub fn of_pair(pair: TextPair) -> Row {
        let input = fingerprint(&(&pair.anchor, &pair.positive));
        let mut problems = Vec::new();
        let shown = format!("{} / {}", excerpt(&pair.anchor, 60), excerpt(&pair.positive, 60));
        if pair.anchor.trim() == pair.positive.trim() {
            problems.push((Problem::Same, shown));
        } else if nearly_same(&pair.anchor, &pair.positive) {
            problems.push((Problem::NearlySame, shown));
        }
        let positives =
            || std::iter::once(&pair.anchor).chain([&pair.positive]).chain(&pair.positives);
        if let Some(negative) = pair
            .negatives
            .iter()
            .find(|negative| positives().any(|text| text.trim() == negative.trim()))
        {
            problems.push((Problem::NegativeIsPositive, excerpt(negative, 80)));
        }
        let names = vec![(pair.source, 1)];
        let positives = std::iter::once(pair.positive)
            .chain(pair.positives)
            .map(|text| ("positive", Text::Plain(text)));
        let negatives = pair.negatives.into_iter().map(|text| ("negative", Text::Plain(text)));
        let texts = std::iter::once(("anchor", Text::Plain(pair.anchor)))
            .chain(positives)
            .chain(negatives)
            .collect();
        let mut row = Row::new(texts, input, 0);
        row.problems.append(&mut problems);
        Row { names, ..row }
    }

    pub fn of_sentence(sentence: ConceptSentence) -> Row {
        let answer = fingerprint(
            &sentence.spans.iter().map(|s| (s.start, s.end, &s.concept)).collect::<Vec<_>>(),
        );
        let input = fingerprint(&sentence.tokens);
        let row = Row::new(vec![("sentence", Text::Words(sentence.tokens))], input, answer);
        row.with_spans(sentence.spans)
    }

    /// With spans of words.
    fn with_spans(self, mut spans: Vec<ConceptSpan>) -> Row {
        let mut row = self;
        spans.sort_by_key(|span| (span.start, span.end));
        if let Some(pair) = spans.windows(2).find(|pair| pair[1].start < pair[0].end) {
            let [a, b] = [&pair[0], &pair[1]]
                .map(|span| format!("{}..{} {:?}", span.start, span.end, span.concept));
            row.problems.push((Problem::Overlap, format!("{a} and {b}")));
        }
        if let Some(span) = spans.iter().find(|span| span.end - span.start > LONG_ENTITY) {
            row.problems.push((
                Problem::LongEntity,
                format!("{} words of {:?}", span.end - span.start, span.concept),
            ));
        }
        row.names = spans.into_iter().map(|span| (span.concept, span.end - span.start)).collect();
        row
    }

    pub fn of_annotated(AnnotatedText { text, entities }: AnnotatedText) -> Row {
        let (input, answer) = (fingerprint(&text), fingerprint(&entities));
        let starts = word_starts(&text);
        let words_before = |at: usize| starts.partition_point(|&start| start < at);
        let in_words = |Entity { start, end, label }| ConceptSpan {
            start: words_before(start + 1).saturating_sub(1),
            end: words_before(end),
            concept: label,
        };
        let spans = entities.into_iter().map(in_words).collect();
        Row::new(vec![("sentence", Text::Plain(text))], input, answer).with_spans(spans)
    }

    pub fn of_document(text: String) -> Row {
        let input = fingerprint(&text);
        let mut row = Row::new(vec![("document", Text::Plain(text))], input, 0);
        row.problems.retain(|(problem, _)| *problem != Problem::VeryLong);
        row
    }

    pub fn of_text(text: LabelledText) -> Row {
        let (input, answer) = (fingerprint(&text.text), fingerprint(&text.label));
        let row = Row::new(vec![("text", Text::Plain(text.text))], input, answer);
        Row { names: vec![(text.label, 1)], ..row }
    }
}
