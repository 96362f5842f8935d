//! The schema of tokenizer.json, as far as BERT's tokenizer needs it.

use super::vocabulary::Vocabulary;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// The file. Parts that depend on the kind of tokenizer are parsed once that is known. Padding,
/// truncation and decoder are ignored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub version: Option<String>,
    #[serde(rename = "truncation")]
    _truncation: Option<IgnoredAny>,
    #[serde(rename = "padding")]
    _padding: Option<IgnoredAny>,
    #[serde(rename = "decoder")]
    _decoder: Option<IgnoredAny>,
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pub normalizer: Value,
    #[serde(default)]
    pub pre_tokenizer: Value,
    #[serde(default)]
    pub post_processor: Value,
    pub model: Model,
}

#[derive(Deserialize)]
pub struct AddedToken {
    pub content: String,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
    pub normalized: bool,
}

/// A model of any kind. Only the vocabulary can be large, so it is parsed without a copy.
#[derive(Deserialize)]
pub struct Model {
    pub r#type: Option<String>,
    pub unk_token: Option<String>,
    pub continuing_subword_prefix: Option<String>,
    pub max_input_chars_per_word: Option<usize>,
    pub vocab: Option<Vocabulary>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertNormalizer {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    pub clean_text: bool,
    pub handle_chinese_chars: bool,
    pub strip_accents: Option<bool>,
    pub lowercase: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BertProcessing {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    pub sep: (IgnoredAny, u32),
    pub cls: (IgnoredAny, u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobertaProcessing {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    pub sep: (IgnoredAny, u32),
    pub cls: (IgnoredAny, u32),
    pub trim_offsets: bool,
    pub add_prefix_space: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateProcessing {
    #[serde(rename = "type")]
    _type: IgnoredAny,
    #[serde(rename = "pair")]
    _pair: IgnoredAny,
    pub single: Vec<Piece>,
    pub special_tokens: HashMap<String, SpecialToken>,
}

#[derive(Deserialize)]
pub enum Piece {
    Sequence { id: String },
    SpecialToken { id: String },
}

#[derive(Deserialize)]
pub struct SpecialToken {
    pub ids: Vec<u32>,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabularyVisitor)
    }
}

struct VocabularyVisitor;

impl<'de> Visitor<'de> for VocabularyVisitor {
    type Value = Vocabulary;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a vocabulary")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
        let mut vocabulary = Vocabulary::default();
        while let Some((token, id)) = map.next_entry::<Cow<str>, u32>()? {
            vocabulary.insert(&token, id);
        }
        Ok(vocabulary)
    }

    /// The vocabulary of Unigram models, which are not supported here.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vocabulary, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Vocabulary::default())
    }
}
