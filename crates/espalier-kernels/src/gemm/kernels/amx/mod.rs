//! bf16 and bytes on AMX: 32 x 32 sums in four tiles, two tiles of A, two of B.
//!
//! A tile register is 16 rows of 64 bytes. One of A is 16 rows with 16 lanes of the inner
//! dimension; one of B is 16 lanes of the inner dimension of 16 columns; their product is 16 x 16
//! sums. The kernel is written once over the tile instructions ([`Tiles`]), which the processor
//! executes or plain Rust emulates, so that everything but the instructions themselves is tested on
//! machines without AMX.

mod emulated;
mod hardware;

use super::{MAX_TILE, MicroKernel, Tile};
use crate::dtype::Precision;
use emulated::Emulated;
use hardware::Hardware;

/// Rows of a tile register, and its lanes of 32 bits per row.
const SIDE: usize = 16;
/// Bytes of a tile register's row.
const ROW_BYTES: usize = 64;

/// The tile instructions. T, A, B and C are numbers of tile registers, 0 to 7.
///
/// # Safety
/// Implementations may need `enter` on the thread before and `leave` after; pointers must reach 16
/// rows of 64 bytes, `stride` bytes apart.
trait Tiles {
    unsafe fn enter();
    unsafe fn leave();
    unsafe fn zero<const T: u8>();
    unsafe fn load<const T: u8>(from: *const u8, stride: usize);
    unsafe fn store<const T: u8>(to: *mut u8, stride: usize);
    /// Begins to fetch the cache line at an address, which need not be valid.
    fn prefetch(from: *const u8);
    /// C += A B of pairs of bf16.
    unsafe fn dot_bf16<const C: u8, const A: u8, const B: u8>();
    /// C += A B of groups of four bytes, A's unsigned, B's signed.
    unsafe fn dot_bytes<const C: u8, const A: u8, const B: u8>();
}

/// The kernel on the processor's tile registers.
pub(super) fn hardware(precision: Precision) -> &'static MicroKernel {
    static KERNELS: [MicroKernel; 2] = kernels::<Hardware>();
    &KERNELS[usize::from(precision == Precision::Int8)]
}

/// The kernel on emulated tile registers.
pub(super) fn emulated(precision: Precision) -> &'static MicroKernel {
    static KERNELS: [MicroKernel; 2] = kernels::<Emulated>();
    &KERNELS[usize::from(precision == Precision::Int8)]
}

/// Whether the processor's tiles compute what the emulated ones do, on one tile of small integers,
/// whose products and sums are exact in every precision. There may be virtual machines that offer
/// the instructions but carry them out wrongly.
///
/// The caller has made sure that the processor has the instructions.
pub(super) fn works(precision: Precision) -> bool {
    // Bytes 0 to 2; or pairs of bf16, numbers from 0 to 2.
    let lane = |i: usize| match precision {
        Precision::Int8 => {
            u32::from_le_bytes([i % 3, i / 3 % 3, i / 9 % 3, i / 5 % 3].map(|byte| byte as u8))
        }
        _ => [0x0000_3f80, 0x4000_3f80, 0x3f80_4000][i % 3],
    };
    let a: Vec<u32> = (0..2 * SIDE * SIDE).map(lane).collect();
    let b: Vec<u32> = (0..2 * SIDE * SIDE).map(|i| lane(7 * i + 1)).collect();
    let product = |kernel: &MicroKernel| {
        let mut sums = vec![0.0f32; MAX_TILE];
        let tile = Tile {
            a: a.as_ptr().cast(),
            a_stride: ROW_BYTES,
            rows: 2 * SIDE,
            b: b.as_ptr(),
            width: 2 * SIDE,
            steps: SIDE,
            sums: sums.as_mut_ptr(),
        };
        // SAFETY: A is 32 rows of 16 lanes, B 16 lanes of 32 columns, and there is room for
        // MAX_TILE sums; the caller promises the instructions, and `enter` comes first.
        unsafe {
            (kernel.enter)();
            (kernel.tile)(&tile);
            (kernel.leave)();
        }
        sums.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    product(hardware(precision)) == product(emulated(precision))
}

const fn kernels<T: Tiles>() -> [MicroKernel; 2] {
    [with::<T>(tile::<T, false>), with::<T>(tile::<T, true>)]
}

const fn with<T: Tiles>(tile: unsafe fn(&Tile)) -> MicroKernel {
    MicroKernel {
        rows: 2 * SIDE,
        columns: 2 * SIDE,
        lanes: SIDE,
        depth: SIDE,
        offset: 0,
        tile,
        enter: T::enter,
        leave: T::leave,
    }
}

/// # Safety
/// As for `MicroKernel::tile`.
unsafe fn tile<T: Tiles, const BYTES: bool>(tile: &Tile) {
    // SAFETY: as promised by the caller.
    unsafe {
        match (tile.rows > SIDE, tile.width > SIDE) {
            (false, false) => blocks::<T, BYTES, false, false>(tile),
            (false, true) => blocks::<T, BYTES, false, true>(tile),
            (true, false) => blocks::<T, BYTES, true, false>(tile),
            (true, true) => blocks::<T, BYTES, true, true>(tile),
        }
    }
}

/// One or two blocks of 16 rows (TALL) by one or two of 16 columns (WIDE): sums in tiles 0 to 3, A
/// in 4 and 5, B in 6 and 7.
///
/// # Safety
/// As for `MicroKernel::tile`.
unsafe fn blocks<T: Tiles, const BYTES: bool, const TALL: bool, const WIDE: bool>(tile: &Tile) {
    let stride = tile.width * 4; // bytes, of B and of the sums
    let second = if TALL { SIDE } else { 0 };
    let (mut upper, mut lower) = (Strip::new(tile, 0), Strip::new(tile, second));
    // SAFETY: A's strips reach 16 rows of each step; B's panel is [steps, width] lanes, of which a
    // step takes 16 rows; the sums are at most 32 x 32 numbers; `enter` came first by the caller's
    // promise.
    unsafe {
        T::zero::<0>();
        T::zero::<1>();
        T::zero::<2>();
        T::zero::<3>();
        for step in (0..tile.steps).step_by(SIDE) {
            let b = tile.b.add(step * tile.width).cast::<u8>();
            // Where A has few rows, B is read only once, page after page, and the processor's own
            // prefetching starts anew at each page. Behind the panel lies the next one.
            for line in 0..stride / ROW_BYTES * SIDE {
                T::prefetch(b.wrapping_add(SIDE * stride + line * ROW_BYTES));
            }
            let (a, a_stride) = upper.at(step);
            T::load::<4>(a, a_stride);
            T::load::<6>(b, stride);
            dot::<T, BYTES, 0, 4, 6>();
            if WIDE {
                T::load::<7>(b.add(ROW_BYTES), stride);
                dot::<T, BYTES, 1, 4, 7>();
            }
            if TALL {
                let (a, a_stride) = lower.at(step);
                T::load::<5>(a, a_stride);
                dot::<T, BYTES, 2, 5, 6>();
                if WIDE {
                    dot::<T, BYTES, 3, 5, 7>();
                }
            }
        }
        let sums = tile.sums.cast::<u8>();
        T::store::<0>(sums, stride);
        if WIDE {
            T::store::<1>(sums.add(ROW_BYTES), stride);
        }
        if TALL {
            let sums = sums.add(SIDE * stride);
            T::store::<2>(sums, stride);
            if WIDE {
                T::store::<3>(sums.add(ROW_BYTES), stride);
            }
        }
    }
}

/// # Safety
/// As for [`Tiles`].
#[inline(always)]
unsafe fn dot<T: Tiles, const BYTES: bool, const C: u8, const A: u8, const B: u8>() {
    // SAFETY: as promised by the caller.
    unsafe {
        match BYTES {
            true => T::dot_bytes::<C, A, B>(),
            false => T::dot_bf16::<C, A, B>(),
        }
    }
}

/// Sixteen rows of A. Where fewer are left, each step's are copied to a block of sixteen.
struct Strip<'a> {
    tile: &'a Tile,
    first: usize,
    copy: [[u8; ROW_BYTES]; SIDE],
}

impl<'a> Strip<'a> {
    fn new(tile: &'a Tile, first: usize) -> Self {
        Self { tile, first, copy: [[0; ROW_BYTES]; SIDE] }
    }

    /// Where the 16 lanes from `step` on lie, and the distance of their rows in bytes.
    ///
    /// # Safety
    /// The tile's pointers reach as far as [`Tile`] says, and `step` is a multiple of 16 below its
    /// `steps`.
    #[inline(always)]
    unsafe fn at(&mut self, step: usize) -> (*const u8, usize) {
        // SAFETY: row `first` is one of the tile's.
        let start = unsafe { self.tile.a.add(self.first * self.tile.a_stride + step * 4) };
        if self.tile.rows - self.first >= SIDE {
            return (start, self.tile.a_stride);
        }
        for (i, row) in self.copy.iter_mut().take(self.tile.rows - self.first).enumerate() {
            // SAFETY: row first + i is below the tile's `rows`, and has 16 lanes from `step` on.
            *row = unsafe {
                start.add(i * self.tile.a_stride).cast::<[u8; ROW_BYTES]>().read_unaligned()
            };
        }
        (self.copy.as_ptr().cast(), ROW_BYTES)
    }
}
