//! A backbone: an encoder's weights with its tokenizer and pooling.
//!
//! [`Backbone`] holds all weights in f32 in memory, from and to a Hugging Face directory.
//! [`PackedBackbone`] is one that was packed into a file for inference. [`AnyBackbone`] is either,
//! and [`TextEncoder`] is what both can do.

mod any;
mod directory;
mod fresh;
mod packed;
mod text_encoder;

pub use any::AnyBackbone;
pub use packed::PackedBackbone;
pub use text_encoder::TextEncoder;

use crate::bundle::{self, Contents, PackedFile, Storage, StoredAs, TOKENIZER_JSON};
use crate::compute::Compute;
use crate::error::{EncoderError, Result};
use crate::files::{self, Staged};
use crate::mlm_head::MlmHead;
use crate::tensors::{FloatType, tensor_bytes};
use directory::fingerprint;
use espalier_kernels::Precision;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use text_encoder::Weights;

/// The file of the weights.
const WEIGHTS: &str = "model.safetensors";

/// A backbone with all weights in f32 in memory: it can be run, trained, saved and packed.
#[derive(Clone, Debug)]
pub struct Backbone {
    text_encoder: TextEncoder,
    /// Files of the directory that are carried along unchanged when the backbone is saved.
    side_files: Arc<Vec<SideFile>>,
    /// The head of masked language modelling, if the model came with one.
    head: Option<Arc<MlmHead>>,
}

/// Name and contents of a file beside the weights.
type SideFile = (&'static str, Vec<u8>);

impl Backbone {
    /// Reads a Hugging Face directory: config.json, model.safetensors, and tokenizer.json or
    /// vocab.txt; sentence-transformers' modules.json, pooling and sentence_bert_config.json where
    /// present.
    ///
    /// # Errors
    /// [`EncoderError`] naming the file and what is wrong with it, and
    /// [`EncoderError::InferenceOnly`] for a packed file. Nothing is allocated by a size that has
    /// not been checked against the weights' file.
    pub fn open(path: &Path) -> Result<Self> {
        AnyBackbone::open(path)?.into_trainable()
    }

    /// The same model with other weights, to which no head belongs.
    ///
    /// # Panics
    /// If there are more or fewer weights than the architecture has.
    pub fn with_weights(&self, weights: Vec<f32>) -> Self {
        let old = &self.text_encoder;
        assert_eq!(
            weights.len(),
            old.encoder.layout.len(),
            "with_weights: another number of weights"
        );
        let text_encoder = TextEncoder {
            fingerprint: fingerprint(&old.encoder, &weights),
            weights: Weights::Memory(Arc::new(weights)),
            packed: OnceLock::new(),
            ..old.clone()
        };
        Self { text_encoder, side_files: self.side_files.clone(), head: None }
    }

    /// All weights, laid out as the encoder's layout says.
    pub fn weights(&self) -> &[f32] {
        self.text_encoder.flat_weights()
    }

    /// The head of masked language modelling, if the model's file holds one whose scores are by the
    /// word embeddings.
    pub fn mlm_head(&self) -> Option<&MlmHead> {
        self.head.as_deref()
    }

    /// The same model with a head of masked language modelling, or without one.
    pub fn with_mlm_head(self, head: Option<MlmHead>) -> Self {
        Self { head: head.map(Arc::new), ..self }
    }

    /// The same model, computing in another precision. The weights stay f32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { text_encoder: self.text_encoder.with_precision(precision), ..self }
    }

    /// [`Backbone::with_precision`] by a setting.
    pub fn with_compute(self, compute: Compute) -> Self {
        self.with_precision(compute.precision())
    }

    /// Writes a Hugging Face directory that [`Backbone::open`] and transformers read: with a head
    /// of masked language modelling one of the class for that (`BertForMaskedLM`), else one of the
    /// bare encoder.
    ///
    /// # Errors
    /// [`EncoderError::Io`] when a file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let (architecture, head) = (self.encoder.config.architecture, self.mlm_head());
        let mut files: Vec<(&str, Cow<[u8]>)> = Vec::new();
        for (name, bytes) in self.side_files.iter() {
            let bytes = match head {
                Some(_) if *name == "config.json" => {
                    let path = directory.join(name);
                    let config = of_class(architecture.description().mlm.class, bytes);
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
        // Last: without weights nobody takes the rest for a model.
        files.push((WEIGHTS, tensor_bytes(&path, FloatType::F32, tensors.chain(head))?.into()));
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (*name, bytes.as_ref())).collect();
        files::write_set(directory, &files)
    }

    /// Names of the matrices that a packed file stores, each with its number of elements: the word
    /// embeddings, and the linear maps of each layer.
    pub fn matrices(&self) -> Vec<(String, usize)> {
        bundle::matrices(&self.encoder.config)
    }

    /// Writes the backbone as one file for inference, its matrices and word embeddings rounded as
    /// `storage` says: a precision, with or without exceptions. [`PackedBackbone::open`] opens it.
    ///
    /// The file has this backbone's fingerprint, so that adapters of this backbone attach to it as
    /// well. It replaces one that is there by another file of its name: whoever has that one mapped
    /// keeps it.
    ///
    /// # Errors
    /// As [`Backbone::save`], and [`EncoderError::NotFinite`] for weights that are, or are rounded
    /// to, no finite numbers.
    pub fn pack(&self, storage: impl Into<Storage>, path: &Path) -> Result<PackedFile> {
        let (file, staged) = self.pack_staged(storage, path)?;
        staged.publish()?;
        Ok(file)
    }

    /// [`Backbone::pack`] up to the last step: the file can be opened where it is staged, and has
    /// no other name until it is published.
    ///
    /// # Errors
    /// As [`Backbone::pack`].
    pub fn pack_staged(
        &self,
        storage: impl Into<Storage>,
        path: &Path,
    ) -> Result<(PackedFile, Staged)> {
        let json = self.side_files.iter().find(|&&(name, _)| name == TOKENIZER_JSON);
        let json = json.map_or(&[][..], |(_, bytes)| bytes);
        let contents = Contents {
            encoder: &self.encoder,
            weights: self.weights(),
            fingerprint: self.fingerprint(),
            text_vectors: self.text_vectors,
            max_tokens: self.tokenizer.max_tokens(),
            tokenizer: self.tokenizer.serialize().map_or(StoredAs::Json(json), StoredAs::WordPiece),
        };
        bundle::write(contents, &storage.into(), path)
    }
}

impl Deref for Backbone {
    type Target = TextEncoder;

    fn deref(&self) -> &TextEncoder {
        &self.text_encoder
    }
}

impl AsRef<TextEncoder> for Backbone {
    fn as_ref(&self) -> &TextEncoder {
        self
    }
}

impl From<Backbone> for TextEncoder {
    fn from(backbone: Backbone) -> Self {
        backbone.text_encoder
    }
}

/// A config.json of this class of transformers, in which the scores' matrix is that of the word
/// embeddings.
fn of_class(class: &str, config: &[u8]) -> serde_json::Result<Map<String, Value>> {
    let mut config: Map<String, Value> = serde_json::from_slice(config)?;
    config.insert("architectures".into(), [class].into_iter().collect());
    config.remove("tie_word_embeddings");
    Ok(config)
}
