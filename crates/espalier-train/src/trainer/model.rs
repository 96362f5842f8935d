//! The model: where a run from scratch starts, and what a run leaves.

use super::Trainer;
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::initialization::normal;
use crate::memory;
use crate::network::SecondEncoder;
use crate::objectives::{ConceptModel, Teacher};
use espalier_data::sampling::generator;
use espalier_encoder::{
    Adapter, AdapterCard, Architecture, Backbone, EncoderConfig, Family, Lora, Output,
};
use std::collections::BTreeMap;
use std::path::Path;

/// The encoders of a run. A reference to a backbone becomes one without a teacher.
#[derive(Clone, Copy, Debug)]
pub struct Encoders<'a> {
    /// The encoder that is trained.
    pub backbone: &'a Backbone,
    /// The encoder that it learns from, for distillation.
    pub teacher: Option<&'a Teacher>,
}

impl<'a> From<&'a Backbone> for Encoders<'a> {
    fn from(backbone: &'a Backbone) -> Self {
        Self { backbone, teacher: None }
    }
}

/// The result of a run.
#[derive(Debug)]
pub struct Prefinetuned {
    /// The shared encoder with its new weights, and with the head of masked language modelling if
    /// that was trained; with cross-stitch the NER family's encoder.
    pub backbone: Backbone,
    /// The classification family's encoder of cross-stitch, and the stitches to it.
    pub second: Option<SecondEncoder>,
    /// The family adapters, for strategies that have them.
    pub adapters: BTreeMap<Family, Lora>,
    /// The model of concept contrast, where it was to be kept.
    pub concepts: Option<ConceptModel>,
}

impl Prefinetuned {
    /// Saves the encoder to `backbone` in the directory, a Hugging Face directory, the second
    /// encoder and its stitches to `columns`, the family adapters to `adapters/ner` and
    /// `adapters/tc`, PEFT directories, and the model of concept contrast to `concepts`.
    ///
    /// # Errors
    /// [`TrainError::Encoder`](crate::TrainError::Encoder) when a file cannot be written.
    pub fn save(&self, directory: &Path, config: &PrefinetuneConfig) -> Result<()> {
        self.backbone.save(&directory.join("backbone"))?;
        self.second.iter().try_for_each(|second| second.save(directory))?;
        let training = BTreeMap::from([
            ("strategy".to_string(), config.strategy.name.into()),
            ("steps".to_string(), config.train.steps.into()),
            ("seed".to_string(), config.seed.into()),
        ]);
        for (&family, lora) in &self.adapters {
            let card = AdapterCard {
                format: AdapterCard::FORMAT,
                family,
                output: Output::Vectors,
                pooling: config.tc.pooling,
                backbone: self.backbone.fingerprint().to_string(),
                training: training.clone(),
            };
            let adapter = Adapter { lora: lora.clone(), head: None, card };
            adapter.save(&directory.join("adapters").join(family.name()))?;
        }
        if let Some(concepts) = &self.concepts {
            concepts.save(&directory.join("concepts"), self.backbone.fingerprint())?;
        }
        Ok(())
    }
}

impl Trainer<'_> {
    /// The model as it is now.
    pub(crate) fn model(&self, backbone: &Backbone) -> Prefinetuned {
        let head = self.objectives.iter().find_map(|objective| objective.mlm_head().cloned());
        let adapters = self.adapters.iter();
        Prefinetuned {
            backbone: backbone.with_weights(self.encoder.weights().to_vec()).with_mlm_head(head),
            second: self.encoder.second(backbone),
            adapters: adapters.map(|(&family, adapter)| (family, adapter.lora.clone())).collect(),
            concepts: None,
        }
    }

    /// The model that the run ends with: the one with the best validation loss where that was kept,
    /// else the last.
    pub(crate) fn finish(mut self, backbone: &Backbone) -> Prefinetuned {
        let concepts = self.objectives.iter().find_map(|objective| objective.concept_model());
        if let Some(best) = self.best.take() {
            self.load(&best);
        }
        Prefinetuned { concepts, ..self.model(backbone) }
    }
}

/// The randomly initialised BERT that `config.scratch` describes. The same seed and tokenizer give
/// the same weights to the bit.
///
/// # Errors
/// [`TrainError::Encoder`](crate::TrainError::Encoder) when there is no usable tokenizer, when no
/// encoder can have this shape, or when there is no memory for it.
pub fn fresh_backbone(config: &PrefinetuneConfig) -> Result<Backbone> {
    let shape = &config.scratch;
    let encoder = EncoderConfig {
        architecture: Architecture::BERT,
        hidden_size: shape.width,
        num_hidden_layers: shape.layers,
        num_attention_heads: shape.heads,
        intermediate_size: shape.inner,
        vocab_size: 1, // the tokenizer decides
        max_position_embeddings: shape.positions,
        first_position: 0,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
    };
    // Before the weights are drawn, which takes long for an encoder that cannot be trained anyway.
    if encoder.validate().is_ok() {
        memory::check_encoder(&encoder, config)?;
    }
    let rng = &mut generator(config.seed, "fresh encoder");
    Ok(Backbone::random_init(encoder, &shape.tokenizer, normal(rng))?)
}
