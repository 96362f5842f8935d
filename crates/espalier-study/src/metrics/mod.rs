//! Scores of predictions against gold labels, all in [0, 1].
//!
//! A ratio whose denominator is zero (the precision of no prediction, the recall of no gold entity)
//! counts as 0, as seqeval and scikit-learn do with `zero_division=0`.

mod classification;
mod entities;

pub use classification::{ClassificationScores, classification_scores};
pub use entities::{EntityScores, NerScores, answer_scores, entity_scores};

fn ratio(numerator: usize, denominator: usize) -> f64 {
    if denominator == 0 { 0.0 } else { numerator as f64 / denominator as f64 }
}
