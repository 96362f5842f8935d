//! A comparison of two strategies on two small tasks, on the tiny BERT.

use espalier_data::{AnnotatedText, Examples, LabelledText, Task};
use espalier_encoder::Family;
use espalier_study::report::{Report, table};
use espalier_study::{Comparison, ComparisonConfig, Event, Scores, compare, evaluate};
use espalier_testing::fixtures::tiny_bert;
use espalier_train::TrainError;
use espalier_train::config::{NerConfig, PrefinetuneConfig, TcConfig, TrainConfig};
use espalier_train::finetune::{FinetuneConfig, FrozenEncoder};
use espalier_train::strategy::Strategy;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const STRATEGIES: [Strategy; 2] = [Strategy::NONE, Strategy::TPL];
const STEPS: usize = 3;
const FINETUNE_STEPS: usize = 15;

fn config(directory: &Path) -> ComparisonConfig {
    let (concepts, pairs) = (directory.join("concepts.jsonl"), directory.join("pairs.jsonl"));
    let city = |name: &str| {
        format!(
            "{{\"tokens\": [\"train\", \"to\", {name:?}], \"spans\": [{{\"start\": 2, \"end\": 3, \
             \"type\": \"city\"}}]}}\n"
        )
    };
    let pair =
        |word: &str| format!("{{\"anchor\": \"the {word}\", \"positive\": \"good {word}\"}}\n");
    fs::write(&concepts, ["london", "paris", "berlin"].map(city).concat()).unwrap();
    fs::write(&pairs, ["hotel", "music", "weather"].map(pair).concat()).unwrap();
    let mut config = ComparisonConfig::default();
    config.strategies = STRATEGIES.to_vec();
    config.seeds = vec![5, 6];
    config.prefinetune = PrefinetuneConfig {
        train: TrainConfig { steps: STEPS, ..TrainConfig::default() },
        ner: NerConfig { corpora: vec![concepts.into()], ..NerConfig::default() },
        tc: TcConfig { corpora: vec![pairs.into()], ..TcConfig::default() },
        ..PrefinetuneConfig::default()
    };
    config.finetune =
        FinetuneConfig { steps: FINETUNE_STEPS, batch: 4, ..FinetuneConfig::default() };
    config
}

fn tasks() -> [Task; 2] {
    let sentence =
        |city: &str| AnnotatedText::from_tags(&["we", "love", city], &["O", "O", "B-city"]);
    let text = |(word, label): (&str, &str)| LabelledText {
        text: format!("it was {word}"),
        label: label.into(),
    };
    let ner = |cities: &[&str]| Examples::Ner(cities.iter().map(|city| sentence(city)).collect());
    let opinions =
        |rows: &[(&str, &str)]| Examples::Classification(rows.iter().copied().map(text).collect());
    let task =
        |name: &str, train, test| Task { name: name.into(), train, dev: None, test: Some(test) };
    [
        task("cities", ner(&["london", "paris", "berlin", "york"]), ner(&["london", "john"])),
        task(
            "opinions",
            opinions(&[
                ("good", "kind"),
                ("great", "kind"),
                ("bad", "unkind"),
                ("cheap", "unkind"),
            ]),
            opinions(&[("good", "kind"), ("not bad", "unkind"), ("near", "neither")]),
        ),
    ]
}

fn compared(config: &ComparisonConfig) -> Comparison {
    compare(&tiny_bert(), &tasks(), config, |_| {}).unwrap()
}

#[test]
fn every_strategy_meets_every_task_with_every_seed() {
    let directory = TempDir::new().unwrap();
    let config = config(directory.path());
    let comparison = compared(&config);
    let cells: Vec<_> = comparison
        .cells
        .iter()
        .map(|cell| (cell.strategy, cell.task.as_str(), cell.seed))
        .collect();
    let mut expected = Vec::new();
    for strategy in STRATEGIES {
        expected.extend([(strategy, "cities", 5), (strategy, "cities", 6)]);
        expected.extend([(strategy, "opinions", 5), (strategy, "opinions", 6)]);
    }
    assert_eq!(cells, expected);
    for cell in &comparison.cells {
        assert!((0.0..=1.0).contains(&cell.scores.main_score()), "{cell:?}");
        assert_eq!(matches!(cell.scores, Scores::Ner(_)), cell.task == "cities", "{cell:?}");
    }
    let strategies: Vec<Strategy> =
        comparison.outcomes.iter().map(|outcome| outcome.strategy).collect();
    assert_eq!(strategies, STRATEGIES);
    for outcome in &comparison.outcomes {
        assert_eq!(outcome.steps.len(), if outcome.strategy == Strategy::NONE { 0 } else { STEPS });
        assert!(outcome.adapters.keys().eq(["cities", "opinions"]));
    }
}

/// The adapters that are kept are those of the first seed, start from their family's, and give the
/// scores of their cells.
#[test]
fn the_adapters_kept_are_those_scored() {
    let directory = TempDir::new().unwrap();
    let comparison = compared(&config(directory.path()));
    for outcome in &comparison.outcomes {
        for task in tasks() {
            let adapter = &outcome.adapters[&task.name];
            assert_eq!(adapter.card.backbone, outcome.prefinetuned.backbone.fingerprint());
            assert_eq!(adapter.card.training["config"]["seed"], 5);
            let start = if outcome.strategy == Strategy::TPL { "adapter" } else { "fresh" };
            assert_eq!(adapter.card.training["started_from"], start);
            let scores =
                evaluate(&outcome.prefinetuned.backbone, adapter, task.test.as_ref().unwrap())
                    .unwrap();
            let cell = comparison
                .cells
                .iter()
                .find(|cell| cell.strategy == outcome.strategy && cell.task == task.name);
            assert_eq!(scores.main_score(), cell.unwrap().scores.main_score());
        }
    }
}

/// The reference with two encoders has its row too: its tasks are fine-tuned and scored on both.
#[test]
fn cross_stitch_is_compared_on_both_of_its_columns() {
    let directory = TempDir::new().unwrap();
    let mut config = config(directory.path());
    config.strategies = vec![Strategy::CROSS_STITCH];
    let comparison = compared(&config);
    let outcome = &comparison.outcomes[0];
    for task in tasks() {
        let adapter = &outcome.adapters[&task.name];
        assert_eq!(adapter.card.backbone, FrozenEncoder::from(&outcome.prefinetuned).fingerprint());
        let scores = evaluate(&outcome.prefinetuned, adapter, task.test.as_ref().unwrap()).unwrap();
        assert_eq!(
            comparison.main_scores(Strategy::CROSS_STITCH, &task.name)[0],
            scores.main_score()
        );
    }
}

#[test]
fn progress_is_told_as_it_happens() {
    let directory = TempDir::new().unwrap();
    let (mut prefinetune, mut finetune, mut scored) = (0, 0, 0);
    compare(&tiny_bert(), &tasks(), &config(directory.path()), |event| match event {
        Event::Prefinetune(strategy, report) => {
            prefinetune += 1;
            assert_eq!((strategy, report.step), (Strategy::TPL, prefinetune));
        }
        Event::Finetune(_, _, _, step) => {
            assert_eq!((step.step, step.steps), (finetune % FINETUNE_STEPS + 1, FINETUNE_STEPS));
            finetune += 1;
        }
        Event::Scored(_) => {
            scored += 1;
            assert_eq!(finetune, scored * FINETUNE_STEPS);
        }
        event => panic!("{event:?}"),
    })
    .unwrap();
    assert_eq!((prefinetune, finetune, scored), (STEPS, 8 * FINETUNE_STEPS, 8));
}

#[test]
fn the_report_holds_every_figure() {
    let directory = TempDir::new().unwrap();
    let config = config(directory.path());
    let comparison = compared(&config);
    let mut report = Report::new(&tasks(), &config, &comparison);
    assert_eq!(
        (&report.backbone, report.seconds),
        (&config.prefinetune.backbone, comparison.seconds)
    );
    (report.backbone, report.seconds) = ("tiny".into(), 1.5);
    let json = serde_json::to_value(&report).unwrap();
    let lengths =
        ["tasks", "strategies", "cells", "seeds"].map(|key| json[key].as_array().unwrap().len());
    assert_eq!(lengths, [2, 2, 8, 2]);
    assert_eq!((&json["backbone"], &json["seconds"]), (&"tiny".into(), &1.5.into()));
    assert_eq!((&json["tasks"][1]["family"], &json["tasks"][1]["test"]), (&"tc".into(), &3.into()));
    assert_eq!(json["strategies"][1]["steps"].as_array().unwrap().len(), STEPS);

    for (row, strategy) in report.strategies.iter().zip(STRATEGIES) {
        for task in ["cities", "opinions"] {
            let scores = comparison.main_scores(strategy, task);
            let mean = (scores[0] + scores[1]) / 2.0;
            assert!(row.tasks[task].n == 2 && (row.tasks[task].mean - mean).abs() < 1e-12);
        }
        // With one task in each family, its mean is the family's.
        assert_eq!(row.families[&Family::Ner], row.tasks["cities"]);
        assert_eq!(row.families[&Family::Tc], row.tasks["opinions"]);
    }
}

#[test]
fn the_table_has_a_row_for_each_strategy() {
    let directory = TempDir::new().unwrap();
    let config = config(directory.path());
    let comparison = compared(&config);
    let report = Report::new(&tasks(), &config, &comparison);
    let table = table(&report);
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert_eq!(lines[0], ["strategy", "cities", "opinions", "NER", "mean", "TC", "mean"]);
    for (line, row) in lines[1..].iter().zip(&report.strategies) {
        let points = |task: &str| format!("{:.1}", 100.0 * row.tasks[task].mean);
        assert_eq!(
            line[..3],
            [row.strategy.name.to_string(), points("cities"), points("opinions")]
        );
        assert_eq!(line.iter().filter(|word| **word == "±").count(), 2, "{table}");
    }
}

#[test]
fn a_task_without_a_test_split_is_refused_before_anything_is_trained() {
    let directory = TempDir::new().unwrap();
    let mut tasks = tasks();
    tasks[1].test = None;
    let trained = |event: Event| panic!("{event:?}");
    let error = compare(&tiny_bert(), &tasks, &config(directory.path()), trained).unwrap_err();
    assert!(
        matches!(error, TrainError::Init(_))
            && error.to_string().contains("\"opinions\" has no test split"),
        "{error}"
    );
}
