//! Adapters on disk: a PEFT directory with `espalier.json` beside it.

mod card;
mod peft;
mod sums;

pub use card::{AdapterCard, Family, Output};

use crate::architecture::EncoderConfig;
use crate::backbone::TextEncoder;
use crate::error::{EncoderError, Result};
use crate::files;
use crate::head::Head;
use crate::lora::Lora;
use espalier_kernels::round_through_bf16;
use std::path::Path;
use sums::{Sums, card_bytes};

/// What says what an adapter is for.
const CARD_FILE: &str = "espalier.json";

/// A LoRA with its head and what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The low-rank updates.
    pub lora: Lora,
    /// The task's head; family adapters have none.
    pub head: Option<Head>,
    /// What the adapter is for, and where it comes from.
    pub card: AdapterCard,
}

impl Adapter {
    /// The files of an adapter's directory.
    pub const FILES: [&str; 3] = [CARD_FILE, peft::WEIGHTS_FILE, peft::CONFIG_FILE];

    /// Reads an adapter directory and checks that it fits `backbone`.
    ///
    /// # Errors
    /// [`EncoderError::WrongBackbone`] when it was trained on another backbone,
    /// [`EncoderError::Adapter`] when espalier.json is missing, the head does not fit its labels,
    /// or the adapter uses a part of PEFT that this engine does not have,
    /// [`EncoderError::AdapterChecksum`] when the files are not those that were written together.
    pub fn open(directory: &Path, backbone: &TextEncoder) -> Result<Self> {
        Self::open_for(directory, &backbone.encoder.config, backbone.fingerprint())
    }

    /// Reads an adapter directory for an encoder of this shape that has this fingerprint.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub fn open_for(directory: &Path, config: &EncoderConfig, fingerprint: &str) -> Result<Self> {
        files::exists(directory)?;
        let path = directory.join(CARD_FILE);
        if !path.exists() {
            let reason = "no espalier.json in this directory: it holds the labels and the \
                          fingerprint of the backbone; for an adapter made by PEFT alone, write \
                          one (see docs/formats.md)";
            return Err(EncoderError::adapter(directory, reason));
        }
        let bytes = files::read(&path)?;
        let card: AdapterCard =
            serde_json::from_slice(&bytes).map_err(EncoderError::json(&path))?;
        if card.format != AdapterCard::FORMAT {
            let reason = format!(
                "format {} is not one this program reads; it reads {}",
                card.format,
                AdapterCard::FORMAT
            );
            return Err(EncoderError::adapter(&path, reason));
        }
        if card.backbone != fingerprint {
            let (expected, found) = (card.backbone, fingerprint.to_string());
            return Err(EncoderError::WrongBackbone {
                path: directory.to_path_buf(),
                expected,
                found,
            });
        }
        let (lora, head) = peft::read(directory, &Sums::read(&path, &bytes)?, config)?;
        let adapter = Self { lora, head, card };
        adapter.validate(config).map_err(|reason| EncoderError::adapter(&path, reason))?;
        Ok(adapter)
    }

    /// Whether an adapter's parts fit each other and an encoder of this shape, as those of an
    /// opened one do.
    ///
    /// # Errors
    /// What does not fit.
    pub fn validate(&self, config: &EncoderConfig) -> Result<(), String> {
        if !self.lora.fits(config) {
            return Err("its low-rank updates have other shapes than the encoder's modules".into());
        }
        let classes = self.head.as_ref().map(|head| head.classes);
        if classes != self.card.output.classes() {
            let count =
                |n: Option<usize>| n.map_or("no head".to_string(), |n| format!("{n} classes"));
            let (labels, head) = (count(self.card.output.classes()), count(classes));
            return Err(format!("the card names {labels}, the weights hold {head}"));
        }
        if self.head.as_ref().is_some_and(|head| !head.fits(config.hidden_size)) {
            return Err("its head has no classes or another width than the encoder".into());
        }
        self.card.output.validate()
    }

    /// Reads the LoRA alone, from any PEFT directory that fits the encoder. Where espalier.json
    /// stands beside it, the backbone must be the one named there.
    ///
    /// # Errors
    /// As [`Adapter::open`], but for the labels.
    pub fn open_lora(directory: &Path, backbone: &TextEncoder) -> Result<Lora> {
        match directory.join(CARD_FILE).exists() {
            true => Ok(Self::open(directory, backbone)?.lora),
            false => Ok(peft::read(directory, &Sums::default(), &backbone.encoder.config)?.0),
        }
    }

    /// Rounds all numbers to bfloat16. A directory then takes half the space, and holds exactly
    /// what is in memory.
    pub fn round(&mut self) {
        round_through_bf16(&mut self.lora.values);
        if let Some(head) = &mut self.head {
            round_through_bf16(&mut head.values);
        }
    }

    /// Writes the directory. An adapter that was there is replaced as a whole: whenever the process
    /// is killed, the directory holds the old one, the new one, or one that is refused. Numbers are
    /// stored in bfloat16 if all of them are such numbers, in f32 otherwise.
    ///
    /// # Errors
    /// [`EncoderError::Io`] when a file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let (weights, config) = peft::bytes(directory, &self.lora, self.head.as_ref(), &self.card)?;
        let [card_file, weights_file, config_file] = Self::FILES;
        let beside = [(weights_file, weights.as_slice()), (config_file, config.as_slice())];
        let card = card_bytes(&directory.join(card_file), &self.card, &beside)?;
        files::write_set(directory, &[&[(card_file, card.as_slice())], &beside[..]].concat())
    }
}
