//! A backbone: an encoder's weights with its tokenizer and pooling, from and to a Hugging Face
//! directory, or from one file.

mod directory;
mod fresh;

use crate::bundle::{
    self, Bundle, Contents, Opened, PackedFile, Storage, StoredAs, TOKENIZER_JSON,
};
use crate::compute::Compute;
use crate::error::{EncoderError, Result};
use crate::files::{self, Staged};
use crate::lora::Lora;
use crate::mlm_head::MlmHead;
use crate::model::{Encoder, Model};
use crate::packed::PackedWeights;
use crate::pooling::TextVectors;
use crate::tensors::{Stored, tensor_bytes};
use crate::tokenizer::Tokenizer;
use directory::fingerprint;
use espalier_kernels::Precision;
use espalier_kernels::mapped::Mapped;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The file of the weights.
const WEIGHTS: &str = "model.safetensors";

/// An encoder ready to read text.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// The architecture.
    pub encoder: Arc<Encoder>,
    /// Its tokenizer, limited to the length the model itself declares.
    pub tokenizer: Arc<Tokenizer>,
    /// How this model's text vectors are made.
    pub text_vectors: TextVectors,
    source: Source,
    precision: Precision,
    /// Made when a model is first asked for.
    packed: OnceLock<Arc<PackedWeights>>,
    fingerprint: String,
}

/// Name and contents of a file beside the weights.
type SideFile = (&'static str, Vec<u8>);

/// Where a backbone's numbers are.
#[derive(Clone, Debug)]
enum Source {
    /// In memory, all in f32.
    Memory {
        weights: Vec<f32>,
        /// Files of the directory that are carried along unchanged when the backbone is saved.
        side_files: Arc<Vec<SideFile>>,
        /// The head of masked language modelling, if the model came with one.
        head: Option<Arc<MlmHead>>,
    },
    /// In a mapped file, as they were stored.
    Bundle(Arc<Bundle>),
}

impl Backbone {
    /// Reads a Hugging Face directory: config.json, model.safetensors, and tokenizer.json or
    /// vocab.txt; sentence-transformers' modules.json, pooling and sentence_bert_config.json where
    /// present. Or opens the one file that [`Backbone::pack`] wrote: its matrices are packed when a
    /// model is first asked for, and its word embeddings are read in place.
    ///
    /// A packed file stays mapped and must not be written to meanwhile, only replaced by another of
    /// its name: see [`espalier_kernels::mapped::Mapped`]. For files that somebody may write to
    /// there is [`Backbone::open_copied`].
    ///
    /// # Errors
    /// [`EncoderError`] naming the file and what is wrong with it. Nothing is allocated by a size
    /// that has not been checked against the weights' file.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_by(path, Mapped::open)
    }

    /// [`Backbone::open`], but a packed file is copied into memory, all of it, and may change
    /// afterwards. Directories always are.
    ///
    /// # Errors
    /// As [`Backbone::open`].
    pub fn open_copied(path: &Path) -> Result<Self> {
        Self::open_by(path, Mapped::copy)
    }

    fn open_by(path: &Path, bytes: fn(&Path) -> io::Result<Arc<Mapped>>) -> Result<Self> {
        files::exists(path)?;
        match path.is_dir() {
            true => Self::from_directory(path),
            false => Ok(Self::from_bundle(Bundle::open(path, bytes)?)),
        }
    }

    fn from_bundle(opened: Opened) -> Self {
        Self {
            encoder: Arc::new(opened.encoder),
            tokenizer: Arc::new(opened.tokenizer),
            text_vectors: opened.text_vectors,
            precision: opened.bundle.dtype,
            source: Source::Bundle(Arc::new(opened.bundle)),
            packed: OnceLock::new(),
            fingerprint: opened.fingerprint,
        }
    }

    /// The same model with other weights, to which no head belongs.
    ///
    /// # Panics
    /// If there are more or fewer weights than the architecture has, or the backbone is not
    /// [`Backbone::trainable`].
    pub fn with_weights(&self, weights: Vec<f32>) -> Self {
        let Source::Memory { side_files, .. } = &self.source else {
            panic!("with_weights: a packed backbone is for inference");
        };
        assert_eq!(
            weights.len(),
            self.encoder.layout.len(),
            "with_weights: another number of weights"
        );
        let fingerprint = fingerprint(&self.encoder, &weights);
        let source = Source::Memory { weights, side_files: side_files.clone(), head: None };
        Self { fingerprint, source, packed: OnceLock::new(), ..self.clone() }
    }

    /// The head of masked language modelling, if the model's file holds one whose scores are by the
    /// word embeddings.
    pub fn mlm_head(&self) -> Option<&MlmHead> {
        match &self.source {
            Source::Memory { head, .. } => head.as_deref(),
            Source::Bundle(_) => None,
        }
    }

    /// The same model with a head of masked language modelling, or without one.
    ///
    /// # Panics
    /// If the backbone is not [`Backbone::trainable`].
    pub fn with_mlm_head(self, new: Option<MlmHead>) -> Self {
        let Source::Memory { weights, side_files, .. } = self.source else {
            panic!("with_mlm_head: a packed backbone is for inference");
        };
        let source = Source::Memory { weights, side_files, head: new.map(Arc::new) };
        Self { source, ..self }
    }

    /// The same model, computing in another precision. Weights stay what they are: f32 in memory,
    /// and in a packed file what it was packed as, which can be multiplied as it is, bf16 in f32
    /// too, and f32 in any precision.
    ///
    /// # Errors
    /// [`EncoderError::StoredPrecision`] for a packed file that cannot be computed with in this
    /// precision.
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        if let Source::Bundle(bundle) = &self.source
            && !bundle.computes_in(precision)
        {
            let (path, stored) = (bundle.path.clone(), bundle.dtype);
            return Err(EncoderError::StoredPrecision { path, stored, asked: precision });
        }
        let packed = if precision == self.precision { self.packed } else { OnceLock::new() };
        Ok(Self { precision, packed, ..self })
    }

    /// What the model computes in: f32, or what a packed file stores, unless
    /// [`Backbone::with_precision`] has said otherwise.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// [`Backbone::with_precision`] as settings say it; [`Compute::Auto`] leaves a packed file of
    /// bf16 or bytes at what it stores.
    ///
    /// # Errors
    /// As [`Backbone::with_precision`].
    pub fn with_compute(self, compute: Compute) -> Result<Self> {
        match compute {
            Compute::Auto if self.trainable().is_err() && self.precision != Precision::F32 => {
                Ok(self)
            }
            compute => self.with_precision(compute.precision()),
        }
    }

    /// Checks that the backbone has all weights in f32, which training, saving and packing need.
    ///
    /// # Errors
    /// [`EncoderError::InferenceOnly`] for one that was opened from a packed file.
    pub fn trainable(&self) -> Result<()> {
        self.in_memory().map(|_| ())
    }

    fn in_memory(&self) -> Result<(&[f32], &[SideFile])> {
        match &self.source {
            Source::Memory { weights, side_files, .. } => Ok((weights, side_files)),
            Source::Bundle(bundle) => {
                Err(EncoderError::InferenceOnly { path: bundle.path.clone() })
            }
        }
    }

    /// Writes a Hugging Face directory that [`Backbone::open`] and transformers read: with a head
    /// of masked language modelling one of the class for that (`BertForMaskedLM`), else one of the
    /// bare encoder.
    ///
    /// # Errors
    /// [`EncoderError::Io`] when a file cannot be written, [`EncoderError::InferenceOnly`] as
    /// [`Backbone::trainable`].
    pub fn save(&self, directory: &Path) -> Result<()> {
        let (weights, side_files) = self.in_memory()?;
        let (architecture, head) = (self.encoder.config.architecture, self.mlm_head());
        let mut files: Vec<(&str, Cow<[u8]>)> = Vec::new();
        for (name, bytes) in side_files {
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
        let tensors = self.encoder.layout.tensors.iter();
        let tensors = tensors.map(|spec| {
            (format!("{prefix}{}", spec.name), spec.shape.clone(), &weights[spec.range.clone()])
        });
        let head = head.map(|head| head.tensors(architecture)).unwrap_or_default();
        let path = directory.join(WEIGHTS);
        // Last: without weights nobody takes the rest for a model.
        files.push((WEIGHTS, tensor_bytes(&path, Stored::F32, tensors.chain(head))?.into()));
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
    /// `storage` says: a precision, with or without exceptions.
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
    /// As [`Backbone::save`].
    pub fn pack_staged(
        &self,
        storage: impl Into<Storage>,
        path: &Path,
    ) -> Result<(PackedFile, Staged)> {
        let (weights, side_files) = self.in_memory()?;
        let json = side_files.iter().find(|&&(name, _)| name == TOKENIZER_JSON);
        let json = json.map_or(&[][..], |(_, bytes)| bytes);
        let contents = Contents {
            encoder: &self.encoder,
            weights,
            fingerprint: &self.fingerprint,
            text_vectors: self.text_vectors,
            max_tokens: self.tokenizer.max_tokens(),
            tokenizer: self.tokenizer.stored().map_or(StoredAs::Json(json), StoredAs::WordPiece),
        };
        bundle::write(contents, &storage.into(), path)
    }

    /// All weights, laid out as the encoder's layout says: of a packed file, which is laid out
    /// without matrices, the others.
    pub fn weights(&self) -> &[f32] {
        match &self.source {
            Source::Memory { weights, .. } => weights,
            Source::Bundle(bundle) => &bundle.parameters,
        }
    }

    /// The backbone's identity: a SHA-256 over the names, shapes and values of its tensors, before
    /// they were packed.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The model, with an adapter on or without.
    pub fn model<'a>(&'a self, adapter: Option<&'a Lora>) -> Model<'a> {
        let packed = self.packed.get_or_init(|| Arc::new(self.packed_weights()));
        Model { encoder: &self.encoder, weights: self.weights(), packed, adapter }
    }

    fn packed_weights(&self) -> PackedWeights {
        match &self.source {
            Source::Memory { weights, .. } => {
                PackedWeights::new(&self.encoder, weights, self.precision)
            }
            Source::Bundle(bundle) => {
                let (layers, words) = (&bundle.layers, bundle.words.clone());
                let packed =
                    PackedWeights::stored(&self.encoder.config, layers, words, self.precision);
                bundle.release();
                packed
            }
        }
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
