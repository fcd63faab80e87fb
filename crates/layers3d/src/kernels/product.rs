//! Matrix products in register tiles: the work horse of every layer.
#![allow(unsafe_code, reason = "register tiles over strided matrices; the caller vouches for the extents")]

use super::simd::Simd;

/// A (rows x depth) by its first element and strides: row after row or transposed.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub(super) at: *const f32,
    pub(super) row: usize,
    pub(super) depth: usize,
}

impl Left {
    #[inline(always)]
    unsafe fn from_row(self, row: usize) -> Self {
        Self { at: unsafe { self.at.add(row * self.row) }, ..self }
    }
}

/// B (depth x columns), columns contiguous.
#[derive(Clone, Copy)]
pub(super) struct Right {
    pub(super) at: *const f32,
    pub(super) depth: usize,
}

/// C (rows x columns), columns contiguous.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) at: *mut f32,
    pub(super) row: usize,
    /// Whether the product is added to C, or replaces it.
    pub(super) add: bool,
}

impl Target {
    #[inline(always)]
    unsafe fn from_row(self, row: usize) -> Self {
        Self { at: unsafe { self.at.add(row * self.row) }, ..self }
    }
}

/// C = A B, or C += A B, for `columns` a multiple of the lanes: memory up to there is read and written.
///
/// Each element is one chain of multiply-adds over the depth (from zero, then added to C), so its bits do not depend on
/// how the product is cut into rows or columns.
///
/// # Safety
/// The CPU has `S`, and the three matrices lie in memory that may be read, or written for C by this thread alone.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>([rows, depth, columns]: [usize; 3], a: Left, b: Right, c: Target) {
    debug_assert!(columns.is_multiple_of(S::LANES));
    let mut column = 0;
    while column < columns {
        let vectors = ((columns - column) / S::LANES).min(S::TILE_VECTORS);
        // SAFETY: the panel lies within the matrices.
        unsafe {
            let b = Right { at: b.at.add(column), ..b };
            let c = Target { at: c.at.add(column), ..c };
            // As many rows as leave registers for the vectors of B and one element of A.
            match (S::TILE_VECTORS, vectors) {
                (4, 4) => panel::<S, 6, 4>(rows, depth, a, b, c),
                (4, 3) => panel::<S, 8, 3>(rows, depth, a, b, c),
                (4, 2) => panel::<S, 12, 2>(rows, depth, a, b, c),
                (4, _) => panel::<S, 14, 1>(rows, depth, a, b, c),
                (_, 2) => panel::<S, 6, 2>(rows, depth, a, b, c),
                (_, _) => panel::<S, 8, 1>(rows, depth, a, b, c),
            }
        }
        column += vectors * S::LANES;
    }
}

#[inline(always)]
unsafe fn panel<S: Simd, const ROWS: usize, const VECTORS: usize>(
    rows: usize,
    depth: usize,
    a: Left,
    b: Right,
    c: Target,
) {
    let mut row = 0;
    // SAFETY: rows up to `rows` lie within the matrices.
    unsafe {
        while row + ROWS <= rows {
            tile::<S, ROWS, VECTORS>(depth, a.from_row(row), b, c.from_row(row));
            row += ROWS;
        }
        while row + 3 <= rows {
            tile::<S, 3, VECTORS>(depth, a.from_row(row), b, c.from_row(row));
            row += 3;
        }
        while row < rows {
            tile::<S, 1, VECTORS>(depth, a.from_row(row), b, c.from_row(row));
            row += 1;
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize>(depth: usize, a: Left, b: Right, c: Target) {
    // SAFETY: all elements of the tile lie within the matrices.
    unsafe {
        let mut sums = [[S::zero(); VECTORS]; ROWS];
        let (mut left, mut right) = (a.at, b.at);
        for _ in 0..depth {
            let mut vectors = [S::zero(); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = S::load(right.add(v * S::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let element = S::splat(*left.add(row * a.row));
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = S::multiply_add(element, vector, *sum);
                }
            }
            left = left.wrapping_add(a.depth);
            right = right.wrapping_add(b.depth);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let at = c.at.add(row * c.row + v * S::LANES);
                S::store(at, if c.add { S::add(S::load(at), sum) } else { sum });
            }
        }
    }
}
