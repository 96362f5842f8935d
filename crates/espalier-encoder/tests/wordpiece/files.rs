//! Files: the forms in which BERT's tokenizer is written, other tokenizers, and invalid files.

use espalier_encoder::{EncoderError, Tokenizer, TokenizerLimits};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{fixture, read_json};
use espalier_testing::wordpiece::{Pair, UNLIMITED, with_model};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;

const TEXTS: [&str; 4] = [
    "",
    "Trains to LONDON, n\u{e9}e [MASK]",
    "\u{6771}\u{4eac} the<x> [X][X]X",
    "a e\u{301} b\n\u{e9}",
];

fn open(json: impl AsRef<[u8]>) -> Result<Tokenizer, EncoderError> {
    Tokenizer::from_json(Path::new("some/bundle"), json.as_ref(), TokenizerLimits::new(200, 48))
}

/// tokenizer.json of the fixture with one part of it changed.
fn changed(pointer: &str, value: Value) -> String {
    let mut json = read_json(&fixture("tiny-bert/tokenizer.json"));
    *json.pointer_mut(pointer).unwrap() = value;
    json.to_string()
}

fn added_token(content: &str, change: &[&str]) -> Value {
    let mut token = json!({
        "id": 500, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": false
    });
    change.iter().for_each(|&key| token[key] = json!(true));
    token
}

fn roberta(trim_offsets: bool, add_prefix_space: bool) -> Value {
    json!({
        "type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
        "trim_offsets": trim_offsets, "add_prefix_space": add_prefix_space
    })
}

/// RoBERTa's special tokens around WordPiece; `<unk>` is searched in the normalised text, `<mask>`
/// includes the spaces before it.
#[test]
fn the_tokenizer_of_mpnet() {
    let json = fs::read_to_string(fixture("kin/mpnet/model/tokenizer.json")).unwrap();
    let (unlimited, short) = (Pair::from_json(&json, UNLIMITED), Pair::from_json(&json, 5));
    for text in [
        TEXTS[1],
        "the <unk> <UNK>ing <\u{fc}nk><<unk>>",
        "<un <unk <u\u{0}nk> <u\u{301}nk> in<",
        "<mask> \u{a0}<mask>the\n<mask> <MASK>",
        "<s>a</s><pad>[UNK]\u{6771}<unk>\u{4eac}<mask>",
        "<unk>",
        "<unk",
        "",
    ] {
        for pair in [&unlimited, &short] {
            pair.assert_same(text);
            pair.assert_same_words(&[text, "<unk", ">", text]);
        }
    }
}

#[test]
fn the_same_tokenizer_may_be_written_in_other_ways() {
    let plain = |content| added_token(content, &[]);
    let normalized = |content| added_token(content, &["normalized"]);
    let template = |single: Value| {
        let mut template = read_json(&fixture("tiny-bert/tokenizer.json"))["post_processor"].take();
        template["single"] = single;
        template
    };
    let (text, cls) = (
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"SpecialToken": {"id": "[CLS]", "type_id": 0}}),
    );
    for json in [
        changed(
            "/post_processor",
            json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}),
        ),
        changed("/post_processor", template(json!([text]))),
        changed("/post_processor", template(json!([cls, cls, text]))),
        changed("/post_processor", template(json!([text, cls]))),
        changed("/normalizer/strip_accents", json!(true)),
        changed("/normalizer/clean_text", json!(false)),
        changed("/added_tokens", json!([])),
        // Those that the vocabulary does not have get the next ids, whatever the file says; the
        // longest match counts.
        changed(
            "/added_tokens",
            json!([
                plain("[X]"),
                plain("[PAD]"),
                plain(""),
                plain("[X][X]"),
                plain("<x>"),
                plain("e")
            ]),
        ),
        // Searched in the normalised text, the longest first, also inside the start of a longer
        // one.
        changed(
            "/added_tokens",
            json!([normalized("THE"), normalized("the<x>"), normalized("\u{c9}e"), plain("<x>")]),
        ),
        changed("/post_processor", roberta(true, false)),
        changed("/post_processor", roberta(false, true)),
        changed("/decoder", Value::Null),
        changed("/version", json!("1.0")),
        changed("/model/vocab", json!({"a": 8, "##a": 9, "": 5, "[UNK]": 0, "e\u{301}": 7})),
        fs::read_to_string(fixture("tiny-bert/tokenizer.json"))
            .unwrap()
            .replace("\"the\"", "\"\\u0074he\": 9, \"the\""),
    ] {
        let pair = Pair::from_json(&json, UNLIMITED);
        for text in TEXTS {
            pair.assert_same(text);
            pair.assert_same_words(&[text, text]);
        }
    }
}

#[test]
fn vocabularies_with_any_line_ends_are_read() {
    let lines =
        "[UNK]\r\n[CLS] \n[SEP]\u{3000}\n\n\n##s\t\nthe\nTrain\ntrain\nthe\n,\r\r\nn\u{e9}e\nto";
    for lower_case in [true, false] {
        let config =
            json!({"do_lower_case": lower_case, "tokenize_chinese_chars": false, "other": 1})
                .to_string();
        let (path, config) = (Path::new("vocab.txt"), Some(config.as_bytes()));
        let limits = TokenizerLimits::new(20, UNLIMITED);
        let ours = Tokenizer::from_vocabulary(path, lines.as_bytes(), config, limits).unwrap();
        let model = WordPiece::builder()
            .vocab(WordPiece::read_bytes(lines.as_bytes()).unwrap())
            .build()
            .unwrap();
        let pair =
            Pair::of(ours, with_model(model, BertNormalizer::new(true, false, None, lower_case)));
        pair.assert_same("Trains to the train, n\u{e9}e N\u{c9}E [MASKS] \u{6771}\u{4eac}");
    }
    let config = Some(b"{".as_slice());
    let error = Tokenizer::from_vocabulary(
        Path::new("some/bundle"),
        lines.as_bytes(),
        config,
        TokenizerLimits::new(20, 48),
    );
    assert!(matches!(
        expect_error(error, &["some/bundle", "tokenizer_config.json"]),
        EncoderError::Tokenizer { .. }
    ));
}

/// Tokenizers that are not BERT's, and what the error says about each.
fn others() -> Vec<(String, &'static str)> {
    let bpe = json!({"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]});
    let unigram = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]});
    let normalizer = json!({
        "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
        "lowercase": true, "strip_accents": null, "other": 1
    });
    let added = |rule| changed("/added_tokens/4", added_token("[MASK]", &[rule]));
    vec![
        (changed("/model", bpe), "the model is BPE"),
        (changed("/model", unigram), "the model is Unigram"),
        (changed("/normalizer", Value::Null), "the normalizer is of no type"),
        (changed("/normalizer", json!({"type": "Lowercase"})), "the normalizer is Lowercase"),
        (changed("/normalizer", normalizer), "normalizer: unknown field `other`"),
        (changed("/pre_tokenizer/type", json!("Whitespace")), "the pre_tokenizer is Whitespace"),
        (changed("/post_processor", Value::Null), "the post_processor is of no type"),
        (
            changed("/post_processor", roberta(true, true)),
            "the post_processor is RobertaProcessing",
        ),
        (changed("/added_tokens/0", added_token("[MASK]", &[])), "the added token is [MASK] twice"),
        (added("single_word"), "the added token is [MASK], which is matched by rules"),
        (added("lstrip"), "the added token is [MASK], which is matched by rules"),
        (added("rstrip"), "the added token is [MASK], which is matched by rules"),
    ]
}

#[cfg(feature = "tokenizers")]
#[test]
fn other_tokenizers_are_left_to_the_library() {
    for (json, _) in others() {
        let pair = Pair::of(open(&json).unwrap(), json.parse().unwrap());
        for text in TEXTS {
            pair.assert_same(text);
            pair.assert_same_words(&[text, text]);
        }
    }
}

#[cfg(feature = "tokenizers")]
#[test]
fn templates_that_the_library_panics_on_are_refused() {
    let second = json!([{"Sequence": {"id": "B", "type_id": 0}}]);
    let special = json!([
        {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[MORE]", "type_id": 0}}
    ]);
    for single in [second, special] {
        // With this it is left to the library.
        let mut json: Value =
            serde_json::from_str(&changed("/pre_tokenizer/type", json!("Whitespace"))).unwrap();
        json["post_processor"]["single"] = single;
        let error = expect_error(open(json.to_string()), &["some/bundle"]);
        assert!(matches!(error, EncoderError::Tokenizer { .. }), "{error}");
    }
}

#[cfg(not(feature = "tokenizers"))]
#[test]
fn other_tokenizers_are_refused_by_name() {
    for (json, what) in others() {
        let error =
            expect_error(open(json), &["some/bundle", what, "build with the feature `tokenizers`"]);
        assert!(matches!(error, EncoderError::Unsupported { .. }));
    }
}

#[test]
fn invalid_tokenizers_are_refused() {
    let cls = json!({"SpecialToken": {"id": "[CLS]", "type_id": 0}});
    // 400 million special tokens in a file of 1 MB.
    let mut many = read_json(&fixture("tiny-bert/tokenizer.json"))["post_processor"].take();
    many["special_tokens"]["[CLS]"]["ids"] = json!(vec![2; 20_000]);
    let single = many["single"].as_array_mut().unwrap();
    single.splice(..0, vec![cls; 20_000]);
    for (json, what) in [
        (changed("/model/unk_token", json!("[unk]")), "the vocabulary has no [unk]"),
        (changed("/model/vocab", json!({})), "the vocabulary has no [UNK]"),
        (changed("/model/vocab", Value::Null), "the model has no vocab"),
        (changed("/model/vocab/the", json!(-1)), "invalid value: integer `-1`"),
        (changed("/model/vocab/the", json!(1.5)), "invalid type: floating point `1.5`"),
        (changed("/model/vocab/the", json!(1u64 << 32)), "invalid value: integer `4294967296`"),
        (
            changed("/model/max_input_chars_per_word", Value::Null),
            "the model has no max_input_chars_per_word",
        ),
        (changed("/version", json!("2.0")), "not version 1.0"),
        (changed("/added_tokens", json!([{}])), "missing field `content`"),
        (
            changed("/post_processor/special_tokens", json!({})),
            "[CLS] is not among its special tokens",
        ),
        (changed("/post_processor", many), "adds 400020001 special tokens to every text"),
        (r#"{"model": {}, "more": 1}"#.into(), "unknown field `more`"),
        ("[".repeat(100_000), "not a tokenizer"),
    ] {
        assert!(matches!(
            expect_error(open(json), &["some/bundle", what]),
            EncoderError::Tokenizer { .. }
        ));
    }
    let error = expect_error(open(changed("/model/vocab/the", json!(200))), &["highest id is 200"]);
    assert!(matches!(error, EncoderError::VocabularyMismatch { .. }));
}

/// Where a file is damaged, how many bytes are removed, and what is there instead.
fn damage() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    (any::<prop::sample::Index>(), 0..12usize, "[\\[\\]{}\",:0-9a-zA-Z\u{e9}-]{0,6}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is damaged, a tokenizer is either refused or works.
    #[test]
    fn damaged_files(damage in prop::collection::vec(damage(), 1..4)) {
        let mut json = fs::read(fixture("tiny-bert/tokenizer.json")).unwrap();
        for (at, length, instead) in damage {
            let at = at.index(json.len());
            json.splice(at..(at + length).min(json.len()), instead.into_bytes());
        }
        if let Ok(tokenizer) = open(json) {
            for text in TEXTS {
                prop_assert!(tokenizer.encode(text).ids.iter().all(|&id| id < 200));
            }
        }
    }
}
