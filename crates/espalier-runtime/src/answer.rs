//! What an adapter says about a text.

use espalier_encoder::decode::word_tags;
use espalier_encoder::tags::{TagSet, entities_lenient};
use espalier_encoder::{Encoded, best_class};
use serde::Serialize;

/// The answers of the requested adapters on one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextAnswers {
    /// Whether the text is longer than the model takes, so that its end was not read.
    pub truncated: bool,
    /// One answer per adapter, in the order of the request.
    pub answers: Vec<Answer>,
}

/// One adapter's answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Entities, in the order of the text.
    Entities(Vec<EntitySpan>),
    /// The most probable label.
    Label {
        /// The label.
        label: String,
        /// Its probability.
        score: f32,
    },
    /// The text's vector, for an adapter without a head.
    Vector(Vec<f32>),
}

/// An entity in a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EntitySpan {
    /// What it is.
    pub label: String,
    /// Mean probability of its words' tags.
    pub score: f32,
    /// Its first character (counted in characters, not bytes).
    pub start: usize,
    /// The character after its last.
    pub end: usize,
    /// The characters themselves.
    pub text: String,
}

/// The entities that scores [t, C] of a text's tokens spell.
pub(crate) fn entities(text: &str, encoded: &Encoded, scores: &[f32], tags: &TagSet) -> Answer {
    let spans = encoded.word_spans();
    let (names, probabilities) = word_tags(scores, encoded, spans.len(), tags);
    let entities = entities_lenient(&names).into_iter().map(|entity| {
        let (start, end) = (spans[entity.start].0, spans[entity.end - 1].1);
        let words = &probabilities[entity.start..entity.end];
        EntitySpan {
            score: words.iter().sum::<f32>() / words.len() as f32,
            text: text.chars().skip(start).take(end - start).collect(),
            label: entity.label,
            start,
            end,
        }
    });
    Answer::Entities(entities.collect())
}

/// The label that scores [C] of a text favour.
pub(crate) fn label(scores: &[f32], labels: &[String]) -> Answer {
    let (best, score) = best_class(scores);
    Answer::Label { label: labels[best].clone(), score }
}
