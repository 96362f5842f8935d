//! Unusual texts, as text and as words, complete and truncated.

use espalier_testing::wordpiece::{Pair, UNLIMITED, bert, vocabulary, with_model};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::processors::template::TemplateProcessing;

/// Tokenizers that differ in everything that can differ.
static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let uncased = BertNormalizer::default();
    let cased = BertNormalizer::new(true, true, None, false);
    let accents = BertNormalizer::new(false, false, Some(true), false);
    let without_prefix = WordPiece::read_bytes(vocabulary("").as_bytes()).unwrap();
    let model = WordPiece::builder().vocab(without_prefix).continuing_subword_prefix("".into());
    let model = model.unk_token("[MASK]".into()).max_input_chars_per_word(3).build().unwrap();
    let mut template = bert(uncased);
    template.with_post_processor(Some(
        TemplateProcessing::builder()
            .try_single("[MASK] [CLS] $A [SEP]")
            .unwrap()
            .special_tokens(vec![("[CLS]", 2), ("[SEP]", 3), ("[MASK]", 4)])
            .build()
            .unwrap(),
    ));
    vec![
        Pair::new(bert(uncased), UNLIMITED),
        Pair::new(bert(uncased), 24),
        Pair::new(bert(uncased), 2),
        Pair::new(bert(cased), UNLIMITED),
        Pair::new(bert(accents), UNLIMITED),
        Pair::new(with_model(model, uncased), UNLIMITED),
        Pair::new(template, 16),
    ]
});

fn assert_same(text: &str) {
    PAIRS.iter().for_each(|pair| pair.assert_same(text));
}

#[test]
fn unusual_texts() {
    for text in [
        "",
        " ",
        "\u{301}",
        "[MASK]",
        "a[MASK]b [MASK][MASK] [MASK][E1] [MASK][E [mask] [[MASK]]",
        "The [CLS]ing[SEP] ##ing ## #",
        "\u{130}s \u{131}S I\u{307}s \u{3a3}\u{3c3}\u{3c2} \u{1e9e}\u{df} \u{fb01}\u{149}\u{1f0}",
        "e\u{301}\u{323}t \u{e9}\u{323}t \u{1eb9}\u{301}t a\u{5c4}\u{5bf}\u{5b0}",
        "\u{f73}\u{f72}\u{f74} \u{344}\u{323} \u{1d160}\u{1d16d}\u{301} \
         \u{302e}\u{323}a\u{302e}\u{302a}",
        "\u{ac00}\u{ac01}\u{1100}\u{1161}\u{11a8}\u{302e}",
        "\u{6771}\u{4eac}\u{301}\u{302e}a \
         \u{f900}\u{2f800}\u{3400}\u{20000}\u{2b820}\u{2ceb0}\u{3042}",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f1e9}\u{1f1ea} 1\u{fe0f}\u{20e3}",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202e}abc\u{202c} \
         \u{645}\u{631}\u{62d}\u{628}\u{627}\u{64b}",
        "\u{d7ff}\u{e000}\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{0}\u{7f}\u{85}\u{a0}\u{ad}\
         \u{2028}\u{3000}\u{feff}",
    ] {
        assert_same(text);
        PAIRS.iter().for_each(|pair| pair.assert_same_words(&[text, "", text]));
    }
}

#[test]
fn words_at_the_limits() {
    // 100 characters are looked up and 101 are not. Accents do not count; what a letter is
    // lowercased to does.
    for length in [2, 3, 4, 99, 100, 101, 5000] {
        assert_same(&"a".repeat(length));
        assert_same(&"a\u{301}".repeat(length));
        assert_same(&"\u{130}".repeat(length));
        assert_same(&format!("{}\u{5d0}", "\u{e9}".repeat(length)));
    }
    // The number of marks is not limited.
    assert_same(&format!("a{}", "\u{301}\u{302e}\u{323}".repeat(500)));
    for length in 0..30 {
        assert_same(&"a! ".repeat(length));
        PAIRS
            .iter()
            .for_each(|pair| pair.assert_same_words(&vec!["abcde", "[MASK]", "-"][..length % 4]));
    }
}

fn from(range: RangeInclusive<char>) -> BoxedStrategy<String> {
    prop::char::range(*range.start(), *range.end()).prop_map(String::from).boxed()
}

/// Parts of texts, each kind as likely as the other.
fn part() -> impl Strategy<Value = String> {
    let plain = [
        "the", "abcdab", "ing", "\u{e9}t", "ss", " ", "  ", "\t", "\r\n", "-", "##", "[MASK]",
        "[SEP]", "[", "]",
    ];
    let odd = [
        "\u{130}s", "\u{3a3}", "\u{df}", "\u{fb01}", "\u{0}", "\u{fffd}", "\u{feff}", "\u{200d}",
        "\u{d7ff}", "\u{e000}",
    ];
    Union::new([
        prop::sample::select(plain.to_vec()).prop_map(String::from).boxed(),
        prop::sample::select(odd.to_vec()).prop_map(String::from).boxed(),
        from('\0'..='\u{17f}'),
        from('\u{300}'..='\u{36f}'),   // combining marks
        from('\u{370}'..='\u{52f}'),   // Greek and Cyrillic
        from('\u{591}'..='\u{670}'),   // Hebrew and Arabic, with their points
        from('\u{8d4}'..='\u{e4f}'),   // scripts of India, and marks younger than some tables
        from('\u{f71}'..='\u{f84}'),   // Tibetan vowels, which are decomposed into marks
        from('\u{1100}'..='\u{11ff}'), // Hangul letters
        from('\u{1dc0}'..='\u{206f}'), // marks, Vietnamese, polytonic Greek, spaces and controls
        from('\u{3000}'..='\u{30ff}'), // marks of Hangul, Japanese
        from('\u{4e00}'..='\u{4fff}'),
        from('\u{ac00}'..='\u{d7a3}'),
        from('\u{f8f0}'..='\u{ffff}'),
        from('\u{1d150}'..='\u{1d1cf}'), // musical signs
        from('\u{1e000}'..='\u{1e02f}'), // Glagolitic marks
        from('\u{1f000}'..='\u{1faff}'), // emoji
        from('\u{2f800}'..='\u{2fa1f}'), // compatibility ideographs
        any::<char>().prop_map(String::from).boxed(),
    ])
}

fn text() -> impl Strategy<Value = String> {
    vec(part(), 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None, cases: 4000, ..ProptestConfig::default()
    })]

    #[test]
    fn any_text(text in text()) {
        assert_same(&text);
    }

    #[test]
    fn any_words(words in vec(vec(part(), 0..5).prop_map(|parts| parts.concat()), 0..12)) {
        PAIRS.iter().for_each(|pair| pair.assert_same_words(&words));
    }

    /// Marks in every order, after letters that have marks of their own.
    #[test]
    fn any_order_of_marks(
        text in "[ae\u{e9}\u{1ea5}\u{344}\u{f73}\u{9cb}\u{1d160}\u{300}-\u{362}\
                 \u{5b0}-\u{5c7}\u{8d4}-\u{8e1}\u{302a}-\u{302f}\u{1d165}-\u{1d172}]{0,12}",
    ) {
        assert_same(&text);
    }
}
