//! Encoders and adapters in training, each with its parameter group.

use crate::config::{GroupConfig, PrefinetuneConfig};
use crate::error::{Result, TrainError};
use crate::initialization::uniform;
use crate::optimizer::{ParameterGroup, Parameters};
use espalier_data::sampling::generator;
use espalier_encoder::{Backbone, Encoder, Family, Lora, Model, PackedWeights, TrainableModel};
use std::collections::BTreeMap;
use std::ops::Range;

/// An encoder's weights, the packed weights that the kernels read, and the parameter group. The
/// weights are packed again after every change.
pub(crate) struct TrainedEncoder<'a> {
    encoder: &'a Encoder,
    weights: Vec<f32>,
    packed: PackedWeights,
    /// `None` if the weights are frozen.
    group: Option<ParameterGroup>,
}

impl<'a> TrainedEncoder<'a> {
    /// Starts from the weights of the backbone.
    pub(crate) fn new(
        backbone: &'a Backbone,
        config: &PrefinetuneConfig,
        group: Option<ParameterGroup>,
    ) -> Self {
        let (encoder, weights) = (&*backbone.encoder, backbone.weights().to_vec());
        let packed = PackedWeights::new(encoder, &weights, config.train.precision.precision());
        Self { encoder, weights, packed, group }
    }

    pub(crate) fn encoder(&self) -> &'a Encoder {
        self.encoder
    }

    pub(crate) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The gradients, laid out as the weights; `None` if these are frozen.
    pub(crate) fn gradients(&self) -> Option<&[f32]> {
        self.group.as_ref().map(|group| group.gradients.as_slice())
    }

    /// As [`TrainedEncoder::gradients`].
    pub(crate) fn gradients_mut(&mut self) -> Option<&mut [f32]> {
        self.group.as_mut().map(|group| group.gradients.as_mut_slice())
    }

    /// The model, and the buffer of its weights' gradients unless they are frozen.
    ///
    /// # Errors
    /// [`EncoderError::NotTrainable`](espalier_encoder::EncoderError::NotTrainable) in int8.
    pub(crate) fn model<'m>(
        &'m mut self,
        adapter: Option<&'m Lora>,
    ) -> Result<(TrainableModel<'m>, Option<&'m mut [f32]>)> {
        let Self { encoder, weights, packed, group } = self;
        let gradients = group.as_mut().map(|group| group.gradients.as_mut_slice());
        Ok((TrainableModel::new(Model { encoder, weights, packed, adapter })?, gradients))
    }

    /// The weights with their parameter group; `None` if they are frozen.
    pub(crate) fn parameters(&mut self, name: &'static str) -> Option<Parameters<'_>> {
        let Self { encoder, weights, packed, group } = self;
        let group = group.as_mut()?;
        Some(Parameters { name, values: weights, group, packed: Some((encoder, packed)) })
    }

    /// Replaces all weights.
    ///
    /// # Panics
    /// If the number of weights differs.
    pub(crate) fn load(&mut self, weights: &[f32]) {
        self.weights.copy_from_slice(weights);
        self.packed.pack(self.encoder, &self.weights);
    }
}

/// The parameter group of an encoder. Matrices have weight decay, biases and LayerNorms have none.
/// Embeddings are left out if they are frozen.
pub(crate) fn encoder_group(
    encoder: &Encoder,
    config: &PrefinetuneConfig,
    learning_rate: f32,
    weight_decay: f32,
) -> ParameterGroup {
    let layout = &encoder.layout;
    let frozen = if config.train.freeze_embeddings { layout.embeddings.all.end } else { 0 };
    let trained = layout.tensors.iter().filter(|spec| spec.range.start >= frozen);
    let decay = |decays: bool| if decays { weight_decay } else { 0.0 };
    let trained: Vec<(Range<usize>, f32)> =
        trained.map(|spec| (spec.range.clone(), decay(spec.decays()))).collect();
    ParameterGroup::new(layout.len(), learning_rate, trained)
}

/// The parameter group of one objective's own parameters, `length` of them, of which the range
/// `trained` is trained. See [`with_own_schedule`].
pub(crate) fn objective_group(
    config: &PrefinetuneConfig,
    settings: &GroupConfig,
    length: usize,
    trained: Range<usize>,
) -> ParameterGroup {
    let trained = vec![(trained, settings.weight_decay)];
    let group = ParameterGroup::new(length, settings.learning_rate, trained);
    with_own_schedule(group, config, settings)
}

/// Gives a group of one objective's own parameters the schedule of `settings`. The group is updated
/// only in the steps that have a batch of that objective.
pub(crate) fn with_own_schedule(
    group: ParameterGroup,
    config: &PrefinetuneConfig,
    settings: &GroupConfig,
) -> ParameterGroup {
    let (schedule, warmup) = config.train.schedule_of(settings);
    let period = config.train.composition.period(config.strategy.objectives.len());
    group.with_schedule(schedule, warmup).updated_every(period)
}

/// A family's adapter and its parameter group.
pub(crate) struct TrainedAdapter {
    pub(crate) lora: Lora,
    pub(crate) group: ParameterGroup,
}

impl TrainedAdapter {
    pub(crate) fn parameters(&mut self, family: Family) -> Parameters<'_> {
        let name = match family {
            Family::Ner => "adapter.ner",
            Family::Tc => "adapter.tc",
        };
        Parameters::new(name, &mut self.lora.values, &mut self.group)
    }
}

/// A fresh adapter for each family that the strategy trains; none if it has no family adapters.
pub(crate) fn family_adapters(
    encoder: &Encoder,
    config: &PrefinetuneConfig,
) -> Result<BTreeMap<Family, TrainedAdapter>> {
    if !config.strategy.family_adapters {
        return Ok(BTreeMap::new());
    }
    let shape = config.adapter.lora(encoder.layers());
    if shape.layers > encoder.layers() {
        let (key, value) = ("adapter.layers", shape.layers.to_string());
        let rule = "the encoder has fewer layers than that";
        return Err(TrainError::ConfigValue { key, value, rule });
    }
    let adapter = |family: Family| {
        let mut rng = generator(config.seed, &format!("adapter {}", family.name()));
        let lora = Lora::random_init(&encoder.config, &shape, uniform(&mut rng));
        let settings = &config.adapter.group;
        let group = objective_group(config, settings, lora.values.len(), 0..lora.values.len());
        (family, TrainedAdapter { lora, group })
    };
    let families = config.strategy.objectives.iter().filter_map(|objective| objective.family());
    Ok(families.map(adapter).collect())
}
