//! A packed backbone: all of a backbone in one file for inference, with numbers in the type in
//! which they are multiplied, used in place where the file is mapped into memory.
//!
//! docs/formats.md describes the format.

mod header;
mod read;
mod write;
mod xxh64;

pub(crate) use read::{MappedWeights, open};
pub(crate) use write::{Contents, TokenizerContents, write};

use crate::architecture::EncoderConfig;
use espalier_kernels::Precision;
use header::Type;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The sections of BERT's tokenizer: settings, the text of the vocabulary, and its tokens.
const WORDPIECE: [&str; 3] = ["tokenizer", "vocabulary", "vocabulary.tokens"];
/// The section of any other tokenizer: the file of that name.
pub(crate) const TOKENIZER_JSON: &str = "tokenizer.json";
/// The section of everything that is not a matrix: the flat vector of a layout without matrices.
const PARAMETERS: &str = "parameters";
/// The section of the word embeddings.
const WORD_EMBEDDINGS: &str = "words";

/// The number types of the matrices in a packed backbone.
///
/// ```
/// use espalier_encoder::{Precision, Storage};
///
/// let storage = Storage::from(Precision::Int8).with_bf16(["layer.0.qkv"]);
/// assert_eq!(storage.dtype, Precision::Int8);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Storage {
    /// Of all matrices but the following.
    pub dtype: Precision,
    /// Names, as in [`Backbone::matrices`](crate::Backbone::matrices), of matrices that are stored
    /// in bf16 instead. In a file of bytes they are multiplied in bf16, or in f32 where that is
    /// faster.
    pub in_bf16: BTreeSet<String>,
}

impl Storage {
    /// With these matrices in bf16.
    pub fn with_bf16(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        Self { in_bf16: names.into_iter().map(Into::into).collect(), ..self }
    }

    fn dtype_of(&self, name: &str) -> Precision {
        if self.in_bf16.contains(name) { Precision::Bf16 } else { self.dtype }
    }
}

impl From<Precision> for Storage {
    fn from(dtype: Precision) -> Self {
        Self { dtype, in_bf16: BTreeSet::new() }
    }
}

/// The file that [`Backbone::pack`](crate::Backbone::pack) wrote.
#[derive(Clone, Debug)]
pub struct PackedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its sections, each with its size in bytes, in order.
    pub sections: Vec<(String, usize)>,
}

/// The section type of matrices that are stored in this precision.
fn type_of(precision: Precision) -> Type {
    match precision {
        Precision::F32 => Type::F32,
        Precision::Bf16 => Type::Bf16,
        Precision::Int8 => Type::Int8,
    }
}

/// Names of all matrices, each with its number of elements.
pub(crate) fn matrices(config: &EncoderConfig) -> Vec<(String, usize)> {
    let layers = (0..config.num_hidden_layers).flat_map(|layer| linear_layers(config, layer));
    let embeddings = (WORD_EMBEDDINGS.to_string(), [config.vocab_size, config.hidden_size]);
    std::iter::once(embeddings)
        .chain(layers)
        .map(|(name, shape)| (name, shape.iter().product()))
        .collect()
}

/// Names of the linear layers of a transformer layer, each with its outputs and inputs, in the
/// order of [`LayerLayout::linear_layers`](crate::layout::LayerLayout::linear_layers).
fn linear_layers(config: &EncoderConfig, layer: usize) -> [(String, [usize; 2]); 4] {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let layers = [
        ("qkv", [3 * hidden, hidden]),
        ("attention_output", [hidden, hidden]),
        ("intermediate", [inner, hidden]),
        ("output", [hidden, inner]),
    ];
    layers.map(|(name, shape)| (format!("layer.{layer}.{name}"), shape))
}

/// The section with the scales of a matrix of bytes.
fn scales_of(name: &str) -> String {
    format!("{name}.scales")
}
