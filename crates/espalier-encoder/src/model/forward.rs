//! The forward pass that saves what the backward pass needs.

use super::activations::{Activations, LayerActivations, SavedTensors};
use super::layer::AdaptedRows;
use super::{Model, TrainableModel};
use crate::batch::Batch;
use crate::encoder::Encoder;
use crate::packed::PackedLora;
use espalier_kernels::embedding::embed;
use espalier_kernels::layer_norm::{RowStats, layer_norm};
use espalier_kernels::{Element, Precision};
use std::ops::Range;

impl TrainableModel<'_> {
    /// Runs all layers and saves everything that [`TrainableModel::backward`] needs. The result is
    /// [`Activations::output`].
    pub fn forward(&self, batch: &Batch, activations: &mut Activations) {
        self.forward_layers(0..self.encoder.layers(), None, batch, activations);
    }

    /// As [`TrainableModel::forward`], but runs only some layers: on the hidden states `input` [T,
    /// H] or, if `None`, on the embeddings of the batch.
    pub fn forward_layers(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
        activations: &mut Activations,
    ) {
        let Activations { f32, bf16, precision, layers: ran, output, adapter } = activations;
        *precision = Some(self.packed.precision());
        *ran = layers.clone();
        match self.adapter {
            Some(lora) => PackedLora::pack_into(adapter, self.packed.precision(), lora),
            None => *adapter = None,
        }
        match self.packed.precision() {
            Precision::Bf16 => {
                self.forward_saving(layers, input, batch, adapter.as_ref(), bf16, output)
            }
            _ => self.forward_saving(layers, input, batch, adapter.as_ref(), f32, output),
        }
    }

    fn forward_saving<E: Element>(
        &self,
        layers: Range<usize>,
        input: Option<&[f32]>,
        batch: &Batch,
        adapter: Option<&PackedLora>,
        saved: &mut SavedTensors<E>,
        output: &mut Vec<f32>,
    ) {
        saved.first = layers.start;
        match input {
            Some(input) => {
                saved.input.clear();
                saved.input.extend(input.iter().map(|&x| E::from_f32(x)));
            }
            None => self.embed(
                batch,
                &mut saved.embedding_sum,
                &mut saved.embedding_stats,
                &mut saved.input,
            ),
        }
        if layers.is_empty() || batch.tokens() == 0 {
            output.clear();
            output.extend(saved.input.iter().map(|x| x.to_f32()));
            return;
        }
        let adapted: Option<AdaptedRows> = adapter.map(|adapter| (0..batch.tokens(), adapter));
        saved.layers.resize_with(self.encoder.layers(), LayerActivations::default);
        for layer in layers.clone() {
            let (below, rest) = saved.layers.split_at_mut(layer);
            let x = if layer == layers.start { &saved.input } else { &below[layer - 1].output };
            self.layer(layer, x, batch, adapted.as_slice(), &mut rest[0], true);
            if layer + 1 == layers.end {
                self.finish_layer(layer, &mut rest[0], output);
            } else {
                let mut out = std::mem::take(&mut rest[0].output);
                self.finish_layer(layer, &mut rest[0], &mut out);
                rest[0].output = out;
            }
        }
    }
}

impl Model<'_> {
    /// The embeddings: their `sum`, and `out` after LayerNorm, both [T, H].
    pub(super) fn embed<E: Element>(
        &self,
        batch: &Batch,
        sum: &mut Vec<f32>,
        stats: &mut Vec<RowStats>,
        out: &mut Vec<E>,
    ) {
        let Encoder { config, layout } = self.encoder;
        let (tokens, width) = (batch.tokens(), config.hidden_size);
        sum.resize(tokens * width, 0.0);
        stats.resize(tokens, RowStats::default());
        out.resize(tokens * width, E::default());
        let mut tables = layout.embeddings.view(self.weights);
        tables.word_embeddings = self.packed.word_embeddings().unwrap_or(tables.word_embeddings);
        embed(tables, &batch.ids, &batch.positions, sum);
        layer_norm(
            sum,
            layout.embeddings.norm.view(self.weights, config.layer_norm_eps),
            out,
            stats,
        );
    }
}
