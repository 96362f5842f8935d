//! What is at a path: nothing, a directory, a pipe, a device, a link, or far too much.

use espalier_encoder::{Adapter, AnyBackbone, Backbone, EncoderError};
use espalier_testing::adapters::{CONFIG, WEIGHTS, token_classifier};
use espalier_testing::compare::expect_error;
use espalier_testing::fixtures::{copy_of, tiny_bert};
use std::fs;
use std::path::Path;

#[test]
fn missing_files_are_named() {
    for files in
        [["config.json"].as_slice(), &["model.safetensors"], &["tokenizer.json", "vocab.txt"]]
    {
        let directory = copy_of("tiny-bert");
        for file in files {
            fs::remove_file(directory.path().join(file)).unwrap();
        }
        let directory_name = directory.path().display().to_string();
        let error = expect_error(Backbone::open(directory.path()), &[files[0], &directory_name]);
        assert!(matches!(error, EncoderError::MissingFile { .. }), "{error}");
    }
    // Without the directory, the message names that instead.
    let error = expect_error(
        Backbone::open(Path::new("no/such/directory")),
        &["no/such/directory: No such file"],
    );
    assert!(matches!(error, EncoderError::Io { .. }), "{error}");
}

#[test]
fn a_directory_in_the_place_of_a_file_is_named() {
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let directory = copy_of("tiny-bert");
        fs::remove_file(directory.path().join(file)).unwrap();
        fs::create_dir(directory.path().join(file)).unwrap();
        let error = expect_error(Backbone::open(directory.path()), &[file]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}

#[test]
fn a_directory_that_does_not_exist_is_named() {
    let nowhere = Path::new("nowhere");
    for result in
        [Adapter::open(nowhere, &tiny_bert()).map(drop), Backbone::open(nowhere).map(drop)]
    {
        let error = expect_error(result, &["nowhere: "]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}

/// Pipes that nobody writes to, devices that never end, and circular links are refused; links as in
/// the cache of the Hugging Face Hub are followed.
#[test]
#[cfg(target_os = "linux")]
fn pipes_and_devices_are_refused_before_they_are_opened() {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    let files = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "modules.json",
        "1_Pooling/config.json",
    ];
    for file in files {
        let directory = copy_of("tiny-bert");
        let path = directory.path().join(file);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = expect_error(Backbone::open(directory.path()), &[file, "not a regular file"]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
        fs::remove_file(&path).unwrap();
        symlink("/dev/zero", &path).unwrap();
        expect_error(Backbone::open(directory.path()), &[file, "not a regular file"]);
    }
    for opened in [
        AnyBackbone::open(Path::new("/dev/zero")),
        AnyBackbone::open_copied(Path::new("/dev/zero")),
    ] {
        expect_error(opened, &["/dev/zero", "not a regular file"]);
    }
    let directory = copy_of("tiny-bert");
    let path = directory.path().join("config.json");
    fs::create_dir_all(directory.path().join("blobs")).unwrap();
    fs::rename(&path, directory.path().join("blobs/0123")).unwrap();
    symlink("blobs/0123", &path).unwrap();
    symlink(directory.path(), directory.path().join("1_Pooling/circle")).unwrap();
    assert!(Backbone::open(directory.path()).is_ok());
    fs::remove_file(&path).unwrap();
    symlink("config.json", &path).unwrap();
    expect_error(Backbone::open(directory.path()), &["config.json"]);
}

#[test]
#[cfg(target_os = "linux")]
fn pipes_in_the_place_of_adapter_files_are_refused() {
    let backbone = tiny_bert();
    for file in [CONFIG, WEIGHTS, "espalier.json"] {
        let directory = token_classifier(&backbone);
        let path = directory.path().join(file);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error =
            expect_error(Adapter::open(directory.path(), &backbone), &[file, "not a regular file"]);
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}

/// Sparse files of a huge length: nothing is allocated for them.
#[test]
#[cfg(target_os = "linux")]
fn huge_files_are_refused_by_their_length() {
    for (file, length) in
        [("model.safetensors", 1u64 << 40), ("config.json", 1 << 30), ("tokenizer.json", 1 << 30)]
    {
        let directory = copy_of("tiny-bert");
        fs::File::options()
            .write(true)
            .open(directory.path().join(file))
            .unwrap()
            .set_len(length)
            .unwrap();
        let error = expect_error(
            Backbone::open(directory.path()),
            &[file, &format!("{length} bytes"), "at most"],
        );
        assert!(matches!(error, EncoderError::Io { .. }), "{error}");
    }
}
