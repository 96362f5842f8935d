//! The model card: what the encoder is, what it was trained on, and how to use it.

use super::Summary;
use super::log::Line;
use super::settings::without_places;
use crate::config::{NerObjective, PrefinetuneConfig};
use crate::strategy::ObjectiveKind;
use espalier_encoder::text::{escape_control, escape_control_lines};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Steps whose losses are averaged at the beginning and at the end of a run.
const WINDOW: usize = 10;

/// The card's text: front matter as the Hugging Face hub reads it, then Markdown.
pub(super) fn card(config: &PrefinetuneConfig, summary: &Summary, metrics: &[Line]) -> String {
    let config = &without_places(config); // a card is published
    let sections = [
        front_matter(config),
        introduction(config, summary),
        data(config, summary),
        losses(metrics, summary),
        usage(config, summary),
        settings(config),
    ];
    escape_control_lines(&sections.join("\n")).into_owned()
}

/// A text as a value of YAML: an id of the hub as it is, others in quotes, which are those of JSON.
fn yaml(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    if is_plain { text.to_owned() } else { Value::from(&*escape_control(text)).to_string() }
}

/// A name as Markdown shows it: on one line, with everything out of force that would make a tag, a
/// link or a column of it.
fn markdown(name: &str) -> String {
    let mut shown = String::new();
    for c in escape_control(name).chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            '&' => shown.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' => shown.extend(['\\', c]),
            c => shown.push(c),
        }
    }
    shown
}

fn front_matter(config: &PrefinetuneConfig) -> String {
    // Ids of the hub have an owner; the name of a directory would mean another model there.
    let base = match config.backbone.contains('/') {
        true => format!("base_model: {}\n", yaml(&config.backbone)),
        false => String::new(),
    };
    let task = if guesses(config) { "fill-mask" } else { "feature-extraction" };
    format!(
        "---\n{base}library_name: transformers\npipeline_tag: {task}\ntags:\n- espalier\n- \
         {task}\n- text-classification\n- token-classification\n# license: choose one that the \
         corpora and the base model allow\n---\n"
    )
}

/// Whether the model has the head of masked language modelling.
fn guesses(config: &PrefinetuneConfig) -> bool {
    config.strategy.objectives.contains(&ObjectiveKind::Mlm)
}

fn introduction(config: &PrefinetuneConfig, summary: &Summary) -> String {
    let base = markdown(config.backbone.rsplit('/').next().unwrap_or_default());
    let title = match config.starts_from_scratch() {
        true => "An encoder from scratch".to_string(),
        false => {
            format!("{base}, {}", if guesses(config) { "trained further" } else { "pre-finetuned" })
        }
    };
    let how = match guesses(config) {
        true => "trained by masked language modelling ([BERT](https://arxiv.org/abs/1810.04805))"
            .to_string(),
        false => {
            format!(
                "pre-finetuned with the strategy `{}` of [MTPF-TPL](https://arxiv.org/abs/2510.07566)",
                config.strategy
            )
        }
    };
    let early = if summary.stopped_early { ", stopped early" } else { "" };
    let best = summary.best_step.map_or(String::new(), |step| {
        format!(" The weights are those of step {step}, the best in validation.")
    });
    format!(
        "# {title}\n\nA small encoder that many applications share, each with a small adapter of \
         its own. It was {how} for {} of {} steps{early}.{best}\n",
        summary.step, config.train.steps
    )
}

fn data(config: &PrefinetuneConfig, summary: &Summary) -> String {
    let mut text = String::from(
        "## Training data\n\n| objective | corpora | examples a step |\n|---|---|---|\n",
    );
    for &objective in config.strategy.objectives {
        let batch = match objective {
            ObjectiveKind::Ner => format!("{} sentences{}", config.ner.batch, teacher(config)),
            ObjectiveKind::Tc => format!("{} pairs", config.tc.batch),
            ObjectiveKind::Mlm => {
                format!("{} texts of up to {} tokens", config.mlm.batch, config.mlm.max_tokens)
            }
        };
        let corpora = config.corpora(objective);
        let names: Vec<_> = corpora.iter().map(|corpus| markdown(&corpus.to_string())).collect();
        // A string takes all that is written to it.
        let _ = writeln!(text, "| {} | {} | {batch} |", objective.name(), names.join(", "));
    }
    let _ =
        writeln!(text, "\nSeen in all: {} examples, {} tokens.", summary.examples, summary.tokens);
    text
}

/// What the sentences are for, where they are to distil on.
fn teacher(config: &PrefinetuneConfig) -> String {
    match (config.ner.objective(), &config.ner.teacher) {
        (NerObjective::Distill, Some(teacher)) => {
            format!(", distilled from {}", markdown(teacher))
        }
        _ => String::new(),
    }
}

fn losses(metrics: &[Line], summary: &Summary) -> String {
    let window = WINDOW.min(metrics.len());
    let (first, last) = (mean(&metrics[..window]), mean(&metrics[metrics.len() - window..]));
    let mut text = format!(
        "## Losses\n\n| objective | first {window} steps | last {window} steps | held-out \
         examples |\n|---|---|---|---|\n"
    );
    for (objective, first) in first {
        let last = last.get(&objective).copied().unwrap_or(first);
        let held_out = summary
            .validation
            .get(&objective)
            .map_or("none".to_string(), |loss| format!("{loss:.4}"));
        let _ = writeln!(text, "| {} | {first:.4} | {last:.4} | {held_out} |", objective.name());
    }
    text
}

/// Mean loss of each objective.
fn mean(lines: &[Line]) -> BTreeMap<ObjectiveKind, f64> {
    let mut means = BTreeMap::new();
    for (&objective, loss) in lines.iter().flat_map(|line| &line.losses) {
        *means.entry(objective).or_insert(0.0) += loss / lines.len() as f64;
    }
    means
}

fn usage(config: &PrefinetuneConfig, summary: &Summary) -> String {
    if config.strategy.family_encoders {
        return "## Use\n\n`backbone/` is the encoder of named entity recognition, `columns/tc/` \
                that of classification, and `columns/stitches.json` mixes what the two compute \
                layer by layer: neither is this model alone. It is a reference to compare with, \
                which the runtime for devices does not take. From the directory of this \
                card:\n\n\x20   espalier finetune --backbone . --task TASK --out ADAPTER\n\x20   \
                espalier evaluate --backbone . --adapter ADAPTER --task TASK --split dev\n"
            .into();
    }
    let init = match summary.adapters.first() {
        Some(family) => format!(" --init adapters/{}", family.name()),
        None => String::new(),
    };
    let guess = match guesses(config) {
        true => "\x20   espalier fill-mask --backbone backbone 'Paris is the [MASK] of France.'\n",
        false => "",
    };
    format!(
        "## Use\n\n`backbone/` is a Hugging Face directory: espalier, transformers and \
         sentence-transformers load it.\n\n{guess}\x20   espalier finetune --backbone \
         backbone{init} --task TASK --out ADAPTER\n\x20   espalier predict --backbone backbone \
         --adapter ADAPTER\n"
    )
}

fn settings(config: &PrefinetuneConfig) -> String {
    let toml = config.to_toml();
    // A text in the settings may hold a fence: ours is longer than any.
    let longest = toml.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("## Settings\n\n{fence}toml\n{toml}{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names() {
        let evil = "x|<script>`[a](javascript:b)\n# Title\u{1b}[31m\u{202e}";
        let config = PrefinetuneConfig {
            backbone: format!("owner/{evil}\nlicense: mit"),
            ner: crate::config::NerConfig { corpora: vec![evil.into()], ..Default::default() },
            tc: crate::config::TcConfig {
                corpora: vec!["a\n```\n<script>".into()],
                ..Default::default()
            },
            ..Default::default()
        };
        let summary = Summary {
            step: 1,
            stopped_early: false,
            best_step: None,
            validation: BTreeMap::new(),
            examples: 1,
            tokens: 1,
            adapters: Vec::new(),
            backbone: String::new(),
        };
        let card = card(&config, &summary, &[]);
        let (front, rest) = card[4..].split_once("---\n").unwrap();
        assert!(
            front.contains(r#"base_model: "owner/x|<script>`[a](javascript:b)\\n# Title"#),
            "{front}"
        );
        let (shown, settings) = rest.split_once("## Settings").unwrap();
        assert!(!shown.contains("<script") && !shown.contains("\n# Title"), "{shown}");
        assert!(!shown.contains("\nlicense: mit") && !front.contains("\nlicense: mit"), "{card}");
        assert!(!card.contains(|c| c != '\n' && espalier_encoder::text::is_hidden(c)), "{card:?}");
        let row = card.lines().find(|line| line.starts_with("| ner |")).unwrap();
        assert_eq!(row.replace("\\|", "").matches('|').count(), 4, "{row}");
        // The settings end where their fence does.
        let fence = settings.lines().nth(2).unwrap().trim_end_matches("toml");
        assert_eq!(card.lines().filter(|line| *line == fence).count(), 1, "{card}");
        assert!(card.ends_with(&format!("{fence}\n")), "{card}");
    }
}
