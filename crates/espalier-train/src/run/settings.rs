//! Checks that a run is resumed with the settings that it was started with.

use super::error::{Result, RunError};
use crate::config::{PrefinetuneConfig, RENAMED_KEYS};
use crate::error::TrainError;
use espalier_encoder::{Compute, Precision, digest};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, absolute};
use toml::{Table, Value};

/// Settings that may change when a run is resumed: those that do not affect the result, and the
/// names of encoders, which are identified by their fingerprints.
const MAY_CHANGE: [&str; 9] = [
    "backbone",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "ner.keep_concepts",
    "ner.teacher",
    "ner.teacher_cache",
    "ner.distill.adapter",
    "tc.teacher",
    "tc.teacher_cache",
];

/// The configuration with everything resolved that depends on the machine or the current directory:
/// the precision `auto`, and relative paths, so that the run can be resumed from any directory. The
/// weight of the NER loss is filled in too, because its default may change between versions, and so
/// is `tc.distill` if there is a teacher of text vectors.
pub(super) fn resolved(config: &PrefinetuneConfig) -> PrefinetuneConfig {
    let mut config = config.clone();
    config.train.precision = match config.train.precision.precision() {
        Precision::Bf16 => Compute::Bf16,
        _ => Compute::F32,
    };
    config.ner.weight = Some(config.ner.weight());
    if config.tc.teacher.is_some() {
        config.tc.distill = Some(config.tc.distill());
    }
    let resolve = |path: &Path| absolute(path).unwrap_or_else(|_| path.to_path_buf());
    config.all_paths_mut().for_each(|path| *path = resolve(path));
    for model in config.models_mut().filter(|model| Path::new(model).exists()) {
        *model = resolve(Path::new(model)).to_string_lossy().into_owned();
    }
    config
}

/// Checks that a run started with the settings `then` may be resumed with `now`; both are resolved.
pub(super) fn check(
    directory: &Path,
    then: &PrefinetuneConfig,
    now: &PrefinetuneConfig,
) -> Result<()> {
    let (then, now) = (values(then)?, values(now)?);
    let differs =
        |key: &&String| !MAY_CHANGE.contains(&key.as_str()) && then.get(*key) != now.get(*key);
    let show = |value: Option<&Value>| value.map_or("unset".to_string(), Value::to_string);
    let keys: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let differences: Vec<String> = keys
        .into_iter()
        .filter(differs)
        .map(|key| format!("{key} was {}, but is {}", show(then.get(key)), show(now.get(key))))
        .collect();
    match differences.is_empty() {
        true => Ok(()),
        false => Err(RunError::OtherConfig { directory: directory.to_path_buf(), differences }),
    }
}

/// The SHA-256 of the settings that affect the result. Files and directories count by their names,
/// without the directories that they are in; encoders, which are known by their weights, do not
/// count. Renamed keys have their former names, so that checkpoints of earlier versions can be
/// resumed.
///
/// # Errors
/// None for a configuration that can be written as TOML, as all can that were read.
pub fn fingerprint(config: &PrefinetuneConfig) -> Result<String> {
    let former = |key: String| match RENAMED_KEYS.iter().find(|(_, now)| *now == key) {
        Some((former, _)) => former.to_string(),
        None => key,
    };
    let values = values(config)?.into_iter();
    let values = values.filter(|(key, _)| !MAY_CHANGE.contains(&key.as_str()));
    let values: BTreeMap<_, _> = values.map(|(key, value)| (former(key), value)).collect();
    let lines: String = values.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    Ok(digest::sha256(lines.as_bytes()))
}

/// The configuration with file names in place of paths.
pub(super) fn without_directories(config: &PrefinetuneConfig) -> PrefinetuneConfig {
    let mut config = config.clone();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_os_string();
    config.all_paths_mut().for_each(|path| *path = name(path).into());
    for model in config.models_mut().filter(|model| Path::new(model).is_absolute()) {
        *model = name(Path::new(model)).to_string_lossy().into_owned();
    }
    config
}

/// All values by their dotted keys, with file names in place of paths.
fn values(config: &PrefinetuneConfig) -> Result<BTreeMap<String, Value>> {
    fn collect(table: Table, prefix: &str, values: &mut BTreeMap<String, Value>) {
        for (key, value) in table {
            match value {
                Value::Table(inner) => collect(inner, &format!("{prefix}{key}."), values),
                value => drop(values.insert(format!("{prefix}{key}"), value)),
            }
        }
    }
    let table = without_directories(config).to_toml().parse::<Table>().map_err(|error| {
        TrainError::ConfigSyntax { origin: "configuration".into(), problem: error.to_string() }
    })?;
    let mut all = BTreeMap::new();
    collect(table, "", &mut all);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_affect_the_result_must_not_change() {
        let mut then = PrefinetuneConfig::default();
        then.tc.corpora = vec!["pairs.jsonl".into()];
        let then = resolved(&then);
        let refusal = |change: fn(&mut PrefinetuneConfig)| {
            let mut now = then.clone();
            change(&mut now);
            check(Path::new("run"), &then, &resolved(&now)).map_err(|error| error.to_string())
        };
        assert_eq!(refusal(|_| ()), Ok(()));
        assert_eq!(refusal(|now| now.train.checkpoint_every = 7), Ok(()));
        assert_eq!(refusal(|now| now.tc.corpora[0].path = "elsewhere/pairs.jsonl".into()), Ok(()));
        let message = refusal(|now| now.tc.corpora[0].weight = 2.0).unwrap_err();
        assert!(message.contains("tc.corpora was [\"pairs.jsonl\"], but is"), "{message}");
        let message = refusal(|now| now.train.steps = 7).unwrap_err();
        assert!(
            message
                .starts_with("run was started with other settings: train.steps was 200, but is 7;"),
            "{message}"
        );
        let message = refusal(|now| (now.seed, now.tc.batch) = (1, 2)).unwrap_err();
        assert!(message.contains("seed was 0, but is 1, tc.batch was 64, but is 2"), "{message}");
    }

    /// The settings of a teacher of text vectors are left out where there is none: earlier versions
    /// did not have them, and their checkpoints must still be resumed.
    #[test]
    fn a_teacher_of_text_vectors_is_identified_by_its_content() {
        let without = resolved(&PrefinetuneConfig::default());
        assert!(!without.to_toml().contains("similarity_weight"), "{}", without.to_toml());
        let mut with = without.clone();
        with.tc.teacher = Some("teacher".into());
        let with = resolved(&with);
        assert!(with.to_toml().contains("similarity_weight = 1.0"), "{}", with.to_toml());
        let mut moved = with.clone();
        (moved.tc.teacher, moved.tc.teacher_cache) = (Some("copy".into()), Some("cache".into()));
        assert_eq!(fingerprint(&moved).unwrap(), fingerprint(&with).unwrap());
        assert_ne!(fingerprint(&without).unwrap(), fingerprint(&with).unwrap());
        let message = check(Path::new("run"), &without, &with).unwrap_err().to_string();
        assert!(
            message.contains("tc.distill.similarity_weight was unset, but is 1.0"),
            "{message}"
        );
        let message = check(Path::new("run"), &with, &without).unwrap_err().to_string();
        assert!(
            message.contains("tc.distill.similarity_weight was 1.0, but is unset"),
            "{message}"
        );
    }

    #[test]
    fn a_resolved_configuration_depends_on_neither_machine_nor_directory() {
        let mut config = PrefinetuneConfig::default();
        config.ner.corpora = vec!["corpus.jsonl".into()];
        let resolved = resolved(&config);
        assert!(
            resolved.ner.corpora[0].path.is_absolute()
                && resolved.ner.corpora[0].path.ends_with("corpus.jsonl")
        );
        assert_ne!(resolved.train.precision, Compute::Auto);
        assert_eq!(resolved.backbone, config.backbone, "a hub id is not a path");
    }
}
