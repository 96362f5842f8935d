//! Tag schemes: reads IOB1, IOB2, IOBES and BILOU tags as spans, and detects which of them a file
//! uses.
//!
//! `B-x` begins an entity of label x, `I-x` continues it, `E-x` or `L-x` is its last word, `S-x` or
//! `U-x` its only one. In IOB1 an entity begins with `I-x`, and with `B-x` only directly after
//! another entity of its label.
//!
//! One rule reads all of them: a tag continues the entity before it if that entity is still open
//! and has the same label, and the tag is not one that begins an entity. So the scheme need not be
//! known in advance. What is seen on the way tells the scheme, and whether a file mixes several.

use serde_json::Value;

use super::fields::{Field, list, texts};
use super::spans::ConceptSpan;
use crate::error::RecordError;
use crate::formats::split_tag;

/// Parses the tags of a sentence of `tokens` words.
pub(super) fn parse_tags(field: Field, tokens: usize) -> Result<Vec<String>, RecordError> {
    if list(field)?.iter().any(Value::is_number) {
        return Err(RecordError::NumericTags);
    }
    let tags = texts(field)?;
    check_count(tokens, tags.len())?;
    Ok(tags)
}

/// Checks that there is a tag for each word.
pub(super) fn check_count(tokens: usize, tags: usize) -> Result<(), RecordError> {
    if tokens == tags { Ok(()) } else { Err(RecordError::TagCount { tokens, tags }) }
}

/// How a file writes entities as tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    /// `B-` only between adjacent entities of one label.
    Iob1,
    /// Every entity begins with `B-`.
    Iob2,
    /// As IOB2, but some `I-` do not follow an entity of their label; each is read as a `B-`.
    IobWithStrays,
    /// Last words have `E-`, single words `S-`.
    Iobes,
    /// Last words have `L-`, single words `U-`.
    Bilou,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Iob1 => "IOB1",
            Scheme::Iob2 => "IOB2",
            Scheme::IobWithStrays => "IOB2 with stray I-",
            Scheme::Iobes => "IOBES",
            Scheme::Bilou => "BILOU",
        }
    }
}

/// Reads the tags of the sentences of one file, and remembers the evidence for their scheme.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagReader {
    /// The first tag with `E-` or `S-` (IOBES), and the first with `L-` or `U-` (BILOU).
    closing: [Option<String>; 2],
    /// The first sentence in which an entity ended without a closing tag.
    unclosed: Option<usize>,
    /// The first sentence in which a tag other than `B-`, `S-` or `U-` began an entity.
    stray: Option<usize>,
    /// Whether a `B-` began an entity that IOB1 would begin with `I-`.
    plain_begin: bool,
}

impl TagReader {
    /// The entities of a sentence, as spans over its words. `place` is its line in the file, for
    /// messages.
    ///
    /// # Errors
    /// A text that is not a tag; a tag of another scheme than those before.
    pub fn read(&mut self, place: usize, tags: &[String]) -> Result<Vec<ConceptSpan>, RecordError> {
        let mut entities: Vec<ConceptSpan> = Vec::new();
        let mut open = false;
        for (i, tag) in tags.iter().enumerate() {
            let (prefix, label) =
                split_tag(tag).ok_or_else(|| RecordError::Tag { tag: tag.clone() })?;
            let before =
                entities.last_mut().filter(|entity| entity.end == i && entity.concept == label);
            let adjacent = before.is_some();
            match before {
                Some(entity) if open && matches!(prefix, 'I' | 'E' | 'L') => entity.end = i + 1,
                _ => {
                    self.end(open, place);
                    if prefix != 'O' {
                        self.begin(prefix, adjacent, place);
                        entities.push(ConceptSpan {
                            start: i,
                            end: i + 1,
                            concept: label.to_owned(),
                        });
                    }
                }
            }
            open = matches!(prefix, 'B' | 'I');
            match prefix {
                'E' | 'S' => _ = self.closing[0].get_or_insert_with(|| tag.clone()),
                'L' | 'U' => _ = self.closing[1].get_or_insert_with(|| tag.clone()),
                _ => {}
            }
        }
        self.end(open, place);
        self.check().map(|()| entities)
    }

    fn end(&mut self, open: bool, place: usize) {
        if open {
            self.unclosed.get_or_insert(place);
        }
    }

    fn begin(&mut self, prefix: char, adjacent: bool, place: usize) {
        match prefix {
            'I' | 'E' | 'L' => _ = self.stray.get_or_insert(place),
            'B' => self.plain_begin |= !adjacent,
            _ => {}
        }
    }

    fn check(&self) -> Result<(), RecordError> {
        let [iobes, bilou] = &self.closing;
        let closing = iobes.as_ref().map(|tag| (tag, Scheme::Iobes));
        let Some((tag, scheme)) = closing.or(bilou.as_ref().map(|tag| (tag, Scheme::Bilou))) else {
            return Ok(());
        };
        let other = match (iobes, bilou, self.unclosed, self.stray) {
            (Some(_), Some(other), ..) => format!("there is also {other:?} (BILOU)"),
            (_, _, Some(place), _) => {
                format!("an entity of the sentence at {place} ends without such a tag")
            }
            (_, _, _, Some(place)) => {
                format!("an entity of the sentence at {place} has no beginning")
            }
            _ => return Ok(()),
        };
        Err(RecordError::MixedSchemes { tag: tag.clone(), scheme: scheme.name(), other })
    }

    /// The place of the first sentence with a tag that should continue an entity and does not.
    pub fn first_stray(&self) -> Option<usize> {
        self.stray
    }

    /// The scheme of the tags read so far, if there was an entity.
    pub fn scheme(&self) -> Option<Scheme> {
        match (&self.closing, self.stray.is_some(), self.plain_begin) {
            ([Some(_), _], _, _) => Some(Scheme::Iobes),
            ([_, Some(_)], _, _) => Some(Scheme::Bilou),
            (_, true, true) => Some(Scheme::IobWithStrays),
            (_, true, false) => Some(Scheme::Iob1),
            (_, false, true) => Some(Scheme::Iob2),
            (_, false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::AnnotatedText;
    use espalier_encoder::tags::Entity;

    /// Encodes entities as tags, by the definition of the scheme.
    fn encode(entities: &[ConceptSpan], words: usize, scheme: Scheme) -> Vec<String> {
        let mut tags = vec!["O".to_owned(); words];
        for (n, entity) in entities.iter().enumerate() {
            let adjacent = n > 0
                && entities[n - 1].end == entity.start
                && entities[n - 1].concept == entity.concept;
            for (i, tag) in tags.iter_mut().enumerate().take(entity.end).skip(entity.start) {
                let (first, last) = (i == entity.start, i + 1 == entity.end);
                let prefix = match (scheme, first, last) {
                    (Scheme::Iobes, true, true) => 'S',
                    (Scheme::Bilou, true, true) => 'U',
                    (Scheme::Iobes, false, true) => 'E',
                    (Scheme::Bilou, false, true) => 'L',
                    (Scheme::Iob1, true, _) if !adjacent => 'I',
                    (_, true, _) => 'B',
                    _ => 'I',
                };
                *tag = format!("{prefix}-{}", entity.concept);
            }
        }
        tags
    }

    /// Up to eight groups of words, each an entity of one of two labels, or outside of entities.
    fn sentences() -> impl Strategy<Value = (Vec<ConceptSpan>, usize)> {
        prop::collection::vec((1usize..4, 0usize..3), 0..8).prop_map(|groups| {
            let mut at = 0;
            let mut entities = Vec::new();
            for (length, label) in groups {
                let concept = ["", "x", "y-z"][label].to_owned();
                entities.push(ConceptSpan { start: at, end: at + length, concept });
                at += length;
            }
            entities.retain(|entity| !entity.concept.is_empty());
            (entities, at)
        })
    }

    proptest! {
        #[test]
        fn every_scheme_is_read_back((entities, words) in sentences()) {
            for scheme in [Scheme::Iob1, Scheme::Iob2, Scheme::Iobes, Scheme::Bilou] {
                let mut reader = TagReader::default();
                let read = reader.read(1, &encode(&entities, words, scheme));
                prop_assert_eq!(&read.unwrap(), &entities);
            }
            // Words of one character, so that word i is character 2 i of the text.
            let tags = encode(&entities, words, Scheme::Iob2);
            let text = AnnotatedText::from_tags(&vec!["w"; words], &tags);
            let in_words = text.entities.into_iter().map(|Entity { start, end, label }| {
                ConceptSpan { start: start / 2, end: end.div_ceil(2), concept: label }
            });
            prop_assert_eq!(in_words.collect::<Vec<_>>(), entities);
        }

        #[test]
        fn the_scheme_is_recognised((entities, words) in sentences()) {
            prop_assume!(!entities.is_empty());
            for scheme in [Scheme::Iob1, Scheme::Iob2, Scheme::Iobes, Scheme::Bilou] {
                let mut reader = TagReader::default();
                reader.read(1, &encode(&entities, words, scheme)).unwrap();
                prop_assert_eq!(reader.scheme(), Some(scheme));
            }
        }

        #[test]
        fn no_tags_panic(tags in prop::collection::vec("[BIESLUO]-?[xy]?", 0..9)) {
            let _ = TagReader::default().read(1, &tags);
        }
    }

    fn read(sentences: &[&str]) -> Result<Option<Scheme>, String> {
        let mut reader = TagReader::default();
        for (i, tags) in sentences.iter().enumerate() {
            let tags: Vec<String> = tags.split(' ').map(str::to_owned).collect();
            reader.read(i + 1, &tags).map_err(|error| error.to_string())?;
        }
        Ok(reader.scheme())
    }

    #[test]
    fn a_mixture_of_schemes_is_refused() {
        for (sentences, message) in [
            (
                &["S-x", "U-x"][..],
                "a mixture of tag schemes: \"S-x\" closes entities here (IOBES), but there is \
                 also \"U-x\" (BILOU)",
            ),
            (
                &["O", "B-x I-x O", "O S-y"],
                "\"S-y\" closes entities here (IOBES), but an entity of the sentence at 2 ends \
                 without such a tag",
            ),
            (
                &["B-x L-x", "B-x"],
                "\"L-x\" closes entities here (BILOU), but an entity of the sentence at 2 ends \
                 without such a tag",
            ),
            (&["S-x", "O E-x"], "an entity of the sentence at 2 has no beginning"),
            (&["B-x Q-x"], "tag \"Q-x\" is of no scheme known here"),
            (&["B-"], "tag \"B-\" is of no scheme"),
        ] {
            let error = read(sentences).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn stray_insides_of_iob2_begin_entities() {
        assert_eq!(read(&["B-x I-y"]), Ok(Some(Scheme::IobWithStrays)));
        assert_eq!(read(&["I-x B-x I-y"]), Ok(Some(Scheme::Iob1)));
        assert_eq!(read(&["O"]), Ok(None));
        let tags = ["B-x", "I-y", "I-y", "O", "I-x"].map(str::to_owned);
        let entities = TagReader::default().read(1, &tags).unwrap();
        let span =
            |start, end, concept: &str| ConceptSpan { start, end, concept: concept.to_owned() };
        assert_eq!(entities, [span(0, 1, "x"), span(1, 3, "y"), span(4, 5, "x")]);
    }
}
