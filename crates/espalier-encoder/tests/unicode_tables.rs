//! Generates src/tokenizer/wordpiece/tables.rs by asking the tokenizers library about every
//! character, and compares the result with the file. It changes when a new version of the library
//! uses another version of Unicode.

use std::fmt::{Display, Write};
use std::path::Path;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

const HEADER: &str = "\
//! Properties of all characters beyond ASCII, as the tokenizers library has them. Made by
//! tests/unicode_tables.rs.

";

#[test]
fn the_tables_are_what_the_library_does() {
    let tables = format!("{HEADER}{}{}", classes(), decompositions());
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tables.rs");
    std::fs::write(&made, &tables).unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tokenizer/wordpiece/tables.rs");
    let same = std::fs::read_to_string(&kept).is_ok_and(|kept| kept == tables);
    assert!(same, "the library has changed: copy {} to {}", made.display(), kept.display());
}

fn characters() -> impl Iterator<Item = char> {
    '\u{80}'..=char::MAX
}

/// The output of BERT's normalizer when all it does is clean a text or strip its accents.
fn normalized(text: &str, clean: bool, strip: bool) -> String {
    let mut text = NormalizedString::from(text);
    BertNormalizer::new(clean, false, Some(strip), false).normalize(&mut text).unwrap();
    text.get().to_string()
}

fn decomposed(text: &str) -> String {
    NormalizedString::from(text).nfd().get().to_string()
}

fn is_dropped(c: char) -> bool {
    normalized(c.encode_utf8(&mut [0; 4]), true, false).is_empty()
}

fn is_nonspacing_mark(c: char) -> bool {
    normalized(c.encode_utf8(&mut [0; 4]), false, true).is_empty()
}

fn is_punctuation(c: char) -> bool {
    let mut text = PreTokenizedString::from(format!("a{c}a"));
    BertPreTokenizer.pre_tokenize(&mut text).unwrap();
    text.get_splits(OffsetReferential::Original, OffsetType::Byte).len() == 3
}

/// The first mark of each set of marks that decomposition does not reorder among themselves; the
/// sets in the order of decomposition. The index of its set is the rank of a mark in the tables.
struct Ranks(Vec<char>);

impl Ranks {
    fn new() -> Self {
        let mut ranks = Self(Vec::new());
        for c in characters() {
            if !is_fixed(c) {
                let place = ranks.0.partition_point(|&first| comes_before(first, c));
                if ranks.0.get(place).is_none_or(|&first| comes_before(c, first)) {
                    ranks.0.insert(place, c);
                }
            }
        }
        assert!(ranks.0.len() < 64, "a rank does not fit into 6 bits");
        ranks
    }

    /// 0 for characters that others do not move past, or the rank of a mark, from 1.
    fn of(&self, c: char) -> u32 {
        if is_fixed(c) {
            return 0;
        }
        1 + self.0.partition_point(|&first| comes_before(first, c)) as u32
    }
}

/// Whether decomposition puts `a` before `b`.
fn comes_before(a: char, b: char) -> bool {
    let swapped = format!("{b}{a}");
    decomposed(&swapped) != swapped
}

/// Whether neither the lowest mark, U+0334, nor the highest, U+0345, moves past it. Characters that
/// are decomposed have no position of their own.
fn is_fixed(c: char) -> bool {
    decomposed(&c.to_string()) != c.to_string()
        || !comes_before('\u{334}', c) && !comes_before(c, '\u{345}')
}

/// Where the class changes: character << 8 | class from there on. See `Class` in unicode.rs for the
/// bits.
fn classes() -> String {
    let ranks = Ranks::new();
    let mut changes = vec![0];
    for c in characters() {
        let class = match c {
            _ if is_dropped(c) => 1,
            _ if is_punctuation(c) => 2,
            _ if is_nonspacing_mark(c) => 0x80 | ranks.of(c),
            _ => match ranks.of(c) {
                0 => 0,
                rank => 0x40 | rank,
            },
        };
        if changes.last().is_some_and(|&last| last & 0xff != class) {
            changes.push((c as u32) << 8 | class);
        }
    }
    let items = changes.into_iter().map(|change| format!("{change:#x}"));
    table(
        "Where the class changes, from '\\0' on: character << 8 | class.",
        "CLASSES",
        "u32",
        items,
    )
}

/// Canonical decompositions, except those of Hangul, without non-spacing marks after the first
/// character.
fn decompositions() -> String {
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    for c in characters().filter(|c| !('\u{ac00}'..='\u{d7a3}').contains(c)) {
        let all = decomposed(&c.to_string());
        let first = all.chars().next().unwrap();
        let rest = all.chars().skip(1).filter(|&c| !is_nonspacing_mark(c)).collect::<Vec<_>>();
        match c.max(first) {
            _ if first == c => {}
            ..='\u{ffff}' if rest.is_empty() => narrow.push((c as u32) << 16 | first as u32),
            _ => wide
                .extend([first].into_iter().chain(rest).map(|part| (c as u64) << 32 | part as u64)),
        }
    }
    let narrow = narrow.into_iter().map(|pair| format!("{pair:#x}"));
    let wide = wide.into_iter().map(|pair| format!("{pair:#x}"));
    table(
        "What becomes of a character: character << 16 | the one that it is decomposed into.",
        "NARROW",
        "u32",
        narrow,
    ) + &table("Likewise, one item for each part: character << 32 | part.", "WIDE", "u64", wide)
}

/// Source code of a table, with as many items on a line as fit.
fn table(
    what: &str,
    name: &str,
    of: &str,
    items: impl IntoIterator<Item = impl Display>,
) -> String {
    let (mut lines, mut line, mut count) = (String::new(), String::from("   "), 0);
    for item in items {
        let item = format!(" {item},");
        if line.len() + item.len() > 100 {
            writeln!(lines, "{line}").unwrap();
            line.truncate(3);
        }
        line += &item;
        count += 1;
    }
    format!(
        "/// {what}\n#[rustfmt::skip]\npub static {name}: [{of}; {count}] = [\n{lines}{line}\n];\n"
    )
}
