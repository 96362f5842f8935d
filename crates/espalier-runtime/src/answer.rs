//! What an adapter says about a text.

use espalier_encoder::tags::{Entity, TagSet};
use espalier_encoder::{Encoded, best_class, decode};
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
    /// The text's vector, by an adapter without a head or by the backbone alone: pooled as the
    /// backbone says, and scaled to length one if it says so.
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
    let span = |(Entity { start, end, label }, score)| {
        let text = text.chars().skip(start).take(end - start).collect();
        EntitySpan { label, score, start, end, text }
    };
    Answer::Entities(decode::entities(scores, encoded, tags).into_iter().map(span).collect())
}

/// What scores [C] of a text say about the labels, by softmax.
pub(crate) fn label(scores: &[f32], labels: &[String]) -> Answer {
    let (best, score) = best_class(scores);
    // The highest score's probability is 1 / sum of e^(s - highest), and the others' are in
    // proportion to it.
    let probabilities = scores.iter().map(|s| (s - scores[best]).exp() * score);
    let pairs = labels.iter().zip(probabilities);
    let scores = pairs.map(|(label, score)| LabelScore { label: label.clone(), score }).collect();
    Answer::Label { label: labels[best].clone(), score, scores }
}
