//! Batches of volumes in the engine's memory.

use crate::buffer::Buffer;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Some channels of a batch, (b, x, y, z, c): what one layer computed.
pub(super) struct Part {
    pub(super) id: u64,
    pub(super) channels: usize,
    /// Whether a parameter had a hand in it: inputs need no gradient.
    pub(super) trained: bool,
    pub(super) values: Buffer,
}

/// A batch of volumes. Its channels may lie in several parts: concatenation copies nothing.
#[derive(Clone)]
pub struct Volume {
    pub(super) batch: usize,
    pub(super) extents: [usize; 3],
    pub(super) parts: Vec<Arc<Part>>,
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Volume({} x {} channels x {:?})", self.batch, self.channels(), self.extents)
    }
}

impl Volume {
    /// What a layer computed.
    pub(super) fn new(batch: usize, extents: [usize; 3], channels: usize, values: Buffer) -> Self {
        Self::with(batch, extents, channels, values, true)
    }

    fn with(batch: usize, extents: [usize; 3], channels: usize, values: Buffer, trained: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        debug_assert_eq!(values.len(), batch * extents.iter().product::<usize>() * channels);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { batch, extents, parts: vec![Arc::new(Part { id, channels, trained, values })] }
    }

    pub(super) fn channels(&self) -> usize {
        self.parts.iter().map(|part| part.channels).sum()
    }

    pub(super) fn voxels(&self) -> usize {
        self.extents.iter().product()
    }

    /// The one part that holds all channels.
    pub(super) fn whole(&self) -> Result<&Arc<Part>> {
        match self.parts.as_slice() {
            [part] => Ok(part),
            parts => bail!("{} concatenated volumes enter a layer that takes one", parts.len()),
        }
    }

    /// What gradients by this output of a layer go by.
    pub(super) fn id(&self) -> Result<u64> {
        Ok(self.whole()?.id)
    }

    /// From a tensor (b, c, x, y, z).
    pub(super) fn from_tensor(x: &Tensor) -> Result<Self> {
        let (batch, channels, nx, ny, nz) = x.dims5()?;
        let voxels = nx * ny * nz;
        let mut buffer = Buffer::new(batch * voxels * channels);
        with_values(x, |values| {
            buffer.par_chunks_mut(voxels * channels).enumerate().for_each(|(sample, to)| {
                let from = &values[sample * voxels * channels..][..voxels * channels];
                for (voxel, to) in to.chunks_exact_mut(channels).enumerate() {
                    to.iter_mut().enumerate().for_each(|(c, to)| *to = from[c * voxels + voxel]);
                }
            });
            Ok(())
        })?;
        Ok(Self::with(batch, [nx, ny, nz], channels, buffer, false))
    }

    /// As a tensor (b, c, x, y, z).
    pub(super) fn to_tensor(&self) -> Result<Tensor> {
        let part = self.whole()?;
        let (voxels, channels) = (self.voxels(), part.channels);
        let mut values = vec![0f32; part.values.len()];
        values.par_chunks_mut(voxels).enumerate().for_each(|(row, to)| {
            let (sample, c) = (row / channels, row % channels);
            let from = &part.values[sample * voxels * channels..][..voxels * channels];
            to.iter_mut().zip(from[c..].iter().step_by(channels)).for_each(|(to, &from)| *to = from);
        });
        let [nx, ny, nz] = self.extents;
        Tensor::from_vec(values, (self.batch, channels, nx, ny, nz), &Device::Cpu)
    }
}

/// Hands the values of an f32 tensor on the CPU to `use_values`, in the order of its shape.
pub(super) fn with_values<T>(tensor: &Tensor, use_values: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    if tensor.dtype() != DType::F32 {
        bail!("the engine computes in f32, found a tensor of type {:?}", tensor.dtype());
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => use_values(&values[start..end]),
        _ => bail!("the engine computes on the CPU, found a tensor on {:?}", tensor.device()),
    }
}
