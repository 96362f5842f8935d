//! Loads a backbone, attaches adapters and answers lines of standard input.
//!
//! ```text
//! echo "wake me up at seven" | cargo run --release -p espalier --example runtime BACKBONE ADAPTER...
//! ```
//!
//! BACKBONE is a directory, a packed file or a model id, and each ADAPTER a directory that
//! `espalier finetune` wrote. Without arguments, texts are embedded by the tiny model of the tests.

use espalier::prelude::*;
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/tiny-bert");
    let runtime = Runtime::from_pretrained(&arguments.next().unwrap_or(tiny.into()))?;
    let adapters: Vec<String> = arguments.collect();
    for directory in &adapters {
        runtime.attach(directory, Path::new(directory))?;
    }
    let mut requests: Vec<Request> = adapters.iter().map(|name| Request::Adapter(name)).collect();
    if requests.is_empty() {
        requests.push(Request::Plain);
    }

    let mut texts: Vec<String> = vec!["a cheap hotel near the station".into()];
    if !io::stdin().is_terminal() {
        let lines = io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?;
        texts.splice(0..usize::from(!lines.is_empty()), lines);
    }
    for (text, answers) in texts.iter().zip(runtime.run(&texts, &requests)?) {
        println!("{text}");
        for answer in answers.answers {
            match answer {
                Answer::Entities(entities) => {
                    for entity in entities {
                        println!("  {}: {} ({:.2})", entity.label, entity.text, entity.score);
                    }
                }
                Answer::Label { label, score, .. } => println!("  {label} ({score:.2})"),
                Answer::Vector(vector) => println!("  {:.3?}...", &vector[..4]),
            }
        }
    }
    Ok(())
}
