//! The study's file.

use super::error::{Result, StudyError, io};
use espalier_train::strategy::Strategy;
use espalier_train::{FinetuneConfig, PrefinetuneConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A study: what is compared with what. Every strategy has the same tasks, budget and search.
///
/// ```
/// use espalier_study::grid::StudyConfig;
///
/// let study = StudyConfig::parse(
///     r#"
///     tasks = ["tasks/cities", "tasks/opinions"]
///     fractions = [0.1, 1.0]
///     prefinetune = "prefinetune.toml"
///
///     [[backbones]]
///     name = "MiniLM"
///     path = "sentence-transformers/all-MiniLM-L6-v2"
///
///     [[strategies]]
///     name = "none"
///     [[strategies]]
///     name = "tpl"
///     seeds = [0, 1]
///     set = ["train.steps=1000"]
/// "#,
/// )?;
/// assert_eq!(study.seeds, [0, 1, 2]); // of fine-tuning, by default
/// assert_eq!(study.strategies[1].seeds, [0, 1]); // of pre-finetuning
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StudyConfig {
    /// The folders of the tasks, as `espalier finetune` takes them. Relative paths are relative to
    /// the study's file.
    pub tasks: Vec<PathBuf>,
    /// The fractions of the training examples, above 0 and at most 1.
    #[serde(default = "all_labels")]
    pub fractions: Vec<f64>,
    /// The seeds of fine-tuning. Each also draws its own fraction of the examples.
    #[serde(default = "three_seeds")]
    pub seeds: Vec<u64>,
    /// A file with the settings of pre-finetuning that all strategies share. Not needed if the only
    /// strategy is none.
    #[serde(default)]
    pub prefinetune: PathBuf,
    /// The largest and smallest numbers of examples.
    #[serde(default)]
    pub limits: Limits,
    /// The settings of fine-tuning.
    #[serde(default)]
    pub finetune: FinetuneGrid,
    /// The encoders that the study starts from.
    pub backbones: Vec<BackboneEntry>,
    /// The strategies: the rows of its tables.
    pub strategies: Vec<StrategyRow>,
    /// How settings of pre-finetuning are chosen; without this section they are as given.
    #[serde(default)]
    pub tuning: Option<TuningConfig>,
    /// The names of tasks that are close to the data of pre-finetuning: means are given with and
    /// without them.
    #[serde(default)]
    pub close_tasks: Vec<String>,
}

fn all_labels() -> Vec<f64> {
    vec![1.0]
}

fn three_seeds() -> Vec<u64> {
    vec![0, 1, 2]
}

/// The numbers of examples of a task that the study uses. Larger splits are sampled, always in the
/// same way, and by class, which may give one example more for each class. Fractions are those of
/// the sampled training examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// A fraction has at least this many training examples, if there are as many.
    pub min_train: usize,
    /// The most training examples.
    pub train: usize,
    /// The most dev examples. A task without a dev split has a tenth of its training examples in
    /// place of it, which are not trained on.
    pub dev: usize,
    /// The most test examples.
    pub test: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { min_train: 50, train: 5000, dev: 1000, test: 5000 }
    }
}

/// The settings of fine-tuning, the same for all cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FinetuneGrid {
    /// Training steps.
    pub steps: usize,
    /// Examples per step.
    pub batch: usize,
    /// Peak learning rates of the adapter. A cell trains with each of them, and scores on test the
    /// adapter with the best score on dev.
    pub learning_rates: Vec<f32>,
    /// The peak learning rate of the head.
    pub head_learning_rate: f32,
}

impl Default for FinetuneGrid {
    fn default() -> Self {
        let default = FinetuneConfig::default();
        Self {
            steps: default.steps,
            batch: default.batch,
            learning_rates: vec![default.learning_rate],
            head_learning_rate: default.head_learning_rate,
        }
    }
}

/// An encoder that a study starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BackboneEntry {
    /// The name in tables. Results are known by it, so that a directory may move.
    pub name: String,
    /// A Hugging Face directory or a model id. A relative path is relative to the study's file if
    /// it exists there.
    pub path: String,
}

/// A row of the tables: a strategy with its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StrategyRow {
    /// The name in tables.
    pub name: String,
    /// The strategy; by default the one of that name.
    #[serde(default)]
    pub strategy: Option<Strategy>,
    /// The seeds of pre-finetuning, each with an encoder of its own.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// Settings of pre-finetuning that differ from the shared file, such as `"train.steps=1000"`.
    #[serde(default)]
    pub set: Vec<String>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// The search for settings of pre-finetuning. Each candidate is pre-finetuned for a few steps and
/// scored on the dev splits of some tasks; the best mean of both families' means is taken. Every
/// strategy that pre-finetunes has the same candidates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TuningConfig {
    /// The steps of pre-finetuning of a candidate.
    pub steps: usize,
    /// The names of the tasks to score on.
    pub tasks: Vec<String>,
    /// The fraction of their training examples.
    pub fraction: f64,
    /// The candidates, each a list of settings such as `"train.learning_rate=2e-4"`.
    pub candidates: Vec<Vec<String>>,
}

impl StrategyRow {
    /// The strategy of the row. [`StudyConfig::read`] has checked that there is one.
    pub fn strategy(&self) -> Option<Strategy> {
        self.strategy.or_else(|| self.name.parse().ok())
    }
}

impl StudyConfig {
    /// Reads and checks a study's file.
    ///
    /// # Errors
    /// [`StudyError::Io`] and [`StudyError::Config`]; [`StudyError::Train`] for the settings of
    /// pre-finetuning.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(io(path))?;
        let wrong = |problem| StudyError::Config { path: path.to_path_buf(), problem };
        let mut study = Self::parse(&text).map_err(wrong)?;
        study.resolve(path.parent().unwrap_or(Path::new("")));
        study.check().map_err(wrong)?;
        for (backbone, row) in study.rows() {
            for &seed in &row.seeds {
                let config = study.prefinetuning(backbone, row, seed, &[])?;
                if !config.strategy.objectives.is_empty() {
                    config.check()?;
                }
            }
        }
        Ok(study)
    }

    /// Parses the text of a study's file, whose paths stay as they are.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// Makes paths relative to `directory`, that of the study's file.
    fn resolve(&mut self, directory: &Path) {
        let set = !self.prefinetune.as_os_str().is_empty();
        let paths = self.tasks.iter_mut().chain(Some(&mut self.prefinetune).filter(|_| set));
        paths.for_each(|path| *path = directory.join(&*path));
        for backbone in &mut self.backbones {
            let resolved = directory.join(&backbone.path);
            if let Some(resolved) = resolved.to_str().filter(|path| Path::new(path).exists()) {
                backbone.path = resolved.into();
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let empty = [
            ("tasks", self.tasks.is_empty()),
            ("fractions", self.fractions.is_empty()),
            ("seeds", self.seeds.is_empty()),
            ("backbones", self.backbones.is_empty()),
            ("strategies", self.strategies.is_empty()),
            ("finetune.learning_rates", self.finetune.learning_rates.is_empty()),
            ("limits.train", self.limits.train == 0),
            ("limits.dev", self.limits.dev == 0),
            ("limits.test", self.limits.test == 0),
        ];
        if let Some((key, _)) = empty.iter().find(|(_, empty)| *empty) {
            return Err(format!("{key} is empty; a study needs at least one"));
        }
        let out_of_range = |f: &&f64| !(**f > 0.0 && **f <= 1.0);
        let tuned = self.tuning.iter().map(|tuning| &tuning.fraction);
        if let Some(fraction) = self.fractions.iter().chain(tuned).find(out_of_range) {
            return Err(format!("the fraction {fraction} is out of range; give 0 < f <= 1"));
        }
        unique("backbones", self.backbones.iter().map(|backbone| backbone.name.as_str()))?;
        unique("strategies", self.strategies.iter().map(|row| row.name.as_str()))?;
        let names = self.task_names();
        unique("tasks", names.iter().map(String::as_str))?;
        for row in &self.strategies {
            let Some(strategy) = row.strategy() else {
                let problem = row.name.parse::<Strategy>().err().map(|error| error.to_string());
                return Err(format!(
                    "strategies: {}; a row of another name needs a key strategy",
                    problem.unwrap_or_default()
                ));
            };
            if row.seeds.is_empty() {
                return Err(format!("strategies: {} has no seeds", row.name));
            }
            let needs_settings = !strategy.objectives.is_empty();
            if needs_settings && self.prefinetune.as_os_str().is_empty() {
                return Err(format!(
                    "{} pre-finetunes: name the file with its settings by the key prefinetune",
                    row.name
                ));
            }
        }
        let tuned = self.tuning.iter().flat_map(|tuning| &tuning.tasks);
        match tuned.chain(&self.close_tasks).find(|task| !names.contains(task)) {
            Some(task) => Err(format!("{task:?} is not the name of a task of the study")),
            None => Ok(()),
        }
    }

    /// The names of the tasks: those of their folders.
    pub fn task_names(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into();
        self.tasks.iter().map(name).collect()
    }

    /// Every backbone with every strategy.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&BackboneEntry, &StrategyRow)> {
        let rows = |backbone| self.strategies.iter().map(move |row| (backbone, row));
        self.backbones.iter().flat_map(rows)
    }

    /// The settings of pre-finetuning of a row, with `chosen` on top.
    pub(super) fn prefinetuning(
        &self,
        backbone: &BackboneEntry,
        row: &StrategyRow,
        seed: u64,
        chosen: &[String],
    ) -> Result<PrefinetuneConfig> {
        let mut config = match self.prefinetune.as_os_str().is_empty() {
            true => PrefinetuneConfig::default(),
            false => {
                let overrides: Vec<String> = row.set.iter().chain(chosen).cloned().collect();
                PrefinetuneConfig::read(&self.prefinetune, &overrides)?
            }
        };
        config.strategy = row.strategy().unwrap_or(Strategy::NONE);
        config.backbone.clone_from(&backbone.path);
        config.seed = seed;
        config.train.keep_checkpoints = 1;
        Ok(config)
    }
}

fn unique<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            return Err(format!("{key}: the name {name:?} is empty or given twice"));
        }
    }
    Ok(())
}
