//! One source, several instruction sets.
//!
//! Elementwise kernels are written once as plain loops. The [`simd!`] macro compiles each of them
//! once for every instruction set that makes it faster, and picks one at run time: the loops
//! vectorise because the compiler may use wide registers inside that copy, and only there.

use crate::dtype::Element;
use crate::processor::processor;

/// The instruction sets that elementwise kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum InstructionSet {
    /// Whatever the compile target guarantees (SSE2 on x86-64, NEON on aarch64).
    Baseline,
    /// AVX2 with fused multiply-add: 8 lanes of f32.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL): 16 lanes of f32.
    Avx512,
}

/// The widest instruction set for elementwise kernels that the processor offers.
///
/// ```
/// use espalier_kernels::{InstructionSet, instruction_set, processor};
///
/// assert_eq!(instruction_set() == InstructionSet::Avx512, processor().avx512);
/// ```
pub fn instruction_set() -> InstructionSet {
    let cpu = processor();
    match (cpu.avx512, cpu.avx2) {
        (true, _) => InstructionSet::Avx512,
        (false, true) => InstructionSet::Avx2,
        _ => InstructionSet::Baseline,
    }
}

/// `a * b + c`, fused where the surrounding copy of the function may use the instruction.
///
/// `f32::mul_add` without hardware support is a slow library call, hence the switch.
#[inline(always)]
pub(crate) fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Defines a function in one copy per instruction set, dispatched at run time.
///
/// Inside the body the constant `FMA` says whether this copy has fused multiply-add (see [`madd`]).
macro_rules! simd {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$($life:lifetime,)? $e:ident: $bound:path>)?
        ($($arg:ident: $ty:ty),* $(,)?)
        $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($life,)? $e: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters, clippy::too_many_arguments)]
            fn body<$($($life,)?)? const FMA: bool $(, $e: $bound)?>($($arg: $ty),*)
            $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512 $(<$($life,)? $e: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
                body::<true $(, $e)?>($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($life,)? $e: $bound>)? ($($arg: $ty),*) $(-> $ret)? {
                body::<true $(, $e)?>($($arg),*)
            }

            match $crate::simd::instruction_set() {
                // SAFETY: `instruction_set` returns Avx512 only where the processor has every
                // feature named above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::InstructionSet::Avx512 => unsafe { avx512 $(::<$e>)? ($($arg),*) },
                // SAFETY: `instruction_set` returns Avx2 only where the processor has AVX2 and FMA.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::InstructionSet::Avx2 => unsafe { avx2 $(::<$e>)? ($($arg),*) },
                _ => body::<{ cfg!(target_arch = "aarch64") } $(, $e)?>($($arg),*),
            }
        }
    };
}
pub(crate) use simd;

/// Number of separate sums that reductions keep, so that they vectorise and their result never
/// depends on the width of the registers.
pub(crate) const LANES: usize = 16;

/// Numbers that the compiler keeps in one register or two, as long as they are only indexed by
/// loops over [`LANES`].
pub(crate) type Vector = [f32; LANES];

/// Loads a vector: [`LANES`] numbers if it is `FULL`, else as many as `from` has, and zeros.
///
/// `FULL` is a constant because the compiler keeps a vector that may come from either in memory.
#[inline(always)]
pub(crate) fn load<const FULL: bool, E: Element>(from: &[E]) -> Vector {
    if !FULL {
        return load_part(from);
    }
    let from = &from[..LANES];
    let mut vector = [0.0; LANES];
    for i in 0..LANES {
        vector[i] = from[i].to_f32();
    }
    vector
}

/// Stores a vector: [`LANES`] numbers if it is `FULL`, else as many as fit into `to`.
#[inline(always)]
pub(crate) fn store<const FULL: bool, E: Element>(vector: Vector, to: &mut [E]) {
    if !FULL {
        return store_part(vector, to);
    }
    let to = &mut to[..LANES];
    for i in 0..LANES {
        to[i] = E::from_f32(vector[i]);
    }
}

#[inline(never)]
fn load_part<E: Element>(from: &[E]) -> Vector {
    let mut vector = [0.0; LANES];
    for (x, from) in vector.iter_mut().zip(from) {
        *x = from.to_f32();
    }
    vector
}

#[inline(never)]
fn store_part<E: Element>(vector: Vector, to: &mut [E]) {
    for (to, x) in to.iter_mut().zip(vector) {
        *to = E::from_f32(x);
    }
}

/// Adds the lanes pairwise: the same order on every machine.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Sum of `f(x)` over a slice, in lanes.
#[inline(always)]
pub(crate) fn reduce(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += f(chunk[i]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(tail) {
        *lane += f(value);
    }
    sum_lanes(lanes)
}

/// Sum of `f(x, y)` over two slices of one length, in lanes.
#[inline(always)]
pub(crate) fn reduce2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let (x_tail, y_tail) = (xs.remainder(), ys.remainder());
    for (a, b) in xs.zip(ys) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(x_tail).zip(y_tail) {
        *lane += f(a, b);
    }
    sum_lanes(lanes)
}

/// The largest value of a slice, in lanes; minus infinity for an empty one. NaN counts as smaller
/// than everything.
#[inline(always)]
pub(crate) fn max_of(x: &[f32]) -> f32 {
    // `f32::max` orders signed zeros and NaN on both sides; this is the single instruction.
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(tail) {
        *lane = larger(*lane, value);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}
