//! The tile instructions of the processor, by `asm!`: there are no stable intrinsics. The compiler
//! itself never uses tile registers, so their contents survive from one block of `asm!` to the
//! next.

use super::{ROW_BYTES, SIDE, Tiles};
use std::arch::asm;

pub(super) struct Hardware;

/// What LDTILECFG reads (Intel SDM, volume 1, section 18.2.3 ff.): palette 1, eight tiles of 16
/// rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};
const _: () = assert!(ROW_BYTES == 64 && SIDE == 16 && size_of::<Configuration>() == 64);

impl Tiles for Hardware {
    unsafe fn enter() {
        // SAFETY: the processor has AMX and the kernel has granted it, by the caller's promise;
        // this reads 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION,
                options(nostack, readonly, preserves_flags))
        };
    }

    unsafe fn leave() {
        // SAFETY: as above; this frees the tile registers.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }

    #[inline(always)]
    unsafe fn zero<const T: u8>() {
        // SAFETY: tiles are configured by the caller's promise.
        unsafe { asm!("tilezero tmm{t}", t = const T, options(nostack, nomem, preserves_flags)) };
    }

    #[inline(always)]
    unsafe fn load<const T: u8>(from: *const u8, stride: usize) {
        // SAFETY: the caller promises 16 readable rows of 64 bytes.
        unsafe {
            asm!("tileloadd tmm{t}, [{from} + {stride}]",
                t = const T, from = in(reg) from, stride = in(reg) stride,
                options(nostack, readonly, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn store<const T: u8>(to: *mut u8, stride: usize) {
        // SAFETY: the caller promises 16 writable rows of 64 bytes.
        unsafe {
            asm!("tilestored [{to} + {stride}], tmm{t}",
                t = const T, to = in(reg) to, stride = in(reg) stride,
                options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    fn prefetch(from: *const u8) {
        // SAFETY: a hint, for which no address is wrong.
        unsafe {
            asm!("prefetcht0 [{}]", in(reg) from, options(nostack, readonly, preserves_flags))
        };
    }

    #[inline(always)]
    unsafe fn dot_bf16<const C: u8, const A: u8, const B: u8>() {
        // SAFETY: tiles are configured by the caller's promise.
        unsafe {
            asm!("tdpbf16ps tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                options(nostack, nomem, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn dot_bytes<const C: u8, const A: u8, const B: u8>() {
        // SAFETY: tiles are configured by the caller's promise.
        unsafe {
            asm!("tdpbusd tmm{c}, tmm{a}, tmm{b}", c = const C, a = const A, b = const B,
                options(nostack, nomem, preserves_flags));
        }
    }
}
