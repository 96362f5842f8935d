//! Small BERT-like encoders: models, tokenizers and adapters, for training and for inference.
//!
//! A [`Backbone`] is read from a Hugging Face directory: an encoder's weights with its tokenizer
//! and pooling. Its [`Model`] turns a [`Batch`] of token ids into hidden states, one vector per
//! token, and computes gradients for training:
//!
//! ```
//! use espalier_encoder::{Backbone, Batch};
//!
//! # fn main() -> Result<(), espalier_encoder::EncoderError> {
//! # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
//! let backbone = Backbone::open(directory.as_ref())?;
//! let texts = ["One trunk,", "many branches."].map(|text| backbone.tokenizer.encode(text));
//! let batch = Batch::from_texts(&texts);
//! let hidden = backbone.model(None).encode(&batch); // [T, H]
//!
//! let (width, mut vectors) = (backbone.encoder.width(), Vec::new());
//! backbone.text_vectors.pooling.forward(&hidden, &batch, width, &mut vectors); // [n, H]
//! assert_eq!(vectors.len(), 2 * width);
//! # Ok(())
//! # }
//! ```
//!
//! Shapes in this documentation: T tokens and n sequences of a batch, H the width of hidden states,
//! F that inside the feed-forward block, V the vocabulary, C classes, r the rank of a LoRA. All
//! matrices are row-major.
//!
//! # Backbones
//!
//! - [`Backbone`]: all weights in memory, in f32. It can be run, trained, saved and
//!   [packed](Backbone::pack) into a file for inference.
//! - [`PackedBackbone`]: such a file. It is mapped into memory, smaller, and opens in milliseconds.
//! - [`AnyBackbone`]: either, for programs that take both.
//! - [`TextEncoder`]: what all of them can do. They dereference to it.
//!
//! [`Architecture::ALL`] lists the supported kinds of encoders.
//!
//! # Adapters
//!
//! An [`Adapter`] is a [`Lora`] on the last layers, usually with a [`Head`], and a card that says
//! what it answers. It is saved in PEFT's format. [`tags`] and [`decode`] are about the entities
//! that taggers find.
//!
//! # Training
//!
//! [`TrainableModel::forward`] saves what [`TrainableModel::backward`] needs in [`Activations`].
//! Weights, gradients and optimizer state are flat vectors, and a [`Layout`](layout::Layout) says
//! where each tensor is. The [`model`] module has the formulas and an example. Optimizers and
//! objectives are in `espalier-train`.
//!
//! # Threads
//!
//! [`Backbone`], [`PackedBackbone`], [`AnyBackbone`], [`Adapter`] and [`Tokenizer`] are `Send +
//! Sync`. Computation uses the current rayon thread pool; results do not depend on the number of
//! threads. A process that was forked after the pool had started cannot use it: [`check_threads`].
//!
//! # Untrusted files
//!
//! Files may come from anywhere. Sizes are checked before memory is allocated, numbers must be
//! finite, and what is wrong is an [`EncoderError`] that names the file. Text from files goes into
//! messages through [`text`], which escapes control characters.

pub mod adapter;
mod architecture;
mod backbone;
mod batch;
mod compute;
pub mod decode;
pub mod digest;
mod encoder;
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
mod packed_file;
mod pooling;
pub mod tags;
pub mod tensors;
pub mod text;
mod tokenizer;

pub use adapter::{Adapter, AdapterCard, Family, Output};
pub use architecture::{Architecture, EncoderConfig, Module};
pub use backbone::{AnyBackbone, Backbone, PackedBackbone, TextEncoder};
pub use batch::Batch;
pub use compute::{Compute, check_threads};
pub use encoder::Encoder;
#[cfg(feature = "tokenizers")]
pub use error::catch_panic;
pub use error::{EncoderError, Result};
pub use espalier_kernels::Precision;
pub use fill_mask::MaskPrediction;
pub use head::{Head, best_class};
pub use lora::{Lora, LoraConfig};
pub use mlm_head::{MlmHead, Transformed};
pub use model::{Activations, Adapters, Gradients, LayerInput, Model, TrainableModel};
pub use packed::{PackedLora, PackedWeights};
pub use packed_file::{PackedFile, Storage};
pub use pooling::{Pooling, TextVectors};
pub use tokenizer::{Encoded, SerializedTokenizer, Tokenizer, TokenizerLimits};
#[cfg(feature = "tokenizers")]
pub use tokenizer::{TrainedTokenizer, VocabularyConfig};
