//! Guesses at the hidden tokens of a text.

use crate::backbone::Backbone;
use crate::batch::Batch;
use crate::error::{EncoderError, Result};
use serde::Serialize;

/// A token that may stand in a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MaskPrediction {
    /// The token as the vocabulary has it: `##s` goes on with the word before it.
    pub token: String,
    /// Its probability among all tokens.
    pub probability: f32,
}

impl Backbone {
    /// For each mask in the text (`[MASK]`, or `<mask>` in tokenizers that call it so) the `top`
    /// likeliest tokens, the likeliest first.
    ///
    /// # Errors
    /// [`EncoderError::NoMlmHead`] when the backbone came without a head of masked language
    /// modelling, or its tokenizer has no mask.
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
        let words = self.encoder.layout.embeddings.word_embeddings(self.weights());
        let scores = head.scores(&vectors, words, self.encoder.config.layer_norm_eps); // [n, V]
        let guesses = |scores: &[f32]| {
            let likeliest = likeliest(scores, top).into_iter();
            let token = |id: usize| self.tokenizer.token(id as u32).unwrap_or_default();
            likeliest
                .map(|(id, probability)| MaskPrediction { token: token(id), probability })
                .collect()
        };
        Ok(scores.chunks_exact(self.encoder.config.vocab_size).map(guesses).collect())
    }
}

/// The highest scores of a row: their indices, and their probabilities under softmax.
fn likeliest(scores: &[f32], top: usize) -> Vec<(usize, f32)> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - max).exp()).sum();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // Of equal scores the lower index first.
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(top);
    order.into_iter().map(|index| (index, (scores[index] - max).exp() / sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::likeliest;

    #[test]
    fn the_highest_scores_with_their_share() {
        // e^ln(n) = n: shares of 1 + 4 + 1 + 2 = 8.
        let found = likeliest(&[0.0, 4f32.ln(), 0.0, 2f32.ln()], 3);
        assert_eq!(found.iter().map(|&(index, _)| index).collect::<Vec<_>>(), [1, 3, 0]);
        for ((_, share), expected) in found.into_iter().zip([0.5, 0.25, 0.125]) {
            assert!((share - expected).abs() < 1e-6, "{share}");
        }
    }
}
