//! Plain loops over values, compiled for the instruction set of the CPU.

use super::simd::{Simd, dispatch};
use rayon::prelude::*;

/// Words of bits of a task.
const WORDS: usize = 512;

/// output = factor x where the bit is set, else 0. Bits go from the lowest of the first word on.
pub(crate) fn keep(x: &[f32], bits: &[u32], factor: f32, output: &mut [f32]) {
    assert!(x.len() == output.len() && 32 * bits.len() >= x.len());
    let chunks = output.par_chunks_mut(32 * WORDS).zip(x.par_chunks(32 * WORDS));
    chunks.zip(bits.par_chunks(WORDS)).for_each(|((output, x), bits)| keep_chunk(x, bits, factor, output));
}

dispatch!(fn keep_chunk(x: &[f32], bits: &[u32], factor: f32, output: &mut [f32]) => keep_generic);

#[inline(always)]
fn keep_generic<S: Simd>(_: S, x: &[f32], bits: &[u32], factor: f32, output: &mut [f32]) {
    for ((output, x), &word) in output.chunks_mut(32).zip(x.chunks(32)).zip(bits) {
        for (bit, (output, &x)) in output.iter_mut().zip(x).enumerate() {
            let kept = 0u32.wrapping_sub(word >> bit & 1);
            *output = f32::from_bits((factor * x).to_bits() & kept);
        }
    }
}

/// Values of a task.
const VALUES: usize = 1 << 14;

/// sum += x.
pub(crate) fn add(sum: &mut [f32], x: &[f32]) {
    assert_eq!(sum.len(), x.len());
    sum.par_chunks_mut(VALUES).zip(x.par_chunks(VALUES)).for_each(|(sum, x)| add_chunk(sum, x));
}

dispatch!(fn add_chunk(sum: &mut [f32], x: &[f32]) => add_generic);

#[inline(always)]
fn add_generic<S: Simd>(_: S, sum: &mut [f32], x: &[f32]) {
    sum.iter_mut().zip(x).for_each(|(sum, &x)| *sum += x);
}
