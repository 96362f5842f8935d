//! Predictions of an adapter for the examples of a task.

use super::frozen::{CachedExamples, FrozenEncoder};
use crate::error::{Result, TrainError};
use espalier_data::Examples;
use espalier_encoder::decode::entities;
use espalier_encoder::tags::{Entity, TagSet};
use espalier_encoder::{Adapter, Output, best_class};

/// The number of examples that run through the adapted layers at a time.
const BATCH: usize = 64;

/// Predicted entities or labels, in the order of the examples.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Predictions {
    /// The entities of each text, as spans of characters.
    Entities(Vec<Vec<Entity>>),
    /// The label of each text.
    Labels(Vec<String>),
}

/// Predicts entities or labels for the texts of examples, as the runtime does. Texts that are too
/// long for the encoder are truncated, and have no entities after that.
///
/// ```
/// use espalier_data::Examples;
/// use espalier_encoder::Backbone;
/// use espalier_train::finetune::{FinetuneConfig, Finetuner, Predictions, predict};
///
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// let backbone = Backbone::open(path.as_ref())?;
/// let examples = Examples::classification([("a good hotel", "kind"), ("a bad hotel", "unkind")])?;
///
/// let mut config = FinetuneConfig::default();
/// (config.steps, config.learning_rate) = (40, 0.01);
/// let adapter = Finetuner::new(&backbone).config(config).train(&examples, |_| {})?;
/// let Predictions::Labels(labels) = predict(&backbone, &adapter, &examples)? else { panic!() };
/// assert_eq!(labels, ["kind", "unkind"]);
/// # Ok::<_, espalier_train::TrainError>(())
/// ```
///
/// # Errors
/// [`TrainError::Mismatch`] if the adapter is for another kind of task, or has no head.
pub fn predict<'a>(
    encoder: impl Into<FrozenEncoder<'a>>,
    adapter: &Adapter,
    examples: &Examples,
) -> Result<Predictions> {
    let encoder: FrozenEncoder = encoder.into();
    predict_cached(adapter, &CachedExamples::new(encoder, examples, adapter.lora.trunk_layers()))
}

/// As [`predict`], for examples whose trunk has run. See [`CachedExamples`].
///
/// # Errors
/// Those of [`predict`], and [`TrainError::Mismatch`] if another number of layers is cached than
/// the adapter has below it.
pub fn predict_cached(adapter: &Adapter, cached: &CachedExamples) -> Result<Predictions> {
    cached.check_layers(adapter.lora.trunk_layers())?;
    let (encoder, examples) = (cached.encoder(), cached.examples());
    let family = examples.family();
    let head = adapter.head.as_ref();
    let head = head.ok_or_else(|| {
        TrainError::Mismatch("this adapter has no head: it gives vectors only".into())
    })?;
    let width = encoder.backbone(family).encoder.width();
    let network = encoder.network(family, Some(&adapter.lora));
    let all: Vec<usize> = (0..examples.len()).collect();
    let hidden = |indices: &[usize]| {
        let (batch, input) = cached.batch(indices);
        let hidden = network.encode(cached.layers()..network.layers().end, Some(&input), &batch);
        (batch, hidden)
    };
    let mut scores = Vec::new();
    match (examples, &adapter.card.output) {
        (Examples::Ner(_), Output::Tags { tags }) => {
            let tags = TagSet::from_tags(tags.clone())
                .map_err(|error| TrainError::Mismatch(error.to_string()))?;
            let mut predicted = Vec::with_capacity(examples.len());
            for indices in all.chunks(BATCH) {
                let (batch, hidden) = hidden(indices);
                head.forward(&hidden, &mut scores); // [T, C]
                for (s, &index) in indices.iter().enumerate() {
                    let scores = batch.rows(s, &scores, tags.len()); // [t, C]
                    let found = entities(scores, &cached.encoded()[index], &tags);
                    predicted.push(found.into_iter().map(|(entity, _)| entity).collect());
                }
            }
            Ok(Predictions::Entities(predicted))
        }
        (Examples::Classification(_), Output::Labels { labels }) => {
            let (mut predicted, mut pooled) = (Vec::with_capacity(examples.len()), Vec::new());
            for indices in all.chunks(BATCH) {
                let (batch, hidden) = hidden(indices);
                adapter.card.pooling.forward(&hidden, &batch, width, &mut pooled); // [n, H]
                head.forward(&pooled, &mut scores); // [n, C]
                predicted.extend(
                    scores.chunks_exact(labels.len()).map(|row| labels[best_class(row).0].clone()),
                );
            }
            Ok(Predictions::Labels(predicted))
        }
        (_, output) => {
            let gives = if matches!(output, Output::Tags { .. }) {
                "finds entities"
            } else {
                "labels texts"
            };
            Err(TrainError::Mismatch(format!(
                "this adapter {gives}, but the examples are for another kind of task"
            )))
        }
    }
}
