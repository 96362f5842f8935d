//! The teacher of distillation: an encoder that says something about every word.

mod cache;
mod identity;
mod source;

pub(super) use source::TeacherWords;

use crate::config::NerConfig;
use crate::error::{Result, TrainError};
use crate::objectives::{DistillLoss, WordPooling};
use espalier_encoder::{Adapter, AnyBackbone, Batch, Encoded, Head, Lora};
use espalier_kernels::Bf16;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;

/// An encoder of any architecture, and what of it is wanted.
#[derive(Debug)]
pub struct Teacher {
    backbone: AnyBackbone,
    adapter: Option<Lora>,
    says: Says,
    identity: String,
}

/// What is wanted of the teacher.
#[derive(Debug)]
enum Says {
    /// Word vectors of its last layer and perhaps of another one.
    Vectors {
        /// The number of layers whose output is the other one.
        layer: Option<usize>,
    },
    /// The scores of its tags.
    Scores(Head),
}

/// What the teacher says about the words of a sentence, in bfloat16.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// For each word whether there is anything: what was cut off or dropped by the tokenizer has
    /// nothing.
    present: Vec<bool>,
    /// A row for each that has, [m, D].
    rows: Vec<Bf16>,
}

impl Said {
    /// For each word its row of `width` numbers, if it has one.
    pub(super) fn words(&self, width: usize) -> impl Iterator<Item = Option<&[Bf16]>> {
        let mut rows = self.rows.chunks_exact(width);
        self.present.iter().map(move |&present| if present { rows.next() } else { None })
    }
}

impl Teacher {
    /// Opens the encoder in a directory or packed file, with the adapter, in the precision and for
    /// the loss that `config` names.
    ///
    /// # Errors
    /// [`TrainError::Encoder`] for files that cannot be read or an adapter of another encoder;
    /// [`TrainError::Teacher`] when there are no tags for `kl`; [`TrainError::ConfigValue`] for a
    /// layer that there is not.
    pub fn open(path: &Path, config: &NerConfig) -> Result<Self> {
        let backbone = AnyBackbone::open(path)?.with_compute(config.teacher_precision)?;
        let distill = &config.distill;
        let (adapter, says) = match (&distill.adapter, distill.loss) {
            (Some(directory), DistillLoss::Kl) => {
                let adapter = Adapter::open(directory, &backbone)?;
                (Some(adapter.lora), tags_of(directory, adapter.head)?)
            }
            (None, DistillLoss::Kl) => {
                let head = match path.is_dir() {
                    true => Head::from_token_classifier(path, backbone.encoder.width())?,
                    false => None,
                };
                (None, tags_of(path, head)?)
            }
            (adapter, _) => {
                let (layers, layer) = (backbone.encoder.layers(), distill.layer);
                if layer >= layers {
                    let rule =
                        "it must be a layer below the teacher's last, which is matched in any case";
                    return Err(TrainError::ConfigValue {
                        key: "ner.distill.layer",
                        value: layer.to_string(),
                        rule,
                    });
                }
                let adapter = adapter
                    .as_ref()
                    .map(|directory| Adapter::open_lora(directory, &backbone))
                    .transpose()?;
                (adapter, Says::Vectors { layer: (layer > 0).then_some(layer) })
            }
        };
        let identity = identity::of(path, &backbone, adapter.as_ref())?;
        Ok(Self { backbone, adapter, says, identity })
    }

    /// What tells this teacher from others: its fingerprint, what it computes in, its adapter.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// How many numbers it says about a word, by part: of its last layer or its tags, then of the
    /// other layer.
    pub(super) fn parts(&self) -> Vec<usize> {
        let width = self.backbone.encoder.width();
        match &self.says {
            Says::Vectors { layer } => vec![width; 1 + usize::from(layer.is_some())],
            Says::Scores(head) => vec![head.classes],
        }
    }

    /// D, the number of all of them.
    pub(super) fn width(&self) -> usize {
        self.parts().iter().sum()
    }

    /// All that decides what it says about a word.
    fn contents(&self) -> String {
        let says = match &self.says {
            Says::Vectors { layer: None } => "vectors of the last layer".into(),
            Says::Vectors { layer: Some(layer) } => {
                format!("vectors of the last layer and of layer {layer}")
            }
            Says::Scores(head) => format!("scores {}", identity::checksum(&head.values)),
        };
        let longest = self.backbone.tokenizer.max_tokens();
        format!("{}, {longest} tokens at most, words joined by spaces, {says}", self.identity)
    }

    /// What it says about the words of sentences.
    fn say(&self, sentences: &[&[String]]) -> Vec<Said> {
        let (encoder, tokenizer) = (&self.backbone.encoder, &self.backbone.tokenizer);
        let encoded: Vec<Encoded> =
            sentences.par_iter().map(|words| tokenizer.encode_words(words)).collect();
        let batch = Batch::from_texts(&encoded);
        let (model, layers) = (self.backbone.model(self.adapter.as_ref()), encoder.layers());
        let lower = match &self.says {
            Says::Vectors { layer: Some(layer) } => {
                Some(model.encode_layers(0..*layer, None, &batch))
            } // [T, Ht]
            _ => None,
        };
        let first = match &self.says {
            Says::Vectors { layer: Some(layer) } => *layer,
            _ => 0,
        };
        let last = model.encode_layers(first..layers, lower.as_deref(), &batch); // [T, Ht]
        let said = |(s, encoded): (usize, &Encoded)| {
            let words = encoded.word_to_tokens(sentences[s].len());
            let present = words.iter().map(Option::is_some).collect();
            let tokens: Vec<Range<usize>> = words.into_iter().flatten().collect();
            let width = encoder.width();
            let hidden = |all| batch.rows(s, all, width); // [t, Ht]
            let rows = match &self.says {
                Says::Vectors { .. } => {
                    let pooling = WordPooling { tokens };
                    let parts = [Some(&last), lower.as_ref()].into_iter().flatten();
                    let parts: Vec<Vec<f32>> =
                        parts.map(|all| pooling.forward(hidden(all), width)).collect();
                    beside(&parts, width)
                }
                Says::Scores(head) => {
                    // A word's tag stands at its first token: there classifiers are trained and
                    // read.
                    let first = tokens
                        .iter()
                        .flat_map(|word| &hidden(&last)[word.start * width..][..width]);
                    let (first, mut scores) = (first.copied().collect::<Vec<f32>>(), Vec::new());
                    head.forward(&first, &mut scores); // [m, C]
                    scores
                }
            };
            Said { present, rows: rows.into_iter().map(Bf16::from_f32).collect() }
        };
        encoded.iter().enumerate().map(said).collect()
    }
}

fn tags_of(path: &Path, head: Option<Head>) -> Result<Says> {
    let reason = "ner.distill.loss is kl, which needs scores of tags, but there is no token \
                  classifier here; give a model for token classification, or set \
                  ner.distill.adapter to an NER adapter of this teacher";
    let missing = || TrainError::Teacher { path: path.to_path_buf(), reason: reason.into() };
    head.map(Says::Scores).ok_or_else(missing)
}

/// Matrices of `width` columns side by side.
fn beside(parts: &[Vec<f32>], width: usize) -> Vec<f32> {
    let rows = parts.first().map_or(0, |part| part.len() / width);
    (0..rows)
        .flat_map(|row| {
            parts.iter().flat_map(move |part| part[row * width..][..width].iter().copied())
        })
        .collect()
}
