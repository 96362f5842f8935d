//! Classification by a linear head, the objective of fine-tuning. NER classifies the words of a
//! text, text classification the text. The difference between the two is here and in [`loss`].

pub mod loss;

use espalier_data::{AnnotatedText, Examples};
use espalier_encoder::decode::word_tags;
use espalier_encoder::tags::{Tag, TagSet};
use espalier_encoder::{Batch, Encoded, Head, Output, Pooling};
use loss::{ClassificationLoss, WeightedTargets};

/// The classes of a task, taken from its training examples, and the target classes of these
/// examples.
pub(crate) enum Targets {
    /// Named entity recognition.
    Tokens {
        tags: Vec<String>,
        /// For each text the targets of its tokens. The first token of a word has the word's tag;
        /// other tokens have no target.
        targets: Vec<WeightedTargets>,
    },
    /// Text classification.
    Texts {
        labels: Vec<String>,
        /// For each text its label.
        targets: Vec<Option<u32>>,
    },
}

/// The hidden states of a batch, and how they are pooled.
pub(crate) struct HiddenStates<'a> {
    /// [T, H].
    pub(crate) hidden: &'a [f32],
    pub(crate) batch: &'a Batch,
    pub(crate) pooling: Pooling,
}

impl Targets {
    /// The targets of the training examples, whose encoded texts are `encoded`.
    pub(crate) fn new<'e>(
        train: &Examples,
        encoded: impl IntoIterator<Item = &'e Encoded>,
    ) -> Self {
        let labels = train.label_counts().into_keys();
        match train {
            Examples::Ner(texts) => {
                let tags = TagSet::from_labels(labels).tags().to_vec();
                let texts = texts.iter().zip(encoded);
                let targets =
                    texts.map(|(text, encoded)| word_targets(text, encoded, &tags)).collect();
                Self::Tokens { tags, targets }
            }
            Examples::Classification(texts) => {
                let labels: Vec<String> = labels.collect();
                let targets = texts.iter().map(|text| class(&labels, &text.label)).collect();
                Self::Texts { labels, targets }
            }
        }
    }

    /// The classes, in the form of an adapter's card.
    pub(crate) fn output(&self) -> Output {
        match self {
            Self::Tokens { tags, .. } => Output::Tags { tags: tags.clone() },
            Self::Texts { labels, .. } => Output::Labels { labels: labels.clone() },
        }
    }

    /// The number of classes.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Tokens { tags, .. } => tags.len(),
            Self::Texts { labels, .. } => labels.len(),
        }
    }

    /// The loss of a head on the hidden states of the texts with these indices. The gradient of the
    /// head is added to `d_head`; the gradient with respect to the hidden states is in `loss`
    /// afterwards.
    pub(crate) fn loss(
        &self,
        indices: &[usize],
        states: HiddenStates,
        head: &Head,
        loss: &mut ClassificationLoss,
        d_head: &mut [f32],
    ) -> f64 {
        let HiddenStates { hidden, batch, pooling } = states;
        match self {
            Self::Tokens { targets, .. } => {
                let texts = indices.iter().map(|&index| &targets[index]);
                let targets = WeightedTargets {
                    classes: texts.clone().flat_map(|text| &text.classes).copied().collect(),
                    weights: texts.flat_map(|text| &text.weights).copied().collect(),
                };
                loss.tokens(head, hidden, &targets, d_head)
            }
            Self::Texts { targets, .. } => {
                let targets: Vec<Option<u32>> =
                    indices.iter().map(|&index| targets[index]).collect();
                loss.texts(head, pooling, hidden, batch, &targets, d_head)
            }
        }
    }
}

/// The weight of the words after the first in a compound such as `@name` (see [`word_weights`]). On
/// the dev split of wnut17 the strict F1 of one seed was 48.2 with weight 0, 47.4 with 0.03, 46.1
/// with 0.1, 44.5 with 0.25 and 43.0 with 1. With 0 these words are never trained, and entities are
/// predicted inside compounds.
const COMPOUND_WEIGHT: f32 = 0.03;

fn class(names: &[String], name: &str) -> Option<u32> {
    names.iter().position(|known| known == name).map(|id| id as u32)
}

fn word_targets(text: &AnnotatedText, encoded: &Encoded, tags: &[String]) -> WeightedTargets {
    let word_tags = word_tags(&text.entities, encoded);
    let word_weights = word_weights(&text.text, &word_tags, &encoded.word_spans());
    let first_tokens = encoded.first_tokens(word_tags.len());
    let (mut classes, mut weights) = (vec![None; encoded.ids.len()], vec![0.0; encoded.ids.len()]);
    for ((tag, weight), token) in word_tags.iter().zip(word_weights).zip(first_tokens) {
        if let Some(token) = token {
            (classes[token], weights[token]) = (class(tags, &tag.to_string()), weight);
        }
    }
    WeightedTargets { classes, weights }
}

/// The weight of each word of a text in the loss.
///
/// A compound is a sequence of words that punctuation joins without white space, such as `@name` or
/// a web address. Data sets usually count it as one word, and the weights follow that: in a
/// compound without entities the first word has weight 1 and the others [`COMPOUND_WEIGHT`].
/// Otherwise its many `O` tags would outweigh the tags of entities. All other words have weight 1.
fn word_weights(text: &str, tags: &[Tag], spans: &[(usize, usize)]) -> Vec<f32> {
    let characters: Vec<char> = text.chars().collect();
    let is_punctuation =
        |(start, end): (usize, usize)| !characters[start..end].iter().any(|c| c.is_alphanumeric());
    let joined = |a: usize, b: usize| {
        spans[a].1 == spans[b].0 && (is_punctuation(spans[a]) || is_punctuation(spans[b]))
    };
    let words: Vec<usize> = (0..tags.len()).collect();
    let mut weights = Vec::with_capacity(tags.len());
    for compound in words.chunk_by(|&a, &b| joined(a, b)) {
        let outside = compound.iter().all(|&word| tags[word] == Tag::Outside);
        let weight = |&word| if outside && word != compound[0] { COMPOUND_WEIGHT } else { 1.0 };
        weights.extend(compound.iter().map(weight));
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weights of words, a character for each: `1`, or `-` for [`COMPOUND_WEIGHT`].
    fn weights(text: &str, spans: &[(usize, usize)], entities: &[usize]) -> String {
        let tag =
            |word: usize| if entities.contains(&word) { Tag::Begin("city") } else { Tag::Outside };
        let tags: Vec<Tag> = (0..spans.len()).map(tag).collect();
        word_weights(text, &tags, spans)
            .into_iter()
            .map(|weight| if weight == COMPOUND_WEIGHT { '-' } else { '1' })
            .collect()
    }

    #[test]
    fn a_compound_without_entities_counts_little_more_than_one_word() {
        let spans = [
            (0, 1),
            (1, 4),
            (5, 6),
            (6, 8),
            (9, 13),
            (13, 14),
            (15, 17),
            (17, 18),
            (18, 20),
            (20, 21),
        ];
        assert_eq!(weights("@ada (in Oslo, NY/US)", &spans, &[4, 6, 8]), "1-1-111111");
        let address = [(0, 2), (2, 3), (3, 4), (4, 5), (5, 7), (7, 8), (8, 10), (10, 11), (11, 12)];
        assert_eq!(weights("to://ab.cd/e", &address, &[]), "1--------");
    }

    /// Chinese words have no white space between them, but no punctuation joins them either.
    #[test]
    fn words_that_no_punctuation_joins_have_weight_one() {
        assert_eq!(weights("\u{5317}\u{4eac}\u{5e02}", &[(0, 1), (1, 2), (2, 3)], &[]), "111");
        assert_eq!(weights("", &[], &[]), "");
    }
}
