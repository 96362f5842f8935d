//! The two objectives against PyTorch: losses and every gradient.
//!
//! The recorded numbers are those of scripts/make_parity_fixtures.py: computed in f64, stored as
//! f32.

use espalier_encoder::{Activations, Backbone, Batch, Gradients, Pooling};
use espalier_testing::compare::assert_close;
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::recorded::Recorded;
use espalier_train::objectives::concept::loss::{
    ConceptBatch, ConceptGradients, ConceptLoss, ConceptProjections,
};
use espalier_train::objectives::pairs::loss::InfoNce;

const PAIRS: InfoNce = InfoNce { temperature: 0.05 };
const CONCEPTS: ConceptLoss = ConceptLoss { scale: 10.0, bias: -4.0 };

/// A forward pass whose backward pass gives the gradients of all weights.
struct Pass<'a> {
    backbone: &'a Backbone,
    batch: Batch,
    activations: Activations,
}

impl<'a> Pass<'a> {
    fn forward(backbone: &'a Backbone, batch: Batch) -> Self {
        let mut activations = Activations::default();
        backbone.model(None).forward(&batch, &mut activations);
        Self { backbone, batch, activations }
    }

    /// Token vectors [T, H].
    fn hidden(&self) -> &[f32] {
        self.activations.output()
    }

    fn backward(mut self, d_hidden: &mut [f32]) -> Vec<f32> {
        let mut weights = vec![0.0; self.backbone.weights().len()];
        let gradients = Gradients { weights: Some(&mut weights), embeddings: true, adapter: None };
        let model = self.backbone.model(None);
        model.backward(&self.batch, &mut self.activations, d_hidden, gradients);
        weights
    }
}

fn assert_loss(recorded: &Recorded, case: &str, found: f64) {
    let loss = recorded.scalar(&format!("{case}.loss"));
    assert!((found - loss).abs() <= 1e-4 * loss, "{case}.loss is {found}, recorded is {loss}");
}

fn assert_tensor(recorded: &Recorded, name: &str, found: &[f32]) {
    assert_close(name, found, &recorded.tensors[name].f32s());
}

fn assert_backbone_gradients(
    recorded: &Recorded,
    case: &str,
    backbone: &Backbone,
    gradients: &[f32],
) {
    for spec in &backbone.encoder.layout.tensors {
        assert_tensor(
            recorded,
            &format!("{case}.grad.{}", spec.name),
            &gradients[spec.range.clone()],
        );
    }
}

/// The recorded texts: all anchors, then all positives, as one batch.
fn pair_batch(recorded: &Recorded) -> Batch {
    let numbers = |name: &str| recorded.tensors[&format!("infonce.{name}")].i64s();
    let ids: Vec<u32> = [numbers("anchor_ids"), numbers("positive_ids")]
        .concat()
        .iter()
        .map(|&id| id as u32)
        .collect();
    let mut rest = ids.as_slice();
    let lengths = [numbers("anchor_lengths"), numbers("positive_lengths")].concat();
    Batch::new(
        lengths.iter().map(|&length| {
            rest.split_off(..length as usize).expect("as many ids as the lengths say")
        }),
    )
}

#[test]
fn contrast_of_pairs_through_the_backbone() {
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

/// Text vectors of the recorded pairs, anchors and positives.
fn recorded_pairs(recorded: &Recorded) -> (Vec<f32>, Vec<f32>) {
    let vectors = |side: &str| recorded.tensors[&format!("infonce.{side}_pooled")].f32s();
    (vectors("anchor"), vectors("positive"))
}

#[test]
fn excluded_positives_are_no_negatives() {
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
fn the_weight_scales_the_gradients_of_pairs_and_not_their_loss() {
    let recorded = Recorded::read();
    let (mut anchors, mut positives) = recorded_pairs(&recorded);
    let loss = PAIRS.loss(32, &mut anchors, &mut positives, &[false; 16], 0.25);
    assert_loss(&recorded, "infonce", loss);
    for (side, found) in [("anchor", anchors), ("positive", positives)] {
        let whole = recorded.tensors[&format!("infonce.grad.{side}_pooled")].f32s();
        assert_close(
            side,
            &found,
            &whole.iter().map(|gradient| 0.25 * gradient).collect::<Vec<_>>(),
        );
    }
}

#[test]
fn one_pair_has_nothing_to_learn_from() {
    let (mut anchor, mut positive) = (vec![1.0, 2.0], vec![3.0, -1.0]);
    assert_eq!(PAIRS.loss(2, &mut anchor, &mut positive, &[false], 1.0), 0.0);
    assert_eq!((anchor, positive), (vec![0.0; 2], vec![0.0; 2]));
}

/// The loss as it is defined, in f64, of n anchors, n positives and hard negatives.
fn contrast(width: usize, anchors: &[f64], candidates: &[f64], excluded: &[bool]) -> f64 {
    let (n, m) = (anchors.len() / width, candidates.len() / width);
    let row = |x: &[f64], i: usize| x[i * width..(i + 1) * width].to_vec();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let score = |i: usize, j: usize| {
        let (a, c) = (row(anchors, i), row(candidates, j));
        dot(&a, &c) / (dot(&a, &a) * dot(&c, &c)).sqrt() / PAIRS.temperature as f64
    };
    let counts = |i: usize, j: usize| excluded.is_empty() || !excluded[i * m + j];
    let log_sum = |scores: Vec<f64>| scores.iter().map(|score| score.exp()).sum::<f64>().ln();
    let forth = |i: usize| {
        log_sum((0..m).filter(|&j| counts(i, j)).map(|j| score(i, j)).collect()) - score(i, i)
    };
    let back = |j: usize| {
        log_sum((0..n).filter(|&i| counts(i, j)).map(|i| score(i, j)).collect()) - score(j, j)
    };
    (0..n).map(|i| forth(i) + back(i)).sum::<f64>() / (2 * n) as f64
}

/// Numbers without a pattern that shows, from -1 to 1.
fn noise(n: usize, seed: f64) -> Vec<f32> {
    (0..n).map(|i| (12.9898 * (i as f64 + seed) + (78.233 * i as f64).cos()).sin() as f32).collect()
}

/// 5 pairs with hard negatives, some entries left out; and 300 pairs, more than are scored at a
/// time.
#[test]
fn hard_negatives_and_long_batches_against_finite_differences() {
    for (n, hard, width) in [(5, 3, 6), (300, 7, 4)] {
        let m = n + hard;
        let (anchors, candidates) = (noise(n * width, 1.0), noise(m * width, 2.0));
        let excluded: Vec<bool> = (0..n * m).map(|at| at % 4 == 1 && at / m != at % m).collect();
        let (mut d_anchors, mut d_candidates) = (anchors.clone(), candidates.clone());
        let loss = PAIRS.loss(width, &mut d_anchors, &mut d_candidates, &excluded, 2.0);

        let wide = |x: &[f32]| x.iter().map(|&x| x as f64).collect::<Vec<f64>>();
        let (a, c) = (wide(&anchors), wide(&candidates));
        let expected = contrast(width, &a, &c, &excluded);
        assert!((loss - expected).abs() < 1e-5 * expected, "{loss} is not {expected}");
        let every = if n > 100 { 397 } else { 1 };
        let largest =
            d_anchors.iter().chain(&d_candidates).fold(0f32, |max, d| max.max(d.abs())) as f64;
        for (which, found) in [&d_anchors, &d_candidates].into_iter().enumerate() {
            for at in (0..found.len()).step_by(every) {
                let moved = |by: f64| {
                    let mut both = [a.clone(), c.clone()];
                    both[which][at] += by;
                    contrast(width, &both[0], &both[1], &excluded)
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

/// The recorded contrast of tokens with concepts.
struct ConceptCase {
    tokens: Vec<usize>,
    concepts: Vec<f32>,
    targets: Vec<bool>,
    projections: ConceptProjections,
}

impl ConceptCase {
    fn read(recorded: &Recorded) -> Self {
        let tensor = |name: &str| &recorded.tensors[&format!("concept.{name}")];
        let mask = &tensor("token_mask").bytes;
        let tokens: Vec<usize> = (0..mask.len()).filter(|&token| mask[token] != 0).collect();
        let (all, concepts) = (&tensor("targets").bytes, tensor("targets").shape[1]);
        let rows = tokens.iter().flat_map(|token| &all[token * concepts..(token + 1) * concepts]);
        let targets = rows.map(|&target| target != 0).collect();
        let mut projections = ConceptProjections::identity(32);
        projections.values =
            [tensor("token_projection").f32s(), tensor("concept_projection").f32s()].concat();
        Self { tokens, concepts: tensor("vectors").f32s(), targets, projections }
    }

    /// Loss, gradient at the token vectors and gradients of P and Q.
    fn loss(&self, hidden: &[f32], weight: f32) -> (f64, Vec<f32>, Vec<f32>) {
        let batch =
            ConceptBatch { tokens: &self.tokens, concepts: &self.concepts, targets: &self.targets };
        let (mut d_hidden, mut d_projections) =
            (Vec::new(), vec![0.0; self.projections.values.len()]);
        let mut d_concepts = Vec::new();
        let gradients = ConceptGradients {
            hidden: &mut d_hidden,
            concepts: &mut d_concepts,
            projections: &mut d_projections,
        };
        let loss = CONCEPTS.loss(hidden, &batch, &self.projections, weight, gradients);
        (loss, d_hidden, d_projections)
    }
}

#[test]
fn contrast_of_tokens_with_concepts_through_the_backbone() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let case = ConceptCase::read(&recorded);
    let pass = Pass::forward(&backbone, recorded.batch());
    let (loss, mut d_hidden, d_projections) = case.loss(pass.hidden(), 1.0);
    assert_loss(&recorded, "concept", loss);
    let (d_p, d_q) = d_projections.split_at(d_projections.len() / 2);
    assert_tensor(&recorded, "concept.grad.token_projection", d_p);
    assert_tensor(&recorded, "concept.grad.concept_projection", d_q);
    let gradients = pass.backward(&mut d_hidden);
    assert_backbone_gradients(&recorded, "concept", &backbone, &gradients);
}

#[test]
fn the_weight_scales_the_gradients_of_concepts_and_not_their_loss() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let case = ConceptCase::read(&recorded);
    let pass = Pass::forward(&backbone, recorded.batch());
    let (whole, part) = (case.loss(pass.hidden(), 1.0), case.loss(pass.hidden(), 0.25));
    assert_eq!(part.0, whole.0);
    let quarter =
        |gradient: Vec<f32>| gradient.iter().map(|gradient| 0.25 * gradient).collect::<Vec<_>>();
    assert_close("d_hidden", &part.1, &quarter(whole.1));
    assert_close("d_projections", &part.2, &quarter(whole.2));
}

/// The loss as it is defined, in f64, of tokens [n, H] and concepts [J, H] with both projections
/// the identity.
fn concept_loss(width: usize, tokens: &[f64], concepts: &[f64], targets: &[bool]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let scores = tokens.chunks(width).flat_map(|h| {
        let cosine = move |c: &[f64]| dot(h, c) / (dot(h, h) * dot(c, c)).sqrt();
        concepts
            .chunks(width)
            .map(move |c| f64::from(CONCEPTS.scale) * cosine(c) + f64::from(CONCEPTS.bias))
    });
    let losses = scores.zip(targets).map(|(s, &y)| s.exp().ln_1p() - if y { s } else { 0.0 });
    losses.sum::<f64>() / targets.len() as f64
}

/// Concepts have gradients for an encoder of theirs to learn by.
#[test]
fn concepts_learn_too() {
    let (width, n, j) = (32, 3, 2);
    let (tokens, concepts) = (noise(n * width, 1.0), noise(j * width, 2.0));
    let targets = vec![true, false, false, true, false, false];
    let batch = ConceptBatch { tokens: &[0, 1, 2], concepts: &concepts, targets: &targets };
    let (mut d_tokens, mut d_concepts) = (Vec::new(), Vec::new());
    let gradients = ConceptGradients {
        hidden: &mut d_tokens,
        concepts: &mut d_concepts,
        projections: &mut vec![0.0; 2 * width * width],
    };
    CONCEPTS.loss(&tokens, &batch, &ConceptProjections::identity(width), 2.0, gradients);
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    for (which, found) in [&d_tokens, &d_concepts].into_iter().enumerate() {
        let expected: Vec<f32> = (0..found.len())
            .map(|at| {
                let moved = |by: f64| {
                    let mut both = [wide(&tokens), wide(&concepts)];
                    both[which][at] += by;
                    concept_loss(width, &both[0], &both[1], &targets)
                };
                (2.0 * (moved(1e-5) - moved(-1e-5)) / 2e-5) as f32
            })
            .collect();
        assert_close(["tokens", "concepts"][which], found, &expected);
    }
}

#[test]
fn tokens_without_concepts_have_no_loss() {
    let hidden = [1.0; 3 * 32];
    let projections = ConceptProjections::identity(32);
    let none =
        ConceptCase { tokens: vec![0, 2], concepts: Vec::new(), targets: Vec::new(), projections };
    let (loss, d_hidden, d_projections) = none.loss(&hidden, 1.0);
    assert_eq!((loss, d_hidden), (0.0, vec![0.0; hidden.len()]));
    assert!(d_projections.iter().all(|&gradient| gradient == 0.0));
}
