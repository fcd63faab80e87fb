//! One matrix per point of a tile, in memory that tasks share out by rows or by points.
#![allow(unsafe_code, reason = "rows are scattered over the memory, and tasks write them side by side")]

use crate::buffer::Buffer;
use crate::kernels::simd::Simd;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Floats between two points' matrices, so that the same place in each does not fall into the same cache set.
const SKEW: usize = 16;

/// How matrices lie in memory: rows x columns, cut into panels of columns, row after row within a panel.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) points: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) panel: usize,
}

impl Layout {
    /// Floats from one point's matrix to the next.
    fn step(&self) -> usize {
        self.rows * self.columns + SKEW
    }

    /// The place of the vector at `column`, which lies within one panel.
    #[inline(always)]
    fn place(&self, point: usize, row: usize, column: usize) -> usize {
        let start = column / self.panel * self.panel;
        let width = self.panel.min(self.columns - start);
        point * self.step() + start * self.rows + row * width + column % self.panel
    }

    /// Checks that vectors for `channels` channels at each of `points` points lie in these matrices, each in one panel.
    #[inline(always)]
    fn check<S: Simd>(&self, points: usize, channels: usize) {
        assert!(points <= self.points && self.panel.is_multiple_of(S::LANES));
        assert!(channels.next_multiple_of(S::LANES) <= self.columns);
    }
}

/// The matrices of all points, and their memory.
pub(super) struct Matrices {
    values: Buffer,
    layout: Layout,
}

impl Matrices {
    /// Floats of the matrices of all points.
    pub(super) fn len(points: usize, rows: usize, columns: usize) -> usize {
        points * Layout { points, rows, columns, panel: columns }.step()
    }

    /// Matrices whose values the caller sets before it reads them. `panel` columns are a panel, or all if there are
    /// fewer.
    pub(super) fn new(points: usize, rows: usize, columns: usize, panel: usize) -> Self {
        let layout = Layout { points, rows, columns, panel: panel.min(columns) };
        Self { values: Buffer::new(Self::len(points, rows, columns)), layout }
    }

    pub(super) fn zeros(points: usize, rows: usize, columns: usize, panel: usize) -> Self {
        let mut matrices = Self::new(points, rows, columns, panel);
        matrices.values.fill(0.0);
        matrices
    }

    /// All values, those between the matrices as well.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    pub(super) fn point(&self, point: usize) -> Matrix<'_> {
        let Layout { rows, columns, .. } = self.layout;
        Matrix { values: &self.values[point * self.layout.step()..][..rows * columns], layout: self.layout }
    }

    /// The matrices, point after point.
    pub(super) fn points_mut(&mut self) -> impl Iterator<Item = MatrixMut<'_>> {
        let layout = self.layout;
        self.values.chunks_exact_mut(layout.step()).map(move |values| MatrixMut { values, layout })
    }

    /// The matrices, for a task each.
    pub(super) fn par_points_mut(&mut self) -> impl IndexedParallelIterator<Item = MatrixMut<'_>> {
        let layout = self.layout;
        self.values.par_chunks_exact_mut(layout.step()).map(move |values| MatrixMut { values, layout })
    }

    /// One row of all matrices.
    pub(super) fn row(&self, row: usize) -> Row<'_> {
        assert!(row < self.layout.rows);
        Row { values: &self.values, layout: self.layout, row }
    }

    /// One row of all matrices, to be written.
    pub(super) fn row_mut(&mut self, row: usize) -> RowMut<'_> {
        // SAFETY: the matrices are borrowed for this row alone.
        unsafe { self.shared_rows().row(row) }
    }

    /// The first `count` rows of all matrices, for a task each.
    pub(super) fn par_rows_mut(&mut self, count: usize) -> impl IndexedParallelIterator<Item = RowMut<'_>> {
        let rows = self.shared_rows();
        // SAFETY: the matrices are borrowed for these rows, and the range yields each of them once.
        (0..count).into_par_iter().map(move |row| unsafe { rows.row(row) })
    }

    fn shared_rows(&mut self) -> SharedRows<'_> {
        SharedRows { at: self.values.as_mut_ptr(), layout: self.layout, memory: PhantomData }
    }
}

/// The rows of matrices that nobody else uses, in the hands of several tasks.
struct SharedRows<'a> {
    at: *mut f32,
    layout: Layout,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: it stands for a `&mut [f32]`, and the one thing that threads do with a shared one, `row`, makes its callers
// vouch for different rows.
unsafe impl Send for SharedRows<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedRows<'_> {}

impl<'a> SharedRows<'a> {
    /// # Safety
    /// For as long as the matrices are borrowed, no row is asked for twice.
    unsafe fn row(&self, row: usize) -> RowMut<'a> {
        assert!(row < self.layout.rows);
        RowMut { at: self.at, layout: self.layout, row, memory: PhantomData }
    }
}

/// The matrix of one point.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) layout: Layout,
}

/// The matrix of one point, to be written.
pub(super) struct MatrixMut<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) layout: Layout,
}

/// One row of all matrices.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    values: &'a [f32],
    layout: Layout,
    /// Below the number of rows.
    row: usize,
}

impl Row<'_> {
    /// Checks that the row holds vectors for `channels` channels at each of `points` points.
    #[inline(always)]
    pub(super) fn check<S: Simd>(&self, points: usize, channels: usize) {
        self.layout.check::<S>(points, channels);
    }

    /// Where the vector at `column` of a point's matrix is.
    ///
    /// # Safety
    /// [`Row::check`] passed, the point is one of its points, and the vector one of its vectors.
    #[inline(always)]
    pub(super) unsafe fn at(&self, point: usize, column: usize) -> *const f32 {
        debug_assert!(point < self.layout.points && column < self.layout.columns);
        // SAFETY: point, row and column are those of an element of the matrices.
        unsafe { self.values.as_ptr().add(self.layout.place(point, self.row, column)) }
    }
}

/// One row of all matrices, which nobody else uses.
pub(super) struct RowMut<'a> {
    /// The memory of all rows.
    at: *mut f32,
    layout: Layout,
    /// Below the number of rows.
    row: usize,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: no two of them have the same row, so one is as good as a `&mut [f32]`.
unsafe impl Send for RowMut<'_> {}

impl RowMut<'_> {
    /// Checks that the row holds vectors for `channels` channels at each of `points` points.
    #[inline(always)]
    pub(super) fn check<S: Simd>(&self, points: usize, channels: usize) {
        self.layout.check::<S>(points, channels);
    }

    /// Where the vector at `column` of a point's matrix goes.
    ///
    /// # Safety
    /// [`RowMut::check`] passed, the point is one of its points, and the vector one of its vectors.
    #[inline(always)]
    pub(super) unsafe fn at(&mut self, point: usize, column: usize) -> *mut f32 {
        debug_assert!(point < self.layout.points && column < self.layout.columns);
        // SAFETY: point, row and column are those of an element of the matrices.
        unsafe { self.at.add(self.layout.place(point, self.row, column)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::simd::lanes;

    #[test]
    fn vectors_of_all_rows_and_points_tile_the_matrices() {
        let (points, rows, columns) = (3, 5, 7 * lanes());
        for panel in [lanes(), 2 * lanes(), columns] {
            let mut matrices = Matrices::zeros(points, rows, columns, panel);
            matrices.par_rows_mut(rows).for_each(|mut row| {
                for point in 0..points {
                    for column in (0..columns).step_by(lanes()) {
                        for lane in 0..lanes() {
                            // SAFETY: the vector is one of the row's, within one panel.
                            unsafe { *row.at(point, column).add(lane) += 1.0 };
                        }
                    }
                }
            });
            for point in 0..points {
                assert!(matrices.point(point).values.iter().all(|&hits| hits == 1.0));
            }
            let between = matrices.values().iter().filter(|&&hits| hits == 0.0).count();
            assert_eq!(between, points * SKEW);
        }
    }

    #[test]
    #[should_panic(expected = "row < self.layout.rows")]
    fn a_row_that_is_not_there_is_refused() {
        Matrices::zeros(2, 3, lanes(), lanes()).row_mut(3);
    }

    /// An error on purpose, of which `scripts/sanitize.sh` wants to hear from tools that watch threads.
    #[cfg(finescale_exact_buffers)]
    #[test]
    #[ignore = "threads write one row"]
    fn planted_race_for_a_row() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).use_current_thread().build();
        let mut matrices = Matrices::zeros(1, 1, lanes(), lanes());
        let rows = matrices.shared_rows();
        pool.expect("a pool").install(|| {
            (0..4).into_par_iter().for_each(|task| {
                // SAFETY: wrong on purpose: all tasks have the row.
                let mut row = unsafe { rows.row(0) };
                for _ in 0..1000 {
                    // SAFETY: the first value of the row.
                    unsafe { row.at(0, 0).write_volatile(task as f32) };
                    std::thread::yield_now();
                }
            });
        });
    }
}
