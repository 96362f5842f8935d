//! Between entities of a text and the BIO2 tags of its words: what a tagger is trained on, what it
//! answers, and what it is scored by.
//!
//! There is one rule for all three. A word is what the tokenizer cuts a text into before it looks
//! at its vocabulary ([`Encoded::word_ids`], `word_ids` in Hugging Face's libraries): for BERT what
//! stands between white space, and every punctuation mark by itself. A tag is learned and read at a
//! word's first token.

use crate::head::best_class;
use crate::tags::{Entity, Tag, TagSet, entities_lenient, repair_bio};
use crate::tokenizer::Encoded;

/// The tag of each word of a text, out of its entities in characters.
///
/// A word belongs to the entity that it shares a character with; of several, to the one that begins
/// first. The first word of an entity is its beginning, whichever part of it that is.
pub fn word_tags<'e>(entities: &'e [Entity], encoded: &Encoded) -> Vec<Tag<'e>> {
    let mut before = None;
    let tag = |(start, end): (usize, usize)| {
        let shares = |entity: &&Entity| entity.start < end && start < entity.end;
        let entity = entities.iter().filter(shares).min_by_key(|entity| entity.start);
        let tag = match entity {
            None => Tag::Outside,
            Some(entity) if before == Some(entity) => Tag::Inside(&entity.label),
            Some(entity) => Tag::Begin(&entity.label),
        };
        before = entity;
        tag
    };
    encoded.word_spans().into_iter().map(tag).collect()
}

/// The entities of a text in characters, each with its probability, out of the scores [T, C] of the
/// text's tokens.
///
/// Tags are repaired: an `I-` that continues nothing begins an entity. An entity's probability is
/// the mean of those of its words' tags.
pub fn entities(scores: &[f32], encoded: &Encoded, tags: &TagSet) -> Vec<(Entity, f32)> {
    let (spans, classes) = (encoded.word_spans(), tags.len());
    let best = encoded.first_tokens(spans.len()).into_iter().map(|token| match token {
        Some(token) => {
            let (id, probability) = best_class(&scores[token * classes..(token + 1) * classes]);
            (tags.tag(id).to_string(), probability)
        }
        None => (Tag::Outside.to_string(), 1.0),
    });
    let (mut names, probabilities): (Vec<String>, Vec<f32>) = best.unzip();
    repair_bio(&mut names);
    let in_characters = |entity: Entity| {
        let words = &probabilities[entity.start..entity.end];
        let mean = words.iter().sum::<f32>() / words.len() as f32;
        let (start, end) = (spans[entity.start].0, spans[entity.end - 1].1);
        (Entity { start, end, label: entity.label }, mean)
    };
    entities_lenient(&names).into_iter().map(in_characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text of these words, one token each, between two special tokens.
    fn encoded(spans: &[(usize, usize)]) -> Encoded {
        let words = (0..spans.len() as u32).map(Some);
        Encoded {
            ids: vec![0; spans.len() + 2],
            word_ids: [None].into_iter().chain(words).chain([None]).collect(),
            spans: [(0, 0)].into_iter().chain(spans.iter().copied()).chain([(0, 0)]).collect(),
            truncated: false,
        }
    }

    fn entity(start: usize, end: usize, label: &str) -> Entity {
        Entity { start, end, label: label.into() }
    }

    /// `CK-512/x in Oslo`: the given word of the first entity is five words of the tokenizer.
    #[test]
    fn every_word_of_an_entity_is_tagged() {
        let text = encoded(&[(0, 2), (2, 3), (3, 6), (6, 7), (7, 8), (9, 11), (12, 16)]);
        let entities = [entity(0, 8, "part"), entity(12, 16, "city")];
        let tags: Vec<String> = word_tags(&entities, &text).iter().map(Tag::to_string).collect();
        assert_eq!(tags, ["B-part", "I-part", "I-part", "I-part", "I-part", "O", "B-city"]);
    }

    #[test]
    fn neighbours_of_one_label_stay_two_entities_and_cut_words_belong_to_the_first() {
        let text = encoded(&[(0, 2), (2, 4), (4, 8)]);
        let tags = |entities: &[Entity]| -> Vec<String> {
            word_tags(entities, &text).iter().map(Tag::to_string).collect()
        };
        assert_eq!(tags(&[entity(0, 2, "a"), entity(2, 4, "a")]), ["B-a", "B-a", "O"]);
        assert_eq!(tags(&[entity(5, 6, "a"), entity(6, 8, "b")]), ["O", "O", "B-a"]);
    }

    #[test]
    fn what_is_tagged_is_read_back() {
        let set = TagSet::from_labels(["city", "part"]);
        let text = encoded(&[(0, 2), (2, 3), (3, 6), (6, 7), (7, 8), (9, 11), (12, 16)]);
        let given = [entity(0, 8, "part"), entity(12, 16, "city")];
        let mut scores = vec![0.0; text.ids.len() * set.len()];
        for (word, tag) in word_tags(&given, &text).iter().enumerate() {
            scores[(word + 1) * set.len() + set.id(&tag.to_string()).unwrap()] = 20.0;
        }
        let found: Vec<Entity> =
            entities(&scores, &text, &set).into_iter().map(|(entity, _)| entity).collect();
        assert_eq!(found, given);
    }
}
