//! The one-dimensional transforms of F(2, 3) and F(4, 3); a tile of the volume takes them along each axis.
//!
//! With the matrices of the source, y = A^T [(G g) . (B^T d)] are the M outputs of a 3-tap correlation g with M + 2
//! inputs d. The gradients need the transposes: by the weights, G^T [(A dy) . (B^T d)].
//!
//! # Source
//! Lavin & Gray 2016, arXiv:1509.09308, section 4; Vincent et al. 2017 (ICLR workshop, "On improving the numerical
//! stability of Winograd convolutions") on the choice of points.
#![allow(unsafe_code, reason = "cubes of vectors that are not zeroed before they are written")]

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
    fn input<S: Simd>(simd: S, d: Line<S>) -> Line<S>;
    /// G g.
    fn weight<S: Simd>(simd: S, g: Line<S>) -> Line<S>;
    /// A^T m.
    fn output<S: Simd>(simd: S, m: Line<S>) -> Line<S>;
    /// A dy.
    fn output_adjoint<S: Simd>(simd: S, dy: Line<S>) -> Line<S>;
    /// G^T p.
    fn weight_adjoint<S: Simd>(simd: S, p: Line<S>) -> Line<S>;
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
    fn input<S: Simd>(simd: S, d: Line<S>) -> Line<S> {
        let [d0, d1, d2, d3, ..] = d;
        [simd.subtract(d0, d2), simd.add(d2, d1), simd.subtract(d2, d1), simd.subtract(d3, d1), d[4], d[5]]
    }

    #[inline(always)]
    fn weight<S: Simd>(simd: S, g: Line<S>) -> Line<S> {
        let half = simd.splat(0.5);
        let even = simd.multiply(simd.add(g[0], g[2]), half);
        let odd = simd.multiply(g[1], half);
        [g[0], simd.add(even, odd), simd.subtract(even, odd), g[2], g[4], g[5]]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, m: Line<S>) -> Line<S> {
        let first = simd.add(m[0], simd.add(m[1], m[2]));
        [first, simd.add(simd.subtract(m[1], m[2]), m[3]), m[2], m[3], m[4], m[5]]
    }

    #[inline(always)]
    fn output_adjoint<S: Simd>(simd: S, dy: Line<S>) -> Line<S> {
        [dy[0], simd.add(dy[0], dy[1]), simd.subtract(dy[0], dy[1]), dy[1], dy[4], dy[5]]
    }

    #[inline(always)]
    fn weight_adjoint<S: Simd>(simd: S, p: Line<S>) -> Line<S> {
        let half = simd.splat(0.5);
        let even = simd.multiply(simd.add(p[1], p[2]), half);
        let odd = simd.multiply(simd.subtract(p[1], p[2]), half);
        [simd.add(p[0], even), odd, simd.add(even, p[3]), p[3], p[4], p[5]]
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
    fn input<S: Simd>(simd: S, d: Line<S>) -> Line<S> {
        let (a, b, a2, b2) = (simd.splat(A), simd.splat(B), simd.splat(A2), simd.splat(B2));
        let (product, sum) = (simd.splat(A2 * B2), simd.splat(A2 + B2));
        // x (x +- a) (x^2 - b^2) and x (x +- b) (x^2 - a^2) by their even and odd coefficients.
        let (even_a, odd_a) =
            (simd.multiply_subtract(b2, d[2], d[4]), simd.multiply_subtract(b2, d[1], d[3]));
        let (even_b, odd_b) =
            (simd.multiply_subtract(a2, d[2], d[4]), simd.multiply_subtract(a2, d[1], d[3]));
        [
            simd.multiply_add(product, d[0], simd.multiply_subtract(sum, d[2], d[4])),
            simd.multiply_add(a, odd_a, even_a),
            simd.multiply_subtract(a, odd_a, even_a),
            simd.multiply_add(b, odd_b, even_b),
            simd.multiply_subtract(b, odd_b, even_b),
            simd.multiply_add(product, d[1], simd.multiply_subtract(sum, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn weight<S: Simd>(simd: S, g: Line<S>) -> Line<S> {
        let even_a = simd.multiply(simd.multiply_add(simd.splat(A2), g[2], g[0]), simd.splat(A_SCALE));
        let even_b = simd.multiply(simd.multiply_add(simd.splat(B2), g[2], g[0]), simd.splat(B_SCALE));
        let odd_a = simd.multiply(g[1], simd.splat(A * A_SCALE));
        let odd_b = simd.multiply(g[1], simd.splat(B * B_SCALE));
        [
            simd.multiply(g[0], simd.splat(ZERO_SCALE)),
            simd.add(even_a, odd_a),
            simd.subtract(even_a, odd_a),
            simd.add(even_b, odd_b),
            simd.subtract(even_b, odd_b),
            g[2],
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(simd: S, m: Line<S>) -> Line<S> {
        let (even_a, odd_a) = (simd.add(m[1], m[2]), simd.subtract(m[1], m[2]));
        let (even_b, odd_b) = (simd.add(m[3], m[4]), simd.subtract(m[3], m[4]));
        [
            simd.add(m[0], simd.add(even_a, even_b)),
            simd.multiply_add(simd.splat(A), odd_a, simd.multiply(simd.splat(B), odd_b)),
            simd.multiply_add(simd.splat(A2), even_a, simd.multiply(simd.splat(B2), even_b)),
            simd.multiply_add(simd.splat(A * A2), odd_a, simd.multiply_add(simd.splat(B * B2), odd_b, m[5])),
            m[4],
            m[5],
        ]
    }

    #[inline(always)]
    fn output_adjoint<S: Simd>(simd: S, dy: Line<S>) -> Line<S> {
        let (a, b, a2, b2) = (simd.splat(A), simd.splat(B), simd.splat(A2), simd.splat(B2));
        let (even_a, odd_a) = (simd.multiply_add(a2, dy[2], dy[0]), simd.multiply_add(a2, dy[3], dy[1]));
        let (even_b, odd_b) = (simd.multiply_add(b2, dy[2], dy[0]), simd.multiply_add(b2, dy[3], dy[1]));
        [
            dy[0],
            simd.multiply_add(a, odd_a, even_a),
            simd.multiply_subtract(a, odd_a, even_a),
            simd.multiply_add(b, odd_b, even_b),
            simd.multiply_subtract(b, odd_b, even_b),
            dy[3],
        ]
    }

    #[inline(always)]
    fn weight_adjoint<S: Simd>(simd: S, p: Line<S>) -> Line<S> {
        let even_a = simd.multiply(simd.add(p[1], p[2]), simd.splat(A_SCALE));
        let even_b = simd.multiply(simd.add(p[3], p[4]), simd.splat(B_SCALE));
        let odd_a = simd.multiply(simd.subtract(p[1], p[2]), simd.splat(A * A_SCALE));
        let odd_b = simd.multiply(simd.subtract(p[3], p[4]), simd.splat(B * B_SCALE));
        let zeroth = simd.multiply_add(simd.splat(ZERO_SCALE), p[0], simd.add(even_a, even_b));
        let second =
            simd.multiply_add(simd.splat(A2), even_a, simd.multiply_add(simd.splat(B2), even_b, p[5]));
        [zeroth, simd.add(odd_a, odd_b), second, p[3], p[4], p[5]]
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
    fn apply<S: Simd>(simd: S, line: Line<S>) -> Line<S>;
}

macro_rules! line_map {
    ($(#[$doc:meta])* $name:ident, $from:expr, $to:expr, $function:ident) => {
        $(#[$doc])*
        pub(super) struct $name<T>(std::marker::PhantomData<T>);

        impl<T: Tile> LineMap for $name<T> {
            const FROM: usize = $from;
            const TO: usize = $to;
            #[inline(always)]
            fn apply<S: Simd>(simd: S, line: Line<S>) -> Line<S> {
                T::$function(simd, line)
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

/// Distances in a cube of vectors with MOST places along each axis.
pub(super) const STRIDES: [usize; 3] = [MOST * MOST, MOST, 1];

/// Reads a line of `count` vectors, at most MOST, zeros behind them.
///
/// # Safety
/// The `count` vectors from `from` on, `step` apart, are this thread's and set.
#[inline(always)]
pub(super) unsafe fn read_line<S: Simd>(
    simd: S,
    from: *const S::Vector,
    step: usize,
    count: usize,
) -> Line<S> {
    let mut line = [simd.zero(); MOST];
    for (k, value) in line.iter_mut().enumerate().take(count) {
        // SAFETY: one of the first `count` vectors.
        *value = unsafe { *from.add(k * step) };
    }
    line
}

/// Writes the first `count` vectors of a line, `step` apart.
///
/// # Safety
/// The memory of the `count` vectors, at most MOST, is this thread's.
#[inline(always)]
pub(super) unsafe fn write_line<S: Simd>(to: *mut S::Vector, step: usize, count: usize, line: Line<S>) {
    for (k, &value) in line.iter().enumerate().take(count) {
        // SAFETY: one of the first `count` vectors.
        unsafe { *to.add(k * step) = value };
    }
}

/// Maps the lines of a cube along one axis, at the first `others[i]` places of the other two axes.
///
/// # Safety
/// `cube` points to MOST_POINTS vectors of this thread; the lines' first `M::FROM` vectors are set, and `others` are
/// at most MOST.
#[inline(always)]
pub(super) unsafe fn along<S: Simd, M: LineMap>(
    simd: S,
    cube: *mut S::Vector,
    axis: usize,
    others: [usize; 2],
) {
    let [outer, inner] = [STRIDES[if axis == 0 { 1 } else { 0 }], STRIDES[if axis == 2 { 1 } else { 2 }]];
    for i in 0..others[0] {
        for j in 0..others[1] {
            // SAFETY: i, j and the places along the line are below MOST, so all lie within the cube.
            unsafe {
                let line = cube.add(i * outer + j * inner);
                let values = M::apply(simd, read_line(simd, line, STRIDES[axis], M::FROM));
                write_line::<S>(line, STRIDES[axis], M::TO, values);
            }
        }
    }
}
