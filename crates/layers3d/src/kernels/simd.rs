//! The vector operations the kernels need, and the choice of instruction set at run time.
#![allow(unsafe_code, reason = "vector intrinsics and unaligned loads through raw pointers")]

use std::sync::OnceLock;

/// An instruction set. All methods are unsafe: the caller runs on a CPU that has it, and pointers are valid for the
/// values they load or store.
pub(super) trait Simd: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// The most vectors in a row of a matrix product's register tile.
    const TILE_VECTORS: usize;
    type Vector: Copy;
    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, value: Self::Vector);
    /// The first `count` values, at most `LANES`, zeros behind them. Memory behind them is not touched.
    unsafe fn load_first(from: *const f32, count: usize) -> Self::Vector;
    /// Stores the first `count` values, at most `LANES`.
    unsafe fn store_first(to: *mut f32, value: Self::Vector, count: usize);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn divide(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn minimum(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a * b + c, rounded once where the CPU can.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// c - a * b, rounded once where the CPU can.
    unsafe fn multiply_subtract(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// 2^n from n + [`ROUND`], for integers |n| <= 126.
    unsafe fn power_of_two(shifted: Self::Vector) -> Self::Vector;
    #[inline(always)]
    unsafe fn zero() -> Self::Vector {
        unsafe { Self::splat(0.0) }
    }
    /// Asks for the cache line at `at`, which may lie anywhere, to be brought near.
    #[inline(always)]
    unsafe fn prefetch(at: *const f32) {
        let _ = at;
    }
}

/// 1.5 * 2^23: adding it leaves a rounded integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// What turns the bits of n + ROUND into n + 127.
const EXPONENT_SHIFT: i32 = 127 - ROUND.to_bits() as i32;

/// e^x to 2e-7 relative on |x| < 87: 2^n times a polynomial on |r| <= ln 2 / 2 (Cephes expf).
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::Vector) -> S::Vector {
    unsafe {
        let x = S::minimum(S::maximum(x, S::splat(-87.0)), S::splat(87.0));
        let shifted = S::multiply_add(x, S::splat(std::f32::consts::LOG2_E), S::splat(ROUND));
        let n = S::subtract(shifted, S::splat(ROUND));
        let r = S::multiply_subtract(n, S::splat(0.693_359_4), x);
        let r = S::multiply_add(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_1e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
            p = S::multiply_add(p, r, S::splat(c));
        }
        let tail = S::multiply_add(S::multiply(p, r), r, r);
        let power = S::power_of_two(shifted);
        S::multiply_add(tail, power, power)
    }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) unsafe fn sigmoid<S: Simd>(x: S::Vector) -> S::Vector {
    unsafe {
        let one = S::splat(1.0);
        S::divide(one, S::add(one, exp::<S>(S::subtract(S::zero(), x))))
    }
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

/// Values of the environment variable that asks for less than the CPU has.
const WISHES: [&str; 3] = ["avx512", "avx2", "portable"];

/// Checks the environment variable `FINESCALE_SIMD`.
///
/// # Errors
/// What is wrong with it, for a person. The kernels take an unknown wish for `portable`.
pub fn check_instruction_set_wish() -> Result<(), String> {
    match std::env::var("FINESCALE_SIMD") {
        Ok(wish) if !wish.is_empty() && !WISHES.contains(&wish.as_str()) => Err(format!(
            "FINESCALE_SIMD={wish}: no such instruction set; set avx512, avx2 or portable, or nothing"
        )),
        _ => Ok(()),
    }
}

/// The best instruction set of this CPU that `FINESCALE_SIMD` (avx512, avx2 or portable) allows.
pub(super) fn instruction_set() -> InstructionSet {
    static CHOICE: OnceLock<InstructionSet> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let wish = std::env::var("FINESCALE_SIMD").unwrap_or_default();
            let allows = |names: &[&str]| wish.is_empty() || names.contains(&wish.as_str());
            if allows(&["avx512"]) && is_x86_feature_detected!("avx512f") {
                return InstructionSet::Avx512;
            }
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if allows(&["avx512", "avx2"]) && has_avx2 {
                return InstructionSet::Avx2;
            }
        }
        InstructionSet::Portable
    })
}

/// The instruction set that the CPU kernels use: AVX-512, AVX2, or portable code. The environment variable
/// `FINESCALE_SIMD` (avx512, avx2 or portable) can ask for less than the CPU has.
#[must_use]
pub fn instruction_set_name() -> &'static str {
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => "AVX2",
        InstructionSet::Portable => "any CPU",
    }
}

/// Defines `$name`, which runs the generic `$generic::<instruction set>` compiled for each instruction set.
macro_rules! dispatch {
    ($visibility:vis fn $name:ident $(<$parameter:ident: $bound:path>)? ($($argument:ident: $type:ty),* $(,)?) => $generic:ident) => {
        $visibility fn $name $(<$parameter: $bound>)? ($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512 $(<$parameter: $bound>)? ($($argument: $type),*) {
                // SAFETY: this function is compiled for, and only called with, AVX-512.
                unsafe { $generic::<$crate::kernels::simd::Avx512 $(, $parameter)?>($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$parameter: $bound>)? ($($argument: $type),*) {
                // SAFETY: this function is compiled for, and only called with, AVX2 and FMA.
                unsafe { $generic::<$crate::kernels::simd::Avx2 $(, $parameter)?>($($argument),*) }
            }
            match $crate::kernels::simd::instruction_set() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the CPU has AVX-512, as `instruction_set` found.
                $crate::kernels::simd::InstructionSet::Avx512 => unsafe { avx512 $(::<$parameter>)? ($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the CPU has AVX2 and FMA, as `instruction_set` found.
                $crate::kernels::simd::InstructionSet::Avx2 => unsafe { avx2 $(::<$parameter>)? ($($argument),*) },
                // SAFETY: portable code runs everywhere.
                $crate::kernels::simd::InstructionSet::Portable => unsafe {
                    $generic::<$crate::kernels::simd::Portable $(, $parameter)?>($($argument),*)
                },
            }
        }
    };
}
pub(super) use dispatch;

/// Values in a vector of the instruction set in use.
pub(super) fn lanes() -> usize {
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => Avx512::LANES,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => Avx2::LANES,
        InstructionSet::Portable => Portable::LANES,
    }
}

/// 16 lanes, 32 registers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// 8 lanes, 16 registers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// Plain arrays that the compiler vectorises as it can.
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Avx2, Avx512, EXPONENT_SHIFT, Simd};
    use std::arch::x86_64::*;

    impl Simd for Avx512 {
        const LANES: usize = 16;
        const TILE_VECTORS: usize = 4;
        type Vector = __m512;
        #[inline(always)]
        unsafe fn prefetch(at: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m512) {
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> __m512 {
            unsafe { _mm512_maskz_loadu_ps(((1u32 << count) - 1) as u16, from) }
        }
        #[inline(always)]
        unsafe fn store_first(to: *mut f32, value: __m512, count: usize) {
            unsafe { _mm512_mask_storeu_ps(to, ((1u32 << count) - 1) as u16, value) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn subtract(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn divide(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn minimum(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(b, a) }
        }
        #[inline(always)]
        unsafe fn maximum(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(b, a) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn multiply_subtract(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fnmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn power_of_two(shifted: __m512) -> __m512 {
            unsafe {
                let exponent =
                    _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(EXPONENT_SHIFT));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
            }
        }
    }

    /// Ones before zeros: eight values from place 8 - count on are a mask of the first `count`.
    static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    #[inline(always)]
    unsafe fn first(count: usize) -> __m256i {
        debug_assert!(count <= 8);
        unsafe { _mm256_loadu_si256(FIRST.as_ptr().add(8 - count).cast()) }
    }

    impl Simd for Avx2 {
        const LANES: usize = 8;
        const TILE_VECTORS: usize = 2;
        type Vector = __m256;
        #[inline(always)]
        unsafe fn prefetch(at: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> __m256 {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, value: __m256) {
            unsafe { _mm256_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> __m256 {
            unsafe { _mm256_maskload_ps(from, first(count)) }
        }
        #[inline(always)]
        unsafe fn store_first(to: *mut f32, value: __m256, count: usize) {
            unsafe { _mm256_maskstore_ps(to, first(count), value) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn subtract(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn divide(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_div_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn minimum(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_min_ps(b, a) }
        }
        #[inline(always)]
        unsafe fn maximum(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_max_ps(b, a) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn multiply_subtract(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fnmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn power_of_two(shifted: __m256) -> __m256 {
            unsafe {
                let exponent =
                    _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(EXPONENT_SHIFT));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
            }
        }
    }
}

impl Simd for Portable {
    const LANES: usize = 4;
    const TILE_VECTORS: usize = 2;
    type Vector = [f32; 4];
    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, value: [f32; 4]) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> [f32; 4] {
        std::array::from_fn(|i| if i < count { unsafe { *from.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(to: *mut f32, value: [f32; 4], count: usize) {
        for (i, &v) in value.iter().enumerate().take(count) {
            unsafe { *to.add(i) = v }
        }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn subtract(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    unsafe fn multiply(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn divide(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] / b[i])
    }
    // As the x86 instructions with their arguments swapped: a NaN in `a` stays.
    #[inline(always)]
    unsafe fn minimum(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if b[i] < a[i] { b[i] } else { a[i] })
    }
    #[inline(always)]
    unsafe fn maximum(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if b[i] > a[i] { b[i] } else { a[i] })
    }
    #[inline(always)]
    unsafe fn multiply_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // Not `mul_add`: without the instruction that is a slow library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn multiply_subtract(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| c[i] - a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn power_of_two(shifted: [f32; 4]) -> [f32; 4] {
        shifted.map(|s| f32::from_bits(((s.to_bits() as i32).wrapping_add(EXPONENT_SHIFT) << 23) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::{Simd, exp, sigmoid};

    dispatch!(fn exp_of(x: &[f32], y: &mut [f32]) => exp_generic);
    #[inline(always)]
    unsafe fn exp_generic<S: Simd>(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
            // SAFETY: `load_first` and `store_first` stay within the chunks.
            unsafe { S::store_first(y.as_mut_ptr(), exp::<S>(S::load_first(x.as_ptr(), x.len())), x.len()) };
        }
    }

    dispatch!(fn sigmoid_of(x: &[f32], y: &mut [f32]) => sigmoid_generic);
    #[inline(always)]
    unsafe fn sigmoid_generic<S: Simd>(x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
            // SAFETY: `load_first` and `store_first` stay within the chunks.
            unsafe {
                S::store_first(y.as_mut_ptr(), sigmoid::<S>(S::load_first(x.as_ptr(), x.len())), x.len())
            };
        }
    }

    #[test]
    fn the_exponential_is_accurate_over_its_range() {
        let x: Vec<f32> = (-8700..=8700).map(|i| i as f32 / 100.0).collect();
        let mut y = vec![0f32; x.len()];
        exp_of(&x, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            assert!((f64::from(y) / f64::from(x).exp() - 1.0).abs() < 3e-7, "exp({x}) = {y}");
        }
    }

    #[test]
    fn the_sigmoid_saturates_and_passes_nan_on() {
        let mut y = [0f32; 4];
        sigmoid_of(&[-200.0, 200.0, f32::NAN, 0.0], &mut y);
        assert!(y[0] < 1e-37 && y[1] == 1.0 && y[2].is_nan() && y[3] == 0.5);
    }
}
