//! Small BERT-like encoders: Hugging Face weights and tokenizers, ragged batches, forward and
//! backward, LoRA adapters.
//!
//! A [`Backbone`] is read from a Hugging Face directory, or from the one file that
//! [`Backbone::pack`] makes of it. Its [`Model`] turns a [`Batch`] of token ids into token vectors,
//! with an [`Adapter`]'s low-rank updates or without, and gives gradients for training.
//!
//! ```no_run
//! use espalier_encoder::{Backbone, Batch};
//!
//! let backbone = Backbone::open("all-MiniLM-L6-v2".as_ref())?;
//! let text = backbone.tokenizer.encode("One trunk, many branches.");
//! let batch = Batch::new([text.ids.as_slice()]);
//! let hidden = backbone.model(None).encode(&batch); // [T, H]
//! assert_eq!(hidden.len(), text.ids.len() * backbone.encoder.width());
//! # Ok::<(), espalier_encoder::EncoderError>(())
//! ```

pub mod adapter;
mod architecture;
mod backbone;
mod batch;
mod bundle;
mod compute;
pub mod decode;
pub mod digest;
mod error;
pub mod files;
mod fill_mask;
mod head;
pub mod layout;
pub mod lora;
pub mod memory;
mod mlm_head;
pub mod model;
pub mod packed;
mod pooling;
mod staged;
pub mod tags;
pub mod tensors;
pub mod text;
mod threads;
mod tokenizer;

pub use adapter::{Adapter, AdapterCard, Family, Output};
pub use architecture::{Architecture, EncoderConfig, Module};
pub use backbone::{AnyBackbone, Backbone, PackedBackbone, TextEncoder};
pub use batch::Batch;
pub use bundle::{PackedFile, Storage};
pub use compute::Compute;
#[cfg(feature = "tokenizers")]
pub use error::catch_panic;
pub use error::{EncoderError, Result};
pub use espalier_kernels::Precision;
pub use fill_mask::MaskPrediction;
pub use head::{Head, best_class};
pub use lora::{Lora, LoraConfig};
pub use mlm_head::{MlmHead, Transformed};
pub use model::{Activations, Adapters, Encoder, Gradients, Model};
pub use packed::{PackedLora, PackedWeights};
pub use pooling::{Pooling, TextVectors};
pub use threads::check_threads;
pub use tokenizer::{Encoded, SerializedTokenizer, Tokenizer};
#[cfg(feature = "tokenizers")]
pub use tokenizer::{TrainedTokenizer, VocabularyConfig};
