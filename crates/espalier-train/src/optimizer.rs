//! Optimizers over groups of parameters, each with its own learning rate and weight decay.

use crate::error::{Result, TrainError};
use espalier_kernels::optimizer::{AdamWStep, Moments, SgdStep, adamw, sgd, sum_of_squares};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How gradients become updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW (arXiv 1711.05101): beta 0.9 and 0.999, eps 1e-8, decoupled decay, bias correction.
    #[default]
    AdamW,
    /// Plain gradient descent, without momentum; decay is decoupled as in AdamW.
    Sgd,
}

/// How the learning rate goes over a run, after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Straight down to zero.
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

/// Parameters that are updated alike. Their values live elsewhere; gradients and moments live here.
#[derive(Debug)]
pub struct Group {
    /// Gradients, laid out as the values. They are added up from zero, and are zero again after
    /// each step.
    pub gradients: Vec<f32>,
    first_moment: Vec<f32>,
    second_moment: Vec<f32>,
    /// Peak learning rate.
    learning_rate: f32,
    /// Schedule and steps of warm-up, if not the optimizer's.
    pace: Option<(Schedule, usize)>,
    /// It is updated in one of this many steps.
    turns: usize,
    /// What is trained, with its weight decay.
    runs: Vec<(Range<usize>, f32)>,
}

impl Group {
    /// A group of `length` parameters, of which the `runs` are trained, each with its own weight
    /// decay.
    pub fn new(length: usize, learning_rate: f32, runs: Vec<(Range<usize>, f32)>) -> Self {
        let zeros = || vec![0.0; length];
        let (first_moment, second_moment) = (Vec::new(), Vec::new());
        Self {
            gradients: zeros(),
            first_moment,
            second_moment,
            learning_rate,
            pace: None,
            turns: 1,
            runs,
        }
    }

    /// The same group, whose learning rate goes its own way.
    pub fn with_schedule(self, schedule: Schedule, warmup: usize) -> Self {
        Self { pace: Some((schedule, warmup)), ..self }
    }

    /// The same group, handed to the optimizer in one of `turns` steps only: the correction of its
    /// moments' bias counts these alone.
    ///
    /// # Panics
    /// If `turns` is zero.
    pub fn in_turns(self, turns: usize) -> Self {
        assert!(turns > 0, "in_turns: it would never be updated");
        Self { turns, ..self }
    }

    /// The moments, made when they are first asked for.
    pub(crate) fn moments(&mut self) -> (&mut [f32], &mut [f32]) {
        for moment in [&mut self.first_moment, &mut self.second_moment] {
            moment.resize(self.gradients.len(), 0.0);
        }
        (&mut self.first_moment, &mut self.second_moment)
    }

    fn sum_of_squares(&self) -> f64 {
        self.runs.iter().map(|(run, _)| sum_of_squares(&self.gradients[run.clone()])).sum()
    }
}

/// An optimizer and its place in the schedule.
#[derive(Debug)]
pub struct Optimizer {
    kind: OptimizerKind,
    schedule: Schedule,
    steps: usize,
    warmup: usize,
    clip_norm: f32,
    done: usize,
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
    /// An optimizer for a run of `steps` steps whose learning rates rise over the first `warmup`.
    ///
    /// Gradients are scaled down to the global norm `clip_norm` over all groups; zero means no
    /// clipping.
    pub fn new(
        kind: OptimizerKind,
        schedule: Schedule,
        steps: usize,
        warmup: usize,
        clip_norm: f32,
    ) -> Self {
        Self { kind, schedule, steps, warmup, clip_norm, done: 0 }
    }

    /// Whether it keeps moments of the gradients.
    pub(crate) fn has_moments(&self) -> bool {
        self.kind == OptimizerKind::AdamW
    }

    /// Goes on as after this many steps.
    pub(crate) fn seek(&mut self, done: usize) {
        self.done = done;
    }

    /// Updates the values of each group by its gradients, and sets these to zero.
    ///
    /// # Errors
    /// [`TrainError::GradientNotFinite`], before anything is updated.
    pub fn step(&mut self, groups: &mut [(&mut [f32], &mut Group)]) -> Result<StepSummary> {
        let gradient_norm =
            groups.iter().map(|(_, group)| group.sum_of_squares()).sum::<f64>().sqrt();
        if !gradient_norm.is_finite() {
            return Err(TrainError::GradientNotFinite { step: self.done + 1, batches: Vec::new() });
        }
        let (own, done, steps) = ((self.schedule, self.warmup), self.done, self.steps);
        let factor = |(schedule, warmup): (Schedule, usize)| schedule.factor(done, steps, warmup);
        let scale = match self.clip_norm > 0.0 {
            true => (self.clip_norm as f64 / (gradient_norm + 1e-6)).min(1.0) as f32,
            false => 1.0,
        };
        self.done += 1;
        for (values, group) in groups {
            let factor = factor(group.pace.unwrap_or(own));
            self.update(values, group, factor, scale);
        }
        Ok(StepSummary { gradient_norm, learning_rate_factor: factor(own) })
    }

    fn update(&self, values: &mut [f32], group: &mut Group, factor: f32, gradient_scale: f32) {
        let learning_rate = group.learning_rate * factor;
        if self.has_moments() {
            group.moments();
        }
        for (run, weight_decay) in &group.runs {
            let (run, weight_decay) = (run.clone(), *weight_decay);
            let (values, gradients) = (&mut values[run.clone()], &mut group.gradients[run.clone()]);
            match self.kind {
                OptimizerKind::Sgd => {
                    let step = SgdStep { learning_rate, weight_decay, gradient_scale };
                    sgd(step, values, gradients)
                }
                OptimizerKind::AdamW => {
                    let step = AdamWStep {
                        learning_rate,
                        weight_decay,
                        beta1: 0.9,
                        beta2: 0.999,
                        eps: 1e-8,
                        step: self.done.div_ceil(group.turns) as u64,
                        gradient_scale,
                    };
                    let moments = Moments {
                        first: &mut group.first_moment[run.clone()],
                        second: &mut group.second_moment[run],
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
        let (mut a, mut b) =
            (Group::new(1, 1.0, vec![(0..1, 0.0)]), Group::new(1, 1.0, vec![(0..1, 0.0)]));
        (a.gradients[0], b.gradients[0]) = (3.0, 4.0);
        let mut optimizer = Optimizer::new(OptimizerKind::Sgd, Schedule::Constant, 1, 0, 1.0);
        let summary = optimizer.step(&mut [(&mut x, &mut a), (&mut y, &mut b)]).unwrap();
        assert!((summary.gradient_norm - 5.0).abs() < 1e-6);
        assert!((x[0] - 0.4).abs() < 1e-5 && (y[0] - 0.2).abs() < 1e-5);
    }

    #[test]
    fn a_gradient_that_is_no_number_updates_nothing() {
        let mut values = vec![1.0];
        let mut group = Group::new(1, 0.1, vec![(0..1, 0.0)]);
        group.gradients[0] = f32::NAN;
        let mut optimizer = Optimizer::new(OptimizerKind::AdamW, Schedule::Constant, 1, 0, 1.0);
        let refused = optimizer.step(&mut [(&mut values, &mut group)]);
        assert!(matches!(refused, Err(TrainError::GradientNotFinite { step: 1, .. })));
        assert_eq!(values, [1.0]);
    }

    #[test]
    fn groups_may_have_schedules_of_their_own() {
        let group = || Group::new(1, 1.0, vec![(0..1, 0.0)]);
        let mut groups = [
            group(),
            group().with_schedule(Schedule::Constant, 0),
            group().with_schedule(Schedule::Linear, 4),
        ];
        let mut values = [[0.0f32]; 3];
        let mut optimizer = Optimizer::new(OptimizerKind::Sgd, Schedule::Linear, 4, 0, 0.0);
        for _ in 0..2 {
            groups.iter_mut().for_each(|group| group.gradients[0] = -1.0);
            let mut both: Vec<_> =
                values.iter_mut().map(|v| v.as_mut_slice()).zip(&mut groups).collect();
            optimizer.step(&mut both).unwrap();
        }
        // Straight down from 1, constant, and rising: 1 + 3/4, 1 + 1 and 1/4 + 2/4.
        assert_eq!(values, [[1.75], [2.0], [0.75]]);
    }

    /// Moments of a group that is updated every other step are those of a run of its own.
    #[test]
    fn groups_in_turns_count_their_own_steps() {
        let gradients = [0.3f32, -0.2, 0.7];
        let run =
            |optimizer: &mut Optimizer, group: &mut Group, values: &mut Vec<f32>, gradient| {
                group.gradients[0] = gradient;
                optimizer.step(&mut [(values, group)]).unwrap();
            };
        let optimizer = || Optimizer::new(OptimizerKind::AdamW, Schedule::Constant, 10, 0, 0.0);
        let group = |turns| Group::new(1, 0.1, vec![(0..1, 0.0)]).in_turns(turns);
        let (mut alone, mut own, mut x) = (optimizer(), group(1), vec![1.0]);
        let (mut shared, mut first, mut second) = (optimizer(), group(2), group(2));
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
        let mut group = Group::new(2, 0.1, vec![(1..2, 0.0)]);
        group.gradients.fill(1.0);
        let mut optimizer = Optimizer::new(OptimizerKind::AdamW, Schedule::Constant, 1, 0, 0.0);
        optimizer.step(&mut [(&mut values, &mut group)]).unwrap();
        // The first AdamW step is learning_rate * sign(gradient).
        assert!(values[0] == 1.0 && (values[1] - 0.9).abs() < 1e-6);
    }
}
