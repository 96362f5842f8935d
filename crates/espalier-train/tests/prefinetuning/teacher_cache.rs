//! What the teacher said, kept on disk: whatever is found there, a run gives the same model.

use crate::corpora::Corpora;
use crate::distillation::{config, distil};
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

/// The trained weights and, of each step, the losses.
fn outcome(config: &PrefinetuneConfig) -> (Vec<u32>, String) {
    let (result, reports) = distil(config).unwrap();
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
    // 24 sentences of 4 words: the key, their number, and for each word a byte and 32 numbers of 2
    // bytes; a frame of 16 bytes around.
    let header = fs::read(&file).unwrap();
    let header = 16 + u64::from_le_bytes(*header.first_chunk().unwrap());
    assert_eq!(size(&file), header + 24 * (16 + 16 + 4 + 4 + 4 * 64));
    assert_eq!(outcome(&cached), without);
    assert_eq!(size(&file), header + 24 * (16 + 16 + 4 + 4 + 4 * 64), "nothing is written twice");
}

#[test]
fn whatever_is_found_in_the_cache_the_model_is_the_same() {
    let trial = Trial::new();
    let (without, cached) = (outcome(&trial.config()), trial.cached());
    outcome(&cached);
    let [file] = trial.files().try_into().unwrap();
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        ("empty", Vec::new()),
        ("cut in the first record", whole[..20].to_vec()),
        ("half of it", whole[..whole.len() / 2].to_vec()),
        ("cut in the last record", whole[..whole.len() - 3].to_vec()),
        ("zeros at the end", [whole.as_slice(), &[0; 999]].concat()),
        ("another first record", flipped(30)),
        ("a number in the middle", flipped(whole.len() / 2)),
        ("the last checksum", flipped(whole.len() - 1)),
    ];
    for (what, bytes) in cases {
        fs::write(&file, bytes).unwrap();
        assert_eq!(outcome(&cached), without, "{what}");
        // And it is mended: what was lost is there again.
        let mended = size(&file);
        assert!(mended >= whole.len() as u64, "{what}: {mended} bytes");
        assert_eq!(outcome(&cached), without, "{what}, once more");
        assert_eq!(size(&file), mended, "{what}");
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
fn each_teacher_and_each_question_has_its_own_file() {
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
fn a_cache_that_cannot_be_written_is_named() {
    let trial = Trial::new();
    fs::write(trial.directory.path().join("cache"), "no directory").unwrap();
    let message = distil(&trial.cached()).unwrap_err().to_string();
    assert!(message.contains("cache: "), "{message}");
}
