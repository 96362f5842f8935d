//! The answers of a run, read in place.

use crate::arguments::{free, place, reference};
use crate::call::{EspalierStatus, call};
use crate::error::CallError;
use espalier_runtime::{Answer, TextAnswers};
use std::ffi::c_char;
use std::ptr;

/// The answers of one run.
pub struct EspalierAnswers(pub(crate) Vec<TextAnswers>);

/// UTF-8 of a length in bytes. No NUL ends it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspalierString {
    /// The first byte.
    pub data: *const c_char,
    /// How many there are.
    pub length: usize,
}

/// What an answer consists of.
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

/// The answer to one request on one text.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EspalierAnswer {
    /// What it consists of.
    pub kind: EspalierKind,
    /// Whether the text is longer than the model takes, so that its end was not read.
    pub truncated: bool,
    /// How many entities, labels or numbers there are.
    pub count: usize,
    /// The most probable label and its probability; empty of the other kinds.
    pub best: EspalierLabel,
    /// The `count` numbers of a vector; NULL of the other kinds.
    pub vector: *const f32,
}

/// A label and how probable it is.
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
    /// What it is.
    pub label: EspalierString,
    /// Mean probability of its words' tags.
    pub score: f32,
    /// Its first character (counted in characters, not bytes).
    pub start: usize,
    /// The character after its last.
    pub end: usize,
    /// The characters themselves.
    pub text: EspalierString,
}

/// The answer to the request at `request` on the text at `text`.
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
        let (answers, out) = unsafe { (reference(answers, "answers")?, place(out, "out")?) };
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
        let (answers, out) = unsafe { (reference(answers, "answers")?, place(out, "out")?) };
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

/// The label at `index` of an answer, in the order in which the adapter lists them.
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
        let (answers, out) = unsafe { (reference(answers, "answers")?, place(out, "out")?) };
        let scores = match answers.find(text, request)? {
            (_, Answer::Label { scores, .. }) => scores.as_slice(),
            _ => &[],
        };
        let one = at(scores, "label", index)?;
        out.write(EspalierLabel { label: string(&one.label), score: one.score });
        Ok(())
    })
}

/// Frees answers, and with them all that was read from them; NULL is fine.
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
    /// Whether a text was truncated, and the answer to a request on it.
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
