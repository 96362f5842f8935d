use super::training::{TrainingArgs, quoted};
use espalier_train::config::NerObjective;
use espalier_train::strategies::Strategy;

/// Make a teacher: a larger encoder that learns to tell concepts, for small ones to learn from
///
/// Contrasts tokens with the concepts that they are instances of (NuNER, arXiv 2402.15343):
/// prefinetune with the strategy ner and the objective concepts, whatever the configuration says.
/// Everything else is as there: DIR/backbone is the teacher, and a run that was killed or
/// interrupted goes on with --resume. With ner.keep_concepts, DIR/concepts keeps what tells
/// concepts by their names.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier teach examples/teach.toml --out teacher
         espalier prefinetune examples/prefinetune.toml --set ner.teacher=teacher/backbone --out \
                        run")]
pub struct Args {
    #[command(flatten)]
    training: TrainingArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let mut config = args.training.settings(&[])?;
    config.strategy = Strategy::Ner;
    config.ner.objective = Some(NerObjective::Concepts);
    let teacher = quoted(&args.training.encoder(&config));
    let next = format!("espalier prefinetune CONFIG.toml --set ner.teacher={teacher} --out RUN");
    args.training.train(&config, "teach", |_| next.clone())
}
