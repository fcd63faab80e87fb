//! Arithmetic that only counts: operations, bytes and memory of an evaluation, without doing it.

use crate::Dropout;
use crate::arithmetic::{
    Arithmetic, AttentionShape, ConvolutionShape, NormGradients, NormInput, NormShape, Side,
};
use candle_core::{DType, Device, Result, Tensor};
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of a value.
const VALUE: u64 = size_of::<f32>() as u64;

/// Counts what layers would do. An [`Engine`](crate::Engine) on it evaluates a network, forward and backward, in no time, and keeps
/// alive what one on a device would.
#[derive(Clone, Debug, Default)]
pub struct Counting(Rc<RefCell<Counts>>);

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
    counting: Counting,
}

impl Drop for CountedMemory {
    fn drop(&mut self) {
        self.counting.0.borrow_mut().live_bytes -= VALUE * self.values as u64;
    }
}

impl Counting {
    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.borrow().clone()
    }

    fn memory(&self, values: usize) -> CountedMemory {
        let mut counts = self.0.borrow_mut();
        counts.live_bytes += VALUE * values as u64;
        counts.peak_bytes = counts.peak_bytes.max(counts.live_bytes);
        CountedMemory { values, counting: self.clone() }
    }

    fn begun(&self, so_far: Option<CountedMemory>, values: usize) -> CountedMemory {
        so_far.unwrap_or_else(|| self.memory(values))
    }

    /// Adds work on so many `values`, read and written.
    fn count(&self, what: String, operations: usize, values: usize, is_product: bool) {
        let (operations, bytes) = (operations as u64, VALUE * values as u64);
        let work = &mut self.0.borrow_mut().work;
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
        Ok(self.memory(x.elem_count()))
    }

    fn write(&self, _: &CountedMemory, shape: [usize; 5]) -> Result<Tensor> {
        Tensor::zeros(&shape, DType::F32, &Device::Cpu)
    }

    fn gradient(&self, _: &CountedMemory, parameter: &Tensor) -> Result<Tensor> {
        parameter.zeros_like()
    }

    fn add(&self, sum: &mut CountedMemory, _: &CountedMemory) -> Result<()> {
        self.count("sums of gradients".to_owned(), sum.values, 3 * sum.values, false);
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
        let output = self.memory(batch * shape.voxels() * outputs);
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
        let weights = self.memory(27 * inputs * outputs);
        let what = format!("conv 3^3 {inputs} to {outputs} at {} by weights", cube(extents));
        let values = x.values + gradient.values + weights.values;
        self.count(what, 2 * 27 * inputs * gradient.values, values, true);
        Ok(weights)
    }

    fn bias_gradient(&self, gradient: &CountedMemory, channels: usize) -> Result<CountedMemory> {
        self.count("gradients by biases".to_owned(), gradient.values, gradient.values, false);
        Ok(self.memory(channels))
    }

    fn pointwise(
        &self,
        x: &[Side<'_, CountedMemory>],
        weight: &Tensor,
        bias: &Tensor,
        plus: Option<&CountedMemory>,
    ) -> Result<CountedMemory> {
        let rows = x.first().map_or(0, |side| side.values.values / side.channels.max(1));
        let output = self.memory(rows * bias.elem_count());
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
        let by_weight = self.memory(weight.elem_count());
        let values = all_values(x) + gradient.values + by_weight.values;
        let operations = 2 * all_channels(x) * gradient.values;
        self.count("conv 1^3 and linear layers by weights".to_owned(), operations, values, true);
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
        let output = self.memory(values);
        // Once for the moments, once to normalise.
        self.count("group norm and SiLU forward".to_owned(), 12 * values, 3 * values, false);
        let lines = shape.batch * all_channels(&x.sides);
        Ok((output, [(); 5].map(|()| self.memory(lines))))
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
            by_affine: [(); 2].map(|()| self.memory(x.weight.elem_count())),
            by_scale_shift: x.scale_shift.map(|scales| self.memory(scales.values)),
        })
    }

    fn silu(&self, x: &CountedMemory) -> Result<CountedMemory> {
        Ok(self.memory(x.values))
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
        let output = self.memory(qkv.values / 3);
        let operations = 4 * batch * heads * points * points * dim;
        let what = format!("attention of {points} points forward");
        self.count(what, operations, qkv.values + output.values, true);
        Ok((output, self.memory(batch * heads * points)))
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
        let by_qkv = self.memory(qkv.values);
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
        self.count("dropout".to_owned(), x.values, 2 * x.values + bits, false);
        Ok(self.memory(x.values))
    }
}
