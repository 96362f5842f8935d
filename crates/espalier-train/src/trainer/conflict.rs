//! The conflict meter: where the families' gradients on the shared weights point against each other.

use super::{Encoders, Trainer, parameters};
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use espalier_encoder::layout::{LayerLayout, Layout};
use espalier_kernels::optimizer::{dot, sum_of_squares};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the gradients of both families on one set of weights lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Cosine of the angle between them: below zero they conflict.
    pub cosine: f64,
    /// Norm of the NER gradient over that of the classification gradient.
    pub norm_ratio: f64,
}

/// A part of a transformer layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of the layer.
    Layer,
    /// Query projection, bias included, as in all the linear maps below.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Projection after attention.
    AttentionOutput,
    /// First map of the feed-forward block.
    Intermediate,
    /// Second map of the feed-forward block.
    Output,
    /// Both LayerNorms.
    Norms,
}

impl Part {
    /// All of them, the whole layer first.
    pub const ALL: [Part; 8] = [
        Self::Layer,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::AttentionOutput,
        Self::Intermediate,
        Self::Output,
        Self::Norms,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
            Self::AttentionOutput => "att. output",
            Self::Intermediate => "intermediate",
            Self::Output => "output",
            Self::Norms => "norms",
        }
    }
}

/// One measurement: the gradients of one batch of each family. What has no gradient (frozen, or a
/// loss of weight zero) is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The embeddings: word, position and type, and the LayerNorm after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<Agreement>,
    /// The layers, first to last, by part.
    pub layers: Vec<BTreeMap<Part, Agreement>>,
}

impl Conflict {
    /// Compares two gradients laid out as the weights.
    fn between(layout: &Layout, ner: &[f32], tc: &[f32]) -> Self {
        let embeddings = layout.embeddings.all.clone();
        let layer = |at| {
            let mut products: BTreeMap<Part, Products> = BTreeMap::new();
            for ((part, ner), (_, tc)) in parts(at, ner).into_iter().zip(parts(at, tc)) {
                let of_tensor = Products::of(ner, tc);
                products.entry(Part::Layer).or_default().add(of_tensor);
                products.entry(part).or_default().add(of_tensor);
            }
            products
                .into_iter()
                .filter_map(|(part, products)| Some((part, products.agreement()?)))
                .collect()
        };
        Self {
            embeddings: Products::of(&ner[embeddings.clone()], &tc[embeddings]).agreement(),
            layers: layout.layers.iter().map(layer).collect(),
        }
    }
}

/// The tensors of a layer in a vector laid out as the weights.
fn parts<'g>(at: &LayerLayout, gradient: &'g [f32]) -> Vec<(Part, &'g [f32])> {
    let qkv = at.qkv.view(gradient);
    let thirds = |x: &'g [f32]| x.chunks_exact(x.len() / 3); // query, key, value
    let third = [Part::Query, Part::Key, Part::Value].into_iter();
    let mut parts: Vec<_> =
        third.clone().zip(thirds(qkv.weight)).chain(third.zip(thirds(qkv.bias))).collect();
    let maps = [
        (Part::AttentionOutput, &at.attention_output),
        (Part::Intermediate, &at.intermediate),
        (Part::Output, &at.output),
    ];
    for (part, map) in maps {
        let map = map.view(gradient);
        parts.extend([(part, map.weight), (part, map.bias)]);
    }
    for norm in [&at.attention_norm, &at.output_norm] {
        let norm = norm.view(gradient, 0.0);
        parts.extend([(Part::Norms, norm.weight), (Part::Norms, norm.bias)]);
    }
    parts
}

/// Inner products of two gradients.
#[derive(Clone, Copy, Default)]
struct Products {
    ner_tc: f64,
    ner_ner: f64,
    tc_tc: f64,
}

impl Products {
    fn of(ner: &[f32], tc: &[f32]) -> Self {
        Self { ner_tc: dot(ner, tc), ner_ner: sum_of_squares(ner), tc_tc: sum_of_squares(tc) }
    }

    fn add(&mut self, other: Self) {
        self.ner_tc += other.ner_tc;
        self.ner_ner += other.ner_ner;
        self.tc_tc += other.tc_tc;
    }

    /// `None` where a gradient is zero, or not a number.
    fn agreement(self) -> Option<Agreement> {
        let norms = self.ner_ner.sqrt() * self.tc_tc.sqrt();
        (norms > 0.0 && norms.is_finite()).then(|| Agreement {
            cosine: self.ner_tc / norms,
            norm_ratio: (self.ner_ner / self.tc_tc).sqrt(),
        })
    }
}

impl Trainer<'_> {
    /// Whether the families' gradients are compared in a step.
    pub(super) fn measures_conflict(&self, step: usize) -> bool {
        let every = self.config.conflict.every;
        every > 0 && step.is_multiple_of(every) && self.config.check_measurable().is_ok()
    }

    /// Compares the gradients of a step on the shared weights: `first`, that of the first objective
    /// where the second was added to it, or else those that were computed separately.
    pub(super) fn conflict(&self, first: Option<&[f32]>) -> Option<Conflict> {
        let layout = &self.encoder.encoder().layout;
        self.encoder.gradients().map(|gradient| match first {
            Some(first) => {
                let second: Vec<f32> = gradient.iter().zip(first).map(|(a, b)| a - b).collect();
                Conflict::between(layout, first, &second)
            }
            None => Conflict::between(layout, gradient, &self.second_gradient),
        })
    }
}

/// Measures, without training anything, how the families' gradients on the shared weights agree on
/// `batches` batches of each family, calling `observe` with the number of the batch, from 1, and
/// the measurement.
///
/// # Errors
/// As [`prefinetune`](super::prefinetune()), and when no two gradients meet under the strategy.
pub fn measure_conflict<'e>(
    encoders: impl Into<Encoders<'e>>,
    config: &PrefinetuneConfig,
    batches: usize,
    mut observe: impl FnMut(usize, Conflict),
) -> Result<()> {
    config.check_measurable()?;
    let mut trainer = Trainer::new(encoders.into(), config)?;
    for batch in 1..=batches {
        let measured = trainer.forward_backward(batch, true)?.conflict;
        measured.into_iter().for_each(|conflict| observe(batch, conflict));
        let Trainer { encoder, adapters, objectives, .. } = &mut trainer;
        for parameters in parameters(encoder, adapters, objectives) {
            parameters.group.gradients.fill(0.0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_encoder::Encoder;

    #[test]
    fn every_part_by_hand() {
        let config = serde_json::json!({
            "num_hidden_layers": 2, "hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 8,
            "vocab_size": 5, "max_position_embeddings": 6,
        });
        let layout = Encoder::new(serde_json::from_value(config).unwrap()).layout;
        // Where the gradients lie in tensors of these names: NER 3 everywhere, TC as here, else
        // zero.
        let tc_of = |name: &str| match name {
            "encoder.layer.0.attention.self.key.weight" => 4.0,
            "encoder.layer.0.output.dense.bias" => -1.0,
            "encoder.layer.1.attention.output.LayerNorm.weight" => 2.0,
            "encoder.layer.1.output.LayerNorm.bias" => -2.0,
            "encoder.layer.1.attention.self.value.bias" => -0.5,
            _ => 0.0,
        };
        let (ner, mut tc) = (vec![3.0; layout.len()], vec![0.0; layout.len()]);
        for spec in &layout.tensors {
            tc[spec.range.clone()].fill(tc_of(&spec.name));
        }
        let conflict = Conflict::between(&layout, &ner, &tc);
        assert_eq!(conflict.embeddings, None);
        let parts = |layer: usize| conflict.layers[layer].keys().copied().collect::<Vec<_>>();
        assert_eq!(parts(0), [Part::Layer, Part::Key, Part::Output]);
        assert_eq!(parts(1), [Part::Layer, Part::Value, Part::Norms]);

        // The key has 16 weights and 4 biases: cosine 16 x 12 / (sqrt(20 x 9) sqrt(16 x 16)).
        let close = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}")
        };
        let key = conflict.layers[0][&Part::Key];
        close(key.cosine, 192.0 / (180f64.sqrt() * 16.0));
        close(key.norm_ratio, 180f64.sqrt() / 16.0);
        // The second map has 32 weights and 4 biases.
        close(conflict.layers[0][&Part::Output].cosine, -12.0 / (324f64.sqrt() * 2.0));
        // A layer has 64 + 16 numbers in attention, 32 + 8 and 32 + 4 in the feed-forward block, 16
        // in norms.
        close(
            conflict.layers[0][&Part::Layer].cosine,
            (192.0 - 12.0) / ((172.0 * 9f64).sqrt() * 260f64.sqrt()),
        );
        close(conflict.layers[1][&Part::Norms].cosine, 0.0);
    }
}
