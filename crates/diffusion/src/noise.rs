//! Noise that belongs to the voxels of a global grid, not to the window that asks for it.

use crate::DiffusionError;
use candle_core::{Device, Tensor};
use finescale_seed::{KeyedStream, Purpose};

/// The noise of a batch of windows of one periodic grid: voxel (x, y, z) of the grid has the same numbers in
/// every window, batch, thread and order, because they are keyed by (seed, purpose, step, ((field nx + x) ny + y) nz + z).
#[derive(Clone, Debug)]
pub struct KeyedNoise {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Keyed {
        seed: u64,
        cells: [usize; 3],
        starts: Vec<[i64; 3]>,
        shape: [usize; 3],
        fields: usize,
        device: Device,
    },
    Prescribed(Vec<Tensor>),
}

impl KeyedNoise {
    /// Noise for the windows of `shape` voxels at `starts` (before wrapping) in a periodic grid of `cells`.
    /// Tensors have shape (`starts.len()`, 1, `shape`) and lie on `device`.
    ///
    /// # Errors
    /// [`DiffusionError::Window`] if a window is larger than the grid or holds no voxel.
    pub fn new(
        seed: u64,
        cells: [usize; 3],
        starts: Vec<[i64; 3]>,
        shape: [usize; 3],
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        let fits = (0..3).all(|axis| (1..=cells[axis]).contains(&shape[axis]));
        if !fits {
            return Err(DiffusionError::Window { shape, cells });
        }
        Ok(Self { source: Source::Keyed { seed, cells, starts, shape, fields: 1, device: device.clone() } })
    }

    /// The noise of `count` fields on the grid, each with its own: tensors have shape (`starts.len()`, `fields`, `shape`).
    #[must_use]
    pub fn with_fields(mut self, count: usize) -> Self {
        if let Source::Keyed { fields, .. } = &mut self.source {
            *fields = count;
        }
        self
    }

    /// No noise, for solvers that use none: any other finds [`DiffusionError::PrescribedNoise`].
    #[must_use]
    pub fn none() -> Self {
        Self::prescribed(Vec::new())
    }

    /// Given tensors as the noise of steps 0, 1, ...: for comparison with other codes.
    #[must_use]
    pub fn prescribed(noise: Vec<Tensor>) -> Self {
        Self { source: Source::Prescribed(noise) }
    }

    /// The state that sampling starts from: unit normal noise.
    ///
    /// # Errors
    /// [`DiffusionError::PrescribedNoise`] if the noise is prescribed, since that has no start.
    pub fn start(&self) -> Result<Tensor, DiffusionError> {
        match &self.source {
            Source::Keyed { .. } => self.draw(Purpose::SamplerStart, 0),
            Source::Prescribed(noise) => Err(DiffusionError::PrescribedNoise { step: 0, given: noise.len() }),
        }
    }

    /// Unit normal noise of sampler step `step`.
    ///
    /// # Errors
    /// [`DiffusionError::PrescribedNoise`] if noise is prescribed for fewer steps.
    pub fn step(&self, step: usize) -> Result<Tensor, DiffusionError> {
        self.draw(Purpose::SamplerStep, step)
    }

    fn draw(&self, purpose: Purpose, step: usize) -> Result<Tensor, DiffusionError> {
        match &self.source {
            Source::Keyed { seed, cells, starts, shape, fields, device } => {
                let stream = KeyedStream::new(*seed, purpose);
                let step = u32::try_from(step).map_err(|_| DiffusionError::Step { step, levels: 1 << 32 })?;
                let [nx, ny, nz] = *shape;
                let mut values = vec![0f32; starts.len() * fields * nx * ny * nz];
                let windows = starts.iter().flat_map(|start| (0..*fields).map(move |field| (field, start)));
                for (window, (field, start)) in values.chunks_exact_mut(nx * ny * nz).zip(windows) {
                    fill_window(&stream, step, *cells, (field, *start), *shape, window);
                }
                Ok(Tensor::from_vec(values, (starts.len(), *fields, nx, ny, nz), device)?)
            }
            Source::Prescribed(noise) => {
                noise.get(step).cloned().ok_or(DiffusionError::PrescribedNoise { step, given: noise.len() })
            }
        }
    }
}

fn fill_window(
    stream: &KeyedStream,
    step: u32,
    cells: [usize; 3],
    (field, start): (usize, [i64; 3]),
    shape: [usize; 3],
    out: &mut [f32],
) {
    let wrapped =
        |axis: usize, offset: usize| (start[axis] + offset as i64).rem_euclid(cells[axis] as i64) as u64;
    let [nx, ny, nz] = cells.map(|n| n as u64);
    debug_assert!(nx > 0 && ny > 0 && nz > 0);
    for (row, values) in out.chunks_exact_mut(shape[2]).enumerate() {
        let x = field as u64 * nx + wrapped(0, row.div_euclid(shape[1]));
        let first_of_row = (x * ny + wrapped(1, row % shape[1])) * nz;
        // The row wraps at most once, since a window is no larger than the grid.
        let z = wrapped(2, 0);
        let before_wrap = usize::try_from(nz - z).map_or(values.len(), |room| room.min(values.len()));
        let (upper, lower) = values.split_at_mut(before_wrap);
        stream.fill_normal(step, first_of_row + z, upper);
        stream.fill_normal(step, first_of_row, lower);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CELLS: [usize; 3] = [5, 6, 7];

    fn bits(tensor: &Tensor) -> Vec<u32> {
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
    }

    fn noise(starts: Vec<[i64; 3]>, shape: [usize; 3]) -> KeyedNoise {
        KeyedNoise::new(11, CELLS, starts, shape, &Device::Cpu).unwrap()
    }

    proptest! {
        #[test]
        fn a_voxel_has_its_own_noise_in_any_window_and_batch(
            start in prop::array::uniform3(-9i64..9), shape in (1usize..=5, 1usize..=6, 1usize..=7), step in 0usize..9,
        ) {
            let shape: [usize; 3] = shape.into();
            let window = bits(&noise(vec![[2, 2, 2], start], shape).step(step).unwrap());
            let voxels: usize = shape.iter().product();
            let stream = KeyedStream::new(11, Purpose::SamplerStep);
            for (flat, &found) in window[voxels..].iter().enumerate() {
                let local = [flat / (shape[1] * shape[2]), flat / shape[2] % shape[1], flat % shape[2]];
                let global: Vec<u64> =
                    (0..3).map(|a| (start[a] + local[a] as i64).rem_euclid(CELLS[a] as i64) as u64).collect();
                let index = (global[0] * 6 + global[1]) * 7 + global[2];
                prop_assert_eq!(found, stream.normal(step as u32, index).to_bits());
            }
            prop_assert_eq!(&window[voxels..], &bits(&noise(vec![start], shape).step(step).unwrap())[..]);
        }
    }

    #[test]
    fn start_and_steps_have_noise_of_their_own() {
        let noise = noise(vec![[0; 3]], [4; 3]);
        let start = bits(&noise.start().unwrap());
        let first = bits(&noise.step(0).unwrap());
        assert_ne!(start, first);
        assert_ne!(first, bits(&noise.step(1).unwrap()));
        assert_eq!(noise.start().unwrap().dims(), [1, 1, 4, 4, 4]);
    }

    #[test]
    fn fields_have_noise_of_their_own_and_the_first_that_of_one() {
        let one = noise(vec![[1, 2, 3], [4, 0, -1]], [3; 3]);
        let two = one.clone().with_fields(2).step(5).unwrap();
        assert_eq!(two.dims(), [2, 2, 3, 3, 3]);
        let [first, second] = [0, 1].map(|field| bits(&two.narrow(1, field, 1).unwrap()));
        assert_eq!(first, bits(&one.step(5).unwrap()));
        assert!(first.iter().zip(&second).all(|(a, b)| a != b));
        let voxel = KeyedStream::new(11, Purpose::SamplerStep).normal(5, ((5 + 1) * 6 + 2) * 7 + 3);
        assert_eq!(second[0], voxel.to_bits());
    }

    #[test]
    fn a_window_must_fit_the_grid() {
        for shape in [[6, 1, 1], [1, 0, 1]] {
            let error = KeyedNoise::new(1, CELLS, vec![[0; 3]], shape, &Device::Cpu).unwrap_err();
            assert!(matches!(error, DiffusionError::Window { .. }));
        }
    }

    #[test]
    fn prescribed_noise_comes_back_until_it_ends() {
        let given = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
        let noise = KeyedNoise::prescribed(vec![given.clone()]);
        assert_eq!(bits(&noise.step(0).unwrap()), bits(&given));
        assert!(matches!(noise.step(1), Err(DiffusionError::PrescribedNoise { step: 1, given: 1 })));
        assert!(matches!(noise.start(), Err(DiffusionError::PrescribedNoise { .. })));
    }
}
