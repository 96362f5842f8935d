//! What a head is to predict, as class indices.

use crate::data::Examples;
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
    /// Per sentence, per word.
    Words(Vec<Vec<Option<u32>>>),
    /// Per text.
    Texts(Vec<Option<u32>>),
}

impl Targets {
    pub(super) fn new(train: &Examples, output: &Output) -> Self {
        let class = |names: &[String], name: &str| names.iter().position(|known| known == name).map(|id| id as u32);
        match (train, output) {
            (Examples::Ner(sentences), Output::Tags { tags }) => {
                let of_words = |words: &[String]| words.iter().map(|tag| class(tags, tag)).collect();
                Self::Words(sentences.iter().map(|sentence| of_words(&sentence.tags)).collect())
            }
            (Examples::Classification(texts), Output::Labels { labels }) => {
                Self::Texts(texts.iter().map(|text| class(labels, &text.label)).collect())
            }
            _ => unreachable!("output_of gives tags for NER and labels for classification"),
        }
    }

    /// Targets of a batch: one per token for NER, where only the first token of a word has one, or one per text.
    pub(super) fn of(&self, picked: &[usize], encoded: &[Encoded]) -> Vec<Option<u32>> {
        match self {
            Self::Texts(texts) => picked.iter().map(|&index| texts[index]).collect(),
            Self::Words(sentences) => {
                let mut targets = Vec::new();
                for &index in picked {
                    let (words, encoded) = (&sentences[index], &encoded[index]);
                    let start = targets.len();
                    targets.resize(start + encoded.ids.len(), None);
                    for (word, token) in encoded.first_tokens(words.len()).into_iter().enumerate() {
                        if let Some(token) = token {
                            targets[start + token] = words[word];
                        }
                    }
                }
                targets
            }
        }
    }
}
