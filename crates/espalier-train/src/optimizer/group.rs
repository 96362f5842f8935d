//! Parameter groups: values that are trained, and the state that trains them.

use super::Schedule;
use espalier_encoder::{Encoder, PackedWeights};
use espalier_kernels::optimizer::sum_of_squares;
use std::ops::Range;

/// The settings and the optimizer state of parameters that are updated alike. Their values live
/// elsewhere; gradients and moments live here.
#[derive(Debug)]
pub struct ParameterGroup {
    /// Gradients, laid out as the values. They are accumulated from zero, and are zero again after
    /// each step.
    pub gradients: Vec<f32>,
    pub(super) first_moment: Vec<f32>,
    pub(super) second_moment: Vec<f32>,
    /// Peak learning rate.
    pub(super) learning_rate: f32,
    /// Schedule and warm-up steps, if not the optimizer's.
    pub(super) schedule: Option<(Schedule, usize)>,
    /// It is updated in one of this many steps.
    pub(super) update_every: usize,
    /// The ranges that are trained, each with its weight decay; all others are frozen.
    pub(super) trained: Vec<(Range<usize>, f32)>,
}

impl ParameterGroup {
    /// A group of `length` parameters, of which the ranges `trained` are trained, each with its own
    /// weight decay.
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

    /// The same group with a learning rate schedule of its own.
    pub fn with_schedule(self, schedule: Schedule, warmup: usize) -> Self {
        Self { schedule: Some((schedule, warmup)), ..self }
    }

    /// The same group, passed to the optimizer in one of `steps` steps only: the bias correction of
    /// its moments counts these alone. Zero counts as one.
    pub fn updated_every(self, steps: usize) -> Self {
        Self { update_every: steps.max(1), ..self }
    }

    /// The moments, allocated when they are first asked for.
    pub(crate) fn moments(&mut self) -> (&mut [f32], &mut [f32]) {
        for moment in [&mut self.first_moment, &mut self.second_moment] {
            moment.resize(self.gradients.len(), 0.0);
        }
        (&mut self.first_moment, &mut self.second_moment)
    }

    pub(super) fn sum_of_squares(&self) -> f64 {
        self.trained.iter().map(|(range, _)| sum_of_squares(&self.gradients[range.clone()])).sum()
    }
}

/// Values that are trained, with the group that trains them.
#[derive(Debug)]
pub struct Parameters<'a> {
    /// Their name in checkpoints.
    pub name: &'static str,
    /// The values.
    pub values: &'a mut [f32],
    /// What trains them.
    pub group: &'a mut ParameterGroup,
    /// Where the values are an encoder's weights: what the model multiplies by, packed again after
    /// each update.
    pub packed: Option<(&'a Encoder, &'a mut PackedWeights)>,
}

impl<'a> Parameters<'a> {
    /// Values that are no encoder's weights.
    pub fn new(name: &'static str, values: &'a mut [f32], group: &'a mut ParameterGroup) -> Self {
        Self { name, values, group, packed: None }
    }

    /// Makes the packed weights follow the values.
    pub(crate) fn repack(&mut self) {
        if let Some((encoder, packed)) = &mut self.packed {
            packed.pack(encoder, self.values);
        }
    }
}
