//! Parsing tokenizer.json, if it describes BERT's tokenizer.

use super::normalize::Normalization;
use super::schema::{
    AddedToken, BertNormalizer, BertProcessing, File, Piece, RobertaProcessing, TemplateProcessing,
};
use super::vocabulary::Vocabulary;
use super::{ParseError, Settings, WordPiece, check_special_tokens};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt::Display;

impl WordPiece {
    /// Parses tokenizer.json for a model that takes `max_tokens` tokens.
    ///
    /// # Errors
    /// [`ParseError::NotBert`] when a part of it is not BERT's, [`ParseError::Invalid`] when it is
    /// not a tokenizer.
    pub fn from_json(json: &[u8], max_tokens: usize) -> Result<Self, ParseError> {
        if json.len() > Vocabulary::LARGEST {
            return Err(not_a_tokenizer("more than 2 GiB"));
        }
        let File {
            version, added_tokens, normalizer, pre_tokenizer, post_processor, model, ..
        } = serde_json::from_slice(json).map_err(not_a_tokenizer)?;
        if version.is_some_and(|version| version != "1.0") {
            return Err(not_a_tokenizer("not version 1.0"));
        }
        match model.r#type.as_deref() {
            Some("WordPiece") => {}
            other => return Err(not_bert("model", other.unwrap_or("of no type"))),
        }
        let vocabulary = setting(model.vocab, "vocab")?;
        let unk_token = setting(model.unk_token, "unk_token")?;
        let unknown = vocabulary.id(&unk_token);
        let unknown = unknown
            .ok_or_else(|| ParseError::Invalid(format!("the vocabulary has no {unk_token}")))?;
        if kind(&pre_tokenizer) != "BertPreTokenizer" {
            return Err(not_bert("pre_tokenizer", kind(&pre_tokenizer)));
        }
        let normalization = parse_normalizer(normalizer)?;
        let PostProcessor { before, after, trims } =
            parse_post_processor(post_processor, max_tokens)?;
        if trims && !normalization.lowercase && !normalization.strip_accents {
            // It also trims the letter with which byte-level BPE represents a space. Every other
            // normalisation changes that letter.
            return Err(not_bert(
                "post_processor",
                "RobertaProcessing with trim_offsets for cased text",
            ));
        }
        let Added { plain, normalized } =
            parse_added_tokens(added_tokens, &vocabulary, normalization, trims)?;
        let settings = Settings {
            normalization,
            added: plain,
            normalized,
            unknown,
            prefix: setting(model.continuing_subword_prefix, "continuing_subword_prefix")?,
            longest_word: setting(model.max_input_chars_per_word, "max_input_chars_per_word")?,
            before,
            after,
        };
        Ok(Self::new(settings, vocabulary))
    }
}

fn parse_normalizer(normalizer: Value) -> Result<Normalization, ParseError> {
    if kind(&normalizer) != "BertNormalizer" {
        return Err(not_bert("normalizer", kind(&normalizer)));
    }
    let BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase, .. } =
        part(normalizer, "normalizer")?;
    let strip_accents = strip_accents.unwrap_or(lowercase);
    Ok(Normalization { clean_text, handle_chinese_chars, strip_accents, lowercase })
}

/// What the post-processor does.
struct PostProcessor {
    /// The ids of the special tokens before every text.
    before: Vec<u32>,
    /// The ids of the special tokens after it.
    after: Vec<u32>,
    /// Whether spaces are trimmed from the spans of tokens.
    trims: bool,
}

fn parse_post_processor(
    post_processor: Value,
    max_tokens: usize,
) -> Result<PostProcessor, ParseError> {
    match kind(&post_processor) {
        "BertProcessing" => {
            let BertProcessing { cls, sep, .. } = part(post_processor, "post_processor")?;
            check_special_tokens(2, max_tokens).map_err(ParseError::Invalid)?;
            Ok(PostProcessor { before: vec![cls.1], after: vec![sep.1], trims: false })
        }
        "RobertaProcessing" => {
            let RobertaProcessing { cls, sep, trim_offsets, add_prefix_space, .. } =
                part(post_processor, "post_processor")?;
            if trim_offsets && add_prefix_space {
                return Err(not_bert("post_processor", "RobertaProcessing with add_prefix_space"));
            }
            check_special_tokens(2, max_tokens).map_err(ParseError::Invalid)?;
            Ok(PostProcessor { before: vec![cls.1], after: vec![sep.1], trims: trim_offsets })
        }
        "TemplateProcessing" => {
            parse_template(&part(post_processor, "post_processor")?, max_tokens)
        }
        other => Err(not_bert("post_processor", other)),
    }
}

fn parse_template(
    template: &TemplateProcessing,
    max_tokens: usize,
) -> Result<PostProcessor, ParseError> {
    let ids = |piece: &Piece| match piece {
        Piece::SpecialToken { id } => match template.special_tokens.get(id) {
            Some(token) => Ok(token.ids.as_slice()),
            None => Err(ParseError::Invalid(format!(
                "the template's {id} is not among its special tokens"
            ))),
        },
        Piece::Sequence { id } => {
            Err(not_bert("post_processor", format_args!("a template with sequence {id}")))
        }
    };
    let mut parts =
        template.single.split(|piece| matches!(piece, Piece::Sequence { id } if id == "A"));
    let (Some(before), Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(not_bert("post_processor", "a template that does not have the text once"));
    };
    let before = before.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
    let after = after.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
    // Counted before they are concatenated: a small file can name very many.
    let special =
        before.iter().chain(&after).fold(0usize, |sum, ids| sum.saturating_add(ids.len()));
    check_special_tokens(special, max_tokens).map_err(ParseError::Invalid)?;
    Ok(PostProcessor { before: before.concat(), after: after.concat(), trims: false })
}

/// Added tokens and their ids.
struct Added {
    /// Those that are searched for in the text as it is.
    plain: Vec<(String, u32)>,
    /// Those that are searched for in the normalised text, themselves normalised.
    normalized: Vec<(String, u32)>,
}

/// As in the library, a token that is not in the vocabulary gets the next free id, whatever the
/// file says. If the post-processor `trims`, `lstrip` (the token includes the spaces before it)
/// makes no difference: spaces are not in any token, and are trimmed from the span.
fn parse_added_tokens(
    tokens: Vec<AddedToken>,
    vocabulary: &Vocabulary,
    normalization: Normalization,
    trims: bool,
) -> Result<Added, ParseError> {
    let (mut seen, mut ids) = (HashSet::new(), vocabulary.len() as u32..);
    let mut added = Added { plain: Vec::new(), normalized: Vec::new() };
    for AddedToken { content, single_word, lstrip, rstrip, normalized } in tokens {
        let ends_in_space = content.starts_with(is_space) || content.ends_with(is_space);
        if single_word || rstrip || lstrip && (!trims || normalized) || trims && ends_in_space {
            return Err(not_bert(
                "added token",
                format_args!("{content}, which is matched by rules"),
            ));
        }
        let text = if normalized { normalization.normalize(&content) } else { content.clone() };
        if !seen.insert(content.clone()) || text != content && !seen.insert(text.clone()) {
            return Err(not_bert("added token", format_args!("{content} twice")));
        }
        if !content.is_empty() {
            let id = vocabulary.id(&content).or_else(|| ids.next()).unwrap_or(u32::MAX);
            match normalized {
                true if text.is_empty() => {
                    return Err(not_bert("added token", "nothing when it is normalised"));
                }
                true => added.normalized.push((text, id)),
                false => added.plain.push((text, id)),
            }
        }
    }
    Ok(added)
}

/// Whitespace, and the letter with which byte-level BPE represents a space.
fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{120}'
}

fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or("of no type")
}

fn part<T: DeserializeOwned>(value: Value, name: &str) -> Result<T, ParseError> {
    serde_json::from_value(value).map_err(|error| ParseError::NotBert(format!("{name}: {error}")))
}

fn setting<T>(value: Option<T>, name: &str) -> Result<T, ParseError> {
    value.ok_or_else(|| not_a_tokenizer(format_args!("the model has no {name}")))
}

fn not_bert(part: &str, found: impl Display) -> ParseError {
    ParseError::NotBert(format!("the {part} is {found}"))
}

fn not_a_tokenizer(reason: impl Display) -> ParseError {
    ParseError::Invalid(format!("not a tokenizer: {reason}"))
}
