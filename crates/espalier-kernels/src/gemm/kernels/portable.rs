//! All precisions in plain Rust: vectorises on any machine, and is what Miri can check.

use crate::bf16::Bf16;
use crate::gemm::kernel::{MicroKernel, Tile};
use crate::precision::Precision;

const ROWS: usize = 4;
const COLUMNS: usize = 8;

/// The kernel of a precision.
pub(super) fn kernel(precision: Precision) -> &'static MicroKernel {
    static KERNELS: [MicroKernel; 3] =
        [with(tile_of::<F32>), with(tile_of::<Pairs>), with(tile_of::<Bytes>)];
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

/// How two words are multiplied.
trait Words {
    type Sum: Copy + Default;

    fn step(sum: Self::Sum, a: u32, b: u32) -> Self::Sum;

    fn bits(sum: Self::Sum) -> u32;
}

struct F32;

impl Words for F32 {
    type Sum = f32;

    #[inline(always)]
    fn step(sum: f32, a: u32, b: u32) -> f32 {
        sum + f32::from_bits(a) * f32::from_bits(b)
    }

    fn bits(sum: f32) -> u32 {
        sum.to_bits()
    }
}

struct Pairs;

impl Words for Pairs {
    type Sum = f32;

    #[inline(always)]
    fn step(sum: f32, a: u32, b: u32) -> f32 {
        let [a, b] = [a, b].map(|word| {
            [word as u16, (word >> 16) as u16].map(|bits| Bf16::from_bits(bits).to_f32())
        });
        sum + (a[0] * b[0] + a[1] * b[1])
    }

    fn bits(sum: f32) -> u32 {
        sum.to_bits()
    }
}

struct Bytes;

impl Words for Bytes {
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
unsafe fn tile_of<W: Words>(tile: &Tile) {
    debug_assert_eq!(tile.width, COLUMNS);
    let mut sums = [[W::Sum::default(); COLUMNS]; ROWS];
    for word in 0..tile.steps {
        // SAFETY: the panel is [steps, COLUMNS] words.
        let b = unsafe { tile.b.add(word * COLUMNS).cast::<[u32; COLUMNS]>().read() };
        for (i, sums) in sums.iter_mut().enumerate().take(tile.rows) {
            // SAFETY: row i is one of the tile's, and has `steps` words.
            let a =
                unsafe { tile.a.add(i * tile.a_stride + word * 4).cast::<u32>().read_unaligned() };
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = W::step(*sum, a, b);
            }
        }
    }
    for (i, sum) in sums.iter().flatten().enumerate() {
        // SAFETY: ROWS * COLUMNS numbers are no more than MAX_TILE.
        unsafe { tile.sums.add(i).cast::<u32>().write(W::bits(*sum)) };
    }
}
