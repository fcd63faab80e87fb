//! The kernels as one program.

use super::CardError;
use super::kind::Precision;
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};

/// Files that make the program, in this order.
const FILES: [&str; 9] = [
    include_str!("kernels/prelude.cu"),
    include_str!("kernels/elementwise.cu"),
    include_str!("kernels/dropout.cu"),
    include_str!("kernels/resample.cu"),
    include_str!("kernels/convolution.cu"),
    include_str!("kernels/tensor.cu"),
    include_str!("kernels/norm.cu"),
    include_str!("kernels/attention.cu"),
    include_str!("kernels/training.cu"),
];

/// The names of all kernels that every card has.
pub const KERNELS: [&str; 34] = [
    "add",
    "silu",
    "silu_backward",
    "keep",
    "kept_bits",
    "widen",
    "channels_last",
    "channels_first",
    "sum_blocks",
    "repeat_blocks",
    "pack_weights",
    "multiply_rows",
    "multiply_columns",
    "sum_parts_of_weights",
    "norm_sums",
    "norm_centres",
    "norm_moments",
    "norm_lines",
    "normalize",
    "norm_backward_sums",
    "norm_backward_lines",
    "normalize_backward",
    "norm_backward_affine",
    "sum_rows",
    "sum_parts",
    "attention",
    "attention_along",
    "attention_by_queries",
    "attention_by_keys",
    "weighted_squares",
    "squares",
    "sum_all",
    "accumulate",
    "adamw",
];

/// The names of those that need tensor cores, from compute capability 8.0 on.
pub const TENSOR_KERNELS: [&str; 5] = [
    "pack_weights_for_tensor_cores",
    "multiply_rows_tensor",
    "multiply_rows_tensor_wide",
    "multiply_columns_tensor",
    "multiply_columns_tensor_wide",
];

/// The text that a card's compiler is given.
#[must_use]
pub fn source() -> String {
    FILES.concat()
}

/// Compiles the program for cards of this compute capability, with volumes as this precision keeps them.
#[allow(unsafe_code, reason = "looks for a library")]
pub(super) fn compile((major, minor): (i32, i32), precision: Precision) -> Result<Ptx, CardError> {
    // SAFETY: loads a library, whose initialisers are NVIDIA's.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err(CardError::NoCompiler);
    }
    let mut options = vec![format!("--gpu-architecture=compute_{major}{minor}"), "--std=c++17".to_owned()];
    if precision == Precision::Bf16 {
        options.push("--define-macro=FINESCALE_BF16".to_owned());
    }
    let options =
        CompileOptions { options, name: Some("finescale.cu".to_owned()), ..CompileOptions::default() };
    compile_ptx_with_opts(source(), options).map_err(|error| CardError::Compile {
        capability: format!("{major}.{minor}"),
        log: match error {
            CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
            other => format!("{other:?}"),
        },
    })
}
