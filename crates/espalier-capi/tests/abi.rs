//! What the functions give, and what they refuse.

use espalier_capi::*;
use espalier_encoder::Precision;
use espalier_runtime::{Answer, EntitySpan, LabelScore, Request, Runtime};
use espalier_testing::adapters::{labels, random_adapter, random_lora, saved, tags};
use espalier_testing::fixtures::{fixture, tiny_bert};
use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::path::Path;
use std::{ptr, slice};
use tempfile::TempDir;

const NULL: *const c_char = ptr::null();
/// "ä" in Latin-1.
const LATIN: *const c_char = c"\xe4".as_ptr();

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().unwrap()).unwrap()
}

fn open() -> *mut EspalierRuntime {
    let (directory, mut runtime) = (c_path(&fixture("tiny-bert")), ptr::null_mut());
    // SAFETY: a text and a place that live longer than the call.
    let status = unsafe { espalier_open(directory.as_ptr(), NULL, &mut runtime) };
    assert_eq!(status, EspalierStatus::Ok);
    runtime
}

fn refused(status: EspalierStatus, expected: EspalierStatus, part: &str) {
    // SAFETY: the text stays until the next call that fails.
    let message = unsafe { CStr::from_ptr(espalier_last_error()) }.to_str().unwrap();
    assert_eq!(status, expected, "{message}");
    assert!(message.contains(part), "the message lacks {part:?}: {message}");
}

fn invalid(status: EspalierStatus, part: &str) {
    refused(status, EspalierStatus::InvalidArgument, part);
}

#[test]
fn openings_that_are_refused() {
    let (directory, mut out) = (c_path(&fixture("tiny-bert")), ptr::null_mut());
    let here = directory.as_ptr();
    type Opening = unsafe extern "C" fn(
        *const c_char,
        *const c_char,
        *mut *mut EspalierRuntime,
    ) -> EspalierStatus;
    // SAFETY: pointers are NULL or to what lives until the end of the test.
    unsafe {
        for open in [espalier_open as Opening, espalier_open_copied] {
            invalid(open(NULL, NULL, &mut out), "path is NULL");
            invalid(open(LATIN, NULL, &mut out), "path is not UTF-8");
            invalid(open(here, LATIN, &mut out), "precision is not UTF-8");
            invalid(
                open(here, c"f16".as_ptr(), &mut out),
                "\"f16\" is unknown; give auto, f32, bf16 or int8",
            );
            invalid(open(here, NULL, ptr::null_mut()), "out is NULL");
            refused(open(c"nowhere".as_ptr(), NULL, &mut out), EspalierStatus::Refused, "nowhere");
        }
        assert!(out.is_null());
        espalier_runtime_free(out);
        espalier_answers_free(ptr::null_mut());
    }
}

/// The file is cut off under an open runtime: one that maps it would end with SIGBUS.
#[test]
fn a_copied_file_may_go() {
    let directory = TempDir::new().unwrap();
    let (path, mut runtime, mut out) =
        (directory.path().join("tiny.espalier"), ptr::null_mut(), ptr::null_mut());
    tiny_bert().pack(Precision::Int8, &path).unwrap();
    let expected =
        Runtime::open(&path).unwrap().run(&["music"], &[Request::Plain]).unwrap().remove(0).answers;
    let (file, texts, requests) = (c_path(&path), [c"music".as_ptr()], [NULL]);
    // SAFETY: pointers are to what lives until the end of the test; handles are freed once, at the
    // end.
    unsafe {
        assert_eq!(espalier_open_copied(file.as_ptr(), NULL, &mut runtime), EspalierStatus::Ok);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert_eq!(
            espalier_run(runtime, texts.as_ptr(), 1, requests.as_ptr(), 1, &mut out),
            EspalierStatus::Ok
        );
        assert_eq!(read(out, 0), expected[0]);
        espalier_answers_free(out);
        espalier_runtime_free(runtime);
    }
}

#[test]
fn adapters_come_and_go() {
    let (backbone, name) = (tiny_bert(), c"one".as_ptr());
    let adapter =
        saved(&random_adapter(&backbone, random_lora(&backbone, 1, 1), labels(&["yes", "no"]), 1));
    let (directory, runtime) = (c_path(adapter.path()), open());
    let here = directory.as_ptr();
    type Reading = unsafe extern "C" fn(
        *const EspalierRuntime,
        *const c_char,
        *const c_char,
    ) -> EspalierStatus;
    // SAFETY: pointers are NULL or to what lives until the end of the test; the runtime is freed
    // once, at the end.
    unsafe {
        for read in [espalier_attach as Reading, espalier_replace] {
            invalid(read(ptr::null(), name, here), "runtime is NULL");
            invalid(read(runtime, NULL, here), "name is NULL");
            invalid(read(runtime, LATIN, here), "name is not UTF-8");
            invalid(read(runtime, name, NULL), "directory is NULL");
            invalid(read(runtime, name, LATIN), "directory is not UTF-8");
            refused(read(runtime, name, c"nowhere".as_ptr()), EspalierStatus::Refused, "nowhere");
        }
        refused(
            espalier_replace(runtime, name, here),
            EspalierStatus::Refused,
            "no adapter \"one\"",
        );
        assert_eq!(espalier_attach(runtime, name, here), EspalierStatus::Ok);
        refused(espalier_attach(runtime, name, here), EspalierStatus::Refused, "attached already");
        assert_eq!(espalier_replace(runtime, name, here), EspalierStatus::Ok);
        invalid(espalier_detach(ptr::null(), name), "runtime is NULL");
        invalid(espalier_detach(runtime, NULL), "name is NULL");
        invalid(espalier_detach(runtime, LATIN), "name is not UTF-8");
        assert_eq!(espalier_detach(runtime, name), EspalierStatus::Ok);
        refused(espalier_detach(runtime, name), EspalierStatus::Refused, "no adapter \"one\"");
        espalier_runtime_free(runtime);
    }
}

#[test]
fn runs_that_are_refused() {
    let (runtime, mut out) = (open(), ptr::null_mut());
    let (texts, requests) = ([c"a".as_ptr()], [NULL]);
    let (some, plain) = (texts.as_ptr(), requests.as_ptr());
    // SAFETY: pointers are NULL or to what lives until the end of the test; the runtime is freed
    // once, at the end.
    unsafe {
        invalid(espalier_run(ptr::null(), some, 1, plain, 1, &mut out), "runtime is NULL");
        invalid(espalier_run(runtime, ptr::null(), 1, plain, 1, &mut out), "texts is NULL");
        invalid(espalier_run(runtime, some, 1, ptr::null(), 1, &mut out), "requests is NULL");
        invalid(espalier_run(runtime, some, usize::MAX, plain, 1, &mut out), "texts cannot have");
        invalid(
            espalier_run(runtime, some, 1, plain, usize::MAX, &mut out),
            "requests cannot have",
        );
        invalid(espalier_run(runtime, some, 1, plain, 1, ptr::null_mut()), "out is NULL");
        let (with_null, with_latin) = ([c"a".as_ptr(), NULL], [c"a".as_ptr(), LATIN]);
        invalid(
            espalier_run(runtime, with_null.as_ptr(), 2, plain, 1, &mut out),
            "texts[1] is NULL",
        );
        invalid(
            espalier_run(runtime, with_latin.as_ptr(), 2, plain, 1, &mut out),
            "texts[1] is not UTF-8",
        );
        invalid(
            espalier_run(runtime, some, 1, with_latin.as_ptr(), 2, &mut out),
            "requests[1] is not UTF-8",
        );
        refused(
            espalier_run(runtime, some, 1, some, 1, &mut out),
            EspalierStatus::Refused,
            "no adapter \"a\"",
        );
        assert!(out.is_null());
        assert_eq!(
            espalier_run(runtime, ptr::null(), 0, ptr::null(), 0, &mut out),
            EspalierStatus::Ok
        );
        espalier_answers_free(out);
        espalier_runtime_free(runtime);
    }
}

#[test]
fn answers_are_the_runtimes_to_the_bit() {
    let backbone = tiny_bert();
    let outputs = [tags(&["thing", "place"]), labels(&["good", "bad"])];
    let saved = outputs
        .map(|output| saved(&random_adapter(&backbone, random_lora(&backbone, 2, 1), output, 9)));
    let (plain, runtime, mut answers) = (Runtime::new(backbone), open(), ptr::null_mut());
    let names = [c"tags", c"labels"];
    for (name, adapter) in names.iter().zip(&saved) {
        plain.attach(name.to_str().unwrap(), adapter.path()).unwrap();
        let directory = c_path(adapter.path());
        // SAFETY: an open runtime, and texts that outlive the call.
        let status = unsafe { espalier_attach(runtime, name.as_ptr(), directory.as_ptr()) };
        assert_eq!(status, EspalierStatus::Ok);
    }
    let text = "music in 東京 , Café";
    let c_text = CString::new(text).unwrap();
    let (texts, requests) = ([c_text.as_ptr()], [names[0].as_ptr(), names[1].as_ptr(), NULL]);
    let requested = [Request::Adapter("tags"), Request::Adapter("labels"), Request::Plain];
    let expected = plain.run(&[text], &requested).unwrap().remove(0).answers;
    // SAFETY: pointers are to what lives until the end of the test; handles are freed once, at the
    // end.
    unsafe {
        assert_eq!(
            espalier_run(runtime, texts.as_ptr(), 1, requests.as_ptr(), 3, &mut answers),
            EspalierStatus::Ok
        );
        espalier_runtime_free(runtime);
        for (request, expected) in expected.iter().enumerate() {
            assert_eq!(&read(answers, request), expected);
        }
        refuse_readings(answers);
        espalier_answers_free(answers);
    }
    assert!(
        matches!(&expected[0], Answer::Entities(entities) if !entities.is_empty()),
        "{expected:?}"
    );
}

/// An answer on the first text, read back through the functions.
///
/// # Safety
/// `answers` is not yet freed.
unsafe fn read(answers: *const EspalierAnswers, request: usize) -> Answer {
    // SAFETY: the caller's word, and places with room.
    let answer = unsafe { given(|out| espalier_answer(answers, 0, request, out)) };
    match answer.kind {
        EspalierKind::Entities => {
            // SAFETY: as above, and strings in answers that are not yet freed.
            let entity = |i| unsafe {
                let entity = given(|out| espalier_entity(answers, 0, request, i, out));
                let (label, text) = (owned(entity.label), owned(entity.text));
                EntitySpan {
                    label,
                    score: entity.score,
                    start: entity.start,
                    end: entity.end,
                    text,
                }
            };
            Answer::Entities((0..answer.count).map(entity).collect())
        }
        EspalierKind::Label => {
            // SAFETY: as above.
            let score = |one: EspalierLabel| unsafe {
                LabelScore { label: owned(one.label), score: one.score }
            };
            // SAFETY: as above.
            let at = |i| score(unsafe { given(|out| espalier_label(answers, 0, request, i, out)) });
            let LabelScore { label, score } = score(answer.best);
            Answer::Label { label, score, scores: (0..answer.count).map(at).collect() }
        }
        EspalierKind::Vector => {
            // SAFETY: a vector of this length in answers that are not yet freed.
            let vector = unsafe { slice::from_raw_parts(answer.vector, answer.count) };
            Answer::Vector(vector.to_vec())
        }
    }
}

/// What a function that succeeds writes.
///
/// # Safety
/// The function writes the whole of its result if it succeeds.
unsafe fn given<T>(function: impl FnOnce(*mut T) -> EspalierStatus) -> T {
    let mut out = MaybeUninit::uninit();
    assert_eq!(function(out.as_mut_ptr()), EspalierStatus::Ok);
    // SAFETY: the caller's word.
    unsafe { out.assume_init() }
}

/// # Safety
/// The string lies in answers that are not yet freed.
unsafe fn owned(string: EspalierString) -> String {
    // SAFETY: the caller's word.
    let bytes = unsafe { slice::from_raw_parts(string.data.cast::<u8>(), string.length) };
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// # Safety
/// `answers` is not yet freed; it has one text with entities, a label and a vector.
unsafe fn refuse_readings(answers: *const EspalierAnswers) {
    let (nothing, mut answer, mut entity, mut label) =
        (ptr::null(), MaybeUninit::uninit(), MaybeUninit::uninit(), MaybeUninit::uninit());
    let (answer, entity, label) = (answer.as_mut_ptr(), entity.as_mut_ptr(), label.as_mut_ptr());
    // SAFETY: the caller's word, and places with room.
    unsafe {
        invalid(espalier_answer(nothing, 0, 0, answer), "answers is NULL");
        invalid(espalier_entity(nothing, 0, 0, 0, entity), "answers is NULL");
        invalid(espalier_label(nothing, 0, 0, 0, label), "answers is NULL");
        invalid(espalier_answer(answers, 0, 0, ptr::null_mut()), "out is NULL");
        invalid(espalier_entity(answers, 0, 0, 0, ptr::null_mut()), "out is NULL");
        invalid(espalier_label(answers, 0, 1, 0, ptr::null_mut()), "out is NULL");
        invalid(espalier_answer(answers, 1, 0, answer), "no text 1, as there are 1");
        invalid(espalier_answer(answers, 0, 3, answer), "no request 3, as there are 3");
        invalid(espalier_entity(answers, 0, 0, usize::MAX, entity), "no entity ");
        invalid(espalier_entity(answers, 0, 1, 0, entity), "no entity 0, as there are 0");
        invalid(espalier_label(answers, 0, 1, 2, label), "no label 2, as there are 2");
        invalid(espalier_label(answers, 0, 2, 0, label), "no label 0, as there are 0");
    }
}
