//! A backbone: an encoder's weights with its tokenizer and pooling.
//!
//! [`Backbone`] has all weights in memory, in f32, and is read from and written to a Hugging Face
//! directory. [`PackedBackbone`] is one that was packed into a file for inference. [`AnyBackbone`]
//! is either, and [`TextEncoder`] is what both can do.

mod any;
mod directory;
mod packed;
mod random_init;
mod text_encoder;

pub use any::AnyBackbone;
pub use packed::PackedBackbone;
pub use text_encoder::TextEncoder;

use crate::compute::Compute;
use crate::error::Result;
use crate::files::Staged;
use crate::mlm_head::MlmHead;
use crate::packed_file::{self, Contents, PackedFile, Storage, TOKENIZER_JSON, TokenizerContents};
use directory::{CopiedFile, fingerprint};
use espalier_kernels::Precision;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use text_encoder::Weights;

/// A backbone with all weights in memory, in f32. It can be run, trained, saved and packed.
///
/// It dereferences to [`TextEncoder`], and is `Send + Sync`: threads may share it.
///
/// ```
/// use espalier_encoder::{Backbone, Batch};
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// let text = backbone.tokenizer.encode("a cheap hotel in london");
/// let hidden = backbone.model(None).encode(&Batch::from_texts([&text])); // [T, H]
/// assert_eq!(hidden.len(), text.ids.len() * backbone.encoder.width());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Backbone {
    text_encoder: TextEncoder,
    /// Files that are copied when the backbone is saved.
    copied_files: Arc<[CopiedFile]>,
    /// The head of masked language modelling, if the model has one.
    head: Option<Arc<MlmHead>>,
}

impl fmt::Debug for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut shown = f.debug_struct("Backbone");
        shown.field("text_encoder", &self.text_encoder).finish_non_exhaustive()
    }
}

impl Backbone {
    /// Reads a Hugging Face directory: config.json, model.safetensors, and tokenizer.json or
    /// vocab.txt; sentence-transformers' modules.json, pooling and sentence_bert_config.json if
    /// they are there.
    ///
    /// # Errors
    /// [`EncoderError`](crate::EncoderError) naming the file and what is wrong with it, and
    /// [`InferenceOnly`](crate::EncoderError::InferenceOnly) for a packed backbone. No size is
    /// allocated that has not been checked against the weights' file.
    pub fn open(path: &Path) -> Result<Self> {
        AnyBackbone::open(path)?.into_trainable()
    }

    /// The same model with other weights, and without a head.
    ///
    /// # Panics
    /// If the number of weights is not that of the architecture.
    pub fn with_weights(&self, weights: Vec<f32>) -> Self {
        let old = &self.text_encoder;
        let expected = old.encoder.layout.len();
        assert_eq!(weights.len(), expected, "with_weights: another number of weights");
        let text_encoder = TextEncoder {
            fingerprint: fingerprint(&old.encoder, &weights),
            weights: Weights::Memory(Arc::new(weights)),
            packed: OnceLock::new(),
            ..old.clone()
        };
        Self { text_encoder, copied_files: self.copied_files.clone(), head: None }
    }

    /// All weights, laid out as the encoder's layout says.
    pub fn weights(&self) -> &[f32] {
        self.text_encoder.flat_weights()
    }

    /// The head of masked language modelling, if the model has one that is tied to the word
    /// embeddings.
    pub fn mlm_head(&self) -> Option<&MlmHead> {
        self.head.as_deref()
    }

    /// The same model with this head of masked language modelling, or without one.
    pub fn with_mlm_head(self, head: Option<MlmHead>) -> Self {
        Self { head: head.map(Arc::new), ..self }
    }

    /// The same model, computing in another precision. The weights stay in f32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { text_encoder: self.text_encoder.with_precision(precision), ..self }
    }

    /// As [`Backbone::with_precision`].
    pub fn with_compute(self, compute: Compute) -> Self {
        self.with_precision(compute.precision())
    }

    /// Names of the matrices in a packed backbone, each with its number of elements: the word
    /// embeddings, and the linear layers of each transformer layer.
    pub fn matrices(&self) -> Vec<(String, usize)> {
        packed_file::matrices(&self.encoder.config)
    }

    /// Packs the backbone into a file for inference, with its matrices rounded to the number types
    /// of `storage`, which may be just a [`Precision`].
    ///
    /// The file has this backbone's fingerprint, so adapters of this backbone fit it, too. An
    /// existing file is replaced and not changed: programs that have it mapped keep the old one.
    ///
    /// ```
    /// use espalier_encoder::{Backbone, PackedBackbone, Precision};
    ///
    /// # fn main() -> Result<(), espalier_encoder::EncoderError> {
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
    /// # let file = std::env::temp_dir().join(format!("packed-{}.espalier", std::process::id()));
    /// let backbone = Backbone::open(path.as_ref())?;
    /// backbone.pack(Precision::Int8, &file)?;
    /// let packed = PackedBackbone::open(&file)?;
    /// assert_eq!(packed.precision(), Precision::Int8);
    /// assert_eq!(packed.fingerprint(), backbone.fingerprint());
    /// # let _ = std::fs::remove_file(file);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`EncoderError::Io`](crate::EncoderError::Io) when the file cannot be written,
    /// [`NotFinite`](crate::EncoderError::NotFinite) for weights that are not finite, or not finite
    /// after rounding.
    pub fn pack(&self, storage: impl Into<Storage>, path: &Path) -> Result<PackedFile> {
        let (file, staged) = self.pack_staged(storage, path)?;
        staged.publish()?;
        Ok(file)
    }

    /// As [`Backbone::pack`], but leaves the file under a temporary name, where it can be opened,
    /// until it is published.
    ///
    /// # Errors
    /// As [`Backbone::pack`].
    pub fn pack_staged(
        &self,
        storage: impl Into<Storage>,
        path: &Path,
    ) -> Result<(PackedFile, Staged)> {
        let json = || {
            let file = self.copied_files.iter().find(|&&(name, _)| name == TOKENIZER_JSON);
            TokenizerContents::Json(file.map_or(&[][..], |(_, bytes)| bytes))
        };
        let contents = Contents {
            encoder: &self.encoder,
            weights: self.weights(),
            fingerprint: self.fingerprint(),
            text_vectors: self.text_vectors,
            max_tokens: self.tokenizer.max_tokens(),
            tokenizer: self.tokenizer.serialize().map_or_else(json, TokenizerContents::WordPiece),
        };
        packed_file::write(contents, &storage.into(), path)
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
