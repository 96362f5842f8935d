//! Documents are split into pieces.

use espalier_data::{Corpus, Role, TextPiece};
use espalier_testing::fixtures::tiny_bert;
use std::fs;
use std::path::Path;

fn pieces(path: &Path, max_tokens: usize) -> Vec<TextPiece> {
    let mut corpus = Corpus::texts(&[path.into()], &tiny_bert().tokenizer, max_tokens, 1).unwrap();
    let mut pieces = corpus.batch(corpus.len()).unwrap();
    pieces.sort_by_key(|piece| piece.ids.clone());
    pieces
}

/// Together, the pieces have as many tokens as the document.
#[test]
fn pieces_have_all_tokens_of_a_long_document() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.txt");
    // Words of one and of several tokens. The tokenizer of the tiny BERT truncates at 48 tokens.
    let text = ["unlightable", "hotel", "trains", "42%", "zzz"].repeat(40).join(" ");
    fs::write(&path, &text).unwrap();
    let backbone = tiny_bert();
    let document = backbone.tokenizer.without_truncation().encode(&text);
    for max_tokens in [3, 7, 24, 1000] {
        let mut corpus =
            Corpus::texts(&[path.as_path().into()], &backbone.tokenizer, max_tokens, 1).unwrap();
        let (mut inner, mut splits) = (0, 0);
        for piece in corpus.batch(corpus.len()).unwrap() {
            let (first, last) = (piece.ids[0], *piece.ids.last().unwrap());
            assert_eq!(
                (first, last),
                (document.ids[0], *document.ids.last().unwrap()),
                "each piece has special tokens"
            );
            assert!(piece.ids.len() <= max_tokens && piece.ids.len() == piece.roles.len());
            assert_eq!([piece.roles[0], *piece.roles.last().unwrap()], [Role::Special; 2]);
            inner += piece.ids.len() - 2;
            splits += usize::from(piece.roles[1] == Role::Further);
        }
        assert_eq!(inner, document.ids.len() - 2);
        // A word is split only if it is longer than a piece: "unlightable" has five tokens or more.
        assert_eq!(splits > 0, max_tokens < 24, "{splits} pieces begin within a word");
    }
}

#[test]
fn special_tokens_in_a_text_are_never_selected_for_masking() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("one.txt");
    fs::write(&path, "the [MASK] hotels\n\nlondon").unwrap();
    let (backbone, found) = (tiny_bert(), pieces(&path, 24));
    let of = |text: &str| backbone.tokenizer.encode(text).ids;
    let roles =
        |ids: &[u32]| found.iter().find(|piece| piece.ids == ids).expect("a piece").roles.clone();
    use Role::{First, Further, Special};
    assert_eq!(roles(&of("the [MASK] hotels")), [Special, First, Special, First, Further, Special]);
    assert_eq!(roles(&of("london")), [Special, First, Special]);
}
