//! A model that can be trained.

use super::Model;
use crate::error::{EncoderError, Result};
use espalier_kernels::Precision;
use std::ops::Deref;

/// A [`Model`] that can be trained: all its weights are in the flat vector, in f32, and its matrix
/// products are in f32 or bf16. It dereferences to [`Model`].
///
/// [`TextEncoder::trainable_model`](crate::TextEncoder::trainable_model) makes one; the
/// [module](crate::model) has an example.
#[derive(Clone, Copy, Debug)]
pub struct TrainableModel<'a>(Model<'a>);

impl<'a> TrainableModel<'a> {
    /// The model, if it can be trained.
    ///
    /// # Errors
    /// [`EncoderError::NotTrainable`] for int8, and for weights whose matrices are only packed.
    pub fn new(model: Model<'a>) -> Result<Self> {
        if model.packed.precision() == Precision::Int8 {
            let reason = "a model in int8 is for inference; train in f32 or bf16";
            return Err(EncoderError::NotTrainable { reason });
        }
        if !model.encoder.layout.has_matrices() {
            let reason = "the weights of a packed backbone are for inference; train on the \
                          directory that it was packed from";
            return Err(EncoderError::NotTrainable { reason });
        }
        Ok(Self(model))
    }
}

impl<'a> Deref for TrainableModel<'a> {
    type Target = Model<'a>;

    fn deref(&self) -> &Model<'a> {
        &self.0
    }
}

impl<'a> AsRef<Model<'a>> for TrainableModel<'a> {
    fn as_ref(&self) -> &Model<'a> {
        &self.0
    }
}

impl<'a> AsRef<Model<'a>> for Model<'a> {
    fn as_ref(&self) -> &Model<'a> {
        self
    }
}
