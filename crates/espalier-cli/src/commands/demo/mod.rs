mod samples;

use super::predict::{in_words, lines};
use super::training::losses;
use crate::output;
use crate::progress::Progress;
use espalier_data::Task;
use espalier_encoder::text::escape_control;
use espalier_encoder::{Backbone, Compute, files};
use espalier_runtime::Runtime;
use espalier_study::report::{Example, Report, html, table};
use espalier_study::{Comparison, ComparisonConfig, Event, compare};
use espalier_train::strategies::Strategy;
use espalier_train::{FinetuneConfig, PrefinetuneConfig};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The sentence that all four applications read at the end.
const SENTENCE: &str = "Anna Kowalski wants a table for four in London tomorrow at 7 pm, but her \
                        new card was declined at Nobu.";

/// Do the whole job on a small scale: pre-finetune, fine-tune four tasks, compare, and run them
///
/// Takes a real backbone, sample corpora and four tasks with few labels, compares strategies of
/// pre-finetuning, writes DIR/report.json and DIR/report.html, and leaves the last strategy's
/// backbone and its adapters in DIR. A few minutes on two cores.
#[derive(clap::Args)]
pub struct Args {
    /// Where everything goes
    #[arg(long, default_value = "espalier-demo", value_name = "DIR")]
    out: PathBuf,
    /// The encoder to start from: a directory or a hub id
    #[arg(long, default_value = "sentence-transformers/all-MiniLM-L6-v2", value_name = "DIR|ID")]
    backbone: String,
    /// What is compared; the encoder and the adapters of the last of them stay in DIR
    #[arg(long, value_delimiter = ',', default_value = "none,joint,tpl", value_name = "NAMES")]
    strategies: Vec<Strategy>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let start = Instant::now();
    anyhow::ensure!(
        args.strategies.last().is_some_and(|last| !last.has_family_columns()),
        "the demo ends with the last strategy's applications at work, which cross-stitch's two \
         encoders cannot be; name it before others"
    );
    let data = args.out.join("data");
    if !samples::are_in(&data) {
        super::only_ours(&args.out, &[], &[], "an earlier demo")?;
    }
    let backbone = super::open_trainable(&args.backbone, Compute::Auto)?;
    samples::write(&data)?;
    let tasks = samples::TASKS.map(|name| Task::open(&data.join("tasks").join(name)));
    let tasks = tasks.into_iter().collect::<Result<Vec<_>, _>>()?;
    let config = config(&args.backbone, &data, args.strategies);
    let comparison = compare_with_progress(&backbone, &tasks, &config)?;

    let mut report =
        Report::new(&args.backbone, &tasks, &config, &comparison, start.elapsed().as_secs_f64());
    leave_last(&comparison, &config, &args.out)?;
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

/// Small enough for a few minutes on two cores; everything else is the programs' defaults.
fn config(backbone: &str, data: &Path, strategies: Vec<Strategy>) -> ComparisonConfig {
    let mut prefinetune = PrefinetuneConfig { backbone: backbone.into(), ..Default::default() };
    prefinetune.ner.corpora = vec![data.join("corpora/concepts.jsonl.gz").into()];
    prefinetune.tc.corpora = vec![data.join("corpora/pairs.jsonl.gz").into()];
    prefinetune.train.steps = 50;
    prefinetune.train.freeze_embeddings = true;
    prefinetune.tc.batch = 32;
    ComparisonConfig {
        strategies,
        seeds: vec![0, 1, 2],
        prefinetune,
        finetune: FinetuneConfig { steps: 120, batch: 12, ..FinetuneConfig::default() },
    }
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
            let (name, score) = (cell.scores.headline_name(), 100.0 * cell.scores.headline());
            progress
                .take()
                .into_iter()
                .for_each(|progress| progress.finish(&format!("{name} {score:.1}")));
        }
    })?;
    Ok(comparison)
}

/// Writes the last strategy's encoder, family adapters and task adapters.
fn leave_last(
    comparison: &Comparison,
    config: &ComparisonConfig,
    out: &Path,
) -> anyhow::Result<()> {
    if let Some(outcome) = comparison.outcomes.last() {
        let settings =
            PrefinetuneConfig { strategy: outcome.strategy, ..config.prefinetune.clone() };
        outcome.prefinetuned.save(out, &settings)?;
        for (task, adapter) in &outcome.adapters {
            adapter.save(&out.join("adapters").join(task))?;
        }
    }
    Ok(())
}

/// All four applications on one sentence, from the files just written.
fn answer(out: &Path) -> anyhow::Result<(Example, String)> {
    let runtime = Runtime::open(&out.join("backbone"))?;
    for name in samples::TASKS {
        runtime.attach(name, &out.join("adapters").join(name))?;
    }
    let all = runtime.run(&[SENTENCE], &samples::TASKS)?;
    let shown: Vec<String> = all
        .iter()
        .flat_map(|one| lines(&samples::TASKS, one))
        .map(|l| format!("  {}", escape_control(&l)))
        .collect();
    let answers = all.iter().flat_map(|one| samples::TASKS.into_iter().zip(&one.answers));
    let answers = answers.map(|(name, answer)| (name.to_string(), in_words(answer))).collect();
    Ok((Example { text: SENTENCE.into(), answers }, shown.join("\n")))
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
