//! Hugging Face directories: reading and writing a backbone.

use super::Backbone;
use super::text_encoder::{TextEncoder, Weights};
use crate::architecture::EncoderConfig;
use crate::digest::hex;
use crate::encoder::Encoder;
use crate::error::{EncoderError, Result};
use crate::files;
use crate::mlm_head::MlmHead;
use crate::pooling::TextVectors;
use crate::tensors::{FloatType, TensorFile, tensor_bytes};
use crate::tokenizer::{Tokenizer, TokenizerLimits};
use espalier_kernels::Precision;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// Files that are copied when a backbone is saved.
const COPIED: [&str; 11] = [
    CONFIG,
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
];

/// Name and contents of a file.
pub(super) type CopiedFile = (&'static str, Vec<u8>);

impl Backbone {
    pub(super) fn from_directory(directory: &Path) -> Result<Self> {
        let encoder = Encoder::new(EncoderConfig::read(&required(directory, CONFIG)?)?);
        let (weights, head) = read_weights(&required(directory, WEIGHTS)?, &encoder)?;
        let limits = TokenizerLimits {
            vocabulary: encoder.config.vocab_size,
            max_tokens: max_tokens(directory, &encoder.config)?,
        };
        let tokenizer = Tokenizer::read(directory, limits)?;
        let text_vectors = TextVectors::read(directory)?;
        let copied_files = read_copied(directory, &COPIED)?.into();
        let text_encoder = Self::text_encoder(encoder, tokenizer, text_vectors, weights);
        Ok(Self { text_encoder, copied_files, head: head.map(Arc::new) })
    }

    pub(super) fn text_encoder(
        encoder: Encoder,
        tokenizer: Tokenizer,
        text_vectors: TextVectors,
        weights: Vec<f32>,
    ) -> TextEncoder {
        TextEncoder {
            fingerprint: fingerprint(&encoder, &weights),
            encoder: Arc::new(encoder),
            tokenizer: Arc::new(tokenizer),
            text_vectors,
            weights: Weights::Memory(Arc::new(weights)),
            precision: Precision::F32,
            packed: OnceLock::new(),
        }
    }

    /// Writes a Hugging Face directory that [`Backbone::open`] and transformers read: a model for
    /// masked language modelling (`BertForMaskedLM`) if there is a head for that, else the bare
    /// encoder.
    ///
    /// # Errors
    /// [`EncoderError::Io`] when a file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let (architecture, head) = (self.encoder.config.architecture, self.mlm_head());
        let mut files: Vec<(&str, Cow<[u8]>)> = Vec::new();
        for (name, bytes) in self.copied_files.iter() {
            let bytes = match head {
                Some(_) if *name == CONFIG => {
                    let path = directory.join(name);
                    let config = config_of_class(architecture.description().mlm.class, bytes);
                    files::json_bytes(&path, &config.map_err(EncoderError::json(&path))?)?.into()
                }
                _ => bytes.into(),
            };
            files.push((name, bytes));
        }
        let prefix = head.map_or(String::new(), |_| format!("{}.", architecture.name()));
        let (weights, tensors) = (self.weights(), self.encoder.layout.tensors.iter());
        let tensors = tensors.map(|spec| {
            (format!("{prefix}{}", spec.name), spec.shape.clone(), &weights[spec.range.clone()])
        });
        let head = head.map(|head| head.tensors(architecture)).unwrap_or_default();
        let path = directory.join(WEIGHTS);
        // Last: a directory without weights is not mistaken for a model.
        files.push((WEIGHTS, tensor_bytes(&path, FloatType::F32, tensors.chain(head))?.into()));
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (*name, bytes.as_ref())).collect();
        files::write_set(directory, &files)
    }
}

/// Those of the files `names` that the directory has.
pub(super) fn read_copied(directory: &Path, names: &[&'static str]) -> Result<Vec<CopiedFile>> {
    let present =
        names.iter().map(|name| (*name, directory.join(name))).filter(|(_, path)| path.exists());
    present.map(|(name, path)| Ok((name, files::read_settings(&path)?))).collect()
}

fn required(directory: &Path, file: &'static str) -> Result<PathBuf> {
    let path = directory.join(file);
    match path.exists() {
        true => Ok(path),
        false => Err(EncoderError::MissingFile { directory: directory.to_path_buf(), file }),
    }
}

/// Reads all weights, and the head of masked language modelling if there is one. Names may have the
/// prefix of models with heads (`bert.`, say) and the LayerNorm names `gamma` and `beta` of old
/// files. Other tensors (pooler, other heads) are ignored.
fn read_weights(path: &Path, encoder: &Encoder) -> Result<(Vec<f32>, Option<MlmHead>)> {
    let bytes = files::read(path)?;
    let file = TensorFile::parse(path, &bytes)?;
    let specs = &encoder.layout.tensors;
    let prefix = encoder.config.architecture.name();
    let name_in_file = |name: &str| {
        let old = name
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta");
        let candidates =
            [name.to_string(), format!("{prefix}.{name}"), format!("{prefix}.{old}"), old];
        candidates.into_iter().find(|name| file.shape(name).is_some()).unwrap_or(name.to_string())
    };
    let names: Vec<String> = specs.iter().map(|spec| name_in_file(&spec.name)).collect();
    // All shapes are checked before the weights are allocated: config.json alone may claim any
    // size.
    for (spec, name) in specs.iter().zip(&names) {
        file.expect(name, &spec.shape)?;
    }
    let mut weights = vec![0.0; encoder.layout.len()];
    for (spec, name) in specs.iter().zip(&names) {
        file.read_into(name, &spec.shape, &mut weights[spec.range.clone()])?;
    }
    let embeddings = encoder.layout.embeddings.word_embeddings(&weights);
    let head = MlmHead::read(&file, &encoder.config, embeddings, name_in_file)?;
    Ok((weights, head))
}

/// The longest text in tokens: that of sentence_bert_config.json, else that of the tokenizer, and
/// never more than there are position embeddings.
fn max_tokens(directory: &Path, config: &EncoderConfig) -> Result<usize> {
    #[derive(Deserialize, Default)]
    struct Limits {
        max_seq_length: Option<f64>,
        model_max_length: Option<f64>,
    }
    let read = |name: &str, limit: fn(Limits) -> Option<f64>| -> Result<Option<f64>> {
        let path = directory.join(name);
        let limits = if path.exists() { files::read_json(&path)? } else { Limits::default() };
        match limit(limits) {
            Some(limit) if limit < 1.0 => {
                let what = format!("texts of {limit} tokens; the longest must have at least 1");
                Err(EncoderError::unsupported(&path, what))
            }
            limit => Ok(limit),
        }
    };
    // As a float: tokenizer_config.json has 1e30 for "no limit".
    let of_sentences = read("sentence_bert_config.json", |limits| limits.max_seq_length)?;
    let of_tokenizer = read("tokenizer_config.json", |limits| limits.model_max_length)?;
    let limit = of_sentences.or(of_tokenizer).map_or(usize::MAX, |limit| limit as usize);
    Ok(limit.max(2).min(config.max_tokens()))
}

/// A backbone's identity: a SHA-256 over the names, shapes and values of its tensors.
pub(super) fn fingerprint(encoder: &Encoder, weights: &[f32]) -> String {
    let mut hash = Sha256::new();
    let mut bytes = Vec::new();
    for spec in &encoder.layout.tensors {
        hash.update(format!("{}{:?}", spec.name, spec.shape));
        for values in weights[spec.range.clone()].chunks(1 << 14) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            hash.update(&bytes);
        }
    }
    format!("sha256:{}", hex(&hash.finalize()))
}

/// A config.json for a class of transformers whose head is tied to the word embeddings.
fn config_of_class(class: &str, config: &[u8]) -> serde_json::Result<Map<String, Value>> {
    let mut config: Map<String, Value> = serde_json::from_slice(config)?;
    config.insert("architectures".into(), [class].into_iter().collect());
    config.remove("tie_word_embeddings");
    Ok(config)
}
