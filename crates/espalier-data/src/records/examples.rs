//! Labelled examples: texts with entities (NER) or texts with a class (classification).

use std::collections::{BTreeMap, BTreeSet};

use espalier_encoder::Family;
use espalier_encoder::tags::{Entity, entities_lenient};

use super::spans::{ConceptSpan, disjoint, to_words};
use super::words::{WordSpan, joined};
use crate::error::RecordError;

/// A text and the entities in it.
///
/// This is all that training and scoring know of an example, and all that inference gets: the
/// backbone's tokenizer alone splits the text into words ([`espalier_encoder::decode`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnotatedText {
    /// The text. Of a sentence given in words: the words with a space between them.
    pub text: String,
    /// The entities, by characters of the text, in its order. No two overlap.
    pub entities: Vec<Entity>,
}

/// A text and its class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelledText {
    /// The text.
    pub text: String,
    /// The class, not blank.
    pub label: String,
}

/// A labelled example of either family.
pub(crate) enum Example {
    Ner(AnnotatedText),
    Classification(LabelledText),
}

/// The examples of a split, all of one family.
///
/// [`read_examples`](crate::read_examples) reads them from a file, [`Task`](crate::Task) from a
/// folder of splits. The constructors take rows in memory and validate them as rows of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Examples {
    /// Named entity recognition.
    Ner(Vec<AnnotatedText>),
    /// Text classification.
    Classification(Vec<LabelledText>),
}

impl Examples {
    /// The family that the examples belong to.
    pub fn family(&self) -> Family {
        match self {
            Examples::Ner(_) => Family::Ner,
            Examples::Classification(_) => Family::Tc,
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        match self {
            Examples::Ner(rows) => rows.len(),
            Examples::Classification(rows) => rows.len(),
        }
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of each example: what the model reads.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Examples::Ner(rows) => rows.iter().map(|row| row.text.as_str()).collect(),
            Examples::Classification(rows) => rows.iter().map(|row| row.text.as_str()).collect(),
        }
    }

    /// How often each label occurs: entities of a label for NER, texts of a class for
    /// classification.
    pub fn label_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for i in 0..self.len() {
            for label in self.labels_of(i) {
                *counts.entry(label).or_default() += 1;
            }
        }
        counts
    }

    /// The labels of example `i`: one for each of its entities, or its class.
    pub(crate) fn labels_of(&self, i: usize) -> Vec<String> {
        match self {
            Examples::Ner(rows) => {
                rows[i].entities.iter().map(|entity| entity.label.clone()).collect()
            }
            Examples::Classification(rows) => vec![rows[i].label.clone()],
        }
    }

    /// The examples at `indices`, in their order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn select(&self, indices: &[usize]) -> Examples {
        match self {
            Examples::Ner(rows) => {
                Examples::Ner(indices.iter().map(|&i| rows[i].clone()).collect())
            }
            Examples::Classification(rows) => {
                Examples::Classification(indices.iter().map(|&i| rows[i].clone()).collect())
            }
        }
    }

    /// How many examples have the text of an example of `other`.
    pub(crate) fn count_shared_with(&self, other: &Examples) -> usize {
        let known: BTreeSet<&str> = other.texts().into_iter().collect();
        self.texts().into_iter().filter(|text| known.contains(text)).count()
    }
}

impl Example {
    pub fn family(&self) -> Family {
        match self {
            Example::Ner(_) => Family::Ner,
            Example::Classification(_) => Family::Tc,
        }
    }

    /// Checks that the example is of the family `expected`. The first example decides what that is,
    /// if it is not known.
    pub fn check_family(&self, expected: &mut Option<Family>) -> Result<(), RecordError> {
        let found = self.family();
        match *expected.get_or_insert(found) {
            expected if expected == found => Ok(()),
            expected => Err(RecordError::MixedFamilies { expected, found }),
        }
    }
}

impl AnnotatedText {
    /// The text of given words, and the entities that their BIO2 tags spell; an `I-` that does not
    /// continue an entity begins one.
    pub fn from_tags(words: &[impl AsRef<str>], tags: &[impl AsRef<str>]) -> Self {
        let words: Vec<String> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        let (text, words) = joined(&words);
        let in_characters =
            |entity: Entity| entity_at(&words, entity.start, entity.end, entity.label);
        let entities =
            entities_lenient(tags).into_iter().filter(|entity| entity.end <= words.len());
        Self { entities: entities.map(in_characters).collect(), text }
    }

    /// The text of given words, with entities as spans over the words, which must be within them.
    pub(super) fn from_word_spans(
        words: &[String],
        spans: Vec<ConceptSpan>,
    ) -> Result<Self, RecordError> {
        let (text, words) = joined(words);
        Self::new(text, &words, spans)
    }

    /// A text with entities as spans over its characters.
    pub(super) fn from_character_spans(
        text: String,
        spans: Vec<ConceptSpan>,
    ) -> Result<Self, RecordError> {
        let (words, spans) = to_words(&text, spans)?;
        Self::new(text, &words, spans)
    }

    /// A text whose words are at `words`, with entities as spans over these.
    fn new(text: String, words: &[WordSpan], spans: Vec<ConceptSpan>) -> Result<Self, RecordError> {
        if words.is_empty() {
            return Err(RecordError::NoTokens);
        }
        let spans = disjoint(spans)?.into_iter();
        let entities = spans.map(|span| entity_at(words, span.start, span.end, span.concept));
        Ok(Self { entities: entities.collect(), text })
    }
}

/// The entity of the words `start..end`, in characters.
fn entity_at(words: &[WordSpan], start: usize, end: usize, label: String) -> Entity {
    Entity { start: words[start].0, end: words[end - 1].1, label }
}
