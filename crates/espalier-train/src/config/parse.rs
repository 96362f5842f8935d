//! TOML text and `key=value` overrides to a configuration, with helpful refusals.

use super::PrefinetuneConfig;
use crate::error::{Result, TrainError};
use espalier_encoder::text::excerpt;
use toml::{Table, Value};

/// Parses `text` (from `origin`, for messages), applies the overrides, and checks every key.
pub(super) fn parse(text: &str, origin: &str, overrides: &[String]) -> Result<PrefinetuneConfig> {
    let syntax =
        |origin: &str, problem: String| TrainError::ConfigSyntax { origin: origin.into(), problem };
    let known = known_keys();
    let mut table: Table = text.parse().map_err(|error| syntax(origin, problem(&error, text)))?;
    check_keys(&table, "", origin, &known)?;
    for assignment in overrides {
        let origin = format!("--set {}", excerpt(assignment, 200));
        let (key, value) = assignment
            .split_once('=')
            .ok_or_else(|| syntax(&origin, "write it as key=value".into()))?;
        if !known.iter().any(|known| known == key.trim()) {
            return Err(unknown(key.trim(), &origin, &known));
        }
        set(&mut table, key.trim(), value_of(value.trim()));
    }
    Table::try_into(table).map_err(|error| syntax(origin, problem(&error, text)))
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
    use crate::strategies::Strategy;
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
            parsed("", &["adapter.schedule=cosine"]).unwrap().adapter.schedule,
            Some(Schedule::Cosine)
        );
        let overrides = [
            "train.steps=1",
            "strategy=joint",
            "train.optimizer = \"sgd\"",
            "ner.corpora=[\"a.jsonl\"]",
        ];
        let config = parsed("[train]\nsteps = 9\n", &overrides).unwrap();
        assert_eq!((config.train.steps, config.strategy), (1, Strategy::Joint));
        assert_eq!(config.train.optimizer, OptimizerKind::Sgd);
        assert_eq!(config.ner.corpora, ["a.jsonl".into()]);
        let config = parsed("", &["tc.corpora=[{path=\"a.jsonl\",weight=2}, \"b.csv\"]"]).unwrap();
        assert_eq!(
            config.tc.corpora,
            [CorpusConfig { path: "a.jsonl".into(), weight: 2.0 }, "b.csv".into()]
        );
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
