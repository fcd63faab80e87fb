//! The few vector operations the kernels need, and the choice of instruction set at run time.
#![allow(unsafe_code, reason = "vector intrinsics and unaligned loads through raw pointers")]

use std::sync::OnceLock;

/// An instruction set. All methods are unsafe: the caller runs on a CPU that has it, and pointers are valid for
/// `LANES` values.
pub(super) trait Simd: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// Output channels of a convolution tile, so that tile, inputs and one weight fill the registers.
    const TILE_OUTPUTS: usize;
    type Vector: Copy;
    unsafe fn zero() -> Self::Vector;
    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, value: Self::Vector);
    /// a * b + c, rounded once.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
}

/// Which instruction set the kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstructionSet {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// The best instruction set of this CPU.
pub(super) fn instruction_set() -> InstructionSet {
    static CHOICE: OnceLock<InstructionSet> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return InstructionSet::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return InstructionSet::Avx2;
            }
        }
        InstructionSet::Portable
    })
}

/// Defines `$name`, which runs the generic `$generic::<instruction set>` compiled for each instruction set.
macro_rules! dispatch {
    (fn $name:ident($($argument:ident: $type:ty),* $(,)?) => $generic:ident) => {
        fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512($($argument: $type),*) {
                // SAFETY: this function is compiled for, and only called with, AVX-512.
                unsafe { $generic::<$crate::kernels::simd::Avx512>($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) {
                // SAFETY: this function is compiled for, and only called with, AVX2 and FMA.
                unsafe { $generic::<$crate::kernels::simd::Avx2>($($argument),*) }
            }
            match $crate::kernels::simd::instruction_set() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the CPU has AVX-512, as `instruction_set` found.
                $crate::kernels::simd::InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the CPU has AVX2 and FMA, as `instruction_set` found.
                $crate::kernels::simd::InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: portable code runs everywhere.
                $crate::kernels::simd::InstructionSet::Portable => unsafe {
                    $generic::<$crate::kernels::simd::Portable>($($argument),*)
                },
            }
        }
    };
}
pub(super) use dispatch;

/// 16 lanes, 32 registers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Simd for Avx512 {
    const LANES: usize = 16;
    const TILE_OUTPUTS: usize = 8;
    type Vector = std::arch::x86_64::__m512;
    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        unsafe { std::arch::x86_64::_mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        unsafe { std::arch::x86_64::_mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        unsafe { std::arch::x86_64::_mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Vector) {
        unsafe { std::arch::x86_64::_mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        unsafe { std::arch::x86_64::_mm512_fmadd_ps(a, b, c) }
    }
}

/// 8 lanes, 16 registers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Simd for Avx2 {
    const LANES: usize = 8;
    const TILE_OUTPUTS: usize = 4;
    type Vector = std::arch::x86_64::__m256;
    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        unsafe { std::arch::x86_64::_mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        unsafe { std::arch::x86_64::_mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        unsafe { std::arch::x86_64::_mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Vector) {
        unsafe { std::arch::x86_64::_mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        unsafe { std::arch::x86_64::_mm256_fmadd_ps(a, b, c) }
    }
}

/// Plain arrays that the compiler vectorises as it can.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Simd for Portable {
    const LANES: usize = 4;
    const TILE_OUTPUTS: usize = 2;
    type Vector = [f32; 4];
    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        [0.0; 4]
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self::Vector {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self::Vector {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: Self::Vector) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        // Not `mul_add`: without the instruction that is a slow library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
}
