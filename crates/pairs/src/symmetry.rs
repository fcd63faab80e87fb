//! The symmetries of the cube.

/// One of the 48 ways to lay a cube onto itself: a permutation of its axes, then flips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetry {
    /// Axis a of the result is axis `permutation[a]` of the source,
    permutation: [usize; 3],
    /// backwards if `flip[a]`.
    flip: [bool; 3],
}

impl Symmetry {
    /// Number of symmetries.
    pub const COUNT: usize = 48;
    /// Leaves everything in its place.
    pub const IDENTITY: Self = Self { permutation: [0, 1, 2], flip: [false; 3] };

    /// Symmetry `number`, 0 (the identity) to 47.
    ///
    /// # Panics
    /// If `number` is 48 or more.
    #[must_use]
    pub fn new(number: usize) -> Self {
        const PERMUTATIONS: [[usize; 3]; 6] =
            [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        assert!(number < Self::COUNT, "there are {} symmetries of the cube, not {number}", Self::COUNT);
        Self {
            permutation: PERMUTATIONS[number / 8],
            flip: std::array::from_fn(|axis| number >> axis & 1 == 1),
        }
    }

    /// All of them, or the 16 that leave a line along `line_of_sight` (axis 0, 1 or 2) along it.
    #[must_use]
    pub fn all(line_of_sight: Option<usize>) -> Vec<Self> {
        let keeps = |symmetry: &Self| line_of_sight.is_none_or(|axis| symmetry.permutation[axis] == axis);
        (0..Self::COUNT).map(Self::new).filter(keeps).collect()
    }

    /// Writes `source`, a flat (n, n, n) array, into `target` under this symmetry.
    ///
    /// # Panics
    /// If the slices do not hold `cells`^3 values.
    pub fn apply(&self, source: &[f32], target: &mut [f32], cells: usize) {
        assert!(source.len() == cells.pow(3) && target.len() == source.len(), "a cube has {cells}^3 voxels");
        if cells == 0 {
            return;
        }
        // Index in the source of the target's first voxel, and what a step along each target axis adds.
        let stride = [cells * cells, cells, 1];
        let mut first = 0;
        let step: [isize; 3] = std::array::from_fn(|axis| {
            let along = stride[self.permutation[axis]];
            if self.flip[axis] {
                first += (cells - 1) * along;
                -(along as isize)
            } else {
                along as isize
            }
        });
        for (row, out) in target.chunks_exact_mut(cells).enumerate() {
            let (x, y) = ((row / cells) as isize, (row % cells) as isize);
            let mut from = first as isize + x * step[0] + y * step[1];
            for value in out {
                *value = source[from as usize];
                from += step[2];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELLS: usize = 3;

    fn numbered() -> Vec<f32> {
        (0..CELLS.pow(3)).map(|i| i as f32).collect()
    }

    fn applied(symmetry: Symmetry, source: &[f32]) -> Vec<f32> {
        let mut target = vec![0.0; source.len()];
        symmetry.apply(source, &mut target, CELLS);
        target
    }

    fn all() -> Vec<Symmetry> {
        (0..Symmetry::COUNT).map(Symmetry::new).collect()
    }

    #[test]
    fn one_by_hand() {
        // Result axes from source axes (1, 2, 0), the first one backwards: target[i, j, k] = source[k, 2 - i,
        // j].
        let symmetry = Symmetry { permutation: [1, 2, 0], flip: [true, false, false] };
        let target = applied(symmetry, &numbered());
        for (i, j, k) in [(0, 0, 0), (1, 2, 0), (2, 1, 1), (0, 2, 1)] {
            assert_eq!(target[(i * 3 + j) * 3 + k], ((k * 3 + 2 - i) * 3 + j) as f32);
        }
    }

    #[test]
    fn they_are_48_and_the_first_is_the_identity() {
        let mut images: Vec<_> = all()
            .iter()
            .map(|&s| applied(s, &numbered()).iter().map(|&v| v as u8).collect::<Vec<_>>())
            .collect();
        assert_eq!(Symmetry::new(0), Symmetry::IDENTITY);
        assert_eq!(applied(Symmetry::IDENTITY, &numbered()), numbered());
        images.sort();
        images.dedup();
        assert_eq!(images.len(), 48);
    }

    #[test]
    fn they_are_a_group_that_keeps_distances() {
        let images: Vec<_> = all().iter().map(|&s| applied(s, &numbered())).collect();
        for &a in &all() {
            // Closed: b after a is one of the 48; inverse: one b undoes a.
            let products: Vec<_> = images.iter().map(|image| applied(a, image)).collect();
            assert!(products.iter().all(|product| images.contains(product)));
            assert_eq!(products.iter().filter(|&product| *product == numbered()).count(), 1);
        }
        // Neighbours stay neighbours: strides 1, 3 and 9 stay a permutation of themselves.
        for image in &images {
            let mut steps: Vec<_> = [1, 3, 9].iter().map(|&s| (image[s] - image[0]).abs() as i32).collect();
            steps.sort_unstable();
            assert_eq!(steps, [1, 3, 9]);
        }
    }

    #[test]
    fn a_line_of_sight_stays_where_it_is() {
        assert_eq!(Symmetry::all(None).len(), 48);
        // A field that varies along y only.
        let along_y: Vec<f32> = (0..CELLS.pow(3)).map(|i| ((i / CELLS) % CELLS) as f32).collect();
        let backwards: Vec<f32> = along_y.iter().map(|value| 2.0 - value).collect();
        let kept = Symmetry::all(Some(1));
        assert_eq!((kept.len(), kept[0]), (16, Symmetry::IDENTITY));
        for symmetry in all() {
            let image = applied(symmetry, &along_y);
            assert_eq!(kept.contains(&symmetry), image == along_y || image == backwards);
        }
    }

    #[test]
    #[should_panic(expected = "not 48")]
    fn there_is_no_49th() {
        let _ = Symmetry::new(48);
    }
}
