//! The answers of a run, read in place.

use crate::arguments::{free, output, reference};
use crate::call::{CallError, EspalierStatus, call};
use espalier_runtime::{Answer, TextAnswers};
use std::ffi::c_char;
use std::ptr;

/// The answers of one run.
pub struct EspalierAnswers(pub(crate) Vec<TextAnswers>);

/// UTF-8 text with its length in bytes. It does not end with a NUL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspalierString {
    /// The first byte.
    pub data: *const c_char,
    /// Its length in bytes.
    pub length: usize,
}

/// The kind of an answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EspalierKind {
    /// Entities.
    Entities = 0,
    /// Labels with probabilities.
    Label = 1,
    /// A text vector.
    Vector = 2,
}

/// The answer to one request for one text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspalierAnswer {
    /// Its kind.
    pub kind: EspalierKind,
    /// Whether the text is longer than the model takes, so that its end was not read.
    pub truncated: bool,
    /// Number of entities, labels or elements of the vector.
    pub count: usize,
    /// The most probable label and its probability; empty for other kinds.
    pub best: EspalierLabel,
    /// The `count` elements of the vector; NULL for other kinds.
    pub vector: *const f32,
}

/// A label and its probability.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspalierLabel {
    /// The label.
    pub label: EspalierString,
    /// Its probability.
    pub score: f32,
}

/// An entity in a text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspalierEntity {
    /// Its label.
    pub label: EspalierString,
    /// Mean probability of its words' tags.
    pub score: f32,
    /// Its first character (characters are counted, not bytes).
    pub start: usize,
    /// The character after its last.
    pub end: usize,
    /// Its text.
    pub text: EspalierString,
}

/// The answer to the request at index `request` for the text at index `text`.
///
/// # Safety
/// `answers` is NULL or not yet freed; `out` is NULL or has room for the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_answer(
    answers: *const EspalierAnswers,
    text: usize,
    request: usize,
    out: *mut EspalierAnswer,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (answers, out) = unsafe { (reference(answers, "answers")?, output(out, "out")?) };
        let (truncated, answer) = answers.find(text, request)?;
        out.write(view(truncated, answer));
        Ok(())
    })
}

/// The entity at `index` of an answer.
///
/// # Safety
/// `answers` is NULL or not yet freed; `out` is NULL or has room for the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_entity(
    answers: *const EspalierAnswers,
    text: usize,
    request: usize,
    index: usize,
    out: *mut EspalierEntity,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (answers, out) = unsafe { (reference(answers, "answers")?, output(out, "out")?) };
        let entities = match answers.find(text, request)? {
            (_, Answer::Entities(entities)) => entities.as_slice(),
            _ => &[],
        };
        let entity = at(entities, "entity", index)?;
        let (label, text) = (string(&entity.label), string(&entity.text));
        out.write(EspalierEntity {
            label,
            score: entity.score,
            start: entity.start,
            end: entity.end,
            text,
        });
        Ok(())
    })
}

/// The label at `index` of an answer, in the order of the adapter's classes.
///
/// # Safety
/// `answers` is NULL or not yet freed; `out` is NULL or has room for the result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_label(
    answers: *const EspalierAnswers,
    text: usize,
    request: usize,
    index: usize,
    out: *mut EspalierLabel,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (answers, out) = unsafe { (reference(answers, "answers")?, output(out, "out")?) };
        let scores = match answers.find(text, request)? {
            (_, Answer::Label { scores, .. }) => scores.as_slice(),
            _ => &[],
        };
        let one = at(scores, "label", index)?;
        out.write(EspalierLabel { label: string(&one.label), score: one.score });
        Ok(())
    })
}

/// Frees answers and everything that was read from them. NULL is allowed.
///
/// # Safety
/// `answers` is NULL or not yet freed, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_answers_free(answers: *mut EspalierAnswers) {
    call(|| {
        // SAFETY: this function's contract; answers come from `espalier_run`.
        unsafe { free(answers) };
        Ok(())
    });
}

impl EspalierAnswers {
    /// Whether a text was truncated, and the answer to a request for it.
    fn find(&self, text: usize, request: usize) -> Result<(bool, &Answer), CallError> {
        let text = at(&self.0, "text", text)?;
        Ok((text.truncated, at(&text.answers, "request", request)?))
    }
}

fn view(truncated: bool, answer: &Answer) -> EspalierAnswer {
    let none = EspalierLabel { label: string(""), score: 0.0 };
    let (kind, count, best, vector) = match answer {
        Answer::Entities(entities) => (EspalierKind::Entities, entities.len(), none, ptr::null()),
        Answer::Label { label, score, scores } => {
            let best = EspalierLabel { label: string(label), score: *score };
            (EspalierKind::Label, scores.len(), best, ptr::null())
        }
        Answer::Vector(vector) => (EspalierKind::Vector, vector.len(), none, vector.as_ptr()),
    };
    EspalierAnswer { kind, truncated, count, best, vector }
}

fn at<'a, T>(all: &'a [T], what: &'static str, index: usize) -> Result<&'a T, CallError> {
    all.get(index).ok_or(CallError::OutOfRange { what, index, count: all.len() })
}

fn string(text: &str) -> EspalierString {
    EspalierString { data: text.as_ptr().cast(), length: text.len() }
}
