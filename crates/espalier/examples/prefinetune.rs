//! Pre-finetunes a backbone on two corpora, and fine-tunes an adapter that starts from a family's.
//!
//! ```text
//! cargo run --release -p espalier --example prefinetune [CONFIG.toml OUT]
//! ```
//!
//! CONFIG.toml has the settings, such as those in examples/prefinetune.toml, and the model is saved
//! to OUT. Without arguments, the tiny model of the tests is trained for a few steps.

use espalier::encoder::Family;
use espalier::prelude::*;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let config = match arguments.as_slice() {
        [] => tiny_config()?,
        [config, _] => PrefinetuneConfig::read(Path::new(config), &[])?,
        _ => return Err("give CONFIG.toml OUT, or nothing".into()),
    };
    let backbone = Backbone::from_pretrained(&config.backbone)?;
    let model = prefinetune(&backbone, &config, |step| {
        let losses: Vec<String> = step
            .losses
            .iter()
            .map(|(objective, loss)| format!("{} {loss:.4}", objective.name()))
            .collect();
        println!("step {} of {}: {}", step.step, step.steps, losses.join(", "));
    })?;
    if let [_, out] = arguments.as_slice() {
        model.save(Path::new(out), &config)?;
    }

    // The adapter of the family of classification is where adapters for its tasks start.
    let rows = [("a great hotel", "hotel"), ("trains to london", "train")];
    let examples = Examples::classification(rows)?;
    let init = model.adapters.get(&Family::Tc);
    let mut config = FinetuneConfig::default();
    config.steps = 20;
    let tuner = Finetuner::new(&model.backbone).init(init).config(config);
    let adapter = tuner.train(&examples, |_| {})?;
    println!("on the training rows: {:?}", evaluate(&model.backbone, &adapter, &examples)?);
    Ok(())
}

fn tiny_config() -> Result<PrefinetuneConfig, Box<dyn std::error::Error>> {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    let data = Path::new(fixtures).join("earlier/data");
    let mut config = PrefinetuneConfig::default();
    config.backbone = format!("{fixtures}/tiny-bert");
    config.strategy = "tpl".parse()?;
    config.ner.corpora = vec![data.join("concepts.jsonl").into()];
    config.tc.corpora = vec![data.join("pairs.jsonl").into()];
    (config.ner.batch, config.tc.batch, config.train.steps) = (8, 8, 10);
    Ok(config)
}
