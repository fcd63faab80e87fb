//! The kernels as candle operations with backward passes.

use crate::kernels::{self, ConvolutionShape, Extents, GroupNormShape};
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

/// Whether the kernels serve this tensor.
pub(crate) fn has_kernels(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == candle_core::DType::F32
}

/// The contiguous values of an operation's argument.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end_exclusive)) => Ok(&storage.as_slice::<f32>()?[start..end_exclusive]),
        None => bail!("layers3d: the kernels need contiguous tensors, found {layout:?}"),
    }
}

/// The values of a tensor on the CPU, handed to `use_values`.
fn with_values<T>(tensor: &Tensor, use_values: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => use_values(values(storage, layout)?),
        _ => bail!("layers3d: the kernels need tensors on the CPU, found {:?}", tensor.device()),
    }
}

fn tensor(values: Vec<f32>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

fn extents(shape: &Shape) -> Result<Extents> {
    let (_, _, x, y, z) = shape.dims5()?;
    Ok([x, y, z])
}

/// Convolution of x with weight, plus bias.
pub(crate) struct Convolution;

impl Convolution {
    fn shape(x: &Shape, weight: &Shape) -> Result<ConvolutionShape> {
        let ((batch, inputs, ..), (outputs, expected, kx, ky, kz)) = (x.dims5()?, weight.dims5()?);
        if inputs != expected || [kx, ky, kz] != [3; 3] {
            bail!(
                "conv3d: {inputs} input channels do not fit weights of shape {weight:?}, (outputs, inputs, 3, 3, 3)"
            );
        }
        Ok(ConvolutionShape { batch, inputs, outputs, extents: extents(x)? })
    }
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "conv3d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        weight_l: &Layout,
        bias: &CpuStorage,
        bias_l: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = Self::shape(xl.shape(), weight_l.shape())?;
        let (x, weight, bias) = (values(x, xl)?, values(weight, weight_l)?, values(bias, bias_l)?);
        if bias.len() != shape.outputs {
            bail!("conv3d: {} biases for {} output channels", bias.len(), shape.outputs);
        }
        let [nx, ny, nz] = shape.extents;
        let output = kernels::convolve(&shape, x, weight, Some(bias));
        Ok((CpuStorage::F32(output), Shape::from((shape.batch, shape.outputs, nx, ny, nz))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = Self::shape(x.shape(), weight.shape())?;
        with_values(gradient, |g| {
            let by_x = || {
                let transposed =
                    with_values(weight, |w| Ok(kernels::transpose_weights(w, shape.outputs, shape.inputs)))?;
                let backward = ConvolutionShape { inputs: shape.outputs, outputs: shape.inputs, ..shape };
                tensor(kernels::convolve(&backward, g, &transposed, None), x)
            };
            let by_weight =
                || tensor(with_values(x, |x| Ok(kernels::weight_gradient(&shape, x, g)))?, weight);
            let by_bias = || tensor(kernels::bias_gradient(&shape, g), bias);
            Ok((
                x.track_op().then(by_x).transpose()?,
                weight.track_op().then(by_weight).transpose()?,
                bias.track_op().then(by_bias).transpose()?,
            ))
        })
    }
}

/// act(normalized x * scale + shift), scale and shift (b, c).
pub(crate) struct GroupNorm {
    pub(crate) groups: usize,
    pub(crate) silu: bool,
}

impl GroupNorm {
    fn shape(&self, x: &Shape) -> Result<GroupNormShape> {
        let dims = x.dims();
        let (channels, groups) = (dims[1], self.groups);
        if groups == 0 || channels % groups != 0 {
            bail!("group norm: {channels} channels do not divide into {groups} groups");
        }
        Ok(GroupNormShape { channels, voxels: dims[2..].iter().product(), groups, silu: self.silu })
    }
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        scale: &CpuStorage,
        scale_l: &Layout,
        shift: &CpuStorage,
        shift_l: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = self.shape(xl.shape())?;
        let (scale, shift) = (values(scale, scale_l)?, values(shift, shift_l)?);
        let output = kernels::group_norm_forward(&shape, values(x, xl)?, scale, shift);
        Ok((CpuStorage::F32(output), xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let shape = self.shape(x.shape())?;
        let (by_x, by_scale, by_shift) = with_values(x, |x| {
            with_values(scale, |scale| {
                with_values(shift, |shift| {
                    with_values(gradient, |g| Ok(kernels::group_norm_backward(&shape, x, scale, shift, g)))
                })
            })
        })?;
        Ok((Some(tensor(by_x, x)?), Some(tensor(by_scale, scale)?), Some(tensor(by_shift, shift)?)))
    }
}

/// Change of resolution by two in each axis.
#[derive(Clone, Copy)]
pub(crate) enum Resample {
    /// Mean over 2^3 blocks.
    Halve,
    /// Nearest neighbour.
    Double,
}

impl Resample {
    /// The operation, or its adjoint with the `factor` that makes it one.
    fn apply(self, x: &[f32], extents: Extents, factor: f32) -> (Vec<f32>, Extents) {
        match self {
            Self::Halve => (kernels::sum_blocks(x, extents, factor), extents.map(|n| n / 2)),
            Self::Double => (kernels::repeat_blocks(x, extents, factor), extents.map(|n| n * 2)),
        }
    }
}

impl CustomOp1 for Resample {
    fn name(&self) -> &'static str {
        "resample"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dims = layout.shape().dims();
        let factor = match self {
            Self::Halve => 0.125,
            Self::Double => 1.0,
        };
        let (output, [nx, ny, nz]) = self.apply(values(x, layout)?, extents(layout.shape())?, factor);
        Ok((CpuStorage::F32(output), Shape::from((dims[0], dims[1], nx, ny, nz))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (adjoint, factor) = match self {
            Self::Halve => (Self::Double, 0.125),
            Self::Double => (Self::Halve, 1.0),
        };
        let extents = extents(gradient.shape())?;
        let (values, _) = with_values(gradient, |g| Ok(adjoint.apply(g, extents, factor)))?;
        Ok(Some(tensor(values, x)?))
    }
}
