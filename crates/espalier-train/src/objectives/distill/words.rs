//! Words of a batch, as two tokenizers split them: those that both have, with their vectors.

use super::teacher::TeacherOutput;
use espalier_data::ConceptSentence;
use espalier_encoder::{Batch, Encoded};
use std::ops::Range;

/// Words of a batch, each by the rows of its tokens: its vector is their mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordPooling {
    /// Tokens of each word, none of them empty.
    pub tokens: Vec<Range<usize>>,
}

impl WordPooling {
    /// Word vectors [n, H] of token vectors `hidden` [T, H].
    ///
    /// # Panics
    /// If a word lies outside of the batch.
    pub fn forward(&self, hidden: &[f32], width: usize) -> Vec<f32> {
        let mut words = vec![0.0; self.tokens.len() * width];
        for (tokens, word) in self.tokens.iter().zip(words.chunks_exact_mut(width)) {
            for token in hidden[tokens.start * width..tokens.end * width].chunks_exact(width) {
                word.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
            }
            word.iter_mut().for_each(|sum| *sum /= tokens.len() as f32);
        }
        words
    }

    /// Adds to `d_hidden` [T, H] the gradient by that at the word vectors, `d_words` [n, H].
    ///
    /// # Panics
    /// As [`WordPooling::forward`].
    pub fn backward(&self, d_words: &[f32], width: usize, d_hidden: &mut [f32]) {
        for (tokens, d_word) in self.tokens.iter().zip(d_words.chunks_exact(width)) {
            for d_token in
                d_hidden[tokens.start * width..tokens.end * width].chunks_exact_mut(width)
            {
                d_token.iter_mut().zip(d_word).for_each(|(sum, d)| *sum += d / tokens.len() as f32);
            }
        }
    }
}

/// The words of a batch that neither tokenizer has truncated.
pub(super) struct Words {
    /// Their tokens in the student's batch.
    pub(super) pooling: WordPooling,
    /// The teacher's output, [n, D].
    pub(super) targets: Vec<f32>,
    /// Weight of each in the loss, `[n]`.
    pub(super) weights: Vec<f32>,
}

impl Words {
    pub(super) fn of(
        sentences: &[ConceptSentence],
        encoded: &[Encoded],
        batch: &Batch,
        outputs: &[TeacherOutput],
        width: usize,
        entity_weight: f32,
    ) -> Self {
        let mut words =
            Self { pooling: WordPooling::default(), targets: Vec::new(), weights: Vec::new() };
        for (s, (sentence, encoded)) in sentences.iter().zip(encoded).enumerate() {
            let first = batch.sequence(s).start;
            let tokens = encoded.word_to_tokens(sentence.tokens.len());
            for (word, (tokens, row)) in tokens.into_iter().zip(outputs[s].words(width)).enumerate()
            {
                let (Some(tokens), Some(row)) = (tokens, row) else { continue };
                words.pooling.tokens.push(first + tokens.start..first + tokens.end);
                words.targets.extend(row.iter().map(|x| x.to_f32()));
                let entity =
                    sentence.spans.iter().any(|span| (span.start..span.end).contains(&word));
                words.weights.push(if entity { entity_weight } else { 1.0 });
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::CachedTeacher;
    use super::super::teacher::Teacher;
    use super::*;
    use crate::config::NerConfig;
    use espalier_data::ConceptSpan;
    use espalier_encoder::{Backbone, Compute, Tokenizer};
    use std::path::{Path, PathBuf};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
    }

    /// For each word its tokens' rows, if the tokens spell it to its last character.
    fn spelled(encoded: &Encoded, words: &[String]) -> Vec<Option<Vec<usize>>> {
        let of_word = |(w, word): (usize, &String)| {
            let rows: Vec<usize> =
                (0..encoded.ids.len()).filter(|&t| encoded.word_ids[t] == Some(w as u32)).collect();
            let ends = rows.last().is_some_and(|&t| encoded.spans[t].1 == word.chars().count());
            ends.then_some(rows)
        };
        words.iter().enumerate().map(of_word).collect()
    }

    /// WordPiece of BERT against the tokenizers of the other architectures, on words of one token
    /// and of many, some that a tokenizer drops, in a text that is too long for either side.
    #[test]
    fn words_are_those_that_neither_tokenizer_truncates() {
        let student = Backbone::open(&fixture("tiny-bert")).unwrap();
        let some = [
            "London",
            "zürich-west",
            "\u{200b}",
            "hotel",
            "京",
            "unhappinesses",
            "e\u{301}t\u{e9}",
            "\t",
            "won't",
        ];
        let words: Vec<String> =
            some.iter().cycle().take(90).map(|word| word.to_string()).collect();
        let spans = vec![ConceptSpan { start: 3, end: 6, concept: "x".into() }];
        let sentences = [
            ConceptSentence { tokens: words[..4].to_vec(), spans: spans.clone() },
            ConceptSentence { tokens: words, spans },
        ];
        for name in ["tiny-bert", "kin/distilbert/model", "kin/roberta/model", "kin/mpnet/model"] {
            let in_f32 = NerConfig { teacher_precision: Compute::F32, ..NerConfig::default() };
            let teacher = Teacher::open(&fixture(name), &in_f32).unwrap();
            let reads = Backbone::open(&fixture(name)).unwrap();
            let encode = |tokenizer: &Tokenizer| {
                sentences.iter().map(|s| tokenizer.encode_words(&s.tokens)).collect()
            };
            let (ours, theirs): (Vec<Encoded>, Vec<Encoded>) =
                (encode(&student.tokenizer), encode(&reads.tokenizer));
            assert!(ours[1].truncated && theirs[1].truncated, "{name}");

            let batch = Batch::from_texts(&ours);
            let asked: Vec<&[String]> =
                sentences.iter().map(|sentence| sentence.tokens.as_slice()).collect();
            let outputs = CachedTeacher::new(&teacher, None).unwrap().infer(&asked).unwrap();
            let found = Words::of(&sentences, &ours, &batch, &outputs, teacher.width(), 3.0);

            let hidden = reads.model(None).encode(&Batch::from_texts(&theirs));
            let their_batch = Batch::from_texts(&theirs);
            let (mut tokens, mut rows, mut weights) = (Vec::new(), Vec::new(), Vec::new());
            for s in 0..2 {
                let whole = |encoded: &[Encoded]| spelled(&encoded[s], &sentences[s].tokens);
                for (word, both) in whole(&ours).into_iter().zip(whole(&theirs)).enumerate() {
                    let (Some(mine), Some(other)) = both else { continue };
                    let first = batch.sequence(s).start;
                    tokens.push(first + mine[0]..first + mine[mine.len() - 1] + 1);
                    let hidden = their_batch.rows(s, &hidden, 32);
                    let mean = |i: usize| {
                        other.iter().map(|t| hidden[t * 32 + i]).sum::<f32>() / other.len() as f32
                    };
                    rows.extend((0..32).map(mean));
                    weights.push(if (3..6).contains(&word) { 3.0 } else { 1.0 });
                }
            }
            // What spells a word to its end may still be the last before the cut, which is left out
            // all the same.
            let n = found.pooling.tokens.len();
            assert!(
                tokens.len() - n <= 1 && found.pooling.tokens == tokens[..n],
                "{name}: {n} words"
            );
            assert!(n > 5 && n < 64, "{name}: {n} words");
            assert_eq!(found.weights, weights[..n], "{name}");
            for (found, expected) in found.targets.iter().zip(&rows) {
                // Rounded to bfloat16, which has 8 bits.
                assert!(
                    (found - expected).abs() <= expected.abs() / 256.0 + 1e-6,
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }
}
