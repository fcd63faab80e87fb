//! Multi-head self-attention, channels last, a block of queries at a time: the scores of a block against all keys stay
//! in the cache, those of all queries never exist.
//!
//! # Source
//! Vaswani et al. 2017, arXiv:1706.03762, eq. 1; recomputing the scores in the backward pass as in Dao et al. 2022,
//! arXiv:2205.14135, algorithm 4.
#![allow(unsafe_code, reason = "matrix products over scratch memory, heads written side by side")]

use super::pointwise::Packed;
use super::product::{Left, Right, Target, product};
use super::simd::{Simd, dispatch, exp, lanes};
use crate::buffer::Buffer;
use rayon::prelude::*;

/// Queries of a block.
const QUERIES: usize = 48;

/// Attention over the `points` points of each sample: `qkv` (b, points, 3 heads dim) holds query, key and value of
/// the first head, then of the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub(crate) points: usize,
    pub(crate) heads: usize,
    pub(crate) dim: usize,
}

impl AttentionShape {
    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Values of a row of `qkv`.
    fn width(&self) -> usize {
        3 * self.heads * self.dim
    }
}

/// The keys and values of one head of one sample, packed for products.
struct Head<'a> {
    shape: AttentionShape,
    /// The sample's rows, and where the head's queries start in each.
    rows: &'a [f32],
    first: usize,
    /// Keys, (dim x points).
    keys: Packed,
    /// Values, (points x dim).
    values: Packed,
}

impl<'a> Head<'a> {
    fn new(shape: AttentionShape, qkv: &'a [f32], index: usize) -> Self {
        let (sample, head) = (index / shape.heads, index % shape.heads);
        let rows = &qkv[sample * shape.points * shape.width()..][..shape.points * shape.width()];
        let first = head * 3 * shape.dim;
        let at =
            |point: usize, part: usize, i: usize| rows[point * shape.width() + first + part * shape.dim + i];
        Self {
            shape,
            rows,
            first,
            keys: Packed::new(shape.dim, shape.points, |i, point| at(point, 1, i)),
            values: Packed::new(shape.points, shape.dim, |point, i| at(point, 2, i)),
        }
    }

    fn queries(&self, first: usize) -> &'a [f32] {
        &self.rows[first * self.shape.width() + self.first..]
    }
}

fn padded(count: usize) -> usize {
    count.next_multiple_of(lanes())
}

/// output (b, points, heads dim) = softmax(q k^T / sqrt(dim)) v. Also the logarithm of each softmax's denominator,
/// (b heads, points).
pub(crate) fn attention(shape: AttentionShape, qkv: &[f32], output: &mut [f32]) -> Vec<f32> {
    let AttentionShape { points, heads, dim } = shape;
    let batch = qkv.len() / (points * shape.width());
    assert_eq!(output.len(), batch * points * heads * dim);
    let mut denominators = vec![0f32; batch * heads * points];
    let output = Shared(output.as_mut_ptr());
    denominators.par_chunks_mut(points).enumerate().for_each(|(index, denominators)| {
        let head = Head::new(shape, qkv, index);
        denominators.par_chunks_mut(QUERIES).enumerate().for_each(|(block, denominators)| {
            let (first, count) = (block * QUERIES, denominators.len());
            let mut scores = Buffer::new(count * padded(points));
            let mut mixed = Buffer::new(count * padded(dim));
            attend(&head, first, &mut scores, denominators, &mut mixed);
            for (row, values) in mixed.chunks_exact(padded(dim)).enumerate() {
                let place = ((index / heads * points + first + row) * heads + index % heads) * dim;
                // SAFETY: the row of this head and query, which no other task writes.
                unsafe { output.write(place, &values[..dim]) };
            }
        });
    });
    denominators
}

struct Shared(*mut f32);

// SAFETY: tasks write different places.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// The place lies within the memory, and no other thread writes it.
    unsafe fn write(&self, place: usize, values: &[f32]) {
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.0.add(place), values.len()) };
    }
}

dispatch!(fn attend(head: &Head<'_>, first: usize, scores: &mut [f32], denominators: &mut [f32], mixed: &mut [f32]) => attend_generic);

/// A block of queries from `first` on.
#[inline(always)]
unsafe fn attend_generic<S: Simd>(
    head: &Head<'_>,
    first: usize,
    scores: &mut [f32],
    denominators: &mut [f32],
    mixed: &mut [f32],
) {
    let (count, shape) = (denominators.len(), head.shape);
    let (stride, scale) = (scores.len() / count, shape.scale());
    // SAFETY: the caller has `S`; rows of scores hold whole vectors.
    unsafe {
        head.keys.left_product::<S>(head.queries(first), shape.width(), count, scores);
        for (scores, denominator) in scores.chunks_exact_mut(stride).zip(denominators.iter_mut()) {
            let largest = scale * scores[..shape.points].iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            exponentials::<S>(scores, shape.points, scale, largest);
            let sum: f32 = sum_of::<S>(scores);
            *denominator = largest + sum.ln();
            let factor = S::splat(1.0 / sum);
            for at in (0..stride).step_by(S::LANES) {
                let to = scores.as_mut_ptr().add(at);
                S::store(to, S::multiply(S::load(to), factor));
            }
        }
        head.values.left_product::<S>(scores, stride, count, mixed);
    }
}

/// scores = e^(scale scores - shift) for the first `points`, zero behind them.
#[inline(always)]
unsafe fn exponentials<S: Simd>(scores: &mut [f32], points: usize, scale: f32, shift: f32) {
    for at in (0..scores.len()).step_by(S::LANES) {
        let count = S::LANES.min(points.saturating_sub(at));
        // SAFETY: rows are whole vectors.
        unsafe {
            let to = scores.as_mut_ptr().add(at);
            let x = S::multiply_add(S::load(to), S::splat(scale), S::splat(-shift));
            S::store(to, S::zero());
            S::store_first(to, exp::<S>(x), count);
        }
    }
}

#[inline(always)]
unsafe fn sum_of<S: Simd>(values: &[f32]) -> f32 {
    // SAFETY: rows are whole vectors, of at most 16 lanes.
    unsafe {
        let mut sum = S::zero();
        for at in (0..values.len()).step_by(S::LANES) {
            sum = S::add(sum, S::load(values.as_ptr().add(at)));
        }
        let mut lanes = [0f32; 16];
        S::store(lanes.as_mut_ptr(), sum);
        lanes.iter().sum()
    }
}

/// Gradient by `qkv` from the gradient by the output, the output and the denominators that [`attention`] returned.
pub(crate) fn attention_backward(
    shape: AttentionShape,
    qkv: &[f32],
    output: &[f32],
    denominators: &[f32],
    gradient: &[f32],
    by_qkv: &mut [f32],
) {
    let AttentionShape { points, heads, dim } = shape;
    assert!(by_qkv.len() == qkv.len() && gradient.len() == output.len());
    let by_qkv = Shared(by_qkv.as_mut_ptr());
    denominators.par_chunks(points).enumerate().for_each(|(index, denominators)| {
        let head = Head::new(shape, qkv, index);
        let start = index / heads * points * heads * dim + index % heads * dim;
        let backward = Backward {
            keys: Packed::new(points, dim, |point, i| {
                head.rows[point * shape.width() + head.first + dim + i]
            }),
            values: Packed::new(dim, points, |i, point| {
                head.rows[point * shape.width() + head.first + 2 * dim + i]
            }),
            head,
            output: &output[start..],
            gradient: &gradient[start..],
            denominators,
        };
        let width = padded(dim);
        let mut by_keys = Buffer::new(points * width);
        let mut by_values = Buffer::new(points * width);
        let mut by_queries = Buffer::new(QUERIES * width);
        let mut scratch = Buffer::new(2 * QUERIES * padded(points) + 2 * QUERIES * width);
        for first in (0..points).step_by(QUERIES) {
            let count = QUERIES.min(points - first);
            backward_block(&backward, first, &mut scratch, &mut by_queries, &mut by_keys, &mut by_values);
            write_rows(&by_qkv, shape, index, 0, first, &by_queries[..count * width]);
        }
        write_rows(&by_qkv, shape, index, 1, 0, &by_keys);
        write_rows(&by_qkv, shape, index, 2, 0, &by_values);
    });
}

fn write_rows(by_qkv: &Shared, shape: AttentionShape, index: usize, part: usize, first: usize, rows: &[f32]) {
    let (sample, head) = (index / shape.heads, index % shape.heads);
    for (row, values) in rows.chunks_exact(padded(shape.dim)).enumerate() {
        let place = (sample * shape.points + first + row) * shape.width() + (3 * head + part) * shape.dim;
        // SAFETY: the place is this head's alone, within a row of qkv.
        unsafe { by_qkv.write(place, &values[..shape.dim]) };
    }
}

/// What the backward pass of one head needs.
struct Backward<'a> {
    head: Head<'a>,
    /// Keys, (points x dim).
    keys: Packed,
    /// Values, (dim x points).
    values: Packed,
    /// Rows of all heads, from this one's first value on.
    output: &'a [f32],
    gradient: &'a [f32],
    denominators: &'a [f32],
}

dispatch!(fn backward_block(b: &Backward<'_>, first: usize, scratch: &mut [f32], by_queries: &mut [f32], by_keys: &mut [f32], by_values: &mut [f32]) => backward_block_generic);

#[inline(always)]
unsafe fn backward_block_generic<S: Simd>(
    b: &Backward<'_>,
    first: usize,
    scratch: &mut [f32],
    by_queries: &mut [f32],
    by_keys: &mut [f32],
    by_values: &mut [f32],
) {
    let AttentionShape { points, heads, dim } = b.head.shape;
    let (count, row) = (QUERIES.min(points - first), heads * dim);
    let (stride, width) = (points.next_multiple_of(S::LANES), dim.next_multiple_of(S::LANES));
    let (scores, rest) = scratch.split_at_mut(QUERIES * stride);
    let (by_scores, rest) = rest.split_at_mut(QUERIES * stride);
    let (gradients, queries) = rest.split_at_mut(QUERIES * width);
    let (scores, by_scores) = (&mut scores[..count * stride], &mut by_scores[..count * stride]);
    let scale = b.head.shape.scale();
    // SAFETY: the caller has `S`; rows of scores hold whole vectors; products have the extents of their matrices.
    unsafe {
        b.head.keys.left_product::<S>(b.head.queries(first), b.head.shape.width(), count, scores);
        b.values.left_product::<S>(&b.gradient[first * row..], row, count, by_scores);
        for q in 0..count {
            let at = (first + q) * row;
            let (output, gradient) = (&b.output[at..][..dim], &b.gradient[at..][..dim]);
            let mean: f32 = output.iter().zip(gradient).map(|(o, g)| o * g).sum();
            let weights = &mut scores[q * stride..][..stride];
            exponentials::<S>(weights, points, scale, b.denominators[first + q]);
            let by = &mut by_scores[q * stride..][..stride];
            for at in (0..stride).step_by(S::LANES) {
                let to = by.as_mut_ptr().add(at);
                let weight = S::multiply(S::load(weights.as_ptr().add(at)), S::splat(scale));
                S::store(to, S::multiply(weight, S::subtract(S::load(to), S::splat(mean))));
            }
            let fill = |to: &mut [f32], from: &[f32]| {
                to[..dim].copy_from_slice(from);
                to[dim..].fill(0.0);
            };
            fill(&mut gradients[q * width..][..width], gradient);
            fill(&mut queries[q * width..][..width], &b.head.queries(first + q)[..dim]);
        }
        b.keys.left_product::<S>(by_scores, stride, count, by_queries);
        let transposed = |scores: &[f32]| Left { at: scores.as_ptr(), row: 1, depth: stride };
        let (add, extents) = (first > 0, [points, count, width]);
        let right = Right { at: queries.as_ptr(), depth: width };
        product::<S>(
            extents,
            transposed(by_scores),
            right,
            Target { at: by_keys.as_mut_ptr(), row: width, add },
        );
        let right = Right { at: gradients.as_ptr(), depth: width };
        product::<S>(
            extents,
            transposed(scores),
            right,
            Target { at: by_values.as_mut_ptr(), row: width, add },
        );
    }
}
