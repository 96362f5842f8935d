//! How token vectors become one vector per text, and where sentence-transformers says so.

use crate::batch::Batch;
use crate::error::{EncoderError, Result};
use crate::files;
use espalier_kernels::pooling::{cls_pool, cls_pool_backward, mean_pool, mean_pool_backward};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

/// One vector out of the vectors of a text's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over all tokens of the text, special tokens included.
    #[default]
    Mean,
    /// The vector of the first token, `[CLS]`.
    Cls,
}

impl Pooling {
    /// Pools token vectors [T, H] into `out` [n, H].
    pub fn forward(self, hidden: &[f32], batch: &Batch, width: usize, out: &mut Vec<f32>) {
        out.resize(batch.sequences() * width, 0.0);
        match self {
            Pooling::Mean => mean_pool(hidden, &batch.offsets, width, out),
            Pooling::Cls => cls_pool(hidden, &batch.offsets, width, out),
        }
    }

    /// Turns the gradient at the pooled vectors [n, H] into the gradient at the token vectors [T,
    /// H].
    pub fn backward(self, d_pooled: &[f32], batch: &Batch, width: usize, d_hidden: &mut Vec<f32>) {
        d_hidden.resize(batch.tokens() * width, 0.0);
        match self {
            Pooling::Mean => mean_pool_backward(d_pooled, &batch.offsets, width, d_hidden),
            Pooling::Cls => cls_pool_backward(d_pooled, &batch.offsets, width, d_hidden),
        }
    }
}

/// What a sentence-transformers directory says about text vectors; plain directories get mean
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

/// The modes of a pooling configuration that are on, of which sentence-transformers concatenates
/// the vectors: the mode's name in the new schema, one boolean per mode in the old one. What stands
/// there instead of a boolean counts as on, since it says something.
fn modes(file: &Map<String, Value>) -> Vec<&str> {
    if let Some(mode) = file.get("pooling_mode").filter(|mode| !mode.is_null()) {
        return vec![mode.as_str().unwrap_or("what is no name")];
    }
    let on = file.iter().filter(|(_, value)| !value.is_null() && value.as_bool() != Some(false));
    on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect()
}

impl TextVectors {
    /// Reads `modules.json` and the pooling configuration that it names, if the directory has them.
    ///
    /// # Errors
    /// [`EncoderError::Unsupported`] for a pooling or a module that this engine does not have.
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
