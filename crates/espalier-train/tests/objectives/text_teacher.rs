//! The match of a teacher of text vectors.

use crate::noise;
use espalier_encoder::Head;
use espalier_testing::fixtures::fixture;
use espalier_testing::recorded::Recorded;
use espalier_train::config::DistillLossKind;
use espalier_train::objectives::distill::loss::{DistillLoss, WordBatch};
use espalier_train::objectives::pairs::loss::InfoNce;
use espalier_train::objectives::pairs::similarity::{SimilarityLoss, TeacherPairs};

const STUDENT: usize = 6;
const TEACHER: usize = 9;

/// The rows of a matrix at some indices.
fn rows(x: &[f32], width: usize, indices: &[i64]) -> Vec<f32> {
    indices.iter().flat_map(|&row| &x[row as usize * width..][..width]).copied().collect()
}

/// Each row scaled to length one.
fn unit(x: &[f32], width: usize) -> Vec<f32> {
    let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
    x.chunks(width).flat_map(|row| row.iter().map(|x| x / length(row))).collect()
}

fn add(rows: &[f32], width: usize, indices: &[i64], sum: &mut [f32]) {
    for (row, &at) in rows.chunks(width).zip(indices) {
        let sum = &mut sum[at as usize * width..][..width];
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// Within 1e-5 of the largest value.
fn assert_close(what: &str, found: &[f32], recorded: &[f32]) {
    assert_eq!(found.len(), recorded.len(), "{what}");
    let largest = recorded.iter().fold(0f32, |max, value| max.max(value.abs()));
    for (at, (found, recorded)) in found.iter().zip(recorded).enumerate() {
        let close = (found - recorded).abs() <= 1e-5 * largest;
        assert!(close, "{what}[{at}] is {found}, recorded is {recorded} (largest {largest})");
    }
}

/// The numbers of scripts/make_text_teacher_fixtures.py.
#[test]
fn the_combined_loss_and_its_gradients_match_pytorch() {
    let recorded = Recorded::at(&fixture("text-teacher"));
    let tensor = |name: &str| recorded.tensors[name].f32s();
    let setting = |name: &str| recorded.json["settings"][name].as_f64().unwrap() as f32;
    let (student, teacher) = (tensor("student"), unit(&tensor("teacher"), TEACHER));
    let indices = ["anchors", "candidates"].map(|name| recorded.tensors[name].i64s());
    let [anchors, candidates] = &indices;
    let excluded: Vec<bool> =
        recorded.tensors["excluded"].bytes.iter().map(|&byte| byte != 0).collect();
    let mut gradient = vec![0.0; student.len()];
    let compared = || (rows(&student, STUDENT, anchors), rows(&student, STUDENT, candidates));

    let (mut a, mut c) = compared();
    let infonce = InfoNce { temperature: setting("temperature") };
    let infonce = infonce.loss(STUDENT, &mut a, &mut c, &excluded, 1.0);
    add(&a, STUDENT, anchors, &mut gradient);
    add(&c, STUDENT, candidates, &mut gradient);

    let (mut a, mut c) = compared();
    let of_teacher = [anchors, candidates].map(|indices| rows(&teacher, TEACHER, indices));
    let pairs =
        TeacherPairs { width: TEACHER, anchors: &of_teacher[0], candidates: &of_teacher[1] };
    let (weight, similarity) = (
        setting("similarity_weight"),
        SimilarityLoss { temperature: setting("match_temperature") },
    );
    let similarity = similarity.loss(STUDENT, &mut a, &mut c, pairs, &excluded, weight);
    add(&a, STUDENT, anchors, &mut gradient);
    add(&c, STUDENT, candidates, &mut gradient);

    let values = [tensor("projection"), vec![0.0; TEACHER]].concat();
    let (map, mut d_map, mut d_vectors) =
        (Head { classes: TEACHER, values: values.clone() }, vec![0.0; values.len()], Vec::new());
    let weights = vec![1.0; student.len() / STUDENT];
    let texts = WordBatch { vectors: &student, targets: &teacher, weights: &weights };
    let cosine = DistillLoss { kind: DistillLossKind::Cosine, temperature: 1.0 };
    let vector_weight = setting("vector_weight");
    let vector = cosine.loss(texts, &map, vector_weight, &mut d_vectors, &mut d_map);
    gradient.iter_mut().zip(&d_vectors).for_each(|(sum, d)| *sum += d);

    let loss = infonce + f64::from(weight) * similarity + f64::from(vector_weight) * vector;
    for (name, found) in
        [("infonce", infonce), ("similarity", similarity), ("vector", vector), ("loss", loss)]
    {
        let expected = recorded.scalar(name);
        assert!((found - expected).abs() <= 2e-6 * expected, "{name}: {found}, not {expected}");
    }
    assert_close("grad.student", &gradient, &tensor("grad.student"));
    let d_projection = &d_map[..TEACHER * STUDENT];
    assert_close("grad.projection", d_projection, &tensor("grad.projection"));
}

/// A direct implementation of the divergence in f64.
fn divergence(
    (width, anchors, candidates): (usize, &[f64], &[f64]),
    (outputs, teacher_anchors, teacher_candidates): (usize, &[f64], &[f64]),
    excluded: &[bool],
    tau: f64,
) -> f64 {
    let (n, m) = (anchors.len() / width, candidates.len() / width);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let score = |width: usize, a: &[f64], c: &[f64], i: usize, j: usize| {
        let (a, c) = (&a[i * width..(i + 1) * width], &c[j * width..(j + 1) * width]);
        dot(a, c) / (dot(a, a) * dot(c, c)).sqrt() / tau
    };
    let student = |i: usize, j: usize| score(width, anchors, candidates, i, j);
    let teacher = |i: usize, j: usize| score(outputs, teacher_anchors, teacher_candidates, i, j);
    let kl = |pairs: Vec<(usize, usize)>| {
        let kept = pairs.into_iter().filter(|&(i, j)| !excluded[i * m + j]).collect::<Vec<_>>();
        let log_sum = |score: &dyn Fn(usize, usize) -> f64| {
            kept.iter().map(|&(i, j)| score(i, j).exp()).sum::<f64>().ln()
        };
        let (s, t) = (log_sum(&student), log_sum(&teacher));
        let term = |&(i, j): &(usize, usize)| {
            let (s, t) = (student(i, j) - s, teacher(i, j) - t);
            t.exp() * (t - s)
        };
        kept.iter().map(term).sum::<f64>()
    };
    let rows = (0..n).map(|i| kl((0..m).map(|j| (i, j)).collect())).sum::<f64>();
    let columns = (0..n).map(|j| kl((0..n).map(|i| (i, j)).collect())).sum::<f64>();
    (rows + columns) / (2 * n) as f64
}

/// 5 pairs, and 300 pairs, which are more than are scored at a time. Both with hard negatives and
/// excluded candidates.
#[test]
fn the_divergence_matches_a_reference_and_finite_differences() {
    let (tau, weight, outputs) = (0.2, 2.0, 7);
    for (n, hard, width) in [(5, 3, 6), (300, 7, 4)] {
        let m = n + hard;
        let (anchors, candidates) = (noise(n * width, 1.0), noise(m * width, 2.0));
        let of_teacher =
            [noise(n * outputs, 3.0), noise(m * outputs, 4.0)].map(|x| unit(&x, outputs));
        let excluded: Vec<bool> = (0..n * m).map(|at| at % 4 == 1 && at / m != at % m).collect();
        let (mut d_anchors, mut d_candidates) = (anchors.clone(), candidates.clone());
        let pairs =
            TeacherPairs { width: outputs, anchors: &of_teacher[0], candidates: &of_teacher[1] };
        let similarity = SimilarityLoss { temperature: tau };
        let loss =
            similarity.loss(width, &mut d_anchors, &mut d_candidates, pairs, &excluded, weight);

        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (a, c) = (wide(&anchors), wide(&candidates));
        let [t_a, t_c] = of_teacher.map(|x| wide(&x));
        let reference = |a: &[f64], c: &[f64]| {
            divergence((width, a, c), (outputs, &t_a, &t_c), &excluded, f64::from(tau))
        };
        let expected = reference(&a, &c);
        assert!((loss - expected).abs() < 1e-5 * expected, "{loss} is not {expected}");
        let stride = if n > 100 { 797 } else { 1 };
        let largest = d_anchors.iter().chain(&d_candidates).fold(0f32, |max, d| max.max(d.abs()));
        for (which, found) in [&d_anchors, &d_candidates].into_iter().enumerate() {
            for at in (0..found.len()).step_by(stride) {
                let moved = |by: f64| {
                    let mut both = [a.clone(), c.clone()];
                    both[which][at] += by;
                    reference(&both[0], &both[1])
                };
                let expected = f64::from(weight) * (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let found = f64::from(found[at]);
                assert!(
                    (found - expected).abs() < 1e-4 * f64::from(largest),
                    "{n} pairs, {which} [{at}]: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn a_student_with_the_teachers_vectors_has_no_divergence_and_no_gradient() {
    let (n, width) = (5, 6);
    let (mut anchors, mut candidates) = (noise(n * width, 1.0), noise((n + 2) * width, 2.0));
    let (a, c) = (unit(&anchors, width), unit(&candidates, width));
    let teacher = TeacherPairs { width, anchors: &a, candidates: &c };
    let similarity = SimilarityLoss { temperature: 0.05 };
    let loss = similarity.loss(width, &mut anchors, &mut candidates, teacher, &[], 1.0);
    assert!(loss.abs() < 1e-9, "{loss}");
    assert!(anchors.iter().chain(&candidates).all(|d| d.abs() < 1e-5), "{anchors:?}");
}

#[test]
fn the_weight_scales_gradients_but_not_the_loss() {
    let (n, width) = (4, 3);
    let (a, c) = (unit(&noise(n * width, 3.0), width), unit(&noise(n * width, 4.0), width));
    let teacher = TeacherPairs { width, anchors: &a, candidates: &c };
    let weighted = |weight| {
        let (mut anchors, mut candidates) = (noise(n * width, 1.0), noise(n * width, 2.0));
        let similarity = SimilarityLoss { temperature: 0.5 };
        let loss = similarity.loss(width, &mut anchors, &mut candidates, teacher, &[], weight);
        (loss, [anchors, candidates].concat())
    };
    let ((one, full), (same, quarter)) = (weighted(1.0), weighted(0.25));
    assert_eq!(one, same);
    assert!(full.iter().zip(quarter).all(|(full, quarter)| 0.25 * full == quarter));
}
