//! BIO2 tags: parsing, tag sets, and the entities in a sequence of tags.
//!
//! `B-x` begins an entity of label `x`, `I-x` continues it, `O` is outside of all entities. There
//! are two conventions for an `I-x` that continues nothing: [`entities_strict`] ignores it,
//! [`entities_lenient`] begins an entity with it.
//!
//! ```
//! use espalier_encoder::tags::{TagSet, entities_strict};
//!
//! let tags = TagSet::from_labels(["city", "food"]);
//! assert_eq!(tags.tags(), ["O", "B-city", "I-city", "B-food", "I-food"]);
//! let found = entities_strict(&["O", "B-city", "I-city", "O"]);
//! assert_eq!((found[0].start, found[0].end, found[0].label.as_str()), (1, 3, "city"));
//! ```

use std::collections::BTreeSet;

/// A labelled span. It counts words of a sequence of tags, or characters of a text, depending on
/// where it comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Entity {
    /// The first word or character.
    pub start: usize,
    /// The word or character after the last.
    pub end: usize,
    /// The label, without `B-` or `I-`.
    pub label: String,
}

/// A parsed BIO2 tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag<'a> {
    /// `O`
    Outside,
    /// `B-label`
    Begin(&'a str),
    /// `I-label`
    Inside(&'a str),
}

impl std::fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Tag::Outside => f.write_str("O"),
            Tag::Begin(label) => write!(f, "B-{label}"),
            Tag::Inside(label) => write!(f, "I-{label}"),
        }
    }
}

impl<'a> Tag<'a> {
    /// The label, `None` for `O`.
    pub fn label(self) -> Option<&'a str> {
        match self {
            Tag::Outside => None,
            Tag::Begin(label) | Tag::Inside(label) => Some(label),
        }
    }
}

/// Why a tag or a list of tags is invalid.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// Not a BIO2 tag.
    #[error(
        "tag {tag:?} is not BIO2: tags are \"O\", \"B-<label>\" (first word of an entity) and \
         \"I-<label>\" (its further words)"
    )]
    NotBio2 {
        /// The text.
        tag: String,
    },
    /// A tag is listed twice.
    #[error("tag {tag:?} is listed twice: every tag of a tag set needs one id")]
    Duplicate {
        /// The repeated tag.
        tag: String,
    },
    /// There is no tag for words outside of all entities.
    #[error("the tag set lacks \"O\": words outside of all entities need a tag")]
    NoOutside,
}

/// Parses a tag. The label is everything after the first hyphen, so it may contain hyphens itself.
///
/// # Errors
/// [`TagError::NotBio2`] for anything but `O`, `B-x` and `I-x` with a label that is not blank.
pub fn parse_tag(tag: &str) -> Result<Tag<'_>, TagError> {
    match tag.split_once('-') {
        None if tag == "O" => Ok(Tag::Outside),
        Some(("B", label)) if !label.trim().is_empty() => Ok(Tag::Begin(label)),
        Some(("I", label)) if !label.trim().is_empty() => Ok(Tag::Inside(label)),
        _ => Err(TagError::NotBio2 { tag: tag.to_owned() }),
    }
}

/// The tags of a token classifier, in the order of its classes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TagSet {
    tags: Vec<String>,
}

impl TagSet {
    /// The tag set of entity labels: first `O`, then `B-x` and `I-x` of each label. Labels are
    /// sorted, and duplicates are dropped. They must not be blank.
    pub fn from_labels<S: AsRef<str>>(labels: impl IntoIterator<Item = S>) -> TagSet {
        let labels: BTreeSet<String> =
            labels.into_iter().map(|label| label.as_ref().to_owned()).collect();
        let pairs = labels.iter().flat_map(|label| [format!("B-{label}"), format!("I-{label}")]);
        TagSet { tags: std::iter::once("O".to_owned()).chain(pairs).collect() }
    }

    /// The tag set with these tags in this order.
    ///
    /// # Errors
    /// [`TagError`] for a tag that is not BIO2, a tag that is listed twice, or no `O`.
    pub fn from_tags(tags: Vec<String>) -> Result<TagSet, TagError> {
        let mut seen = BTreeSet::new();
        for tag in &tags {
            parse_tag(tag)?;
            if !seen.insert(tag.as_str()) {
                return Err(TagError::Duplicate { tag: tag.clone() });
            }
        }
        if !seen.contains("O") {
            return Err(TagError::NoOutside);
        }
        Ok(TagSet { tags })
    }

    /// Number of tags.
    #[allow(clippy::len_without_is_empty)] // never empty: `O` is always there
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// The class of a tag, if the set has it.
    pub fn id(&self, tag: &str) -> Option<usize> {
        self.tags.iter().position(|known| known == tag)
    }

    /// The tag of a class.
    ///
    /// # Panics
    /// When `id` is not below [`len`](Self::len).
    pub fn tag(&self, id: usize) -> &str {
        &self.tags[id]
    }

    /// All tags in the order of the classes.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The entity labels, sorted.
    pub fn labels(&self) -> Vec<String> {
        let labels: BTreeSet<&str> = self.tags.iter().filter_map(|tag| label_of(tag)).collect();
        labels.into_iter().map(str::to_owned).collect()
    }
}

/// The entities in a sequence of tags, as seqeval's `mode="strict", scheme=IOB2` has them: an
/// entity begins at a `B-` and continues over every `I-` with its label. An `I-` that continues
/// nothing belongs to no entity. What is not a BIO2 tag counts as `O`.
pub fn entities_strict(tags: &[impl AsRef<str>]) -> Vec<Entity> {
    entities(tags, false)
}

/// The entities in a sequence of tags, as conlleval (seqeval's default mode) has them: as
/// [`entities_strict`], but an `I-` after `O` or another label begins an entity.
pub fn entities_lenient(tags: &[impl AsRef<str>]) -> Vec<Entity> {
    entities(tags, true)
}

fn entities(tags: &[impl AsRef<str>], stray_begins: bool) -> Vec<Entity> {
    let mut entities: Vec<Entity> = Vec::new();
    for (i, tag) in tags.iter().enumerate() {
        // The last entity can be continued exactly if it ends before this word.
        let open = entities.last_mut().filter(|entity| entity.end == i);
        match (parse_tag(tag.as_ref()).unwrap_or(Tag::Outside), open) {
            (Tag::Inside(label), Some(entity)) if entity.label == label => entity.end = i + 1,
            (Tag::Begin(label), _) => {
                entities.push(Entity { start: i, end: i + 1, label: label.to_owned() })
            }
            (Tag::Inside(label), _) if stray_begins => {
                entities.push(Entity { start: i, end: i + 1, label: label.to_owned() });
            }
            _ => {}
        }
    }
    entities
}

/// Turns every `I-` that continues nothing into a `B-`: [`entities_strict`] of the result are
/// [`entities_lenient`] of the original.
pub fn repair_bio(tags: &mut [String]) {
    for i in 0..tags.len() {
        let (before, rest) = tags.split_at_mut(i);
        let previous = before.last().and_then(|tag| label_of(tag));
        if let Ok(Tag::Inside(label)) = parse_tag(&rest[0])
            && previous != Some(label)
        {
            rest[0] = format!("B-{label}");
        }
    }
}

fn label_of(tag: &str) -> Option<&str> {
    parse_tag(tag).ok()?.label()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn spans(entities: Vec<Entity>) -> String {
        let spans: Vec<String> =
            entities.iter().map(|e| format!("{}:{}:{}", e.label, e.start, e.end)).collect();
        spans.join(" ")
    }

    #[test]
    fn parses_the_three_kinds() {
        assert_eq!(parse_tag("O"), Ok(Tag::Outside));
        assert_eq!(parse_tag("B-person"), Ok(Tag::Begin("person")));
        assert_eq!(parse_tag("I-creative-work"), Ok(Tag::Inside("creative-work")));
    }

    #[test]
    fn refuses_what_is_not_bio2_and_names_it() {
        for bad in [
            "", "o", "B", "B-", "I- ", "I-", "E-person", "S-person", "U-x", "O-person", "b-person",
            "Bperson", "-x",
        ] {
            let error = parse_tag(bad).unwrap_err();
            assert_eq!(error, TagError::NotBio2 { tag: bad.to_owned() });
            let message = error.to_string();
            assert!(
                message.contains(&format!("{bad:?}")) && message.contains("B-<label>"),
                "{message}"
            );
        }
    }

    #[test]
    fn tag_set_of_labels_is_sorted_with_outside_first() {
        let set = TagSet::from_labels(["person", "city", "person"]);
        assert_eq!(set.tags(), words("O B-city I-city B-person I-person"));
        assert_eq!(set.len(), 5);
        assert_eq!(set.id("I-city"), Some(2));
        assert_eq!(set.id("I-dog"), None);
        assert_eq!(set.tag(3), "B-person");
        assert_eq!(set.labels(), ["city", "person"]);
    }

    #[test]
    fn tag_set_of_tags_keeps_their_order() {
        let set = TagSet::from_tags(words("B-z I-z O I-a")).unwrap();
        assert_eq!((set.id("B-z"), set.id("O"), set.id("I-a")), (Some(0), Some(2), Some(3)));
        assert_eq!(set.labels(), ["a", "z"]);
    }

    #[test]
    fn tag_set_of_tags_refuses_bad_lists() {
        assert_eq!(
            TagSet::from_tags(words("O LABEL_1")),
            Err(TagError::NotBio2 { tag: "LABEL_1".to_owned() })
        );
        assert_eq!(
            TagSet::from_tags(words("O B-x O")),
            Err(TagError::Duplicate { tag: "O".to_owned() })
        );
        assert_eq!(TagSet::from_tags(words("B-x I-x")), Err(TagError::NoOutside));
    }

    /// Expected spans worked by hand from the pattern tables of seqeval's `scheme.IOB2` (strict)
    /// and the chunk rules of conlleval (lenient).
    #[test]
    fn strict_and_lenient_entities() {
        for (tags, strict, lenient) in [
            ("", "", ""),
            ("O O", "", ""),
            ("B-a I-a O", "a:0:2", "a:0:2"),
            ("B-a B-a I-a", "a:0:1 a:1:3", "a:0:1 a:1:3"),
            // A stray I- after O, and the I- of its own label after it.
            ("O I-a I-a O", "", "a:1:3"),
            ("I-a B-a", "a:1:2", "a:0:1 a:1:2"),
            // Another label ends the entity; coming back to the first label does not resume it.
            ("B-a I-b I-a", "a:0:1", "a:0:1 b:1:2 a:2:3"),
            ("B-a I-a I-b I-b", "a:0:2", "a:0:2 b:2:4"),
            ("B-a O I-a", "a:0:1", "a:0:1 a:2:3"),
            // Not a BIO2 tag: as O.
            ("B-a E-a I-a", "a:0:1", "a:0:1 a:2:3"),
        ] {
            assert_eq!(spans(entities_strict(&words(tags))), strict, "strict reading of {tags:?}");
            assert_eq!(
                spans(entities_lenient(&words(tags))),
                lenient,
                "lenient reading of {tags:?}"
            );
        }
    }

    #[test]
    fn repair_turns_stray_inside_into_begin() {
        let mut tags = words("I-a I-a O I-b B-a I-b I-b I-a");
        repair_bio(&mut tags);
        assert_eq!(tags, words("B-a I-a O B-b B-a B-b I-b B-a"));
    }

    /// All sequences of four tags over two labels: 5^4 cases.
    #[test]
    fn strict_after_repair_is_lenient_before() {
        let set = TagSet::from_labels(["a", "b"]);
        for case in 0..5usize.pow(4) {
            let tags: Vec<String> =
                (0..4).map(|i| set.tag(case / 5usize.pow(i) % 5).to_owned()).collect();
            let mut repaired = tags.clone();
            repair_bio(&mut repaired);
            assert_eq!(entities_strict(&repaired), entities_lenient(&tags), "{tags:?}");
            assert_eq!(entities_lenient(&repaired), entities_lenient(&tags), "{tags:?}");
        }
    }
}
