use crate::oracle;
use crate::support::*;
use espalier_kernels::loss::*;
use proptest::prelude::*;

/// A loss is a mean of f32 terms: some roundings of 6e-8 each.
fn assert_loss(got: f64, want: f64) {
    assert!((got - want).abs() <= 2e-6 * (1.0 + want.abs()), "loss {got} is not {want}");
}

/// Random targets, but none for the rows r whose bit r of `without` is set.
fn targets_of(rows: usize, classes: usize, without: u8, random: &mut Random) -> Vec<Option<u32>> {
    let target = |(row, class)| (without >> row & 1 == 0).then_some(class);
    random.below(rows, classes).into_iter().enumerate().map(target).collect()
}

fn check_cross_entropy(scores: &[f32], targets: &[Option<u32>], classes: usize) {
    let mut d_scores = scores.to_vec(); // [n, C]
    let loss = cross_entropy(&mut d_scores, targets, classes);
    let oracle = |scores: &[f64]| oracle::cross_entropy(scores, targets, classes);
    assert_loss(loss, oracle(&wide(scores)));
    assert_close("d_scores", &d_scores, &gradient(&wide(scores), oracle));
}

proptest! {
    #[test]
    fn cross_entropy_matches_the_oracle(
        rows in 0usize..8, classes in 1usize..40, without: u8, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let scores = random.spread(rows * classes, 8.0);
        let targets = targets_of(rows, classes, without, &mut random);
        check_cross_entropy(&scores, &targets, classes);
    }

    /// A row of weight w counts as w rows of weight 1 would.
    #[test]
    fn weighted_cross_entropy_matches_the_oracle(
        rows in 1usize..8, classes in 1usize..40, without: u8, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let scores = random.spread(rows * classes, 8.0);
        let targets = targets_of(rows, classes, without, &mut random);
        let times: Vec<usize> =
            random.below(rows, 4).into_iter().map(|times| times as usize).collect();
        let weights: Vec<f32> = times.iter().map(|&times| times as f32).collect();
        let oracle = |scores: &[f64]| {
            let rows = scores.chunks(classes).zip(&targets).zip(&times);
            let repeated: Vec<_> =
                rows.flat_map(|(row, &times)| std::iter::repeat_n(row, times)).collect();
            let (scores, targets): (Vec<&[f64]>, Vec<Option<u32>>) = repeated.into_iter().unzip();
            oracle::cross_entropy(&scores.concat(), &targets, classes)
        };
        let mut d_scores = scores.clone();
        let loss = weighted_cross_entropy(&mut d_scores, &targets, &weights, classes);
        assert_loss(loss, oracle(&wide(&scores)));
        assert_close("d_scores", &d_scores, &gradient(&wide(&scores), oracle));
    }

    /// Classes that are masked in a row, as in-batch negatives of a contrastive loss are.
    #[test]
    fn cross_entropy_leaves_out_scores_of_minus_infinity(
        rows in 1usize..6, classes in 2usize..20, out: u32, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let mut scores = random.spread(rows * classes, 8.0);
        let targets = random.below(rows, classes);
        for (row, &target) in scores.chunks_mut(classes).zip(&targets) {
            for (class, score) in row.iter_mut().enumerate() {
                if out >> class & 1 == 1 && class != target as usize {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        check_cross_entropy(&scores, &targets.into_iter().map(Some).collect::<Vec<_>>(), classes);
    }

    #[test]
    fn binary_cross_entropy_matches_the_oracle(n in 0usize..50, seed: u64) {
        let mut random = Random::new(seed);
        let scores = random.spread(n, 12.0);
        let targets: Vec<bool> = random.below(n, 2).iter().map(|&b| b == 1).collect();
        let mut d_scores = scores.clone();
        let loss = binary_cross_entropy(&mut d_scores, &targets);
        let oracle = |scores: &[f64]| oracle::binary_cross_entropy(scores, &targets);
        assert_loss(loss, oracle(&wide(&scores)));
        assert_close("d_scores", &d_scores, &gradient(&wide(&scores), oracle));
    }
}

/// More elements than one task takes (4096), with remainders. The gradient is computed by its
/// formula here: differences would take thousands of passes.
#[test]
fn matches_the_oracle_beyond_one_task() {
    let mut random = Random::new(1);
    let (rows, classes) = (1001, 9);
    let scores = random.spread(rows * classes, 8.0);
    let targets: Vec<_> = random.below(rows, classes).into_iter().map(Some).collect();
    let mut d_scores = scores.clone();
    let loss = cross_entropy(&mut d_scores, &targets, classes);
    assert_loss(loss, oracle::cross_entropy(&wide(&scores), &targets, classes));
    let mut want = Vec::new();
    for (row, target) in wide(&scores).chunks(classes).zip(&targets) {
        let sum: f64 = row.iter().map(|s| s.exp()).sum();
        want.extend(
            (0..classes).map(|c| row[c].exp() / sum - (*target == Some(c as u32)) as u8 as f64),
        );
    }
    // Times the number of rows: the tolerance is meant for gradients of about 1.
    assert_close("d_scores", &d_scores.iter().map(|d| d * rows as f32).collect::<Vec<_>>(), &want);

    let targets: Vec<bool> = random.below(rows * classes, 2).iter().map(|&b| b == 1).collect();
    let mut d_scores = scores.clone();
    let loss = binary_cross_entropy(&mut d_scores, &targets);
    assert_loss(loss, oracle::binary_cross_entropy(&wide(&scores), &targets));
    let slope = |(s, &target): (f64, &bool)| 1.0 / (1.0 + (-s).exp()) - target as u8 as f64;
    let want: Vec<f64> = wide(&scores).into_iter().zip(&targets).map(slope).collect();
    let times_n: Vec<f32> = d_scores.iter().map(|d| d * (rows * classes) as f32).collect();
    assert_close("d_scores", &times_n, &want);
}

#[test]
fn does_not_depend_on_threads() {
    let mut random = Random::new(2);
    let scores = random.spread(1001 * 9, 8.0);
    let targets: Vec<_> = random.below(1001, 9).into_iter().map(Some).collect();
    let marks: Vec<bool> =
        targets.iter().cycle().take(scores.len()).map(|&t| t > Some(4)).collect();
    let losses = [1, 2, 3].map(|threads| {
        on_threads(threads, || {
            let (mut categorical, mut binary) = (scores.clone(), scores.clone());
            let losses = [
                cross_entropy(&mut categorical, &targets, 9),
                binary_cross_entropy(&mut binary, &marks),
            ];
            (losses.map(f64::to_bits), bits(&categorical), bits(&binary))
        })
    });
    assert!(losses[0] == losses[1] && losses[0] == losses[2]);
}

#[test]
fn rows_without_a_target_give_nothing() {
    let mut scores = [1.0, 2.0, 3.0, 4.0];
    assert_eq!(cross_entropy(&mut scores, &[None, None], 2), 0.0);
    assert_eq!(scores, [0.0; 4]);
}

/// Scores whose exponentials overflow f32. The target is 100 below the best class: the loss is that
/// distance.
#[test]
fn large_scores_do_not_overflow() {
    let mut scores = [1000.0, 900.0, 0.0];
    assert_loss(cross_entropy(&mut scores, &[Some(1)], 3), 100.0);
    assert_close("d_scores", &scores, &[1.0, -1.0, 0.0]);
    let mut scores = [500.0, -500.0, 500.0, -500.0];
    assert_loss(
        binary_cross_entropy(&mut scores, &[true, false, false, true]),
        (500.0 + 500.0) / 4.0,
    );
    assert_close("d_scores", &scores, &[0.0, 0.0, 0.25, -0.25]);
}

#[test]
fn a_score_that_is_not_a_number_shows_in_the_loss() {
    assert!(cross_entropy(&mut [0.0, f32::NAN], &[Some(0)], 2).is_nan());
    assert!(binary_cross_entropy(&mut [f32::NAN], &[true]).is_nan());
}

#[test]
#[should_panic]
fn refuses_a_target_beyond_the_classes() {
    cross_entropy(&mut [0.0; 3], &[Some(3)], 3);
}
