//! What a head is to predict, as class indices.

use crate::data::{AnnotatedText, Examples};
use espalier_encoder::decode::word_tags;
use espalier_encoder::tags::TagSet;
use espalier_encoder::{Encoded, Output};

/// The classes of a task: those of its training examples.
pub(super) fn output_of(train: &Examples) -> Output {
    let labels = train.label_counts().into_keys();
    match train {
        Examples::Ner(_) => Output::Tags { tags: TagSet::from_labels(labels).tags().to_vec() },
        Examples::Classification(_) => Output::Labels { labels: labels.collect() },
    }
}

/// Class indices of all training examples.
pub(super) enum Targets {
    /// Per text, per token: the first token of each word has the class of the word's tag.
    Tokens(Vec<Vec<Option<u32>>>),
    /// Per text.
    Texts(Vec<Option<u32>>),
}

impl Targets {
    /// The targets of `train`, whose texts are `encoded`.
    pub(super) fn new(train: &Examples, encoded: &[Encoded], output: &Output) -> Self {
        let class = |names: &[String], name: &str| names.iter().position(|known| known == name).map(|id| id as u32);
        match (train, output) {
            (Examples::Ner(texts), Output::Tags { tags }) => {
                let of_text = |(text, encoded): (&AnnotatedText, &Encoded)| {
                    let words = word_tags(&text.entities, encoded);
                    let mut targets = vec![None; encoded.ids.len()];
                    for (tag, token) in words.iter().zip(encoded.first_tokens(words.len())) {
                        if let Some(token) = token {
                            targets[token] = class(tags, &tag.to_string());
                        }
                    }
                    targets
                };
                Self::Tokens(texts.iter().zip(encoded).map(of_text).collect())
            }
            (Examples::Classification(texts), Output::Labels { labels }) => {
                Self::Texts(texts.iter().map(|text| class(labels, &text.label)).collect())
            }
            _ => unreachable!("output_of gives tags for NER and labels for classification"),
        }
    }

    /// Targets of a batch: one per token for NER, or one per text.
    pub(super) fn of(&self, picked: &[usize]) -> Vec<Option<u32>> {
        match self {
            Self::Texts(texts) => picked.iter().map(|&index| texts[index]).collect(),
            Self::Tokens(texts) => picked.iter().flat_map(|&index| &texts[index]).copied().collect(),
        }
    }
}
