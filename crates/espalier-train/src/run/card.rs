//! The model card, `README.md` of a run: what the model is, its training data, and how to use it.

use super::Summary;
use super::log::Line;
use super::settings::without_directories;
use crate::config::{NerObjective, PrefinetuneConfig};
use crate::strategy::ObjectiveKind;
use espalier_encoder::text::{escape_control, escape_control_lines};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The number of steps whose losses are averaged, at the beginning and at the end of the run.
const WINDOW: usize = 10;

/// The text of the card: YAML front matter for the Hugging Face hub, then Markdown.
pub(super) fn card(config: &PrefinetuneConfig, summary: &Summary, metrics: &[Line]) -> String {
    let config = &without_directories(config); // cards are published: no paths of this machine
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

/// A text as a YAML value: a hub id without quotes, any other text with the quotes of JSON.
fn yaml(text: &str) -> String {
    let unquoted = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let is_unquoted =
        text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(unquoted);
    if is_unquoted { text.to_owned() } else { Value::from(&*escape_control(text)).to_string() }
}

/// Escapes a name for Markdown, so that it stays on one line and is not a tag, a link or a column
/// of a table.
fn markdown(name: &str) -> String {
    let mut escaped = String::new();
    for c in escape_control(name).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '|' | '`' | '*' | '[' | ']' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}

fn front_matter(config: &PrefinetuneConfig) -> String {
    // Hub ids contain an owner. The name of a directory could be the id of another model.
    let base = match config.backbone.contains('/') {
        true => format!("base_model: {}\n", yaml(&config.backbone)),
        false => String::new(),
    };
    let task = if has_mlm_head(config) { "fill-mask" } else { "feature-extraction" };
    format!(
        "---\n{base}library_name: transformers\npipeline_tag: {task}\ntags:\n- espalier\n- \
         {task}\n- text-classification\n- token-classification\n# license: choose one that the \
         corpora and the base model allow\n---\n"
    )
}

/// Whether the model has a masked-LM head.
fn has_mlm_head(config: &PrefinetuneConfig) -> bool {
    config.strategy.objectives.contains(&ObjectiveKind::Mlm)
}

fn introduction(config: &PrefinetuneConfig, summary: &Summary) -> String {
    let base = markdown(config.backbone.rsplit('/').next().unwrap_or_default());
    let title = match config.starts_from_scratch() {
        true => "An encoder from scratch".to_string(),
        false => {
            let how = if has_mlm_head(config) { "further pretrained" } else { "pre-finetuned" };
            format!("{base}, {how}")
        }
    };
    let how = match has_mlm_head(config) {
        true => "trained by masked language modelling ([BERT](https://arxiv.org/abs/1810.04805))"
            .to_string(),
        false => format!(
            "pre-finetuned with the strategy `{}` of \
             [MTPF-TPL](https://arxiv.org/abs/2510.07566)",
            config.strategy
        ),
    };
    let early = if summary.stopped_early { ", stopped early" } else { "" };
    let best = summary.best_step.map_or(String::new(), |step| {
        format!(" The weights are those of step {step}, which has the best validation loss.")
    });
    format!(
        "# {title}\n\nA small encoder, to be shared by many applications, each with its own small \
         adapter. It was {how} for {} of {} steps{early}.{best}\n",
        summary.step, config.train.steps
    )
}

fn data(config: &PrefinetuneConfig, summary: &Summary) -> String {
    let mut text = String::from(
        "## Training data\n\n| objective | corpora | examples per step |\n|---|---|---|\n",
    );
    for &objective in config.strategy.objectives {
        let batch = match objective {
            ObjectiveKind::Ner => format!("{} sentences{}", config.ner.batch, teacher(config)),
            ObjectiveKind::Tc => format!("{} pairs{}", config.tc.batch, text_teacher(config)),
            ObjectiveKind::Mlm => {
                format!("{} texts of up to {} tokens", config.mlm.batch, config.mlm.max_tokens)
            }
        };
        let corpora = config.corpora(objective);
        let names: Vec<_> = corpora.iter().map(|corpus| markdown(&corpus.to_string())).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | {} | {batch} |", objective.name(), names.join(", "));
    }
    let _ = writeln!(text, "\nIn total: {} examples, {} tokens.", summary.examples, summary.tokens);
    text
}

/// The teacher, if the objective is distillation.
fn teacher(config: &PrefinetuneConfig) -> String {
    match (config.ner.objective(), &config.ner.teacher) {
        (NerObjective::Distill, Some(teacher)) => {
            format!(", distilled from {}", markdown(teacher))
        }
        _ => String::new(),
    }
}

/// The teacher of text vectors, if there is one.
fn text_teacher(config: &PrefinetuneConfig) -> String {
    let named = config.tc.teacher.as_ref();
    named.map_or(String::new(), |teacher| format!(", distilled from {}", markdown(teacher)))
}

fn losses(metrics: &[Line], summary: &Summary) -> String {
    let window = WINDOW.min(metrics.len());
    let (first, last) = (mean(&metrics[..window]), mean(&metrics[metrics.len() - window..]));
    let mut text = format!(
        "## Losses\n\n| objective | first {window} steps | last {window} steps | validation set \
         |\n|---|---|---|---|\n"
    );
    for (objective, first) in first {
        let last = last.get(&objective).copied().unwrap_or(first);
        let validation = summary
            .validation
            .get(&objective)
            .map_or("none".to_string(), |loss| format!("{loss:.4}"));
        let _ = writeln!(text, "| {} | {first:.4} | {last:.4} | {validation} |", objective.name());
    }
    text
}

/// The mean loss of each objective.
fn mean(lines: &[Line]) -> BTreeMap<ObjectiveKind, f64> {
    let mut means = BTreeMap::new();
    for (&objective, loss) in lines.iter().flat_map(|line| &line.losses) {
        *means.entry(objective).or_insert(0.0) += loss / lines.len() as f64;
    }
    means
}

fn usage(config: &PrefinetuneConfig, summary: &Summary) -> String {
    if config.strategy.family_encoders {
        return "## Use\n\nThis model has two encoders: `backbone/` for named entity recognition, \
                `columns/tc/` for classification. `columns/stitches.json` has the matrices that \
                mix their hidden states after every layer, so that neither encoder works alone. \
                It is a reference for comparisons; the runtime for devices cannot load it. From \
                the directory of this card:\n\n\x20   espalier finetune --backbone . --task TASK \
                --out ADAPTER\n\x20   espalier evaluate --backbone . --adapter ADAPTER --task \
                TASK --split dev\n"
            .into();
    }
    let init = match summary.adapters.first() {
        Some(family) => format!(" --init adapters/{}", family.name()),
        None => String::new(),
    };
    let fill_mask = match has_mlm_head(config) {
        true => "\x20   espalier fill-mask --backbone backbone 'Paris is the [MASK] of France.'\n",
        false => "",
    };
    format!(
        "## Use\n\n`backbone/` is a Hugging Face directory: espalier, transformers and \
         sentence-transformers load it.\n\n{fill_mask}\x20   espalier finetune --backbone \
         backbone{init} --task TASK --out ADAPTER\n\x20   espalier predict --backbone backbone \
         --adapter ADAPTER\n"
    )
}

fn settings(config: &PrefinetuneConfig) -> String {
    let toml = config.to_toml();
    // The fence is longer than any sequence of backquotes in the settings.
    let longest = toml.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("## Settings\n\n{fence}toml\n{toml}{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let evil = "x|<script>`[a](javascript:b)\n# Title\u{1b}[31m\u{202e}";
        let backbone = format!("owner/{evil}\nlicense: mit");
        let mut config = PrefinetuneConfig { backbone, ..PrefinetuneConfig::default() };
        config.ner.corpora = vec![evil.into()];
        config.tc.corpora = vec!["a\n```\n<script>".into()];
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
        // The fence around the settings occurs only once more, at the end.
        let fence = settings.lines().nth(2).unwrap().trim_end_matches("toml");
        assert_eq!(card.lines().filter(|line| *line == fence).count(), 1, "{card}");
        assert!(card.ends_with(&format!("{fence}\n")), "{card}");
    }
}
