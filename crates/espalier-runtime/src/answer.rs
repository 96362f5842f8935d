//! Requests and answers.

use espalier_encoder::tags::{Entity, TagSet};
use espalier_encoder::{Encoded, best_class, decode};
use serde::Serialize;

/// What to compute for a text.
///
/// ```
/// use espalier_runtime::Request;
///
/// assert_eq!(Request::from("intents"), Request::Adapter("intents"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request<'a> {
    /// The answer of the adapter that is attached under this name: entities, a label or, if it has
    /// no head, a vector.
    Adapter(&'a str),
    /// The text's vector by the backbone alone.
    Plain,
}

impl<'a> From<&'a str> for Request<'a> {
    fn from(name: &'a str) -> Self {
        Self::Adapter(name)
    }
}

/// The answers to all requests for one text.
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
        /// All labels with their probabilities, in the order of the adapter's classes.
        scores: Vec<LabelScore>,
    },
    /// The text's vector, by an adapter without a head or by the backbone alone. It is pooled, and
    /// normalized to length 1 or not, as the backbone says.
    Vector(Vec<f32>),
}

/// A label and its probability.
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
    /// Its label.
    pub label: String,
    /// Mean probability of its words' tags.
    pub score: f32,
    /// Its first character (characters are counted, not bytes).
    pub start: usize,
    /// The character after its last.
    pub end: usize,
    /// Its text.
    pub text: String,
}

/// The entities in a text, from the scores [t, C] of its tokens.
pub(crate) fn entities(text: &str, encoded: &Encoded, scores: &[f32], tags: &TagSet) -> Answer {
    let span = |(Entity { start, end, label }, score)| {
        let text = text.chars().skip(start).take(end - start).collect();
        EntitySpan { label, score, start, end, text }
    };
    Answer::Entities(decode::entities(scores, encoded, tags).into_iter().map(span).collect())
}

/// The label of a text, from its scores [C] by softmax.
pub(crate) fn label(scores: &[f32], labels: &[String]) -> Answer {
    let (best, score) = best_class(scores);
    // The highest score's probability is 1 / sum of e^(s - highest), and the others are in
    // proportion to it.
    let probabilities = scores.iter().map(|s| (s - scores[best]).exp() * score);
    let pairs = labels.iter().zip(probabilities);
    let scores = pairs.map(|(label, score)| LabelScore { label: label.clone(), score }).collect();
    Answer::Label { label: labels[best].clone(), score, scores }
}
