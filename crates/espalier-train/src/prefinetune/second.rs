//! The second column of a run, where each family has its own: theta is then the NER family's, and
//! this the classification family's.

use super::pass::{Beside, Pass};
use super::theta_group;
use crate::columns::{SecondColumn, StitchedActivations, Stitches};
use crate::config::PrefinetuneConfig;
use crate::optimizer::Group;
use espalier_encoder::{Backbone, Encoder, Family, Gradients, Model, PackedWeights};

/// The column and the stitches, and what trains them.
pub(super) struct Second {
    pub(super) values: SecondValues,
    packed: PackedWeights,
    pub(super) theta: Group,
    pub(super) stitch_group: Group,
    activations: StitchedActivations,
}

/// What is trained.
#[derive(Clone, Debug)]
pub(super) struct SecondValues {
    pub(super) weights: Vec<f32>,
    pub(super) stitches: Stitches,
}

impl SecondValues {
    /// The column as others see it.
    pub(super) fn column(self, backbone: &Backbone) -> SecondColumn {
        SecondColumn { backbone: backbone.with_weights(self.weights), stitches: self.stitches }
    }
}

impl Second {
    /// A column that starts where the first one does.
    pub(super) fn new(backbone: &Backbone, config: &PrefinetuneConfig) -> Self {
        let (encoder, weights) = (&backbone.encoder, backbone.weights().to_vec());
        let stitches = Stitches::new(encoder.layers(), config.stitch.own, config.stitch.other);
        let length = stitches.values.len();
        Self {
            packed: PackedWeights::new(encoder, &weights, config.train.precision.precision()),
            values: SecondValues { weights, stitches },
            theta: theta_group(encoder, config),
            stitch_group: Group::new(length, config.stitch.learning_rate, vec![(0..length, 0.0)]),
            activations: StitchedActivations::default(),
        }
    }

    /// A family's pass through both columns, from one through the first alone.
    pub(super) fn join<'a>(&'a mut self, first: Pass<'a>, family: Family) -> Pass<'a> {
        let Self {
            values: SecondValues { weights, stitches },
            packed,
            theta,
            stitch_group,
            activations,
        } = self;
        let trains = first.gradients.weights.is_some();
        let gradients = Gradients {
            weights: trains.then_some(theta.gradients.as_mut_slice()),
            embeddings: first.gradients.embeddings,
            adapter: None,
        };
        let mut columns =
            [(first.model, first.gradients), (Model { weights, packed, ..first.model }, gradients)];
        if family == Family::Tc {
            columns.reverse();
        }
        let [(model, gradients), (other, other_gradients)] = columns;
        let beside = Beside {
            model: other,
            stitches,
            family,
            activations,
            gradients: other_gradients,
            stitch_gradients: trains.then_some(stitch_group.gradients.as_mut_slice()),
        };
        Pass { model, activations: first.activations, gradients, beside: Some(beside) }
    }

    /// All that is trained, with what trains it.
    pub(super) fn groups(&mut self) -> [(&mut [f32], &mut Group); 2] {
        let SecondValues { weights, stitches } = &mut self.values;
        [(weights, &mut self.theta), (&mut stitches.values, &mut self.stitch_group)]
    }

    /// Makes the products follow the weights.
    pub(super) fn pack(&mut self, encoder: &Encoder) {
        self.packed.pack(encoder, &self.values.weights);
    }
}
