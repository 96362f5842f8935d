//! A made-up report for the tests of the page.

use crate::compare::Cell;
use crate::evaluate::Scores;
use crate::metrics::{ClassificationScores, EntityScores, NerScores};
use crate::report::{Example, Report, StrategySummary, TaskSummary};
use crate::statistics::Mean;
use espalier_encoder::Family;
use espalier_train::strategy::Strategy;
use espalier_train::trainer::StepReport;
use std::collections::BTreeMap;

/// Family, name, score of `none`.
const TASKS: [(Family, &str, f64); 4] = [
    (Family::Ner, "restaurant8k", 0.702),
    (Family::Ner, "wikigold", 0.541),
    (Family::Tc, "banking77", 0.836),
    (Family::Tc, "clinc150", 0.872),
];

/// Every strategy on four tasks with three seeds.
pub fn report() -> Report {
    let seeds = vec![0, 1, 2];
    let cells: Vec<Cell> = Strategy::ALL
        .into_iter()
        .flat_map(|strategy| TASKS.map(|task| (strategy, task)))
        .flat_map(|(strategy, task)| [0, 1, 2].map(|seed| cell(strategy, task, seed)))
        .collect();
    Report {
        backbone: "sentence-transformers/all-MiniLM-L6-v2".into(),
        version: "0.1.0",
        machine: "amx, 2 threads".into(),
        seconds: 214.0,
        tasks: TASKS
            .map(|(family, name, _)| TaskSummary {
                name: name.into(),
                family,
                train: 150,
                test: 600,
                labels: 5,
            })
            .into(),
        strategies: Strategy::ALL.map(|strategy| summary(strategy, &cells)).into(),
        cells,
        prefinetune: Default::default(),
        finetune: Default::default(),
        seeds,
        example: Some(Example {
            text: "Anna Kowalski wants a table for four in London tomorrow at 7 pm.".into(),
            answers: vec![
                ("restaurant8k".into(), "four (people), tomorrow (date), 7 pm (time)".into()),
                ("clinc150".into(), "restaurant_reservation (0.94)".into()),
            ],
        }),
    }
}

/// The position of a strategy among all.
fn place(strategy: Strategy) -> f64 {
    Strategy::ALL.iter().position(|known| *known == strategy).unwrap_or(Strategy::ALL.len()) as f64
}

/// A score that depends on everything a little, as noise would.
fn cell(strategy: Strategy, (family, task, base): (Family, &str, f64), seed: u64) -> Cell {
    let gain = match (strategy, family) {
        (Strategy::NER, Family::Ner) => 0.041,
        (Strategy::NER, Family::Tc) => -0.024,
        (Strategy::TC, Family::Ner) => -0.006,
        (Strategy::TC, Family::Tc) => 0.021,
        (Strategy::JOINT, _) => 0.012,
        (Strategy::TPL, Family::Ner) => 0.039,
        (Strategy::TPL, Family::Tc) => 0.019,
        (Strategy::PCGRAD, _) => 0.017,
        (Strategy::CROSS_STITCH, _) => 0.015,
        (Strategy::ADAPTERS_ONLY, _) => 0.008,
        _ => 0.0,
    };
    let noise = 0.006 * wave(7.0 * seed as f64 + base * 100.0 + place(strategy));
    let score = base + gain + noise;
    let entities = |f1: f64| EntityScores {
        precision: f1 - 0.02,
        recall: f1 + 0.02,
        f1,
        gold: 812,
        predicted: 840,
        correct: 560,
    };
    let scores = match family {
        Family::Ner => Scores::Ner(NerScores {
            strict: entities(score),
            lenient: entities(score + 0.013),
            per_label: BTreeMap::new(),
        }),
        Family::Tc => Scores::Classification(ClassificationScores {
            accuracy: score,
            macro_f1: score - 0.011,
            n: 616,
        }),
    };
    Cell { strategy, task: task.into(), seed, scores, seconds: 2.4 + noise }
}

fn summary(strategy: Strategy, cells: &[Cell]) -> StrategySummary {
    let scores = |task: &str, seed: Option<u64>| -> Vec<f64> {
        let of_task = cells.iter().filter(|cell| cell.strategy == strategy && cell.task == task);
        of_task
            .filter(|cell| seed.is_none_or(|seed| cell.seed == seed))
            .map(|cell| cell.scores.main_score())
            .collect()
    };
    let of_family = |family: Family| {
        let seed_mean = |seed| {
            let tasks = TASKS.iter().filter(|task| task.0 == family);
            Mean::of(&tasks.flat_map(|task| scores(task.1, Some(seed))).collect::<Vec<_>>()).mean
        };
        (family, Mean::of(&[0, 1, 2].map(seed_mean)))
    };
    let loss = |family, step: usize| {
        let time = step as f64 / 30.0;
        let (start, end) = if family == Some(Family::Ner) { (0.42, 0.11) } else { (2.3, 0.7) };
        let harm = if strategy == Strategy::JOINT { 1.15 } else { 1.0 };
        (start - end) * (-time).exp()
            + end * harm * (1.0 + 0.2 * wave(step as f64 * 1.7 + place(strategy)))
    };
    let step = |step| StepReport {
        step,
        steps: 100,
        losses: strategy
            .objectives
            .iter()
            .map(|&objective| (objective, loss(objective.family(), step)))
            .collect(),
        seconds: 0.2,
        ..StepReport::default()
    };
    StrategySummary {
        strategy,
        seconds: 0.2 * 100.0,
        tasks: TASKS.iter().map(|task| (task.1.into(), Mean::of(&scores(task.1, None)))).collect(),
        families: [Family::Ner, Family::Tc].map(of_family).into(),
        steps: if strategy == Strategy::NONE { Vec::new() } else { (1..=100).map(step).collect() },
    }
}

/// Between -1 and 1, without a pattern that shows.
fn wave(x: f64) -> f64 {
    (12.9898 * x + (x * x).cos()).sin()
}
