//! All precisions in plain Rust: vectorises on any machine, and is what Miri can check.

use super::{MicroKernel, Tile};
use crate::dtype::{Bf16, Precision};

const ROWS: usize = 4;
const COLUMNS: usize = 8;

/// The kernel of a precision.
pub(super) fn kernel(precision: Precision) -> &'static MicroKernel {
    static KERNELS: [MicroKernel; 3] =
        [with(tile_of::<F32>), with(tile_of::<Bf16Pair>), with(tile_of::<Int8Quad>)];
    &KERNELS[precision as usize]
}

const fn with(tile: unsafe fn(&Tile)) -> MicroKernel {
    let nothing: unsafe fn() = || ();
    MicroKernel {
        rows: ROWS,
        columns: COLUMNS,
        lanes: COLUMNS,
        depth: 1,
        offset: 0,
        tile,
        enter: nothing,
        leave: nothing,
    }
}

/// What a lane of 32 bits holds, and how two lanes are multiplied.
trait Operand {
    type Sum: Copy + Default;

    /// sum + a b.
    fn step(sum: Self::Sum, a: u32, b: u32) -> Self::Sum;

    fn bits(sum: Self::Sum) -> u32;
}

struct F32;

impl Operand for F32 {
    type Sum = f32;

    #[inline(always)]
    fn step(sum: f32, a: u32, b: u32) -> f32 {
        sum + f32::from_bits(a) * f32::from_bits(b)
    }

    fn bits(sum: f32) -> u32 {
        sum.to_bits()
    }
}

struct Bf16Pair;

impl Operand for Bf16Pair {
    type Sum = f32;

    #[inline(always)]
    fn step(sum: f32, a: u32, b: u32) -> f32 {
        let [a, b] = [a, b].map(|lane| {
            [lane as u16, (lane >> 16) as u16].map(|bits| Bf16::from_bits(bits).to_f32())
        });
        sum + (a[0] * b[0] + a[1] * b[1])
    }

    fn bits(sum: f32) -> u32 {
        sum.to_bits()
    }
}

/// Four bytes: A's are unsigned, B's signed.
struct Int8Quad;

impl Operand for Int8Quad {
    type Sum = i32;

    #[inline(always)]
    fn step(sum: i32, a: u32, b: u32) -> i32 {
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        (0..4).fold(sum, |sum, i| sum.wrapping_add(i32::from(a[i]) * i32::from(b[i] as i8)))
    }

    fn bits(sum: i32) -> u32 {
        sum as u32
    }
}

/// # Safety
/// As for `MicroKernel::tile`.
unsafe fn tile_of<O: Operand>(tile: &Tile) {
    debug_assert_eq!(tile.width, COLUMNS);
    let mut sums = [[O::Sum::default(); COLUMNS]; ROWS];
    for lane in 0..tile.steps {
        // SAFETY: the panel is [steps, COLUMNS] lanes.
        let b = unsafe { tile.b.add(lane * COLUMNS).cast::<[u32; COLUMNS]>().read() };
        for (i, sums) in sums.iter_mut().enumerate().take(tile.rows) {
            // SAFETY: row i is one of the tile's, and has `steps` lanes.
            let a =
                unsafe { tile.a.add(i * tile.a_stride + lane * 4).cast::<u32>().read_unaligned() };
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = O::step(*sum, a, b);
            }
        }
    }
    for (i, sum) in sums.iter().flatten().enumerate() {
        // SAFETY: ROWS * COLUMNS numbers are no more than MAX_TILE.
        unsafe { tile.sums.add(i).cast::<u32>().write(O::bits(*sum)) };
    }
}
