use super::training::{TrainingArgs, quoted};
use espalier_train::config::NerObjective;
use espalier_train::strategy::Strategy;

/// Train a teacher: a larger encoder that recognises concepts, for small encoders to distil from
///
/// Contrasts tokens with the concepts that they are instances of (NuNER, arXiv 2402.15343). This is
/// espalier prefinetune with the strategy ner and the objective concepts, whatever the
/// configuration says; files and --resume are the same. DIR/backbone is the teacher. With
/// ner.keep_concepts=true, DIR/concepts also keeps the encoder of the concepts' names.
#[derive(clap::Args)]
#[command(after_help = "\
Example: espalier teach examples/teach.toml --out teacher
         espalier prefinetune examples/prefinetune.toml --set ner.teacher=teacher/backbone \\
             --out run")]
pub struct Args {
    #[command(flatten)]
    training: TrainingArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let mut config = args.training.settings(&[])?;
    config.strategy = Strategy::NER;
    config.ner.objective = Some(NerObjective::Concepts);
    let teacher = quoted(&args.training.encoder(&config));
    let next = format!("espalier prefinetune CONFIG.toml --set ner.teacher={teacher} --out RUN");
    args.training.train(&config, "teach", |_| next.clone())
}
