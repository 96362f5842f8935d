//! A study of two strategies on two tasks, on the tiny BERT: in one go, interrupted, in shards.

use espalier_encoder::Backbone;
use espalier_study::grid::{
    ModelSource, Record, Results, Shard, StudyConfig, StudyError, StudyEvent, Summary, Teachers,
    merge, run,
};
use espalier_testing::fixtures::tiny_bert;
use espalier_train::PrefinetuneConfig;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Tiny;

impl ModelSource for Tiny {
    fn backbone(&self, name: &str) -> Result<Backbone, Box<dyn Error + Send + Sync>> {
        if name == "tiny" { Ok(tiny_bert()) } else { Err("there is no such backbone".into()) }
    }

    fn teachers(&self, _: &PrefinetuneConfig) -> Result<Teachers, Box<dyn Error + Send + Sync>> {
        Ok(Teachers::default())
    }
}

const STUDY: &str = r#"
tasks = ["cities", "opinions"]
fractions = [0.5, 1.0]
seeds = [0, 1]
prefinetune = "prefinetune.toml"
close_tasks = ["cities"]

[limits]
min_train = 3

[finetune]
steps = 4
batch = 4
learning_rates = [0.001, 0.01]

[[backbones]]
name = "the tiny one"
path = "tiny"

[[strategies]]
name = "none"

[[strategies]]
name = "tpl"
seeds = [0, 1]
set = ["train.learning_rate=1e-3"]
"#;

/// Writes the study and its data, and reads it.
fn study(directory: &Path, text: &str) -> StudyConfig {
    let city =
        |name: &str| format!("{{\"tokens\": [\"to\", {name:?}], \"tags\": [\"O\", \"B-city\"]}}\n");
    let opinion = |word: &str, label: &str| {
        format!("{{\"text\": \"it was {word}\", \"label\": {label:?}}}\n")
    };
    let span = |name: &str| {
        format!(
            "{{\"tokens\": [\"to\", {name:?}], \"spans\": [{{\"start\": 1, \"end\": 2, \"type\": \
             \"city\"}}]}}\n"
        )
    };
    let pair =
        |word: &str| format!("{{\"anchor\": \"the {word}\", \"positive\": \"good {word}\"}}\n");
    let cities = ["london", "paris", "berlin", "york", "rome", "oslo"];
    let opinions = [("good", "kind"), ("bad", "unkind"), ("great", "kind"), ("cheap", "unkind")];
    let opinions = opinions.map(|(word, label)| opinion(word, label)).concat();
    let prefinetune = "[train]\nsteps = 2\nvalidation = 0\nprecision = \"f32\"\n\
                       [ner]\ncorpora = [\"concepts.jsonl\"]\nbatch = 2\n\
                       [tc]\ncorpora = [\"pairs.jsonl\"]\nbatch = 2\n";
    for (name, content) in [
        ("cities/train.jsonl", cities.map(city).concat()),
        ("cities/dev.jsonl", cities[..3].iter().map(|name| city(name)).collect()),
        ("cities/test.jsonl", cities[2..].iter().map(|name| city(name)).collect()),
        ("opinions/train.jsonl", opinions.clone()),
        ("opinions/dev.jsonl", opinions.clone()),
        ("opinions/test.jsonl", opinions),
        ("concepts.jsonl", cities.map(span).concat()),
        ("pairs.jsonl", ["hotel", "music", "weather"].map(pair).concat()),
        ("prefinetune.toml", prefinetune.into()),
        ("study.toml", text.into()),
    ] {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    StudyConfig::read(&directory.join("study.toml")).unwrap()
}

fn compute(study: &StudyConfig, out: &Path, shard: Shard) {
    run(study, out, shard, &Tiny, &mut |_| ControlFlow::Continue(())).unwrap();
}

/// The results without what differs from run to run.
fn results(out: &Path) -> BTreeMap<String, Record> {
    let mut records = Results::of(out).read().unwrap();
    for record in records.values_mut() {
        match record {
            Record::Cell(cell) => cell.seconds = 0.0,
            Record::Encoder(encoder) => encoder.seconds = 0.0,
            Record::Tuning(tuning) => tuning.seconds = 0.0,
            _ => {}
        }
    }
    records
}

fn out(directory: &TempDir, name: &str) -> PathBuf {
    let out = directory.path().join(name);
    fs::create_dir_all(&out).unwrap();
    out
}

#[test]
fn every_cell_is_computed_once_and_an_extension_adds_only_what_is_new() {
    let directory = TempDir::new().unwrap();
    let config = study(directory.path(), STUDY);
    let out = out(&directory, "out");
    compute(&config, &out, Shard::WHOLE);
    let first = results(&out);
    // 3 encoders (one of them is the backbone itself) x 2 tasks x 2 fractions x 2 seeds.
    let cells = first.values().filter(|record| matches!(record, Record::Cell(_))).count();
    assert_eq!((cells, first.len()), (24, 26));
    assert!(
        !out.join("encoders")
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().path().join("checkpoints").exists() })
    );
    for record in first.values() {
        if let Record::Cell(cell) = record {
            assert!((0.0..=1.0).contains(&cell.score), "{cell:?}");
            assert_eq!(cell.dev.len(), 2, "both learning rates were tried");
            let best = cell.dev.values().copied().fold(0.0, f64::max);
            assert_eq!(cell.dev[&cell.learning_rate.to_string()], best);
        }
    }
    // Nothing is left to do.
    let mut events = Vec::new();
    run(&config, &out, Shard::WHOLE, &Tiny, &mut |event| {
        if let StudyEvent::Start { missing, cells } = event {
            events.push((missing, cells));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(events, [(0, 24)]);
    // A third seed: 3 encoders x 2 tasks x 2 fractions more. The rest stays.
    let more = study(
        directory.path(),
        &STUDY.replace("\nseeds = [0, 1]\npre", "\nseeds = [0, 1, 2]\npre"),
    );
    compute(&more, &out, Shard::WHOLE);
    let all = results(&out);
    assert_eq!(all.len(), first.len() + 12);
    assert!(first.iter().all(|(address, record)| all[address] == *record));
}

#[test]
fn an_interrupted_study_goes_on_and_gives_the_same() {
    let directory = TempDir::new().unwrap();
    let config = study(directory.path(), STUDY);
    let (whole, parts) = (out(&directory, "whole"), out(&directory, "parts"));
    compute(&config, &whole, Shard::WHOLE);
    let mut starts = 0;
    loop {
        // The third event stops it: in the middle of pre-finetuning, or between cells.
        let mut events = 0;
        let outcome = run(&config, &parts, Shard::WHOLE, &Tiny, &mut |_| {
            events += 1;
            if events >= 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        starts += 1;
        match outcome {
            Ok(()) => break,
            Err(StudyError::Interrupted) => assert!(starts < 60, "no progress"),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(starts > 8, "{starts}");
    assert_eq!(results(&parts), results(&whole));
}

#[test]
fn shards_side_by_side_or_merged_give_the_same() {
    let directory = TempDir::new().unwrap();
    let config = study(directory.path(), STUDY);
    let whole = out(&directory, "whole");
    compute(&config, &whole, Shard::WHOLE);
    // Two processes on one directory, which both need the encoder of seed 0.
    let shared = out(&directory, "shared");
    std::thread::scope(|scope| {
        for part in 1..=2 {
            let (config, shared) = (&config, &shared);
            scope.spawn(move || compute(config, shared, Shard { part, parts: 2 }));
        }
    });
    assert_eq!(results(&shared), results(&whole));
    // Three on directories of their own.
    let parts: Vec<PathBuf> = (1..=3).map(|part| out(&directory, &format!("{part}"))).collect();
    for (number, part) in parts.iter().enumerate() {
        compute(&config, part, Shard { part: number + 1, parts: 3 });
    }
    let merged = out(&directory, "merged");
    merge(&parts, &merged).unwrap();
    assert_eq!(results(&merged), results(&whole));
    let summary = |out: &Path| {
        let records: Vec<Record> = results(out).into_values().collect();
        format!("{:?}", Summary::new(&records, &[], &config.close_tasks).tables)
    };
    assert_eq!(summary(&merged), summary(&whole));
}

#[test]
fn a_lost_encoder_is_made_again_for_cells_that_need_it() {
    let directory = TempDir::new().unwrap();
    let config = study(directory.path(), STUDY);
    let (whole, other) = (out(&directory, "whole"), out(&directory, "other"));
    compute(&config, &whole, Shard::WHOLE);
    // Half of the results, and no encoder: as after a merge on another machine.
    let text = fs::read_to_string(whole.join("results.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(other.join("results.jsonl"), lines[..13].join("\n") + "\n").unwrap();
    compute(&config, &other, Shard::WHOLE);
    assert_eq!(results(&other), results(&whole));
}

#[test]
fn settings_of_pre_finetuning_are_chosen_on_dev() {
    let directory = TempDir::new().unwrap();
    let tuning = "\n[tuning]\nsteps = 2\ntasks = [\"cities\", \"opinions\"]\nfraction = 1.0\n\
                  candidates = [[\"train.learning_rate=1e-5\"], [\"train.learning_rate=1e-2\"]]\n";
    let config = study(directory.path(), &(STUDY.to_string() + tuning));
    let out = out(&directory, "out");
    compute(&config, &out, Shard::WHOLE);
    let records = results(&out);
    let tuned: Vec<_> = records
        .values()
        .filter_map(|record| match record {
            Record::Tuning(tuning) => Some(tuning),
            _ => None,
        })
        .collect();
    // Two candidates of tpl, once for both seeds; none has nothing to tune.
    assert_eq!(tuned.len(), 2);
    assert!(tuned.iter().all(|tuning| tuning.row == "tpl" && tuning.dev.len() == 2));
    let best = tuned.iter().map(|tuning| tuning.mean).fold(0.0, f64::max);
    let encoders = records.values().filter_map(|record| match record {
        Record::Encoder(encoder) => Some(encoder),
        _ => None,
    });
    for encoder in encoders {
        let chosen = tuned.iter().find(|tuning| tuning.candidate == encoder.chosen).unwrap();
        assert_eq!(chosen.mean, best);
    }
    assert_eq!(out.join("tuning").read_dir().unwrap().count(), 0, "candidates are removed");
}

#[test]
fn addresses_do_not_depend_on_where_files_are() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let addresses = |directory: &Path, text: &str| -> Vec<String> {
        let plan = study(directory, text).plan().unwrap();
        plan.cells.into_iter().map(|cell| cell.address).collect()
    };
    let first = addresses(here.path(), STUDY);
    assert_eq!(first, addresses(there.path(), STUDY));
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 24);
    // What does not pre-finetune does not depend on its settings; what does, does.
    let other = addresses(there.path(), &STUDY.replace("rate=1e-3", "rate=1e-4"));
    assert_eq!((&first[..8], first[8] == other[8]), (&other[..8], false));
    let longer = addresses(there.path(), &STUDY.replace("steps = 4", "steps = 5"));
    assert!(first.iter().zip(&longer).all(|(a, b)| a != b));
}

#[test]
fn mistakes_in_a_study_are_named() {
    let directory = TempDir::new().unwrap();
    study(directory.path(), STUDY);
    let path = directory.path().join("study.toml");
    for (from, to, expected) in [
        ("fractions = [0.5, 1.0]", "fractions = [50, 100]", "fraction 50 is out of range"),
        ("seeds = [0, 1]\npre", "seed = [0]\npre", "unknown field `seed`"),
        ("name = \"tpl\"", "name = \"tlp\"", "unknown strategy \"tlp\""),
        ("name = \"tpl\"", "name = \"none\"", "\"none\" is empty or given twice"),
        ("\"opinions\"]", "\"cities\"]", "\"cities\" is empty or given twice"),
        ("close_tasks = [\"cities\"]", "close_tasks = [\"films\"]", "\"films\" is not the name"),
        ("[0.001, 0.01]", "[]", "finetune.learning_rates is empty"),
        ("rate=1e-3", "rat=1e-3", "did you mean \"train.learning_rate\"?"),
        ("prefinetune = \"prefinetune.toml\"", "", "name the file with its settings"),
        ("prefinetune = \"prefinetune.toml\"", "prefinetune = \"no.toml\"", "no.toml"),
    ] {
        assert!(STUDY.contains(from), "{from}");
        fs::write(&path, STUDY.replace(from, to)).unwrap();
        let error = StudyConfig::read(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let config = study(directory.path(), &STUDY.replace("path = \"tiny\"", "path = \"huge\""));
    let observe = &mut |_: StudyEvent| ControlFlow::Continue(());
    let error = run(&config, directory.path(), Shard::WHOLE, &Tiny, observe).unwrap_err();
    assert_eq!(error.to_string(), "cannot open huge: there is no such backbone");
}
