use crate::input::read_lines;
use crate::output;
use anyhow::ensure;
use espalier_runtime::{Answer, Runtime, TextAnswers};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Answer texts with adapters: entities with their offsets in characters, or labels
///
/// Reads one text per line. With several adapters, the layers that they share run once per text.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier demo
         echo 'wake me up at seven' | espalier predict --backbone espalier-demo/backbone \\
             --adapter espalier-demo/adapters/clinc150 --adapter espalier-demo/adapters/wikigold")]
pub struct Args {
    #[command(flatten)]
    backbone: crate::backbone::BackboneArgs,
    /// Directory of an adapter (may be repeated)
    #[arg(long = "adapter", value_name = "DIR", required = true)]
    adapters: Vec<PathBuf>,
    /// File with one text per line [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print one JSON object per text
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let runtime = Runtime::new(args.backbone.open()?);
    let names = names(&args.adapters)?;
    for (name, directory) in names.iter().zip(&args.adapters) {
        runtime.attach(name, directory)?;
    }
    let texts = read_lines(args.input.as_deref())?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (text, answers) in texts.iter().zip(runtime.run(&texts, &names)?) {
        match args.json {
            true => output::json(&as_json(text, &names, &answers))?,
            false => {
                say!("{text}")?;
                for line in answer_lines(&names, &answers) {
                    say!("  {line}")?;
                }
            }
        }
    }
    Ok(())
}

/// The names of the adapters: those of their directories.
fn names(directories: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let name = |path: &PathBuf| {
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    };
    let names: Vec<String> = directories.iter().map(name).collect();
    for (index, name) in names.iter().enumerate() {
        ensure!(
            !names[..index].contains(name),
            "two adapters are named {name:?}; rename one of their directories"
        );
    }
    Ok(names)
}

fn as_json(text: &str, names: &[&str], answers: &TextAnswers) -> Value {
    let by_name: Map<String, Value> = names
        .iter()
        .zip(&answers.answers)
        .map(|(name, answer)| (name.to_string(), json!(answer)))
        .collect();
    json!({ "text": text, "truncated": answers.truncated, "answers": by_name })
}

/// The answers as text, one line per adapter.
pub fn answer_lines(names: &[&str], answers: &TextAnswers) -> Vec<String> {
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    let mut lines: Vec<String> = names
        .iter()
        .zip(&answers.answers)
        .map(|(name, answer)| format!("{name:width$}  {}", describe(answer)))
        .collect();
    if answers.truncated {
        lines.push("(too long for the model: the end of the text was not read)".into());
    }
    lines
}

/// An answer as text.
pub fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Entities(entities) if entities.is_empty() => "-".into(),
        Answer::Entities(entities) => {
            let entities = entities.iter().map(|e| {
                format!("{} = {:?} ({}..{}, {:.2})", e.label, e.text, e.start, e.end, e.score)
            });
            entities.collect::<Vec<_>>().join(", ")
        }
        Answer::Label { label, score, .. } => format!("{label} ({score:.2})"),
        Answer::Vector(vector) => {
            let head: Vec<String> = vector.iter().take(4).map(|x| format!("{x:.3}")).collect();
            format!("vector of {}: {} ...", vector.len(), head.join(" "))
        }
    }
}
