//! The architectures: one model under several sets of names.
//!
//! They all compute the same (see [`crate::model`]). An architecture is data: how its config.json
//! is read, what its tensors are called, which tables it has and where its positions start. Each
//! has a file of its own, and [`Architecture::ALL`] lists them.

mod bert;
mod config;
mod distilbert;
mod mpnet;
mod roberta;

pub use config::{EncoderConfig, Module};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A kind of encoder, named as `model_type` in config.json.
///
/// ```
/// use espalier_encoder::{Architecture, Module};
///
/// let name = Architecture::DISTILBERT.module_name(5, Module::Query);
/// assert_eq!(name, "transformer.layer.5.attention.q_lin");
/// assert!(Architecture::ALL.contains(&Architecture::ROBERTA));
/// ```
#[derive(Clone, Copy)]
pub struct Architecture(&'static Description);

/// How an architecture differs from the others.
pub(crate) struct Description {
    /// `model_type` in config.json. It is also the prefix of the encoder's tensors in the files of
    /// models with heads.
    pub model_type: &'static str,
    /// The keys of config.json for hidden size, layers, heads and inner size.
    pub sizes: [&'static str; 4],
    /// The name of a layer without its number.
    pub layers: &'static str,
    /// The names of [`Module::ALL`] inside a layer.
    pub modules: [&'static str; 6],
    /// The LayerNorms inside a layer: after attention, and after the feed-forward block.
    pub norms: [&'static str; 2],
    /// Whether there are embeddings of token types.
    pub token_types: bool,
    /// The bias by relative position that all layers share.
    pub relative_bias: Option<&'static str>,
    /// PEFT's task type for heads on text vectors: that of the class of transformers whose
    /// `classifier` is one linear layer. Where the class for sequence classification has another
    /// layer before it, this is the class for token classification, whose mean logits are ours.
    pub text_task: &'static str,
    /// The head of masked language modelling.
    pub mlm: MlmNames,
    /// Parses config.json.
    pub config: fn(&[u8]) -> Result<EncoderConfig, ConfigError>,
}

/// The names of the head of masked language modelling, which computes the same everywhere.
pub(crate) struct MlmNames {
    /// The class of transformers.
    pub class: &'static str,
    /// Linear layer H -> H before GELU.
    pub dense: &'static str,
    /// LayerNorm after it.
    pub norm: &'static str,
    /// Bias of the scores, one per token.
    pub bias: &'static str,
    /// The matrix of the scores. It is tied to the word embeddings and rarely in a file.
    pub decoder: &'static str,
}

/// Why a config.json cannot be used.
pub(crate) enum ConfigError {
    /// A key is missing or has the wrong type.
    Json(serde_json::Error),
    /// It asks for something that is not implemented.
    Unsupported(String),
}

impl From<serde_json::Error> for ConfigError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl Architecture {
    /// All of them.
    pub const ALL: &[Self] = &[Self::BERT, Self::DISTILBERT, Self::ROBERTA, Self::MPNET];

    /// The architecture with this `model_type`, if it is supported.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|architecture| architecture.name() == name)
    }

    pub(crate) fn description(self) -> &'static Description {
        self.0
    }

    /// Its `model_type` in config.json.
    pub fn name(self) -> &'static str {
        self.0.model_type
    }

    /// The name of a linear module in a checkpoint of the bare encoder, such as
    /// `encoder.layer.5.attention.self.query`.
    pub fn module_name(self, layer: usize, module: Module) -> String {
        format!("{}.{layer}.{}", self.0.layers, self.0.modules[module as usize])
    }

    /// The inverse of [`Architecture::module_name`]; the name may have the architecture's prefix.
    pub(crate) fn parse_module(self, name: &str) -> Option<(usize, Module)> {
        let Description { model_type, layers, modules, .. } = self.0;
        let prefix = name.strip_prefix(model_type).and_then(|rest| rest.strip_prefix('.'));
        let name = prefix.unwrap_or(name);
        let (layer, module) = name.strip_prefix(layers)?.strip_prefix('.')?.split_once('.')?;
        let module =
            Module::ALL.into_iter().find(|&candidate| modules[candidate as usize] == module)?;
        Some((layer.parse().ok()?, module))
    }
}

impl Default for Architecture {
    fn default() -> Self {
        Self::BERT
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Architecture {}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| {
            D::Error::custom(format!("architecture {name:?} is not supported; {}", supported()))
        })
    }
}

/// For error messages.
pub(crate) fn supported() -> String {
    let names: Vec<String> =
        Architecture::ALL.iter().map(|architecture| format!("{:?}", architecture.name())).collect();
    format!("supported: {}", names.join(", "))
}

/// Fails for variants that are not implemented, by the keys that BERT's config.json and most others
/// have in common.
fn check_variant(json: &[u8]) -> Result<(), ConfigError> {
    #[derive(Deserialize)]
    struct Keys {
        hidden_act: Option<String>,
        position_embedding_type: Option<String>,
        #[serde(default)]
        is_decoder: bool,
    }
    let Keys { hidden_act, position_embedding_type, is_decoder } = serde_json::from_slice(json)?;
    check_activation(hidden_act.as_deref())?;
    if let Some(other) = position_embedding_type.filter(|kind| kind != "absolute") {
        let what = format!(
            "position embeddings of type {other:?} are not supported; supported: \"absolute\""
        );
        return Err(ConfigError::Unsupported(what));
    }
    if is_decoder {
        let what = "\"is_decoder\" is true; only encoders are supported, which read both ways";
        return Err(ConfigError::Unsupported(what.into()));
    }
    Ok(())
}

/// Fails for any activation but GELU, which is the default.
fn check_activation(activation: Option<&str>) -> Result<(), ConfigError> {
    match activation {
        None | Some("gelu") => Ok(()),
        Some(other) => Err(ConfigError::Unsupported(format!(
            "activation {other:?} is not supported; supported: \"gelu\""
        ))),
    }
}
