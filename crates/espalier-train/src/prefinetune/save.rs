//! The model that a run leaves.

use super::Prefinetuned;
use crate::config::PrefinetuneConfig;
use crate::error::Result;
use espalier_encoder::{Adapter, AdapterCard, Output};
use std::collections::BTreeMap;
use std::path::Path;

impl Prefinetuned {
    /// Writes the encoder to `backbone` in the directory, a Hugging Face directory, the second
    /// column and its stitches to `columns`, the family adapters to `adapters/ner` and
    /// `adapters/tc`, PEFT directories, and what is kept of concepts to `concepts`.
    ///
    /// # Errors
    /// [`TrainError::Encoder`](crate::TrainError::Encoder) when a file cannot be written.
    pub fn save(&self, directory: &Path, config: &PrefinetuneConfig) -> Result<()> {
        self.backbone.save(&directory.join("backbone"))?;
        self.second.iter().try_for_each(|second| second.save(directory))?;
        let training = BTreeMap::from([
            ("strategy".to_string(), config.strategy.name().into()),
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
