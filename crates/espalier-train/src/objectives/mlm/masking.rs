//! Which tokens are hidden from a masked language model, and how (BERT, arXiv 1810.04805).

use espalier_data::{Role, TextPiece};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// How tokens are hidden.
///
/// Each token of a text, or with `whole_words` each word with all its tokens, is chosen with the
/// same probability, by itself. Of the chosen tokens 80 % become the mask, 10 % a random token, and
/// 10 % stay, so that the encoder cannot rely on a token that it sees. Special tokens are never
/// chosen.
#[derive(Clone, Copy, Debug)]
pub struct Masking {
    /// Probability that a token, or a word, is chosen.
    pub probability: f32,
    /// Whether words are chosen, not tokens.
    pub whole_words: bool,
    /// The mask's id.
    pub mask: u32,
    /// Number of tokens to take random ones from.
    pub vocabulary: u32,
}

/// Texts with hidden tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// Token ids of each text.
    pub texts: Vec<Vec<u32>>,
    /// The places of the chosen tokens, ascending, when all texts stand one after the other, `[n]`.
    pub rows: Vec<usize>,
    /// What stood there, `[n]`.
    pub targets: Vec<u32>,
}

impl Masking {
    /// Hides tokens of texts.
    pub fn hide(&self, texts: &[TextPiece], rng: &mut ChaCha8Rng) -> Masked {
        let mut masked = Masked::default();
        let mut first = 0;
        for text in texts {
            let mut ids = text.ids.clone();
            let mut chosen = false;
            for (at, (&role, id)) in text.roles.iter().zip(&mut ids).enumerate() {
                chosen = match role {
                    Role::Special => false,
                    Role::Further if self.whole_words => chosen,
                    _ => rng.random::<f32>() < self.probability,
                };
                if chosen {
                    masked.rows.push(first + at);
                    masked.targets.push(*id);
                    *id = self.hidden(*id, rng);
                }
            }
            first += ids.len();
            masked.texts.push(ids);
        }
        masked
    }

    /// What stands in the place of a chosen token.
    fn hidden(&self, id: u32, rng: &mut ChaCha8Rng) -> u32 {
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

    /// A text of words of one to three tokens, with ids from 100 on, between special tokens.
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
    fn shares_are_those_of_bert() {
        let texts = [text(4000), text(6000)];
        let flat: Vec<u32> = texts.iter().flat_map(|text| text.ids.clone()).collect();
        for whole_words in [false, true] {
            let masked = masking(0.15, whole_words).hide(&texts, &mut generator(1, "test"));
            let hidden: Vec<u32> = masked.texts.concat();
            let (n, tokens) = (masked.rows.len(), flat.len() - 4);
            // Of 20,000 tokens 15 % are 3000; five standard deviations are 250, and with words of
            // two tokens on average some 390.
            assert!(n.abs_diff(tokens * 15 / 100) < 400, "{n} of {tokens}");
            let count =
                |what: &dyn Fn(usize) -> bool| masked.rows.iter().filter(|&&row| what(row)).count();
            let masks = count(&|row| hidden[row] == MASK);
            let kept = count(&|row| hidden[row] == flat[row]);
            // 2400 and 300; five standard deviations are 110 and 82. A random token is the very
            // same once in a thousand times.
            assert!(
                masks.abs_diff(n * 8 / 10) < 110 && kept.abs_diff(n / 10) < 82,
                "{masks} and {kept} of {n}"
            );
            for (&row, &target) in masked.rows.iter().zip(&masked.targets) {
                assert_eq!(target, flat[row]);
                assert!(target >= 100, "special tokens are never chosen");
            }
            let elsewhere = (0..flat.len()).filter(|row| !masked.rows.contains(row));
            assert!(elsewhere.into_iter().all(|row| hidden[row] == flat[row]));
        }
    }

    #[test]
    fn whole_words_are_chosen_whole() {
        let texts = [text(500)];
        let masked = masking(0.3, true).hide(&texts, &mut generator(2, "test"));
        let chosen = |token: usize| masked.rows.contains(&token);
        let further = texts[0].roles.iter().enumerate().filter(|(_, role)| **role == Role::Further);
        assert!(further.into_iter().all(|(token, _)| chosen(token) == chosen(token - 1)));
        let all = masking(1.0, false).hide(&texts, &mut generator(2, "test"));
        assert_eq!(all.rows.len(), texts[0].ids.len() - 2);
    }

    #[test]
    fn the_generator_decides() {
        let texts = [text(50)];
        let hide =
            |seed, purpose: &str| masking(0.15, false).hide(&texts, &mut generator(seed, purpose));
        assert_eq!(hide(1, "a"), hide(1, "a"));
        assert_ne!(hide(1, "a"), hide(2, "a"));
        assert_ne!(hide(1, "a"), hide(1, "b"));
    }
}
