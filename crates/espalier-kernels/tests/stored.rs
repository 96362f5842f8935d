//! Stored matrices: packed and looked up as the numbers that they stand for, and read from mapped
//! files.

use espalier_kernels::embedding::{EmbeddingTables, embed};
use espalier_kernels::gemm::{Matrix, MatrixMut, Packed, Start};
use espalier_kernels::mapped::Mapped;
use espalier_kernels::{Bf16, Precision, Rows, quantize_rows, round_to_bf16};
use espalier_testing::random::Random;
use std::fs;

/// Sizes that no kernel's tile divides.
const OUTPUTS: usize = 45;
const INPUTS: usize = 37;
const TOKENS: usize = 5;

fn narrow(values: &[f32]) -> Vec<Bf16> {
    let mut out = vec![Bf16::default(); values.len()];
    round_to_bf16(values, &mut out);
    out
}

fn product(packed: &Packed) -> Vec<u32> {
    let (x, mut y) = (Random::new(7).vec(TOKENS * INPUTS), vec![f32::NAN; TOKENS * OUTPUTS]);
    packed.gemm(
        Matrix::new(&x, TOKENS, INPUTS),
        Start::Zero,
        MatrixMut::new(&mut y, TOKENS, OUTPUTS),
    );
    y.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_copy_does_not_follow_its_file() {
    let directory = std::env::temp_dir().join(format!("espalier-copy-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("numbers");
    let numbers: Vec<u8> = (0..20_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&path, &numbers).unwrap();
    let copy = Mapped::copy(&path).unwrap();
    fs::write(&path, b"other").unwrap();
    copy.release(0..numbers.len());
    assert_eq!(copy.bytes(), numbers);
    assert_eq!(copy.view::<u32>(40_000..40_004).unwrap()[0], 10_000);
    fs::write(&path, b"").unwrap();
    assert_eq!(Mapped::copy(&path).unwrap().bytes(), b"");
    fs::remove_dir_all(&directory).unwrap();
    assert!(Mapped::copy(&path).is_err());
}

#[test]
fn stored_weights_are_packed_as_the_numbers_they_stand_for() {
    let weight = Random::new(1).vec(OUTPUTS * INPUTS);
    let (bf16, mut bytes, mut scales) =
        (narrow(&weight), vec![0; weight.len()], vec![0.0; OUTPUTS]);
    quantize_rows(&weight, &mut bytes, &mut scales);
    let wide: Vec<f32> = bf16.iter().map(|x| x.to_f32()).collect();
    let cases = [
        (Precision::F32, Rows::F32(&weight), &weight),
        (Precision::Bf16, Rows::F32(&weight), &weight),
        (Precision::Int8, Rows::F32(&weight), &weight),
        (Precision::F32, Rows::Bf16(&bf16), &wide),
        (Precision::Bf16, Rows::Bf16(&bf16), &weight),
        (Precision::Int8, Rows::Int8 { bytes: &bytes, scales: &scales }, &weight),
    ];
    for (precision, stored, values) in cases {
        let expected = Packed::new(precision, Matrix::new(values, OUTPUTS, INPUTS).t());
        let found = Packed::of_rows(precision, stored, INPUTS);
        assert_eq!((found.rows(), found.columns()), (INPUTS, OUTPUTS));
        assert_eq!(product(&found), product(&expected), "{precision} of {stored:?}");
    }
}

#[test]
#[should_panic(expected = "bytes are multiplied as bytes")]
fn bytes_are_not_packed_for_other_products() {
    Packed::of_rows(Precision::F32, Rows::Int8 { bytes: &[1; 6], scales: &[1.0; 2] }, 3);
}

#[test]
fn rounding_to_bytes_worked_by_hand() {
    let (mut bytes, mut scales) = ([0; 9], [0.0; 3]);
    quantize_rows(
        &[127.0, -63.4, 0.0, 0.5, -254.0, 3.0, 200.0, 54.0, -9.8],
        &mut bytes,
        &mut scales,
    );
    assert_eq!((bytes, scales), ([127, -63, 0, 0, -127, 2, 100, 27, -5], [1.0, 2.0, 2.0]));
    quantize_rows(&[0.0; 9], &mut bytes, &mut scales);
    assert_eq!((bytes, scales), ([0; 9], [0.0; 3]));
}

#[test]
fn words_are_looked_up_in_any_type() {
    let (ids, positions) = ([2, 0, 2], [1, 0, 0]);
    let places = [0.5, 0.25, -8.0, 4.0];
    let sum = |word_embeddings: Rows| {
        let tables = EmbeddingTables {
            width: 2,
            word_embeddings,
            position_embeddings: &places,
            token_type_embedding: &[1.0, 2.0],
        };
        let mut out = [f32::NAN; 6];
        embed(tables, &ids, &positions, &mut out);
        out
    };
    // Rows 2, 0 and 2 of the words, plus positions 1, 0 and 0, plus the type.
    let expected = [-12.0, 12.0, 2.5, 0.25, -3.5, 8.25];
    let words = [1.0, -2.0, f32::NAN, f32::NAN, -5.0, 6.0];
    assert_eq!(sum(Rows::F32(&words)), expected);
    assert_eq!(sum(Rows::Bf16(&narrow(&words))), expected);
    assert_eq!(
        sum(Rows::Int8 { bytes: &[2, -4, 0, 0, -10, 12], scales: &[0.5, f32::NAN, 0.5] }),
        expected
    );
}

/// A file of its own for each test, removed when it is done.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("espalier-{name}-{}", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps a file")]
fn views_are_whole_aligned_ranges_of_the_file() {
    let numbers = [1.5f32, -2.0, 0.25];
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).chain([7, 255]).collect();
    let file = Scratch::new("views", &bytes);
    let mapped = Mapped::open(&file.0).unwrap();
    assert_eq!(mapped.bytes(), bytes);
    assert_eq!(*mapped.view::<f32>(0..12).unwrap(), numbers);
    assert_eq!(*mapped.view::<Bf16>(2..4).unwrap(), [Bf16::from_f32(1.5)]);
    assert_eq!(*mapped.view::<i8>(12..14).unwrap(), [7, -1]);
    assert!(mapped.view::<u8>(14..14).unwrap().is_empty());
    for range in [1..5, 0..5, 12..16, 0..usize::MAX] {
        assert!(mapped.view::<f32>(range.clone()).is_none(), "{range:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps a file")]
fn a_view_keeps_its_file_and_survives_its_release() {
    let file = Scratch::new("release", &[1; 10_000]);
    let mapped = Mapped::open(&file.0).unwrap();
    let view = mapped.view::<u8>(1..9_999).unwrap();
    mapped.release(0..10_000);
    drop(mapped);
    assert!(view.clone().iter().all(|&byte| byte == 1) && view.len() == 9_998);
}

#[test]
#[cfg_attr(miri, ignore = "maps a file")]
fn missing_and_empty_files() {
    assert!(Mapped::open("no/such/file".as_ref()).is_err());
    let file = Scratch::new("empty", &[]);
    assert!(Mapped::open(&file.0).unwrap().bytes().is_empty());
}
