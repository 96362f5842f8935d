//! Vocabularies trained on texts: the same each time, and read in the same way by the library and
//! by this crate.
#![cfg(feature = "tokenizers")]

use espalier_encoder::{
    EncoderError, Tokenizer, TokenizerLimits, TrainedTokenizer, VocabularyConfig,
};
use espalier_testing::compare::on_threads;
use espalier_testing::fixtures::read_json;
use std::fs;
use tempfile::TempDir;

const TEXTS: [&str; 6] = [
    "The cheap hotel near the station was great!",
    "Trains to London, Paris and Berlin: the trains are cheap.",
    "Caf\u{e9} in Z\u{fc}rich \u{2014} na\u{ef}ve r\u{e9}sum\u{e9}; great hotels, greater \
     stations, the greatest train.",
    "\u{6771}\u{4eac}\u{30bf}\u{30ef}\u{30fc} is in \u{6771}\u{4eac}",
    "",
    "lower lowest newer newest wider widest",
];

fn trained(size: usize, cased: bool) -> TrainedTokenizer {
    let texts = TEXTS.iter().cycle().take(60).map(|text| text.to_string());
    TrainedTokenizer::train(texts, VocabularyConfig::new(size).with_cased(cased)).unwrap()
}

/// The files of a tokenizer.
fn files(trained: &TrainedTokenizer) -> (TempDir, [String; 3]) {
    let directory = TempDir::new().unwrap();
    trained.save(directory.path()).unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    let contents = ["tokenizer.json", "vocab.txt", "tokenizer_config.json"].map(read);
    (directory, contents)
}

/// The library numbers characters in the order of its hash map of words, whose seed differs in each
/// process and map.
#[test]
fn the_same_texts_give_the_same_vocabulary() {
    let (_directory, first) = files(&trained(130, false));
    for threads in [1, 3] {
        let again = on_threads(threads, || files(&trained(130, false)).1);
        assert_eq!(again, first);
    }
    let vocabulary: Vec<&str> = first[1].lines().collect();
    assert_eq!(vocabulary.len(), 130);
    assert_eq!(vocabulary[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
    assert!(vocabulary.contains(&"station") && vocabulary.contains(&"##e"), "{vocabulary:?}");
    let unique: std::collections::BTreeSet<&str> = vocabulary.iter().copied().collect();
    assert_eq!(unique.len(), vocabulary.len());
}

#[test]
fn all_files_describe_one_tokenizer() {
    for cased in [false, true] {
        let (directory, contents) = files(&trained(120, cased));
        let library = tokenizers::Tokenizer::from_bytes(contents[0].as_bytes()).unwrap();
        let ours =
            Tokenizer::read(directory.path(), TokenizerLimits::new(usize::MAX, 512)).unwrap();
        fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
        let by_lines =
            Tokenizer::read(directory.path(), TokenizerLimits::new(usize::MAX, 512)).unwrap();
        let others = ["unlightable [MASK] \u{1f642}", "THE Stations of M\u{fc}nchen", "e\u{301}te"];
        for text in TEXTS.into_iter().chain(others) {
            let expected = library.encode(text, true).unwrap().get_ids().to_vec();
            assert_eq!(ours.encode(text).ids, expected, "{text}");
            assert_eq!(by_lines.encode(text).ids, expected, "{text}");
        }
        assert_eq!(ours.mask(), Some(("[MASK]", 4)));
        assert_eq!(ours.highest_id() as usize + 1, contents[1].lines().count());
        assert_eq!(
            read_json(&directory.path().join("tokenizer_config.json"))["do_lower_case"],
            !cased
        );
        let upper = ours.encode("The").ids != ours.encode("the").ids;
        assert_eq!(upper, cased);
    }
}

#[test]
fn texts_that_give_no_vocabulary_are_refused() {
    let of = |texts: &[&str], size| {
        let texts = texts.iter().map(|text| text.to_string()).collect::<Vec<_>>().into_iter();
        TrainedTokenizer::train(texts, VocabularyConfig::new(size))
    };
    for texts in [&[][..], &["", " \u{200b} "]] {
        let error = of(texts, 100).unwrap_err();
        let EncoderError::Vocabulary { reason } = &error else { panic!("{error}") };
        assert_eq!(reason, "the texts have no words");
    }
    let message = of(&["abc"], 7).unwrap_err().to_string();
    assert_eq!(message, "no vocabulary: 7 tokens are wanted, but the characters alone are 10");
    assert_eq!(of(&["abc"], 10).unwrap().len(), 10, "no token is listed twice");
}

#[test]
fn a_tokenizer_replaces_all_files_of_another_or_none() {
    let (directory, before) = files(&trained(120, true));
    let (_other, after) = files(&trained(130, false));
    // A directory at the path of a file: the old tokenizer is not touched.
    let stuck = directory.path().join("vocab.txt");
    fs::remove_file(&stuck).unwrap();
    fs::create_dir(&stuck).unwrap();
    trained(130, false).save(directory.path()).unwrap_err();
    assert_eq!(fs::read_to_string(directory.path().join("tokenizer.json")).unwrap(), before[0]);
    fs::remove_dir(&stuck).unwrap();
    trained(130, false).save(directory.path()).unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(["tokenizer.json", "vocab.txt", "tokenizer_config.json"].map(read), after);
}
