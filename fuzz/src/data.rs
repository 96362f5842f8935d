//! JSON lines, plain or gzip: the same file as a corpus of pairs, a corpus of concepts, and the examples of a task.

use crate::files;
use espalier_train::data::{Examples, fraction, read_concepts, read_examples, read_pairs};

/// Reads a file in all three ways and checks what the readers promise.
pub fn read(input: &[u8]) {
    files::in_directory(|directory| {
        files::put(directory, &[("file.jsonl", input)]);
        let path = directory.join("file.jsonl");
        for pair in read_pairs(&path).unwrap_or_default() {
            assert!(!pair.anchor.trim().is_empty() && !pair.positive.trim().is_empty());
        }
        for sentence in read_concepts(&path).unwrap_or_default() {
            let holds = |start, end| start < end && end <= sentence.tokens.len();
            assert!(sentence.spans.iter().all(|span| holds(span.start, span.end)));
        }
        let Ok(examples) = read_examples(&path) else { return };
        if let Examples::Ner(texts) = &examples {
            for text in texts {
                let length = text.text.chars().count();
                assert!(text.entities.iter().all(|entity| entity.start <= entity.end && entity.end <= length));
            }
        }
        examples.label_counts();
        let half = fraction(&examples, 0.5, 0).expect("a half is a fraction");
        assert!(!half.is_empty() && half.len() <= examples.len());
    });
}
