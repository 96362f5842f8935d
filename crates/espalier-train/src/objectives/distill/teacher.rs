//! The teacher of distillation: an encoder that gives an output for every word.

use super::words::WordPooling;
use crate::config::{DistillLossKind, NerConfig};
use crate::error::{Result, TrainError};
use crate::objectives::teacher::{Teach, TeacherOutput, checksum, identity};
use espalier_encoder::{Adapter, AnyBackbone, Batch, Encoded, Head, Lora};
use espalier_kernels::Bf16;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;

/// An encoder of any architecture, and the output that the student learns to match.
#[derive(Debug)]
pub struct Teacher {
    backbone: AnyBackbone,
    adapter: Option<Lora>,
    output: OutputKind,
    identity: String,
}

/// The output of the teacher that the student learns to match.
#[derive(Debug)]
enum OutputKind {
    /// Word vectors of the last layer and optionally of a lower one.
    HiddenStates {
        /// The lower layer, counted from 1.
        layer: Option<usize>,
    },
    /// The scores of the teacher's tags.
    Scores(Head),
}

impl Teacher {
    /// Opens the encoder in a directory or packed file. The precision, the adapter and the kind of
    /// output are those of `config`.
    ///
    /// ```
    /// use espalier_encoder::Backbone;
    /// use espalier_train::objectives::Teacher;
    /// use espalier_train::strategy::Strategy;
    /// use espalier_train::trainer::Encoders;
    /// use espalier_train::{PrefinetuneConfig, prefinetune};
    ///
    /// # let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    /// # let fixtures = std::path::Path::new(fixtures);
    /// # let (bert, mpnet) = (fixtures.join("tiny-bert"), fixtures.join("kin/mpnet/model"));
    /// # let directory = tempfile::tempdir()?;
    /// let corpus = directory.path().join("sentences.jsonl");
    /// std::fs::write(&corpus, r#"{"text": "a cheap hotel in london"}"#)?;
    ///
    /// let mut config = PrefinetuneConfig::default();
    /// (config.strategy, config.train.steps) = (Strategy::NER, 2);
    /// config.ner.corpora = vec![corpus.into()];
    /// config.ner.teacher = Some(mpnet.display().to_string());
    /// let (student, teacher) = (Backbone::open(&bert)?, Teacher::open(&mpnet, &config.ner)?);
    /// let encoders = Encoders::from(&student).with_teacher(Some(&teacher));
    /// prefinetune(encoders, &config, |report| assert_eq!(report.losses.len(), 1))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Encoder`] for files that cannot be read and for an adapter of another encoder;
    /// [`TrainError::Teacher`] if the loss is `kl` and the teacher has no tags;
    /// [`TrainError::ConfigValue`] for a layer that the teacher does not have.
    pub fn open(path: &Path, config: &NerConfig) -> Result<Self> {
        let backbone = AnyBackbone::open(path)?.with_compute(config.teacher_precision)?;
        let distill = &config.distill;
        let (adapter, output) = match (&distill.adapter, distill.loss) {
            (Some(directory), DistillLossKind::Kl) => {
                let adapter = Adapter::open(directory, &backbone)?;
                (Some(adapter.lora), scores(directory, adapter.head)?)
            }
            (None, DistillLossKind::Kl) => {
                let head = match path.is_dir() {
                    true => Head::from_token_classifier(path, backbone.encoder.width())?,
                    false => None,
                };
                (None, scores(path, head)?)
            }
            (adapter, _) => {
                let (layers, layer) = (backbone.encoder.layers(), distill.layer);
                if layer >= layers {
                    let (key, value) = ("ner.distill.layer", layer.to_string());
                    let rule = "it must be a layer below the teacher's last, which is always \
                                matched";
                    return Err(TrainError::ConfigValue { key, value, rule });
                }
                let open = |directory| Adapter::open_lora(directory, &backbone);
                let adapter = adapter.as_deref().map(open).transpose()?;
                (adapter, OutputKind::HiddenStates { layer: (layer > 0).then_some(layer) })
            }
        };
        let mut identity = identity(path, &backbone)?;
        if let Some(lora) = &adapter {
            // The values are enough: an adapter of another shape has other values.
            identity += &format!(", adapter {}", checksum(&lora.values));
        }
        Ok(Self { backbone, adapter, output, identity })
    }

    /// A text that identifies the teacher: its fingerprint, its precision and its adapter.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The widths of the parts of its output for a word: the last layer or the tag scores, then the
    /// lower layer.
    pub(super) fn widths(&self) -> Vec<usize> {
        let width = self.backbone.encoder.width();
        match &self.output {
            OutputKind::HiddenStates { layer } => vec![width; 1 + usize::from(layer.is_some())],
            OutputKind::Scores(head) => vec![head.classes],
        }
    }
}

impl Teach for Teacher {
    /// A sentence, as its words.
    type Input = [String];

    fn words(sentence: &[String]) -> Vec<&str> {
        sentence.iter().map(String::as_str).collect()
    }

    fn width(&self) -> usize {
        self.widths().iter().sum()
    }

    fn description(&self) -> String {
        let output = match &self.output {
            OutputKind::HiddenStates { layer: None } => "vectors of the last layer".into(),
            OutputKind::HiddenStates { layer: Some(layer) } => {
                format!("vectors of the last layer and of layer {layer}")
            }
            OutputKind::Scores(head) => format!("scores {}", checksum(&head.values)),
        };
        let longest = self.backbone.tokenizer.max_tokens();
        format!("{}, {longest} tokens at most, words joined by spaces, {output}", self.identity)
    }

    fn infer(&self, sentences: &[&[String]]) -> Vec<TeacherOutput> {
        let (encoder, tokenizer) = (&self.backbone.encoder, &self.backbone.tokenizer);
        let encode = |words: &&[String]| tokenizer.encode_words(words);
        let encoded: Vec<Encoded> = sentences.par_iter().map(encode).collect();
        let batch = Batch::from_texts(&encoded);
        let (model, layers) = (self.backbone.model(self.adapter.as_ref()), encoder.layers());
        let lower_layers = match &self.output {
            OutputKind::HiddenStates { layer: Some(layer) } => *layer,
            _ => 0,
        };
        let lower = || model.encode_layers(0..lower_layers, None, &batch); // [T, Ht]
        let lower = (lower_layers > 0).then(lower);
        let last = model.encode_layers(lower_layers..layers, lower.as_deref(), &batch); // [T, Ht]
        let output = |(s, encoded): (usize, &Encoded)| {
            let words = encoded.word_to_tokens(sentences[s].len());
            let present = words.iter().map(Option::is_some).collect();
            let tokens: Vec<Range<usize>> = words.into_iter().flatten().collect();
            let width = encoder.width();
            let hidden = |all| batch.rows(s, all, width); // [t, Ht]
            let rows = match &self.output {
                OutputKind::HiddenStates { .. } => {
                    let pooling = WordPooling { tokens };
                    let parts = [Some(&last), lower.as_ref()].into_iter().flatten();
                    let parts = parts.map(|all| pooling.forward(hidden(all), width));
                    concatenated(&parts.collect::<Vec<_>>(), width)
                }
                OutputKind::Scores(head) => {
                    // Token classifiers are trained to predict a word's tag at its first token.
                    let rows = tokens.iter().map(|word| &hidden(&last)[word.start * width..]);
                    let first: Vec<f32> = rows.flat_map(|row| &row[..width]).copied().collect();
                    let mut scores = Vec::new();
                    head.forward(&first, &mut scores); // [m, C]
                    scores
                }
            };
            TeacherOutput { present, rows: rows.into_iter().map(Bf16::from_f32).collect() }
        };
        encoded.iter().enumerate().map(output).collect()
    }
}

/// The scores of a head, or the error that there is none.
fn scores(path: &Path, head: Option<Head>) -> Result<OutputKind> {
    let reason = "ner.distill.loss is kl, which needs tag scores, but there is no token \
                  classifier here; give a model for token classification, or set \
                  ner.distill.adapter to an NER adapter of this teacher";
    let missing = || TrainError::Teacher { path: path.to_path_buf(), reason: reason.into() };
    head.map(OutputKind::Scores).ok_or_else(missing)
}

/// Concatenates matrices of `width` columns along the columns.
fn concatenated(parts: &[Vec<f32>], width: usize) -> Vec<f32> {
    let rows = parts.first().map_or(0, |part| part.len() / width);
    let row = |row: usize| parts.iter().flat_map(move |part| &part[row * width..][..width]);
    (0..rows).flat_map(row).copied().collect()
}
