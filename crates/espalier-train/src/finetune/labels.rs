//! What a head is to predict, as class indices.

use crate::data::{AnnotatedText, Examples};
use espalier_encoder::decode::word_tags;
use espalier_encoder::tags::{Tag, TagSet};
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
                    let learned = learned(&text.text, &words, &encoded.word_spans());
                    let mut targets = vec![None; encoded.ids.len()];
                    for ((tag, learned), token) in words.iter().zip(learned).zip(encoded.first_tokens(words.len())) {
                        if let (Some(token), true) = (token, learned) {
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

/// Which words of a text are learned: all but those that punctuation ties to a word before them, without
/// white space, and that are outside of all entities as the whole run is. Of `@name` and of a web address
/// only the first counts. A file gives such a run as one word, and so it is to weigh: the many `O`s
/// inside, among them names that are no entities there, would outweigh the names that are.
fn learned(text: &str, tags: &[Tag], spans: &[(usize, usize)]) -> Vec<bool> {
    let characters: Vec<char> = text.chars().collect();
    let is_mark = |(start, end): (usize, usize)| !characters[start..end].iter().any(|c| c.is_alphanumeric());
    let tied = |a: usize, b: usize| spans[a].1 == spans[b].0 && (is_mark(spans[a]) || is_mark(spans[b]));
    let words: Vec<usize> = (0..tags.len()).collect();
    let mut learned = Vec::with_capacity(tags.len());
    for run in words.chunk_by(|&a, &b| tied(a, b)) {
        let outside = run.iter().all(|&word| tags[word] == Tag::Outside);
        learned.extend(run.iter().map(|&word| !outside || word == run[0]));
    }
    learned
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runs of `learned`, a letter for each word: learned or not.
    fn shown(text: &str, spans: &[(usize, usize)], entities: &[usize]) -> String {
        let tag = |word: usize| if entities.contains(&word) { Tag::Begin("city") } else { Tag::Outside };
        let tags: Vec<Tag> = (0..spans.len()).map(tag).collect();
        learned(text, &tags, spans).into_iter().map(|learned| if learned { 'L' } else { '-' }).collect()
    }

    #[test]
    fn runs_outside_of_entities_count_by_their_first_word() {
        let spans = [(0, 1), (1, 4), (5, 6), (6, 8), (9, 13), (13, 14), (15, 17), (17, 18), (18, 20), (20, 21)];
        assert_eq!(shown("@ada (in Oslo, NY/US)", &spans, &[4, 6, 8]), "L-L-LLLLLL");
        let address = [(0, 2), (2, 3), (3, 4), (4, 5), (5, 7), (7, 8), (8, 10), (10, 11), (11, 12)];
        assert_eq!(shown("to://ab.cd/e", &address, &[]), "L--------");
    }

    /// Ideographs stand alone without white space, but no punctuation ties them together.
    #[test]
    fn what_no_mark_ties_together_counts_in_full() {
        assert_eq!(shown("\u{5317}\u{4eac}\u{5e02}", &[(0, 1), (1, 2), (2, 3)], &[]), "LLL");
        assert_eq!(shown("", &[], &[]), "");
    }
}
