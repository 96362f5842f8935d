//! Where the families' gradients conflict: measurements per layer summed up, and how many of the
//! last layers should have adapters of their own.

use crate::statistics::Mean;
use espalier_encoder::LoraConfig;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::{Agreement, Conflict, Part};
use serde::Serialize;
use std::collections::BTreeMap;

/// Measurements, summed up.
///
/// ```
/// use espalier_study::conflict::ConflictReport;
/// use espalier_train::strategy::Strategy;
/// use espalier_train::trainer::{Agreement, Conflict, Part};
///
/// // Two measurements of an encoder of three layers, whose last one conflicts.
/// let layer = |cosine| [(Part::Layer, Agreement { cosine, norm_ratio: 1.0 })].into();
/// let measured = |last| Conflict { embeddings: None, layers: [0.2, 0.1, last].map(layer).into() };
/// let measurements = vec![(1, measured(-0.30)), (2, measured(-0.31))];
/// let report = ConflictReport::new("tiny-bert", Strategy::JOINT, measurements);
/// assert_eq!(report.suggestion.layers, 1);
/// ```
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ConflictReport {
    /// The encoder: a description, a directory or a hub id.
    pub backbone: String,
    /// The strategy that the gradients were computed under.
    pub strategy: Strategy,
    /// The embeddings, unless they are frozen.
    pub embeddings: Option<Summary>,
    /// The layers, first to last.
    pub layers: Vec<Summary>,
    /// How many layers should have adapters.
    pub suggestion: Suggestion,
    /// The measurements with their steps (of a run) or numbers (of batches), from 1.
    pub measurements: Vec<(usize, Conflict)>,
}

/// Means over the measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Cosine between the families' gradients.
    pub cosine: Mean,
    /// Norm of the NER gradient over that of the classification gradient: geometric mean, because a
    /// batch whose loss is nearly zero makes a ratio of hundreds.
    pub norm_ratio: f64,
    /// Cosine of each part.
    pub parts: BTreeMap<Part, Mean>,
}

/// How many of the last layers should have adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Suggestion {
    /// The number of layers, k.
    pub layers: usize,
    /// The lowest layer, from 1, whose families conflict beyond noise.
    pub lowest_conflict: Option<usize>,
}

impl ConflictReport {
    /// Sums up measurements. Successive steps of a run are not independent, so their confidence
    /// intervals are too narrow; those of separate batches hold.
    pub fn new(backbone: &str, strategy: Strategy, measurements: Vec<(usize, Conflict)>) -> Self {
        let layers = measurements.first().map_or(0, |(_, conflict)| conflict.layers.len());
        let layers: Vec<Summary> = (0..layers)
            .map(|layer| {
                let of_part = |part: Part| {
                    let values = measurements
                        .iter()
                        .filter_map(|(_, conflict)| conflict.layers.get(layer)?.get(&part));
                    values.copied().collect::<Vec<Agreement>>()
                };
                let parts = Part::ALL[1..].iter().map(|&part| (part, cosine(&of_part(part))));
                Summary::of(&of_part(Part::Layer), parts.filter(|(_, mean)| mean.n > 0).collect())
            })
            .collect();
        let embeddings: Vec<Agreement> =
            measurements.iter().filter_map(|(_, conflict)| conflict.embeddings).collect();
        Self {
            backbone: backbone.into(),
            strategy,
            embeddings: (!embeddings.is_empty()).then(|| Summary::of(&embeddings, BTreeMap::new())),
            suggestion: Suggestion::of(&layers),
            layers,
            measurements,
        }
    }
}

impl Summary {
    fn of(values: &[Agreement], parts: BTreeMap<Part, Mean>) -> Self {
        let logarithms: Vec<f64> = values.iter().map(|value| value.norm_ratio.ln()).collect();
        Self { cosine: cosine(values), norm_ratio: Mean::of(&logarithms).mean.exp(), parts }
    }

    /// Whether the families conflict beyond noise: all of the cosine's 95 % interval is below zero.
    pub fn conflicts(&self) -> bool {
        self.cosine.half_width.is_some_and(|half_width| self.cosine.mean + half_width < 0.0)
    }
}

fn cosine(values: &[Agreement]) -> Mean {
    Mean::of(&values.iter().map(|value| value.cosine).collect::<Vec<_>>())
}

impl Suggestion {
    /// The smallest k such that no layer below the last k conflicts beyond noise. A third of the
    /// layers if that is none of them, or all of them, which would leave no layers to share.
    fn of(layers: &[Summary]) -> Self {
        let lowest = layers.iter().position(Summary::conflicts);
        let k = match lowest {
            Some(lowest) if lowest > 0 => layers.len() - lowest,
            _ => LoraConfig::for_layers(layers.len()).layers,
        };
        Self { layers: k, lowest_conflict: lowest.map(|layer| layer + 1) }
    }

    /// The reason, in words.
    pub fn reason(&self) -> String {
        match self.lowest_conflict {
            None => "no layer conflicts beyond noise, so a third of the layers".into(),
            Some(1) => {
                "the conflict reaches down to the first layer, so a third of the layers".into()
            }
            Some(layer) => format!("layer {layer} is the lowest that conflicts beyond noise"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two measurements of three layers; each layer's cosine is `mean` +- `spread`.
    fn report(layers: [(f64, f64); 3]) -> ConflictReport {
        let measured = |sign: f64| Conflict {
            embeddings: Some(Agreement { cosine: 0.5, norm_ratio: 2.0 }),
            layers: layers
                .map(|(mean, spread)| {
                    let value = Agreement {
                        cosine: mean + sign * spread,
                        norm_ratio: 2f64.powf(1.0 + sign),
                    };
                    [(Part::Layer, value), (Part::Key, Agreement { cosine: sign, ..value })].into()
                })
                .into(),
        };
        ConflictReport::new("b", Strategy::JOINT, vec![(1, measured(-1.0)), (2, measured(1.0))])
    }

    #[test]
    fn means_over_measurements() {
        let report = report([(0.1, 0.0), (-0.2, 0.01), (0.0, 0.5)]);
        assert_eq!(report.embeddings.as_ref().unwrap().cosine.mean, 0.5);
        let layer = &report.layers[1];
        assert!((layer.cosine.mean + 0.2).abs() < 1e-12);
        assert!((layer.norm_ratio - 2.0).abs() < 1e-12, "of 1 and 4, {}", layer.norm_ratio);
        assert_eq!(layer.parts.keys().collect::<Vec<_>>(), [&Part::Key]);
        assert_eq!(layer.parts[&Part::Key].mean, 0.0);
    }

    /// With two values mean +- s the half-width is 12.706 s.
    #[test]
    fn adapters_start_at_the_lowest_conflict() {
        let suggested = |layers| {
            let Suggestion { layers, lowest_conflict } = report(layers).suggestion;
            (layers, lowest_conflict)
        };
        assert_eq!(suggested([(0.1, 0.0), (-0.2, 0.01), (0.1, 0.0)]), (2, Some(2)));
        assert_eq!(
            suggested([(0.1, 0.0), (-0.2, 0.02), (-0.1, 0.0)]),
            (1, Some(3)),
            "0.2 < 0.254: noise"
        );
        assert_eq!(
            suggested([(0.1, 0.0), (0.2, 0.0), (0.0, 0.0)]),
            (1, None),
            "a third of three layers"
        );
        assert_eq!(
            suggested([(-0.1, 0.0), (0.2, 0.0), (-0.1, 0.0)]),
            (1, Some(1)),
            "no trunk would be left"
        );
    }
}
