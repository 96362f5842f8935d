//! Errors for wrong input, readers that stop early, and help.

use crate::workspace::{Workspace, backbone};
use std::fs;

#[test]
fn wrong_input_is_explained() {
    let workspace = Workspace::new();
    workspace
        .lines("broken/train.jsonl", [r#"{"text":"a","label":"b"}"#.into(), r#"{"text":"#.into()]);
    workspace.lines("tags/train.jsonl", [r#"{"tokens":["a"],"tags":["X-city"]}"#.into()]);
    workspace.lines("empty/train.jsonl", [String::new()]);
    workspace.ok("finetune --backbone BACKBONE --task intents --out adapter --steps 1");
    workspace.ok("prefinetune run.toml --set strategy=tc --out other");
    workspace.refuses([
        ("finetune --backbone BACKBONE --task broken --out x", "train.jsonl:2"),
        ("finetune --backbone BACKBONE --task tags --out x", "\"X-city\" is of no scheme"),
        ("finetune --backbone BACKBONE --task empty --out x", "no training examples"),
        ("finetune --backbone BACKBONE --task nowhere --out x", "nowhere"),
        ("finetune --backbone BACKBONE --task intents --fraction 0 --out x", "fraction"),
        ("finetune --backbone BACKBONE --task intents --steps 0 --out x", "steps"),
        ("finetune --backbone cities --task intents --out x", "config.json"),
        ("evaluate --backbone BACKBONE --adapter adapter --task cities", "other kind"),
        ("evaluate --backbone BACKBONE --adapter adapter --task intents --split dev", "dev.jsonl"),
        (
            "evaluate --backbone other/backbone --adapter adapter --task intents",
            "trained on the backbone sha256:",
        ),
        ("predict --backbone BACKBONE --adapter nowhere", "nowhere: No such file or directory"),
        ("predict --backbone BACKBONE --adapter adapter --input nowhere.txt", "nowhere.txt"),
        ("prefinetune run.toml --set train.step=3 --out x", "did you mean \"train.steps\"?"),
        ("prefinetune run.toml --set strategy=tpll --out x", "tpll"),
        ("prefinetune run.toml --set ner.corpora=[] --out x", "ner.corpora"),
        ("prefinetune nowhere.toml --out x", "nowhere.toml"),
        ("data check broken", "1 of the above cannot be used"),
        ("data check nowhere.jsonl", "cannot be used"),
        ("data check adapter", "no data files here"),
        ("predict --backbone /dev/zero --adapter adapter", "not a regular file"),
        ("finetune --backbone BACKBONE --task intents --fraction nan --out x", "fraction NaN"),
        (
            "finetune --backbone BACKBONE --task intents --learning-rate nan --out x",
            "learning-rate is NaN",
        ),
        (
            "finetune --backbone BACKBONE --task intents --head-learning-rate inf --out x",
            "head-learning-rate is inf",
        ),
        (
            "finetune --backbone BACKBONE --task intents --batch 1000000000000 --out x",
            "batch is 1000000000000",
        ),
        (
            "quantize --backbone BACKBONE --adapters adapter --tasks intents --max-drop nan --out \
             x",
            "--max-drop",
        ),
        (
            "quantize --backbone BACKBONE --adapters adapter --tasks intents --max-drop inf --out \
             x",
            "--max-drop",
        ),
        ("tokenizer train cities/train.jsonl --vocab 1000000000000000 --out x", "at most 16777216"),
        ("bench train --batch 1000000000000", "--batch"),
        (
            "bench infer --batch 1048576 --seq 512 --shape 1,1024,1,1,100",
            "a batch of 1048576 sequences",
        ),
        ("bench infer --shape 1000,65536,1,262144,16777216", "GB of memory"),
        ("--threads 100000000 doctor", "give between 1 and 1024"),
        ("--threads 0 encode --backbone BACKBONE --input run.toml --output x", "--threads"),
    ]);
}

#[test]
fn panics_of_libraries_are_not_shown() {
    let workspace = Workspace::new();
    // A column begins before the file does, on which the library panics.
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/data/negative-length");
    std::fs::copy(kept, workspace.path("a.parquet")).unwrap();
    let output = workspace.run("data check a.parquet");
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(err, "error: 1 of the above cannot be used\n");
    assert!(
        out.contains("a.parquet: cannot be read as Parquet: its data contradict themselves"),
        "{out}"
    );
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let workspace = Workspace::new();
    let mut child = workspace.start("pack --backbone BACKBONE --out tiny.espalier");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && message.is_empty(), "{message}");
    assert!(workspace.path("tiny.espalier").exists());
}

#[test]
fn help_teaches_by_example() {
    let workspace = Workspace::new();
    for command in [
        "demo",
        "fetch",
        "teach",
        "pretrain",
        "tokenizer train",
        "fill-mask",
        "prefinetune",
        "conflict",
        "study",
        "finetune",
        "evaluate",
        "predict",
        "encode",
        "pack",
        "quantize",
        "data check",
        "bench",
        "bench runtime",
        "doctor",
    ] {
        assert!(workspace.ok(&format!("{command} --help")).contains("Example: "), "{command}");
    }
    assert!(workspace.ok("--help").contains("demo"));
    assert_eq!(workspace.ok("--version").trim(), concat!("espalier ", env!("CARGO_PKG_VERSION")));
}

/// Input files, files of others, and pipes are not overwritten.
#[test]
#[cfg(target_os = "linux")]
fn other_files_are_not_overwritten() {
    let workspace = Workspace::new();
    let copy = workspace.path("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(backbone())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
    {
        fs::copy(&entry, copy.join(entry.file_name().unwrap())).unwrap();
    }
    let weights = fs::read(copy.join("model.safetensors")).unwrap();
    fs::write(workspace.path("texts"), "london").unwrap();
    fs::create_dir(workspace.path("foreign")).unwrap();
    fs::write(workspace.path("foreign/adapter_config.json"), "precious").unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(workspace.path("pipe"))
            .status()
            .unwrap()
            .success()
    );
    // A file that a demo has too does not make it one.
    fs::create_dir_all(workspace.path("own/data")).unwrap();
    fs::write(workspace.path("own/data/LICENSES.md"), "precious").unwrap();
    workspace.refuses([
        ("demo --backbone BACKBONE --out own", "neither empty nor an earlier demo"),
        ("pack --backbone copy --out copy/model.safetensors", "is one of the input files"),
        ("encode --backbone BACKBONE --input texts --output texts", "is one of the input files"),
        ("encode --backbone BACKBONE --input texts --output pipe", "no regular file"),
        ("pack --backbone BACKBONE --out pipe", "no regular file"),
        (
            "finetune --backbone BACKBONE --task cities --steps 1 --out foreign",
            "it holds adapter_config.json",
        ),
        ("prefinetune /dev/zero --out x", "at most 16777216 bytes"),
        ("bench infer --backbone BACKBONE --steps 4294967296", "--steps 1 to 1048576"),
        (
            "bench runtime --backbone BACKBONE --adapters 4294967296",
            "--adapters takes numbers from 1 to 10000",
        ),
    ]);
    assert_eq!(fs::read(copy.join("model.safetensors")).unwrap(), weights);
    assert_eq!(fs::read_to_string(workspace.path("texts")).unwrap(), "london");
    assert_eq!(
        fs::read_to_string(workspace.path("foreign/adapter_config.json")).unwrap(),
        "precious"
    );

    // A run: a link in the place of a file that grows, and settings that were altered.
    workspace.ok("prefinetune run.toml --out run --set train.checkpoint_every=1");
    fs::remove_file(workspace.path("run/summary.json")).unwrap();
    let config = fs::read_to_string(workspace.path("run/config.toml")).unwrap();
    assert!(config.contains("seed = 0"), "{config}");
    fs::write(workspace.path("run/config.toml"), config.replacen("seed = 0", "seed = 5", 1))
        .unwrap();
    workspace.refuses([("prefinetune --out run --resume", "config.toml is not the one that")]);
    fs::write(workspace.path("run/config.toml"), config).unwrap();
    fs::remove_file(workspace.path("run/metrics.jsonl")).unwrap();
    std::os::unix::fs::symlink(workspace.path("texts"), workspace.path("run/metrics.jsonl"))
        .unwrap();
    workspace.refuses([("prefinetune --out run --resume", "metrics.jsonl, which is a link")]);
    assert_eq!(fs::read_to_string(workspace.path("texts")).unwrap(), "london");
}
