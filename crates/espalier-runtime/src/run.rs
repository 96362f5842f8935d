//! From texts to answers, in portions of bounded memory.

use crate::answer::TextAnswers;
use crate::attached::{Attached, Texts};
use crate::plan::{Segment, plan};
use espalier_encoder::{Adapters, Batch, Encoded, LayerInput, PackedLora, TextEncoder};
use rayon::prelude::*;
use std::collections::HashMap;
use std::hash::Hash;
use std::iter::repeat_n;
use std::mem::swap;
use std::ops::Range;
use std::sync::Arc;

/// Texts whose tokens are kept at a time.
const TEXTS: usize = 256;
/// Adapters that share a pass. The trunk is run once per pass, so that more would save next to
/// nothing.
const ADAPTERS: usize = 32;
/// Token vectors that a pass keeps at a time (twice: before and after a layer), unless a single
/// text makes more. With MiniLM's width of 384 they take 24 MiB; they are enough to keep some dozen
/// threads busy.
const TOKENS: usize = 1 << 14;

/// The values without repetitions, in the order in which they appear first, and for each value its
/// place there.
pub(crate) fn distinct<T: Copy + Eq + Hash>(
    values: impl Iterator<Item = T>,
) -> (Vec<T>, Vec<usize>) {
    let (mut found, mut places) = (Vec::new(), HashMap::new());
    let place = |value| {
        *places.entry(value).or_insert_with(|| {
            found.push(value);
            found.len() - 1
        })
    };
    let indices = values.map(place).collect();
    (found, indices)
}

/// Of an adapter, by its index, whose answers are no finite numbers.
pub(crate) struct NotFinite(pub usize);

/// The adapters' answers on each text.
pub(crate) fn run(
    backbone: &TextEncoder,
    texts: &[&str],
    adapters: &[Arc<Attached>],
) -> Result<Vec<TextAnswers>, NotFinite> {
    let mut found = Vec::with_capacity(texts.len());
    for texts in texts.chunks(TEXTS) {
        found.extend(run_texts(backbone, texts, adapters)?);
    }
    Ok(found)
}

fn run_texts(
    backbone: &TextEncoder,
    texts: &[&str],
    adapters: &[Arc<Attached>],
) -> Result<Vec<TextAnswers>, NotFinite> {
    let mut encoded = vec![Encoded::default(); texts.len()];
    encoded
        .par_iter_mut()
        .zip(texts)
        .for_each(|(encoded, text)| *encoded = backbone.tokenizer.encode(text));
    let none = |text: &Encoded| TextAnswers {
        truncated: text.truncated,
        answers: Vec::with_capacity(adapters.len()),
    };
    let mut results: Vec<TextAnswers> = encoded.iter().map(none).collect();
    for (chunk, adapters) in adapters.chunks(ADAPTERS).enumerate() {
        let first: Vec<usize> =
            adapters.iter().map(|adapter| adapter.lora.trunk_layers()).collect();
        let plan = plan(&first, backbone.encoder.layers());
        let Some(top) = plan.last() else { continue };
        for portion in portions(encoded.iter().map(|text| text.ids.len() * top.rows.len())) {
            let encoded = &encoded[portion.clone()];
            let hidden = forward(backbone, adapters, &plan, encoded);
            let batch = &Batch::from_texts(encoded);
            let texts = Texts { texts: &texts[portion.clone()], encoded, batch };
            let block = batch.tokens() * backbone.encoder.width();
            for (index, adapter) in adapters.iter().enumerate() {
                let hidden = &hidden[top.row_of(index) * block..][..block]; // [T, H]
                let answers = adapter.answers(backbone, texts, hidden);
                let answers = answers.ok_or(NotFinite(chunk * ADAPTERS + index))?;
                results[portion.clone()]
                    .iter_mut()
                    .zip(answers)
                    .for_each(|(result, answer)| result.answers.push(answer));
            }
        }
    }
    Ok(results)
}

/// Cuts texts of these numbers of token vectors into portions of at most [`TOKENS`], at least one
/// text each.
fn portions(sizes: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let (mut portions, mut tokens) = (Vec::<Range<usize>>::new(), 0);
    for (index, size) in sizes.into_iter().enumerate() {
        match portions.last_mut() {
            Some(portion) if tokens + size <= TOKENS => {
                portion.end = index + 1;
                tokens += size;
            }
            _ => {
                portions.push(index..index + 1);
                tokens = size;
            }
        }
    }
    portions
}

/// The token vectors after the last layer: for each row of the last segment those of all texts, [T,
/// H].
fn forward(
    backbone: &TextEncoder,
    adapters: &[Arc<Attached>],
    plan: &[Segment],
    texts: &[Encoded],
) -> Vec<f32> {
    let model = backbone.model(None);
    let block = texts.iter().map(|text| text.ids.len()).sum::<usize>() * backbone.encoder.width();
    let (mut hidden, mut out, mut rows) = (Vec::new(), Vec::new(), 0);
    for Segment { layers, rows: on } in plan {
        if layers.start > 0 {
            // The last block is the plain one, and whatever joins here is a copy of it.
            for _ in rows..on.len() {
                hidden.extend_from_within(hidden.len() - block..);
            }
        }
        rows = on.len();
        let batch = Batch::from_texts(repeat_n(texts, rows).flatten());
        let lora = |row: &Option<usize>| row.map(|adapter| &adapters[adapter].lora);
        let adapters: Vec<Option<&PackedLora>> =
            on.iter().flat_map(|row| repeat_n(lora(row), texts.len())).collect();
        let input = (layers.start > 0).then_some(hidden.as_slice());
        out.resize(rows * block, 0.0);
        let input = LayerInput { layers: layers.clone(), input };
        model.encode_with_adapters(input, &batch, Adapters::PerSequence(&adapters), &mut out);
        swap(&mut hidden, &mut out);
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_hold_as_many_texts_as_they_may() {
        assert!(portions([]).is_empty());
        assert_eq!(portions([TOKENS / 2; 5]), [0..2, 2..4, 4..5]);
        assert_eq!(portions([1, TOKENS, 0, 1, TOKENS * 3, 1]), [0..1, 1..3, 3..4, 4..5, 5..6]);
    }

    #[test]
    fn repetitions_are_found() {
        assert_eq!(
            distinct(["b", "a", "b", "c", "a"].into_iter()),
            (vec!["b", "a", "c"], vec![0, 1, 0, 2, 1])
        );
    }
}
