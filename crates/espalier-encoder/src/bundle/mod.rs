//! A backbone in one file, for devices: numbers in the type in which they are multiplied, mapped
//! into memory where they lie.
//!
//! The format is described in docs/formats.md.

mod hash;
mod header;
mod read;
mod write;

pub(crate) use read::Bundle;
pub(crate) use write::{Contents, StoredAs, write};

use crate::architecture::EncoderConfig;
use espalier_kernels::Precision;
use header::Type;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The sections of BERT's tokenizer: settings, the text of the vocabulary, and its tokens.
const WORDPIECE: [&str; 3] = ["tokenizer", "vocabulary", "vocabulary.tokens"];
/// The section of any other tokenizer: the file of that name.
pub(crate) const TOKENIZER_JSON: &str = "tokenizer.json";
/// The section of everything that is no matrix: the flat vector of a layout without matrices.
const PARAMETERS: &str = "parameters";
/// The section of the word embeddings.
const WORDS: &str = "words";

/// What the matrices of a packed file are stored in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// All but the following.
    pub dtype: Precision,
    /// Names, as [`crate::Backbone::matrices`] gives them, of matrices that are stored in bf16
    /// instead. In a file of bytes they are multiplied in bf16, or in f32 where that is faster.
    pub in_bf16: BTreeSet<String>,
}

impl Storage {
    fn of(&self, name: &str) -> Precision {
        if self.in_bf16.contains(name) { Precision::Bf16 } else { self.dtype }
    }
}

impl From<Precision> for Storage {
    fn from(dtype: Precision) -> Self {
        Self { dtype, in_bf16: BTreeSet::new() }
    }
}

/// What [`crate::Backbone::pack`] wrote.
#[derive(Clone, Debug)]
pub struct PackedFile {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its sections and the bytes of each, in order.
    pub sections: Vec<(String, usize)>,
}

/// The type of matrices stored in a precision.
fn stored_type(precision: Precision) -> Type {
    match precision {
        Precision::F32 => Type::F32,
        Precision::Bf16 => Type::Bf16,
        Precision::Int8 => Type::Int8,
    }
}

/// Names of all matrices that are stored, with their sizes.
pub(crate) fn matrices(config: &EncoderConfig) -> Vec<(String, usize)> {
    let maps = (0..config.num_hidden_layers).flat_map(|layer| linear_maps(config, layer));
    let words = (WORDS.to_string(), [config.vocab_size, config.hidden_size]);
    std::iter::once(words).chain(maps).map(|(name, shape)| (name, shape.iter().product())).collect()
}

/// Names of the linear maps of a layer, with their outputs and inputs, in the order of
/// [`crate::layout::LayerLayout`].
fn linear_maps(config: &EncoderConfig, layer: usize) -> [(String, [usize; 2]); 4] {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let maps = [
        ("qkv", [3 * hidden, hidden]),
        ("attention_output", [hidden, hidden]),
        ("intermediate", [inner, hidden]),
        ("output", [hidden, inner]),
    ];
    maps.map(|(name, shape)| (format!("layer.{layer}.{name}"), shape))
}

/// The section of the scales of a matrix of bytes.
fn scales_of(name: &str) -> String {
    format!("{name}.scales")
}
