//! The same bytes as files of all formats, each as a corpus of pairs, of concepts and of texts, as
//! the examples of a task, and checked.

use super::files;
use espalier_data::check::check_file;
use espalier_data::{Examples, documents, fraction, read_concepts, read_examples, read_pairs};
use espalier_encoder::text::is_hidden;
use std::path::Path;

/// JSON lines, comma or semicolon, tab, columns, and what is plain text for some and columns for
/// others.
const NAMES: [&str; 5] = ["file.jsonl", "file.csv", "file.tsv", "file.conll", "file.txt"];

/// Reads a file in all ways and checks what the readers promise.
pub fn read(input: &[u8]) {
    // What begins as Parquet is nothing else.
    let names = if input.starts_with(b"PAR1") { &["file.parquet"][..] } else { &NAMES };
    files::in_directory(|directory| {
        for name in names {
            files::put(directory, &[(name, input)]);
            read_file(&directory.join(name));
        }
    });
}

fn read_file(path: &Path) {
    for pair in read_pairs(path).unwrap_or_default() {
        assert!(!pair.anchor.trim().is_empty() && !pair.positive.trim().is_empty());
    }
    for sentence in read_concepts(path).unwrap_or_default() {
        let holds = |start, end| start < end && end <= sentence.tokens.len();
        assert!(sentence.spans.iter().all(|span| holds(span.start, span.end)));
    }
    for document in documents(path).into_iter().flatten().flatten() {
        assert!(!document.trim().is_empty());
    }
    let report = check_file(path, None, None).to_string();
    assert!(!report.contains(|c| c != '\n' && is_hidden(c)), "{report:?}");
    let Ok(examples) = read_examples(path) else { return };
    if let Examples::Ner(texts) = &examples {
        for text in texts {
            let length = text.text.chars().count();
            assert!(
                text.entities
                    .iter()
                    .all(|entity| entity.start <= entity.end && entity.end <= length)
            );
        }
    }
    examples.label_counts();
    let half = fraction(&examples, 0.5, 0).expect("a half is a fraction");
    assert!(!half.is_empty() && half.len() <= examples.len());
}
