//! The real vocabulary of all-MiniLM-L6-v2; how to run this: see tests/minilm.rs.

use espalier_testing::fixtures::{fixture, read_json};
use espalier_testing::wordpiece::{Pair, UNLIMITED};
use std::fs;
use std::path::PathBuf;

#[test]
fn the_real_vocabulary() {
    let directory = std::env::var_os("ESPALIER_MINILM")
        .expect("ESPALIER_MINILM names the directory of all-MiniLM-L6-v2");
    let directory = PathBuf::from(directory);
    let json = fs::read_to_string(directory.join("tokenizer.json")).unwrap();
    let (unlimited, short) = (Pair::from_json(&json, UNLIMITED), Pair::from_json(&json, 16));
    let sentences: Vec<String> =
        serde_json::from_value(read_json(&fixture("minilm/sentences.json"))).unwrap();
    for sentence in sentences.iter().chain([&sentences.join(" ")]) {
        let words: Vec<&str> = sentence.split(' ').collect();
        for pair in [&unlimited, &short] {
            pair.assert_same(sentence);
            pair.assert_same_words(&words);
        }
    }
    for token in fs::read_to_string(directory.join("vocab.txt")).unwrap().lines() {
        unlimited.assert_same(&format!("{token} Un{token}ly"));
    }
}
