//! The loss of concept contrast.

use crate::{Pass, assert_backbone_gradients, assert_loss, assert_tensor, noise};
use espalier_testing::compare::assert_close;
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::recorded::Recorded;
use espalier_train::objectives::concept::loss::{
    ConceptBatch, ConceptGradients, ConceptLoss, ConceptProjections,
};

const CONCEPTS: ConceptLoss = ConceptLoss { scale: 10.0, bias: -4.0 };

/// The recorded batch of concept contrast.
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

    /// The loss, and the gradients of the hidden states and of P and Q.
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
fn concept_loss_and_gradients_of_the_backbone_match_pytorch() {
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
fn the_weight_of_concepts_scales_gradients_but_not_the_loss() {
    let (recorded, backbone) = (Recorded::read(), tiny_bert());
    let case = ConceptCase::read(&recorded);
    let pass = Pass::forward(&backbone, recorded.batch());
    let (full, scaled) = (case.loss(pass.hidden(), 1.0), case.loss(pass.hidden(), 0.25));
    assert_eq!(scaled.0, full.0);
    let quarter =
        |gradient: Vec<f32>| gradient.iter().map(|gradient| 0.25 * gradient).collect::<Vec<_>>();
    assert_close("d_hidden", &scaled.1, &quarter(full.1));
    assert_close("d_projections", &scaled.2, &quarter(full.2));
}

/// A direct implementation of the loss in f64, of tokens [n, H] and concepts [J, H]. Both
/// projections are the identity.
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

#[test]
fn gradients_of_tokens_and_concepts_match_finite_differences() {
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
fn without_concepts_there_is_no_loss_and_no_gradient() {
    let hidden = [1.0; 3 * 32];
    let projections = ConceptProjections::identity(32);
    let none =
        ConceptCase { tokens: vec![0, 2], concepts: Vec::new(), targets: Vec::new(), projections };
    let (loss, d_hidden, d_projections) = none.loss(&hidden, 1.0);
    assert_eq!((loss, d_hidden), (0.0, vec![0.0; hidden.len()]));
    assert!(d_projections.iter().all(|&gradient| gradient == 0.0));
}
