//! What the teachers of both families have in common: outputs that a cache can keep, an identity,
//! and the linear map from the student's vectors to them.

mod cache;

pub(super) use cache::CachedTeacher;

use crate::error::Result;
use crate::initialization::uniform;
use espalier_data::sampling::generator;
use espalier_encoder::digest::{hex, sha256_of_file};
use espalier_encoder::{EncoderError, Head, TextEncoder};
use espalier_kernels::Bf16;
use sha2::{Digest, Sha256};
use std::path::Path;

/// An encoder that a student learns to match.
pub(crate) trait Teach {
    /// What the teacher reads.
    type Input: ?Sized;

    /// The words of an input that may have an output.
    fn words(input: &Self::Input) -> Vec<&str>;

    /// A text with everything that the output for a word depends on: the key of the cache.
    fn description(&self) -> String;

    /// D, the width of the output for a word.
    fn width(&self) -> usize;

    /// The output for each input.
    fn infer(&self, inputs: &[&Self::Input]) -> Vec<TeacherOutput>;
}

/// The teacher's output for the words of an input, in bfloat16.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TeacherOutput {
    /// For each word whether it has an output. Truncated words, and words without tokens, have
    /// none.
    pub(crate) present: Vec<bool>,
    /// The outputs of the words that have one, [m, D].
    pub(crate) rows: Vec<Bf16>,
}

impl TeacherOutput {
    /// For each word its output of `width` numbers, if it has one.
    pub(crate) fn words(&self, width: usize) -> impl Iterator<Item = Option<&[Bf16]>> {
        let mut rows = self.rows.chunks_exact(width);
        self.present.iter().map(move |&present| if present { rows.next() } else { None })
    }
}

/// The encoder's fingerprint, its precision, and the checksum of a packed file, whose numbers may
/// be rounded.
pub(super) fn identity(path: &Path, encoder: &TextEncoder) -> Result<String> {
    let mut identity = format!("{} in {}", encoder.fingerprint(), encoder.precision());
    if path.is_file() {
        let checksum = sha256_of_file(path).map_err(EncoderError::io(path))?;
        identity += &format!(", packed sha256:{checksum}");
    }
    Ok(identity)
}

/// The SHA-256 of values.
pub(super) fn checksum(values: &[f32]) -> String {
    let mut hash = Sha256::new();
    values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    format!("sha256:{}", hex(&hash.finalize()))
}

/// The initial map from the student's vectors, of width H, to the teacher's, of width D: the
/// identity if they have the same width, otherwise [`random_map`].
pub(super) fn initial_projection(width: usize, outputs: usize, seed: u64, name: &str) -> Head {
    if width != outputs {
        return random_map(width, outputs, seed, name);
    }
    let mut values = vec![0.0; width * width + width];
    (0..width).for_each(|i| values[i * width + i] = 1.0);
    Head { classes: width, values }
}

/// A random map from H to D numbers. `name` is the name of its parameters in checkpoints.
pub(super) fn random_map(width: usize, outputs: usize, seed: u64, name: &str) -> Head {
    let purpose = name.trim_start_matches("objective.").replace('.', " ");
    Head::random_init(width, outputs, uniform(&mut generator(seed, &purpose)))
}
