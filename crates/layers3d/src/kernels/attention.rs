//! Multi-head self-attention, channels last, a block of queries at a time: the scores of a block against all keys stay
//! in the cache, those of all queries never exist.
//!
//! # Source
//! Vaswani et al. 2017, arXiv:1706.03762, eq. 1; recomputing the scores in the backward pass as in Dao et al. 2022,
//! arXiv:2205.14135, algorithm 4.

use super::pointwise::Packed;
use super::product::{Left, Right, Target, product};
use super::simd::{Simd, dispatch, exp, lanes};
use crate::arithmetic::AttentionShape;
use crate::buffer::Buffer;
use rayon::prelude::*;

/// Queries of a block.
const QUERIES: usize = 48;

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
    let AttentionShape { batch, points, heads, dim } = shape;
    assert_eq!(qkv.len(), batch * points * shape.width());
    assert_eq!(output.len(), batch * points * heads * dim);
    let width = padded(dim);
    let mut denominators = vec![0f32; batch * heads * points];
    // (b heads, points, width): the rows of a head lie together, so that each task has its own.
    let mut mixed = Buffer::new(batch * heads * points * width);
    let tasks = denominators.par_chunks_mut(points).zip(mixed.par_chunks_mut(points * width));
    tasks.enumerate().for_each(|(index, (denominators, mixed))| {
        let head = Head::new(shape, qkv, index);
        let blocks = denominators.par_chunks_mut(QUERIES).zip(mixed.par_chunks_mut(QUERIES * width));
        blocks.enumerate().for_each(|(block, (denominators, mixed))| {
            let mut scores = Buffer::new(denominators.len() * padded(points));
            attend(&head, block * QUERIES, &mut scores, denominators, mixed);
        });
    });
    side_by_side(&mixed, shape, 1, output);
    denominators
}

/// to (b, points, heads parts dim) from the rows of each head and part, (b heads, parts, points, padded dim).
fn side_by_side(from: &[f32], shape: AttentionShape, parts: usize, to: &mut [f32]) {
    let AttentionShape { points, heads, dim, .. } = shape;
    let (width, row) = (padded(dim), heads * parts * dim);
    to.par_chunks_mut(points * row).enumerate().for_each(|(sample, to)| {
        let from = &from[sample * heads * parts * points * width..];
        to.par_chunks_mut(QUERIES * row).enumerate().for_each(|(block, to)| {
            for (point, to) in to.chunks_exact_mut(row).enumerate() {
                for (part, to) in to.chunks_exact_mut(dim).enumerate() {
                    let place = (part * points + block * QUERIES + point) * width;
                    to.copy_from_slice(&from[place..][..dim]);
                }
            }
        });
    });
}

dispatch!(fn attend(head: &Head<'_>, first: usize, scores: &mut [f32], denominators: &mut [f32], mixed: &mut [f32]) => attend_generic);

/// A block of queries from `first` on.
#[inline(always)]
fn attend_generic<S: Simd>(
    simd: S,
    head: &Head<'_>,
    first: usize,
    scores: &mut [f32],
    denominators: &mut [f32],
    mixed: &mut [f32],
) {
    let (count, shape) = (denominators.len(), head.shape);
    let (stride, scale) = (scores.len() / count, shape.scale());
    head.keys.left_product(simd, head.queries(first), shape.width(), count, scores);
    for (scores, denominator) in scores.chunks_exact_mut(stride).zip(denominators.iter_mut()) {
        let largest = scale * scores[..shape.points].iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        exponentials(simd, scores, shape.points, scale, largest);
        let sum: f32 = sum_of(simd, scores);
        *denominator = largest + sum.ln();
        let factor = simd.splat(1.0 / sum);
        for scores in scores.chunks_exact_mut(S::LANES) {
            simd.store(scores, simd.multiply(simd.load(scores), factor));
        }
    }
    head.values.left_product(simd, scores, stride, count, mixed);
}

/// scores = e^(scale scores - shift) for the first `points`, zero behind them. Scores are whole vectors.
#[inline(always)]
fn exponentials<S: Simd>(simd: S, scores: &mut [f32], points: usize, scale: f32, shift: f32) {
    for (vector, scores) in scores.chunks_exact_mut(S::LANES).enumerate() {
        let x = simd.multiply_add(simd.load(scores), simd.splat(scale), simd.splat(-shift));
        simd.store(scores, exp(simd, x));
        let count = points.saturating_sub(vector * S::LANES);
        if count < S::LANES {
            scores[count..].fill(0.0);
        }
    }
}

/// The sum of whole vectors.
#[inline(always)]
fn sum_of<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let mut sum = simd.zero();
    for values in values.chunks_exact(S::LANES) {
        sum = simd.add(sum, simd.load(values));
    }
    let mut lanes = [0f32; 16];
    simd.store(&mut lanes, sum);
    lanes.iter().sum()
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
    let AttentionShape { points, heads, dim, .. } = shape;
    assert!(by_qkv.len() == qkv.len() && gradient.len() == output.len());
    let width = padded(dim);
    // (b heads, q k v, points, width): the rows of a head lie together, so that each task has its own.
    let mut by_heads = Buffer::new(denominators.len() * 3 * width);
    let tasks = denominators.par_chunks(points).zip(by_heads.par_chunks_mut(3 * points * width));
    tasks.enumerate().for_each(|(index, (denominators, by_head))| {
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
        let (by_queries, rest) = by_head.split_at_mut(points * width);
        let (by_keys, by_values) = rest.split_at_mut(points * width);
        let mut scratch = Buffer::new(2 * QUERIES * padded(points) + 2 * QUERIES * width);
        for (block, by_queries) in by_queries.chunks_mut(QUERIES * width).enumerate() {
            backward_block(&backward, block * QUERIES, &mut scratch, by_queries, by_keys, by_values);
        }
    });
    side_by_side(&by_heads, shape, 3, by_qkv);
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
fn backward_block_generic<S: Simd>(
    simd: S,
    b: &Backward<'_>,
    first: usize,
    scratch: &mut [f32],
    by_queries: &mut [f32],
    by_keys: &mut [f32],
    by_values: &mut [f32],
) {
    let AttentionShape { points, heads, dim, .. } = b.head.shape;
    let (count, row) = (QUERIES.min(points - first), heads * dim);
    let (stride, width) = (points.next_multiple_of(S::LANES), dim.next_multiple_of(S::LANES));
    let (scores, rest) = scratch.split_at_mut(QUERIES * stride);
    let (by_scores, rest) = rest.split_at_mut(QUERIES * stride);
    let (gradients, queries) = rest.split_at_mut(QUERIES * width);
    let (scores, by_scores) = (&mut scores[..count * stride], &mut by_scores[..count * stride]);
    let scale = b.head.shape.scale();
    b.head.keys.left_product(simd, b.head.queries(first), b.head.shape.width(), count, scores);
    b.values.left_product(simd, &b.gradient[first * row..], row, count, by_scores);
    for q in 0..count {
        let at = (first + q) * row;
        let (output, gradient) = (&b.output[at..][..dim], &b.gradient[at..][..dim]);
        let mean: f32 = output.iter().zip(gradient).map(|(o, g)| o * g).sum();
        let weights = &mut scores[q * stride..][..stride];
        exponentials(simd, weights, points, scale, b.denominators[first + q]);
        let by = &mut by_scores[q * stride..][..stride];
        for (by, weights) in by.chunks_exact_mut(S::LANES).zip(weights.chunks_exact(S::LANES)) {
            let weight = simd.multiply(simd.load(weights), simd.splat(scale));
            let value = simd.multiply(weight, simd.subtract(simd.load(by), simd.splat(mean)));
            simd.store(by, value);
        }
        let fill = |to: &mut [f32], from: &[f32]| {
            to[..dim].copy_from_slice(from);
            to[dim..].fill(0.0);
        };
        fill(&mut gradients[q * width..][..width], gradient);
        fill(&mut queries[q * width..][..width], &b.head.queries(first + q)[..dim]);
    }
    b.keys.left_product(simd, by_scores, stride, count, by_queries);
    let (add, extents) = (first > 0, [points, count, width]);
    for (scores, right, to) in [(by_scores, queries, by_keys), (scores, gradients, by_values)] {
        let transposed = Left { values: scores, row: 1, depth: stride };
        let right = Right { values: right, depth: width };
        product(simd, extents, transposed, right, Target { values: to, row: width, add });
    }
}
