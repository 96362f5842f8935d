//! Between the entities of a text and the BIO2 tags of its words, for training, prediction and
//! evaluation.
//!
//! All three follow the same rule. Words are those that the tokenizer finds before it looks at its
//! vocabulary ([`Encoded::word_ids`]): for BERT they are separated by whitespace, and every
//! punctuation mark is a word. The tag of a word belongs to its first token.
//!
//! ```
//! use espalier_encoder::Backbone;
//! use espalier_encoder::decode::{entities, word_tags};
//! use espalier_encoder::tags::{Entity, TagSet};
//!
//! # fn main() -> Result<(), espalier_encoder::EncoderError> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
//! let backbone = Backbone::open(path.as_ref())?;
//! let text = backbone.tokenizer.encode("trains to london");
//! let city = Entity { start: 10, end: 16, label: "city".into() }; // in characters
//! let tags: Vec<String> =
//!     word_tags(&[city.clone()], &text).iter().map(|tag| tag.to_string()).collect();
//! assert_eq!(tags, ["O", "O", "B-city"]);
//!
//! let set = TagSet::from_labels(["city"]);
//! let mut scores = vec![0.0; text.ids.len() * set.len()]; // [T, C], as of a perfect tagger
//! for (tag, token) in tags.iter().zip(text.first_tokens(3)) {
//!     scores[token.unwrap() * set.len() + set.id(tag).unwrap()] = 9.0;
//! }
//! assert_eq!(entities(&scores, &text, &set)[0].0, city);
//! # Ok(())
//! # }
//! ```

use crate::head::best_class;
use crate::tags::{Entity, Tag, TagSet, entities_lenient, repair_bio};
use crate::tokenizer::Encoded;

/// The tag of each word of a text, from its entities in characters.
///
/// A word belongs to the entity with which it has a character in common; of several, to the one
/// that begins first. The first word of an entity is tagged `B-`, even if the entity begins inside
/// it.
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

/// The entities of a text in characters, each with its probability, from the scores [T, C] of the
/// text's tokens.
///
/// An `I-` that continues nothing begins an entity. The probability of an entity is the mean of
/// those of its words' tags.
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

    /// An encoded text whose words have these spans and one token each, between two special tokens.
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

    /// `CK-512/x in Oslo`: the first entity is one word for people, five for the tokenizer.
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
