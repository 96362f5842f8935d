//! The models before and after a run: what it starts from, and what it returns.

use super::Trainer;
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use crate::initialization::normal;
use crate::memory;
use crate::network::SecondEncoder;
use crate::objectives::{ConceptModel, Teacher, TextTeacher};
use espalier_data::sampling::generator;
use espalier_encoder::{
    Adapter, AdapterCard, Architecture, Backbone, Compute, EncoderConfig, Family, Lora, Output,
};
use std::collections::BTreeMap;
use std::path::Path;

/// The encoders that a run needs. `&Backbone` converts to one without teachers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Encoders<'a> {
    /// The encoder that is trained.
    pub backbone: &'a Backbone,
    /// The teacher of word vectors or tag scores, for distillation (`ner.teacher`).
    pub teacher: Option<&'a Teacher>,
    /// The teacher of text vectors (`tc.teacher`).
    pub text_teacher: Option<&'a TextTeacher>,
}

impl<'a> Encoders<'a> {
    /// Adds a teacher of word vectors or tag scores, for distillation.
    pub fn with_teacher(self, teacher: Option<&'a Teacher>) -> Self {
        Self { teacher, ..self }
    }

    /// Adds a teacher of text vectors, for the objective of the classification family.
    pub fn with_text_teacher(self, text_teacher: Option<&'a TextTeacher>) -> Self {
        Self { text_teacher, ..self }
    }
}

impl<'a> From<&'a Backbone> for Encoders<'a> {
    fn from(backbone: &'a Backbone) -> Self {
        Self { backbone, teacher: None, text_teacher: None }
    }
}

/// The result of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct Prefinetuned {
    /// The trained encoder, with its masked-LM head if that was trained. With cross-stitch, the
    /// encoder of the NER family.
    pub backbone: Backbone,
    /// With cross-stitch, the encoder of the classification family and the stitches.
    pub second: Option<SecondEncoder>,
    /// The family adapters, for strategies that have them.
    pub adapters: BTreeMap<Family, Lora>,
    /// The model of concept contrast, with `ner.keep_concepts`.
    pub concepts: Option<ConceptModel>,
}

impl Prefinetuned {
    /// Saves the model to a directory:
    ///
    /// - the encoder to `backbone`, a Hugging Face directory
    /// - the second encoder and the stitches to `columns`
    /// - the family adapters to `adapters/ner` and `adapters/tc`, PEFT directories
    /// - the model of concept contrast to `concepts`
    ///
    /// # Errors
    /// [`TrainError::Encoder`](crate::TrainError::Encoder) if a file cannot be written.
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

impl Prefinetuned {
    /// Opens the model that [`Prefinetuned::save`] wrote to a directory, without the model of
    /// concept contrast.
    ///
    /// # Errors
    /// [`TrainError`](crate::TrainError) if a file cannot be read, or does not fit the encoder.
    pub fn open(directory: &Path) -> Result<Self> {
        let mut opened = Self::from(Backbone::open(&directory.join("backbone"))?);
        if SecondEncoder::is_in(directory) {
            opened.second = Some(SecondEncoder::open(directory, &opened.backbone)?);
        }
        for family in [Family::Ner, Family::Tc] {
            let adapter = directory.join("adapters").join(family.name());
            if adapter.exists() {
                let lora = Adapter::open_lora(&adapter, &opened.backbone)?;
                opened.adapters.insert(family, lora);
            }
        }
        Ok(opened)
    }

    /// Sets the precision of matrix products.
    pub fn with_compute(self, compute: Compute) -> Self {
        let second = self.second.map(|second| SecondEncoder {
            backbone: second.backbone.with_compute(compute),
            stitches: second.stitches,
        });
        Self { backbone: self.backbone.with_compute(compute), second, ..self }
    }
}

/// The backbone as it is: the result of no pre-finetuning.
impl From<Backbone> for Prefinetuned {
    fn from(backbone: Backbone) -> Self {
        Self { backbone, second: None, adapters: BTreeMap::new(), concepts: None }
    }
}

impl Trainer<'_> {
    /// The current model.
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

    /// The final model: that with the best validation loss if it was kept, otherwise the last.
    pub(crate) fn finish(mut self, backbone: &Backbone) -> Prefinetuned {
        let concepts = self.objectives.iter().find_map(|objective| objective.concept_model());
        if let Some(best) = self.best.take() {
            self.load(&best);
        }
        Prefinetuned { concepts, ..self.model(backbone) }
    }
}

/// A randomly initialized BERT of the shape in `config.scratch`. With the same seed and tokenizer
/// the weights are the same, bit for bit.
///
/// ```
/// use espalier_train::PrefinetuneConfig;
/// use espalier_train::trainer::fresh_backbone;
///
/// # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let mut config = PrefinetuneConfig::default();
/// config.scratch.tokenizer = directory.into(); // a directory with a tokenizer
/// (config.scratch.layers, config.scratch.width, config.scratch.inner) = (2, 32, 64);
/// let backbone = fresh_backbone(&config)?;
/// assert_eq!(backbone.encoder.layers(), 2);
/// assert_eq!(backbone.fingerprint(), fresh_backbone(&config)?.fingerprint());
/// # Ok::<(), espalier_train::TrainError>(())
/// ```
///
/// # Errors
/// [`TrainError::Encoder`](crate::TrainError::Encoder) if the tokenizer cannot be read, the shape
/// is impossible, or the memory does not suffice.
pub fn fresh_backbone(config: &PrefinetuneConfig) -> Result<Backbone> {
    let shape = &config.scratch;
    let encoder = EncoderConfig {
        architecture: Architecture::BERT,
        hidden_size: shape.width,
        num_hidden_layers: shape.layers,
        num_attention_heads: shape.heads,
        intermediate_size: shape.inner,
        vocab_size: 1, // replaced by the size of the tokenizer's vocabulary
        max_position_embeddings: shape.positions,
        first_position: 0,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
    };
    // Checked before initialization, which takes long for an encoder that is too large.
    if encoder.validate().is_ok() {
        memory::check_encoder(&encoder, config)?;
    }
    let rng = &mut generator(config.seed, "fresh encoder");
    Ok(Backbone::random_init(encoder, &shape.tokenizer, normal(rng))?)
}
