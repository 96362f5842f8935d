//! The cache of the teacher's outputs. The result of a run is the same, whatever the cache
//! contains.

use crate::corpora::Corpora;
use crate::distillation::{config, distill};
use espalier_testing::compare::bits;
use espalier_testing::fixtures::fixture;
use espalier_train::config::PrefinetuneConfig;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Trial {
    corpora: Corpora,
    directory: TempDir,
}

impl Trial {
    fn new() -> Self {
        Self { corpora: Corpora::easy(), directory: TempDir::new().unwrap() }
    }

    fn config(&self) -> PrefinetuneConfig {
        let mut config = config(&self.corpora, &fixture("kin/roberta/model"));
        (config.train.steps, config.train.validation) = (6, 2);
        config
    }

    fn cached(&self) -> PrefinetuneConfig {
        let mut config = self.config();
        config.ner.teacher_cache = Some(self.directory.path().join("cache"));
        config
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path().join("cache")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// The bits of the trained weights, and the losses of each step.
fn outcome(config: &PrefinetuneConfig) -> (Vec<u32>, String) {
    let (result, reports) = distill(config).unwrap();
    let losses: Vec<_> =
        reports.iter().map(|report| (&report.losses, &report.validation)).collect();
    (bits(result.backbone.weights()), format!("{losses:?}"))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn the_cache_changes_nothing_and_is_written_once() {
    let trial = Trial::new();
    let without = outcome(&trial.config());
    let cached = trial.cached();
    assert_eq!(outcome(&cached), without);
    let [file] = trial.files().try_into().unwrap();
    // 24 sentences of 4 words: the key, the number of words, and for each word a byte and 32
    // numbers of 2 bytes; plus 16 bytes of TFRecord.
    let header = fs::read(&file).unwrap();
    let header = 16 + u64::from_le_bytes(*header.first_chunk().unwrap());
    assert_eq!(size(&file), header + 24 * (16 + 16 + 4 + 4 + 4 * 64));
    assert_eq!(outcome(&cached), without);
    assert_eq!(size(&file), header + 24 * (16 + 16 + 4 + 4 + 4 * 64), "nothing is written twice");
}

#[test]
fn a_damaged_cache_is_repaired_and_does_not_change_the_result() {
    let trial = Trial::new();
    let (without, cached) = (outcome(&trial.config()), trial.cached());
    outcome(&cached);
    let [file] = trial.files().try_into().unwrap();
    let intact = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = intact.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        ("empty", Vec::new()),
        ("cut in the first record", intact[..20].to_vec()),
        ("the first half", intact[..intact.len() / 2].to_vec()),
        ("cut in the last record", intact[..intact.len() - 3].to_vec()),
        ("zeros at the end", [intact.as_slice(), &[0; 999]].concat()),
        ("a changed header", flipped(30)),
        ("a changed byte in the middle", flipped(intact.len() / 2)),
        ("a changed checksum at the end", flipped(intact.len() - 1)),
    ];
    for (what, bytes) in cases {
        fs::write(&file, bytes).unwrap();
        assert_eq!(outcome(&cached), without, "{what}");
        // The lost records were written again.
        let repaired = size(&file);
        assert!(repaired >= intact.len() as u64, "{what}: {repaired} bytes");
        assert_eq!(outcome(&cached), without, "{what}, second run");
        assert_eq!(size(&file), repaired, "{what}");
    }
}

#[test]
fn several_runs_share_a_cache() {
    let trial = Trial::new();
    let without = outcome(&trial.config());
    let cached = trial.cached();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| outcome(&cached))).collect();
        runs.into_iter().for_each(|run| assert_eq!(run.join().unwrap(), without));
    });
    assert_eq!(outcome(&cached), without);
}

#[test]
fn each_teacher_and_each_kind_of_output_has_its_own_file() {
    let trial = Trial::new();
    let mut config = trial.cached();
    outcome(&config);
    config.ner.distill.layer = 1;
    outcome(&config);
    config.ner.teacher = Some(fixture("kin/mpnet/model").to_str().unwrap().into());
    outcome(&config);
    assert_eq!(trial.files().len(), 3);
}

#[test]
fn an_unwritable_cache_is_an_error_with_its_path() {
    let trial = Trial::new();
    fs::write(trial.directory.path().join("cache"), "no directory").unwrap();
    let message = distill(&trial.cached()).unwrap_err().to_string();
    assert!(message.contains("cache: "), "{message}");
}
