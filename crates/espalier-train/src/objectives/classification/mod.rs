//! Classification by a linear head, the objective of fine-tuning: of the words of a text (NER), or of
//! the text. What distinguishes the two is here and in [`loss`].

pub mod loss;

use espalier_data::{AnnotatedText, Examples};
use espalier_encoder::decode::word_tags;
use espalier_encoder::tags::{Tag, TagSet};
use espalier_encoder::{Batch, Encoded, Head, Output, Pooling};
use loss::{ClassificationLoss, WeightedTargets};

/// The classes of a task, which are those of its training examples, and what a head should predict
/// for each of these.
pub(crate) enum Targets {
    /// Named entity recognition.
    Tokens {
        tags: Vec<String>,
        /// Per text, per token: the first token of each word has the class of the word's tag.
        targets: Vec<WeightedTargets>,
    },
    /// Text classification.
    Texts {
        labels: Vec<String>,
        /// Per text.
        targets: Vec<Option<u32>>,
    },
}

/// The hidden states of a batch, and how the text vectors are made of them.
pub(crate) struct HiddenStates<'a> {
    /// [T, H].
    pub(crate) hidden: &'a [f32],
    pub(crate) batch: &'a Batch,
    pub(crate) pooling: Pooling,
}

impl Targets {
    /// The targets of `train`, whose texts are `encoded`.
    pub(crate) fn new(train: &Examples, encoded: &[Encoded]) -> Self {
        let labels = train.label_counts().into_keys();
        match train {
            Examples::Ner(texts) => {
                let tags = TagSet::from_labels(labels).tags().to_vec();
                let texts = texts.iter().zip(encoded);
                let targets = texts.map(|(text, encoded)| of_words(text, encoded, &tags)).collect();
                Self::Tokens { tags, targets }
            }
            Examples::Classification(texts) => {
                let labels: Vec<String> = labels.collect();
                let targets = texts.iter().map(|text| class(&labels, &text.label)).collect();
                Self::Texts { labels, targets }
            }
        }
    }

    /// The classes, as an adapter's card names them.
    pub(crate) fn output(&self) -> Output {
        match self {
            Self::Tokens { tags, .. } => Output::Tags { tags: tags.clone() },
            Self::Texts { labels, .. } => Output::Labels { labels: labels.clone() },
        }
    }

    /// Number of classes.
    pub(crate) fn classes(&self) -> usize {
        match self {
            Self::Tokens { tags, .. } => tags.len(),
            Self::Texts { labels, .. } => labels.len(),
        }
    }

    /// The loss of a head on the hidden states of the texts at the indices `picked`. Its gradient is
    /// added to `d_head`; that at the hidden states is left in `loss`.
    pub(crate) fn loss(
        &self,
        picked: &[usize],
        states: HiddenStates,
        head: &Head,
        loss: &mut ClassificationLoss,
        d_head: &mut [f32],
    ) -> f64 {
        let HiddenStates { hidden, batch, pooling } = states;
        match self {
            Self::Tokens { targets, .. } => {
                let picked = picked.iter().map(|&index| &targets[index]);
                let targets = WeightedTargets {
                    classes: picked.clone().flat_map(|text| &text.classes).copied().collect(),
                    weights: picked.flat_map(|text| &text.weights).copied().collect(),
                };
                loss.tokens(head, hidden, &targets, d_head)
            }
            Self::Texts { targets, .. } => {
                let targets: Vec<Option<u32>> =
                    picked.iter().map(|&index| targets[index]).collect();
                loss.texts(head, pooling, hidden, batch, &targets, d_head)
            }
        }
    }
}

/// Weight of a word that is a part of a longer run without white space (see [`weights`]). On wnut17's dev
/// split the strict F1 of one seed was 48.2 with 0, 47.4 with 0.03, 46.1 with 0.1, 44.5 with 0.25
/// and 43.0 with 1; with 0 entities are predicted in such runs, which were never trained.
const PART: f32 = 0.03;

fn class(names: &[String], name: &str) -> Option<u32> {
    names.iter().position(|known| known == name).map(|id| id as u32)
}

fn of_words(text: &AnnotatedText, encoded: &Encoded, tags: &[String]) -> WeightedTargets {
    let words = word_tags(&text.entities, encoded);
    let of_words = weights(&text.text, &words, &encoded.word_spans());
    let (mut classes, mut weights) = (vec![None; encoded.ids.len()], vec![0.0; encoded.ids.len()]);
    for ((tag, weight), token) in words.iter().zip(of_words).zip(encoded.first_tokens(words.len()))
    {
        if let Some(token) = token {
            (classes[token], weights[token]) = (class(tags, &tag.to_string()), weight);
        }
    }
    WeightedTargets { classes, weights }
}

/// The weight of each word of a text in the loss: 1, but of a run of words that punctuation joins
/// without white space and that is outside of all entities, such as `@name` or a web address, all
/// but the first only [`PART`]. A file gives such a run as one word, and so it is to weigh: the
/// many `O`s inside, among them names that are no entities there, would else outweigh the names
/// that are.
fn weights(text: &str, tags: &[Tag], spans: &[(usize, usize)]) -> Vec<f32> {
    let characters: Vec<char> = text.chars().collect();
    let is_mark =
        |(start, end): (usize, usize)| !characters[start..end].iter().any(|c| c.is_alphanumeric());
    let tied =
        |a: usize, b: usize| spans[a].1 == spans[b].0 && (is_mark(spans[a]) || is_mark(spans[b]));
    let words: Vec<usize> = (0..tags.len()).collect();
    let mut weights = Vec::with_capacity(tags.len());
    for run in words.chunk_by(|&a, &b| tied(a, b)) {
        let outside = run.iter().all(|&word| tags[word] == Tag::Outside);
        weights.extend(run.iter().map(|&word| if outside && word != run[0] { PART } else { 1.0 }));
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words' weights, a letter for each: 1 or [`PART`].
    fn shown(text: &str, spans: &[(usize, usize)], entities: &[usize]) -> String {
        let tag =
            |word: usize| if entities.contains(&word) { Tag::Begin("city") } else { Tag::Outside };
        let tags: Vec<Tag> = (0..spans.len()).map(tag).collect();
        weights(text, &tags, spans)
            .into_iter()
            .map(|weight| if weight == PART { '-' } else { '1' })
            .collect()
    }

    #[test]
    fn runs_outside_of_entities_count_little_more_than_one_word() {
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
        assert_eq!(shown("@ada (in Oslo, NY/US)", &spans, &[4, 6, 8]), "1-1-111111");
        let address = [(0, 2), (2, 3), (3, 4), (4, 5), (5, 7), (7, 8), (8, 10), (10, 11), (11, 12)];
        assert_eq!(shown("to://ab.cd/e", &address, &[]), "1--------");
    }

    /// Ideographs stand alone without white space, but no punctuation ties them together.
    #[test]
    fn what_no_mark_ties_together_counts_in_full() {
        assert_eq!(shown("\u{5317}\u{4eac}\u{5e02}", &[(0, 1), (1, 2), (2, 3)], &[]), "111");
        assert_eq!(shown("", &[], &[]), "");
    }
}
