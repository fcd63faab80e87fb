//! Arithmetic that only counts: operations, bytes and memory of an evaluation, without doing it.

use crate::Dropout;
use crate::arithmetic::{
    Arithmetic, AttentionShape, ConvolutionShape, NormGradients, NormInput, NormShape, Side,
};
use candle_core::{DType, Device, Result, Tensor};
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of a value that is no volume's: of gradients by parameters, and of what norms and attention keep.
const FLOAT: u64 = size_of::<f32>() as u64;

/// Counts what layers would do. An [`Engine`](crate::Engine) on it evaluates a network, forward and backward, in no time, and keeps
/// alive what one on a device would.
#[derive(Clone, Debug)]
pub struct Counting {
    counts: Rc<RefCell<Counts>>,
    value_bytes: u64,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Each kind of work, in the order in which it came first.
    pub work: Vec<Work>,
    /// Most bytes of volumes that were alive at once. Weights and their gradients' sums are not among them.
    pub peak_bytes: u64,
    live_bytes: u64,
}

/// All work of one kind on one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// What is done, and on which shape.
    pub what: String,
    /// How often.
    pub times: u64,
    /// Floating-point operations, a product and its sum as two.
    pub operations: u64,
    /// Bytes that must come from or go to memory at least, each input and output once.
    pub bytes: u64,
    /// Whether the operations are products of matrices, which tensor cores compute.
    pub is_product: bool,
}

/// A number of values that nobody has.
#[derive(Debug)]
pub struct CountedMemory {
    values: usize,
    bytes: u64,
    counting: Counting,
}

impl Drop for CountedMemory {
    fn drop(&mut self) {
        self.counting.counts.borrow_mut().live_bytes -= self.bytes;
    }
}

impl Counting {
    /// Of volumes, and weights in products with them, whose values have so many bytes each.
    #[must_use]
    pub fn of_values(value_bytes: usize) -> Self {
        Self { counts: Rc::default(), value_bytes: value_bytes as u64 }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    /// A volume.
    fn volume(&self, values: usize) -> CountedMemory {
        self.memory(values, self.value_bytes * values as u64)
    }

    /// Values that are no volume's.
    fn floats(&self, values: usize) -> CountedMemory {
        self.memory(values, FLOAT * values as u64)
    }

    fn memory(&self, values: usize, bytes: u64) -> CountedMemory {
        let mut counts = self.counts.borrow_mut();
        counts.live_bytes += bytes;
        counts.peak_bytes = counts.peak_bytes.max(counts.live_bytes);
        CountedMemory { values, bytes, counting: self.clone() }
    }

    fn begun(&self, so_far: Option<CountedMemory>, values: usize) -> CountedMemory {
        so_far.unwrap_or_else(|| self.volume(values))
    }

    /// Adds work on so many `values` of volumes and weights, read and written.
    fn count(&self, what: String, operations: usize, values: usize, is_product: bool) {
        self.count_bytes(what, operations, self.value_bytes * values as u64, is_product);
    }

    fn count_bytes(&self, what: String, operations: usize, bytes: u64, is_product: bool) {
        let operations = operations as u64;
        let work = &mut self.counts.borrow_mut().work;
        match work.iter_mut().find(|work| work.what == what) {
            None => work.push(Work { what, times: 1, operations, bytes, is_product }),
            Some(work) => {
                work.times += 1;
                work.operations += operations;
                work.bytes += bytes;
            }
        }
    }
}

fn all_channels(x: &[Side<'_, CountedMemory>]) -> usize {
    x.iter().map(|side| side.channels).sum()
}

fn all_values(x: &[Side<'_, CountedMemory>]) -> usize {
    x.iter().map(|side| side.values.values).sum()
}

fn cube([x, y, z]: [usize; 3]) -> String {
    if x == y && y == z { format!("{x}^3") } else { format!("{x} x {y} x {z}") }
}

impl Arithmetic for Counting {
    type Memory = CountedMemory;
    type Norm = [CountedMemory; 5];
    type Attention = CountedMemory;
    type Bits = usize;

    fn read(&self, x: &Tensor) -> Result<CountedMemory> {
        Ok(self.volume(x.elem_count()))
    }

    fn write(&self, _: &CountedMemory, shape: [usize; 5]) -> Result<Tensor> {
        Tensor::zeros(&shape, DType::F32, &Device::Cpu)
    }

    fn gradient(&self, _: &CountedMemory, parameter: &Tensor) -> Result<Tensor> {
        parameter.zeros_like()
    }

    fn add(&self, sum: &mut CountedMemory, _: &CountedMemory) -> Result<()> {
        self.count_bytes("sums of gradients".to_owned(), sum.values, 3 * sum.bytes, false);
        Ok(())
    }

    fn convolve(
        &self,
        shape: &ConvolutionShape,
        x: &CountedMemory,
        weight: &Tensor,
        reversed: bool,
        _: Option<&Tensor>,
        plus: Option<&CountedMemory>,
    ) -> Result<CountedMemory> {
        let ConvolutionShape { batch, inputs, outputs, extents } = *shape;
        let output = self.volume(batch * shape.voxels() * outputs);
        let values = x.values + weight.elem_count() + output.values + plus.map_or(0, |plus| plus.values);
        let direction = if reversed { "by input" } else { "forward" };
        let what = format!("conv 3^3 {inputs} to {outputs} at {} {direction}", cube(extents));
        self.count(what, 2 * 27 * inputs * output.values, values, true);
        Ok(output)
    }

    fn weight_gradient(
        &self,
        shape: &ConvolutionShape,
        x: &CountedMemory,
        gradient: &CountedMemory,
    ) -> Result<CountedMemory> {
        let ConvolutionShape { inputs, outputs, extents, .. } = *shape;
        let weights = self.floats(27 * inputs * outputs);
        let what = format!("conv 3^3 {inputs} to {outputs} at {} by weights", cube(extents));
        let bytes = x.bytes + gradient.bytes + weights.bytes;
        self.count_bytes(what, 2 * 27 * inputs * gradient.values, bytes, true);
        Ok(weights)
    }

    fn bias_gradient(&self, gradient: &CountedMemory, channels: usize) -> Result<CountedMemory> {
        self.count("gradients by biases".to_owned(), gradient.values, gradient.values, false);
        Ok(self.floats(channels))
    }

    fn pointwise(
        &self,
        x: &[Side<'_, CountedMemory>],
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&CountedMemory>,
    ) -> Result<CountedMemory> {
        let rows = x.first().map_or(0, |side| side.values.values / side.channels.max(1));
        let output = self.volume(rows * bias.elem_count());
        let values = all_values(x) + weight.elem_count() + output.values + plus.map_or(0, |plus| plus.values);
        let operations = 2 * all_channels(x) * output.values;
        self.count("conv 1^3 and linear layers forward".to_owned(), operations, values, true);
        Ok(output)
    }

    fn pointwise_weight_gradient(
        &self,
        x: &[Side<'_, CountedMemory>],
        gradient: &CountedMemory,
        weight: &Tensor,
    ) -> Result<CountedMemory> {
        let by_weight = self.floats(weight.elem_count());
        let bytes = self.value_bytes * (all_values(x) + gradient.values) as u64 + by_weight.bytes;
        let operations = 2 * all_channels(x) * gradient.values;
        self.count_bytes("conv 1^3 and linear layers by weights".to_owned(), operations, bytes, true);
        Ok(by_weight)
    }

    fn pointwise_input_gradient(
        &self,
        gradient: &CountedMemory,
        weight: &Tensor,
        _: usize,
        channels: usize,
        so_far: Option<CountedMemory>,
    ) -> Result<CountedMemory> {
        let outputs = weight.dim(0)?;
        let added = so_far.as_ref().map_or(0, |sum| sum.values);
        let by_x = self.begun(so_far, gradient.values / outputs * channels);
        let values = gradient.values + weight.elem_count() + by_x.values + added;
        let operations = 2 * channels * gradient.values;
        self.count("conv 1^3 and linear layers by input".to_owned(), operations, values, true);
        Ok(by_x)
    }

    fn group_norm(
        &self,
        shape: &NormShape,
        x: &NormInput<'_, CountedMemory>,
    ) -> Result<(CountedMemory, [CountedMemory; 5])> {
        let values = all_values(&x.sides);
        let output = self.volume(values);
        // Once for the moments, once to normalise.
        self.count("group norm and SiLU forward".to_owned(), 12 * values, 3 * values, false);
        let lines = shape.batch * all_channels(&x.sides);
        Ok((output, [(); 5].map(|()| self.floats(lines))))
    }

    fn group_norm_backward(
        &self,
        _: &NormShape,
        x: &NormInput<'_, CountedMemory>,
        _: &[CountedMemory; 5],
        _: &CountedMemory,
        so_far: Vec<Option<CountedMemory>>,
    ) -> Result<NormGradients<CountedMemory>> {
        let values = all_values(&x.sides);
        let added: usize = so_far.iter().flatten().map(|sum| sum.values).sum();
        // Input and gradient once for the sums and once for the result.
        self.count("group norm and SiLU backward".to_owned(), 30 * values, 5 * values + added, false);
        let by_sides = x.sides.iter().zip(so_far).map(|(side, sum)| self.begun(sum, side.values.values));
        Ok(NormGradients {
            by_sides: by_sides.collect(),
            by_affine: [(); 2].map(|()| self.floats(x.weight.elem_count())),
            by_scale_shift: x.scale_shift.map(|scales| self.volume(scales.values)),
        })
    }

    fn silu(&self, x: &CountedMemory) -> Result<CountedMemory> {
        Ok(self.volume(x.values))
    }

    fn silu_backward(&self, _: &CountedMemory, gradient: CountedMemory) -> Result<CountedMemory> {
        Ok(gradient)
    }

    fn sum_blocks(
        &self,
        x: &CountedMemory,
        _: [usize; 3],
        _: usize,
        _: f32,
        so_far: Option<CountedMemory>,
    ) -> Result<CountedMemory> {
        let output = self.begun(so_far, x.values / 8);
        self.count("pooling and upsampling".to_owned(), x.values, x.values + output.values, false);
        Ok(output)
    }

    fn repeat_blocks(
        &self,
        x: &CountedMemory,
        _: [usize; 3],
        _: usize,
        _: f32,
        so_far: Option<CountedMemory>,
    ) -> Result<CountedMemory> {
        let output = self.begun(so_far, 8 * x.values);
        self.count("pooling and upsampling".to_owned(), output.values, x.values + output.values, false);
        Ok(output)
    }

    fn attention(
        &self,
        shape: AttentionShape,
        qkv: &CountedMemory,
    ) -> Result<(CountedMemory, CountedMemory)> {
        let AttentionShape { batch, points, heads, dim } = shape;
        let output = self.volume(qkv.values / 3);
        let operations = 4 * batch * heads * points * points * dim;
        let what = format!("attention of {points} points forward");
        self.count(what, operations, qkv.values + output.values, true);
        Ok((output, self.floats(batch * heads * points)))
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        qkv: &CountedMemory,
        output: &CountedMemory,
        _: &CountedMemory,
        gradient: &CountedMemory,
    ) -> Result<CountedMemory> {
        let AttentionShape { batch, points, heads, dim } = shape;
        let by_qkv = self.volume(qkv.values);
        // Scores again, and four products with them.
        let operations = 10 * batch * heads * points * points * dim;
        let values = 2 * qkv.values + output.values + gradient.values;
        self.count(format!("attention of {points} points backward"), operations, values, true);
        Ok(by_qkv)
    }

    fn bits(&self, _: &Dropout, units: usize) -> Result<usize> {
        Ok(units.div_ceil(32))
    }

    fn keep(&self, x: &CountedMemory, bits: &usize, _: f32) -> Result<CountedMemory> {
        // Bits are words of as many bytes as a float.
        let bytes = 2 * x.bytes + FLOAT * *bits as u64;
        self.count_bytes("dropout".to_owned(), x.values, bytes, false);
        Ok(self.volume(x.values))
    }
}
