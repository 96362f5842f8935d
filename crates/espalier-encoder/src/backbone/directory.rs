//! Reading a Hugging Face directory.

use super::text_encoder::{TextEncoder, Weights};
use super::{Backbone, SideFile};
use crate::architecture::EncoderConfig;
use crate::digest::hex;
use crate::error::{EncoderError, Result};
use crate::files;
use crate::mlm_head::MlmHead;
use crate::model::Encoder;
use crate::pooling::TextVectors;
use crate::tensors::TensorFile;
use crate::tokenizer::Tokenizer;
use espalier_kernels::Precision;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Files of a model directory that are carried along unchanged when a backbone is saved.
const SIDE_FILES: [&str; 11] = [
    "config.json",
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

impl Backbone {
    pub(super) fn from_directory(directory: &Path) -> Result<Self> {
        let encoder = Encoder::new(EncoderConfig::read(&required(directory, "config.json")?)?);
        let (weights, head) = read_weights(&required(directory, "model.safetensors")?, &encoder)?;
        let max_tokens = max_tokens(directory, &encoder.config)?;
        let tokenizer = Tokenizer::read(directory, encoder.config.vocab_size, max_tokens)?;
        let text_vectors = TextVectors::read(directory)?;
        let side_files = side_files(directory, &SIDE_FILES)?;
        Ok(Self::of_parts(encoder, tokenizer, text_vectors, weights, side_files)
            .with_mlm_head(head))
    }

    pub(super) fn of_parts(
        encoder: Encoder,
        tokenizer: Tokenizer,
        text_vectors: TextVectors,
        weights: Vec<f32>,
        side_files: Vec<SideFile>,
    ) -> Self {
        let text_encoder = TextEncoder {
            fingerprint: fingerprint(&encoder, &weights),
            encoder: Arc::new(encoder),
            tokenizer: Arc::new(tokenizer),
            text_vectors,
            weights: Weights::Memory(Arc::new(weights)),
            precision: Precision::F32,
            packed: OnceLock::new(),
        };
        Self { text_encoder, side_files: Arc::new(side_files), head: None }
    }
}

/// Those of the files that the directory has.
pub(super) fn side_files(directory: &Path, names: &[&'static str]) -> Result<Vec<SideFile>> {
    let there =
        names.iter().map(|name| (*name, directory.join(name))).filter(|(_, path)| path.exists());
    there.map(|(name, path)| Ok((name, files::read_settings(&path)?))).collect()
}

fn required(directory: &Path, file: &'static str) -> Result<PathBuf> {
    let path = directory.join(file);
    match path.exists() {
        true => Ok(path),
        false => Err(EncoderError::MissingFile { directory: directory.to_path_buf(), file }),
    }
}

/// Reads all weights, and the head of masked language modelling if there is one. Names may carry
/// the prefix of task models (`bert.`, say) and the LayerNorm names `gamma` and `beta` of old
/// files; tensors that neither has (pooler, other heads) are left out.
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
    // Every shape is checked before the weights are allocated: config.json alone may claim any
    // size.
    for (spec, name) in specs.iter().zip(&names) {
        file.expect(name, &spec.shape)?;
    }
    let mut weights = vec![0.0; encoder.layout.len()];
    for (spec, name) in specs.iter().zip(&names) {
        file.read_into(name, &spec.shape, &mut weights[spec.range.clone()])?;
    }
    let words = encoder.layout.embeddings.word_embeddings(&weights);
    let head = MlmHead::read(&file, &encoder.config, words, name_in_file)?;
    Ok((weights, head))
}

/// The longest text in tokens: what sentence_bert_config.json says, else what the tokenizer says,
/// and never more than there are position embeddings.
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
    // As a float: tokenizer_config.json writes 1e30 for "no limit".
    let of_sentences = read("sentence_bert_config.json", |limits| limits.max_seq_length)?;
    let of_tokenizer = read("tokenizer_config.json", |limits| limits.model_max_length)?;
    let limit = of_sentences.or(of_tokenizer).map_or(usize::MAX, |limit| limit as usize);
    Ok(limit.max(2).min(config.max_tokens()))
}

/// The backbone's identity: a SHA-256 over the names, shapes and values of its tensors.
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
