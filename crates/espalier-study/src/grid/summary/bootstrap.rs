//! Confidence intervals by the bootstrap, over tasks and seeds.

use espalier_data::sampling::generator;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The number of resamples.
const RESAMPLES: usize = 2000;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
    /// The number of tasks.
    pub tasks: usize,
    /// The number of scores.
    pub n: usize,
}

/// A row's scores on one task, by the seed of pre-finetuning and that of fine-tuning.
pub(super) type TaskScores = BTreeMap<(u64, u64), f64>;

/// A row's scores, by task.
pub(super) type Scores = BTreeMap<String, TaskScores>;

/// A row's scores, or its difference to another row's, on the tasks that both have.
struct Sample<'a> {
    /// The row and, for a difference, the other.
    sides: Vec<&'a Scores>,
    tasks: Vec<&'a String>,
    /// For each side the seeds of pre-finetuning.
    encoders: Vec<Vec<u64>>,
    /// For each task the seeds of fine-tuning that all sides have.
    seeds: Vec<Vec<u64>>,
}

impl<'a> Sample<'a> {
    /// `None` if no task has a common seed of fine-tuning.
    fn new(scores: &'a Scores, reference: Option<&'a Scores>) -> Option<Self> {
        let sides: Vec<&Scores> = [Some(scores), reference].into_iter().flatten().collect();
        let common = |task: &&String| {
            sides.iter().all(|side| side.contains_key(*task))
                && !fine_tuning_seeds(&sides, task).is_empty()
        };
        let tasks: Vec<&String> = scores.keys().filter(common).collect();
        let encoders = sides.iter().map(|side| pre_finetuning_seeds(side, &tasks)).collect();
        let seeds = tasks.iter().map(|task| fine_tuning_seeds(&sides, task)).collect();
        (!tasks.is_empty()).then_some(Self { sides, tasks, encoders, seeds })
    }

    /// The score of a side on a task, or the difference of both sides.
    fn task(&self, task: usize, encoders: &[Vec<u64>], seeds: &[u64]) -> f64 {
        let mean =
            |side: usize| mean_of(&self.sides[side][self.tasks[task]], &encoders[side], seeds);
        mean(0) - if self.sides.len() > 1 { mean(1) } else { 0.0 }
    }

    fn mean(&self) -> f64 {
        let each =
            (0..self.tasks.len()).map(|task| self.task(task, &self.encoders, &self.seeds[task]));
        each.sum::<f64>() / self.tasks.len() as f64
    }

    /// The mean of one resample.
    fn resample(&self, rng: &mut ChaCha8Rng) -> f64 {
        let tasks = draw(&(0..self.tasks.len()).collect::<Vec<_>>(), rng);
        let encoders: Vec<Vec<u64>> = self.encoders.iter().map(|all| draw(all, rng)).collect();
        let mut sum = 0.0;
        for &task in &tasks {
            let seeds = draw(&self.seeds[task], rng);
            sum += self.task(task, &encoders, &seeds);
        }
        sum / tasks.len() as f64
    }
}

/// The mean over tasks of the difference between two rows, on the tasks that both have. Without a
/// second row it is the mean of the first.
pub(super) fn mean(scores: &Scores, reference: Option<&Scores>) -> Option<f64> {
    Some(Sample::new(scores, reference)?.mean())
}

/// [`mean`] with its interval: the percentile interval of a bootstrap that draws tasks, for each
/// task seeds of fine-tuning (the same for both rows: the difference is a paired one), and for each
/// row seeds of pre-finetuning (the same for all tasks, for an encoder is good or bad for all of
/// them).
pub(super) fn interval(scores: &Scores, reference: Option<&Scores>) -> Option<Interval> {
    let sample = Sample::new(scores, reference)?;
    let mut rng = generator(0, "bootstrap");
    let resampled = (0..RESAMPLES).map(|_| sample.resample(&mut rng));
    let mut resampled: Vec<f64> = resampled.filter(|mean| mean.is_finite()).collect();
    resampled.sort_by(f64::total_cmp);
    let last = resampled.len().checked_sub(1)?;
    let quantile = |q: f64| resampled[(last as f64 * q).round() as usize];
    Some(Interval {
        mean: sample.mean(),
        low: quantile(0.025),
        high: quantile(0.975),
        tasks: sample.tasks.len(),
        n: sample.tasks.iter().map(|task| scores[*task].len()).sum(),
    })
}

/// The seeds of pre-finetuning that a side has on these tasks.
fn pre_finetuning_seeds(side: &Scores, tasks: &[&String]) -> Vec<u64> {
    let keys = tasks.iter().flat_map(|task| side[*task].keys());
    let seeds: BTreeSet<u64> = keys.map(|(encoder, _)| *encoder).collect();
    seeds.into_iter().collect()
}

/// The seeds of fine-tuning that every side has on a task.
fn fine_tuning_seeds(sides: &[&Scores], task: &str) -> Vec<u64> {
    let of =
        |side: &Scores| -> BTreeSet<u64> { side[task].keys().map(|(_, seed)| *seed).collect() };
    let mut common = of(sides[0]);
    for side in &sides[1..] {
        let other = of(side);
        common.retain(|seed| other.contains(seed));
    }
    common.into_iter().collect()
}

/// As many elements as there are, drawn with replacement.
fn draw<T: Clone>(from: &[T], rng: &mut ChaCha8Rng) -> Vec<T> {
    (0..from.len()).map(|_| from[rng.random_range(0..from.len())].clone()).collect()
}

/// The mean over pairs of seeds; NaN if the task has none of them.
fn mean_of(scores: &TaskScores, encoders: &[u64], seeds: &[u64]) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for &encoder in encoders {
        for &seed in seeds {
            if let Some(score) = scores.get(&(encoder, seed)) {
                sum += score;
                count += 1;
            }
        }
    }
    sum / f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of `tasks` tasks with two encoders and three seeds.
    fn scores(tasks: usize, score: impl Fn(usize, u64, u64) -> f64) -> Scores {
        let task = |t: usize| {
            let pairs = (0..2).flat_map(|e| (0..3).map(move |s| (e, s)));
            (format!("task {t}"), pairs.map(|(e, s)| ((e, s), score(t, e, s))).collect())
        };
        (0..tasks).map(task).collect()
    }

    #[test]
    fn equal_scores_have_no_spread() {
        let interval = interval(&scores(4, |_, _, _| 0.5), None).unwrap();
        assert_eq!((interval.mean, interval.low, interval.high), (0.5, 0.5, 0.5));
        assert_eq!((interval.tasks, interval.n), (4, 24));
    }

    #[test]
    fn a_paired_difference_is_free_of_what_both_have_in_common() {
        // Tasks and seeds differ much, the rows always by 0.1.
        let base = |t: usize, _: u64, s: u64| 0.1 * t as f64 + 0.05 * s as f64;
        let better = scores(8, |t, e, s| base(t, e, s) + 0.1);
        let difference = interval(&better, Some(&scores(8, base))).unwrap();
        assert!((difference.low - 0.1).abs() < 1e-9 && (difference.high - 0.1).abs() < 1e-9);
        let alone = interval(&better, None).unwrap();
        assert!(alone.high - alone.low > 0.1, "{alone:?}");
    }

    /// With one encoder, one seed and two tasks of 0 and 1, the mean of a resample is 0, 1/2 or 1
    /// with probabilities 1/4, 1/2 and 1/4.
    #[test]
    fn tasks_are_drawn_with_replacement() {
        let scores: Scores = [("a", 0.0), ("b", 1.0)]
            .map(|(task, score)| (task.to_string(), BTreeMap::from([((0, 0), score)])))
            .into();
        let interval = interval(&scores, None).unwrap();
        assert_eq!((interval.mean, interval.low, interval.high), (0.5, 0.0, 1.0));
    }

    /// The standard error of a mean of 16 tasks is known: 1.96 sigma / sqrt 16 each side.
    #[test]
    fn the_width_is_that_of_the_normal_distribution_for_many_tasks() {
        // Scores 0 and 1 in turn: sigma = 0.5, half-width 0.245.
        let scores: Scores = (0..16)
            .map(|t| (format!("{t:02}"), BTreeMap::from([((0, 0), f64::from(t % 2))])))
            .collect();
        let interval = interval(&scores, None).unwrap();
        let half = 0.5 * (interval.high - interval.low);
        assert!((half - 0.245).abs() < 0.03, "{half}");
    }

    #[test]
    fn an_encoder_that_is_bad_for_all_tasks_widens_the_interval() {
        let same = interval(&scores(20, |_, _, _| 0.5), None).unwrap();
        let differs = interval(&scores(20, |_, e, _| 0.4 + 0.2 * e as f64), None).unwrap();
        assert!((same.mean - differs.mean).abs() < 1e-12);
        // Both encoders are the same one in half of the resamples.
        assert!((differs.low - 0.4).abs() < 1e-9 && (differs.high - 0.6).abs() < 1e-9);
    }

    #[test]
    fn only_common_tasks_and_seeds_are_compared() {
        let all = scores(3, |t, _, _| t as f64);
        let mut fewer = all.clone();
        fewer.remove("task 2");
        fewer.get_mut("task 0").unwrap().retain(|(_, seed), _| *seed < 2);
        let difference = interval(&all, Some(&fewer)).unwrap();
        assert_eq!((difference.mean, difference.tasks), (0.0, 2));
        assert_eq!(interval(&all, Some(&Scores::new())), None);
        // A study that has just begun: the rows have no seed in common.
        let alone = |seed| Scores::from([("a".to_string(), BTreeMap::from([((0, seed), 0.5)]))]);
        assert_eq!(interval(&alone(0), Some(&alone(1))), None);
    }
}
