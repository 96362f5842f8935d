//! Tag schemes: IOB1, IOB2, IOBES and BILOU are told apart and read as entities.
//!
//! `B-x` begins an entity of label x, `I-x` continues it, `E-x` or `L-x` is its last word, `S-x` or
//! `U-x` its only one. In IOB1 an entity begins with `I-x`, and with `B-x` only right after another
//! of its label. One reading fits all of them: a tag continues the entity before it if that is
//! still open, has the same label, and the tag does not begin one; so the scheme need not be known
//! beforehand, and what is collected meanwhile shows whether all tags of a file are of one.

use super::{ConceptSpan, RecordError};

/// How a file writes entities as tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scheme {
    /// `B-` only between adjacent entities of one label.
    Iob1,
    /// Every entity begins with `B-`.
    Iob2,
    /// As IOB2, but some `I-` follow nothing that they could continue; each is read as a beginning.
    IobWithStrays,
    /// Last words have `E-`, single ones `S-`.
    Iobes,
    /// Last words have `L-`, single ones `U-`.
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

/// The prefix and the label of a tag; an empty prefix for `O`.
pub(super) fn split_tag(tag: &str) -> Option<(char, &str)> {
    if tag == "O" {
        return Some(('O', ""));
    }
    let (prefix, label) = tag.split_once('-')?;
    let mut letters = prefix.chars();
    match (letters.next(), letters.next()) {
        (Some(letter @ ('B' | 'I' | 'E' | 'S' | 'L' | 'U')), None) if !label.trim().is_empty() => {
            Some((letter, label))
        }
        _ => None,
    }
}

/// Reads the sentences of one file, and remembers what it saw of their scheme.
#[derive(Clone, Debug, Default)]
pub(super) struct TagReader {
    /// A tag with `E-` or `S-`, and one with `L-` or `U-`.
    closing: [Option<String>; 2],
    /// A place where an entity of several words, or one that began with `B-`, ended without a
    /// closing tag.
    unclosed: Option<usize>,
    /// A place where a tag other than `B-`, `S-` or `U-` began an entity.
    stray: Option<usize>,
    /// Whether a `B-` began an entity that IOB1 would begin with `I-`.
    plain_begin: bool,
}

impl TagReader {
    /// The entities of the sentence at `place`.
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

    /// The place of the first sentence with a tag that continues nothing.
    pub fn first_stray(&self) -> Option<usize> {
        self.stray
    }

    /// The scheme of what was read so far, if there was an entity.
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

    /// The tags of entities in a scheme, written from its definition.
    fn written(entities: &[ConceptSpan], words: usize, scheme: Scheme) -> Vec<String> {
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

    /// Up to eight runs of words, each an entity of one of two labels or none.
    fn sentences() -> impl Strategy<Value = (Vec<ConceptSpan>, usize)> {
        prop::collection::vec((1usize..4, 0usize..3), 0..8).prop_map(|runs| {
            let mut at = 0;
            let mut entities = Vec::new();
            for (length, label) in runs {
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
                prop_assert_eq!(&reader.read(1, &written(&entities, words, scheme)).unwrap(), &entities);
            }
            // Words of one character, so that word i is character 2 i of the text.
            let text = AnnotatedText::from_tags(&vec!["w"; words], &written(&entities, words, Scheme::Iob2));
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
                reader.read(1, &written(&entities, words, scheme)).unwrap();
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
