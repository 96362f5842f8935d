//! Tokenizers: ids, words and characters as the tokenizers library has them.

use crate::{NAMES, backbone, recorded};
use espalier_encoder::{Tokenizer, TokenizerLimits};
use espalier_testing::fixtures::fixture;
#[cfg(feature = "tokenizers")]
use espalier_testing::fixtures::{copy_of, edit_json};
use serde::Deserialize;
use serde_json::Value;
#[cfg(feature = "tokenizers")]
use serde_json::json;

#[derive(Deserialize)]
struct Recording {
    text: Option<String>,
    words_given: Option<Vec<String>>,
    ids: Vec<u32>,
    offsets: Vec<(usize, usize)>,
    words: Vec<Option<u32>>,
}

fn recordings(name: &str, kind: &str) -> Vec<Recording> {
    let mut json: Value = recorded(name).json;
    serde_json::from_value(json["tokenization"][kind].take()).unwrap()
}

/// A tokenizer that does not cut texts as its model does: the recordings are of complete texts.
fn unlimited(name: &str) -> Tokenizer {
    let directory = fixture(&format!("kin/{name}/model"));
    Tokenizer::read(
        &directory,
        TokenizerLimits::new(backbone(name).encoder.config.vocab_size, 1000),
    )
    .unwrap()
}

/// The characters of a span that can be seen.
fn visible(text: &str, (start, end): (usize, usize)) -> String {
    text.chars().skip(start).take(end - start).filter(|c| !c.is_whitespace()).collect()
}

/// The recordings have a space before every word, as transformers asks for it; ours have none
/// before the first, as in a text.
#[test]
fn given_words_have_the_recorded_tokens_and_characters() {
    for name in NAMES {
        for recording in recordings(name, "words") {
            let words = recording.words_given.unwrap();
            let encoded = unlimited(name).encode_words(&words);
            let compared = |ids: &[u32], words: &[Option<u32>]| -> Vec<(u32, Option<u32>)> {
                let all = ids.iter().copied().zip(words.iter().copied());
                all.filter(|(_, word)| name != "roberta" || *word != Some(0)).collect()
            };
            let (found, expected) = (
                compared(&encoded.ids, &encoded.word_ids),
                compared(&recording.ids, &recording.words),
            );
            assert_eq!(found, expected, "{name}: {words:?}");
            if name == "roberta" {
                continue; // its characters: words_of_a_text_are_without_spaces
            }
            for ((word, found), recorded) in
                encoded.word_ids.iter().zip(encoded.spans).zip(recording.offsets)
            {
                let text = word.map_or("", |word| &words[word as usize]);
                // For tokens that begin with the space before the word, the library counts this as
                // a character of the word.
                let spaced = recorded.0 == recorded.1;
                assert!(
                    visible(text, found) == visible(text, recorded) || spaced && found.0 == 0,
                    "{name}: {words:?}"
                );
            }
        }
    }
}

/// One rule for words given and for words found in a text; a given word that begins with a space
/// has one to itself.
#[test]
fn given_words_have_the_tokens_of_the_words_joined_by_spaces() {
    for name in NAMES {
        for recording in recordings(name, "words") {
            let mut words = recording.words_given.unwrap();
            words.retain(|word| !word.is_empty() && !word.contains(char::is_whitespace));
            let tokenizer = unlimited(name);
            assert_eq!(
                tokenizer.encode_words(&words).ids,
                tokenizer.encode(&words.join(" ")).ids,
                "{name}: {words:?}"
            );
        }
    }
}

#[test]
fn texts_have_the_recorded_tokens_and_characters() {
    for name in NAMES {
        for recording in recordings(name, "texts") {
            let text = recording.text.unwrap();
            let encoded = unlimited(name).encode(&text);
            assert_eq!(encoded.ids, recording.ids, "{name}: {text:?}");
            for (found, recorded) in encoded.spans.iter().zip(recording.offsets) {
                assert_eq!(visible(&text, *found), visible(&text, recorded), "{name}: {text:?}");
                assert!(recorded.0 <= found.0 && found.1 <= recorded.1, "{name}: {text:?}");
            }
        }
    }
}

#[cfg(not(feature = "tokenizers"))]
#[test]
fn byte_level_tokenizers_are_refused_by_name() {
    let opened = espalier_encoder::Backbone::open(&fixture("kin/roberta/model"));
    let parts = ["tokenizer.json", "the model is BPE", "build with the feature `tokenizers`"];
    let error = espalier_testing::compare::expect_error(opened, &parts);
    assert!(matches!(error, espalier_encoder::EncoderError::Unsupported { .. }));
}

/// In byte-level BPE a space is a part of the word after it, but not of the entity that the word
/// is.
#[cfg(feature = "tokenizers")]
#[test]
fn words_of_a_text_are_without_spaces() {
    let directory = copy_of("kin/roberta/model");
    let text = " two  hotels\nand it's\u{a0}<mask>, <mask> ";
    let words = ["two", "hotels", "and", "it", "'s", "<mask>", ",", "<mask>"];
    for trim_offsets in [true, false] {
        for add_prefix_space in [true, false] {
            edit_json(&directory.path().join("tokenizer.json"), |json| {
                for part in ["pre_tokenizer", "post_processor"] {
                    json[part]["trim_offsets"] = json!(trim_offsets);
                    json[part]["add_prefix_space"] = json!(add_prefix_space);
                }
            });
            let tokenizer =
                Tokenizer::read(directory.path(), TokenizerLimits::new(1000, 1000)).unwrap();
            for text in [text, text.trim()] {
                let encoded = tokenizer.encode(text);
                let spans = encoded.word_spans();
                let found: Vec<String> = spans
                    .iter()
                    .map(|&(start, end)| text.chars().skip(start).take(end - start).collect())
                    .collect();
                assert_eq!(found, words);
                assert!(encoded.first_tokens(words.len()).iter().all(Option::is_some));
            }
            // A word has the tokens that it has inside a text, each with its characters in the
            // word.
            let encoded = tokenizer.encode_words(&["two", "", "hotels"]);
            assert_eq!(encoded.ids, tokenizer.encode("two hotels").ids);
            assert_eq!(
                encoded.first_tokens(3).iter().map(Option::is_some).collect::<Vec<_>>(),
                [true, false, true]
            );
            assert_eq!(encoded.spans[encoded.spans.len() - 2].1, "hotels".len());
        }
    }
    assert!(unlimited("roberta").encode(" \n ").word_ids.iter().all(Option::is_none));
}
