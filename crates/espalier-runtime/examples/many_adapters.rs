//! Ten adapters on one backbone: what the shared trunk saves.
//!
//! ```text
//! cargo run --release -p espalier-runtime --example many_adapters [BACKBONE_DIRECTORY]
//! ```
//!
//! Without a directory it takes the tiny BERT of the tests. The adapters are made up, on the last
//! third of the layers, so that the example needs no training; their answers are vectors.

use espalier_encoder::{Compute, Lora, LoraConfig};
use espalier_runtime::{Request, Runtime};
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

const TEXTS: [&str; 4] = [
    "wake me up at seven",
    "play some music by Bach",
    "is there a flight from Oslo to Lisbon on Friday?",
    "my card was declined",
];

fn main() -> Result<(), Box<dyn Error>> {
    let fixture =
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert"));
    let directory = std::env::args().nth(1).map_or_else(fixture, PathBuf::from);
    let runtime = Runtime::open_with(&directory, Compute::Auto)?;

    let config = &runtime.backbone().encoder.config;
    let shape = LoraConfig::for_layers(config.num_hidden_layers);
    let names: Vec<String> = (0..10).map(|n| format!("adapter {n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let mut lora = Lora::random_init(config, &shape, || 0.5);
        // A fresh one changes nothing yet.
        lora.values.fill(0.001 * (n + 1) as f32);
        runtime.attach_lora(name, &lora)?;
    }
    println!(
        "{} layers, attached on the last {}: {}",
        config.num_hidden_layers,
        shape.layers,
        runtime.names().join(", ")
    );

    let requests: Vec<Request> = names.iter().map(|name| Request::Adapter(name)).collect();
    runtime.run(&TEXTS, &requests)?; // the first run finds cold caches
    let start = Instant::now();
    let together = runtime.run(&TEXTS, &requests)?;
    println!("together:       {:?}", start.elapsed());

    let start = Instant::now();
    for (index, &request) in requests.iter().enumerate() {
        let alone = runtime.run(&TEXTS, &[request])?;
        assert!(
            alone
                .iter()
                .zip(&together)
                .all(|(alone, together)| alone.answers[0] == together.answers[index])
        );
    }
    println!("one by one:     {:?}, the same answers", start.elapsed());

    runtime.detach("adapter 3")?;
    match runtime.run(&TEXTS, &["adapter 3"]) {
        Ok(_) => unreachable!("it was detached"),
        Err(error) => println!("after detach:   {error}"),
    }
    Ok(())
}
