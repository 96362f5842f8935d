//! BERT's tokenizer twice: by this project and by the `tokenizers` library.

use espalier_encoder::{Encoded, Tokenizer, TokenizerLimits};
use std::path::Path;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, EncodeInput, NormalizedString, TruncationParams};

/// More than any text here has.
pub const UNLIMITED: usize = 100_000;
/// Rows of the word embeddings, more than any tokenizer here needs.
const ROWS: usize = 1 << 20;

/// A tokenizer by this project and the same by the library.
pub struct Pair {
    /// As it was read and, if it is BERT's, as a packed backbone holds it.
    ours: Vec<Tokenizer>,
    library: tokenizers::Tokenizer,
}

impl Pair {
    /// Makes the first from the second.
    pub fn new(library: tokenizers::Tokenizer, max_tokens: usize) -> Self {
        Self::from_json(&library.to_string(false).unwrap(), max_tokens)
    }

    /// Reads both from a tokenizer.json.
    pub fn from_json(json: &str, max_tokens: usize) -> Self {
        let ours = Tokenizer::from_json(
            Path::new("tokenizer.json"),
            json.as_bytes(),
            TokenizerLimits::new(ROWS, max_tokens),
        )
        .unwrap();
        // Or else the library would be compared with itself.
        assert!(
            format!("{ours:?}").contains("pipeline: WordPiece("),
            "BERT's tokenizer is left to the library"
        );
        Self::of(ours, json.parse().unwrap())
    }

    /// Pairs two tokenizers that should agree; the library's is cut to the same most tokens.
    pub fn of(ours: Tokenizer, mut library: tokenizers::Tokenizer) -> Self {
        let truncation = TruncationParams { max_length: ours.max_tokens(), ..Default::default() };
        library.with_padding(None).with_truncation(Some(truncation)).unwrap();
        let stored = ours.serialize().map(|stored| {
            Tokenizer::from_serialized(
                Path::new("packed"),
                &stored,
                TokenizerLimits::new(ROWS, ours.max_tokens()),
            )
            .unwrap()
        });
        Self { ours: stored.into_iter().chain([ours]).collect(), library }
    }

    /// Fails unless both give the same tokens for a text.
    pub fn assert_same(&self, text: &str) {
        let expected = self.by_library(text);
        self.ours.iter().for_each(|ours| assert_eq!(ours.encode(text), expected, "{text:?}"));
    }

    /// Fails unless both give the same tokens for words.
    pub fn assert_same_words(&self, words: &[impl AsRef<str>]) {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let expected = self.by_library(words.as_slice());
        self.ours
            .iter()
            .for_each(|ours| assert_eq!(ours.encode_words(&words), expected, "{words:?}"));
    }

    fn by_library<'s>(&self, text: impl Into<EncodeInput<'s>>) -> Encoded {
        let encoding = self.library.encode_char_offsets(text, true).unwrap();
        Encoded {
            ids: encoding.get_ids().to_vec(),
            word_ids: encoding.get_word_ids().to_vec(),
            spans: encoding.get_offsets().to_vec(),
            truncated: !encoding.get_overflowing().is_empty(),
        }
    }
}

/// BERT's tokenizer, by the library, with a vocabulary that distinguishes characters.
pub fn bert(normalizer: BertNormalizer) -> tokenizers::Tokenizer {
    let vocabulary = WordPiece::read_bytes(vocabulary("##").as_bytes()).unwrap();
    with_model(WordPiece::builder().vocab(vocabulary).build().unwrap(), normalizer)
}

/// BERT's tokenizer, by the library, with another model.
pub fn with_model(model: WordPiece, normalizer: BertNormalizer) -> tokenizers::Tokenizer {
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let special = |token: &str| (token.to_string(), tokenizer.token_to_id(token).unwrap());
    let processing = BertProcessing::new(special("[SEP]"), special("[CLS]"));
    tokenizer.with_normalizer(Some(normalizer)).with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(processing));
    // The last is not in the vocabulary, and begins as another does.
    let added = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[MASK][E1]"];
    tokenizer.add_special_tokens(&added.map(|token| AddedToken::from(token, true)));
    tokenizer
}

/// Special tokens, some longer tokens, and every character alone and inside a word; of ideographs,
/// of which every text is made alike, only those that others are decomposed into. One token per
/// line.
pub fn vocabulary(prefix: &str) -> String {
    let longer = [
        "the",
        "ab",
        "abc",
        "bcd",
        "ing",
        "\u{e9}t",
        "et",
        "i\u{307}s",
        "ss",
        "\u{1100}\u{1161}",
        "##",
        "[mask",
    ];
    let plain = [
        '!'..='\u{33ff}',
        '\u{a000}'..='\u{abff}',
        '\u{d7a4}'..='\u{fffd}',
        '\u{10000}'..='\u{1ffff}',
    ];
    let characters = plain
        .into_iter()
        .flatten()
        .filter(|c| !('\u{e000}'..='\u{f8ff}').contains(c))
        .map(String::from);
    let ideographs = ['\u{f900}'..='\u{faff}', '\u{2f800}'..='\u{2fa1f}'].into_iter().flatten();
    let ideographs =
        ideographs.map(|c| NormalizedString::from(String::from(c)).nfd().get().to_string());
    let tokens = longer.map(String::from).into_iter().chain(characters).chain(ideographs);
    let tokens = tokens.flat_map(|token| [format!("{prefix}{token}"), token]);
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
    special.into_iter().chain(tokens).collect::<Vec<_>>().join("\n")
}
