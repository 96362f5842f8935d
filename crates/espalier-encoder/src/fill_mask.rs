//! What a backbone with a head of masked language modelling predicts for masked tokens.

use crate::backbone::Backbone;
use crate::batch::Batch;
use crate::error::{EncoderError, Result};
use serde::Serialize;

/// A token that may be at a masked position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskPrediction {
    /// The token as it is in the vocabulary: `##s` continues the word before it.
    pub token: String,
    /// Its probability among all tokens.
    pub probability: f32,
}

impl Backbone {
    /// For each mask in the text (`[MASK]`, or `<mask>` in tokenizers that call it so) the `top`
    /// most probable tokens, the most probable first.
    ///
    /// ```
    /// use espalier_encoder::Backbone;
    ///
    /// # fn main() -> Result<(), espalier_encoder::EncoderError> {
    /// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/mlm/bert/model");
    /// let backbone = Backbone::open(path.as_ref())?;
    /// let masks = backbone.fill_mask("a cheap [MASK] in [MASK]", 3)?;
    /// assert_eq!((masks.len(), masks[0].len()), (2, 3));
    /// assert!(masks[0][0].probability >= masks[0][1].probability);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`EncoderError::NoMlmHead`] when the backbone has no head of masked language modelling, or
    /// its tokenizer has no mask token.
    pub fn fill_mask(&self, text: &str, top: usize) -> Result<Vec<Vec<MaskPrediction>>> {
        let (Some(head), Some((_, mask))) = (self.mlm_head(), self.tokenizer.mask()) else {
            return Err(EncoderError::NoMlmHead);
        };
        let batch = Batch::from_texts([&self.tokenizer.encode(text)]);
        let hidden = self.model(None).encode(&batch); // [T, H]
        let masks = batch
            .ids
            .iter()
            .zip(hidden.chunks_exact(self.encoder.width()))
            .filter(|(id, _)| **id == mask);
        let vectors: Vec<f32> = masks.flat_map(|(_, vector)| vector).copied().collect();
        let embeddings = self.encoder.layout.embeddings.word_embeddings(self.weights());
        let eps = self.encoder.config.layer_norm_eps;
        let scores = head.scores(&vectors, embeddings, eps); // [n, V]
        let predictions = |scores: &[f32]| {
            let token = |id: usize| self.tokenizer.token(id as u32).unwrap_or_default();
            most_probable(scores, top)
                .into_iter()
                .map(|(id, probability)| MaskPrediction { token: token(id), probability })
                .collect()
        };
        Ok(scores.chunks_exact(self.encoder.config.vocab_size).map(predictions).collect())
    }
}

/// The indices of the highest scores, with their probabilities under softmax. Of equal scores the
/// lower index comes first.
fn most_probable(scores: &[f32], top: usize) -> Vec<(usize, f32)> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - max).exp()).sum();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(top);
    order.into_iter().map(|index| (index, (scores[index] - max).exp() / sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::most_probable;

    #[test]
    fn the_highest_scores_with_their_probabilities() {
        // e^ln(n) = n: the sum is 1 + 4 + 1 + 2 = 8.
        let found = most_probable(&[0.0, 4f32.ln(), 0.0, 2f32.ln()], 3);
        assert_eq!(found.iter().map(|&(index, _)| index).collect::<Vec<_>>(), [1, 3, 0]);
        for ((_, probability), expected) in found.into_iter().zip([0.5, 0.25, 0.125]) {
            assert!((probability - expected).abs() < 1e-6, "{probability}");
        }
    }
}
