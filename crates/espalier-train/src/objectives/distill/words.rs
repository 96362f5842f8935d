//! Word vectors, and the words of a batch that student and teacher have in common.

use crate::objectives::teacher::TeacherOutput;
use espalier_data::ConceptSentence;
use espalier_encoder::{Batch, Encoded};
use std::ops::Range;

/// Mean pooling over words: the vector of a word is the mean of the hidden states of its tokens.
///
/// ```
/// use espalier_train::objectives::distill::WordPooling;
///
/// // Three tokens of width 2: the first word has the first two tokens, the second word the third.
/// let pooling = WordPooling { tokens: vec![0..2, 2..3] };
/// let vectors = pooling.forward(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2);
/// assert_eq!(vectors, [2.0, 3.0, 5.0, 6.0]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WordPooling {
    /// The tokens of each word, at least one.
    pub tokens: Vec<Range<usize>>,
}

impl WordPooling {
    /// The word vectors [n, H] of hidden states `hidden` [T, H], where `width` is H.
    ///
    /// # Panics
    /// If a word has tokens beyond the batch.
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

    /// Adds to `d_hidden` [T, H] the gradient with respect to the hidden states, from `d_words`
    /// [n, H] with respect to the word vectors.
    ///
    /// # Panics
    /// If a word has tokens beyond the batch.
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

/// The words of a batch for which both student and teacher have all tokens.
pub(super) struct AlignedWords {
    /// Their tokens in the student's batch.
    pub(super) pooling: WordPooling,
    /// The teacher's output for them, [n, D].
    pub(super) targets: Vec<f32>,
    /// Their weights in the loss, `[n]`.
    pub(super) weights: Vec<f32>,
}

impl AlignedWords {
    /// The words of sentences that the student has `encoded` as `batch`. `outputs` are the
    /// teacher's, with `width` numbers for each word. Words of annotated entities have the weight
    /// `entity_weight`, all others 1.
    pub(super) fn new(
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
    use super::super::teacher::Teacher;
    use super::*;
    use crate::config::NerConfig;
    use crate::objectives::teacher::{CachedTeacher, Teach};
    use espalier_data::ConceptSpan;
    use espalier_encoder::{Backbone, Compute, Tokenizer};
    use std::path::{Path, PathBuf};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
    }

    /// For each word the rows of its tokens, if these reach its last character.
    fn complete_words(encoded: &Encoded, words: &[String]) -> Vec<Option<Vec<usize>>> {
        let of_word = |(w, word): (usize, &String)| {
            let rows: Vec<usize> =
                (0..encoded.ids.len()).filter(|&t| encoded.word_ids[t] == Some(w as u32)).collect();
            let last = rows.last();
            let complete = last.is_some_and(|&t| encoded.spans[t].1 == word.chars().count());
            complete.then_some(rows)
        };
        words.iter().enumerate().map(of_word).collect()
    }

    /// A student with BERT's WordPiece and teachers with the tokenizers of all architectures, on
    /// words of one token and of many and words without tokens, in a text that both truncate.
    #[test]
    fn aligned_words_are_those_that_neither_tokenizer_truncates() {
        let student = Backbone::open(&fixture("tiny-bert")).unwrap();
        let vocabulary = [
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
            vocabulary.iter().cycle().take(90).map(|word| word.to_string()).collect();
        let spans = vec![ConceptSpan { start: 3, end: 6, concept: "x".into() }];
        let sentences = [
            ConceptSentence { tokens: words[..4].to_vec(), spans: spans.clone() },
            ConceptSentence { tokens: words, spans },
        ];
        for name in ["tiny-bert", "kin/distilbert/model", "kin/roberta/model", "kin/mpnet/model"] {
            let in_f32 = NerConfig { teacher_precision: Compute::F32, ..NerConfig::default() };
            let teacher = Teacher::open(&fixture(name), &in_f32).unwrap();
            let backbone = Backbone::open(&fixture(name)).unwrap();
            let encode = |tokenizer: &Tokenizer| {
                sentences.iter().map(|s| tokenizer.encode_words(&s.tokens)).collect()
            };
            let (by_student, by_teacher): (Vec<Encoded>, Vec<Encoded>) =
                (encode(&student.tokenizer), encode(&backbone.tokenizer));
            assert!(by_student[1].truncated && by_teacher[1].truncated, "{name}");

            let batch = Batch::from_texts(&by_student);
            let words: Vec<&[String]> =
                sentences.iter().map(|sentence| sentence.tokens.as_slice()).collect();
            let outputs = CachedTeacher::new(&teacher, None).unwrap().infer(&words).unwrap();
            let width = teacher.width();
            let found = AlignedWords::new(&sentences, &by_student, &batch, &outputs, width, 3.0);

            let teacher_batch = Batch::from_texts(&by_teacher);
            let hidden = backbone.model(None).encode(&teacher_batch);
            let (mut tokens, mut rows, mut weights) = (Vec::new(), Vec::new(), Vec::new());
            for s in 0..2 {
                let complete =
                    |encoded: &[Encoded]| complete_words(&encoded[s], &sentences[s].tokens);
                let pairs = complete(&by_student).into_iter().zip(complete(&by_teacher));
                for (word, pair) in pairs.enumerate() {
                    let (Some(own), Some(other)) = pair else { continue };
                    let first = batch.sequence(s).start;
                    tokens.push(first + own[0]..first + own[own.len() - 1] + 1);
                    let hidden = teacher_batch.rows(s, &hidden, 32);
                    let mean = |i: usize| {
                        other.iter().map(|t| hidden[t * 32 + i]).sum::<f32>() / other.len() as f32
                    };
                    rows.extend((0..32).map(mean));
                    weights.push(if (3..6).contains(&word) { 3.0 } else { 1.0 });
                }
            }
            // The last word before the truncation is always left out, even if it is complete.
            let n = found.pooling.tokens.len();
            assert!(
                tokens.len() - n <= 1 && found.pooling.tokens == tokens[..n],
                "{name}: {n} words"
            );
            assert!(n > 5 && n < 64, "{name}: {n} words");
            assert_eq!(found.weights, weights[..n], "{name}");
            for (found, expected) in found.targets.iter().zip(&rows) {
                // Rounded to bfloat16, which has 8 bits of precision.
                assert!(
                    (found - expected).abs() <= expected.abs() / 256.0 + 1e-6,
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }
}
