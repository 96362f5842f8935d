//! The encoder that is trained: one shared by both families or, with cross-stitch, one for each.

use super::{Network, NetworkActivations, NetworkGradients, Pass, SecondEncoder, Stitches};
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::optimizer::{ParameterGroup, Parameters};
use crate::trained::{TrainedAdapter, TrainedEncoder, encoder_group};
use espalier_encoder::{Backbone, Encoder, Family, Gradients, Lora};

/// The encoder that both families train. Its weights are theta. Cross-stitch instead has one
/// encoder per family: theta is then that of NER, and `second` that of classification.
pub(crate) struct SharedEncoder<'a> {
    theta: TrainedEncoder<'a>,
    second: Option<SecondInTraining<'a>>,
    /// Whether the embeddings are trained.
    embeddings: bool,
}

struct SecondInTraining<'a> {
    encoder: TrainedEncoder<'a>,
    stitches: Stitches,
    /// The parameter group of the stitches.
    group: ParameterGroup,
}

/// Where a backward pass adds the gradient of theta.
pub(crate) enum GradientTarget<'g> {
    /// Nowhere. No gradients are computed: the pass is for validation.
    None,
    /// To the gradients of the parameter group.
    Accumulate,
    /// To this buffer, laid out as theta. The caller zeroes it.
    Separate(&'g mut [f32]),
}

impl<'a> SharedEncoder<'a> {
    /// Starts from the weights of the backbone, for both encoders if there are two.
    pub(crate) fn new(backbone: &'a Backbone, config: &PrefinetuneConfig) -> Self {
        let train = &config.train;
        let trained = |trains: bool| {
            let (rate, decay) = (train.learning_rate, train.weight_decay);
            let group = trains.then(|| encoder_group(&backbone.encoder, config, rate, decay));
            TrainedEncoder::new(backbone, config, group)
        };
        let second = || {
            let settings = &config.stitch;
            let layers = backbone.encoder.layers();
            let stitches = Stitches::new(layers, settings.own, settings.other);
            let length = stitches.values.len();
            let all = vec![(0..length, 0.0)];
            let group = ParameterGroup::new(length, settings.learning_rate, all);
            SecondInTraining { encoder: trained(true), stitches, group }
        };
        Self {
            theta: trained(config.strategy.trains_encoder),
            second: config.strategy.family_encoders.then(second),
            embeddings: !train.freeze_embeddings,
        }
    }

    /// The architecture.
    pub(crate) fn encoder(&self) -> &'a Encoder {
        self.theta.encoder()
    }

    /// The accumulated gradient of theta; `None` if theta is frozen.
    pub(crate) fn gradients(&self) -> Option<&[f32]> {
        self.theta.gradients()
    }

    /// As [`SharedEncoder::gradients`], but mutable.
    pub(crate) fn gradients_mut(&mut self) -> Option<&mut [f32]> {
        self.theta.gradients_mut()
    }

    /// The passes of an objective of `family`, through the adapter of that family if there is one.
    ///
    /// # Errors
    /// Those of [`TrainedEncoder::model`].
    pub(crate) fn pass<'p>(
        &'p mut self,
        family: Option<Family>,
        adapter: Option<&'p mut TrainedAdapter>,
        target: GradientTarget<'p>,
        activations: &'p mut NetworkActivations,
    ) -> Result<Pass<'p>> {
        let trains = !matches!(target, GradientTarget::None);
        let (adapter, d_adapter): (Option<&Lora>, _) = match adapter {
            Some(TrainedAdapter { lora, group }) => (Some(lora), Some(&mut *group.gradients)),
            None => (None, None),
        };
        let (model, d_theta) = self.theta.model(adapter)?;
        let own = Gradients {
            weights: match target {
                GradientTarget::None => None,
                GradientTarget::Accumulate => d_theta,
                GradientTarget::Separate(gradient) => Some(gradient),
            },
            embeddings: self.embeddings,
            adapter: d_adapter.filter(|_| trains),
        };
        let (Some(second), Some(family)) = (&mut self.second, family) else {
            let gradients = NetworkGradients { own, ..NetworkGradients::default() };
            return Ok(Pass { network: Network::Single(model), activations, gradients });
        };
        let (other, d_other) = second.encoder.model(None)?;
        let d_other = Gradients {
            weights: d_other.filter(|_| trains),
            embeddings: self.embeddings,
            adapter: None,
        };
        let mut encoders = [(model, own), (other, d_other)];
        if family == Family::Tc {
            encoders.reverse();
        }
        let [(model, own), (other, d_other)] = encoders;
        let network = Network::new(model, Some((other, &second.stitches)), family);
        let stitches = trains.then_some(second.group.gradients.as_mut_slice());
        let gradients = NetworkGradients { own, other: d_other, stitches };
        Ok(Pass { network, activations, gradients })
    }

    /// Everything that is trained.
    pub(crate) fn parameters(&mut self) -> Vec<Parameters<'_>> {
        let mut parameters: Vec<_> = self.theta.parameters("theta").into_iter().collect();
        if let Some(SecondInTraining { encoder, stitches, group }) = &mut self.second {
            // The name in checkpoints, from a time when cross-stitched encoders were called
            // columns.
            parameters.extend(encoder.parameters("column.tc"));
            parameters.push(Parameters::new("stitches", &mut stitches.values, group));
        }
        parameters
    }

    /// Replaces the weights theta.
    ///
    /// # Panics
    /// If the number of weights differs.
    pub(crate) fn load(&mut self, weights: &[f32]) {
        self.theta.load(weights);
    }

    /// The weights theta.
    pub(crate) fn weights(&self) -> &[f32] {
        self.theta.weights()
    }

    /// The current second encoder, if there is one.
    pub(crate) fn second(&self, backbone: &Backbone) -> Option<SecondEncoder> {
        self.second.as_ref().map(|SecondInTraining { encoder, stitches, .. }| SecondEncoder {
            backbone: backbone.with_weights(encoder.weights().to_vec()),
            stitches: stitches.clone(),
        })
    }
}
