//! The gradients of the strategy pcgrad, compared with those of joint and of each objective alone.

use crate::corpora::Corpora;
use crate::one_step::{assert_gradients, one_step, theta_gradient};
use espalier_train::strategy::Strategy;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| a as f64 * b as f64).sum()
}

/// The dot product of the two gradients is positive. The results differ only by the rounding of one
/// addition.
#[test]
fn without_conflict_pcgrad_is_the_same_as_joint() {
    let corpora = Corpora::easy();
    let gradient = |strategy| theta_gradient(&one_step(&corpora, strategy));
    assert!(dot(&gradient(Strategy::NER), &gradient(Strategy::TC)) > 0.0);
    assert_gradients(&gradient(Strategy::PCGRAD), &gradient(Strategy::JOINT), 1e-5);
}

/// The projection is over all of theta at once. The result differs from the gradient of the summed
/// loss.
#[test]
fn pcgrad_projects_conflicting_gradients() {
    let corpora = Corpora::long();
    let gradient = |strategy| theta_gradient(&one_step(&corpora, strategy));
    let (ner, tc) = (gradient(Strategy::NER), gradient(Strategy::TC));
    let (product, ner_ner, tc_tc) = (dot(&ner, &tc), dot(&ner, &ner), dot(&tc, &tc));
    let cosine = product / (ner_ner * tc_tc).sqrt();
    assert!(cosine < -0.1, "these corpora conflict: {cosine}");
    // Each gradient is projected with the original of the other.
    let (along_tc, along_ner) = ((product / tc_tc) as f32, (product / ner_ner) as f32);
    let projected = |(&a, &b): (&f32, &f32)| (a - along_tc * b) + (b - along_ner * a);
    let expected: Vec<f32> = ner.iter().zip(&tc).map(projected).collect();
    let found = gradient(Strategy::PCGRAD);
    assert_gradients(&found, &expected, 1e-4);
    // The result conflicts with neither gradient, and differs from the sum.
    assert!(dot(&found, &ner) > 0.0 && dot(&found, &tc) > 0.0);
    let joint = gradient(Strategy::JOINT);
    let difference: Vec<f32> = found.iter().zip(&joint).map(|(a, b)| a - b).collect();
    assert!(dot(&difference, &difference) > 1e-2 * dot(&joint, &joint), "the same as joint");
}
