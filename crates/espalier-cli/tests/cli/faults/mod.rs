//! Fault injection: the process is killed, or a system call fails, at the n-th call that changes
//! files.
//!
//! A small library, preloaded before the C library, counts the calls and injects the fault. It is
//! compiled here. Without a C compiler, these tests print that they are skipped, and pass.

mod adapters;
mod errors;
mod leftovers;
mod runs;

use crate::workspace::Workspace;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// A kind of call that changes files, and the fault at the n-th of them.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: &'static str,
    pub at: usize,
    /// `kill`, `stop`, or an error number.
    pub how: &'static str,
}

/// The fault that kills the process before the call.
pub fn kill(call: &'static str, at: usize) -> Fault {
    Fault { call, at, how: "kill" }
}

/// The library, if it can be compiled.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/faults/preload.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("preload.so");
        let fresh = library.with_extension(std::process::id().to_string());
        let flags = ["-shared", "-fPIC", "-O1", "-o"];
        let compiled = Command::new("cc").args(flags).arg(&fresh).arg(source).arg("-ldl").status();
        let Ok(status) = compiled else {
            eprintln!("skipped: there is no C compiler (cc)");
            return None;
        };
        assert!(status.success(), "cc cannot compile preload.c");
        fs::rename(fresh, &library).unwrap();
        Some(library)
    };
    LIBRARY.get_or_init(compile).as_deref()
}

/// Whether faults can be injected here.
pub fn can_fault() -> bool {
    library().is_some()
}

/// The command with a fault.
pub fn faulty(workspace: &Workspace, arguments: &str, fault: Fault) -> Command {
    let mut command = workspace.line(&format!("--threads 1 {arguments}"));
    command.env("LD_PRELOAD", library().unwrap()).env("FAULT_CALL", fault.call);
    command.env("FAULT_AT", fault.at.to_string()).env("FAULT_HOW", fault.how);
    command
}

/// Runs the command with a fault that kills it. Returns whether it was killed; otherwise it has
/// fewer such calls and must succeed.
pub fn is_killed(workspace: &Workspace, arguments: &str, fault: Fault) -> bool {
    let output = faulty(workspace, arguments, fault).output().unwrap();
    let killed = output.status.signal() == Some(9);
    assert!(killed || output.status.success(), "{arguments}, {fault:?}: {}", message(&output));
    killed
}

pub fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Temporary files in a directory and below it.
pub fn partials(directory: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let (directories, files): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|path| path.is_dir());
    let below = directories.iter().flat_map(|directory| partials(directory));
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "partial"))
        .chain(below)
        .collect()
}
