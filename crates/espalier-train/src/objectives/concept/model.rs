//! The model of concept contrast, saved beside the encoder on request: it scores tokens against any
//! concept that has a name.

use super::loss::{ConceptLoss, ConceptProjections};
use crate::error::Result;

use espalier_encoder::tensors::{FloatType, write_tensors};
use espalier_encoder::{Backbone, files};
use serde::Serialize;
use std::path::Path;

/// The version of the format.
const FORMAT: u32 = 1;

/// The concept encoder and the projections. With the trained encoder they are zero-shot NER: a
/// token with the vector h is an instance of the concept with the vector c if sigmoid(scale cos(P
/// h, Q c) + bias) > 1/2.
#[derive(Clone, Debug)]
pub struct ConceptModel {
    /// Gives c, the mean of the name's token vectors.
    pub encoder: Backbone,
    /// P and Q.
    pub projections: ConceptProjections,
    /// scale and bias.
    pub loss: ConceptLoss,
}

impl ConceptModel {
    /// Writes the concept encoder as a Hugging Face directory, P and Q beside it in
    /// `projections.safetensors`, and `concepts.json`. `backbone` is the fingerprint of the encoder
    /// that gives h.
    ///
    /// # Errors
    /// [`TrainError::Encoder`](crate::TrainError::Encoder) when a file cannot be written.
    pub fn save(&self, directory: &Path, backbone: &str) -> Result<()> {
        let width = self.encoder.encoder.width();
        let (p, q) = self.projections.parts();
        let tensors = [("tokens", p), ("concepts", q)]
            .map(|(name, x)| (name.to_string(), vec![width, width], x));
        self.encoder.save(directory)?;
        write_tensors(&directory.join("projections.safetensors"), FloatType::F32, tensors)?;
        let ConceptLoss { scale, bias } = self.loss;
        Ok(files::write_json(
            &directory.join("concepts.json"),
            &Card { format: FORMAT, scale, bias, backbone },
        )?)
    }
}

/// `concepts.json`.
#[derive(Serialize)]
struct Card<'a> {
    format: u32,
    scale: f32,
    bias: f32,
    backbone: &'a str,
}
