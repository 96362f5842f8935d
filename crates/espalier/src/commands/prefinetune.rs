use crate::input::write_json;
use crate::progress::Progress;
use anyhow::Context;
use espalier_encoder::{Adapter, AdapterCard, Backbone, Family, Lora, Output, files};
use espalier_train::prefinetune::StepReport;
use espalier_train::{PrefinetuneConfig, Prefinetuned, prefinetune};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Train a shared encoder on both families' corpora
///
/// Writes DIR/backbone (a Hugging Face directory), DIR/adapters/ner and DIR/adapters/tc (PEFT, for strategies that have them),
/// DIR/config.toml (every setting) and DIR/metrics.jsonl (a line per step).
#[derive(clap::Args)]
#[command(after_help = "Example: espalier prefinetune examples/prefinetune.toml --set train.steps=100 --out run")]
pub struct Args {
    /// The configuration, a TOML file
    config: PathBuf,
    /// Override a setting, such as train.steps=100 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Short for --set train.optimizer=...: adamw or sgd
    #[arg(long, value_name = "NAME")]
    optimizer: Option<String>,
    /// Where the run goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(mut args: Args) -> anyhow::Result<()> {
    args.overrides.extend(args.optimizer.map(|name| format!("train.optimizer={name}")));
    let config = PrefinetuneConfig::read(&args.config, &args.overrides)?;
    config.check()?;
    let backbone = open(&config, &args.config)?;
    files::write_whole(&args.out.join("config.toml"), config.to_toml().as_bytes())?;
    let mut metrics = Metrics::create(&args.out.join("metrics.jsonl"))?;
    let mut progress = Progress::new(&format!("pre-finetuning ({})", config.strategy), config.train.steps);
    let trained = prefinetune(&backbone, &config, |step| {
        metrics.write(step);
        progress.step(step.step, step.steps, || losses(step));
    })?;
    metrics.finish()?;
    progress.finish("done");
    save(&trained, &config, &args.out)?;

    println!("{}", args.out.join("backbone").display());
    eprintln!("next: espalier finetune --backbone {0}/backbone{1} --task TASK --out ADAPTER", args.out.display(), {
        let family = trained.adapters.keys().next();
        family.map_or(String::new(), |family| format!(" --init {}/adapters/{}", args.out.display(), family.name()))
    });
    Ok(())
}

/// The backbone that the configuration names: a directory beside it, or whatever `--backbone` takes elsewhere.
pub(super) fn open(config: &PrefinetuneConfig, path: &Path) -> anyhow::Result<Backbone> {
    let beside = path.parent().unwrap_or(Path::new("")).join(&config.backbone);
    match beside.to_str().filter(|_| beside.exists()) {
        Some(beside) => super::open_trainable(beside, config.train.precision),
        None => super::open_trainable(&config.backbone, config.train.precision),
    }
}

/// The losses of a step, for a progress line.
pub fn losses(step: &StepReport) -> String {
    let losses = step.losses.iter().map(|(family, loss)| format!("{} {loss:.4}", family.name()));
    losses.collect::<Vec<_>>().join("  ")
}

/// Writes the encoder and its family adapters.
pub fn save(trained: &Prefinetuned, config: &PrefinetuneConfig, out: &Path) -> anyhow::Result<()> {
    trained.backbone.save(&out.join("backbone"))?;
    for (&family, lora) in &trained.adapters {
        family_adapter(trained, config, family, lora).save(&out.join("adapters").join(family.name()))?;
    }
    Ok(())
}

fn family_adapter(trained: &Prefinetuned, config: &PrefinetuneConfig, family: Family, lora: &Lora) -> Adapter {
    let training = BTreeMap::from([
        ("strategy".to_string(), config.strategy.name().into()),
        ("steps".to_string(), config.train.steps.into()),
        ("seed".to_string(), config.seed.into()),
    ]);
    let card = AdapterCard {
        format: AdapterCard::FORMAT,
        family,
        output: Output::Vectors,
        pooling: config.tc.pooling,
        backbone: trained.backbone.fingerprint().to_string(),
        training,
    };
    Adapter { lora: lora.clone(), head: None, card }
}

/// `metrics.jsonl`: one line per step. A write error is kept for the end, so that a full disk does not lose the training.
struct Metrics {
    path: PathBuf,
    out: BufWriter<File>,
    result: anyhow::Result<()>,
}

impl Metrics {
    fn create(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let file = File::create(path).with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_path_buf(), out: BufWriter::new(file), result: Ok(()) })
    }

    fn write(&mut self, step: &StepReport) {
        if self.result.is_ok() {
            self.result = write_json(&mut self.out, step);
        }
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.result.and_then(|()| Ok(self.out.flush()?)).with_context(|| self.path.display().to_string())
    }
}
