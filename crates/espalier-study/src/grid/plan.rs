//! What a study consists of: encoders, and cells that are trained on them.

use super::config::{BackboneEntry, FinetuneGrid, Limits, StrategyRow, StudyConfig, TuningConfig};
use super::error::Result;
use super::tasks::StudyTask;
use espalier_encoder::digest;
use espalier_train::PrefinetuneConfig;
use espalier_train::config::AdapterConfig;
use espalier_train::run::settings_fingerprint;
use serde::Serialize;
use std::path::Path;
use std::str::FromStr;

/// A pre-finetuned encoder of a study: a backbone, a row and a seed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EncoderPlan {
    /// Its address.
    pub address: String,
    /// The backbone.
    pub backbone: BackboneEntry,
    /// The row.
    pub row: StrategyRow,
    /// The seed of pre-finetuning.
    pub seed: u64,
    /// The settings of pre-finetuning, before tuning.
    pub config: PrefinetuneConfig,
    /// The address under which the row is tuned: that of its first seed's encoder.
    pub(super) tuning: String,
}

/// A cell of a study: an adapter trained on an encoder and scored on test.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CellPlan {
    /// Its address.
    pub address: String,
    /// The index of its encoder in [`Plan::encoders`].
    pub encoder: usize,
    /// The index of its task in [`StudyConfig::tasks`].
    pub task: usize,
    /// The fraction of the training examples.
    pub fraction: f64,
    /// The seed of fine-tuning.
    pub seed: u64,
}

/// All encoders and cells of a study. Cells are ordered by encoder, then by task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The encoders.
    pub encoders: Vec<EncoderPlan>,
    /// The cells.
    pub cells: Vec<CellPlan>,
}

/// A part of a study, for one of several machines: `2/5` is the second of five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The part, from 1.
    pub part: usize,
    /// The number of parts.
    pub parts: usize,
}

impl Shard {
    /// The whole study.
    pub const WHOLE: Self = Self { part: 1, parts: 1 };
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(part, parts)| {
            Some(Self { part: part.parse().ok()?, parts: parts.parse().ok()? })
        });
        parsed
            .filter(|shard| (1..=shard.parts).contains(&shard.part))
            .ok_or_else(|| format!("{text:?} is not a shard; write I/N with 1 <= I <= N"))
    }
}

/// The version of the rules by which addresses are made and results computed.
const FORMAT: u32 = 1;

impl Plan {
    /// The plan of a study whose tasks are open.
    pub(super) fn new(study: &StudyConfig, tasks: &[StudyTask]) -> Result<Self> {
        let mut encoders = Vec::new();
        for (backbone, row) in study.rows() {
            for &seed in &row.seeds {
                encoders.push(encoder(study, backbone, row, seed)?);
            }
        }
        let mut cells = Vec::new();
        for (index, encoder) in encoders.iter().enumerate() {
            for (number, task) in tasks.iter().enumerate() {
                for &fraction in &study.fractions {
                    for &seed in &study.seeds {
                        let address = cell_address(study, encoder, task, fraction, seed);
                        let (encoder, task) = (index, number);
                        cells.push(CellPlan { address, encoder, task, fraction, seed });
                    }
                }
            }
        }
        Ok(Self { encoders, cells })
    }

    /// The cells of a shard: a contiguous part, so that few encoders are needed for it. Cells of
    /// one encoder and one task stay together.
    pub fn shard(&self, shard: Shard) -> Vec<&CellPlan> {
        let together = |a: &CellPlan, b: &CellPlan| (a.encoder, a.task) == (b.encoder, b.task);
        let groups: Vec<&[CellPlan]> = self.cells.chunk_by(together).collect();
        let bound = |part: usize| part * groups.len() / shard.parts;
        groups[bound(shard.part - 1)..bound(shard.part)].iter().copied().flatten().collect()
    }
}

fn encoder(
    study: &StudyConfig,
    backbone: &BackboneEntry,
    row: &StrategyRow,
    seed: u64,
) -> Result<EncoderPlan> {
    let config = study.prefinetuning(backbone, row, seed, &[])?;
    let mut first = config.clone();
    first.seed = row.seeds[0];
    Ok(EncoderPlan {
        address: encoder_address(study, backbone, &config)?,
        tuning: encoder_address(study, backbone, &first)?,
        backbone: backbone.clone(),
        row: row.clone(),
        seed,
        config,
    })
}

fn encoder_address(
    study: &StudyConfig,
    backbone: &BackboneEntry,
    config: &PrefinetuneConfig,
) -> Result<String> {
    #[derive(Serialize)]
    struct Key<'a> {
        format: u32,
        backbone: &'a str,
        /// The settings of pre-finetuning and its teachers; `None` if there is none.
        settings: Option<(String, Vec<Option<String>>)>,
        tuning: Option<&'a TuningConfig>,
        /// The shape of adapters, with pre-finetuning and without.
        adapter: &'a AdapterConfig,
    }
    let trains = !config.strategy.objectives.is_empty();
    let teachers = [&config.ner.teacher, &config.tc.teacher];
    let teachers = teachers.map(|teacher| teacher.as_deref().map(name_of_teacher)).to_vec();
    let settings = if trains { Some((settings_fingerprint(config)?, teachers)) } else { None };
    Ok(address(&Key {
        format: FORMAT,
        backbone: &backbone.name,
        settings,
        tuning: study.tuning.as_ref().filter(|_| trains),
        adapter: &config.adapter,
    }))
}

/// The end of a teacher's path, such as `large/backbone`, or its id: directories may move.
fn name_of_teacher(path: &str) -> String {
    let parts: Vec<_> = Path::new(path).components().map(|part| part.as_os_str()).collect();
    let end = &parts[parts.len().saturating_sub(2)..];
    end.iter().collect::<std::path::PathBuf>().to_string_lossy().into_owned()
}

fn cell_address(
    study: &StudyConfig,
    encoder: &EncoderPlan,
    task: &StudyTask,
    fraction: f64,
    seed: u64,
) -> String {
    #[derive(Serialize)]
    struct Key<'a> {
        format: u32,
        encoder: &'a str,
        /// A row's name is part of the address: two rows may share an encoder.
        row: &'a str,
        task: &'a str,
        content: &'a str,
        limits: &'a Limits,
        finetune: &'a FinetuneGrid,
        fraction: f64,
        seed: u64,
    }
    address(&Key {
        format: FORMAT,
        encoder: &encoder.address,
        row: &encoder.row.name,
        task: &task.name,
        content: &task.content,
        limits: &study.limits,
        finetune: &study.finetune,
        fraction,
        seed,
    })
}

/// The first 16 hexadecimal digits of the SHA-256 of a key's JSON.
fn address(key: &impl Serialize) -> String {
    let json = serde_json::to_vec(key)
        .unwrap_or_else(|error| unreachable!("a key of plain values is JSON: {error}"));
    digest::sha256(&json)[..16].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_parsed_and_wrong_ones_refused() {
        assert_eq!("2/5".parse(), Ok(Shard { part: 2, parts: 5 }));
        for wrong in ["", "2", "0/3", "4/3", "a/b", "1/0", "-1/2"] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains("I/N"), "{wrong}");
        }
    }

    #[test]
    fn teachers_are_known_by_the_end_of_their_path() {
        let name = name_of_teacher;
        assert_eq!(name("/data/large/backbone"), name("here/large/backbone"));
        assert_ne!(name("large/backbone"), name("small/backbone"));
        assert_eq!(name("sentence-transformers/all-mpnet-base-v2").matches('/').count(), 1);
        assert_eq!([name("teacher"), name("")], ["teacher", ""]);
    }

    #[test]
    fn shards_share_out_every_cell_once_and_keep_groups_together() {
        let cell = |encoder, task, seed| CellPlan {
            address: format!("{encoder} {task} {seed}"),
            encoder,
            task,
            fraction: 1.0,
            seed,
        };
        let cells: Vec<CellPlan> = (0..3)
            .flat_map(|e| (0..5).flat_map(move |t| (0..2).map(move |s| cell(e, t, s))))
            .collect();
        let plan = Plan { encoders: Vec::new(), cells };
        for parts in [1, 2, 4, 15, 40] {
            let shards: Vec<_> =
                (1..=parts).map(|part| plan.shard(Shard { part, parts })).collect();
            let all: Vec<&CellPlan> = shards.iter().flatten().copied().collect();
            assert_eq!(all, plan.cells.iter().collect::<Vec<_>>(), "{parts}");
            for shard in &shards {
                assert!(shard.len() % 2 == 0, "the seeds of a task stay together");
            }
        }
    }
}
