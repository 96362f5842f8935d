//! InfoNCE on text pairs.

use crate::{Pass, assert_backbone_gradients, assert_loss, assert_tensor, noise};
use espalier_encoder::{Batch, Pooling};
use espalier_testing::compare::assert_close;
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::recorded::Recorded;
use espalier_train::objectives::pairs::loss::InfoNce;

const PAIRS: InfoNce = InfoNce { temperature: 0.05 };

/// The recorded texts as one batch: all anchors, then all positives.
fn pair_batch(recorded: &Recorded) -> Batch {
    let numbers = |name: &str| recorded.tensors[&format!("infonce.{name}")].i64s();
    let ids: Vec<u32> = [numbers("anchor_ids"), numbers("positive_ids")]
        .concat()
        .iter()
        .map(|&id| id as u32)
        .collect();
    let mut rest = ids.as_slice();
    let lengths = [numbers("anchor_lengths"), numbers("positive_lengths")].concat();
    Batch::new(lengths.iter().map(|&length| {
        rest.split_off(..length as usize).expect("the lengths add up to the number of ids")
    }))
}

#[test]
fn pair_loss_and_gradients_of_the_backbone_match_pytorch() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let pass = Pass::forward(&backbone, pair_batch(&recorded));
    let width = backbone.encoder.width();
    let mut pooled = Vec::new(); // [2n, H]
    Pooling::Mean.forward(pass.hidden(), &pass.batch, width, &mut pooled);
    let half = pooled.len() / 2;
    let (anchors, positives) = pooled.split_at_mut(half);
    assert_tensor(&recorded, "infonce.anchor_pooled", anchors);
    assert_tensor(&recorded, "infonce.positive_pooled", positives);

    let n = half / width;
    let loss = PAIRS.loss(width, anchors, positives, &vec![false; n * n], 1.0);
    assert_loss(&recorded, "infonce", loss);
    assert_tensor(&recorded, "infonce.grad.anchor_pooled", anchors);
    assert_tensor(&recorded, "infonce.grad.positive_pooled", positives);

    let mut d_hidden = Vec::new();
    Pooling::Mean.backward(&pooled, &pass.batch, width, &mut d_hidden);
    let gradients = pass.backward(&mut d_hidden);
    assert_backbone_gradients(&recorded, "infonce", &backbone, &gradients);
}

/// The recorded text vectors of the anchors and of the positives.
fn recorded_pairs(recorded: &Recorded) -> (Vec<f32>, Vec<f32>) {
    let vectors = |name: &str| recorded.tensors[&format!("infonce.{name}_pooled")].f32s();
    (vectors("anchor"), vectors("positive"))
}

#[test]
fn pair_loss_with_excluded_candidates_matches_pytorch() {
    let recorded = Recorded::read();
    let (mut anchors, mut positives) = recorded_pairs(&recorded);
    let excluded: Vec<bool> =
        recorded.tensors["infonce_masked.excluded"].bytes.iter().map(|&byte| byte != 0).collect();
    assert_eq!(excluded.iter().filter(|&&excluded| excluded).count(), 3);
    let loss = PAIRS.loss(32, &mut anchors, &mut positives, &excluded, 1.0);
    assert_loss(&recorded, "infonce_masked", loss);
    assert_tensor(&recorded, "infonce_masked.grad.anchor_pooled", &anchors);
    assert_tensor(&recorded, "infonce_masked.grad.positive_pooled", &positives);
}

#[test]
fn the_weight_of_pairs_scales_gradients_but_not_the_loss() {
    let recorded = Recorded::read();
    let (mut anchors, mut positives) = recorded_pairs(&recorded);
    let loss = PAIRS.loss(32, &mut anchors, &mut positives, &[false; 16], 0.25);
    assert_loss(&recorded, "infonce", loss);
    for (name, found) in [("anchor", anchors), ("positive", positives)] {
        let full = recorded.tensors[&format!("infonce.grad.{name}_pooled")].f32s();
        assert_close(
            name,
            &found,
            &full.iter().map(|gradient| 0.25 * gradient).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn a_single_pair_has_no_loss_and_no_gradient() {
    let (mut anchor, mut positive) = (vec![1.0, 2.0], vec![3.0, -1.0]);
    assert_eq!(PAIRS.loss(2, &mut anchor, &mut positive, &[false], 1.0), 0.0);
    assert_eq!((anchor, positive), (vec![0.0; 2], vec![0.0; 2]));
}

/// A direct implementation of the loss in f64.
fn pair_loss(width: usize, anchors: &[f64], candidates: &[f64], excluded: &[bool]) -> f64 {
    let (n, m) = (anchors.len() / width, candidates.len() / width);
    let row = |x: &[f64], i: usize| x[i * width..(i + 1) * width].to_vec();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let score = |i: usize, j: usize| {
        let (a, c) = (row(anchors, i), row(candidates, j));
        dot(&a, &c) / (dot(&a, &a) * dot(&c, &c)).sqrt() / PAIRS.temperature as f64
    };
    let counts = |i: usize, j: usize| excluded.is_empty() || !excluded[i * m + j];
    let log_sum = |scores: Vec<f64>| scores.iter().map(|score| score.exp()).sum::<f64>().ln();
    let from_anchor = |i: usize| {
        log_sum((0..m).filter(|&j| counts(i, j)).map(|j| score(i, j)).collect()) - score(i, i)
    };
    let from_positive = |j: usize| {
        log_sum((0..n).filter(|&i| counts(i, j)).map(|i| score(i, j)).collect()) - score(j, j)
    };
    (0..n).map(|i| from_anchor(i) + from_positive(i)).sum::<f64>() / (2 * n) as f64
}

/// 5 pairs, and 300 pairs, which are more than are scored at a time. Both with hard negatives and
/// excluded candidates.
#[test]
fn pair_loss_with_hard_negatives_matches_a_reference_and_finite_differences() {
    for (n, hard, width) in [(5, 3, 6), (300, 7, 4)] {
        let m = n + hard;
        let (anchors, candidates) = (noise(n * width, 1.0), noise(m * width, 2.0));
        let excluded: Vec<bool> = (0..n * m).map(|at| at % 4 == 1 && at / m != at % m).collect();
        let (mut d_anchors, mut d_candidates) = (anchors.clone(), candidates.clone());
        let loss = PAIRS.loss(width, &mut d_anchors, &mut d_candidates, &excluded, 2.0);

        let wide = |x: &[f32]| x.iter().map(|&x| x as f64).collect::<Vec<f64>>();
        let (a, c) = (wide(&anchors), wide(&candidates));
        let expected = pair_loss(width, &a, &c, &excluded);
        assert!((loss - expected).abs() < 1e-5 * expected, "{loss} is not {expected}");
        let stride = if n > 100 { 397 } else { 1 };
        let largest =
            d_anchors.iter().chain(&d_candidates).fold(0f32, |max, d| max.max(d.abs())) as f64;
        for (which, found) in [&d_anchors, &d_candidates].into_iter().enumerate() {
            for at in (0..found.len()).step_by(stride) {
                let moved = |by: f64| {
                    let mut both = [a.clone(), c.clone()];
                    both[which][at] += by;
                    pair_loss(width, &both[0], &both[1], &excluded)
                };
                let expected = 2.0 * (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let found = found[at] as f64;
                assert!(
                    (found - expected).abs() < 1e-4 * largest,
                    "{n} pairs, {which} [{at}]: {found}, not {expected}"
                );
            }
        }
    }
}
