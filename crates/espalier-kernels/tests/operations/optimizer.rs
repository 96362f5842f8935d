use crate::support::*;
use espalier_kernels::optimizer::*;
use proptest::prelude::*;

/// The settings of fixtures/parity.json.
const STEP: AdamWStep = AdamWStep {
    learning_rate: 0.01,
    weight_decay: 0.1,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    step: 1,
    gradient_scale: 1.0,
};

/// Weights and moments after one step per row of gradients, by the formula of arXiv 1711.05101, in
/// f64.
fn oracle(step: AdamWStep, weights: &[f32], gradients: &[Vec<f32>]) -> [Vec<f64>; 3] {
    let [rate, decay, beta1, beta2, eps, scale] = [
        step.learning_rate,
        step.weight_decay,
        step.beta1,
        step.beta2,
        step.eps,
        step.gradient_scale,
    ]
    .map(f64::from);
    let (mut w, mut m, mut v) = (wide(weights), vec![0.0; weights.len()], vec![0.0; weights.len()]);
    for (gradients, t) in gradients.iter().zip(1..) {
        for i in 0..w.len() {
            let g = gradients[i] as f64 * scale;
            m[i] = beta1 * m[i] + (1.0 - beta1) * g;
            v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
            let (m_hat, v_hat) = (m[i] / (1.0 - beta1.powi(t)), v[i] / (1.0 - beta2.powi(t)));
            w[i] -= rate * (m_hat / (v_hat.sqrt() + eps) + decay * w[i]);
        }
    }
    [w, m, v]
}

fn run(step: AdamWStep, weights: &[f32], gradients: &[Vec<f32>]) -> [Vec<f32>; 3] {
    let (mut w, mut m, mut v) =
        (weights.to_vec(), vec![0.0; weights.len()], vec![0.0; weights.len()]);
    for (gradients, t) in gradients.iter().zip(1..) {
        let moments = Moments { first: &mut m, second: &mut v };
        adamw(AdamWStep { step: t, ..step }, &mut w, &mut gradients.to_vec(), moments);
    }
    [w, m, v]
}

fn check_adamw(n: usize, scale: f32, seed: u64) {
    let mut random = Random::new(seed);
    let weights = random.vec(n);
    let gradients: Vec<_> = (0..5).map(|_| random.vec(n)).collect();
    let step = AdamWStep { gradient_scale: scale, ..STEP };
    let (got, want) = (run(step, &weights, &gradients), oracle(step, &weights, &gradients));
    for (what, (got, want)) in ["weights", "first", "second"].iter().zip(got.iter().zip(&want)) {
        // Five steps of a few roundings each.
        assert_close_within(1e-6, what, got, want);
    }
}

proptest! {
    #[test]
    fn adamw_matches_the_formula(n in 0usize..70, scale in 0.1f32..2.0, seed: u64) {
        check_adamw(n, scale, seed);
    }

    #[test]
    fn sgd_matches_the_formula(n in 0usize..70, scale in 0.1f32..2.0, seed: u64) {
        let mut random = Random::new(seed);
        let (weights, gradients) = (random.vec(n), random.vec(n));
        let mut w = weights.clone();
        let step = SgdStep { learning_rate: 0.25, weight_decay: 0.5, gradient_scale: scale };
        sgd(step, &mut w, &mut gradients.clone());
        let step = |(&w, &g): (&f64, &f64)| w - 0.25 * (f64::from(scale) * g + 0.5 * w);
        let want: Vec<f64> = wide(&weights).iter().zip(&wide(&gradients)).map(step).collect();
        assert_close_within(1e-6, "weights", &w, &want);
    }

    #[test]
    fn sum_of_squares_matches_the_formula(n in 0usize..100, seed: u64) {
        let x = Random::new(seed).vec(n);
        let want: f64 = wide(&x).iter().map(|v| v * v).sum();
        let got = sum_of_squares(&x);
        assert!((got - want).abs() <= 1e-6 * want, "{got} is not {want}");
    }

    #[test]
    fn dot_and_blend_match_the_formula(n in 0usize..100, a in -2f32..2.0, seed: u64) {
        let mut random = Random::new(seed);
        let (x, y) = (random.vec(n), random.vec(n));
        let products = || wide(&x).into_iter().zip(wide(&y)).map(|(x, y)| x * y);
        let (want, size): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
        assert!((dot(&x, &y) - want).abs() <= 1e-6 * size, "{} is not {want}", dot(&x, &y));
        let mut blended = x.clone();
        blend(a, &mut blended, 0.5, &y);
        let want = wide(&x).into_iter().zip(wide(&y)).map(|(x, y)| a as f64 * x + 0.5 * y);
        assert_close_within(1e-6, "blended", &blended, &want.collect::<Vec<_>>());
    }
}

#[test]
fn dot_counts_every_block() {
    let (x, y) = (vec![2.0; 3 * 16 * 1024 + 5], vec![-0.5; 3 * 16 * 1024 + 5]);
    assert_eq!(dot(&x, &y), -(x.len() as f64));
}

#[test]
fn adamw_matches_the_formula_beyond_one_task() {
    check_adamw(16 * 1024 + 21, 0.5, 1);
}

#[test]
fn adamw_matches_pytorch() {
    let (start, want) = (tensor_f32("adamw.start"), tensor("adamw.after"));
    let gradients: Vec<_> = tensor_f32("adamw.grads").chunks(50).map(<[f32]>::to_vec).collect();
    for (steps, want) in (1..).zip(want.chunks(50)) {
        assert_close_within(1e-6, "weights", &run(STEP, &start, &gradients[..steps])[0], want);
    }
}

/// Clipping as in `clip_grad_norm_`: gradients times max_norm / (norm + 1e-6), if that is below
/// one.
#[test]
fn clipped_adamw_matches_pytorch() {
    let mut w = tensor_f32("adamw.start");
    let (mut m, mut v) = (vec![0.0; 50], vec![0.0; 50]);
    let (gradients, want) = (tensor_f32("adamw.grads"), tensor("adamw.clipped_after"));
    let mut clipped = 0;
    for (t, (gradient, want)) in (1..).zip(gradients.chunks(50).zip(want.chunks(50))) {
        let gradient_scale = (1.0 / (sum_of_squares(gradient).sqrt() + 1e-6)).min(1.0) as f32;
        clipped += (gradient_scale < 1.0) as u32;
        adamw(
            AdamWStep { step: t, gradient_scale, ..STEP },
            &mut w,
            &mut gradient.to_vec(),
            Moments { first: &mut m, second: &mut v },
        );
        assert_close_within(1e-6, "weights", &w, want);
    }
    assert!(
        (1..5).contains(&clipped),
        "the fixture has steps on both sides of the limit, {clipped} above it"
    );
}

#[test]
fn does_not_depend_on_threads() {
    let mut random = Random::new(2);
    let n = 5 * 16 * 1024 + 7;
    let (weights, gradients) = (random.vec(n), vec![random.vec(n)]);
    assert_independent_of_threads(|| {
        let mut w = weights.clone();
        let step = SgdStep { learning_rate: 0.1, weight_decay: 0.1, gradient_scale: 1.0 };
        sgd(step, &mut w, &mut gradients[0].clone());
        let mut results = run(STEP, &weights, &gradients).to_vec();
        results.push(w);
        results
    });
    let sums = [1, 2, 3].map(|threads| on_threads(threads, || sum_of_squares(&weights).to_bits()));
    assert_eq!([sums[0]; 3], sums);
}

#[test]
#[should_panic(expected = "lengths differ")]
fn refuses_moments_of_another_length() {
    let moments = Moments { first: &mut [0.0; 3], second: &mut [0.0; 2] };
    adamw(STEP, &mut [0.0; 3], &mut [0.0; 3], moments);
}

#[test]
fn gradients_are_zero_after_an_update() {
    let mut gradients = [1.0, -2.0, 1e-30];
    let moments = Moments { first: &mut [0.0; 3], second: &mut [0.0; 3] };
    adamw(STEP, &mut [0.5; 3], &mut gradients, moments);
    assert_eq!(gradients, [0.0; 3]);
    let mut gradients = [1.0, -2.0];
    let step = SgdStep { learning_rate: 0.1, weight_decay: 0.0, gradient_scale: 1.0 };
    sgd(step, &mut [0.5; 2], &mut gradients);
    assert_eq!(gradients, [0.0; 2]);
}

/// Moments decay by a factor a step where gradients stay zero: they must reach zero itself, not
/// linger among subnormal numbers.
#[test]
fn moments_never_become_subnormal() {
    let (mut w, mut m, mut v) =
        ([0.5f32; 3], [1.5e-38f32, -1.2e-38, 1e-3], [1.2e-38f32, 1.3e-38, 1e-6]);
    for t in 1..300 {
        let moments = Moments { first: &mut m, second: &mut v };
        adamw(AdamWStep { step: t, ..STEP }, &mut w, &mut [0.0, 1e-25, 1e-3], moments);
        assert!(
            m.iter().chain(&v).all(|x| *x == 0.0 || x.is_normal()),
            "{m:?} {v:?} after step {t}"
        );
    }
    assert_eq!((m[0], v[0], m[1], v[1]), (0.0, 0.0, 0.0, 0.0));
}
