//! Adapters: a LoRA, usually with a head, and a card that says what it answers.
//!
//! On disk an adapter is a directory in PEFT's format with an additional file, `espalier.json`.

mod card;
mod peft;

pub use card::{AdapterCard, Family, Output};

use crate::architecture::EncoderConfig;
use crate::backbone::TextEncoder;
use crate::error::{EncoderError, Result};
use crate::files;
use crate::head::Head;
use crate::lora::Lora;
use card::Checksums;
use espalier_kernels::round_through_bf16;
use std::path::Path;

/// The file of the card.
const CARD_FILE: &str = "espalier.json";

/// A LoRA with its head and its card. It is `Send + Sync`.
///
/// ```
/// use espalier_encoder::{Adapter, AdapterCard, Backbone, Family, Head, Lora, LoraConfig, Output};
/// use espalier_encoder::Pooling;
///
/// # fn main() -> Result<(), espalier_encoder::EncoderError> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
/// # let directory = std::env::temp_dir().join(format!("adapter-{}", std::process::id()));
/// let backbone = Backbone::open(path.as_ref())?;
/// let shape = LoraConfig::for_layers(backbone.encoder.layers());
/// let adapter = Adapter {
///     lora: Lora::random_init(&backbone.encoder.config, &shape, || 0.5),
///     head: Some(Head::random_init(backbone.encoder.width(), 2, || 0.5)),
///     card: AdapterCard {
///         format: AdapterCard::FORMAT,
///         family: Family::Tc,
///         output: Output::Labels { labels: vec!["hotel".into(), "train".into()] },
///         pooling: Pooling::Mean,
///         backbone: backbone.fingerprint().into(),
///         training: Default::default(),
///     },
/// };
/// adapter.save(&directory)?;
/// assert_eq!(Adapter::open(&directory, &backbone)?, adapter);
/// # let _ = std::fs::remove_dir_all(directory);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// The low-rank updates.
    pub lora: Lora,
    /// The task's head; adapters for vectors have none.
    pub head: Option<Head>,
    /// What the adapter answers, and where it comes from.
    pub card: AdapterCard,
}

impl Adapter {
    /// The files of an adapter's directory.
    pub const FILES: [&str; 3] = [CARD_FILE, peft::WEIGHTS_FILE, peft::CONFIG_FILE];

    /// Reads an adapter's directory and checks that it fits `backbone`.
    ///
    /// # Errors
    /// [`EncoderError::WrongBackbone`] when it was trained on another backbone,
    /// [`EncoderError::AdapterChecksum`] when the files were not written together,
    /// [`EncoderError::Adapter`] when espalier.json is missing, the head does not fit its classes,
    /// or the adapter uses a feature of PEFT that is not implemented.
    pub fn open(directory: &Path, backbone: &TextEncoder) -> Result<Self> {
        Self::open_for(directory, &backbone.encoder.config, backbone.fingerprint())
    }

    /// As [`Adapter::open`], for an encoder of this shape with this fingerprint.
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
            return Err(EncoderError::WrongBackbone {
                path: directory.to_path_buf(),
                expected: card.backbone,
                found: fingerprint.to_string(),
            });
        }
        let (lora, head) = peft::read(directory, &Checksums::parse(&path, &bytes)?, config)?;
        let adapter = Self { lora, head, card };
        adapter.validate(config).map_err(|reason| EncoderError::adapter(&path, reason))?;
        Ok(adapter)
    }

    /// Reads the LoRA alone, from any PEFT directory that fits the encoder. If there is an
    /// espalier.json, the backbone must be the one named there.
    ///
    /// # Errors
    /// As [`Adapter::open`], except that espalier.json may be missing.
    pub fn open_lora(directory: &Path, backbone: &TextEncoder) -> Result<Lora> {
        match directory.join(CARD_FILE).exists() {
            true => Ok(Self::open(directory, backbone)?.lora),
            false => Ok(peft::read(directory, &Checksums::default(), &backbone.encoder.config)?.0),
        }
    }

    /// Checks that LoRA, head and card fit each other and an encoder of this shape, as those of an
    /// opened adapter do.
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

    /// Rounds all numbers to bfloat16. The saved files then take half the space, and are read back
    /// to the same numbers.
    pub fn round(&mut self) {
        round_through_bf16(&mut self.lora.values);
        if let Some(head) = &mut self.head {
            round_through_bf16(&mut head.values);
        }
    }

    /// Writes the directory, replacing an adapter that is there. Whenever the process is killed,
    /// the directory holds the old adapter, the new one, or one that is rejected on opening.
    /// Numbers are stored in bfloat16 if that represents all of them exactly, in f32 otherwise.
    ///
    /// # Errors
    /// [`EncoderError::Io`] when a file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let (weights, config) = peft::bytes(directory, &self.lora, self.head.as_ref(), &self.card)?;
        let [card_file, weights_file, config_file] = Self::FILES;
        let others = [(weights_file, weights.as_slice()), (config_file, config.as_slice())];
        let card = self.card.to_json(&directory.join(card_file), &others)?;
        files::write_set(directory, &[&[(card_file, card.as_slice())], &others[..]].concat())
    }
}
