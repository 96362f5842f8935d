//! The tile instructions emulated in plain Rust, as Intel's manual (volume 2) describes their
//! operation.

use super::{ROW_BYTES, SIDE, Tiles};
use crate::dtype::Bf16;
use std::cell::RefCell;

// The functions below are never inlined: a kernel has dozens of these instructions, and the code of
// one that is only a test's reference should be small.

type Register = [[u32; SIDE]; SIDE];

thread_local! {
    static REGISTERS: RefCell<[Register; 8]> = const { RefCell::new([[[0; SIDE]; SIDE]; 8]) };
}

pub(super) struct Emulated;

/// C += A B, where `add_products` adds the products of one lane of each to a sum.
#[inline(never)]
fn dot(c: u8, a: u8, b: u8, add_products: fn(u32, u32, u32) -> u32) {
    REGISTERS.with_borrow_mut(|registers| {
        let (a, b) = (registers[a as usize], registers[b as usize]);
        for (sums, a) in registers[c as usize].iter_mut().zip(&a) {
            for (&a, b) in a.iter().zip(&b) {
                for (sum, &b) in sums.iter_mut().zip(b) {
                    *sum = add_products(*sum, a, b);
                }
            }
        }
    });
}

/// # Safety
/// 16 rows of 64 bytes, `stride` bytes apart, can be read.
#[inline(never)]
unsafe fn load(t: u8, from: *const u8, stride: usize) {
    REGISTERS.with_borrow_mut(|registers| {
        for (i, row) in registers[t as usize].iter_mut().enumerate() {
            // SAFETY: the caller promises 16 readable rows of 64 bytes.
            let bytes = unsafe { from.add(i * stride).cast::<[u8; ROW_BYTES]>().read_unaligned() };
            for (lane, bytes) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *lane = u32::from_le_bytes(*bytes);
            }
        }
    });
}

/// # Safety
/// 16 rows of 64 bytes, `stride` bytes apart, can be written.
#[inline(never)]
unsafe fn store(t: u8, to: *mut u8, stride: usize) {
    REGISTERS.with_borrow(|registers| {
        for (i, row) in registers[t as usize].iter().enumerate() {
            // SAFETY: the caller promises 16 writable rows of 64 bytes.
            unsafe { to.add(i * stride).cast::<[u32; SIDE]>().write_unaligned(*row) };
        }
    });
}

fn add_pairs(sum: u32, a: u32, b: u32) -> u32 {
    let halves =
        |lane: u32| [lane as u16, (lane >> 16) as u16].map(|bits| Bf16::from_bits(bits).to_f32());
    let (a, b) = (halves(a), halves(b));
    (f32::from_bits(sum) + a[0] * b[0] + a[1] * b[1]).to_bits()
}

fn add_bytes(sum: u32, a: u32, b: u32) -> u32 {
    let products = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
    products.fold(sum as i32, |sum, (a, b)| sum.wrapping_add(i32::from(a) * i32::from(b as i8)))
        as u32
}

impl Tiles for Emulated {
    unsafe fn enter() {}

    unsafe fn leave() {}

    unsafe fn zero<const T: u8>() {
        REGISTERS.with_borrow_mut(|registers| registers[T as usize] = [[0; SIDE]; SIDE]);
    }

    unsafe fn load<const T: u8>(from: *const u8, stride: usize) {
        // SAFETY: as promised by the caller.
        unsafe { load(T, from, stride) };
    }

    unsafe fn store<const T: u8>(to: *mut u8, stride: usize) {
        // SAFETY: as promised by the caller.
        unsafe { store(T, to, stride) };
    }

    fn prefetch(_: *const u8) {}

    unsafe fn dot_bf16<const C: u8, const A: u8, const B: u8>() {
        dot(C, A, B, add_pairs);
    }

    unsafe fn dot_bytes<const C: u8, const A: u8, const B: u8>() {
        dot(C, A, B, add_bytes);
    }
}
