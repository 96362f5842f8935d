use super::only_ours;
use super::predict::{answer_lines, describe};
use super::training::losses;
use crate::backbone;
use crate::output;
use crate::progress::Progress;
use espalier_data::Task;
use espalier_encoder::text::escape_control;
use espalier_encoder::{Backbone, Compute, files};
use espalier_runtime::Runtime;
use espalier_study::report::{Example, Report, html, table};
use espalier_study::{Comparison, ComparisonConfig, Event, compare};
use espalier_train::PrefinetuneConfig;
use espalier_train::strategy::Strategy;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The sample tasks: two of named entities, two of classification.
const TASKS: [&str; 4] = ["wikigold", "restaurant8k", "banking77", "clinc150"];

/// The sentence that all four adapters answer at the end.
const SENTENCE: &str = "Anna Kowalski wants a table for four in London tomorrow at 7 pm, but her \
                        new card was declined at Nobu.";

/// See the whole workflow on sample data: pre-finetune, fine-tune four tasks, compare, predict
///
/// Downloads all-MiniLM-L6-v2 if it is not cached; sample corpora and four tasks with few labels
/// are inside the program. Compares strategies of pre-finetuning by test scores over three seeds,
/// writes DIR/report.html and DIR/report.json, and saves the backbone and the adapters of the last
/// strategy in DIR. It takes a few minutes on two cores.
#[derive(clap::Args)]
#[command(after_help = "Example: espalier demo
  espalier demo --out demo --strategies none,tc,joint,pcgrad,tpl")]
pub struct Args {
    /// Directory to write to
    #[arg(long, default_value = "espalier-demo", value_name = "DIR")]
    out: PathBuf,
    /// The encoder to start from: a directory or a hub id
    #[arg(long, default_value = "sentence-transformers/all-MiniLM-L6-v2", value_name = "DIR|ID")]
    backbone: String,
    /// Strategies to compare, separated by commas; the encoder and the adapters of the last one are
    /// saved
    #[arg(long, value_delimiter = ',', default_value = "none,joint,tpl", value_name = "NAMES")]
    strategies: Vec<Strategy>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let start = Instant::now();
    anyhow::ensure!(
        args.strategies.last().is_some_and(|last| !last.family_encoders),
        "the demo ends with predictions of the last strategy, and the two encoders of \
         cross-stitch cannot be used for those; name it before others"
    );
    let data = args.out.join("data");
    // A single file of that name may be anybody's.
    if !SAMPLES.iter().all(|(path, _)| data.join(path).exists()) {
        only_ours(&args.out, &[], &[], "an earlier demo")?;
    }
    let backbone = backbone::open_trainable(&args.backbone, Compute::Auto)?;
    for (path, bytes) in SAMPLES {
        files::write_atomic(&data.join(path), bytes)?;
    }
    let tasks = TASKS.map(|name| Task::open(&data.join("tasks").join(name)));
    let tasks = tasks.into_iter().collect::<Result<Vec<_>, _>>()?;
    let config = config(&args.backbone, &data, args.strategies);
    let comparison = compare_with_progress(&backbone, &tasks, &config)?;

    let mut report = Report::new(&tasks, &config, &comparison);
    report.seconds = start.elapsed().as_secs_f64();
    save_last(&comparison, &config, &args.out)?;
    let (example, shown) = answer(&args.out)?;
    report.example = Some(example);
    files::write_json(&args.out.join("report.json"), &report)?;
    files::write_atomic(&args.out.join("report.html"), html(&report).as_bytes())?;

    let scores = "Test scores in points: strict entity F1 and accuracy, mean of";
    output::lines(format!(
        "\n{scores} {} seeds.\n\n{}\n{SENTENCE}\n{shown}\n",
        config.seeds.len(),
        table(&report)
    ))?;
    print_next_steps(&args.out, start.elapsed().as_secs_f64())
}

/// Small enough for a few minutes on two cores; all other settings are the defaults.
fn config(backbone: &str, data: &Path, strategies: Vec<Strategy>) -> ComparisonConfig {
    let mut prefinetune = PrefinetuneConfig::default();
    prefinetune.backbone = backbone.into();
    prefinetune.ner.corpora = vec![data.join("corpora/concepts.jsonl.gz").into()];
    prefinetune.tc.corpora = vec![data.join("corpora/pairs.jsonl.gz").into()];
    prefinetune.train.steps = 50;
    prefinetune.train.freeze_embeddings = true;
    prefinetune.tc.batch = 32;
    let mut config = ComparisonConfig::default();
    config.strategies = strategies;
    config.seeds = vec![0, 1, 2];
    config.prefinetune = prefinetune;
    (config.finetune.steps, config.finetune.batch) = (120, 12);
    config
}

fn compare_with_progress(
    backbone: &Backbone,
    tasks: &[Task],
    config: &ComparisonConfig,
) -> anyhow::Result<Comparison> {
    let mut progress: Option<Progress> = None;
    let comparison = compare(backbone, tasks, config, |event| match event {
        Event::Prefinetune(strategy, step) => {
            let title = || format!("{strategy}: pre-finetuning");
            progress.get_or_insert_with(|| Progress::new(&title(), step.steps)).step(
                step.step,
                step.steps,
                || losses(step),
            );
            if step.step == step.steps {
                progress.take().into_iter().for_each(|progress| progress.finish(&losses(step)));
            }
        }
        Event::Finetune(strategy, task, seed, step) => {
            progress
                .get_or_insert_with(|| {
                    Progress::new(&format!("{strategy}: {task}, seed {seed}"), step.steps)
                })
                .step(step.step, step.steps, || format!("loss {:.4}", step.loss));
        }
        Event::Scored(cell) => {
            let (name, score) = (cell.scores.main_metric(), 100.0 * cell.scores.main_score());
            progress
                .take()
                .into_iter()
                .for_each(|progress| progress.finish(&format!("{name} {score:.1}")));
        }
        _ => {}
    })?;
    Ok(comparison)
}

/// Saves the encoder, the family adapters and the task adapters of the last strategy.
fn save_last(comparison: &Comparison, config: &ComparisonConfig, out: &Path) -> anyhow::Result<()> {
    if let Some(outcome) = comparison.outcomes.last() {
        let mut settings = config.prefinetune.clone();
        settings.strategy = outcome.strategy;
        outcome.prefinetuned.save(out, &settings)?;
        for (task, adapter) in &outcome.adapters {
            adapter.save(&out.join("adapters").join(task))?;
        }
    }
    Ok(())
}

/// The answers of all four adapters to one sentence, by the files just written: for the report and
/// as lines to print.
fn answer(out: &Path) -> anyhow::Result<(Example, String)> {
    let runtime = Runtime::open(&out.join("backbone"))?;
    for name in TASKS {
        runtime.attach(name, &out.join("adapters").join(name))?;
    }
    let all = runtime.run(&[SENTENCE], &TASKS)?;
    let shown: Vec<String> = all
        .iter()
        .flat_map(|one| answer_lines(&TASKS, one))
        .map(|l| format!("  {}", escape_control(&l)))
        .collect();
    let answers = all.iter().flat_map(|one| TASKS.into_iter().zip(&one.answers));
    let answers = answers.map(|(name, answer)| (name.to_string(), describe(answer))).collect();
    Ok((Example::new(SENTENCE, answers), shown.join("\n")))
}

fn print_next_steps(out: &Path, seconds: f64) -> anyhow::Result<()> {
    let (out, family) = (out.display(), out.join("adapters/tc").exists());
    say!("")?;
    say!("{seconds:.0} s in all. The report: {out}/report.html. Next:")?;
    say!(
        "  echo 'wake me up at seven' | espalier predict --backbone {out}/backbone --adapter \
         {out}/adapters/clinc150"
    )?;
    let init = if family { format!(" --init {out}/adapters/tc") } else { String::new() };
    say!(
        "  espalier finetune --backbone {out}/backbone{init} --task YOUR_TASK --out YOUR_ADAPTER"
    )?;
    Ok(())
}

macro_rules! sample {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../../../samples/", $path)).as_slice())
    };
}

/// The sample data (samples/README.md says where they come from), inside the program.
const SAMPLES: [(&str, &[u8]); 12] = [
    sample!("LICENSES.md"),
    sample!("README.md"),
    sample!("corpora/concepts.jsonl.gz"),
    sample!("corpora/pairs.jsonl.gz"),
    sample!("tasks/wikigold/train.jsonl"),
    sample!("tasks/wikigold/test.jsonl.gz"),
    sample!("tasks/restaurant8k/train.jsonl"),
    sample!("tasks/restaurant8k/test.jsonl.gz"),
    sample!("tasks/banking77/train.jsonl"),
    sample!("tasks/banking77/test.jsonl.gz"),
    sample!("tasks/clinc150/train.jsonl"),
    sample!("tasks/clinc150/test.jsonl.gz"),
];
