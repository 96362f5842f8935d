//! From hidden states to one vector per text, and the files of sentence-transformers that say how.

use crate::batch::Batch;
use crate::error::{EncoderError, Result};
use crate::files;
use espalier_kernels::pooling::{cls_pool, cls_pool_backward, mean_pool, mean_pool_backward};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// How the hidden states of a text's tokens become one vector.
///
/// ```
/// use espalier_encoder::{Batch, Pooling};
///
/// let batch = Batch::new([[0, 1].as_slice(), &[2]]);
/// let hidden = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // [T, H]
/// let mut vectors = Vec::new(); // [n, H]
/// Pooling::Mean.forward(&hidden, &batch, 2, &mut vectors);
/// assert_eq!(vectors, [2.0, 3.0, 5.0, 6.0]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens of the text, special tokens included.
    #[default]
    Mean,
    /// The hidden state of the first token, `[CLS]`.
    Cls,
}

impl Pooling {
    /// Pools hidden states [T, H] into `out` [n, H]; `width` is H.
    pub fn forward(self, hidden: &[f32], batch: &Batch, width: usize, out: &mut Vec<f32>) {
        out.resize(batch.sequences() * width, 0.0);
        match self {
            Pooling::Mean => mean_pool(hidden, &batch.offsets, width, out),
            Pooling::Cls => cls_pool(hidden, &batch.offsets, width, out),
        }
    }

    /// From the gradient at the pooled vectors [n, H] to that at the hidden states [T, H].
    pub fn backward(self, d_pooled: &[f32], batch: &Batch, width: usize, d_hidden: &mut Vec<f32>) {
        d_hidden.resize(batch.tokens() * width, 0.0);
        match self {
            Pooling::Mean => mean_pool_backward(d_pooled, &batch.offsets, width, d_hidden),
            Pooling::Cls => cls_pool_backward(d_pooled, &batch.offsets, width, d_hidden),
        }
    }
}

/// How text vectors are made, as a sentence-transformers directory says. Other directories get mean
/// pooling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextVectors {
    /// The pooling.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length one after pooling.
    pub normalize: bool,
}

#[derive(Deserialize)]
struct ModuleEntry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The pooling modes that a configuration turns on; sentence-transformers concatenates the vectors
/// of several. The new schema has the mode's name, the old one a boolean per mode, where anything
/// that is neither null nor false counts as on.
fn modes(file: &Map<String, Value>) -> Vec<&str> {
    if let Some(mode) = file.get("pooling_mode").filter(|mode| !mode.is_null()) {
        return vec![mode.as_str().unwrap_or("a mode that is not a name")];
    }
    let on = file.iter().filter(|(_, value)| !value.is_null() && value.as_bool() != Some(false));
    on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect()
}

impl TextVectors {
    /// Reads `modules.json` and the pooling configuration that it names, if the directory has them.
    ///
    /// # Errors
    /// [`EncoderError::Unsupported`] for a pooling mode or a module that is not implemented.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("modules.json");
        if !path.exists() {
            return Ok(Self::default());
        }
        let mut vectors = Self::default();
        for module in files::read_json::<Vec<ModuleEntry>>(&path)? {
            if !files::stays_below(module.path.as_ref()) {
                let what = format!(
                    "\"path\" {:?} leads out of this directory; name one inside it",
                    module.path
                );
                return Err(EncoderError::unsupported(&path, what));
            }
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Pooling" => {
                    vectors.pooling =
                        read_pooling(&directory.join(&module.path).join("config.json"))?
                }
                "Normalize" => vectors.normalize = true,
                other => {
                    let what = format!(
                        "module {other:?} is not supported; supported: Transformer, Pooling, \
                         Normalize"
                    );
                    return Err(EncoderError::unsupported(&path, what));
                }
            }
        }
        Ok(vectors)
    }
}

fn read_pooling(path: &Path) -> Result<Pooling> {
    let file = files::read_json(path)?;
    match modes(&file).as_slice() {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::Cls),
        modes => {
            let what = format!(
                "pooling by {modes:?} is not supported; supported: either \"mean\" or \"cls\""
            );
            Err(EncoderError::unsupported(path, what))
        }
    }
}
