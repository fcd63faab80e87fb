//! The one-dimensional transforms of F(2, 3) and F(4, 3); a tile of the volume takes them along each axis.
//!
//! With the matrices of the source, y = A^T [(G g) . (B^T d)] are the M outputs of a 3-tap correlation g with M + 2
//! inputs d. The gradients need the transposes: by the weights, G^T [(A dy) . (B^T d)].
//!
//! # Source
//! Lavin & Gray 2016, arXiv:1509.09308, section 4; Vincent et al. 2017 (ICLR workshop, "On improving the numerical
//! stability of Winograd convolutions") on the choice of points.
#![allow(unsafe_code, reason = "vector intrinsics")]

use crate::kernels::simd::Simd;

/// The most points of a tile along an axis. Arrays have this length; shorter tiles leave the end alone.
pub(super) const MOST: usize = 6;
/// The most points of a tile.
pub(super) const MOST_POINTS: usize = MOST * MOST * MOST;

pub(super) type Line<S> = [<S as Simd>::Vector; MOST];

/// F(M, 3): M outputs of three taps from M + 2 points.
pub(super) trait Tile: Copy + Send + Sync {
    /// Outputs along an axis.
    const OUTPUTS: usize;
    /// Inputs, and points at which polynomials are multiplied, along an axis.
    const POINTS: usize = Self::OUTPUTS + 2;
    /// Points of a tile.
    const ALL_POINTS: usize = Self::POINTS * Self::POINTS * Self::POINTS;

    /// B^T d.
    unsafe fn input<S: Simd>(d: Line<S>) -> Line<S>;
    /// G g.
    unsafe fn weight<S: Simd>(g: Line<S>) -> Line<S>;
    /// A^T m.
    unsafe fn output<S: Simd>(m: Line<S>) -> Line<S>;
    /// A dy.
    unsafe fn output_adjoint<S: Simd>(dy: Line<S>) -> Line<S>;
    /// G^T p.
    unsafe fn weight_adjoint<S: Simd>(p: Line<S>) -> Line<S>;
}

/// Points 0, 1, -1 and infinity.
#[derive(Clone, Copy)]
pub(super) struct Two;

/// Points 0, a, -a, b, -b and infinity with a = 3/4 and b = 3/2: about three times as accurate as 1 and 2.
#[derive(Clone, Copy)]
pub(super) struct Four;

impl Tile for Two {
    const OUTPUTS: usize = 2;

    #[inline(always)]
    unsafe fn input<S: Simd>(d: Line<S>) -> Line<S> {
        unsafe {
            let [d0, d1, d2, d3, ..] = d;
            [S::subtract(d0, d2), S::add(d2, d1), S::subtract(d2, d1), S::subtract(d3, d1), d[4], d[5]]
        }
    }

    #[inline(always)]
    unsafe fn weight<S: Simd>(g: Line<S>) -> Line<S> {
        unsafe {
            let half = S::splat(0.5);
            let even = S::multiply(S::add(g[0], g[2]), half);
            let odd = S::multiply(g[1], half);
            [g[0], S::add(even, odd), S::subtract(even, odd), g[2], g[4], g[5]]
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: Line<S>) -> Line<S> {
        unsafe {
            let first = S::add(m[0], S::add(m[1], m[2]));
            [first, S::add(S::subtract(m[1], m[2]), m[3]), m[2], m[3], m[4], m[5]]
        }
    }

    #[inline(always)]
    unsafe fn output_adjoint<S: Simd>(dy: Line<S>) -> Line<S> {
        unsafe { [dy[0], S::add(dy[0], dy[1]), S::subtract(dy[0], dy[1]), dy[1], dy[4], dy[5]] }
    }

    #[inline(always)]
    unsafe fn weight_adjoint<S: Simd>(p: Line<S>) -> Line<S> {
        unsafe {
            let half = S::splat(0.5);
            let even = S::multiply(S::add(p[1], p[2]), half);
            let odd = S::multiply(S::subtract(p[1], p[2]), half);
            [S::add(p[0], even), odd, S::add(even, p[3]), p[3], p[4], p[5]]
        }
    }
}

const A: f32 = 0.75;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
/// 1 / N, N = product of the differences to the other finite points.
const ZERO_SCALE: f32 = 1.0 / (A2 * B2);
const A_SCALE: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const B_SCALE: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

impl Tile for Four {
    const OUTPUTS: usize = 4;

    #[inline(always)]
    unsafe fn input<S: Simd>(d: Line<S>) -> Line<S> {
        unsafe {
            let (a, b, a2, b2) = (S::splat(A), S::splat(B), S::splat(A2), S::splat(B2));
            let (product, sum) = (S::splat(A2 * B2), S::splat(A2 + B2));
            // x (x +- a) (x^2 - b^2) and x (x +- b) (x^2 - a^2) by their even and odd coefficients.
            let (even_a, odd_a) =
                (S::multiply_subtract(b2, d[2], d[4]), S::multiply_subtract(b2, d[1], d[3]));
            let (even_b, odd_b) =
                (S::multiply_subtract(a2, d[2], d[4]), S::multiply_subtract(a2, d[1], d[3]));
            [
                S::multiply_add(product, d[0], S::multiply_subtract(sum, d[2], d[4])),
                S::multiply_add(a, odd_a, even_a),
                S::multiply_subtract(a, odd_a, even_a),
                S::multiply_add(b, odd_b, even_b),
                S::multiply_subtract(b, odd_b, even_b),
                S::multiply_add(product, d[1], S::multiply_subtract(sum, d[3], d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn weight<S: Simd>(g: Line<S>) -> Line<S> {
        unsafe {
            let even_a = S::multiply(S::multiply_add(S::splat(A2), g[2], g[0]), S::splat(A_SCALE));
            let even_b = S::multiply(S::multiply_add(S::splat(B2), g[2], g[0]), S::splat(B_SCALE));
            let odd_a = S::multiply(g[1], S::splat(A * A_SCALE));
            let odd_b = S::multiply(g[1], S::splat(B * B_SCALE));
            [
                S::multiply(g[0], S::splat(ZERO_SCALE)),
                S::add(even_a, odd_a),
                S::subtract(even_a, odd_a),
                S::add(even_b, odd_b),
                S::subtract(even_b, odd_b),
                g[2],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: Line<S>) -> Line<S> {
        unsafe {
            let (even_a, odd_a) = (S::add(m[1], m[2]), S::subtract(m[1], m[2]));
            let (even_b, odd_b) = (S::add(m[3], m[4]), S::subtract(m[3], m[4]));
            [
                S::add(m[0], S::add(even_a, even_b)),
                S::multiply_add(S::splat(A), odd_a, S::multiply(S::splat(B), odd_b)),
                S::multiply_add(S::splat(A2), even_a, S::multiply(S::splat(B2), even_b)),
                S::multiply_add(S::splat(A * A2), odd_a, S::multiply_add(S::splat(B * B2), odd_b, m[5])),
                m[4],
                m[5],
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_adjoint<S: Simd>(dy: Line<S>) -> Line<S> {
        unsafe {
            let (a, b, a2, b2) = (S::splat(A), S::splat(B), S::splat(A2), S::splat(B2));
            let (even_a, odd_a) = (S::multiply_add(a2, dy[2], dy[0]), S::multiply_add(a2, dy[3], dy[1]));
            let (even_b, odd_b) = (S::multiply_add(b2, dy[2], dy[0]), S::multiply_add(b2, dy[3], dy[1]));
            [
                dy[0],
                S::multiply_add(a, odd_a, even_a),
                S::multiply_subtract(a, odd_a, even_a),
                S::multiply_add(b, odd_b, even_b),
                S::multiply_subtract(b, odd_b, even_b),
                dy[3],
            ]
        }
    }

    #[inline(always)]
    unsafe fn weight_adjoint<S: Simd>(p: Line<S>) -> Line<S> {
        unsafe {
            let even_a = S::multiply(S::add(p[1], p[2]), S::splat(A_SCALE));
            let even_b = S::multiply(S::add(p[3], p[4]), S::splat(B_SCALE));
            let odd_a = S::multiply(S::subtract(p[1], p[2]), S::splat(A * A_SCALE));
            let odd_b = S::multiply(S::subtract(p[3], p[4]), S::splat(B * B_SCALE));
            let zeroth = S::multiply_add(S::splat(ZERO_SCALE), p[0], S::add(even_a, even_b));
            let second = S::multiply_add(S::splat(A2), even_a, S::multiply_add(S::splat(B2), even_b, p[5]));
            [zeroth, S::add(odd_a, odd_b), second, p[3], p[4], p[5]]
        }
    }
}

/// A linear map of the values along one axis.
///
/// A type and not a closure: its function is always inlined, and so compiled for the instruction set of the caller.
pub(super) trait LineMap {
    /// Values before.
    const FROM: usize;
    /// Values afterwards.
    const TO: usize;
    unsafe fn apply<S: Simd>(line: Line<S>) -> Line<S>;
}

macro_rules! line_map {
    ($(#[$doc:meta])* $name:ident, $from:expr, $to:expr, $function:ident) => {
        $(#[$doc])*
        pub(super) struct $name<T>(std::marker::PhantomData<T>);

        impl<T: Tile> LineMap for $name<T> {
            const FROM: usize = $from;
            const TO: usize = $to;
            #[inline(always)]
            unsafe fn apply<S: Simd>(line: Line<S>) -> Line<S> {
                unsafe { T::$function::<S>(line) }
            }
        }
    };
}

line_map!(
    /// B^T.
    Input, T::POINTS, T::POINTS, input
);
line_map!(
    /// G.
    Weight, 3, T::POINTS, weight
);
line_map!(
    /// A^T.
    Output, T::POINTS, T::OUTPUTS, output
);
line_map!(
    /// A.
    OutputAdjoint, T::OUTPUTS, T::POINTS, output_adjoint
);
line_map!(
    /// G^T.
    WeightAdjoint, T::POINTS, 3, weight_adjoint
);

/// Reads a line of `count` vectors.
///
/// # Safety
/// The CPU has `S`; the `count` vectors `step` apart are set.
#[inline(always)]
pub(super) unsafe fn read_line<S: Simd>(from: *const S::Vector, step: usize, count: usize) -> Line<S> {
    let mut line = [unsafe { S::zero() }; MOST];
    for (k, value) in line.iter_mut().enumerate().take(count) {
        *value = unsafe { *from.add(k * step) };
    }
    line
}

/// Writes the first `count` vectors of a line, `step` apart.
///
/// # Safety
/// The memory is this thread's.
#[inline(always)]
pub(super) unsafe fn write_line<S: Simd>(to: *mut S::Vector, step: usize, count: usize, line: Line<S>) {
    for (k, &value) in line.iter().enumerate().take(count) {
        unsafe { *to.add(k * step) = value };
    }
}

/// Distances in a cube of vectors with MOST places along each axis.
pub(super) const STRIDES: [usize; 3] = [MOST * MOST, MOST, 1];

/// Maps the lines of a cube along one axis, at the first `others[i]` places of the other two axes.
///
/// # Safety
/// The CPU has `S`, and `cube` points to MOST_POINTS vectors, of which those read are set.
#[inline(always)]
pub(super) unsafe fn along<S: Simd, M: LineMap>(cube: *mut S::Vector, axis: usize, others: [usize; 2]) {
    let [outer, inner] = [STRIDES[if axis == 0 { 1 } else { 0 }], STRIDES[if axis == 2 { 1 } else { 2 }]];
    for i in 0..others[0] {
        for j in 0..others[1] {
            // SAFETY: all places are below MOST along each axis.
            unsafe {
                let line = cube.add(i * outer + j * inner);
                let values = M::apply::<S>(read_line::<S>(line, STRIDES[axis], M::FROM));
                write_line::<S>(line, STRIDES[axis], M::TO, values);
            }
        }
    }
}
