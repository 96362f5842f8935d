//! Optimizers and learning rate schedules.

mod group;
#[cfg(test)]
mod tests;

pub use group::{ParameterGroup, Parameters};

use crate::error::{Result, TrainError};
use espalier_kernels::optimizer::{AdamWStep, Moments, SgdStep, adamw, sgd};
use serde::{Deserialize, Serialize};

/// The kind of an optimizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerKind {
    /// AdamW (arXiv 1711.05101) with beta 0.9 and 0.999, eps 1e-8, decoupled weight decay and bias
    /// correction.
    #[default]
    AdamW,
    /// Stochastic gradient descent without momentum, with decoupled weight decay as in AdamW.
    Sgd,
}

/// How the learning rate changes after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Schedule {
    /// It is constant.
    Constant,
    /// It decreases linearly to zero.
    #[default]
    Linear,
    /// It decreases to zero along half a cosine.
    Cosine,
}

impl Schedule {
    /// The factor of the learning rate in `step` (from 0) of `steps`, with a linear warm-up over
    /// the first `warmup` steps.
    ///
    /// ```
    /// use espalier_train::optimizer::Schedule;
    ///
    /// let factors = [0, 1, 2, 6].map(|step| Schedule::Linear.factor(step, 10, 2));
    /// assert_eq!(factors, [0.5, 1.0, 1.0, 0.5]);
    /// ```
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
#[non_exhaustive]
pub struct OptimizerConfig {
    /// The kind of the optimizer.
    pub kind: OptimizerKind,
    /// The learning rate schedule of groups that do not have their own.
    pub schedule: Schedule,
    /// The number of steps of the run.
    pub steps: usize,
    /// The number of warm-up steps.
    pub warmup: usize,
    /// The norm, over all groups, to clip gradients to; zero for no clipping.
    pub clip_norm: f32,
}

impl OptimizerConfig {
    /// AdamW with a learning rate that decreases linearly to zero over `steps` steps, without
    /// warm-up or clipping.
    pub fn new(steps: usize) -> Self {
        let (kind, schedule) = (OptimizerKind::default(), Schedule::default());
        Self { kind, schedule, steps, warmup: 0, clip_norm: 0.0 }
    }
}

/// An optimizer and its position in the schedule.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    steps_done: usize,
}

/// The result of an optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepSummary {
    /// The norm of the gradients of all groups, before clipping.
    pub gradient_norm: f64,
    /// The factor of the learning rate by the optimizer's schedule.
    pub learning_rate_factor: f32,
}

impl Optimizer {
    /// An optimizer before its first step.
    pub fn new(config: OptimizerConfig) -> Self {
        Self { config, steps_done: 0 }
    }

    /// Whether the optimizer has moments.
    pub(crate) fn has_moments(&self) -> bool {
        self.config.kind == OptimizerKind::AdamW
    }

    /// Sets the number of steps done, to resume a run.
    pub(crate) fn seek(&mut self, steps_done: usize) {
        self.steps_done = steps_done;
    }

    /// Updates the values of `parameters` by their gradients and sets the gradients to zero.
    /// Weights of encoders are packed again.
    ///
    /// ```
    /// use espalier_train::optimizer::{
    ///     Optimizer, OptimizerConfig, OptimizerKind, ParameterGroup, Parameters, Schedule,
    /// };
    ///
    /// // Minimizes x^2 by gradient descent. The gradient is 2x and the learning rate 1/4, so that
    /// // each step halves x.
    /// let mut config = OptimizerConfig::new(3);
    /// (config.kind, config.schedule) = (OptimizerKind::Sgd, Schedule::Constant);
    /// let mut optimizer = Optimizer::new(config);
    /// let mut group = ParameterGroup::new(1, 0.25, vec![(0..1, 0.0)]);
    /// let mut x = [8.0];
    /// for _ in 0..3 {
    ///     group.gradients[0] = 2.0 * x[0];
    ///     optimizer.step(&mut [Parameters::new("x", &mut x, &mut group)])?;
    /// }
    /// assert_eq!((x, group.gradients[0]), ([1.0], 0.0));
    /// # Ok::<(), espalier_train::TrainError>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::GradientNotFinite`]. Then nothing is updated.
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
            group.allocate_moments();
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
