//! TOML text and `key=value` overrides to a configuration, with helpful refusals.

use super::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use espalier_encoder::text::excerpt;
use toml::{Table, Value};

/// Keys that have got another name, each with its present one. The former names are still read, and
/// stand for the settings in the fingerprints of checkpoints.
pub(crate) const FORMER: [(&str, &str); 12] = [
    ("ner.projection_learning_rate", "ner.projection_group.learning_rate"),
    ("ner.projection_weight_decay", "ner.projection_group.weight_decay"),
    ("ner.projection_schedule", "ner.projection_group.schedule"),
    ("ner.projection_warmup", "ner.projection_group.warmup"),
    ("ner.concept_learning_rate", "ner.concept_group.learning_rate"),
    ("ner.concept_weight_decay", "ner.concept_group.weight_decay"),
    ("ner.concept_schedule", "ner.concept_group.schedule"),
    ("ner.concept_warmup", "ner.concept_group.warmup"),
    ("adapter.learning_rate", "adapter.group.learning_rate"),
    ("adapter.weight_decay", "adapter.group.weight_decay"),
    ("adapter.schedule", "adapter.group.schedule"),
    ("adapter.warmup", "adapter.group.warmup"),
];

/// Parses `text` (from `origin`, for messages), applies the overrides, and checks every key.
pub(super) fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<PrefinetuneConfig> {
    let syntax =
        |origin: &str, problem: String| TrainError::ConfigSyntax { origin: origin.into(), problem };
    let known = known_keys();
    let mut table: Table = text.parse().map_err(|error| syntax(origin, problem(&error, text)))?;
    for (former, key) in FORMER {
        let Some(value) = take(&mut table, former) else { continue };
        if take(&mut table, key).is_some() {
            let problem = format!("{former} is the former name of {key}; give one of them");
            return Err(syntax(origin, problem));
        }
        set(&mut table, key, value);
    }
    check_keys(&table, "", origin, &known)?;
    for assignment in overrides {
        let origin = format!("--set {}", excerpt(assignment, 200));
        let (key, value) = assignment
            .split_once('=')
            .ok_or_else(|| syntax(&origin, "write it as key=value".into()))?;
        let key = key.trim();
        let key = FORMER.iter().find(|(former, _)| *former == key).map_or(key, |(_, key)| key);
        if !known.iter().any(|known| known == key) {
            return Err(unknown(key, &origin, &known));
        }
        set(&mut table, key, value_of(value.trim()));
    }
    Table::try_into(table).map_err(|error| syntax(origin, problem(&error, text)))
}

/// Removes the value of a dotted key, if it is there.
fn take(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.remove(key),
        Some((section, rest)) => take(table.get_mut(section)?.as_table_mut()?, rest),
    }
}

/// What the parser says, in one line, with its place in `text` where it has one.
fn problem(error: &toml::de::Error, text: &str) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("line {line}, column {column}: {}", error.message())
        }
        None => error.to_string().lines().collect::<Vec<_>>().join(" "),
    }
}

/// A TOML value, or, where it is none, the text itself: `strategy=tpl` needs no quotes.
fn value_of(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        // With more than one key, what stands behind a line end is no part of the value.
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_string()))
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_string(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Every key that a configuration may hold, dotted: those of the default one, every value spelled
/// out.
fn known_keys() -> Vec<String> {
    fn collect(table: &Table, prefix: &str, keys: &mut Vec<String>) {
        for (key, value) in table {
            match value {
                Value::Table(inner) => collect(inner, &format!("{prefix}{key}."), keys),
                _ => keys.push(format!("{prefix}{key}")),
            }
        }
    }
    let mut keys = Vec::new();
    if let Ok(table) = PrefinetuneConfig::default().spelled_out().to_toml().parse() {
        collect(&table, "", &mut keys);
    }
    keys
}

fn check_keys(table: &Table, prefix: &str, origin: &str, known: &[String]) -> Result<()> {
    for (key, value) in table {
        let full = format!("{prefix}{key}");
        let is_section = known.iter().any(|known| known.starts_with(&format!("{full}.")));
        match value {
            Value::Table(inner) if is_section => {
                check_keys(inner, &format!("{full}."), origin, known)?
            }
            _ if is_section || known.contains(&full) => {}
            _ => return Err(unknown(&full, origin, known)),
        }
    }
    Ok(())
}

/// The refusal of a key, with the nearest known one if any is near.
fn unknown(key: &str, origin: &str, known: &[String]) -> TrainError {
    let nearness = |candidate: &str| {
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_string();
        strsim::jaro_winkler(key, candidate).max(strsim::jaro_winkler(&last(key), &last(candidate)))
    };
    let nearest =
        known.iter().map(|known| (nearness(known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((nearness, known)) if nearness > 0.75 => format!("did you mean {known:?}?"),
        _ => format!("known keys: {}", known.join(", ")),
    };
    TrainError::UnknownKey { origin: origin.into(), key: key.into(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NerObjective;
    use crate::optimizer::{OptimizerKind, Schedule};
    use crate::strategy::Strategy;
    use espalier_data::CorpusConfig;

    fn parsed(text: &str, overrides: &[&str]) -> Result<PrefinetuneConfig> {
        let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
        parse(text, "run.toml", &overrides)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config = parsed("seed = 3\n[train]\nsteps = 7\n", &[]).unwrap();
        let default = PrefinetuneConfig::default();
        assert_eq!((config.seed, config.train.steps), (3, 7));
        assert_eq!(config.tc, default.tc);
        assert_eq!(parsed(&default.to_toml(), &[]).unwrap(), default);
    }

    #[test]
    fn who_names_a_teacher_learns_from_it() {
        let objective = |text: &str| parsed(text, &[]).unwrap().ner.objective();
        assert_eq!(objective(""), NerObjective::Concepts);
        assert_eq!(objective("[ner]\nteacher = \"t\"\n"), NerObjective::Distill);
        assert_eq!(
            objective("[ner]\nteacher = \"t\"\nobjective = \"concepts\"\n"),
            NerObjective::Concepts
        );
    }

    #[test]
    fn overrides_win_and_need_no_quotes() {
        // A schedule of its own is a key that no default shows.
        assert_eq!(
            parsed("", &["adapter.group.schedule=cosine"]).unwrap().adapter.group.schedule,
            Some(Schedule::Cosine)
        );
        let overrides = [
            "train.steps=1",
            "strategy=joint",
            "train.optimizer = \"sgd\"",
            "ner.corpora=[\"a.jsonl\"]",
        ];
        let config = parsed("[train]\nsteps = 9\n", &overrides).unwrap();
        assert_eq!((config.train.steps, config.strategy), (1, Strategy::JOINT));
        assert_eq!(config.train.optimizer, OptimizerKind::Sgd);
        assert_eq!(config.ner.corpora, ["a.jsonl".into()]);
        let config = parsed("", &["tc.corpora=[{path=\"a.jsonl\",weight=2}, \"b.csv\"]"]).unwrap();
        assert_eq!(
            config.tc.corpora,
            [CorpusConfig { path: "a.jsonl".into(), weight: 2.0 }, "b.csv".into()]
        );
    }

    #[test]
    fn former_keys_are_read_and_not_twice() {
        let text = "[ner]\nprojection_learning_rate = 0.5\nconcept_schedule = \"cosine\"\n";
        let config = parsed(text, &["adapter.warmup=0.25"]).unwrap();
        assert_eq!(config.ner.projection_group.learning_rate, 0.5);
        assert_eq!(config.ner.concept_group.schedule, Some(Schedule::Cosine));
        assert_eq!(config.adapter.group.warmup, Some(0.25));
        let twice = "[adapter]\nlearning_rate = 1\ngroup.learning_rate = 2\n";
        let message = parsed(twice, &[]).unwrap_err().to_string();
        let expected = "run.toml: adapter.learning_rate is the former name of \
                        adapter.group.learning_rate; give one of them";
        assert_eq!(message, expected);
    }

    #[test]
    fn what_a_group_leaves_out_has_that_groups_default() {
        let text = "[ner]\nconcept_group.schedule = \"cosine\"\nprojection_warmup = 0.5\n";
        let (config, default) =
            (parsed(text, &["adapter.group.warmup=1"]).unwrap(), PrefinetuneConfig::default());
        for (found, expected) in [
            (&config.ner.concept_group, &default.ner.concept_group),
            (&config.ner.projection_group, &default.ner.projection_group),
            (&config.adapter.group, &default.adapter.group),
        ] {
            assert_eq!(found.learning_rate, expected.learning_rate);
            assert_eq!(found.weight_decay, expected.weight_decay);
            assert_ne!(found, expected);
        }
        assert!(parsed("[ner.concept_group]\nlearning_rat = 1\n", &[]).is_err());
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_known_one() {
        for (text, overrides, want) in [
            (
                "[train]\nstep = 9\n",
                vec![],
                "run.toml: unknown key \"train.step\"; did you mean \"train.steps\"?",
            ),
            ("learning_rat = 1\n", vec![], "learning_rate\"?"),
            ("[tc]\n[tc.deep]\nx = 1\n", vec![], "unknown key \"tc.deep\""),
            (
                "",
                vec!["ner.bach=3"],
                "--set ner.bach=3: unknown key \"ner.bach\"; did you mean \"ner.batch\"?",
            ),
            ("zzzzzz = 1\n", vec![], "known keys: "),
        ] {
            let message = parsed(text, &overrides).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
    }

    #[test]
    fn an_override_is_one_setting() {
        let message = parsed("", &["train.steps=7\nseed=9"]).unwrap_err().to_string();
        assert!(message.contains("\"7\\nseed=9\"") && message.contains("train.steps"), "{message}");
        assert_eq!(parsed("", &["backbone=a\nseed = 9"]).unwrap().backbone, "a\nseed = 9");
        let config = parsed("", &["ner.corpora=[\n\"a\",\n\"b\"]"]).unwrap();
        assert_eq!(config.ner.corpora, ["a".into(), "b".into()]);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (text, want) in [
            ("seed = 1\n[train]\nsteps = \n", "run.toml: line 3, column 9: "),
            ("[train\n", "run.toml: line 1, column 7: "),
            ("seed = \"a\"\n", "run.toml: invalid type: string \"a\", expected u64 in `seed`"),
        ] {
            let message = parsed(text, &[]).unwrap_err().to_string();
            assert!(message.starts_with(want) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn wrong_types_and_broken_toml_are_refused() {
        for (text, overrides) in [
            ("[train]\nsteps = \"many\"\n", vec![]),
            ("[train\n", vec![]),
            ("", vec!["train.steps"]),
            ("train = 3", vec![]),
        ] {
            assert!(
                matches!(parsed(text, &overrides), Err(TrainError::ConfigSyntax { .. })),
                "{text} {overrides:?}"
            );
        }
    }
}
