use crate::output;
use espalier_data::Task;
use espalier_study::{Scores, evaluate};
use espalier_train::finetune::Frozen;
use serde_json::json;
use std::path::PathBuf;

/// Score an adapter on a task
///
/// The directory of a run of the strategy cross-stitch, given for --backbone, stands for both of
/// its encoders.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier evaluate --backbone run/backbone --adapter banking \
                        --task samples/tasks/banking77")]
pub struct Args {
    #[command(flatten)]
    backbone: super::BackboneArgs,
    /// The adapter's directory
    #[arg(long, value_name = "DIR")]
    adapter: PathBuf,
    /// The task's folder
    #[arg(long, value_name = "DIR")]
    task: PathBuf,
    /// Which of its files: train, dev or test
    #[arg(long, default_value = "test")]
    split: String,
    /// Print scores as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let examples = Task::open_split(&args.task, &args.split)?;
    let (backbone, second) = args.backbone.open_columns()?;
    let encoder = Frozen::new(&backbone, second.as_ref());
    let adapter = encoder.open_adapter(&args.adapter)?;
    if adapter.card.tags_words_of_files() {
        note!(
            "note: {} was trained on the words of a file, at whose punctuation texts are cut now \
             (docs/formats.md); train it again, or it finds entities with punctuation in parts",
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

/// Scores in points, a line each.
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
    }
    Ok(())
}
