//! What the results of a study say: means, differences with confidence intervals, ranks.

mod bootstrap;

pub use bootstrap::Interval;

use super::results::{CellRecord, EncoderRecord, Record};
use bootstrap::{Scores, TaskScores, interval, mean};
use espalier_encoder::Family;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A task counts as won or lost if the means differ by more than this, in points / 100.
const TIE: f64 = 0.005;

/// The result of a study.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// One table per backbone and fraction, in the order of their names and sizes.
    pub tables: Vec<Table>,
    /// The pre-finetuned encoders.
    pub encoders: Vec<EncoderRecord>,
    /// The tasks that are left out of [`FamilyResult::without_close`], because pre-finetuning saw
    /// data like theirs.
    pub close_tasks: Vec<String>,
    /// The number of cells.
    pub cells: usize,
    /// The time of all cells and of pre-finetuning, in seconds.
    pub seconds: f64,
    /// The processors and versions that computed them.
    pub machines: Vec<String>,
}

/// The rows of one backbone at one label fraction.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// The name of the backbone.
    pub backbone: String,
    /// The fraction of the training examples.
    pub fraction: f64,
    /// The tasks, ordered by family and name.
    pub tasks: Vec<TaskColumn>,
    /// The rows, in the order of first appearance of the study's strategies.
    pub rows: Vec<Row>,
}

/// A task of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskColumn {
    /// Its name.
    pub name: String,
    /// Its family.
    pub family: Family,
    /// The number of training examples: the least, for seeds may differ by a few.
    pub train: usize,
    /// The number of test examples.
    pub test: usize,
}

/// The results of a strategy.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The mean score on each task, with the interval over seeds.
    pub tasks: BTreeMap<String, Interval>,
    /// The paired difference to the row `none` on each task, with the interval over seeds.
    pub gains: BTreeMap<String, Interval>,
    /// The results of each family.
    pub families: BTreeMap<Family, FamilyResult>,
}

/// A strategy's results on the tasks of a family.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FamilyResult {
    /// The mean over tasks.
    pub mean: Interval,
    /// The same without the tasks that are close to the data of pre-finetuning.
    pub without_close: Option<Interval>,
    /// The mean of the ranks on the tasks that all rows have; 1 is the best.
    pub rank: Option<f64>,
    /// The differences to other rows.
    pub against: Vec<Difference>,
}

/// The paired difference to another row.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// What is compared with: `none`, `joint`, or the better one of the single-family strategies.
    pub row: String,
    /// The difference, positive if the first row is better.
    pub difference: Interval,
    /// Tasks on which it is better by more than half a point.
    pub wins: usize,
    /// Tasks on which the two differ by less.
    pub ties: usize,
    /// Tasks on which it is worse by more than half a point.
    pub losses: usize,
}

/// The scores of a table: rows, then tasks.
type ByRow = BTreeMap<String, Scores>;

impl Summary {
    /// Summarizes results. `order` has the names of rows in the order of the tables; others follow.
    pub fn new<'a>(
        records: impl IntoIterator<Item = &'a Record>,
        order: &[String],
        close_tasks: &[String],
    ) -> Self {
        let mut cells: Vec<&CellRecord> = Vec::new();
        let mut encoders: Vec<EncoderRecord> = Vec::new();
        let mut seconds = 0.0;
        for record in records {
            match record {
                Record::Cell(cell) => cells.push(cell),
                Record::Encoder(encoder) => encoders.push(encoder.clone()),
                Record::Tuning(tuning) => seconds += tuning.seconds,
            }
        }
        seconds += cells.iter().map(|cell| cell.seconds).sum::<f64>();
        seconds += encoders.iter().map(|encoder| encoder.seconds).sum::<f64>();
        let machines: BTreeSet<&String> = cells.iter().map(|cell| &cell.machine).collect();
        let position = |row: &String| order.iter().position(|name| name == row);
        encoders.sort_by_key(|encoder| {
            let position = position(&encoder.row).unwrap_or(usize::MAX);
            (encoder.backbone.clone(), position, encoder.row.clone(), encoder.seed)
        });
        let mut tables: BTreeMap<(&str, u64), Vec<&CellRecord>> = BTreeMap::new();
        for &cell in &cells {
            // Positive numbers have the order of their bits.
            tables.entry((&cell.backbone, cell.fraction.to_bits())).or_default().push(cell);
        }
        Self {
            tables: tables.into_values().map(|cells| table(&cells, order, close_tasks)).collect(),
            encoders,
            close_tasks: close_tasks.to_vec(),
            cells: cells.len(),
            seconds,
            machines: machines.into_iter().cloned().collect(),
        }
    }
}

/// A table of cells that have the backbone and the fraction in common.
fn table(cells: &[&CellRecord], order: &[String], close: &[String]) -> Table {
    let mut scores = ByRow::new();
    let mut tasks: BTreeMap<(Family, &str), TaskColumn> = BTreeMap::new();
    for cell in cells {
        let row = scores.entry(cell.row.clone()).or_default();
        let task: &mut TaskScores = row.entry(cell.task.clone()).or_default();
        task.insert((cell.prefinetune_seed, cell.seed), cell.score);
        let column = tasks.entry((cell.family, &cell.task)).or_insert_with(|| TaskColumn {
            name: cell.task.clone(),
            family: cell.family,
            train: cell.train,
            test: cell.test,
        });
        column.train = column.train.min(cell.train);
    }
    let tasks: Vec<TaskColumn> = tasks.into_values().collect();
    let known = order.iter().filter(|name| scores.contains_key(*name));
    let others = scores.keys().filter(|name| !order.contains(name));
    let names: Vec<&String> = known.chain(others).collect();
    Table {
        backbone: cells[0].backbone.clone(),
        fraction: cells[0].fraction,
        rows: names.into_iter().map(|name| row(name, &scores, &tasks, close)).collect(),
        tasks,
    }
}

fn row(name: &str, scores: &ByRow, tasks: &[TaskColumn], close: &[String]) -> Row {
    let own = &scores[name];
    let of_task = |(task, scores): (&String, &TaskScores)| {
        let alone = Scores::from([(task.clone(), scores.clone())]);
        Some((task.clone(), interval(&alone, None)?))
    };
    let none = scores.get("none").filter(|_| name != "none");
    let gain = |(task, scores): (&String, &TaskScores)| {
        let alone = Scores::from([(task.clone(), scores.clone())]);
        Some((task.clone(), interval(&alone, Some(none?))?))
    };
    let families = [Family::Ner, Family::Tc].into_iter();
    Row {
        name: name.to_string(),
        tasks: own.iter().filter_map(of_task).collect(),
        gains: own.iter().filter_map(gain).collect(),
        families: families
            .filter_map(|family| Some((family, family_result(name, scores, tasks, family, close)?)))
            .collect(),
    }
}

/// The scores of a row on the tasks that `keep` keeps.
fn on(scores: &Scores, keep: impl Fn(&str) -> bool) -> Scores {
    let kept = scores.iter().filter(|(task, _)| keep(task));
    kept.map(|(task, scores)| (task.clone(), scores.clone())).collect()
}

fn family_result(
    name: &str,
    scores: &ByRow,
    tasks: &[TaskColumn],
    family: Family,
    close: &[String],
) -> Option<FamilyResult> {
    let of_family =
        |task: &str| tasks.iter().any(|column| column.family == family && column.name == task);
    let all: ByRow =
        scores.iter().map(|(row, scores)| (row.clone(), on(scores, of_family))).collect();
    let own = &all[name];
    let far = on(own, |task| !close.iter().any(|close| close == task));
    let references = ["none".to_string(), "joint".to_string()].into_iter();
    let references = references.chain(best_single_family(&all)).filter(|row| row != name);
    Some(FamilyResult {
        mean: interval(own, None)?,
        without_close: interval(&far, None).filter(|_| far.len() < own.len()),
        rank: mean_rank(name, &all),
        against: references
            .filter_map(|row| difference(own, row.clone(), all.get(&row)?))
            .collect(),
    })
}

/// The better one of the strategies `ner` and `tc`, which train with one family's objective.
fn best_single_family(scores: &ByRow) -> Option<String> {
    let named = |row: &&str| Some((mean(scores.get(*row)?, None)?, row.to_string()));
    let means = ["ner", "tc"].iter().filter_map(named);
    means.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, row)| row)
}

fn difference(own: &Scores, row: String, other: &Scores) -> Option<Difference> {
    let overall = interval(own, Some(other))?;
    let (mut wins, mut ties, mut losses) = (0, 0, 0);
    for task in own.keys() {
        let one = |scores: &Scores| on(scores, |name| name == task);
        match mean(&one(own), Some(&one(other))) {
            Some(difference) if difference > TIE => wins += 1,
            Some(difference) if difference < -TIE => losses += 1,
            Some(_) => ties += 1,
            None => {}
        }
    }
    Some(Difference { row, difference: overall, wins, ties, losses })
}

/// The mean rank of a row among all rows, over the tasks that all of them have. Rows with the same
/// score share the mean of their ranks.
fn mean_rank(name: &str, scores: &ByRow) -> Option<f64> {
    let mean = |scores: &TaskScores| scores.values().sum::<f64>() / scores.len() as f64;
    let mut ranks = Vec::new();
    for task in scores[name].keys() {
        let others: Option<Vec<f64>> = scores.values().map(|row| row.get(task).map(mean)).collect();
        let Some(others) = others else { continue };
        let own = mean(&scores[name][task]);
        let better = others.iter().filter(|&&other| other > own).count();
        let same = others.iter().filter(|&&other| other == own).count();
        ranks.push(better as f64 + 0.5 * (same as f64 + 1.0));
    }
    (!ranks.is_empty()).then(|| ranks.iter().sum::<f64>() / ranks.len() as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three rows on two tasks of each family: `tpl` gains two points in NER and eight in
    /// classification, `joint` loses one in NER and gains eight.
    pub(crate) fn sample() -> Vec<Record> {
        let mut records = Vec::new();
        let gains = [("none", 0.0, 0.0), ("joint", -0.01, 0.08), ("tpl", 0.02, 0.08)];
        for (row, ner, tc) in gains {
            for (task, family, base) in [
                ("cities", Family::Ner, 0.4),
                ("genes <b>", Family::Ner, 0.6),
                ("intents", Family::Tc, 0.7),
                ("opinions", Family::Tc, 0.8),
            ] {
                for (fraction, share) in [(0.1, 0.0), (1.0, 0.1)] {
                    for seed in 0..3 {
                        let gain = if family == Family::Ner { ner } else { tc };
                        records.push(Record::Cell(CellRecord {
                            address: format!("{row} {task} {fraction} {seed}"),
                            backbone: "tiny".into(),
                            row: row.into(),
                            prefinetune_seed: 0,
                            encoder: row.into(),
                            task: task.into(),
                            family,
                            fraction,
                            train: (1000.0 * fraction) as usize,
                            test: 200,
                            seed,
                            dev: BTreeMap::new(),
                            learning_rate: 1e-3,
                            score: base + share + gain + 0.01 * seed as f64,
                            second_score: 0.5,
                            seconds: 2.0,
                            machine: "a processor".into(),
                        }));
                    }
                }
            }
        }
        records.push(Record::Encoder(EncoderRecord {
            address: "tpl".into(),
            backbone: "tiny".into(),
            row: "tpl".into(),
            seed: 0,
            chosen: vec!["ner.weight=2".into()],
            steps: 100,
            validation: BTreeMap::from([("ner".into(), 1.5)]),
            seconds: 60.0,
            fingerprint: "f00".into(),
            machine: "a processor".into(),
        }));
        records
    }

    fn summary() -> Summary {
        let order = ["none", "joint", "tpl"].map(String::from);
        Summary::new(&sample(), &order, &["genes <b>".to_string()])
    }

    #[test]
    fn tables_are_by_backbone_and_fraction_and_rows_in_their_order() {
        let summary = summary();
        assert_eq!((summary.cells, summary.seconds), (72, 72.0 * 2.0 + 60.0));
        let fractions: Vec<f64> = summary.tables.iter().map(|table| table.fraction).collect();
        assert_eq!(fractions, [0.1, 1.0]);
        let names: Vec<&str> = summary.tables[0].rows.iter().map(|row| &*row.name).collect();
        assert_eq!(names, ["none", "joint", "tpl"]);
        let tasks: Vec<&str> = summary.tables[0].tasks.iter().map(|task| &*task.name).collect();
        assert_eq!(tasks, ["cities", "genes <b>", "intents", "opinions"]);
    }

    #[test]
    fn differences_are_paired_and_counted_by_task() {
        let summary = summary();
        let tpl = &summary.tables[0].rows[2].families[&Family::Ner];
        assert!((tpl.mean.mean - 0.53).abs() < 1e-9); // 0.5, the gain, and the seeds' 0.01
        assert!((tpl.without_close.unwrap().mean - 0.43).abs() < 1e-9);
        let [none, joint] = &tpl.against[..] else { panic!("{:?}", tpl.against) };
        assert_eq!((none.row.as_str(), none.wins, none.losses), ("none", 2, 0));
        assert!((none.difference.mean - 0.02).abs() < 1e-9);
        assert!((none.difference.low - 0.02).abs() < 1e-9);
        assert!((joint.difference.mean - 0.03).abs() < 1e-9);
        let tc = &summary.tables[0].rows[2].families[&Family::Tc];
        assert_eq!((tc.against[1].wins, tc.against[1].ties), (0, 2));
    }

    #[test]
    fn ranks_are_shared_by_equals() {
        let summary = summary();
        let ranks = |family| {
            let rows = summary.tables[0].rows.iter();
            rows.map(|row| row.families[&family].rank.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ranks(Family::Ner), [2.0, 3.0, 1.0]);
        assert_eq!(ranks(Family::Tc), [3.0, 1.5, 1.5]);
    }

    #[test]
    fn a_single_family_strategy_is_compared_with_where_there_is_one() {
        let mut records = sample();
        for record in &mut records {
            if let Record::Cell(cell) = record
                && cell.row == "joint"
            {
                cell.row = "ner".into();
            }
        }
        let summary = Summary::new(&records, &[], &[]);
        let tpl = summary.tables[0].rows.iter().find(|row| row.name == "tpl").unwrap();
        let rows = tpl.families[&Family::Ner].against.iter().map(|against| against.row.as_str());
        assert_eq!(rows.collect::<Vec<_>>(), ["none", "ner"]);
    }
}
