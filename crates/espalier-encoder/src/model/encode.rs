//! Inference: hidden states alone, group by group.
//!
//! A batch is split into groups of sequences that fit into the cache of a core. Each group goes
//! through all layers before the next one starts, so that activations stay in the cache and threads
//! synchronise only at the end. If there is only one group, each of its matrix products is shared
//! among the threads.

use super::Model;
use super::activations::LayerActivations;
use super::layer::AdaptedRows;
use crate::batch::Batch;
use crate::packed::PackedLora;
use espalier_kernels::{Bf16, Element, Precision};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Tokens of a group, unless a single sequence has more.
const GROUP: usize = 128;

/// Which adapter is active on which sequences of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Adapters<'a> {
    /// None.
    None,
    /// The same for all sequences.
    One(&'a PackedLora),
    /// One, or none, for each sequence.
    PerSequence(&'a [Option<&'a PackedLora>]),
}

impl<'a> Adapters<'a> {
    fn of(&self, sequence: usize) -> Option<&'a PackedLora> {
        match self {
            Self::None => None,
            Self::One(adapter) => Some(adapter),
            Self::PerSequence(adapters) => adapters[sequence],
        }
    }

    /// The rows of each adapter in a group. Consecutive sequences with the same adapter are one
    /// range.
    fn rows(&self, batch: &Batch, sequences: Range<usize>) -> Vec<AdaptedRows<'a>> {
        let start = batch.offsets[sequences.start];
        let mut adapted: Vec<AdaptedRows> = Vec::new();
        for s in sequences {
            let Some(adapter) = self.of(s) else { continue };
            let rows = batch.offsets[s] - start..batch.offsets[s + 1] - start;
            match adapted.last_mut() {
                Some((last, same)) if std::ptr::eq(*same, adapter) && last.end == rows.start => {
                    last.end = rows.end
                }
                _ => adapted.push((rows, adapter)),
            }
        }
        adapted
    }
}

/// The layers to run, and what the first of them gets.
#[derive(Clone, Debug)]
pub struct LayerInput<'a> {
    /// The layers.
    pub layers: Range<usize>,
    /// Hidden states [T, H], or `None` for the embeddings of the batch.
    pub input: Option<&'a [f32]>,
}

impl Model<'_> {
    /// Hidden states [T, H] of all tokens: runs all layers and saves nothing.
    pub fn encode(&self, batch: &Batch) -> Vec<f32> {
        self.encode_layers(0..self.encoder.layers(), None, batch)
    }

    /// As [`Model::encode`], but runs only some layers: on the hidden states `input` [T, H] or, if
    /// `None`, on the embeddings of the batch.
    pub fn encode_layers(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
    ) -> Vec<f32> {
        let adapter = self.adapter.map(|lora| PackedLora::new(self.packed.precision(), lora));
        let adapters = adapter.as_ref().map_or(Adapters::None, Adapters::One);
        let mut out = vec![0.0; batch.tokens() * self.encoder.width()];
        self.encode_with_adapters(LayerInput { layers, input }, batch, adapters, &mut out);
        out
    }

    /// Runs some layers with these adapters instead of the model's own, into `out` [T, H].
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn encode_with_adapters(
        &self,
        LayerInput { layers, input }: LayerInput,
        batch: &Batch,
        adapters: Adapters,
        out: &mut [f32],
    ) {
        let width = self.encoder.width();
        assert_eq!(out.len(), batch.tokens() * width, "encode_with_adapters: shapes do not fit");
        assert!(
            input.is_none_or(|input| input.len() == out.len()),
            "encode_with_adapters: shapes do not fit"
        );
        let (groups, mut rest) = (groups(batch), out);
        let mut parts = Vec::with_capacity(groups.len());
        for sequences in groups {
            let tokens = batch.offsets[sequences.end] - batch.offsets[sequences.start];
            let (out, tail) = rest.split_at_mut(tokens * width);
            parts.push((sequences, out));
            rest = tail;
        }
        let run = |(sequences, out): (Range<usize>, &mut [f32])| {
            let adapted = adapters.rows(batch, sequences.clone());
            let input =
                input.map(|input| &input[batch.offsets[sequences.start] * width..][..out.len()]);
            let group =
                Group { layers: layers.clone(), input, batch: batch.slice(sequences), adapted };
            match self.packed.precision() {
                Precision::Bf16 => BF16.with(|pool| self.run_group(group, pool, out)),
                _ => F32.with(|pool| self.run_group(group, pool, out)),
            }
        };
        match parts.len() {
            1 => parts.into_iter().for_each(run),
            _ => parts.into_par_iter().with_max_len(1).for_each(run),
        }
    }

    fn run_group<E: Element>(
        &self,
        group: Group,
        pool: &RefCell<Vec<Workspace<E>>>,
        out: &mut [f32],
    ) {
        let Group { layers, input, batch, adapted } = group;
        // While this thread waits for others in a matrix product, rayon may give it another group,
        // which needs another workspace.
        let mut workspace = pool.borrow_mut().pop().unwrap_or_default();
        let Workspace { embedding, hidden, result, layer: saved } = &mut workspace;
        match input {
            Some(input) => {
                hidden.clear();
                hidden.extend(input.iter().map(|&x| E::from_f32(x)));
            }
            None => self.embed(&batch, embedding, &mut saved.output_stats, hidden),
        }
        if layers.is_empty() || batch.tokens() == 0 {
            out.iter_mut().zip(hidden.iter()).for_each(|(out, x)| *out = x.to_f32());
        }
        for layer in layers.clone() {
            if batch.tokens() == 0 {
                break;
            }
            self.layer(layer, hidden, &batch, &adapted, saved, false);
            if layer + 1 == layers.end {
                self.finish_layer(layer, saved, result);
                out.copy_from_slice(result);
            } else {
                self.finish_layer(layer, saved, hidden);
            }
        }
        pool.borrow_mut().push(workspace);
    }
}

/// Consecutive sequences that go through the layers together.
struct Group<'a> {
    layers: Range<usize>,
    input: Option<&'a [f32]>,
    batch: Batch,
    adapted: Vec<AdaptedRows<'a>>,
}

/// The buffers of a group, reused for the next one.
#[derive(Default)]
struct Workspace<E> {
    embedding: Vec<f32>,
    hidden: Vec<E>,
    result: Vec<f32>,
    layer: LayerActivations<E>,
}

thread_local! {
    static F32: RefCell<Vec<Workspace<f32>>> = const { RefCell::new(Vec::new()) };
    static BF16: RefCell<Vec<Workspace<Bf16>>> = const { RefCell::new(Vec::new()) };
}

/// Splits a batch into groups of about the same size, of at most about [`GROUP`] tokens and at
/// least one sequence. Their number is a multiple of the number of threads.
fn groups(batch: &Batch) -> Vec<Range<usize>> {
    let count = match batch.tokens().div_ceil(GROUP) {
        few @ (0 | 1) => few,
        many => many.next_multiple_of(rayon::current_num_threads()),
    };
    let tokens = batch.tokens().div_ceil(count.max(1)).max(1);
    // A sequence belongs to the group that contains its middle.
    let group = |s: usize| (batch.offsets[s] + batch.offsets[s + 1]) / 2 / tokens;
    let mut groups: Vec<Range<usize>> = Vec::with_capacity(count);
    for s in 0..batch.sequences() {
        match groups.last_mut() {
            Some(last) if group(last.start) == group(s) => last.end = s + 1,
            _ => groups.push(s..s + 1),
        }
    }
    groups
}
