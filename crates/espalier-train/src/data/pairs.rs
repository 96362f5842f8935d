//! Corpora of text pairs that mean alike, for contrastive pre-finetuning.

use std::path::Path;

use serde::Deserialize;

use super::{DataError, JsonLines, RecordError};

/// Two texts that belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TextPair {
    /// The first text, not blank.
    pub anchor: String,
    /// The text that belongs to it, not blank.
    pub positive: String,
    /// Where the pair comes from. A batch is drawn from one source.
    pub source: String,
}

/// A pair as the file has it.
#[derive(Deserialize)]
struct Row {
    anchor: String,
    positive: String,
    source: Option<String>,
}

/// Reads a corpus of text pairs. A pair without a source gets the name of the file (`wiki` for `data/wiki.jsonl.gz`).
///
/// # Errors
/// The first line that cannot be read or whose anchor or positive is blank; a file without records.
pub fn read_pairs(path: &Path) -> Result<Vec<TextPair>, DataError> {
    let default = stem(path);
    let pairs = JsonLines::read_all(path, |row: Row| {
        for (key, text) in [("anchor", &row.anchor), ("positive", &row.positive)] {
            if text.trim().is_empty() {
                return Err(RecordError::Blank { key });
            }
        }
        let source = row.source.unwrap_or_else(|| default.clone());
        Ok(TextPair { anchor: row.anchor, positive: row.positive, source })
    })?;
    if pairs.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(pairs)
}

/// The file's name without `.gz` and the extension before it.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = Path::new(name.strip_suffix(".gz").unwrap_or(&name));
    name.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<TextPair>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my.pairs.jsonl");
        std::fs::write(&path, text).unwrap();
        read_pairs(&path).map_err(|error| error.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn reads_pairs_and_names_their_source() {
        let pairs =
            read("{\"anchor\":\"a\",\"positive\":\"b\"}\n{\"anchor\":\"c\",\"positive\":\"d\",\"source\":\"wiki\"}\n");
        let pair = |a: &str, b: &str, s: &str| TextPair { anchor: a.into(), positive: b.into(), source: s.into() };
        assert_eq!(pairs.unwrap(), [pair("a", "b", "my.pairs"), pair("c", "d", "wiki")]);
    }

    #[test]
    fn the_default_source_leaves_the_extensions_out() {
        for (path, expected) in
            [("data/wiki.jsonl.gz", "wiki"), ("wiki.jsonl", "wiki"), ("a.b.jsonl.gz", "a.b"), ("x", "x")]
        {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }

    #[test]
    fn refuses_blank_texts_and_empty_files() {
        let good = "{\"anchor\":\"a\",\"positive\":\"b\"}\n";
        let error = read(&format!("{good}{{\"anchor\":\" \\n\",\"positive\":\"b\"}}")).unwrap_err();
        assert!(error.starts_with("my.pairs.jsonl:2: \"anchor\" is blank"), "{error}");
        let error = read("{\"anchor\":\"a\",\"positive\":\"\"}").unwrap_err();
        assert!(error.starts_with("my.pairs.jsonl:1: \"positive\" is blank"), "{error}");
        let error = read("{\"anchor\":\"a\"}").unwrap_err();
        assert!(error.contains("missing field `positive`"), "{error}");
        assert_eq!(read("\n").unwrap_err(), "my.pairs.jsonl: holds no records");
    }
}
