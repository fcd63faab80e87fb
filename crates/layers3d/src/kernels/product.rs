//! Matrix products in register tiles: the work horse of every layer.
#![allow(unsafe_code, reason = "register tiles over strided matrices, whose extents `product` checks")]

use super::simd::Simd;

/// Values in a cache line.
const LINE: usize = 16;

/// A (rows x depth) by its values from the first element on and strides: row after row or transposed.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row: usize,
    pub(super) depth: usize,
}

/// B (depth x columns), columns contiguous.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) depth: usize,
}

/// C (rows x columns), columns contiguous.
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) row: usize,
    /// Whether the product is added to C, or replaces it.
    pub(super) add: bool,
}

/// C = A B, or C += A B, for `columns` a multiple of the lanes.
///
/// Each element is one chain of multiply-adds over the depth (from zero, then added to C), so its bits do not depend on
/// how the product is cut into rows or columns.
///
/// # Panics
/// If `columns` is no multiple of the lanes, or a matrix has fewer values than its extents say.
#[inline(always)]
pub(super) fn product<S: Simd>(
    simd: S,
    [rows, depth, columns]: [usize; 3],
    a: Left<'_>,
    b: Right<'_>,
    c: Target<'_>,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(columns.is_multiple_of(S::LANES));
    assert!(c.values.len() >= needed([rows - 1, c.row], [columns - 1, 1]));
    if depth > 0 {
        assert!(a.values.len() >= needed([rows - 1, a.row], [depth - 1, a.depth]));
        assert!(b.values.len() >= needed([depth - 1, b.depth], [columns - 1, 1]));
    }
    let a = LeftAt { at: a.values.as_ptr(), row: a.row, depth: a.depth };
    let mut column = 0;
    while column < columns {
        let vectors = ((columns - column) / S::LANES).min(S::TILE_VECTORS);
        // SAFETY: all elements of the matrices lie within their slices, as asserted, and `c` is borrowed for us alone;
        // the panel's columns are among `columns`.
        unsafe {
            // Without depth B has no values, and none is read.
            let b = RightAt { at: b.values.as_ptr().wrapping_add(column), depth: b.depth };
            let c = TargetAt { at: c.values.as_mut_ptr().add(column), row: c.row, add: c.add };
            // As many rows as leave registers for the vectors of B and one element of A.
            match (S::TILE_VECTORS, vectors) {
                (4, 4) => panel::<S, 6, 4>(simd, rows, depth, a, b, c),
                (4, 3) => panel::<S, 8, 3>(simd, rows, depth, a, b, c),
                (4, 2) => panel::<S, 12, 2>(simd, rows, depth, a, b, c),
                (4, _) => panel::<S, 14, 1>(simd, rows, depth, a, b, c),
                (_, 2) => panel::<S, 6, 2>(simd, rows, depth, a, b, c),
                (_, _) => panel::<S, 8, 1>(simd, rows, depth, a, b, c),
            }
        }
        column += vectors * S::LANES;
    }
}

/// Values of a matrix up to the last one, by (last index, stride) along both axes.
fn needed(outer: [usize; 2], inner: [usize; 2]) -> usize {
    let reach = |[last, stride]: [usize; 2]| last.checked_mul(stride);
    let last = reach(outer).zip(reach(inner)).and_then(|(outer, inner)| outer.checked_add(inner));
    last.and_then(|last| last.checked_add(1)).expect("a matrix within the address space")
}

/// [`Left`] from some row on, its extents checked.
#[derive(Clone, Copy)]
struct LeftAt {
    at: *const f32,
    row: usize,
    depth: usize,
}

impl LeftAt {
    /// Without depth there are no values, and none is read: the place may be outside of them.
    #[inline(always)]
    fn below(self, row: usize) -> Self {
        Self { at: self.at.wrapping_add(row * self.row), ..self }
    }
}

/// [`Right`] from some column on, its extents checked.
#[derive(Clone, Copy)]
struct RightAt {
    at: *const f32,
    depth: usize,
}

/// [`Target`] from some row and column on, its extents checked.
#[derive(Clone, Copy)]
struct TargetAt {
    at: *mut f32,
    row: usize,
    add: bool,
}

impl TargetAt {
    /// # Safety
    /// The matrix has that row.
    #[inline(always)]
    unsafe fn below(self, row: usize) -> Self {
        // SAFETY: the row starts within the matrix.
        Self { at: unsafe { self.at.add(row * self.row) }, ..self }
    }
}

/// All rows of `VECTORS` vectors of columns.
///
/// # Safety
/// A has `rows` rows of `depth` elements, B `depth` and C `rows` rows of `VECTORS` vectors; C is this thread's.
#[inline(always)]
unsafe fn panel<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    rows: usize,
    depth: usize,
    a: LeftAt,
    b: RightAt,
    c: TargetAt,
) {
    // What is needed next is asked for on the way: the rows after these, and the panel after this one.
    let (mut row, mut next) = (0, b.at.wrapping_add(depth * b.depth));
    // SAFETY: rows of a tile are below `rows`.
    unsafe {
        while row + ROWS <= rows {
            tile::<S, ROWS, VECTORS, true>(simd, depth, a.below(row), b, c.below(row), next);
            row += ROWS;
            next = next.wrapping_add(depth * LINE);
        }
        while row + 3 <= rows {
            tile::<S, 3, VECTORS, false>(simd, depth, a.below(row), b, c.below(row), next);
            row += 3;
        }
        while row < rows {
            tile::<S, 1, VECTORS, false>(simd, depth, a.below(row), b, c.below(row), next);
            row += 1;
        }
    }
}

/// `ROWS` rows of `VECTORS` vectors of columns.
///
/// # Safety
/// As [`panel`], for `ROWS` rows.
#[inline(always)]
unsafe fn tile<S: Simd, const ROWS: usize, const VECTORS: usize, const PREFETCH: bool>(
    simd: S,
    depth: usize,
    a: LeftAt,
    b: RightAt,
    c: TargetAt,
    next: *const f32,
) {
    // SAFETY: all elements of the tile lie within the matrices.
    unsafe {
        let mut sums = [[simd.zero(); VECTORS]; ROWS];
        let (mut left, mut right) = (a.at, b.at);
        for step in 0..depth {
            if PREFETCH {
                simd.prefetch(next.wrapping_add(step * LINE));
                if a.depth == 1 && step % LINE < ROWS {
                    simd.prefetch(a.at.wrapping_add((ROWS + step % LINE) * a.row + step / LINE * LINE));
                }
            }
            let mut vectors = [simd.zero(); VECTORS];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = simd.load_at(right.add(v * S::LANES));
            }
            for (row, sums) in sums.iter_mut().enumerate() {
                let element = simd.splat(*left.add(row * a.row));
                for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                    *sum = simd.multiply_add(element, vector, *sum);
                }
            }
            left = left.wrapping_add(a.depth);
            right = right.wrapping_add(b.depth);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate() {
                let at = c.at.add(row * c.row + v * S::LANES);
                simd.store_at(at, if c.add { simd.add(simd.load_at(at), sum) } else { sum });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::{dispatch, lanes};
    use super::*;

    /// What [`product`] asks of its matrices, as numbers: extents, values and strides.
    #[derive(Clone, Copy)]
    struct Case {
        extents: [usize; 3],
        values: [usize; 3],
        left: [usize; 2],
        right: usize,
        target: usize,
    }

    dispatch!(fn run(case: Case, c: &mut [f32]) => run_generic);
    #[inline(always)]
    fn run_generic<S: Simd>(simd: S, case: Case, c: &mut [f32]) {
        let a: Vec<f32> = (0..case.values[0]).map(|i| i as f32).collect();
        let b: Vec<f32> = (0..case.values[1]).map(|i| i as f32 - 7.0).collect();
        let a = Left { values: &a, row: case.left[0], depth: case.left[1] };
        let b = Right { values: &b, depth: case.right };
        product(simd, case.extents, a, b, Target { values: c, row: case.target, add: true });
    }

    fn case([rows, depth, columns]: [usize; 3], transposed: bool) -> Case {
        let (row, column) = if transposed { (1, rows) } else { (depth, 1) };
        Case {
            extents: [rows, depth, columns],
            values: [rows * depth, depth * columns, rows * columns],
            left: [row, column],
            right: columns,
            target: columns,
        }
    }

    #[test]
    fn products_of_whole_numbers_are_exact() {
        for transposed in [false, true] {
            for extents in [[1, 1, lanes()], [17, 5, 5 * lanes()], [7, 3, 2 * lanes()], [4, 0, lanes()]] {
                let case = case(extents, transposed);
                let [rows, depth, columns] = extents;
                let mut c = vec![3f32; rows * columns];
                run(case, &mut c);
                for (place, &found) in c.iter().enumerate() {
                    let (row, column) = (place / columns, place % columns);
                    let a = |k: usize| (row * case.left[0] + k * case.left[1]) as f32;
                    let b = |k: usize| (k * columns + column) as f32 - 7.0;
                    // Sums of whole numbers below 2^24.
                    assert_eq!(found, 3.0 + (0..depth).map(|k| a(k) * b(k)).sum::<f32>());
                }
            }
        }
    }

    #[test]
    fn matrices_that_are_too_small_are_refused() {
        let whole = case([6, 5, 2 * lanes()], false);
        let refused = |case: Case| {
            let mut c = vec![0f32; case.values[2]];
            std::panic::catch_unwind(move || run(case, &mut c)).is_err()
        };
        assert!(!refused(whole));
        for matrix in 0..3 {
            let mut small = whole;
            small.values[matrix] -= 1;
            assert!(refused(small), "matrix {matrix} lacks a value");
        }
        assert!(refused(Case { left: [6, 1], ..whole }));
        assert!(refused(Case { left: [usize::MAX, 1], ..whole }));
        assert!(refused(Case { right: 2 * lanes() + 1, ..whole }));
        assert!(refused(Case { target: 2 * lanes() + 1, ..whole }));
        assert!(refused(Case { extents: [6, 5, 2 * lanes() - 1], ..whole }));
    }
}
