//! The conflict meter: how far the two families' gradients on the shared weights disagree.

use super::{Encoders, Trainer, parameters};
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use espalier_encoder::layout::{LayerLayout, Layout};
use espalier_kernels::optimizer::{dot, sum_of_squares};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The gradients of both families on the same weights, compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The cosine of the angle between the two gradients. Negative: they conflict.
    pub cosine: f64,
    /// The norm of the NER gradient divided by the norm of the classification gradient.
    pub norm_ratio: f64,
}

/// A part of a transformer layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The whole layer.
    Layer,
    /// The query projection, with its bias, as all linear maps below.
    Query,
    /// The key projection.
    Key,
    /// The value projection.
    Value,
    /// The output projection of attention.
    AttentionOutput,
    /// The first linear map of the feed-forward block.
    Intermediate,
    /// The second linear map of the feed-forward block.
    Output,
    /// Both LayerNorms.
    Norms,
}

impl Part {
    /// All parts, [`Part::Layer`] first.
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

    /// The name in reports.
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

/// One measurement, on a batch of each family. Weights without gradients (frozen, or with a loss of
/// weight zero) are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The word, position and type embeddings and their LayerNorm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<Agreement>,
    /// The layers, first to last, by part.
    pub layers: Vec<BTreeMap<Part, Agreement>>,
}

impl Conflict {
    /// Compares two gradients, laid out as the weights.
    fn between(layout: &Layout, ner: &[f32], tc: &[f32]) -> Self {
        let embeddings = layout.embeddings.all.clone();
        let layer = |at| {
            let mut products: BTreeMap<Part, InnerProducts> = BTreeMap::new();
            for ((part, ner), (_, tc)) in parts(at, ner).into_iter().zip(parts(at, tc)) {
                let of_tensor = InnerProducts::of(ner, tc);
                products.entry(Part::Layer).or_default().add(of_tensor);
                products.entry(part).or_default().add(of_tensor);
            }
            products
                .into_iter()
                .filter_map(|(part, products)| Some((part, products.agreement()?)))
                .collect()
        };
        Self {
            embeddings: InnerProducts::of(&ner[embeddings.clone()], &tc[embeddings]).agreement(),
            layers: layout.layers.iter().map(layer).collect(),
        }
    }
}

/// The tensors of one layer, in a vector laid out as the weights.
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

/// The inner products of two gradients with each other and themselves.
#[derive(Clone, Copy, Default)]
struct InnerProducts {
    ner_tc: f64,
    ner_ner: f64,
    tc_tc: f64,
}

impl InnerProducts {
    fn of(ner: &[f32], tc: &[f32]) -> Self {
        Self { ner_tc: dot(ner, tc), ner_ner: sum_of_squares(ner), tc_tc: sum_of_squares(tc) }
    }

    fn add(&mut self, other: Self) {
        self.ner_tc += other.ner_tc;
        self.ner_ner += other.ner_ner;
        self.tc_tc += other.tc_tc;
    }

    /// `None` if a gradient is zero or not finite.
    fn agreement(self) -> Option<Agreement> {
        let norms = self.ner_ner.sqrt() * self.tc_tc.sqrt();
        (norms > 0.0 && norms.is_finite()).then(|| Agreement {
            cosine: self.ner_tc / norms,
            norm_ratio: (self.ner_ner / self.tc_tc).sqrt(),
        })
    }
}

impl Trainer<'_> {
    /// Whether a step compares the families' gradients.
    pub(super) fn measures_conflict(&self, step: usize) -> bool {
        let every = self.config.conflict.every;
        every > 0 && step.is_multiple_of(every) && self.config.check_measurable().is_ok()
    }

    /// Compares the gradients of a step on the shared weights. `first` is a copy of the first
    /// objective's gradient, taken before the second was accumulated on top; `None` if the two were
    /// computed separately.
    pub(super) fn conflict(&self, first: Option<&[f32]>) -> Option<Conflict> {
        let layout = &self.encoder.encoder().layout;
        self.encoder.gradients().map(|gradient| match first {
            Some(first) => {
                let second: Vec<f32> = gradient.iter().zip(first).map(|(a, b)| a - b).collect();
                Conflict::between(layout, first, &second)
            }
            None => Conflict::between(layout, gradient, &self.separate_gradient),
        })
    }
}

/// Compares the families' gradients on the shared weights for `batches` batches of each family,
/// without training. Calls `observe` with the number of the batch, from 1, and the measurement.
///
/// ```
/// use espalier_encoder::Backbone;
/// use espalier_train::PrefinetuneConfig;
/// use espalier_train::strategy::Strategy;
/// use espalier_train::trainer::{Part, measure_conflict};
///
/// # let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// # let directory = tempfile::tempdir()?;
/// # let [sentences, pairs] = ["ner.jsonl", "tc.jsonl"].map(|name| directory.path().join(name));
/// let backbone = Backbone::open(model.as_ref())?;
/// let city = r#"{"tokens": ["to", "london"], "spans": [{"start": 1, "end": 2, "type": "city"}]}"#;
/// std::fs::write(&sentences, city)?;
/// let hotels = r#"{"anchor": "a cheap hotel", "positive": "about hotels"}
///                 {"anchor": "a train to paris", "positive": "about trains"}"#;
/// std::fs::write(&pairs, hotels)?;
///
/// let mut config = PrefinetuneConfig::default();
/// config.strategy = Strategy::JOINT;
/// config.ner.corpora = vec![sentences.into()];
/// config.tc.corpora = vec![pairs.into()];
/// measure_conflict(&backbone, &config, 1, |batch, conflict| {
///     assert_eq!((batch, conflict.layers.len()), (1, 3));
///     let cosine = conflict.layers[0][&Part::Layer].cosine;
///     assert!((-1.0..=1.0).contains(&cosine));
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`prefinetune`](super::prefinetune()), and [`TrainError::ConfigValue`] if the strategy
/// does not train the shared weights with both families in each step.
///
/// [`TrainError::ConfigValue`]: crate::TrainError::ConfigValue
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
    fn each_part_matches_a_calculation_by_hand() {
        let config = serde_json::json!({
            "num_hidden_layers": 2,
            "hidden_size": 4,
            "num_attention_heads": 2,
            "intermediate_size": 8,
            "vocab_size": 5,
            "max_position_embeddings": 6,
        });
        let layout = Encoder::new(serde_json::from_value(config).unwrap()).layout;
        // The NER gradient is 3 everywhere. The TC gradient is zero except in these tensors.
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

        // The key has 16 weights and 4 biases: the cosine is
        // 16 x 12 / (sqrt(20 x 9) sqrt(16 x 16)).
        let close = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}")
        };
        let key = conflict.layers[0][&Part::Key];
        close(key.cosine, 192.0 / (180f64.sqrt() * 16.0));
        close(key.norm_ratio, 180f64.sqrt() / 16.0);
        // The second linear map has 32 weights and 4 biases.
        close(conflict.layers[0][&Part::Output].cosine, -12.0 / (324f64.sqrt() * 2.0));
        // A layer has 64 + 16 numbers in attention, 32 + 8 and 32 + 4 in the feed-forward block,
        // and 16 in the LayerNorms.
        close(
            conflict.layers[0][&Part::Layer].cosine,
            (192.0 - 12.0) / ((172.0 * 9f64).sqrt() * 260f64.sqrt()),
        );
        close(conflict.layers[1][&Part::Norms].cosine, 0.0);
    }
}
