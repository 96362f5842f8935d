//! The concept encoder: from the names of concepts to vectors.

use crate::config::{ConceptEncoderKind, PrefinetuneConfig};
use crate::error::Result;
use crate::optimizer::Parameters;
use crate::trained::{TrainedEncoder, encoder_group, with_own_schedule};
use espalier_encoder::{Activations, Backbone, Batch, Encoded, Gradients, Pooling};
use std::collections::HashMap;

/// Encodes the names of concepts. The vector of a concept is the mean of the hidden states of its
/// name.
pub(super) enum ConceptEncoder<'a> {
    /// The backbone before training. Each name is encoded once.
    Frozen { backbone: &'a Backbone, cache: HashMap<String, Vec<f32>> },
    /// A second encoder, which is trained.
    Trained(Box<Trained<'a>>),
}

/// A second encoder, which starts from the weights of the backbone.
pub(super) struct Trained<'a> {
    backbone: &'a Backbone,
    encoder: TrainedEncoder<'a>,
    /// Whether the embeddings are trained.
    embeddings: bool,
    activations: Activations,
    /// The names of the last forward pass.
    batch: Batch,
}

impl<'a> ConceptEncoder<'a> {
    pub(super) fn new(backbone: &'a Backbone, config: &PrefinetuneConfig) -> Self {
        match config.ner.concept_encoder {
            ConceptEncoderKind::Frozen => Self::Frozen { backbone, cache: HashMap::new() },
            ConceptEncoderKind::Trained => Self::Trained(Box::new(Trained::new(backbone, config))),
        }
    }

    /// The vectors of the concepts with these names, [J, H].
    pub(super) fn forward(&mut self, names: &[&str]) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Frozen { backbone, cache } => {
                let missing: Vec<&str> =
                    names.iter().copied().filter(|name| !cache.contains_key(*name)).collect();
                if !missing.is_empty() {
                    let batch = batch_of(backbone, &missing);
                    let vectors =
                        mean_pooled(backbone, &backbone.model(None).encode(&batch), &batch);
                    let vectors =
                        vectors.chunks_exact(backbone.encoder.width()).map(<[f32]>::to_vec);
                    cache.extend(missing.into_iter().map(String::from).zip(vectors));
                }
                names.iter().flat_map(|name| cache[*name].iter().copied()).collect()
            }
            Self::Trained(trained) => trained.forward(names)?,
        })
    }

    /// Adds the gradients of a trained encoder. `d_vectors` [J, H] is the gradient with respect to
    /// the result of the last [`ConceptEncoder::forward`].
    pub(super) fn backward(&mut self, d_vectors: &[f32]) -> Result<()> {
        match self {
            Self::Trained(trained) => trained.backward(d_vectors),
            Self::Frozen { .. } => Ok(()),
        }
    }

    /// The current encoder.
    pub(super) fn backbone(&self) -> Backbone {
        match self {
            Self::Frozen { backbone, .. } => (*backbone).clone(),
            Self::Trained(trained) => {
                trained.backbone.with_weights(trained.encoder.weights().to_vec())
            }
        }
    }
}

impl<'a> Trained<'a> {
    fn new(backbone: &'a Backbone, config: &PrefinetuneConfig) -> Self {
        let settings = &config.ner.concept_group;
        let (rate, decay) = (settings.learning_rate, settings.weight_decay);
        let group = encoder_group(&backbone.encoder, config, rate, decay);
        Self {
            backbone,
            encoder: TrainedEncoder::new(
                backbone,
                config,
                Some(with_own_schedule(group, config, settings)),
            ),
            embeddings: !config.train.freeze_embeddings,
            activations: Activations::default(),
            batch: Batch::default(),
        }
    }

    pub(super) fn parameters(&mut self) -> Option<Parameters<'_>> {
        self.encoder.parameters("objective.ner.concept_encoder")
    }

    fn forward(&mut self, names: &[&str]) -> Result<Vec<f32>> {
        self.batch = batch_of(self.backbone, names);
        let (model, _) = self.encoder.model(None)?;
        model.forward(&self.batch, &mut self.activations);
        Ok(mean_pooled(self.backbone, self.activations.output(), &self.batch))
    }

    fn backward(&mut self, d_vectors: &[f32]) -> Result<()> {
        if d_vectors.is_empty() {
            return Ok(()); // a batch without entities has no concepts
        }
        let (width, mut d_hidden) = (self.backbone.encoder.width(), Vec::new());
        Pooling::Mean.backward(d_vectors, &self.batch, width, &mut d_hidden);
        let (model, weights) = self.encoder.model(None)?;
        let gradients = Gradients { weights, embeddings: self.embeddings, adapter: None };
        model.backward(&self.batch, &mut self.activations, &mut d_hidden, gradients);
        Ok(())
    }
}

fn batch_of(backbone: &Backbone, names: &[&str]) -> Batch {
    let encoded: Vec<Encoded> = names.iter().map(|name| backbone.tokenizer.encode(name)).collect();
    Batch::from_texts(&encoded)
}

/// The means [J, H] of the hidden states of each name.
fn mean_pooled(backbone: &Backbone, hidden: &[f32], batch: &Batch) -> Vec<f32> {
    let mut vectors = Vec::new();
    Pooling::Mean.forward(hidden, batch, backbone.encoder.width(), &mut vectors);
    vectors
}
