//! Texts through a backbone that has been accepted.

use espalier_encoder::{AnyBackbone, Batch, Precision};

/// Nothing, a bit of everything, and more than the small models take.
pub const TEXTS: [&str; 3] = [
    "",
    "A b ab [MASK] caf\u{e9}, \u{4e2d}!",
    "a b ab a b ab a b ab a b ab a b ab a b ab a b ab a b ab",
];

/// The token vectors of [`TEXTS`] in every precision that the backbone computes in, [precisions *
/// T, H].
pub fn vectors(backbone: &AnyBackbone) -> Vec<f32> {
    let texts = TEXTS.map(|text| backbone.tokenizer.encode(text));
    let rows = backbone.encoder.config.vocab_size;
    for text in &texts {
        assert!(text.ids.iter().all(|&id| (id as usize) < rows), "an id without a word vector");
        assert!(
            text.ids.len() <= backbone.tokenizer.max_tokens(),
            "more tokens than the model takes"
        );
    }
    let batch = Batch::from_texts(&texts);
    let (mut vectors, mut pooled) = (Vec::new(), Vec::new());
    for precision in Precision::ALL {
        let Ok(backbone) = backbone.clone().with_precision(precision) else { continue };
        let hidden = backbone.model(None).encode(&batch); // [T, H]
        backbone.text_vectors.pooling.forward(
            &hidden,
            &batch,
            backbone.encoder.width(),
            &mut pooled,
        );
        assert_eq!(hidden.len(), batch.tokens() * backbone.encoder.width());
        vectors.extend(hidden);
    }
    vectors
}

/// Whether two sets of numbers are the same to the bit, where any NaN is as good as another.
pub fn same(a: &[f32], b: &[f32]) -> bool {
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(same)
}
