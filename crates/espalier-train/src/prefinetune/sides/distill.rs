//! Distillation on sentences: words, as the student and the teacher cut them into tokens, learn
//! what the teacher says.

use super::sentences::{Sentences, first_text, mean_loss, projection_group};
use super::{OwnParameters, Pass, Side, SideReport};
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::initialization::uniform;
use crate::objectives::{DistillLoss, Distillation, Objective, WordBatch, WordPooling};
use crate::optimizer::Group;
use crate::prefinetune::Teacher;
use crate::prefinetune::teacher::{Said, TeacherWords};
use espalier_data::sampling::generator;
use espalier_data::{Annotation, ConceptSentence, CorpusPosition};
use espalier_encoder::{Backbone, Batch, Encoded, Head, Tokenizer};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Sentences, and a teacher for their words.
pub(super) struct DistillSide<'a> {
    sentences: Sentences,
    weight: f32,
    entity_weight: f32,
    terms: Vec<Term>,
    words: TeacherWords<'a>,
    tokenizer: Arc<Tokenizer>,
}

/// A part of what the teacher says, matched through a map of its own. All parts are matched by the
/// student's last layer.
struct Term {
    name: &'static str,
    objective: Distillation,
    /// Which of the teacher's numbers.
    part: Range<usize>,
    /// Beside the others.
    weight: f32,
    map: Head,
    group: Group,
}

impl<'a> DistillSide<'a> {
    pub(super) fn new(
        backbone: &Backbone,
        teacher: &'a Teacher,
        config: &PrefinetuneConfig,
    ) -> Result<Self> {
        let (ner, width) = (&config.ner, backbone.encoder.width());
        let mut end = 0;
        let mut term = |((name, weight), numbers)| {
            let part = end..end + numbers;
            end = part.end;
            let kl = ner.distill.loss == DistillLoss::Kl;
            let map = first_map(width, numbers, kl, config.seed, name);
            // The bias of a projection stays zero.
            let trained = if kl { map.values.len() } else { width * numbers };
            let group = projection_group(config, map.values.len(), 0..trained);
            let objective =
                Distillation { loss: ner.distill.loss, temperature: ner.distill.temperature };
            Term { name, objective, part, weight, map, group }
        };
        let terms = [("projection", 1.0), ("layer_projection", ner.distill.layer_weight)];
        Ok(Self {
            sentences: Sentences::new(backbone, config, Annotation::Optional)?,
            weight: ner.weight(),
            entity_weight: ner.distill.entity_weight,
            terms: terms.into_iter().zip(teacher.parts()).map(&mut term).collect(),
            words: TeacherWords::new(teacher, ner.teacher_cache.as_deref())?,
            tokenizer: Arc::clone(&backbone.tokenizer),
        })
    }

    /// The loss of the sentences, their tokens, and the gradient of the weighted loss at the token
    /// vectors, [T, H]. Those of the maps are added to theirs.
    fn loss(
        &mut self,
        picked: &[ConceptSentence],
        pass: &mut Pass,
    ) -> Result<(f64, Batch, Vec<f32>)> {
        let encoded: Vec<Encoded> = picked
            .par_iter()
            .map(|sentence| self.tokenizer.encode_words(&sentence.tokens))
            .collect();
        let batch = Batch::from_texts(&encoded);
        let sentences: Vec<&[String]> =
            picked.iter().map(|sentence| sentence.tokens.as_slice()).collect();
        let said = self.words.of(&sentences)?;
        let width = self.words.teacher.width();
        let words = Words::of(picked, &encoded, &batch, &said, width, self.entity_weight);

        let student = pass.width();
        let vectors = words.pooling.forward(pass.forward(&batch), student); // [n, H]
        let (mut loss, mut d_vectors, mut d_term) = (0.0, vec![0.0; vectors.len()], Vec::new());
        for term in &mut self.terms {
            let targets = columns(&words.said, width, &term.part); // [n, D]
            let words = WordBatch { vectors: &vectors, targets: &targets, weights: &words.weights };
            let gradients = &mut term.group.gradients;
            let (map, weight) = (&term.map, self.weight * term.weight);
            let found = term.objective.loss(words, map, weight, &mut d_term, gradients);
            loss += f64::from(term.weight) * found;
            d_vectors.iter_mut().zip(&d_term).for_each(|(sum, d)| *sum += d);
        }
        let mut d_hidden = vec![0.0; batch.tokens() * student];
        words.pooling.backward(&d_vectors, student, &mut d_hidden);
        Ok((loss, batch, d_hidden))
    }
}

impl Side for DistillSide<'_> {
    fn objective(&self) -> Objective {
        Objective::Ner
    }

    fn step(&mut self, mut pass: Pass) -> Result<SideReport> {
        let picked = self.sentences.next()?;
        let (loss, batch, mut d_hidden) = self.loss(&picked, &mut pass)?;
        pass.backward(&batch, &mut d_hidden);
        Ok(SideReport {
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

    fn own_parameters(&mut self) -> Vec<OwnParameters<'_>> {
        let terms = self.terms.iter_mut();
        terms
            .map(|Term { name, map, group, .. }| OwnParameters {
                name,
                values: &mut map.values,
                group,
            })
            .collect()
    }
}

/// The map that training starts from: the identity where student and teacher are of one width,
/// else, and for scores, a random one.
fn first_map(width: usize, outputs: usize, kl: bool, seed: u64, name: &str) -> Head {
    if width != outputs || kl {
        let mut rng = generator(seed, &format!("ner {name}"));
        return Head::random_init(width, outputs, uniform(&mut rng));
    }
    let mut values = vec![0.0; width * width + width];
    (0..width).for_each(|i| values[i * width + i] = 1.0);
    Head { classes: width, values }
}

/// The words of a batch that both encoders have whole.
struct Words {
    /// Their tokens on the student's side.
    pooling: WordPooling,
    /// What the teacher says, [n, D].
    said: Vec<f32>,
    /// How much each counts, `[n]`.
    weights: Vec<f32>,
}

impl Words {
    fn of(
        sentences: &[ConceptSentence],
        encoded: &[Encoded],
        batch: &Batch,
        said: &[Said],
        width: usize,
        entity_weight: f32,
    ) -> Self {
        let mut words =
            Self { pooling: WordPooling::default(), said: Vec::new(), weights: Vec::new() };
        for (s, (sentence, encoded)) in sentences.iter().zip(encoded).enumerate() {
            let first = batch.sequence(s).start;
            let tokens = encoded.word_to_tokens(sentence.tokens.len());
            for (word, (tokens, row)) in tokens.into_iter().zip(said[s].words(width)).enumerate() {
                let (Some(tokens), Some(row)) = (tokens, row) else { continue };
                words.pooling.tokens.push(first + tokens.start..first + tokens.end);
                words.said.extend(row.iter().map(|x| x.to_f32()));
                let entity =
                    sentence.spans.iter().any(|span| (span.start..span.end).contains(&word));
                words.weights.push(if entity { entity_weight } else { 1.0 });
            }
        }
        words
    }
}

/// Some columns of a matrix of `width` columns.
fn columns(x: &[f32], width: usize, part: &Range<usize>) -> Vec<f32> {
    x.chunks_exact(width).flat_map(|row| &row[part.clone()]).copied().collect()
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
                (0..encoded.ids.len()).filter(|&t| encoded.word_ids[t] == Some(w as u32)).collect();
            let ends = rows.last().is_some_and(|&t| encoded.spans[t].1 == word.chars().count());
            ends.then_some(rows)
        };
        words.iter().enumerate().map(of_word).collect()
    }

    /// WordPiece of BERT against the tokenizers of the other architectures, on words of one token
    /// and of many, some that a tokenizer drops, in a text that is too long for either side.
    #[test]
    fn words_are_those_that_both_sides_have_whole() {
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
            let said = TeacherWords::new(&teacher, None).unwrap().of(&asked).unwrap();
            let found = Words::of(&sentences, &ours, &batch, &said, teacher.width(), 3.0);

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
            for (found, expected) in found.said.iter().zip(&rows) {
                // Rounded to bfloat16, which has 8 bits.
                assert!(
                    (found - expected).abs() <= expected.abs() / 256.0 + 1e-6,
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }
}
