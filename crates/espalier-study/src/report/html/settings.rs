//! How the scores were made: data, settings, machine, and their limits.

use super::text::{FAMILIES, counted, duration, escape, listed, points};
use crate::report::Report;
use espalier_data::CorpusConfig;
use espalier_encoder::{LoraConfig, Module};
use serde::Serialize;

type Setting = (&'static str, String);

/// The section.
pub fn section(report: &Report) -> String {
    let groups = [
        group("Pre-finetuning", &prefinetuning(report)),
        group("Family adapters", &family_adapters(report)),
        group("Fine-tuning", &finetuning(report)),
        group("Run", &run(report)),
    ];
    format!(
        "<section>\n<h2>How this was made</h2>\n{}{}<div \
         class=\"settings\">\n{}</div>\n</section>\n",
        caveats(report),
        tasks(report),
        groups.concat()
    )
}

/// The limits of the scores, which a reader might overlook.
fn caveats(report: &Report) -> String {
    let mut notes = vec![
        format!(
            "Each strategy was pre-finetuned once (seed {}). The intervals cover the seeds of \
             fine-tuning, not another run of pre-finetuning.",
            report.prefinetune.seed
        ),
        "Steps, batches and learning rates of fine-tuning are the same for every strategy. \
         Adapters start fresh, but from their family’s where the strategy (tpl, adapters-only) \
         has trained one."
            .into(),
    ];
    let sizes = report.tasks.iter().map(|task| task.test).filter(|&test| test > 0);
    if let (Some(least), Some(most)) = (sizes.clone().min(), sizes.max()) {
        // 1.96 standard errors of a share of 0.8, by the normal approximation of the binomial
        // distribution.
        let error = 1.96 * (0.8 * 0.2 / least as f64).sqrt();
        let sizes = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let size = if least < 2000 { "small " } else { "" };
        notes.insert(
            0,
            format!(
                "Scores are on {size}test samples of {sizes} examples: 80 % right of {least} is \
                 uncertain by ±\u{a0}{} points by the choice of examples alone. All strategies \
                 see the same ones, so differences are surer than levels.",
                points(error)
            ),
        );
    }
    let notes: String = notes.iter().map(|note| format!("<li>{note}</li>\n")).collect();
    format!("<ul class=\"notes\">\n{notes}</ul>\n")
}

fn tasks(report: &Report) -> String {
    if report.tasks.is_empty() {
        return String::new();
    }
    let tasks = FAMILIES
        .into_iter()
        .flat_map(|family| report.tasks.iter().filter(move |task| task.family == family));
    let rows = tasks.map(|task| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&task.name),
            task.family.name().to_uppercase(),
            task.labels,
            task.train,
            task.test
        )
    });
    let columns = ["task", "family", "labels", "training examples", "test examples"];
    format!(
        "<div class=\"scroll\"><table \
         class=\"tasks\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
        columns.map(|title| format!("<th scope=\"col\">{title}</th>")).concat(),
        rows.collect::<String>()
    )
}

fn group(title: &str, settings: &[Setting]) -> String {
    let rows: String = settings
        .iter()
        .map(|(name, value)| {
            format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(value))
        })
        .collect();
    format!("<div><h3>{title}</h3>\n<table class=\"words\"><tbody>\n{rows}</tbody></table></div>\n")
}

fn prefinetuning(report: &Report) -> Vec<Setting> {
    let (train, ner, tc) =
        (&report.prefinetune.train, &report.prefinetune.ner, &report.prefinetune.tc);
    vec![
        ("steps", train.steps.to_string()),
        (
            "optimizer",
            format!(
                "{}, weight decay {}, clipped at {}",
                variant_name(&train.optimizer),
                train.weight_decay,
                train.clip_norm
            ),
        ),
        (
            "learning rate",
            format!(
                "{:e}, {} after {} warm-up",
                train.learning_rate,
                variant_name(&train.schedule),
                percent(train.warmup)
            ),
        ),
        ("embeddings", if train.freeze_embeddings { "frozen" } else { "trained" }.into()),
        ("NER batch", format!("{} sentences, weight {}", ner.batch, ner.weight())),
        (
            "NER score",
            format!(
                "{} × cosine {} {}",
                ner.scale,
                if ner.bias < 0.0 { '−' } else { '+' },
                ner.bias.abs()
            ),
        ),
        ("NER projections", format!("learning rate {:e}", ner.projection_group.learning_rate)),
        ("NER corpora", corpora(&ner.corpora)),
        ("TC batch", format!("{} pairs, weight {}", tc.batch, tc.weight)),
        ("TC temperature", format!("{}, {} pooling", tc.temperature, variant_name(&tc.pooling))),
        ("TC corpora", format!("{}; drawn by size^{}", corpora(&tc.corpora), tc.source_exponent)),
    ]
}

fn family_adapters(report: &Report) -> Vec<Setting> {
    let adapter = &report.prefinetune.adapter;
    vec![
        (
            "layers",
            if adapter.layers == 0 {
                "the last third".into()
            } else {
                format!("the last {}", adapter.layers)
            },
        ),
        ("LoRA", format!("rank {}, alpha {}", adapter.rank, adapter.alpha)),
        ("modules", modules(&adapter.modules)),
        (
            "learning rate",
            format!(
                "{:e}, weight decay {}",
                adapter.group.learning_rate, adapter.group.weight_decay
            ),
        ),
    ]
}

fn finetuning(report: &Report) -> Vec<Setting> {
    let finetune = &report.finetune;
    let seeds: Vec<String> = report.seeds.iter().map(u64::to_string).collect();
    vec![
        ("steps", format!("{} of {} examples", finetune.steps, finetune.batch)),
        (
            "learning rate",
            format!("adapter {:e}, head {:e}", finetune.learning_rate, finetune.head_learning_rate),
        ),
        ("schedule", format!("linear after {} warm-up", percent(finetune.warmup))),
        ("weight decay", format!("{}, clipped at {}", finetune.weight_decay, finetune.clip_norm)),
        (
            "fresh adapter",
            finetune
                .lora
                .as_ref()
                .map_or("all modules of the last third of the layers".into(), lora),
        ),
        ("seeds", listed(&seeds)),
    ]
}

fn run(report: &Report) -> Vec<Setting> {
    let mut settings = vec![
        ("backbone", report.backbone.clone()),
        ("program", format!("espalier {}", report.version)),
        ("machine", report.machine.clone()),
        ("duration", duration(report.seconds)),
    ];
    let prefinetuned: Vec<String> = report
        .strategies
        .iter()
        .filter(|row| !row.steps.is_empty())
        .map(|row| format!("{} {}", row.strategy, duration(row.seconds)))
        .collect();
    if !prefinetuned.is_empty() {
        settings.push(("pre-finetuning", prefinetuned.join(", ")));
    }
    if !report.cells.is_empty() {
        let seconds: f64 = report.cells.iter().map(|cell| cell.seconds).sum();
        let each = seconds / report.cells.len() as f64;
        let n = counted(report.cells.len(), "adapter", "adapters");
        settings.push(("fine-tuning", format!("{n}, {} each on average", duration(each))));
    }
    settings
}

fn lora(lora: &LoraConfig) -> String {
    format!(
        "last {} layers, rank {}, alpha {}; {}",
        lora.layers,
        lora.rank,
        lora.alpha,
        modules(&lora.modules)
    )
}

fn modules(modules: &[Module]) -> String {
    match Module::ALL.iter().all(|module| modules.contains(module)) {
        true => "all linear modules".into(),
        false => listed(&modules.iter().map(variant_name).collect::<Vec<_>>()),
    }
}

/// File names only: directories may be private.
fn corpora(corpora: &[CorpusConfig]) -> String {
    let names = corpora.iter().map(|corpus| {
        let name = corpus.path.file_name().unwrap_or(corpus.path.as_os_str());
        CorpusConfig { path: name.into(), weight: corpus.weight }.to_string()
    });
    match corpora.is_empty() {
        true => "none".into(),
        false => listed(&names.collect::<Vec<_>>()),
    }
}

/// An enum variant without fields, by its name in configurations.
fn variant_name(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => String::new(),
    }
}

fn percent(share: f32) -> String {
    format!("{:.0} %", 100.0 * share)
}
