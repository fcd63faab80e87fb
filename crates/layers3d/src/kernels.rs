//! CPU kernels: plain slices in, plain slices out, channels last. All `unsafe` of this crate lives below this folder.
//!
//! Every output value is summed by one task in a fixed order, so results do not depend on the number of
//! threads, nor on the batch that a sample sits in.

mod attention;
mod elementwise;
mod norm;
mod pointwise;
mod product;
mod resample;
mod simd;
mod winograd;

pub(crate) use attention::{attention, attention_backward};
pub(crate) use elementwise::{add, keep};
pub(crate) use norm::{Moments, Part, PartGradient, moments, normalize, normalize_backward};
pub(crate) use pointwise::{
    Extra, Weights, bias_gradient, pointwise, pointwise_input_gradient, pointwise_weight_gradient,
};
pub(crate) use resample::{repeat_blocks, sum_blocks};
pub use simd::{check_instruction_set_wish, instruction_set_name};
pub(crate) use winograd::{convolve, weight_gradient};

#[cfg(test)]
mod tests;
