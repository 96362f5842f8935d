//! Makes labelled examples of rows in memory.

use std::ops::Range;

use super::examples::{AnnotatedText, Examples, LabelledText};
use super::schemes::{TagReader, check_count};
use super::spans::ConceptSpan;
use crate::error::{DataError, RecordError};

impl Examples {
    /// Texts with their classes.
    ///
    /// # Errors
    /// [`DataError::Row`] for the first row whose label is blank, [`DataError::NoRows`] if there is
    /// none.
    ///
    /// # Examples
    /// ```
    /// use espalier_data::Examples;
    ///
    /// let train = Examples::classification([
    ///     ("I lost my card", "card lost"),
    ///     ("Where is my new card?", "card arrival"),
    /// ])?;
    /// assert_eq!(train.len(), 2);
    ///
    /// let error = Examples::classification([("I lost my card", " ")]).unwrap_err();
    /// assert!(error.to_string().starts_with("row 1: \"label\" is blank"));
    /// # Ok::<(), espalier_data::DataError>(())
    /// ```
    pub fn classification<T: Into<String>, L: Into<String>>(
        rows: impl IntoIterator<Item = (T, L)>,
    ) -> Result<Self, DataError> {
        let parse = |_, (text, label): (T, L)| {
            Ok(LabelledText { text: text.into(), label: not_blank(label.into())? })
        };
        numbered(rows, parse).map(Examples::Classification)
    }

    /// Sentences in words, with a tag for each word in any of the schemes IOB1, IOB2, IOBES and
    /// BILOU.
    ///
    /// # Errors
    /// [`DataError::Row`] for the first row that has no words, not one tag for each word, or a text
    /// that is not a tag of the scheme of the rows before it; [`DataError::NoRows`] if there is no
    /// row.
    ///
    /// # Examples
    /// ```
    /// use espalier_data::Examples;
    ///
    /// let train = Examples::ner_from_tags([
    ///     (vec!["Ada", "Lovelace", "wrote"], vec!["B-person", "I-person", "O"]),
    ///     (vec!["nobody", "reads"], vec!["O", "O"]),
    /// ])?;
    /// assert_eq!(train.label_counts()["person"], 1);
    /// assert_eq!(train.texts()[0], "Ada Lovelace wrote");
    /// # Ok::<(), espalier_data::DataError>(())
    /// ```
    pub fn ner_from_tags<W, T>(rows: impl IntoIterator<Item = (W, T)>) -> Result<Self, DataError>
    where
        W: IntoIterator<Item: Into<String>>,
        T: IntoIterator<Item: Into<String>>,
    {
        let mut reader = TagReader::default();
        let parse = |row, (words, tags): (W, T)| {
            let words: Vec<String> = words.into_iter().map(Into::into).collect();
            let tags: Vec<String> = tags.into_iter().map(Into::into).collect();
            check_count(words.len(), tags.len())?;
            AnnotatedText::from_word_spans(&words, reader.read(row, &tags)?)
        };
        numbered(rows, parse).map(Examples::Ner)
    }

    /// Texts with their entities: a range of characters (not bytes), end exclusive, and a label. A
    /// word of which an entity covers a part belongs to the entity.
    ///
    /// # Errors
    /// [`DataError::Row`] for the first row that has no words, or an entity that is empty, beyond
    /// the end of the text, white space only, overlapping another, or with a blank label;
    /// [`DataError::NoRows`] if there is no row.
    ///
    /// # Examples
    /// ```
    /// use espalier_data::Examples;
    ///
    /// let train = Examples::ner_from_spans([
    ///     ("Ada Lovelace wrote", vec![(0..12, "person")]),
    ///     ("nobody reads", vec![]),
    /// ])?;
    /// assert_eq!(train.label_counts()["person"], 1);
    ///
    /// let error = Examples::ner_from_spans([("Ada", vec![(0..4, "person")])]).unwrap_err();
    /// assert!(error.to_string().starts_with("row 1: span 0..4 does not fit a text of 3 char"));
    /// # Ok::<(), espalier_data::DataError>(())
    /// ```
    pub fn ner_from_spans<T: Into<String>, S, L: Into<String>>(
        rows: impl IntoIterator<Item = (T, S)>,
    ) -> Result<Self, DataError>
    where
        S: IntoIterator<Item = (Range<usize>, L)>,
    {
        let parse = |_, (text, spans): (T, S)| {
            let spans = spans.into_iter().map(|(Range { start, end }, label)| {
                Ok(ConceptSpan { start, end, concept: not_blank(label.into())? })
            });
            AnnotatedText::from_character_spans(text.into(), spans.collect::<Result<_, _>>()?)
        };
        numbered(rows, parse).map(Examples::Ner)
    }
}

fn not_blank(label: String) -> Result<String, RecordError> {
    if label.trim().is_empty() { Err(RecordError::Blank { key: "label" }) } else { Ok(label) }
}

/// Parses rows, which are numbered from 1.
fn numbered<R, T>(
    rows: impl IntoIterator<Item = R>,
    mut parse: impl FnMut(usize, R) -> Result<T, RecordError>,
) -> Result<Vec<T>, DataError> {
    let rows = rows.into_iter().zip(1..).map(|(content, row)| {
        parse(row, content).map_err(|problem| DataError::Row { row, problem })
    });
    let rows = rows.collect::<Result<Vec<T>, _>>()?;
    if rows.is_empty() { Err(DataError::NoRows) } else { Ok(rows) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use espalier_encoder::Family;
    use espalier_encoder::tags::Entity;

    use super::*;

    fn entity(start: usize, end: usize, label: &str) -> Entity {
        Entity { start, end, label: label.into() }
    }

    #[test]
    fn rows_in_memory_become_examples() {
        let ada = AnnotatedText { text: "Ada wrote".into(), entities: vec![entity(0, 3, "x")] };
        let expected = Ok(Examples::Ner(vec![ada]));
        let tags = |tags: [&'static str; 2]| Examples::ner_from_tags([(["Ada", "wrote"], tags)]);
        assert_eq!(tags(["B-x", "O"]).map_err(drop), expected);
        assert_eq!(tags(["S-x", "O"]).map_err(drop), expected);
        // The span covers a part of a word.
        let spans = Examples::ner_from_spans([("Ada wrote".to_owned(), [(1..3, "x")])]);
        assert_eq!(spans.map_err(drop), expected);
        let texts = Examples::classification(vec![("fine".to_owned(), "good")]).unwrap();
        assert_eq!(texts.family(), Family::Tc);
        assert_eq!(texts.label_counts(), BTreeMap::from([("good".to_owned(), 1)]));
    }

    #[test]
    fn invalid_rows_are_refused_with_their_number() {
        let tags = |rows: &[(&[&str], &[&str])]| {
            let rows = rows.iter().map(|(words, tags)| (words.to_vec(), tags.to_vec()));
            Examples::ner_from_tags(rows).unwrap_err().to_string()
        };
        let spans = |text: &str, spans: &[(Range<usize>, &str)]| {
            let rows = [("a", vec![]), (text, spans.to_vec())];
            Examples::ner_from_spans(rows).unwrap_err().to_string()
        };
        let none: [(&str, &str); 0] = [];
        for (error, expected) in [
            (tags(&[(&["a"], &["O"]), (&["a", "b"], &["O"])]), "row 2: 2 tokens but 1 tags"),
            (tags(&[(&["a"], &["Q-x"])]), "row 1: tag \"Q-x\" is of no scheme"),
            (tags(&[(&["a"], &["S-x"]), (&["a"], &["B-x"])]), "row 2: a mixture of tag schemes"),
            (tags(&[(&[], &[])]), "row 1: \"tokens\" is empty"),
            (spans("a b", &[(0..1, " ")]), "row 2: \"label\" is blank"),
            (spans("a b", &[(0..9, "x")]), "row 2: span 0..9 does not fit a text of 3 characters"),
            (spans("a b", &[(1..2, "x")]), "row 2: span 1..2 holds no word"),
            (spans("a b", &[(0..3, "x"), (2..3, "y")]), "row 2: spans 0..2 (\"x\") and 1..2"),
            (spans(" ", &[]), "row 2: \"tokens\" is empty"),
            (Examples::classification(none).unwrap_err().to_string(), "no examples"),
        ] {
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
