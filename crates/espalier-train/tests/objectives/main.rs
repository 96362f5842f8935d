//! The losses of text pairs, of the match with a teacher and of concepts, and all their gradients,
//! against PyTorch and against finite differences.
//!
//! The numbers of PyTorch were recorded by scripts/make_parity_fixtures.py and
//! scripts/make_text_teacher_fixtures.py, in f64, and are stored as f32.

mod concepts;
mod pairs;
mod text_teacher;

use espalier_encoder::{Activations, Backbone, Batch, Gradients};
use espalier_testing::compare::assert_close;
use espalier_testing::recorded::Recorded;

/// A forward pass of the backbone, and its activations.
pub(crate) struct Pass<'a> {
    backbone: &'a Backbone,
    pub(crate) batch: Batch,
    activations: Activations,
}

impl<'a> Pass<'a> {
    pub(crate) fn forward(backbone: &'a Backbone, batch: Batch) -> Self {
        let mut activations = Activations::default();
        backbone.trainable_model(None).unwrap().forward(&batch, &mut activations);
        Self { backbone, batch, activations }
    }

    /// The hidden states [T, H].
    pub(crate) fn hidden(&self) -> &[f32] {
        self.activations.output()
    }

    /// The gradients of all weights.
    pub(crate) fn backward(mut self, d_hidden: &mut [f32]) -> Vec<f32> {
        let mut weights = vec![0.0; self.backbone.weights().len()];
        let gradients = Gradients { weights: Some(&mut weights), embeddings: true, adapter: None };
        let model = self.backbone.trainable_model(None).unwrap();
        model.backward(&self.batch, &mut self.activations, d_hidden, gradients);
        weights
    }
}

pub(crate) fn assert_loss(recorded: &Recorded, case: &str, found: f64) {
    let loss = recorded.scalar(&format!("{case}.loss"));
    assert!((found - loss).abs() <= 1e-4 * loss, "{case}.loss is {found}, recorded is {loss}");
}

pub(crate) fn assert_tensor(recorded: &Recorded, name: &str, found: &[f32]) {
    assert_close(name, found, &recorded.tensors[name].f32s());
}

pub(crate) fn assert_backbone_gradients(
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

/// Pseudorandom numbers from -1 to 1.
pub(crate) fn noise(n: usize, seed: f64) -> Vec<f32> {
    (0..n).map(|i| (12.9898 * (i as f64 + seed) + (78.233 * i as f64).cos()).sin() as f32).collect()
}
