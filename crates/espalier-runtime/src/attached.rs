//! An attached adapter: everything that does not depend on the text is prepared once, here.

use crate::answer::{self, Answer};
use crate::error::RuntimeError;
use espalier_encoder::tags::TagSet;
use espalier_encoder::{
    Adapter, Batch, Encoded, Head, Lora, Output, PackedLora, Pooling, TextEncoder,
};
use espalier_kernels::pooling::l2_normalize;

/// Low-rank updates, and how hidden states become answers.
pub(crate) struct Attached {
    /// The updates, packed for the backbone's precision.
    pub lora: PackedLora,
    task: Task,
}

enum Task {
    Tags { head: Head, tags: TagSet },
    Labels { head: Head, pooling: Pooling, labels: Vec<String> },
    Vectors,
}

/// Texts that have been encoded.
#[derive(Clone, Copy)]
pub(crate) struct Texts<'a> {
    pub texts: &'a [&'a str],
    pub encoded: &'a [Encoded],
    pub batch: &'a Batch,
}

impl Attached {
    /// Prepares an adapter that will be attached as `name`.
    pub fn new(name: &str, adapter: Adapter, backbone: &TextEncoder) -> Result<Self, RuntimeError> {
        let invalid =
            |reason: String| RuntimeError::InvalidAdapter { name: name.to_string(), reason };
        if adapter.card.backbone != backbone.fingerprint() {
            let (expected, found) = (adapter.card.backbone, backbone.fingerprint().to_string());
            return Err(RuntimeError::WrongBackbone { name: name.to_string(), expected, found });
        }
        adapter.validate(&backbone.encoder.config).map_err(invalid)?;
        let Adapter { lora, head, card } = adapter;
        let task = match (card.output, head) {
            (Output::Tags { tags }, Some(head)) => {
                let tags = TagSet::from_tags(tags).map_err(|error| invalid(error.to_string()))?;
                Task::Tags { head, tags }
            }
            (Output::Labels { labels }, Some(head)) => {
                Task::Labels { head, pooling: card.pooling, labels }
            }
            _ => Task::Vectors,
        };
        Ok(Self { lora: PackedLora::new(backbone.precision(), &lora), task })
    }

    /// Prepares low-rank updates alone. Their answers are text vectors.
    pub fn from_lora(
        name: &str,
        lora: &Lora,
        backbone: &TextEncoder,
    ) -> Result<Self, RuntimeError> {
        if !lora.fits(&backbone.encoder.config) {
            let reason = "its low-rank updates have other shapes than the encoder's modules".into();
            return Err(RuntimeError::InvalidAdapter { name: name.to_string(), reason });
        }
        Ok(Self { lora: PackedLora::new(backbone.precision(), lora), task: Task::Vectors })
    }

    /// The backbone alone, as an adapter without updates.
    pub fn plain(backbone: &TextEncoder) -> Self {
        let lora = Lora::zeros(&backbone.encoder.config, Vec::new());
        Self { lora: PackedLora::new(backbone.precision(), &lora), task: Task::Vectors }
    }

    /// The answer for each text, from the hidden states [T, H]; `None` if scores or vectors are not
    /// finite.
    pub fn answers(
        &self,
        backbone: &TextEncoder,
        texts: Texts,
        hidden: &[f32],
    ) -> Option<Vec<Answer>> {
        let Texts { texts, encoded, batch } = texts;
        let width = backbone.encoder.width();
        // Heads are multiplied in f32 in every precision: they are small, and their scores decide.
        let (mut pooled, mut scores) = (Vec::new(), Vec::new()); // [n, H]
        let finite =
            |numbers: &[f32]| numbers.iter().all(|number| number.is_finite()).then_some(());
        let answers = match &self.task {
            Task::Tags { head, tags } => {
                head.forward(hidden, &mut scores); // [T, C]
                finite(&scores)?;
                let rows = |s| batch.rows(s, &scores, head.classes); // [t, C]
                (0..texts.len())
                    .map(|s| answer::entities(texts[s], &encoded[s], rows(s), tags))
                    .collect()
            }
            Task::Labels { head, pooling, labels } => {
                pooling.forward(hidden, batch, width, &mut pooled);
                head.forward(&pooled, &mut scores); // [n, C]
                finite(&scores)?;
                scores.chunks_exact(head.classes).map(|row| answer::label(row, labels)).collect()
            }
            Task::Vectors => {
                backbone.text_vectors.pooling.forward(hidden, batch, width, &mut pooled);
                if backbone.text_vectors.normalize {
                    l2_normalize(&mut pooled, width, &mut vec![0.0; batch.sequences()]);
                }
                finite(&pooled)?;
                pooled.chunks_exact(width).map(|row| Answer::Vector(row.to_vec())).collect()
            }
        };
        Some(answers)
    }
}
