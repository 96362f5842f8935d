//! Measurements that need a process in which nothing has happened yet.

use super::{Measure, name};
use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;
use std::process::{Command, Stdio};

/// Starts this program once more, with the same arguments, to measure one thing alone.
pub(super) fn measure<T: DeserializeOwned>(what: Measure) -> anyhow::Result<T> {
    let program =
        std::env::current_exe().context("cannot find this program to start it once more")?;
    let output = Command::new(program)
        .args(std::env::args_os().skip(1))
        .args(["--fresh", &name(what)])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start this program once more")?;
    ensure!(
        output.status.success(),
        "the process that was to measure {} failed: {}",
        name(what),
        output.status
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
