use super::*;

fn optimizer(kind: OptimizerKind, schedule: Schedule, steps: usize, clip_norm: f32) -> Optimizer {
    Optimizer::new(OptimizerConfig { kind, schedule, clip_norm, ..OptimizerConfig::new(steps) })
}

#[test]
fn schedules_warm_up_and_decrease() {
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
        "a run of one step has the full learning rate"
    );
}

#[test]
fn clipping_uses_the_norm_over_all_groups() {
    // Gradients 3 and 4 have the norm 5. Clipped to 1 they are 0.6 and 0.8, which SGD with learning
    // rate 1 subtracts.
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
fn a_gradient_that_is_not_finite_updates_nothing() {
    let mut values = vec![1.0];
    let mut group = ParameterGroup::new(1, 0.1, vec![(0..1, 0.0)]);
    group.gradients[0] = f32::NAN;
    let mut optimizer = optimizer(OptimizerKind::AdamW, Schedule::Constant, 1, 1.0);
    let refused = optimizer.step(&mut [Parameters::new("x", &mut values, &mut group)]);
    assert!(matches!(refused, Err(TrainError::GradientNotFinite { step: 1, .. })));
    assert_eq!(values, [1.0]);
}

#[test]
fn groups_may_have_their_own_schedules() {
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
    // Linear from 1, constant, and in warm-up: 1 + 3/4, 1 + 1 and 1/4 + 2/4.
    assert_eq!(values, [[1.75], [2.0], [0.75]]);
}

/// A group that is updated in every second step has the same updates as in a run of its own.
#[test]
fn bias_correction_counts_the_steps_of_the_group() {
    let gradients = [0.3f32, -0.2, 0.7];
    let run =
        |optimizer: &mut Optimizer, group: &mut ParameterGroup, values: &mut Vec<f32>, gradient| {
            group.gradients[0] = gradient;
            optimizer.step(&mut [Parameters::new("x", values, group)]).unwrap();
        };
    let new = || optimizer(OptimizerKind::AdamW, Schedule::Constant, 10, 0.0);
    let group = |every| ParameterGroup::new(1, 0.1, vec![(0..1, 0.0)]).updated_every(every);
    let (mut alone, mut own, mut x) = (new(), group(1), vec![1.0]);
    let (mut shared, mut first, mut second) = (new(), group(2), group(2));
    let (mut y, mut z) = (vec![1.0], vec![1.0]);
    for gradient in gradients {
        run(&mut alone, &mut own, &mut x, gradient);
        run(&mut shared, &mut first, &mut y, gradient);
        run(&mut shared, &mut second, &mut z, gradient);
    }
    assert_eq!((&x, &x), (&y, &z));
}

#[test]
fn frozen_parameters_do_not_change() {
    let mut values = vec![1.0, 1.0];
    let mut group = ParameterGroup::new(2, 0.1, vec![(1..2, 0.0)]);
    group.gradients.fill(1.0);
    let mut optimizer = optimizer(OptimizerKind::AdamW, Schedule::Constant, 1, 0.0);
    optimizer.step(&mut [Parameters::new("x", &mut values, &mut group)]).unwrap();
    // The first AdamW step is learning_rate * sign(gradient).
    assert!(values[0] == 1.0 && (values[1] - 0.9).abs() < 1e-6);
}
