//! The model of concept contrast, which a run saves with `ner.keep_concepts`. It scores tokens
//! against the name of any concept.

use super::loss::{ConceptLoss, ConceptProjections};
use crate::error::Result;
use espalier_encoder::tensors::{FloatType, write_tensors};
use espalier_encoder::{Backbone, files};
use serde::Serialize;
use std::path::Path;

/// The version of the format.
const FORMAT: u32 = 1;

/// The concept encoder and the projections. Together with the trained encoder they are a zero-shot
/// NER model: a token with the hidden state h is in an entity of the concept with the vector c if
/// sigmoid(scale cos(P h, Q c) + bias) > 1/2.
#[derive(Clone, Debug)]
pub struct ConceptModel {
    /// The concept encoder: c is the mean of the hidden states of the concept's name.
    pub encoder: Backbone,
    /// P and Q.
    pub projections: ConceptProjections,
    /// The scale and the bias.
    pub loss: ConceptLoss,
}

impl ConceptModel {
    /// Saves the concept encoder as a Hugging Face directory, with P and Q in
    /// `projections.safetensors`, and `concepts.json`. `backbone` is the fingerprint of the trained
    /// encoder.
    ///
    /// # Errors
    /// [`TrainError::Encoder`](crate::TrainError::Encoder) if a file cannot be written.
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
