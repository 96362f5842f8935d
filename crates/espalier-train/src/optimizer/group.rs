//! Parameter groups: the settings, gradients and moments of parameters that are updated alike.

use super::Schedule;
use espalier_encoder::{Encoder, PackedWeights};
use espalier_kernels::optimizer::sum_of_squares;
use std::ops::Range;

/// Settings, gradients and moments of parameters that are updated alike. The values of the
/// parameters are not stored here; see [`Parameters`].
#[derive(Debug)]
pub struct ParameterGroup {
    /// The gradients, laid out as the values. They are zero at first and after each step.
    pub gradients: Vec<f32>,
    pub(super) first_moment: Vec<f32>,
    pub(super) second_moment: Vec<f32>,
    /// The peak learning rate.
    pub(super) learning_rate: f32,
    /// The schedule and the number of warm-up steps, if not those of the optimizer.
    pub(super) schedule: Option<(Schedule, usize)>,
    /// The group is updated in one of this many steps.
    pub(super) update_every: usize,
    /// The ranges that are trained, each with its weight decay. All other values are frozen.
    pub(super) trained: Vec<(Range<usize>, f32)>,
}

impl ParameterGroup {
    /// A group of `length` parameters. `trained` are the ranges to train, each with its weight
    /// decay; all other parameters are frozen.
    pub fn new(length: usize, learning_rate: f32, trained: Vec<(Range<usize>, f32)>) -> Self {
        let (first_moment, second_moment) = (Vec::new(), Vec::new());
        Self {
            gradients: vec![0.0; length],
            first_moment,
            second_moment,
            learning_rate,
            schedule: None,
            update_every: 1,
            trained,
        }
    }

    /// The same group with its own learning rate schedule and number of warm-up steps.
    pub fn with_schedule(self, schedule: Schedule, warmup: usize) -> Self {
        Self { schedule: Some((schedule, warmup)), ..self }
    }

    /// The same group, for parameters that are passed to the optimizer only in one of `steps`
    /// steps. The bias correction of Adam counts only these. Zero means one.
    pub fn updated_every(self, steps: usize) -> Self {
        Self { update_every: steps.max(1), ..self }
    }

    /// Allocates the moments, which a group that is never updated does not need.
    pub(super) fn allocate_moments(&mut self) {
        for moment in [&mut self.first_moment, &mut self.second_moment] {
            moment.resize(self.gradients.len(), 0.0);
        }
    }

    /// The first and the second moment.
    pub(crate) fn moments(&mut self) -> (&mut [f32], &mut [f32]) {
        self.allocate_moments();
        (&mut self.first_moment, &mut self.second_moment)
    }

    pub(super) fn sum_of_squares(&self) -> f64 {
        self.trained.iter().map(|(range, _)| sum_of_squares(&self.gradients[range.clone()])).sum()
    }
}

/// The values of parameters, with their group.
#[derive(Debug)]
pub struct Parameters<'a> {
    /// The name in checkpoints.
    pub name: &'static str,
    /// The values.
    pub values: &'a mut [f32],
    /// The parameter group.
    pub group: &'a mut ParameterGroup,
    /// If the values are the weights of an encoder: its packed weights, which are packed again
    /// after each update.
    pub packed: Option<(&'a Encoder, &'a mut PackedWeights)>,
}

impl<'a> Parameters<'a> {
    /// Parameters that are not the weights of an encoder.
    pub fn new(name: &'static str, values: &'a mut [f32], group: &'a mut ParameterGroup) -> Self {
        Self { name, values, group, packed: None }
    }

    /// Packs the weights of an encoder again.
    pub(crate) fn repack(&mut self) {
        if let Some((encoder, packed)) = &mut self.packed {
            packed.pack(encoder, self.values);
        }
    }
}
