//! Random data, comparison, finite differences.

use rayon::ThreadPoolBuilder;

/// How far an f32 result may lie from the f64 one, as a share of the largest value of the tensor.
///
/// One f32 rounding is 6e-8; the sums here have up to some hundred terms, and `exp` and `erf` are good to 2e-7: together
/// some 1e-6. Elements near zero are differences of large terms and carry the rounding of those, hence the largest value as
/// the measure. A wrong or missing term shows at 1e-2 and more.
const TOLERANCE: f64 = 1e-5;

pub fn assert_close(what: &str, got: &[f32], want: &[f64]) {
    assert_close_within(TOLERANCE, what, got, want);
}

pub fn assert_close_within(tolerance: f64, what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    // Inputs are of the size of one: a tensor all below 0.1 is small because its terms cancelled.
    let largest = want.iter().fold(0.1f64, |largest, w| largest.max(w.abs()));
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (got as f64 - want).abs() / largest;
        assert!(error <= tolerance, "{what}[{i}]: {got} is not {want} (error {error:.1e} of {largest:.1e})");
    }
}

/// The gradient of `f` at `x` by central differences: exact to about 1e-9 in f64.
pub fn gradient(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut moved = x.to_vec();
    (0..x.len())
        .map(|i| {
            let mut at = |x_i: f64| {
                moved[i] = x_i;
                f(&moved)
            };
            let difference = at(x[i] + STEP) - at(x[i] - STEP);
            moved[i] = x[i];
            difference / (2.0 * STEP)
        })
        .collect()
}

pub fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| v as f64).collect()
}

/// What an accumulating gradient must hold: what was there and the gradient.
pub fn plus(start: &[f32], gradient: &[f64]) -> Vec<f64> {
    start.iter().zip(gradient).map(|(&s, g)| s as f64 + g).collect()
}

/// Random numbers from a seed (SplitMix64, as in Steele et al., "Fast splittable pseudorandom number generators").
pub struct Random(pub u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `n` numbers, even over -1..1.
    pub fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
    }

    /// `n` numbers, even over -size..size.
    pub fn spread(&mut self, n: usize, size: f32) -> Vec<f32> {
        self.vec(n).iter().map(|v| v * size).collect()
    }

    /// `n` numbers below `limit`.
    pub fn below(&mut self, n: usize, limit: usize) -> Vec<u32> {
        (0..n).map(|_| (self.bits() % limit as u64) as u32).collect()
    }
}

/// Offsets of sequences of these lengths.
pub fn offsets(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    offsets
}

/// Runs `f` on pools of one, two and three threads and asserts that its results agree bit for bit.
pub fn assert_independent_of_threads(f: impl Fn() -> Vec<Vec<f32>> + Sync) {
    let [one, two, three] =
        [1, 2, 3].map(|threads| on_threads(threads, || f().iter().map(|v| bits(v)).collect::<Vec<_>>()));
    assert!(one == two, "two threads differ from one");
    assert!(one == three, "three threads differ from one");
}

pub fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool").install(f)
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}
