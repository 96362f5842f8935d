//! The runtime's functions.

use crate::answers::EspalierAnswers;
use crate::arguments::{array, free, optional_text, output, reference, text};
use crate::call::{CallError, EspalierStatus, call};
use espalier_encoder::{AnyBackbone, Compute, EncoderError, check_threads};
use espalier_runtime::{Request, Runtime, RuntimeError};
use std::ffi::c_char;
use std::path::Path;

/// A backbone with the adapters attached to it.
pub struct EspalierRuntime(Runtime);

/// Opens a backbone, a directory or a packed file, to compute in `precision`: "auto", "f32",
/// "bf16", "int8", or NULL for f32 (a directory) or the precision in which it is stored (a packed
/// file).
///
/// # Safety
/// Texts are NULL or end with a NUL; `out` is NULL or points at memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_open(
    path: *const c_char,
    precision: *const c_char,
    out: *mut *mut EspalierRuntime,
) -> EspalierStatus {
    // SAFETY: this function's contract.
    unsafe { open(path, precision, out, AnyBackbone::open) }
}

/// As [`espalier_open`], but copies a packed file into memory. It may change afterwards.
///
/// # Safety
/// Texts are NULL or end with a NUL; `out` is NULL or points at memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_open_copied(
    path: *const c_char,
    precision: *const c_char,
    out: *mut *mut EspalierRuntime,
) -> EspalierStatus {
    // SAFETY: this function's contract.
    unsafe { open(path, precision, out, AnyBackbone::open_copied) }
}

/// # Safety
/// That of [`espalier_open`].
unsafe fn open(
    path: *const c_char,
    precision: *const c_char,
    out: *mut *mut EspalierRuntime,
    open: fn(&Path) -> Result<AnyBackbone, EncoderError>,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (path, precision, out) = unsafe {
            (text(path, "path")?, optional_text(precision, "precision")?, output(out, "out")?)
        };
        let compute = precision.map(compute).transpose()?;
        let backbone = check_threads().and_then(|()| open(Path::new(path)));
        let backbone = backbone.and_then(|backbone| match compute {
            Some(compute) => backbone.with_compute(compute),
            None => Ok(backbone),
        });
        let runtime = Runtime::new(backbone.map_err(RuntimeError::from)?);
        out.write(Box::into_raw(Box::new(EspalierRuntime(runtime))));
        Ok(())
    })
}

fn compute(given: &str) -> Result<Compute, CallError> {
    given.parse().map_err(|choices| CallError::Precision { given: given.to_string(), choices })
}

/// Opens an adapter's directory and attaches the adapter as `name`.
///
/// # Safety
/// `runtime` is NULL or open; texts are NULL or end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_attach(
    runtime: *const EspalierRuntime,
    name: *const c_char,
    directory: *const c_char,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (EspalierRuntime(runtime), name, directory) = unsafe {
            (reference(runtime, "runtime")?, text(name, "name")?, text(directory, "directory")?)
        };
        Ok(runtime.attach(name, Path::new(directory))?)
    })
}

/// Opens an adapter's directory and replaces the adapter `name` by it. If this fails, the old
/// adapter stays attached.
///
/// # Safety
/// `runtime` is NULL or open; texts are NULL or end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_replace(
    runtime: *const EspalierRuntime,
    name: *const c_char,
    directory: *const c_char,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (EspalierRuntime(runtime), name, directory) = unsafe {
            (reference(runtime, "runtime")?, text(name, "name")?, text(directory, "directory")?)
        };
        Ok(runtime.replace(name, Path::new(directory))?)
    })
}

/// Detaches the adapter `name`.
///
/// # Safety
/// `runtime` is NULL or open; `name` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_detach(
    runtime: *const EspalierRuntime,
    name: *const c_char,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (EspalierRuntime(runtime), name) =
            unsafe { (reference(runtime, "runtime")?, text(name, "name")?) };
        Ok(runtime.detach(name)?)
    })
}

/// Answers all requests for each text. A request is an adapter's name, or NULL for the text's
/// vector by the backbone alone.
///
/// # Safety
/// `runtime` is NULL or open; `texts` and `requests` are NULL or have this many elements, which are
/// NULL or end with a NUL; `out` is NULL or points at memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_run(
    runtime: *const EspalierRuntime,
    texts: *const *const c_char,
    text_count: usize,
    requests: *const *const c_char,
    request_count: usize,
    out: *mut *mut EspalierAnswers,
) -> EspalierStatus {
    call(|| {
        // SAFETY: this function's contract.
        let (EspalierRuntime(runtime), texts, requests, out) = unsafe {
            let (texts, requests) =
                (array(texts, text_count, "texts")?, array(requests, request_count, "requests")?);
            (reference(runtime, "runtime")?, texts, requests, output(out, "out")?)
        };
        // SAFETY: this function's contract, for each pointer in the arrays.
        let text_at = |(i, &pointer)| unsafe { text(pointer, format_args!("texts[{i}]")) };
        let texts: Vec<&str> = texts.iter().enumerate().map(text_at).collect::<Result<_, _>>()?;
        let request_at = |(i, &pointer)| {
            // SAFETY: as above.
            let name = unsafe { optional_text(pointer, format_args!("requests[{i}]")) }?;
            Ok(name.map_or(Request::Plain, Request::Adapter))
        };
        let requests: Vec<Request> =
            requests.iter().enumerate().map(request_at).collect::<Result<_, CallError>>()?;
        let answers = runtime.run(&texts, &requests)?;
        out.write(Box::into_raw(Box::new(EspalierAnswers(answers))));
        Ok(())
    })
}

/// Closes a runtime. Its answers stay valid. NULL is allowed.
///
/// # Safety
/// `runtime` is NULL or open, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espalier_runtime_free(runtime: *mut EspalierRuntime) {
    call(|| {
        // SAFETY: this function's contract; open runtimes come from `espalier_open`.
        unsafe { free(runtime) };
        Ok(())
    });
}
