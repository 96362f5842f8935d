//! The command line as a user meets it: every subcommand but the demo on a tiny random encoder, and what wrong input leads to.

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A fresh directory with corpora, two tasks and a configuration, on the tiny encoder of the fixtures.
struct Workspace {
    directory: TempDir,
}

const INTENTS: [(&str, &str); 6] = [
    ("the cheap hotel near the station", "hotel"),
    ("a great hotel", "hotel"),
    ("cheap hotel in paris", "hotel"),
    ("trains to london", "train"),
    ("a train from paris", "train"),
    ("the trains to berlin", "train"),
];

impl Workspace {
    fn new() -> Self {
        let workspace = Self { directory: tempfile::tempdir().unwrap() };
        let cities = ["london", "paris", "berlin"];
        let tagged = |city: &str| format!(r#"{{"tokens":["trains","to","{city}"],"tags":["O","O","B-city"]}}"#);
        let concept = |city: &str| {
            format!(
                r#"{{"tokens":["trains","to","{city}"],"spans":[{{"start":2,"end":3,"type":"city"}},{{"start":0,"end":1,"type":"vehicle"}}]}}"#
            )
        };
        let label = |(text, label): (&str, &str)| format!(r#"{{"text":"{text}","label":"{label}"}}"#);
        let pair = |(text, label): (&str, &str)| format!(r#"{{"anchor":"{text}","positive":"about a {label}"}}"#);
        workspace.lines("concepts.jsonl", cities.map(concept));
        workspace.lines("pairs.jsonl", INTENTS.map(pair));
        for split in ["train", "test"] {
            workspace.lines(&format!("cities/{split}.jsonl"), cities.map(tagged));
            workspace.lines(&format!("intents/{split}.jsonl"), INTENTS.map(label));
        }
        let config = format!(
            "backbone = {:?}\n[ner]\ncorpora = [\"concepts.jsonl\"]\nbatch = 2\n[tc]\ncorpora = [\"pairs.jsonl\"]\nbatch = 3\n[train]\nsteps = 3\n",
            backbone()
        );
        fs::write(workspace.path("run.toml"), config).unwrap();
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lines<const N: usize>(&self, name: &str, lines: [String; N]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, lines.join("\n")).unwrap();
    }

    /// Runs espalier in the directory; arguments are separated by white space.
    fn run(&self, arguments: &str) -> Output {
        self.run_with_input(arguments, "")
    }

    fn run_with_input(&self, arguments: &str, input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_espalier"))
            .args(arguments.replace("BACKBONE", &backbone()).split_whitespace())
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses its arguments does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Standard output of a run that must succeed.
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The error message of a run that must fail, and not by a panic.
    fn fails(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{arguments}: {:?}", output.status);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!message.contains("panicked"), "{message}");
        message
    }
}

fn backbone() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tiny-bert");
    path.canonicalize().unwrap().display().to_string()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_whole_job() {
    let workspace = Workspace::new();
    workspace.ok("prefinetune run.toml --set strategy=tpl --out run");
    for file in
        ["backbone/model.safetensors", "adapters/ner/espalier.json", "adapters/tc/adapter_config.json", "config.toml"]
    {
        assert!(workspace.path("run").join(file).exists(), "{file}");
    }
    let metrics = fs::read_to_string(workspace.path("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 3);
    assert!(json(metrics.lines().next().unwrap())["losses"]["tc"].as_f64().unwrap() > 0.0);

    let tuned = "--steps 40 --learning-rate 0.01 --json";
    let scores = json(&workspace.ok(&format!(
        "finetune --backbone run/backbone --init run/adapters/ner --task cities --out cities-adapter {tuned}"
    )));
    assert_eq!(scores["scores"]["test"]["strict"]["f1"], 1.0);
    workspace.ok(&format!(
        "finetune --backbone run/backbone --init run/adapters/tc --task intents --out intents-adapter {tuned}"
    ));
    let scores =
        json(&workspace.ok("evaluate --backbone run/backbone --adapter intents-adapter --task intents --json"));
    assert_eq!(scores["scores"]["accuracy"], 1.0);

    let both = "predict --backbone run/backbone --adapter cities-adapter --adapter intents-adapter --json";
    let output = workspace.run_with_input(both, "trains to london\n\n");
    let lines: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(json).collect();
    assert_eq!(lines.len(), 2, "an empty line is a text too");
    let entity = &lines[0]["answers"]["cities-adapter"]["entities"][0];
    assert_eq!(
        (entity["label"].as_str(), entity["start"].as_u64(), entity["end"].as_u64()),
        (Some("city"), Some(10), Some(16))
    );
    assert_eq!(lines[0]["answers"]["intents-adapter"]["label"]["label"], "train");
}

#[test]
fn a_cross_stitch_run_is_tuned_and_scored_and_nothing_else() {
    let workspace = Workspace::new();
    let backbone = workspace.ok("prefinetune run.toml --set strategy=cross-stitch --out run");
    assert_eq!(backbone.trim(), "run", "both columns go by the directory of their run");
    for file in ["backbone/model.safetensors", "columns/tc/model.safetensors", "columns/stitches.json"] {
        assert!(workspace.path("run").join(file).exists(), "{file}");
    }
    let card = fs::read_to_string(workspace.path("run/README.md")).unwrap();
    assert!(card.contains("espalier finetune --backbone . "), "{card}");
    let split = fs::read_to_string(workspace.path("intents/test.jsonl")).unwrap();
    fs::write(workspace.path("intents/dev.jsonl"), split).unwrap();
    for (task, score) in [("cities", "/scores/strict/f1"), ("intents", "/scores/accuracy")] {
        let out = format!("{task}-adapter");
        let tuned = "--steps 40 --learning-rate 0.01 --json";
        let scores = json(&workspace.ok(&format!("finetune --backbone run --task {task} --out {out} {tuned}")));
        assert_eq!(scores["scores"]["test"].pointer(&score["/scores".len()..]).unwrap(), 1.0, "{scores}");
        let split = if task == "intents" { "dev" } else { "test" };
        let evaluated =
            workspace.ok(&format!("evaluate --backbone run --adapter {out} --task {task} --split {split} --json"));
        assert_eq!(json(&evaluated).pointer(score).unwrap(), 1.0, "{evaluated}");
    }
    for (arguments, expected) in [
        ("predict --backbone run --adapter intents-adapter", "only finetune and evaluate take it"),
        ("pack --backbone run --out x", "only finetune and evaluate take it"),
        ("prefinetune run.toml --set backbone=run --out x", "only finetune and evaluate take it"),
        ("predict --backbone run/backbone --adapter intents-adapter", "trained on the backbone sha256:"),
        (
            "evaluate --backbone run/columns/tc --adapter intents-adapter --task intents",
            "trained on the backbone sha256:",
        ),
        ("finetune --backbone run --init intents-adapter --task intents --out x", "leave out --init"),
        ("demo --strategies none,cross-stitch --out x", "name it before others"),
        ("conflict run.toml --set strategy=cross-stitch", "joint, pcgrad or tpl"),
    ] {
        let message = workspace.fails(arguments);
        assert!(message.contains(expected), "{arguments}\n{message}");
    }
}

#[test]
fn a_packed_backbone_takes_the_place_of_its_directory() {
    let workspace = Workspace::new();
    workspace.ok("finetune --backbone BACKBONE --task intents --out intents-adapter --steps 40 --learning-rate 0.01");
    let sizes = json(&workspace.ok("pack --backbone BACKBONE --dtype f32 --out tiny.espalier --json"));
    assert_eq!(sizes["bytes"].as_u64().unwrap(), fs::metadata(workspace.path("tiny.espalier")).unwrap().len());
    assert!(workspace.ok("pack --backbone BACKBONE --out small.espalier").contains("int8"));
    for command in
        ["predict --backbone SPEC --input intents/test.jsonl --json", "evaluate --backbone SPEC --task intents"]
    {
        let run = |spec: &str| workspace.ok(&format!("{} --adapter intents-adapter", command.replace("SPEC", spec)));
        assert_eq!(run("tiny.espalier"), run("BACKBONE"), "{command}");
        run("small.espalier");
    }
    workspace.ok("encode --backbone small.espalier --input intents/test.jsonl --output vectors.safetensors");
    workspace.ok("bench infer --backbone small.espalier --batch 1 --seq 8 --steps 1");
    for (arguments, expected) in [
        ("finetune --backbone tiny.espalier --task intents --out x", "for inference"),
        ("prefinetune run.toml --set backbone=\"tiny.espalier\" --out x", "for inference"),
        ("pack --backbone tiny.espalier --out x", "for inference"),
        ("pack --backbone BACKBONE --dtype int4 --out x", "int8, bf16 or f32"),
        ("bench train --backbone tiny.espalier --batch 1 --seq 8", "for inference"),
        ("bench infer --backbone small.espalier --precision f32 --batch 1 --seq 8", "stored as int8"),
        ("encode --backbone run.toml --input run.toml --output x", "does not start as a bundle does"),
    ] {
        let message = workspace.fails(arguments);
        assert!(message.contains(expected), "{arguments}\n{message}");
    }
}

#[test]
fn bench_runtime_measures_what_it_is_asked_for() {
    let workspace = Workspace::new();
    workspace.lines("texts.txt", ["trains to london".into(), "a great hotel".into(), String::new()]);
    workspace.lines("lengths.txt", ["5".into(), "12".into(), "3".into()]);
    let report = |options: &str| -> Value {
        let command = format!("bench runtime --backbone BACKBONE --threads 2 --steps 2 --json {options}");
        serde_json::from_str(&workspace.ok(&command)).unwrap()
    };
    let numbers = |rows: &Value, key: &str| -> Vec<f64> {
        rows.as_array().unwrap().iter().map(|row| row[key].as_f64().unwrap()).collect()
    };
    let all = report("--seq 8 --adapters 1,3 --texts 12 --batch 1,5");
    assert_eq!(numbers(&all["adapters"], "adapters"), [1.0, 3.0]);
    assert_eq!(numbers(&all["lengths"], "tokens"), [8.0, 8.0, 16.0, 16.0, 32.0, 32.0]); // it takes 48 at most
    assert_eq!(numbers(&all["throughput"], "batch"), [1.0, 5.0]);
    assert!(numbers(&all["adapters"], "median_ms").iter().all(|&time| time > 0.0));
    assert!(all["open"]["later"]["total_ms"].as_f64() > all["open"]["later"]["open_ms"].as_f64());
    if cfg!(target_os = "linux") {
        assert_eq!(numbers(&all["memory"], "adapters"), [1.0, 3.0]);
    }
    for file in ["texts.txt", "lengths.txt"] {
        let some = report(&format!("--measure throughput --modules query-value --layers 3 --batch 2 --lengths {file}"));
        assert_eq!(some["adapter_layers"], 3);
        assert_eq!(numbers(&some["throughput"], "batch"), [2.0]);
        assert!(["open", "memory", "adapters", "lengths"].iter().all(|other| some.get(other).is_none()));
    }
    assert!(workspace.ok("bench runtime --backbone BACKBONE --measure adapters --steps 1").contains("median ms"));
    for (options, expected) in [
        ("--measure adapters --seq 49", "this backbone's have 2 to 48"),
        ("--measure adapters --adapters 0", "--adapters"),
        ("--measure memory --layers 4", "--layers must be 1 to 3"),
        ("--texts 5 --lengths texts.txt", "cannot be used with"),
    ] {
        let message = workspace.fails(&format!("bench runtime --backbone BACKBONE {options}"));
        assert!(message.contains(expected), "{options}\n{message}");
    }
}

#[test]
fn encode_writes_one_vector_a_line() {
    let workspace = Workspace::new();
    workspace.lines("texts.txt", ["a hotel".to_string(), String::new(), "trains to london ".repeat(40)]);
    workspace.ok("encode --backbone BACKBONE --input texts.txt --output vectors.safetensors");
    let bytes = fs::read(workspace.path("vectors.safetensors")).unwrap();
    let header: Value =
        serde_json::from_slice(&bytes[8..8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize]).unwrap();
    assert_eq!(header["embeddings"]["shape"], serde_json::json!([3, 32]));
    assert_eq!(header["embeddings"]["dtype"], "F32");
}

#[test]
fn one_step_of_sgd_is_the_gradient() {
    // Without clipping, decay and warm-up the change of the weights is proportional to the learning rate: twice the rate, twice the change.
    let workspace = Workspace::new();
    let bare = "--set strategy=tc --optimizer sgd --set train.steps=1 --set train.warmup=0 --set train.clip_norm=0 --set train.weight_decay=0";
    for (rate, out) in [("0.001", "one"), ("0.002", "two")] {
        workspace.ok(&format!("prefinetune run.toml {bare} --set train.learning_rate={rate} --out {out}"));
    }
    let weights = |name: &str| {
        let directory = if name.is_empty() { PathBuf::from(backbone()) } else { workspace.path(name).join("backbone") };
        espalier_encoder::Backbone::open(&directory).unwrap().weights().to_vec()
    };
    let (start, one, two) = (weights(""), weights("one"), weights("two"));
    let largest = |a: &[f32]| a.iter().zip(&start).map(|(a, s)| (a - s).abs()).fold(0.0, f32::max);
    let (change, twice) = (largest(&one), largest(&two));
    assert!(change > 0.0 && (twice / change - 2.0).abs() < 1e-3, "{change} {twice}");
}

#[test]
fn data_are_checked_before_training() {
    let workspace = Workspace::new();
    let text = workspace.ok("data check cities run.toml --backbone BACKBONE");
    for part in [
        "NER, tags in IOB2, 3 rows",
        "1 label, 3 mentions: city 3",
        "the text is in train too",
        "concepts, 6 mentions",
        "anchor, tokens",
        "can be used",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    workspace.lines("odd.csv", ["query,positive".into(), "a,b".into(), "c,C!".into(), "a,b".into(), "d,".into()]);
    let output = workspace.run("data check odd.csv --json");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success() && report["usable"] == false, "{report}");
    let findings: Vec<_> = report["files"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (&found["problem"], &found["examples"][0]))
        .collect();
    assert!(findings.contains(&(&"duplicate".into(), &"odd.csv:4: as line 2: a".into())), "{findings:?}");
    assert!(findings.contains(&(&"nearly-same".into(), &"odd.csv:3: c / C!".into())), "{findings:?}");
    assert!(
        findings.iter().any(
            |found| found.0 == "wrong" && found.1.as_str().unwrap().starts_with("odd.csv:5: \"positive\" is blank")
        ),
        "{findings:?}"
    );
}

#[test]
fn an_encoder_comes_about_from_plain_text() {
    let workspace = Workspace::new();
    let text = |city: &str| format!("the cheap hotel near the station of {city} was great .\n\n").repeat(8);
    workspace.lines("texts.txt", ["london", "paris", "berlin"].map(text));
    assert!(workspace.ok("data check texts.txt").contains("plain text, running text, 24 rows"));
    assert_eq!(workspace.ok("tokenizer train texts.txt --vocab 60 --out tokenizer").trim(), "tokenizer");
    let settings = "backbone = \"scratch\"\n[scratch]\ntokenizer = \"tokenizer\"\nlayers = 1\nwidth = 32\nheads = 2\ninner = 32\n\
                    [mlm]\ncorpora = [\"texts.txt\"]\nbatch = 16\n[train]\nsteps = 60\nlearning_rate = 0.01\n";
    fs::write(workspace.path("pretrain.toml"), settings).unwrap();
    workspace.ok("pretrain pretrain.toml --out raw");
    let question = workspace.path("raw/backbone").display().to_string();
    let ask = |input: &str| workspace.run_with_input(&format!("fill-mask --backbone {question} --top 3 --json"), input);
    let answer = ask("the [MASK] hotel near the station of paris was great .\n");
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!((&answer["masks"][0][0]["token"], answer["masks"][0].as_array().unwrap().len()), (&"cheap".into(), 3));
    let message = String::from_utf8(ask("no mask\n").stderr).unwrap();
    assert!(message.contains("no [MASK] in \"no mask\""), "{message}");
    assert!(workspace.ok(&format!("fill-mask --backbone {question} [MASK] [MASK]")).contains("[MASK]\n  "));

    // What is left is a backbone like any other, and can be trained further.
    workspace.ok("prefinetune run.toml --set backbone=raw/backbone --set train.steps=1 --out run");
    workspace.ok("finetune --backbone raw/backbone --task intents --out adapter --steps 1");
    workspace.ok("pretrain pretrain.toml --set backbone=raw/backbone --set train.steps=1 --out further");
    let output = workspace.run("pretrain pretrain.toml --set backbone=run/backbone --set train.steps=1 --out headless");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && message.contains("it begins with a fresh one"), "{message}");
    for (arguments, expected) in [
        ("fill-mask --backbone BACKBONE [MASK]", "no head of masked language modelling"),
        ("pretrain run.toml --out x", "mlm.corpora names no file"),
        ("pretrain pretrain.toml --set strategy=tpl --out x", "for tpl run espalier prefinetune"),
        ("pretrain pretrain.toml --set scratch.tokenizer=cities --out x", "cities: no tokenizer.json or vocab.txt"),
        ("pretrain pretrain.toml --set scratch.heads=3 --out x", "is not a multiple of"),
        ("pretrain pretrain.toml --set mlm.corpora=[\"nowhere.txt\"] --out x", "nowhere.txt"),
        ("tokenizer train nowhere.txt --out x", "nowhere.txt"),
        ("tokenizer train texts.txt --vocab 20 --out x", "20 tokens are wanted, but the characters alone are"),
        ("tokenizer train intents/train.jsonl concepts.jsonl --out x", "concepts.jsonl:1: \"text\""),
    ] {
        let message = workspace.fails(arguments);
        assert!(message.contains(expected), "{arguments}\n{message}");
    }
}

#[test]
fn conflicts_are_measured_and_read_from_a_run() {
    let workspace = Workspace::new();
    let measured: Value =
        serde_json::from_str(&workspace.ok("conflict run.toml --batches 2 --json --out measured")).unwrap();
    assert_eq!((&measured["strategy"], measured["layers"].as_array().map(Vec::len)), (&"tpl".into(), Some(3)));
    assert!(measured["layers"][2]["parts"]["key"]["mean"].is_number(), "{measured}");
    assert!(fs::read_to_string(workspace.path("measured/conflict.html")).unwrap().contains("<svg"));
    assert!(!workspace.path("measured/backbone").exists(), "nothing was trained");

    workspace.ok("prefinetune run.toml --set conflict.every=2 --set strategy=joint --out run");
    let table = workspace.ok("conflict --run run");
    assert!(table.contains("layer 3") && table.contains("measurements: 1."), "{table}");
    workspace.ok("prefinetune run.toml --out silent");
    for (arguments, expected) in [
        ("conflict --run silent", "conflict.every"),
        ("conflict run.toml --set strategy=ner", "joint, pcgrad or tpl"),
        ("conflict run.toml --run run", "cannot be used with"),
        ("conflict", "<CONFIG>"),
        (
            "prefinetune run.toml --set strategy=pcgrab --out x",
            "there are none, ner, tc, joint, pcgrad, cross-stitch, tpl, adapters-only",
        ),
    ] {
        let message = workspace.fails(arguments);
        assert!(message.contains(expected), "{arguments}\n{message}");
    }
}

#[test]
fn a_teacher_is_made_and_learned_from() {
    let workspace = Workspace::new();
    let made = workspace.run("teach run.toml --set strategy=tpl --set ner.keep_concepts=true --out teacher");
    let message = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && message.contains("--set ner.teacher=teacher/backbone"), "{message}");
    for file in ["model.safetensors", "projections.safetensors", "concepts.json"] {
        assert!(workspace.path("teacher/concepts").join(file).exists(), "{file}");
    }
    assert!(!workspace.path("teacher/adapters").exists(), "the strategy is ner");

    // Text alone is enough to distil on.
    workspace
        .lines("texts.jsonl", ["trains to london", "a hotel in paris"].map(|text| format!(r#"{{"text":"{text}"}}"#)));
    let distill =
        "run.toml --set ner.objective=distill --set ner.teacher=teacher/backbone --set ner.corpora=[\"texts.jsonl\"]";
    workspace.ok(&format!("prefinetune {distill} --set ner.teacher_cache=said --out run"));
    workspace.ok(&format!("conflict {distill} --batches 2 --set ner.teacher_cache=said"));
    assert_eq!(fs::read_dir(workspace.path("said")).unwrap().count(), 1);
    let config = fs::read_to_string(workspace.path("run/config.toml")).unwrap();
    fs::write(workspace.path("distill.toml"), config).unwrap();
    assert!(workspace.ok("data check distill.toml").contains("sentences"));
    for (arguments, expected) in [
        ("prefinetune run.toml --set ner.objective=distill --out x".to_string(), "ner.teacher names no teacher"),
        (format!("prefinetune {distill} --set ner.distill.loss=kl --out x"), "no token classifier here"),
        (format!("prefinetune {distill} --set ner.teacher=nowhere/at/all --out x"), "nowhere/at/all"),
        (format!("prefinetune {distill} --set ner.objective=concepts --out x"), "texts.jsonl:1: "),
        (format!("prefinetune {distill} --set ner.distill.los=mse --out x"), "did you mean \"ner.distill.loss\"?"),
    ] {
        let message = workspace.fails(&arguments);
        assert!(message.contains(expected), "{arguments}\n{message}");
    }
}

#[test]
fn wrong_input_is_explained() {
    let workspace = Workspace::new();
    workspace.lines("broken/train.jsonl", [r#"{"text":"a","label":"b"}"#.into(), r#"{"text":"#.into()]);
    workspace.lines("tags/train.jsonl", [r#"{"tokens":["a"],"tags":["X-city"]}"#.into()]);
    workspace.lines("empty/train.jsonl", [String::new()]);
    workspace.ok("finetune --backbone BACKBONE --task intents --out adapter --steps 1");
    workspace.ok("prefinetune run.toml --set strategy=tc --out other");
    for (arguments, expected) in [
        ("finetune --backbone BACKBONE --task broken --out x", "train.jsonl:2"),
        ("finetune --backbone BACKBONE --task tags --out x", "\"X-city\" is of no scheme"),
        ("finetune --backbone BACKBONE --task empty --out x", "no training examples"),
        ("finetune --backbone BACKBONE --task nowhere --out x", "nowhere"),
        ("finetune --backbone BACKBONE --task intents --fraction 0 --out x", "fraction"),
        ("finetune --backbone BACKBONE --task intents --steps 0 --out x", "steps"),
        ("finetune --backbone cities --task intents --out x", "config.json"),
        ("evaluate --backbone BACKBONE --adapter adapter --task cities", "other kind"),
        ("evaluate --backbone BACKBONE --adapter adapter --task intents --split dev", "dev.jsonl"),
        ("evaluate --backbone other/backbone --adapter adapter --task intents", "trained on the backbone sha256:"),
        ("predict --backbone BACKBONE --adapter nowhere", "nowhere: No such file or directory"),
        ("predict --backbone BACKBONE --adapter adapter --input nowhere.txt", "nowhere.txt"),
        ("prefinetune run.toml --set train.step=3 --out x", "did you mean \"train.steps\"?"),
        ("prefinetune run.toml --set strategy=tpll --out x", "tpll"),
        ("prefinetune run.toml --set ner.corpora=[] --out x", "ner.corpora"),
        ("prefinetune nowhere.toml --out x", "nowhere.toml"),
        ("data check broken", "1 of the above cannot be used"),
        ("data check nowhere.jsonl", "cannot be used"),
        ("data check adapter", "no data files here"),
        ("--threads 0 encode --backbone BACKBONE --input run.toml --output x", "--threads"),
    ] {
        let message = workspace.fails(arguments);
        assert!(message.contains(expected), "{arguments}\n{message}");
    }
}

#[test]
fn help_teaches_by_example() {
    let workspace = Workspace::new();
    for command in [
        "pretrain",
        "tokenizer train",
        "fill-mask",
        "prefinetune",
        "conflict",
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
}
