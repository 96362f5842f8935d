//! Masking: which tokens masked language modelling hides, and how (BERT, arXiv 1810.04805).

use espalier_data::{Role, TextPiece};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// How tokens are masked.
///
/// Each token of a text (or each word, with all its tokens) is selected independently with the same
/// probability. Of the selected tokens, 80 % are replaced by the mask token, 10 % by a random
/// token, and 10 % stay as they are, so that the encoder cannot rely on the tokens that it sees.
/// Special tokens are never selected.
///
/// ```
/// use espalier_data::sampling::generator;
/// use espalier_data::{Role, TextPiece};
/// use espalier_train::objectives::mlm::Masking;
///
/// let text = TextPiece {
///     ids: vec![2, 17, 18, 3],
///     roles: vec![Role::Special, Role::First, Role::Further, Role::Special],
/// };
/// let masking = Masking { probability: 1.0, whole_words: false, mask: 4, vocabulary: 1000 };
/// let masked = masking.mask(&[text], &mut generator(0, "doc"));
/// assert_eq!((masked.rows, masked.targets), (vec![1, 2], vec![17, 18]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Masking {
    /// The probability that a token, or a word, is selected.
    pub probability: f32,
    /// Whether to select words instead of tokens.
    pub whole_words: bool,
    /// The id of the mask token.
    pub mask: u32,
    /// Random tokens have ids below this.
    pub vocabulary: u32,
}

/// Masked texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// The token ids of each text, after masking.
    pub texts: Vec<Vec<u32>>,
    /// The rows of the selected tokens in the concatenated texts, ascending, `[n]`.
    pub rows: Vec<usize>,
    /// Their original ids, `[n]`.
    pub targets: Vec<u32>,
}

impl Masking {
    /// Masks tokens of texts.
    pub fn mask(&self, texts: &[TextPiece], rng: &mut ChaCha8Rng) -> Masked {
        let mut masked = Masked::default();
        let mut first = 0;
        for text in texts {
            let mut ids = text.ids.clone();
            let mut selected = false;
            for (at, (&role, id)) in text.roles.iter().zip(&mut ids).enumerate() {
                selected = match role {
                    Role::Special => false,
                    Role::Further if self.whole_words => selected,
                    _ => rng.random::<f32>() < self.probability,
                };
                if selected {
                    masked.rows.push(first + at);
                    masked.targets.push(*id);
                    *id = self.replacement(*id, rng);
                }
            }
            first += ids.len();
            masked.texts.push(ids);
        }
        masked
    }

    /// What a selected token is replaced by.
    fn replacement(&self, id: u32, rng: &mut ChaCha8Rng) -> u32 {
        match rng.random::<f32>() {
            x if x < 0.8 => self.mask,
            x if x < 0.9 => rng.random_range(0..self.vocabulary),
            _ => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_data::sampling::generator;

    const MASK: u32 = 4;

    /// A text of words of one to three tokens, with ids of 100 and above, between special tokens.
    fn text(words: usize) -> TextPiece {
        let mut piece = TextPiece { ids: vec![2], roles: vec![Role::Special] };
        for word in 0..words {
            for token in 0..1 + word % 3 {
                piece.ids.push(100 + piece.ids.len() as u32 % 800);
                piece.roles.push(if token == 0 { Role::First } else { Role::Further });
            }
        }
        piece.ids.push(3);
        piece.roles.push(Role::Special);
        piece
    }

    fn masking(probability: f32, whole_words: bool) -> Masking {
        Masking { probability, whole_words, mask: MASK, vocabulary: 1000 }
    }

    #[test]
    fn masking_rates_are_those_of_bert() {
        let texts = [text(4000), text(6000)];
        let original: Vec<u32> = texts.iter().flat_map(|text| text.ids.clone()).collect();
        for whole_words in [false, true] {
            let masked = masking(0.15, whole_words).mask(&texts, &mut generator(1, "test"));
            let ids: Vec<u32> = masked.texts.concat();
            let (n, tokens) = (masked.rows.len(), original.len() - 4);
            // 15 % of 20,000 tokens are 3000. Five standard deviations are 250, or about 390 with
            // words, which have two tokens on average.
            assert!(n.abs_diff(tokens * 15 / 100) < 400, "{n} of {tokens}");
            let count =
                |what: &dyn Fn(usize) -> bool| masked.rows.iter().filter(|&&row| what(row)).count();
            let masks = count(&|row| ids[row] == MASK);
            let kept = count(&|row| ids[row] == original[row]);
            // 2400 and 300, with five standard deviations of 110 and 82. One random token in a
            // thousand is the original.
            assert!(
                masks.abs_diff(n * 8 / 10) < 110 && kept.abs_diff(n / 10) < 82,
                "{masks} and {kept} of {n}"
            );
            for (&row, &target) in masked.rows.iter().zip(&masked.targets) {
                assert_eq!(target, original[row]);
                assert!(target >= 100, "special tokens are never selected");
            }
            let others = (0..original.len()).filter(|row| !masked.rows.contains(row));
            assert!(others.into_iter().all(|row| ids[row] == original[row]));
        }
    }

    #[test]
    fn all_tokens_of_a_word_are_selected_together() {
        let texts = [text(500)];
        let masked = masking(0.3, true).mask(&texts, &mut generator(2, "test"));
        let selected = |token: usize| masked.rows.contains(&token);
        let further = texts[0].roles.iter().enumerate().filter(|(_, role)| **role == Role::Further);
        assert!(further.into_iter().all(|(token, _)| selected(token) == selected(token - 1)));
        let all = masking(1.0, false).mask(&texts, &mut generator(2, "test"));
        assert_eq!(all.rows.len(), texts[0].ids.len() - 2);
    }

    #[test]
    fn masking_depends_only_on_the_random_generator() {
        let texts = [text(50)];
        let mask =
            |seed, purpose: &str| masking(0.15, false).mask(&texts, &mut generator(seed, purpose));
        assert_eq!(mask(1, "a"), mask(1, "a"));
        assert_ne!(mask(1, "a"), mask(2, "a"));
        assert_ne!(mask(1, "a"), mask(1, "b"));
    }
}
