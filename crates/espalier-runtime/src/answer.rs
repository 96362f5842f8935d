//! What an adapter says about a text.

use espalier_encoder::decode::word_tags;
use espalier_encoder::tags::{TagSet, entities_lenient};
use espalier_encoder::{Encoded, best_class};
use serde::Serialize;

/// The answers to all requests on one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextAnswers {
    /// Whether the text is longer than the model takes, so that its end was not read.
    pub truncated: bool,
    /// One answer per request, in their order.
    pub answers: Vec<Answer>,
}

/// The answer to one request.
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
        /// All labels with their probabilities, in the order in which the adapter lists them.
        scores: Vec<LabelScore>,
    },
    /// The text's vector, by an adapter without a head or by the backbone alone: pooled as the backbone says, and scaled
    /// to length one if it says so.
    Vector(Vec<f32>),
}

/// A label and how probable it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelScore {
    /// The label.
    pub label: String,
    /// Its probability.
    pub score: f32,
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

/// What scores [C] of a text say about the labels, by softmax.
pub(crate) fn label(scores: &[f32], labels: &[String]) -> Answer {
    let (best, score) = best_class(scores);
    // The highest score's probability is 1 / sum of e^(s - highest), and the others' are in proportion to it.
    let probabilities = scores.iter().map(|s| (s - scores[best]).exp() * score);
    let pairs = labels.iter().zip(probabilities);
    let scores = pairs.map(|(label, score)| LabelScore { label: label.clone(), score }).collect();
    Answer::Label { label: labels[best].clone(), score, scores }
}
