//! The architectures: one model under several sets of names.
//!
//! What is computed is the same for all (see [`crate::model`]). An architecture is data: how its
//! config.json is read, what its tensors are called, where its positions start and which tables it
//! has. Each has one file here.

mod bert;
mod config;
mod distilbert;
mod mpnet;
mod roberta;
mod variant;

pub use config::{EncoderConfig, Module};

use serde::{Deserialize, Serialize};

/// A kind of encoder, named as `model_type` in config.json.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// BERT (arXiv 1810.04805); MiniLM and TinyBERT are of this kind.
    #[default]
    Bert,
    /// DistilBERT (arXiv 1910.01108): no token types.
    DistilBert,
    /// RoBERTa (arXiv 1907.11692); NuNER is of this kind. Positions start after the padding token's
    /// id.
    Roberta,
    /// MPNet (arXiv 2004.09297): no token types, and a bias by relative position in attention.
    Mpnet,
}

/// What sets an architecture apart.
pub(crate) struct Description {
    /// `model_type` in config.json, which is also the prefix of the encoder's tensors in files of
    /// task models.
    pub model_type: &'static str,
    /// The keys of config.json for width, layers, heads and inner width.
    pub sizes: [&'static str; 4],
    /// The name of a layer without its number.
    pub layers: &'static str,
    /// The names of [`Module::ALL`] inside a layer.
    pub modules: [&'static str; 6],
    /// The LayerNorms inside a layer: after attention, and at its end.
    pub norms: [&'static str; 2],
    /// Whether there are embeddings of token types.
    pub token_types: bool,
    /// The bias by relative position that all layers share.
    pub relative_bias: Option<&'static str>,
    /// PEFT's task type for heads on text vectors: that of the class of transformers whose
    /// `classifier` is one linear map. Where the class for texts has another layer before it, this
    /// is the class for tokens, whose mean logits are ours.
    pub text_task: &'static str,
    /// The head of masked language modelling.
    pub mlm: MlmNames,
    /// Reads config.json.
    pub config: fn(&[u8]) -> Result<EncoderConfig, Refused>,
}

/// What the head of masked language modelling is called: the same head under several names.
pub(crate) struct MlmNames {
    /// The class of transformers.
    pub class: &'static str,
    /// Linear map H -> H before GELU.
    pub dense: &'static str,
    /// LayerNorm after it.
    pub norm: &'static str,
    /// Bias of the scores, one per token.
    pub bias: &'static str,
    /// The matrix of the scores, which is that of the word embeddings and seldom in a file.
    pub decoder: &'static str,
}

/// Why a config.json is not read.
pub(crate) enum Refused {
    /// A key is missing or ill-typed.
    Json(serde_json::Error),
    /// It asks for something that this engine does not have.
    Unsupported(String),
}

impl From<serde_json::Error> for Refused {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bert, Self::DistilBert, Self::Roberta, Self::Mpnet];

    pub(crate) fn description(self) -> &'static Description {
        match self {
            Self::Bert => &bert::BERT,
            Self::DistilBert => &distilbert::DISTILBERT,
            Self::Roberta => &roberta::ROBERTA,
            Self::Mpnet => &mpnet::MPNET,
        }
    }

    /// Its `model_type` in config.json.
    pub fn name(self) -> &'static str {
        self.description().model_type
    }

    /// The name of a linear module in a checkpoint of the bare encoder,
    /// `encoder.layer.5.attention.self.query` say.
    pub fn module_name(self, layer: usize, module: Module) -> String {
        let names = self.description();
        format!("{}.{layer}.{}", names.layers, names.modules[module as usize])
    }

    /// The layer and the module of such a name, with the architecture's prefix before it or
    /// without.
    pub(crate) fn parse_module(self, name: &str) -> Option<(usize, Module)> {
        let names = self.description();
        let name = name
            .strip_prefix(names.model_type)
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(name);
        let (layer, module) =
            name.strip_prefix(names.layers)?.strip_prefix('.')?.split_once('.')?;
        let module = Module::ALL
            .into_iter()
            .find(|&candidate| names.modules[candidate as usize] == module)?;
        Some((layer.parse().ok()?, module))
    }
}
