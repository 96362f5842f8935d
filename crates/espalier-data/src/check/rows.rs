//! The checks of one valid record of each kind.

use std::collections::HashSet;

use espalier_encoder::tags::Entity;
use espalier_encoder::text::excerpt;

use super::findings::Problem;
use super::texts::{around, broken_at, fingerprint, has_letters, nearly_same};
use crate::records::concepts::ConceptSentence;
use crate::records::examples::{AnnotatedText, LabelledText};
use crate::records::pairs::TextPair;
use crate::records::spans::ConceptSpan;
use crate::records::words::{count_words, word_starts};

/// A text of more words is very long.
const MAX_WORDS: usize = 1000;

/// An entity of more words is long.
const MAX_ENTITY_WORDS: usize = 20;

/// What the check takes from a record.
#[derive(Default)]
pub(super) struct Row {
    /// Texts, each with its role, such as `anchor`.
    pub texts: Vec<(&'static str, Text)>,
    /// Labels, concepts or the source, each with its length in words.
    pub names: Vec<(String, usize)>,
    /// Problems, each with an excerpt of what has it.
    pub problems: Vec<(Problem, String)>,
    /// A fingerprint of what the model reads.
    pub input: u64,
    /// A fingerprint of what it should predict.
    pub target: u64,
}

/// A text, as one string or in words.
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

/// What the train split has, for comparison with the other splits.
pub(super) struct Train {
    /// Fingerprints of the inputs.
    pub inputs: HashSet<u64>,
    pub labels: HashSet<String>,
}

impl Row {
    fn new(texts: Vec<(&'static str, Text)>, input: u64, target: u64) -> Row {
        let mut row = Row { input, target, ..Row::default() };
        for (_, text) in &texts {
            let full = match text {
                Text::Plain(text) => text.clone(),
                Text::Words(words) => words.join(" "),
            };
            let odd = [
                (Problem::Empty, full.trim().is_empty()),
                (Problem::NoLetters, !full.trim().is_empty() && !has_letters(&full)),
                (Problem::VeryLong, text.words() > MAX_WORDS),
            ];
            if let Some(at) = broken_at(&full) {
                row.problems.push((Problem::Broken, excerpt(around(&full, at), 80)));
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
        let target = fingerprint(
            &sentence.spans.iter().map(|s| (s.start, s.end, &s.concept)).collect::<Vec<_>>(),
        );
        let input = fingerprint(&sentence.tokens);
        let row = Row::new(vec![("sentence", Text::Words(sentence.tokens))], input, target);
        row.with_spans(sentence.spans)
    }

    /// Checks spans over the words of the row's text.
    fn with_spans(self, mut spans: Vec<ConceptSpan>) -> Row {
        let mut row = self;
        spans.sort_by_key(|span| (span.start, span.end));
        if let Some(pair) = spans.windows(2).find(|pair| pair[1].start < pair[0].end) {
            let [a, b] = [&pair[0], &pair[1]]
                .map(|span| format!("{}..{} {:?}", span.start, span.end, span.concept));
            row.problems.push((Problem::Overlap, format!("{a} and {b}")));
        }
        if let Some(span) = spans.iter().find(|span| span.end - span.start > MAX_ENTITY_WORDS) {
            row.problems.push((
                Problem::LongEntity,
                format!("{} words of {:?}", span.end - span.start, span.concept),
            ));
        }
        row.names = spans.into_iter().map(|span| (span.concept, span.end - span.start)).collect();
        row
    }

    pub fn of_annotated(AnnotatedText { text, entities }: AnnotatedText) -> Row {
        let (input, target) = (fingerprint(&text), fingerprint(&entities));
        let starts = word_starts(&text);
        let words_before = |at: usize| starts.partition_point(|&start| start < at);
        let in_words = |Entity { start, end, label }| ConceptSpan {
            start: words_before(start + 1).saturating_sub(1),
            end: words_before(end),
            concept: label,
        };
        let spans = entities.into_iter().map(in_words).collect();
        Row::new(vec![("sentence", Text::Plain(text))], input, target).with_spans(spans)
    }

    pub fn of_document(text: String) -> Row {
        let input = fingerprint(&text);
        let mut row = Row::new(vec![("document", Text::Plain(text))], input, 0);
        row.problems.retain(|(problem, _)| *problem != Problem::VeryLong);
        row
    }

    pub fn of_text(text: LabelledText) -> Row {
        let (input, target) = (fingerprint(&text.text), fingerprint(&text.label));
        let row = Row::new(vec![("text", Text::Plain(text.text))], input, target);
        Row { names: vec![(text.label, 1)], ..row }
    }
}
