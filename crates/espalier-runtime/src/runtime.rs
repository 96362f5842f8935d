use crate::answer::{self, Answer, TextAnswers};
use espalier_encoder::tags::TagSet;
use espalier_encoder::{Adapter, Backbone, Batch, Encoded, EncoderError, Lora, Output};
use espalier_kernels::pooling::l2_normalize;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// Texts that go through the encoder at a time.
const TEXTS: usize = 32;

/// A request that cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A backbone or an adapter cannot be read.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// No adapter of this name is attached.
    #[error("no adapter {name:?} is attached; attached: {attached}")]
    UnknownAdapter {
        /// The name asked for.
        name: String,
        /// The names that there are.
        attached: String,
    },
}

/// A backbone with the adapters attached to it.
#[derive(Debug)]
pub struct Runtime {
    backbone: Backbone,
    adapters: BTreeMap<String, Adapter>,
}

impl Runtime {
    /// Opens a backbone directory.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, RuntimeError> {
        Ok(Self::new(Backbone::open(directory)?))
    }

    /// A runtime on a backbone in memory.
    pub fn new(backbone: Backbone) -> Self {
        Self { backbone, adapters: BTreeMap::new() }
    }

    /// Reads an adapter directory and makes it available as `name`, replacing an adapter of that name.
    ///
    /// # Errors
    /// [`RuntimeError::Encoder`] when it cannot be read or belongs to another backbone.
    pub fn attach(&mut self, name: &str, directory: &Path) -> Result<(), RuntimeError> {
        let adapter = Adapter::open(directory, &self.backbone)?;
        self.adapters.insert(name.to_string(), adapter);
        Ok(())
    }

    /// The backbone.
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// Answers of the named adapters on each text.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownAdapter`] for a name that is not attached.
    pub fn run(&self, texts: &[impl AsRef<str> + Sync], names: &[&str]) -> Result<Vec<TextAnswers>, RuntimeError> {
        let adapters = names.iter().map(|name| self.adapter(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(texts.chunks(TEXTS).flat_map(|texts| self.run_batch(texts, &adapters)).collect())
    }

    /// Text vectors [n, H] as the model itself makes them (its pooling, scaled to length one if it says so), with an adapter's
    /// low-rank updates or without.
    pub fn encode(&self, texts: &[impl AsRef<str> + Sync], lora: Option<&Lora>) -> Vec<f32> {
        let mut vectors = Vec::with_capacity(texts.len() * self.backbone.encoder.width());
        for texts in texts.chunks(TEXTS) {
            let batch = Batch::of_texts(&self.tokenize(texts));
            vectors.extend(self.vectors(&self.backbone.model(lora).encode(&batch), &batch));
        }
        vectors
    }

    fn adapter(&self, name: &str) -> Result<&Adapter, RuntimeError> {
        self.adapters.get(name).ok_or_else(|| RuntimeError::UnknownAdapter {
            name: name.to_string(),
            attached: self.adapters.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }

    fn tokenize(&self, texts: &[impl AsRef<str> + Sync]) -> Vec<Encoded> {
        texts.par_iter().map(|text| self.backbone.tokenizer.encode(text.as_ref())).collect()
    }

    fn run_batch(&self, texts: &[impl AsRef<str> + Sync], adapters: &[&Adapter]) -> Vec<TextAnswers> {
        let encoded = self.tokenize(texts);
        let batch = Batch::of_texts(&encoded);
        let layers = self.backbone.encoder.layers();
        // The trunk ends below the lowest layer that any of these adapters touches.
        let trunk_end = adapters.iter().map(|adapter| adapter.lora.trunk_layers()).min().unwrap_or(0);
        let plain = self.backbone.model(None);
        let trunk = plain.encode_layers(0..trunk_end, None, &batch);

        let mut results: Vec<TextAnswers> = encoded
            .iter()
            .map(|text| TextAnswers { truncated: text.truncated, answers: Vec::with_capacity(adapters.len()) })
            .collect();
        for adapter in adapters {
            let model = self.backbone.model(Some(&adapter.lora));
            let hidden = model.encode_layers(trunk_end..layers, Some(&trunk), &batch); // [T, H]
            for (result, answer) in results.iter_mut().zip(self.answers(adapter, texts, &encoded, &batch, &hidden)) {
                result.answers.push(answer);
            }
        }
        results
    }

    /// One adapter's answers, from its token vectors [T, H].
    fn answers(
        &self,
        adapter: &Adapter,
        texts: &[impl AsRef<str> + Sync],
        encoded: &[Encoded],
        batch: &Batch,
        hidden: &[f32],
    ) -> Vec<Answer> {
        let width = self.backbone.encoder.width();
        let mut scores = Vec::new();
        let sequences = 0..batch.sequences();
        match (&adapter.card.output, &adapter.head) {
            (Output::Tags { tags }, Some(head)) => {
                // Adapter::open has checked the tags.
                let tags = TagSet::from_tags(tags.clone()).unwrap_or_else(|error| unreachable!("{error}"));
                head.forward(hidden, &mut scores); // [T, C]
                let rows = |s| batch.rows(s, &scores, head.classes); // [t, C]
                sequences.map(|s| answer::entities(texts[s].as_ref(), &encoded[s], rows(s), &tags)).collect()
            }
            (Output::Labels { labels }, Some(head)) => {
                let mut pooled = Vec::new(); // [n, H]
                adapter.card.pooling.forward(hidden, batch, width, &mut pooled);
                head.forward(&pooled, &mut scores); // [n, C]
                scores.chunks_exact(head.classes).map(|row| answer::label(row, labels)).collect()
            }
            _ => self.vectors(hidden, batch).chunks_exact(width).map(|row| Answer::Vector(row.to_vec())).collect(),
        }
    }

    fn vectors(&self, hidden: &[f32], batch: &Batch) -> Vec<f32> {
        let width = self.backbone.encoder.width();
        let mut pooled = Vec::new();
        self.backbone.text_vectors.pooling.forward(hidden, batch, width, &mut pooled);
        if self.backbone.text_vectors.normalize {
            l2_normalize(&mut pooled, width, &mut vec![0.0; batch.sequences()]);
        }
        pooled
    }
}
