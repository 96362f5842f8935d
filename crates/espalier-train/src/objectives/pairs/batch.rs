//! A batch of text pairs: which texts are compared with which.

use super::loss::false_negatives;
use espalier_data::TextPair;
use std::collections::HashMap;

/// A batch of pairs: the distinct texts, and the indices of the texts that are compared.
pub(super) struct PairBatch<'a> {
    /// The distinct texts: anchors, then positives, then hard negatives.
    pub(super) texts: Vec<&'a str>,
    /// The anchor of each pair, `[n]`.
    pub(super) anchors: Vec<usize>,
    /// The positive of each pair, then the hard negatives of all pairs, `[n + q]`.
    pub(super) candidates: Vec<usize>,
    /// The false negatives, see [`false_negatives`], [n, n + q].
    pub(super) excluded: Vec<bool>,
}

impl<'a> PairBatch<'a> {
    /// An anchor with several positives makes a pair with each of them.
    pub(super) fn new(pairs: &'a [TextPair]) -> Self {
        let (mut texts, mut indices) = (Vec::new(), HashMap::new());
        let mut index = |text: &'a str| {
            *indices.entry(text).or_insert_with(|| {
                texts.push(text);
                texts.len() - 1
            })
        };
        let positives = |pair: &'a TextPair| std::iter::once(&pair.positive).chain(&pair.positives);
        let anchors: Vec<usize> = pairs
            .iter()
            .flat_map(|pair| positives(pair).map(|_| &pair.anchor))
            .map(|text| index(text))
            .collect();
        let positives: Vec<usize> =
            pairs.iter().flat_map(positives).map(|text| index(text)).collect();
        let negatives: Vec<usize> =
            pairs.iter().flat_map(|pair| &pair.negatives).map(|text| index(text)).collect();
        let excluded = false_negatives(&anchors, &positives, &negatives);
        Self { texts, anchors, candidates: [positives, negatives].concat(), excluded }
    }
}
