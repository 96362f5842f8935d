//! Fine-tunes an adapter on a task, scores it, and saves it.
//!
//! ```text
//! cargo run --release -p espalier --example finetune BACKBONE TASK OUT
//! ```
//!
//! BACKBONE is a directory or a model id, TASK a folder with train.jsonl and test.jsonl, and OUT
//! the directory to save the adapter to. Without arguments, rows in memory train an adapter for the
//! tiny model of the tests, which is not saved.

use espalier::prelude::*;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => on_rows(),
        [backbone, task, out] => on_task(backbone, Path::new(task), Path::new(out)),
        _ => Err("give BACKBONE TASK OUT, or nothing".into()),
    }
}

fn on_task(backbone: &str, task: &Path, out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let backbone = Backbone::from_pretrained(backbone)?;
    let task = Task::open(task)?;
    let adapter = train(&backbone, &task.train, &FinetuneConfig::default())?;
    if let Some(test) = &task.test {
        println!("test: {:?}", evaluate(&backbone, &adapter, test)?);
    }
    adapter.save(out)?;
    Ok(())
}

fn on_rows() -> Result<(), Box<dyn std::error::Error>> {
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
    let backbone = Backbone::from_pretrained(tiny)?;
    let examples = Examples::classification([
        ("the cheap hotel near the station", "hotel"),
        ("a great hotel", "hotel"),
        ("cheap hotel in paris", "hotel"),
        ("trains to london", "train"),
        ("a train from paris", "train"),
        ("the trains to berlin", "train"),
    ])?;
    let mut config = FinetuneConfig::default();
    (config.steps, config.learning_rate) = (40, 0.01);
    let adapter = train(&backbone, &examples, &config)?;
    println!("train: {:?}", evaluate(&backbone, &adapter, &examples)?);
    Ok(())
}

fn train(
    backbone: &Backbone,
    examples: &Examples,
    config: &FinetuneConfig,
) -> espalier::Result<Adapter> {
    let adapter = Finetuner::new(backbone).config(config.clone()).train(examples, |step| {
        if step.step % 10 == 0 {
            println!("step {} of {}: loss {:.4}", step.step, step.steps, step.loss);
        }
    })?;
    Ok(adapter)
}
