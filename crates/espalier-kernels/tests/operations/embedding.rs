use crate::oracle;
use crate::support::*;
use espalier_kernels::Rows;
use espalier_kernels::embedding::*;
use proptest::prelude::*;

const WORDS: usize = 11;
const POSITIONS: usize = 7;

struct Case {
    ids: Vec<u32>, // [T]
    at: Vec<u32>,  // [T]
    width: usize,
    words: Vec<f32>,      // [WORDS, H]
    positions: Vec<f32>,  // [POSITIONS, H]
    token_type: Vec<f32>, // [H], or nothing
}

impl Case {
    fn new(tokens: usize, width: usize, random: &mut Random) -> Self {
        Self {
            width,
            ids: random.below(tokens, WORDS),
            at: random.below(tokens, POSITIONS),
            words: random.vec(WORDS * width),
            positions: random.vec(POSITIONS * width),
            token_type: random.vec(width),
        }
    }

    fn forward(&self) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.ids.len() * self.width];
        let Self { width, words, positions, token_type, .. } = self;
        let tables = EmbeddingTables {
            width: *width,
            word_embeddings: Rows::F32(words),
            position_embeddings: positions,
            token_type_embedding: token_type,
        };
        embed(tables, &self.ids, &self.at, &mut out);
        out
    }

    /// The tables' gradients, added to the tables themselves.
    fn backward(&self, d_out: &[f32]) -> Vec<Vec<f32>> {
        let mut gradients = [&self.words, &self.positions, &self.token_type].map(Vec::clone);
        let [words, positions, token_type] = &mut gradients;
        embed_backward(
            &self.ids,
            &self.at,
            d_out,
            EmbeddingTablesMut {
                width: self.width,
                word_embeddings: words,
                position_embeddings: positions,
                token_type_embedding: token_type,
            },
        );
        gradients.to_vec()
    }
}

fn check(tokens: usize, width: usize, seed: u64) {
    let case = Case::new(tokens, width, &mut Random::new(seed));
    check_case(&case, seed);
    check_case(&Case { token_type: Vec::new(), ..case }, seed);
}

fn check_case(case: &Case, seed: u64) {
    let (mut random, tokens, width) = (Random::new(!seed), case.ids.len(), case.width);
    let d_out = random.vec(tokens * width);
    let (w, p, t) = (wide(&case.words), wide(&case.positions), wide(&case.token_type));
    let embed =
        |w: &[f64], p: &[f64], t: &[f64]| oracle::embed(width, w, p, t, &case.ids, &case.at);
    assert_close("out", &case.forward(), &embed(&w, &p, &t));

    let loss = |w: &[f64], p: &[f64], t: &[f64]| oracle::dot(&embed(w, p, t), &wide(&d_out));
    let gradients = case.backward(&d_out);
    assert_close("d_words", &gradients[0], &plus(&case.words, &gradient(&w, |w| loss(w, &p, &t))));
    assert_close(
        "d_positions",
        &gradients[1],
        &plus(&case.positions, &gradient(&p, |p| loss(&w, p, &t))),
    );
    assert_close(
        "d_token_type",
        &gradients[2],
        &plus(&case.token_type, &gradient(&t, |t| loss(&w, &p, t))),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn matches_the_oracle(tokens in 0usize..16, width in 1usize..20, seed: u64) {
        check(tokens, width, seed);
    }
}

/// More rows than one task takes (32), with a remainder; every id many times.
#[test]
fn matches_the_oracle_beyond_one_task() {
    check(70, 18, 1);
}

#[test]
fn does_not_depend_on_threads() {
    let mut random = Random::new(2);
    let case = Case::new(200, 37, &mut random);
    let d_out = random.vec(200 * 37);
    assert_independent_of_threads(|| {
        let mut results = case.backward(&d_out);
        results.push(case.forward());
        results
    });
}

#[test]
#[should_panic]
fn refuses_an_id_without_a_row() {
    let mut case = Case::new(3, 4, &mut Random::new(3));
    case.ids[1] = WORDS as u32;
    case.forward();
}
