//! Distillation on sentences: the student's word vectors learn to match the teacher's output for the
//! same words, however the two tokenizers split these into tokens.

mod cache;
pub mod loss;
mod teacher;
mod word_pooling;

pub use teacher::Teacher;
pub use word_pooling::WordPooling;

use super::sentences::{Sentences, first_text, mean_loss};
use super::{BatchReport, Objective};
use crate::config::{DistillLossKind, PrefinetuneConfig};
use crate::error::Result;
use crate::initialization::uniform;
use crate::network::Pass;
use crate::optimizer::{ParameterGroup, Parameters};
use crate::strategy::ObjectiveKind;
use crate::trained::group_of_objective;
use cache::CachedTeacher;
use espalier_data::sampling::generator;
use espalier_data::{Annotation, ConceptSentence, CorpusPosition};
use espalier_encoder::{Backbone, Batch, Encoded, Head, Tokenizer};
use loss::{DistillLoss, WordBatch};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use teacher::TeacherOutput;

/// Sentences, and a teacher for their words.
pub(super) struct Distillation<'a> {
    sentences: Sentences,
    weight: f32,
    entity_weight: f32,
    terms: Vec<Term>,
    teacher: CachedTeacher<'a>,
    tokenizer: Arc<Tokenizer>,
}

/// A part of the teacher's output, matched through a linear map of its own. All parts are matched by
/// the student's last layer.
struct Term {
    /// The name of the map in checkpoints.
    name: &'static str,
    loss: DistillLoss,
    /// The columns of the teacher's output.
    columns: Range<usize>,
    /// Weight of the term in the loss.
    weight: f32,
    map: Head,
    group: ParameterGroup,
}

impl<'a> Distillation<'a> {
    pub(super) fn new(
        backbone: &Backbone,
        teacher: &'a Teacher,
        config: &PrefinetuneConfig,
    ) -> Result<Self> {
        let (ner, width) = (&config.ner, backbone.encoder.width());
        let (mut end, mut terms) = (0, Vec::new());
        let maps = [
            ("objective.ner.projection", 1.0),
            ("objective.ner.layer_projection", ner.distill.layer_weight),
        ];
        for ((name, weight), outputs) in maps.into_iter().zip(teacher.widths()) {
            let columns = end..end + outputs;
            end = columns.end;
            let kl = ner.distill.loss == DistillLossKind::Kl;
            let map = initial_map(width, outputs, kl, config.seed, name);
            // The bias of a projection stays zero.
            let trained = if kl { map.values.len() } else { width * outputs };
            let settings = &ner.projection_group;
            let group = group_of_objective(config, settings, map.values.len(), 0..trained);
            let loss = DistillLoss { kind: ner.distill.loss, temperature: ner.distill.temperature };
            terms.push(Term { name, loss, columns, weight, map, group });
        }
        Ok(Self {
            sentences: Sentences::new(backbone, config, Annotation::Optional)?,
            weight: ner.weight(),
            entity_weight: ner.distill.entity_weight,
            terms,
            teacher: CachedTeacher::new(teacher, ner.teacher_cache.as_deref())?,
            tokenizer: Arc::clone(&backbone.tokenizer),
        })
    }

    /// The loss of the sentences, their tokens, and the gradient of the weighted loss at the hidden
    /// states, [T, H]. The gradients of the maps are added to theirs.
    fn loss(
        &mut self,
        picked: &[ConceptSentence],
        pass: &mut Pass,
    ) -> Result<(f64, Batch, Vec<f32>)> {
        let encode = |sentence: &ConceptSentence| self.tokenizer.encode_words(&sentence.tokens);
        let encoded: Vec<Encoded> = picked.par_iter().map(encode).collect();
        let batch = Batch::of_texts(&encoded);
        let sentences = picked.iter().map(|sentence| sentence.tokens.as_slice());
        let outputs = self.teacher.infer(&sentences.collect::<Vec<_>>())?;
        let width = self.teacher.width();
        let words = Words::of(picked, &encoded, &batch, &outputs, width, self.entity_weight);

        let student = pass.width();
        let vectors = words.pooling.forward(pass.forward(&batch), student); // [n, H]
        let (mut loss, mut d_vectors, mut d_term) = (0.0, vec![0.0; vectors.len()], Vec::new());
        for term in &mut self.terms {
            let targets = columns(&words.targets, width, &term.columns); // [n, D]
            let words = WordBatch { vectors: &vectors, targets: &targets, weights: &words.weights };
            let gradients = &mut term.group.gradients;
            let (map, weight) = (&term.map, self.weight * term.weight);
            let term_loss = term.loss.loss(words, map, weight, &mut d_term, gradients);
            loss += f64::from(term.weight) * term_loss;
            d_vectors.iter_mut().zip(&d_term).for_each(|(sum, d)| *sum += d);
        }
        let mut d_hidden = vec![0.0; batch.tokens() * student];
        words.pooling.backward(&d_vectors, student, &mut d_hidden);
        Ok((loss, batch, d_hidden))
    }
}

impl Objective for Distillation<'_> {
    fn kind(&self) -> ObjectiveKind {
        ObjectiveKind::Ner
    }

    fn step(&mut self, mut pass: Pass) -> Result<BatchReport> {
        let picked = self.sentences.next()?;
        let (loss, batch, mut d_hidden) = self.loss(&picked, &mut pass)?;
        pass.backward(&batch, &mut d_hidden);
        Ok(BatchReport {
            loss,
            tokens: batch.tokens(),
            examples: picked.len(),
            first_text: first_text(&picked),
        })
    }

    fn validate(&mut self, mut pass: Pass) -> Result<Option<f64>> {
        let loss = mean_loss(self.sentences.held_out(), |sentences| {
            Ok(self.loss(sentences, &mut pass)?.0)
        });
        // Held-out examples train nothing.
        self.terms.iter_mut().for_each(|term| term.group.gradients.fill(0.0));
        loss
    }

    fn weight(&self) -> f32 {
        self.weight
    }

    fn position(&self) -> CorpusPosition {
        self.sentences.corpus.position()
    }

    fn seek(&mut self, position: &CorpusPosition) -> Result<()> {
        Ok(self.sentences.corpus.seek(position)?)
    }

    fn parameters(&mut self) -> Vec<Parameters<'_>> {
        let terms = self.terms.iter_mut();
        terms
            .map(|term| Parameters::new(term.name, &mut term.map.values, &mut term.group))
            .collect()
    }
}

/// The map that training starts from: the identity where student and teacher have the same width,
/// else, and for scores, a random one. `name` is that of its parameters.
fn initial_map(width: usize, outputs: usize, kl: bool, seed: u64, name: &str) -> Head {
    if width != outputs || kl {
        let purpose = name.trim_start_matches("objective.").replace('.', " ");
        return Head::fresh(width, outputs, uniform(&mut generator(seed, &purpose)));
    }
    let mut values = vec![0.0; width * width + width];
    (0..width).for_each(|i| values[i * width + i] = 1.0);
    Head { classes: width, values }
}

/// The words of a batch that neither tokenizer has truncated.
struct Words {
    /// Their tokens in the student's batch.
    pooling: WordPooling,
    /// The teacher's output, [n, D].
    targets: Vec<f32>,
    /// Weight of each in the loss, `[n]`.
    weights: Vec<f32>,
}

impl Words {
    fn of(
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
            let tokens = encoded.whole_words(sentence.tokens.len());
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

/// Some columns of a matrix of `width` columns.
fn columns(x: &[f32], width: usize, range: &Range<usize>) -> Vec<f32> {
    x.chunks_exact(width).flat_map(|row| &row[range.clone()]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NerConfig;
    use espalier_data::ConceptSpan;
    use espalier_encoder::Compute;
    use std::path::{Path, PathBuf};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
    }

    /// For each word its tokens' rows, if the tokens spell it to its last character.
    fn spelled(encoded: &Encoded, words: &[String]) -> Vec<Option<Vec<usize>>> {
        let of_word = |(w, word): (usize, &String)| {
            let rows: Vec<usize> =
                (0..encoded.ids.len()).filter(|&t| encoded.words[t] == Some(w as u32)).collect();
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

            let batch = Batch::of_texts(&ours);
            let asked: Vec<&[String]> =
                sentences.iter().map(|sentence| sentence.tokens.as_slice()).collect();
            let outputs = CachedTeacher::new(&teacher, None).unwrap().infer(&asked).unwrap();
            let found = Words::of(&sentences, &ours, &batch, &outputs, teacher.width(), 3.0);

            let hidden = reads.model(None).encode(&Batch::of_texts(&theirs));
            let their_batch = Batch::of_texts(&theirs);
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
