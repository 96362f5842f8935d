//! Tokenization: against the tokenizers library's own results, and on everything that text can be.

use espalier_encoder::{Encoded, Tokenizer, TokenizerLimits};
use espalier_testing::fixtures::{copy_of, edit_json, fixture, read_json, tiny_bert};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Rows of the tiny BERT's word embeddings.
const VOCABULARY: usize = 175;
/// Long enough for every recorded text.
const UNLIMITED: usize = 4096;
const CLS: u32 = 2;
const SEP: u32 = 3;

fn read(directory: &Path, max_tokens: usize) -> Tokenizer {
    Tokenizer::read(directory, TokenizerLimits::new(VOCABULARY, max_tokens)).unwrap()
}

/// What the tokenizers library recorded in fixtures/parity.json.
#[derive(Deserialize)]
struct Recording {
    text: String,
    ids: Vec<u32>,
    offsets: Vec<(usize, usize)>,
}

fn recorded() -> Vec<Recording> {
    serde_json::from_value(read_json(&fixture("parity.json"))["tokenization"].take()).unwrap()
}

#[test]
fn ids_and_offsets_are_the_recorded_ones() {
    let from_json = read(&fixture("tiny-bert"), UNLIMITED);
    let directory = copy_of("tiny-bert");
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    let from_vocabulary = read(directory.path(), UNLIMITED);
    for Recording { text, ids, offsets } in recorded() {
        let encoded = from_json.encode(&text);
        assert_eq!((&encoded.ids, &encoded.spans), (&ids, &offsets), "{text:?}");
        assert_eq!(encoded, from_vocabulary.encode(&text), "{text:?} by vocab.txt");
        assert!(!encoded.truncated);
    }
}

#[test]
fn tokenizer_config_decides_about_case_when_there_is_only_a_vocabulary() {
    let directory = copy_of("tiny-bert");
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    edit_json(&directory.path().join("tokenizer_config.json"), |config| {
        config["do_lower_case"] = json!(false)
    });
    let tokenizer = read(directory.path(), UNLIMITED);
    // The vocabulary is in lower case: "The" with its capital is unknown, id 1.
    assert_eq!(tokenizer.encode("The the").ids, [CLS, 1, tokenizer.encode("the").ids[1], SEP]);
}

#[test]
fn long_texts_are_cut_to_what_the_model_declares() {
    let backbone = tiny_bert();
    assert_eq!(backbone.tokenizer.max_tokens(), 48); // max_seq_length of sentence_bert_config.json
    let whole = read(&fixture("tiny-bert"), UNLIMITED);
    let mut cut = 0;
    for Recording { text, ids, .. } in recorded() {
        let encoded = backbone.tokenizer.encode(&text);
        assert_eq!(encoded.truncated, ids.len() > 48, "{text:?}");
        match encoded.truncated {
            true => {
                assert_eq!(encoded.ids, [&ids[..47], &[SEP]].concat(), "{text:?}");
                assert_eq!(encoded.word_ids[..47], whole.encode(&text).word_ids[..47], "{text:?}");
                cut += 1;
            }
            false => assert_eq!(encoded.ids, ids, "{text:?}"),
        }
    }
    assert_eq!(cut, 1);
    // 46 words and two special tokens fit exactly.
    assert!(!backbone.tokenizer.encode(&"the ".repeat(46)).truncated);
    assert!(backbone.tokenizer.encode(&"the ".repeat(47)).truncated);
}

#[test]
fn words_know_their_first_token_and_their_characters() {
    let tokenizer = read(&fixture("tiny-bert"), UNLIMITED);
    // The pieces as recorded for this beginning of a recorded text: "train" "##s" "to" "london"
    // ",".
    let encoded = tokenizer.encode("Trains to LONDON,");
    assert_eq!(encoded.ids, [CLS, 123, 75, 98, 118, 6, SEP]);
    assert_eq!(encoded.word_ids, [None, Some(0), Some(0), Some(1), Some(2), Some(3), None]);
    assert_eq!(encoded.word_spans(), [(0, 6), (7, 9), (10, 16), (16, 17)]);
    assert_eq!(encoded.first_tokens(4), [Some(1), Some(3), Some(4), Some(5)]);
    // Characters, not bytes.
    assert_eq!(tokenizer.encode("東京 né").word_spans(), [(0, 1), (1, 2), (3, 5)]);
}

#[test]
fn given_words_are_split_but_never_joined() {
    let tokenizer = read(&fixture("tiny-bert"), 9);
    let encoded = tokenizer.encode_words(&["Trains", "\u{200b}", "to", "LONDON,", "Paris"]);
    assert_eq!(encoded.ids, [CLS, 123, 75, 98, 118, 6, 119, SEP]);
    assert_eq!(encoded.spans, [(0, 0), (0, 5), (5, 6), (0, 2), (0, 6), (6, 7), (0, 5), (0, 0)]);
    // The zero-width space has no token of its own.
    assert_eq!(encoded.first_tokens(5), [Some(1), None, Some(3), Some(4), Some(6)]);

    let cut = read(&fixture("tiny-bert"), 5).encode_words(&["Trains", "to", "LONDON"]);
    assert!(cut.truncated);
    assert_eq!(cut.first_tokens(3), [Some(1), Some(3), None]);
    assert_eq!(tokenizer.encode_words(&[] as &[&str]).ids, [CLS, SEP]);
}

#[test]
fn padding_and_truncation_of_the_file_are_ignored() {
    let directory = copy_of("tiny-bert");
    edit_json(&directory.path().join("tokenizer.json"), |tokenizer| {
        tokenizer["padding"] = json!({
            "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
        });
        tokenizer["truncation"] =
            json!({"direction": "Left", "max_length": 6, "strategy": "LongestFirst", "stride": 3});
    });
    let (with, without) = (read(directory.path(), 48), read(&fixture("tiny-bert"), 48));
    for Recording { text, .. } in recorded() {
        assert_eq!(with.encode(&text), without.encode(&text), "{text:?}");
    }
}

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| read(&fixture("tiny-bert"), 24));

/// What holds for every text: special tokens around it, ids that have word vectors, spans inside
/// the text or its word.
fn check(encoded: &Encoded, length_of: impl Fn(usize) -> usize) -> Result<(), TestCaseError> {
    let tokens = encoded.ids.len();
    prop_assert!((2..=24).contains(&tokens));
    prop_assert_eq!((encoded.word_ids.len(), encoded.spans.len()), (tokens, tokens));
    prop_assert_eq!((encoded.ids[0], encoded.ids[tokens - 1]), (CLS, SEP));
    prop_assert!(encoded.ids.iter().all(|&id| (id as usize) < VOCABULARY));
    prop_assert_eq!((encoded.word_ids[0], encoded.word_ids[tokens - 1]), (None, None));
    for (word, &(start, end)) in encoded.word_ids.iter().zip(&encoded.spans) {
        if let Some(word) = *word {
            prop_assert!(start <= end && end <= length_of(word as usize), "{encoded:?}");
        }
    }
    prop_assert!(encoded.word_ids.iter().flatten().is_sorted());
    Ok(())
}

/// Any characters at all, or those that a tokenizer treats specially, in any order.
fn text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "the",
        "ing",
        "##s",
        "[CLS]",
        "[MASK]",
        " ",
        "\t",
        "\0",
        "\u{301}",
        "\u{200b}",
        "\u{a0}",
        "İ",
        "ß",
        "東",
        "🙂",
        "\u{fffd}",
        "\u{202e}",
        "-",
        "\u{1112}\u{1161}",
    ]);
    prop_oneof![any::<String>(), vec(special, 0..40).prop_map(|parts| parts.concat())]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_can_be_encoded(text in text()) {
        let encoded = TOKENIZER.encode(&text);
        check(&encoded, |_| text.chars().count())?;
        let spans = encoded.word_spans();
        let in_text = |&(start, end): &(usize, usize)| start <= end && end <= text.chars().count();
        prop_assert!(spans.iter().all(in_text), "{spans:?}");
        prop_assert!(spans.is_sorted(), "{spans:?}");
        prop_assert!(encoded.first_tokens(spans.len()).iter().all(Option::is_some), "{encoded:?}");
    }

    #[test]
    fn any_words_can_be_encoded(words in vec(text(), 0..12)) {
        let encoded = TOKENIZER.encode_words(&words);
        check(&encoded, |word| words[word].chars().count())?;
        let first = encoded.first_tokens(words.len());
        for (word, token) in first.iter().enumerate() {
            if let Some(token) = *token {
                prop_assert_eq!(encoded.word_ids[token], Some(word as u32));
                prop_assert_ne!(encoded.word_ids[token - 1], Some(word as u32));
            }
        }
        let mut seen: Vec<u32> = encoded.word_ids.iter().flatten().copied().collect();
        seen.dedup();
        prop_assert_eq!(first.iter().flatten().count(), seen.len());
    }
}
