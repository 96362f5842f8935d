//! An adapter's answers on a task's examples.

use super::frozen::{FrozenEncoder, Trunk};
use crate::error::{Result, TrainError};
use espalier_data::Examples;
use espalier_encoder::decode::entities;
use espalier_encoder::tags::{Entity, TagSet};
use espalier_encoder::{Adapter, Output, best_class};

/// Examples that go through the adapted layers at a time.
const EXAMPLES: usize = 64;

/// Predicted entities or labels, in the order of the examples.
#[derive(Clone, Debug, PartialEq)]
pub enum Predictions {
    /// The entities of each text, in characters.
    Entities(Vec<Vec<Entity>>),
    /// The label of each text.
    Labels(Vec<String>),
}

/// Runs the adapter over the examples' texts: what the runtime answers on them. There are no
/// entities beyond the model's longest text.
///
/// # Errors
/// [`TrainError::Init`] when the adapter is for the other kind of task, or has no head.
pub fn predict<'a>(
    encoder: impl Into<FrozenEncoder<'a>>,
    adapter: &Adapter,
    examples: &Examples,
) -> Result<Predictions> {
    let (encoder, family) = (encoder.into(), examples.family());
    let head = adapter.head.as_ref();
    let head = head.ok_or_else(|| {
        TrainError::Init("this adapter has no head: it gives vectors only".into())
    })?;
    let width = encoder.backbone(family).encoder.width();
    let trunk = Trunk::new(encoder, examples, adapter.lora.trunk_layers());
    let network = encoder.network(family, Some(&adapter.lora));
    let all: Vec<usize> = (0..examples.len()).collect();
    let hidden = |picked: &[usize]| {
        let (batch, input) = trunk.batch(picked);
        let hidden = network.encode(trunk.layers()..network.layers().end, Some(&input), &batch);
        (batch, hidden)
    };
    let mut scores = Vec::new();
    match (examples, &adapter.card.output) {
        (Examples::Ner(_), Output::Tags { tags }) => {
            let tags = TagSet::from_tags(tags.clone())
                .map_err(|error| TrainError::Init(error.to_string()))?;
            let mut predicted = Vec::with_capacity(examples.len());
            for picked in all.chunks(EXAMPLES) {
                let (batch, hidden) = hidden(picked);
                head.forward(&hidden, &mut scores); // [T, C]
                for (s, &index) in picked.iter().enumerate() {
                    let scores = batch.rows(s, &scores, tags.len()); // [t, C]
                    let found = entities(scores, &trunk.encoded()[index], &tags);
                    predicted.push(found.into_iter().map(|(entity, _)| entity).collect());
                }
            }
            Ok(Predictions::Entities(predicted))
        }
        (Examples::Classification(_), Output::Labels { labels }) => {
            let (mut predicted, mut pooled) = (Vec::with_capacity(examples.len()), Vec::new());
            for picked in all.chunks(EXAMPLES) {
                let (batch, hidden) = hidden(picked);
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
            Err(TrainError::Init(format!(
                "this adapter {gives}, and the task's examples are of the other kind"
            )))
        }
    }
}
