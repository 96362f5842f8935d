//! From texts to answers, in chunks of bounded memory.

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

/// Texts that are encoded at a time.
const TEXTS: usize = 256;
/// Adapters that run together at most. The trunk runs once for all of them, so more would save next
/// to nothing.
const ADAPTERS: usize = 32;
/// Hidden states that are in memory at a time (twice: input and output of a layer), unless a single
/// text has more. With MiniLM's width of 384 they take 24 MiB, and are enough to keep a dozen
/// threads busy.
const TOKENS: usize = 1 << 14;

/// The values without duplicates, in the order of their first occurrence, and for each value its
/// index among them.
pub(crate) fn distinct<T: Copy + Eq + Hash>(
    values: impl Iterator<Item = T>,
) -> (Vec<T>, Vec<usize>) {
    let (mut found, mut known) = (Vec::new(), HashMap::new());
    let index = |value| {
        *known.entry(value).or_insert_with(|| {
            found.push(value);
            found.len() - 1
        })
    };
    let indices = values.map(index).collect();
    (found, indices)
}

/// The index of an adapter whose answers are not finite.
pub(crate) struct NotFinite(pub usize);

/// The adapters' answers for each text.
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
    for (group, adapters) in adapters.chunks(ADAPTERS).enumerate() {
        let first: Vec<usize> =
            adapters.iter().map(|adapter| adapter.lora.trunk_layers()).collect();
        let plan = plan(&first, backbone.encoder.layers());
        let Some(top) = plan.last() else { continue };
        for chunk in chunks(encoded.iter().map(|text| text.ids.len() * top.rows.len())) {
            let encoded = &encoded[chunk.clone()];
            let hidden = forward(backbone, adapters, &plan, encoded);
            let batch = &Batch::from_texts(encoded);
            let texts = Texts { texts: &texts[chunk.clone()], encoded, batch };
            let block = batch.tokens() * backbone.encoder.width();
            for (index, adapter) in adapters.iter().enumerate() {
                let hidden = &hidden[top.row_of(index) * block..][..block]; // [T, H]
                let answers = adapter.answers(backbone, texts, hidden);
                let answers = answers.ok_or(NotFinite(group * ADAPTERS + index))?;
                results[chunk.clone()]
                    .iter_mut()
                    .zip(answers)
                    .for_each(|(result, answer)| result.answers.push(answer));
            }
        }
    }
    Ok(results)
}

/// Splits texts with these numbers of hidden states into chunks of at most [`TOKENS`], and at least
/// one text.
fn chunks(sizes: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let (mut chunks, mut tokens) = (Vec::<Range<usize>>::new(), 0);
    for (index, size) in sizes.into_iter().enumerate() {
        match chunks.last_mut() {
            Some(chunk) if tokens + size <= TOKENS => {
                chunk.end = index + 1;
                tokens += size;
            }
            _ => {
                chunks.push(index..index + 1);
                tokens = size;
            }
        }
    }
    chunks
}

/// The hidden states of the last layer: for each row of the last segment those of all texts, [T,
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
            // The last block is that of the plain row. Rows that begin here are copies of it.
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
    fn chunks_have_as_many_texts_as_fit() {
        assert!(chunks([]).is_empty());
        assert_eq!(chunks([TOKENS / 2; 5]), [0..2, 2..4, 4..5]);
        assert_eq!(chunks([1, TOKENS, 0, 1, TOKENS * 3, 1]), [0..1, 1..3, 3..4, 4..5, 5..6]);
    }

    #[test]
    fn duplicates_are_found() {
        assert_eq!(
            distinct(["b", "a", "b", "c", "a"].into_iter()),
            (vec!["b", "a", "c"], vec![0, 1, 0, 2, 1])
        );
    }
}
