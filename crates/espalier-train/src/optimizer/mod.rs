//! Optimizers over parameter groups, each with its own learning rate, weight decay and schedule.

mod group;

pub use group::{ParameterGroup, Parameters};

use crate::error::{Result, TrainError};
use espalier_kernels::optimizer::{AdamWStep, Moments, SgdStep, adamw, sgd};
use serde::{Deserialize, Serialize};

/// The update rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW (arXiv 1711.05101): beta 0.9 and 0.999, eps 1e-8, decoupled decay, bias correction.
    #[default]
    AdamW,
    /// Plain gradient descent, without momentum; decay is decoupled as in AdamW.
    Sgd,
}

/// How the learning rate changes over a run, after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays the same.
    Constant,
    /// Linearly down to zero.
    #[default]
    Linear,
    /// Down to zero along half a cosine.
    Cosine,
}

impl Schedule {
    /// Factor of the learning rate at `step` (from 0) of `steps`, after a linear warm-up over the
    /// first `warmup` steps.
    ///
    /// The first step of a run of one has factor 1 without warm-up.
    pub fn factor(self, step: usize, steps: usize, warmup: usize) -> f32 {
        if step < warmup {
            return (step + 1) as f32 / warmup as f32;
        }
        let done = (step - warmup) as f32 / (steps - warmup).max(1) as f32;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - done,
            Self::Cosine => 0.5 * (1.0 + (std::f32::consts::PI * done).cos()),
        }
    }
}

/// The settings of an optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// The update rule.
    pub kind: OptimizerKind,
    /// The learning rate schedule of groups that have none of their own.
    pub schedule: Schedule,
    /// Steps of the whole run.
    pub steps: usize,
    /// Steps over which the learning rate rises.
    pub warmup: usize,
    /// Gradients are scaled down to this global norm over all groups; zero means no clipping.
    pub clip_norm: f32,
}

/// An optimizer and its position in the schedule.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    steps_done: usize,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSummary {
    /// Global norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Factor of the optimizer's own schedule.
    pub learning_rate_factor: f32,
}

impl Optimizer {
    /// An optimizer at the first step.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, steps_done: 0 }
    }

    /// Whether it keeps moments of the gradients.
    pub(crate) fn has_moments(&self) -> bool {
        self.config.kind == OptimizerKind::AdamW
    }

    /// Continues as after this many steps.
    pub(crate) fn seek(&mut self, steps_done: usize) {
        self.steps_done = steps_done;
    }

    /// Updates the values of all `parameters` by their gradients, packs them again where they are
    /// an encoder's weights, and sets the gradients to zero.
    ///
    /// # Errors
    /// [`TrainError::GradientNotFinite`], before anything is updated.
    pub fn step(&mut self, parameters: &mut [Parameters]) -> Result<StepSummary> {
        let squares = parameters.iter().map(|parameters| parameters.group.sum_of_squares());
        let gradient_norm = squares.sum::<f64>().sqrt();
        if !gradient_norm.is_finite() {
            let step = self.steps_done + 1;
            return Err(TrainError::GradientNotFinite { step, batches: Vec::new() });
        }
        let OptimizerConfig { schedule, steps, warmup, clip_norm, .. } = self.config;
        let (own, done) = ((schedule, warmup), self.steps_done);
        let factor = |(schedule, warmup): (Schedule, usize)| schedule.factor(done, steps, warmup);
        let scale = match clip_norm > 0.0 {
            true => (clip_norm as f64 / (gradient_norm + 1e-6)).min(1.0) as f32,
            false => 1.0,
        };
        self.steps_done += 1;
        for parameters in parameters {
            let factor = factor(parameters.group.schedule.unwrap_or(own));
            self.update(parameters.values, parameters.group, factor, scale);
            parameters.repack();
        }
        Ok(StepSummary { gradient_norm, learning_rate_factor: factor(own) })
    }

    fn update(
        &self,
        values: &mut [f32],
        group: &mut ParameterGroup,
        factor: f32,
        gradient_scale: f32,
    ) {
        let learning_rate = group.learning_rate * factor;
        if self.has_moments() {
            group.moments();
        }
        for (range, weight_decay) in &group.trained {
            let (range, weight_decay) = (range.clone(), *weight_decay);
            let values = &mut values[range.clone()];
            let gradients = &mut group.gradients[range.clone()];
            match self.config.kind {
                OptimizerKind::Sgd => {
                    let step = SgdStep { learning_rate, weight_decay, gradient_scale };
                    sgd(step, values, gradients);
                }
                OptimizerKind::AdamW => {
                    let step = AdamWStep {
                        learning_rate,
                        weight_decay,
                        beta1: 0.9,
                        beta2: 0.999,
                        eps: 1e-8,
                        step: self.steps_done.div_ceil(group.update_every) as u64,
                        gradient_scale,
                    };
                    let moments = Moments {
                        first: &mut group.first_moment[range.clone()],
                        second: &mut group.second_moment[range],
                    };
                    adamw(step, values, gradients, moments);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn optimizer(
        kind: OptimizerKind,
        schedule: Schedule,
        steps: usize,
        clip_norm: f32,
    ) -> Optimizer {
        Optimizer::new(OptimizerConfig { kind, schedule, steps, warmup: 0, clip_norm })
    }

    #[test]
    fn schedules_rise_and_fall() {
        let at = |schedule: Schedule, step| schedule.factor(step, 10, 2);
        assert_eq!([at(Schedule::Linear, 0), at(Schedule::Linear, 1)], [0.5, 1.0]);
        assert_eq!(
            [at(Schedule::Linear, 2), at(Schedule::Linear, 6), at(Schedule::Constant, 9)],
            [1.0, 0.5, 1.0]
        );
        assert!((at(Schedule::Cosine, 6) - 0.5).abs() < 1e-6);
        assert_eq!(
            Schedule::Linear.factor(0, 1, 0),
            1.0,
            "a run of one step trains at the full rate"
        );
    }

    #[test]
    fn clipping_is_by_the_norm_over_all_groups() {
        // Gradients 3 and 4: norm 5; clipped to 1 they are 0.6 and 0.8, and SGD at rate 1 subtracts
        // them.
        let (mut x, mut y) = (vec![1.0], vec![1.0]);
        let (mut a, mut b) = (
            ParameterGroup::new(1, 1.0, vec![(0..1, 0.0)]),
            ParameterGroup::new(1, 1.0, vec![(0..1, 0.0)]),
        );
        (a.gradients[0], b.gradients[0]) = (3.0, 4.0);
        let mut optimizer = optimizer(OptimizerKind::Sgd, Schedule::Constant, 1, 1.0);
        let summary = optimizer
            .step(&mut [Parameters::new("x", &mut x, &mut a), Parameters::new("y", &mut y, &mut b)])
            .unwrap();
        assert!((summary.gradient_norm - 5.0).abs() < 1e-6);
        assert!((x[0] - 0.4).abs() < 1e-5 && (y[0] - 0.2).abs() < 1e-5);
    }

    #[test]
    fn a_gradient_that_is_no_number_updates_nothing() {
        let mut values = vec![1.0];
        let mut group = ParameterGroup::new(1, 0.1, vec![(0..1, 0.0)]);
        group.gradients[0] = f32::NAN;
        let mut optimizer = optimizer(OptimizerKind::AdamW, Schedule::Constant, 1, 1.0);
        let refused = optimizer.step(&mut [Parameters::new("x", &mut values, &mut group)]);
        assert!(matches!(refused, Err(TrainError::GradientNotFinite { step: 1, .. })));
        assert_eq!(values, [1.0]);
    }

    #[test]
    fn groups_may_have_schedules_of_their_own() {
        let group = || ParameterGroup::new(1, 1.0, vec![(0..1, 0.0)]);
        let mut groups = [
            group(),
            group().with_schedule(Schedule::Constant, 0),
            group().with_schedule(Schedule::Linear, 4),
        ];
        let mut values = [[0.0f32]; 3];
        let mut optimizer = optimizer(OptimizerKind::Sgd, Schedule::Linear, 4, 0.0);
        for _ in 0..2 {
            groups.iter_mut().for_each(|group| group.gradients[0] = -1.0);
            let all = values.iter_mut().zip(&mut groups);
            let mut all: Vec<_> = all.map(|(x, group)| Parameters::new("x", x, group)).collect();
            optimizer.step(&mut all).unwrap();
        }
        // Straight down from 1, constant, and rising: 1 + 3/4, 1 + 1 and 1/4 + 2/4.
        assert_eq!(values, [[1.75], [2.0], [0.75]]);
    }

    /// Moments of a group that is updated every other step are those of a run of its own.
    #[test]
    fn groups_updated_every_count_their_own_steps() {
        let gradients = [0.3f32, -0.2, 0.7];
        let run = |optimizer: &mut Optimizer,
                   group: &mut ParameterGroup,
                   values: &mut Vec<f32>,
                   gradient| {
            group.gradients[0] = gradient;
            optimizer.step(&mut [Parameters::new("x", values, group)]).unwrap();
        };
        let fresh = || optimizer(OptimizerKind::AdamW, Schedule::Constant, 10, 0.0);
        let group = |every| ParameterGroup::new(1, 0.1, vec![(0..1, 0.0)]).updated_every(every);
        let (mut alone, mut own, mut x) = (fresh(), group(1), vec![1.0]);
        let (mut shared, mut first, mut second) = (fresh(), group(2), group(2));
        let (mut y, mut z) = (vec![1.0], vec![1.0]);
        for gradient in gradients {
            run(&mut alone, &mut own, &mut x, gradient);
            run(&mut shared, &mut first, &mut y, gradient);
            run(&mut shared, &mut second, &mut z, gradient);
        }
        assert_eq!((&x, &x), (&y, &z));
    }

    #[test]
    fn frozen_parameters_do_not_move() {
        let mut values = vec![1.0, 1.0];
        let mut group = ParameterGroup::new(2, 0.1, vec![(1..2, 0.0)]);
        group.gradients.fill(1.0);
        let mut optimizer = optimizer(OptimizerKind::AdamW, Schedule::Constant, 1, 0.0);
        optimizer.step(&mut [Parameters::new("x", &mut values, &mut group)]).unwrap();
        // The first AdamW step is learning_rate * sign(gradient).
        assert!(values[0] == 1.0 && (values[1] - 0.9).abs() < 1e-6);
    }
}
