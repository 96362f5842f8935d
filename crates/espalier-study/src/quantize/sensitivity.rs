//! Which matrices cause the largest errors when they are rounded to int8.

use super::ScoredAdapter;
use espalier_encoder::{Backbone, Batch, Encoded, PackedBackbone, TextEncoder};
use espalier_train::Result;

/// Number of texts that errors are measured on.
const TEXTS: usize = 128;

/// The backbone's matrices, the most sensitive first: by how much closer token vectors are to those
/// of `reference` when the matrix stays in bf16, per byte that this costs. `pack` packs with some
/// matrices in bf16.
///
/// Scores are too coarse for this: a single matrix changes the answer to few examples or to none.
pub(super) fn by_sensitivity(
    reference: &Backbone,
    adapters: &[ScoredAdapter],
    pack: impl Fn(&[String]) -> Result<PackedBackbone>,
) -> Result<Vec<String>> {
    let texts = texts(reference, adapters);
    let batch = Batch::from_texts(&texts);
    let vectors = |backbone: &TextEncoder| backbone.model(None).encode(&batch); // [T, H]
    let (wanted, width) = (vectors(reference), reference.encoder.width());
    let error = |in_bf16: &[String]| -> Result<f64> {
        let packed = pack(in_bf16)?;
        Ok(mean_distance(&wanted, &vectors(&packed), width))
    };

    let in_int8 = error(&[])?;
    let mut gains = Vec::new();
    for (name, elements) in reference.matrices() {
        let gain = in_int8 - error(std::slice::from_ref(&name))?;
        gains.push((gain / elements as f64, name));
    }
    gains.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    Ok(gains.into_iter().map(|(_, name)| name).collect())
}

/// Some of the adapters' texts, evenly from each.
fn texts(backbone: &Backbone, adapters: &[ScoredAdapter]) -> Vec<Encoded> {
    let each = TEXTS.div_ceil(adapters.len().max(1));
    let tokenizer = &backbone.tokenizer;
    let of_adapter = |scored: &ScoredAdapter| -> Vec<Encoded> {
        let step = scored.examples.len().div_ceil(each).max(1);
        scored
            .examples
            .texts()
            .into_iter()
            .step_by(step)
            .map(|text| tokenizer.encode(text))
            .collect()
    };
    adapters.iter().flat_map(of_adapter).collect()
}

/// Mean over rows of one minus the cosine, of x and y [n, H].
fn mean_distance(x: &[f32], y: &[f32], width: usize) -> f64 {
    let dot = |x: &[f32], y: &[f32]| {
        x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>()
    };
    let distance = |(x, y): (&[f32], &[f32])| {
        1.0 - dot(x, y) / (dot(x, x) * dot(y, y)).sqrt().max(f64::MIN_POSITIVE)
    };
    x.chunks_exact(width).zip(y.chunks_exact(width)).map(distance).sum::<f64>()
        / (x.len() / width).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::mean_distance;

    #[test]
    fn distance_is_of_directions() {
        let x = [1.0, 0.0, 0.0, 2.0];
        assert_eq!(mean_distance(&x, &[3.0, 0.0, 0.0, 1.0], 2), 0.0);
        assert_eq!(mean_distance(&x, &[0.0, 1.0, 0.0, -1.0], 2), 1.5);
        assert_eq!(mean_distance(&[], &[], 2), 0.0);
    }
}
