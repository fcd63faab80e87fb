//! CPU kernels: plain slices in, plain slices out. All `unsafe` of this crate lives below this folder.
//!
//! Every output value is summed by one task in a fixed order, so results do not depend on the number of
//! threads, nor on the batch that a sample sits in.

mod convolution;
mod convolution_weights;
mod norm;
mod resample;
mod simd;

pub(crate) use convolution::{convolve, transpose_weights};
pub(crate) use convolution_weights::{bias_gradient, weight_gradient};
pub(crate) use norm::{GroupNormShape, group_norm_backward, group_norm_forward};
pub(crate) use resample::{repeat_blocks, sum_blocks};

/// Extents of a volume (x, y, z).
pub(crate) type Extents = [usize; 3];

/// Shape of a 3^3 convolution on one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvolutionShape {
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) extents: Extents,
}

impl ConvolutionShape {
    pub(crate) fn voxels(&self) -> usize {
        self.extents.iter().product()
    }

    /// Distance between rows of a plane with a zero cell at either end.
    fn row_stride(&self) -> usize {
        self.extents[2] + 2
    }

    /// Distance between planes with a zero row at either end.
    fn plane_stride(&self) -> usize {
        (self.extents[1] + 2) * self.row_stride()
    }

    /// Offsets of the 27 taps from the padded position of the output's lowest corner.
    fn tap_offsets(&self) -> [usize; 27] {
        std::array::from_fn(|tap| {
            (tap / 9) * self.plane_stride() + (tap / 3 % 3) * self.row_stride() + tap % 3
        })
    }
}

/// Copies `planes` x-planes of one channel, from plane `first` (which may lie outside: zeros) on, into `padded`
/// with a zero cell around each row and a zero row around each plane.
fn pad_planes(channel: &[f32], extents: Extents, first: i64, planes: usize, padded: &mut [f32]) {
    let [nx, ny, nz] = extents;
    let (row, plane) = (nz + 2, (ny + 2) * (nz + 2));
    padded.fill(0.0);
    for p in 0..planes {
        let x = first + p as i64;
        if x < 0 || x >= nx as i64 {
            continue;
        }
        for y in 0..ny {
            let from = (x as usize * ny + y) * nz;
            let to = p * plane + (y + 1) * row + 1;
            padded[to..to + nz].copy_from_slice(&channel[from..from + nz]);
        }
    }
}
