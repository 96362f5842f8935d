use crate::output;
use espalier_data::Task;
use espalier_study::{Scores, evaluate};
use espalier_train::finetune::FrozenEncoder;
use serde_json::json;
use std::path::PathBuf;

/// Score an adapter on the test or dev examples of a task
///
/// Prints strict and lenient F1 of entities, or accuracy and macro F1 of labels, in points (0 to
/// 100). For the two encoders of the strategy cross-stitch, give the directory of the run as
/// --backbone.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier evaluate --backbone run/backbone --adapter banking \\
             --task samples/tasks/banking77")]
pub struct Args {
    #[command(flatten)]
    backbone: crate::backbone::BackboneArgs,
    /// Directory of the adapter
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// Folder of the task
    #[arg(long, value_name = "DIR")]
    task: PathBuf,
    /// Split to score on: train, dev or test
    #[arg(long, default_value = "test")]
    split: String,
    /// Print scores (0 to 1) and counts as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let examples = Task::open_split(&args.task, &args.split)?;
    let (backbone, second) = args.backbone.open_encoders()?;
    let encoder = FrozenEncoder::new(&backbone, second.as_ref());
    let adapter = encoder.open_adapter(&args.adapter)?;
    if adapter.card.trained_on_words_of_files() {
        note!(
            "note: {} was trained by an earlier version, which took words from files as they \
             are; texts are now also split at punctuation (docs/formats.md). Train it again, or \
             it splits entities that contain punctuation",
            args.adapter.display()
        );
    }
    let scores = evaluate(encoder, &adapter, &examples)?;
    match args.json {
        true => output::json(
            &json!({ "split": args.split, "examples": examples.len(), "scores": scores }),
        ),
        false => print_scores(&format!("{} {}", args.task.display(), args.split), &scores),
    }
}

/// Prints scores in points (0 to 100), one per line.
pub fn print_scores(title: &str, scores: &Scores) -> anyhow::Result<()> {
    match scores {
        Scores::Ner(scores) => {
            for (name, s) in [("strict", &scores.strict), ("lenient", &scores.lenient)] {
                let [f1, precision, recall] = [s.f1, s.precision, s.recall].map(|x| 100.0 * x);
                say!("{title}: {name} F1 {f1:.1} (precision {precision:.1}, recall {recall:.1})")?;
            }
        }
        Scores::Classification(scores) => {
            say!(
                "{title}: accuracy {:.1}, macro F1 {:.1}",
                100.0 * scores.accuracy,
                100.0 * scores.macro_f1
            )?;
        }
        _ => say!("{title}: {} {:.1}", scores.main_metric(), 100.0 * scores.main_score())?,
    }
    Ok(())
}
