//! The vector operations the kernels need, and the choice of instruction set at run time.
#![allow(unsafe_code, reason = "vector intrinsics and unaligned loads through raw pointers")]

use std::sync::OnceLock;

/// An instruction set. A value of such a type is the proof that this CPU has it: only [`instruction_set`] makes one,
/// after it looked.
pub(super) trait Simd: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// The most vectors in a row of a matrix product's register tile.
    const TILE_VECTORS: usize;
    type Vector: Copy;
    fn splat(self, value: f32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn subtract(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn divide(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller values; a NaN in `a` stays.
    fn minimum(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger values; a NaN in `a` stays.
    fn maximum(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// a * b + c, rounded once where the CPU can.
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// c - a * b, rounded once where the CPU can.
    fn multiply_subtract(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// 2^n from n + [`ROUND`], for integers |n| <= 126.
    fn power_of_two(self, shifted: Self::Vector) -> Self::Vector;
    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }
    /// Asks for the cache line at `at`, which may lie anywhere, to be brought near.
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        let _ = at;
    }

    /// The first [`Simd::LANES`] values of a slice.
    ///
    /// # Panics
    /// If there are fewer. Costs nothing on slices of a known length, as `chunks_exact(S::LANES)` gives them.
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::Vector {
        assert!(from.len() >= Self::LANES);
        // SAFETY: the slice holds a whole vector.
        unsafe { self.load_at(from.as_ptr()) }
    }
    /// Stores to the first [`Simd::LANES`] values of a slice.
    ///
    /// # Panics
    /// As [`Simd::load`].
    #[inline(always)]
    fn store(self, to: &mut [f32], value: Self::Vector) {
        assert!(to.len() >= Self::LANES);
        // SAFETY: the slice holds a whole vector.
        unsafe { self.store_at(to.as_mut_ptr(), value) }
    }

    /// # Safety
    /// [`Simd::LANES`] values from `from` on may be read.
    unsafe fn load_at(self, from: *const f32) -> Self::Vector;
    /// # Safety
    /// [`Simd::LANES`] values from `to` on may be written.
    unsafe fn store_at(self, to: *mut f32, value: Self::Vector);
    /// The first `count` values, zeros behind them.
    ///
    /// # Safety
    /// `count` is at most [`Simd::LANES`], and as many values from `from` on may be read. Memory behind them is not
    /// touched.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::Vector;
    /// Stores the first `count` values.
    ///
    /// # Safety
    /// `count` is at most [`Simd::LANES`], and as many values from `to` on may be written. Memory behind them is not
    /// touched.
    unsafe fn store_first(self, to: *mut f32, value: Self::Vector, count: usize);
}

/// 1.5 * 2^23: adding it leaves a rounded integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// What turns the bits of n + ROUND into n + 127.
const EXPONENT_SHIFT: i32 = 127 - ROUND.to_bits() as i32;

/// e^x to 2e-7 relative on |x| < 87: 2^n times a polynomial on |r| <= ln 2 / 2 (Cephes expf).
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let x = simd.minimum(simd.maximum(x, simd.splat(-87.0)), simd.splat(87.0));
    let shifted = simd.multiply_add(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let n = simd.subtract(shifted, simd.splat(ROUND));
    let r = simd.multiply_subtract(n, simd.splat(0.693_359_4), x);
    let r = simd.multiply_add(n, simd.splat(2.121_944_4e-4), r);
    let mut p = simd.splat(1.987_569_1e-4);
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = simd.multiply_add(p, r, simd.splat(c));
    }
    let tail = simd.multiply_add(simd.multiply(p, r), r, r);
    let power = simd.power_of_two(shifted);
    simd.multiply_add(tail, power, power)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, x: S::Vector) -> S::Vector {
    let one = simd.splat(1.0);
    simd.divide(one, simd.add(one, exp(simd, simd.subtract(simd.zero(), x))))
}

/// Which instruction set the kernels use.
#[derive(Clone, Copy)]
pub(super) enum InstructionSet {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
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
                return InstructionSet::Avx512(Avx512(()));
            }
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if allows(&["avx512", "avx2"]) && has_avx2 {
                return InstructionSet::Avx2(Avx2(()));
            }
        }
        InstructionSet::Portable(Portable)
    })
}

/// The instruction set that the CPU kernels use: AVX-512, AVX2, or portable code. The environment variable
/// `FINESCALE_SIMD` (avx512, avx2 or portable) can ask for less than the CPU has.
#[must_use]
pub fn instruction_set_name() -> &'static str {
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(_) => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(_) => "AVX2",
        InstructionSet::Portable(_) => "any CPU",
    }
}

/// Defines `$name`, which runs the generic `$generic(instruction set, arguments)` compiled for each instruction set.
///
/// `$generic` is a safe function: it must check all that it needs, for nobody before it does.
macro_rules! dispatch {
    ($visibility:vis fn $name:ident $(<$parameter:ident: $bound:path>)? ($($argument:ident: $type:ty),* $(,)?) => $generic:ident) => {
        #[allow(unsafe_code, reason = "code compiled for an instruction set runs where the CPU has it")]
        $visibility fn $name $(<$parameter: $bound>)? ($($argument: $type),*) {
            use $crate::kernels::simd::{InstructionSet, instruction_set};
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512 $(<$parameter: $bound>)? (simd: $crate::kernels::simd::Avx512, $($argument: $type),*) {
                $generic $(::<_, $parameter>)? (simd, $($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$parameter: $bound>)? (simd: $crate::kernels::simd::Avx2, $($argument: $type),*) {
                $generic $(::<_, $parameter>)? (simd, $($argument),*)
            }
            match instruction_set() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `simd` exists, so this CPU has AVX-512.
                InstructionSet::Avx512(simd) => unsafe { avx512 $(::<$parameter>)? (simd, $($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `simd` exists, so this CPU has AVX2 and FMA.
                InstructionSet::Avx2(simd) => unsafe { avx2 $(::<$parameter>)? (simd, $($argument),*) },
                InstructionSet::Portable(simd) => $generic $(::<_, $parameter>)? (simd, $($argument),*),
            }
        }
    };
}
pub(super) use dispatch;

/// Values in a vector of the instruction set in use.
pub(super) fn lanes() -> usize {
    match instruction_set() {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512(_) => Avx512::LANES,
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2(_) => Avx2::LANES,
        InstructionSet::Portable(_) => Portable::LANES,
    }
}

/// 16 lanes, 32 registers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

/// 8 lanes, 16 registers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

/// Plain arrays that the compiler vectorises as it can.
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Avx2, Avx512, EXPONENT_SHIFT, Simd};
    use std::arch::x86_64::*;

    /// Operations on registers alone: methods of an instruction set, by its intrinsics.
    macro_rules! arithmetic {
        ($vector:ty: $($name:ident($($argument:ident),*) => $value:expr;)*) => {$(
            #[inline(always)]
            fn $name(self, $($argument: $vector),*) -> $vector {
                // SAFETY: `self` exists, so the CPU has the instruction set.
                unsafe { $value }
            }
        )*};
    }

    /// The mask of the first `count` of 16 lanes.
    #[inline(always)]
    fn first(count: usize) -> __mmask16 {
        debug_assert!(count <= 16);
        ((1u32 << count) - 1) as u16
    }

    impl Simd for Avx512 {
        const LANES: usize = 16;
        const TILE_VECTORS: usize = 4;
        type Vector = __m512;
        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            // SAFETY: `self` exists, so the CPU has AVX-512.
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            // SAFETY: a hint; it may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        arithmetic! { __m512:
            add(a, b) => _mm512_add_ps(a, b);
            subtract(a, b) => _mm512_sub_ps(a, b);
            multiply(a, b) => _mm512_mul_ps(a, b);
            divide(a, b) => _mm512_div_ps(a, b);
            minimum(a, b) => _mm512_min_ps(b, a);
            maximum(a, b) => _mm512_max_ps(b, a);
            multiply_add(a, b, c) => _mm512_fmadd_ps(a, b, c);
            multiply_subtract(a, b, c) => _mm512_fnmadd_ps(a, b, c);
            power_of_two(shifted) => {
                let exponent = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(EXPONENT_SHIFT));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
            };
        }
        #[inline(always)]
        unsafe fn load_at(self, from: *const f32) -> __m512 {
            // SAFETY: `self` exists, so the CPU has AVX-512; the caller vouches for the memory.
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store_at(self, to: *mut f32, value: __m512) {
            // SAFETY: as `load_at`.
            unsafe { _mm512_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
            // SAFETY: as `load_at`; what the mask leaves out is not touched.
            unsafe { _mm512_maskz_loadu_ps(first(count), from) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, value: __m512, count: usize) {
            // SAFETY: as `load_first`.
            unsafe { _mm512_mask_storeu_ps(to, first(count), value) }
        }
    }

    /// Ones before zeros: eight values from place 8 - count on are a mask of the first `count`.
    static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    impl Avx2 {
        /// The mask of the first `count` lanes.
        ///
        /// # Safety
        /// `count` is at most 8.
        #[inline(always)]
        unsafe fn first(self, count: usize) -> __m256i {
            debug_assert!(count <= 8);
            // SAFETY: `self` exists, so the CPU has AVX2; eight values from place 8 - count on lie within FIRST.
            unsafe { _mm256_loadu_si256(FIRST.as_ptr().add(8 - count).cast()) }
        }
    }

    impl Simd for Avx2 {
        const LANES: usize = 8;
        const TILE_VECTORS: usize = 2;
        type Vector = __m256;
        #[inline(always)]
        fn splat(self, value: f32) -> __m256 {
            // SAFETY: `self` exists, so the CPU has AVX2 and FMA.
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        fn prefetch(self, at: *const f32) {
            // SAFETY: a hint; it may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        arithmetic! { __m256:
            add(a, b) => _mm256_add_ps(a, b);
            subtract(a, b) => _mm256_sub_ps(a, b);
            multiply(a, b) => _mm256_mul_ps(a, b);
            divide(a, b) => _mm256_div_ps(a, b);
            minimum(a, b) => _mm256_min_ps(b, a);
            maximum(a, b) => _mm256_max_ps(b, a);
            multiply_add(a, b, c) => _mm256_fmadd_ps(a, b, c);
            multiply_subtract(a, b, c) => _mm256_fnmadd_ps(a, b, c);
            power_of_two(shifted) => {
                let exponent = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(EXPONENT_SHIFT));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
            };
        }
        #[inline(always)]
        unsafe fn load_at(self, from: *const f32) -> __m256 {
            // SAFETY: `self` exists, so the CPU has AVX2 and FMA; the caller vouches for the memory.
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store_at(self, to: *mut f32, value: __m256) {
            // SAFETY: as `load_at`.
            unsafe { _mm256_storeu_ps(to, value) }
        }
        #[inline(always)]
        unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
            // SAFETY: as `load_at`; what the mask leaves out is not touched.
            unsafe { _mm256_maskload_ps(from, self.first(count)) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, value: __m256, count: usize) {
            // SAFETY: as `load_first`.
            unsafe { _mm256_maskstore_ps(to, self.first(count), value) }
        }
    }
}

impl Simd for Portable {
    const LANES: usize = 4;
    const TILE_VECTORS: usize = 2;
    type Vector = [f32; 4];
    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn subtract(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn multiply(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn divide(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] / b[i])
    }
    // As the x86 instructions with their arguments swapped.
    #[inline(always)]
    fn minimum(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if b[i] < a[i] { b[i] } else { a[i] })
    }
    #[inline(always)]
    fn maximum(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if b[i] > a[i] { b[i] } else { a[i] })
    }
    #[inline(always)]
    fn multiply_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // Not `mul_add`: without the instruction that is a slow library call.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn multiply_subtract(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| c[i] - a[i] * b[i])
    }
    #[inline(always)]
    fn power_of_two(self, shifted: [f32; 4]) -> [f32; 4] {
        shifted.map(|s| f32::from_bits(((s.to_bits() as i32).wrapping_add(EXPONENT_SHIFT) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn load_at(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for four values; an array of them needs no other alignment.
        unsafe { *from.cast() }
    }
    #[inline(always)]
    unsafe fn store_at(self, to: *mut f32, value: [f32; 4]) {
        // SAFETY: as `load_at`.
        unsafe { *to.cast() = value }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> [f32; 4] {
        // SAFETY: the caller vouches for `count` values.
        std::array::from_fn(|i| if i < count { unsafe { *from.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: [f32; 4], count: usize) {
        for (i, &v) in value.iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` values.
            unsafe { *to.add(i) = v }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Simd, exp, sigmoid};

    dispatch!(fn exp_of(x: &[f32], y: &mut [f32]) => exp_generic);
    #[inline(always)]
    fn exp_generic<S: Simd>(simd: S, x: &[f32], y: &mut [f32]) {
        map(simd, x, y, exp);
    }

    dispatch!(fn sigmoid_of(x: &[f32], y: &mut [f32]) => sigmoid_generic);
    #[inline(always)]
    fn sigmoid_generic<S: Simd>(simd: S, x: &[f32], y: &mut [f32]) {
        map(simd, x, y, sigmoid);
    }

    #[inline(always)]
    fn map<S: Simd>(simd: S, x: &[f32], y: &mut [f32], function: impl Fn(S, S::Vector) -> S::Vector) {
        assert_eq!(x.len(), y.len());
        for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
            // SAFETY: both chunks hold as many values, at most a vector.
            unsafe {
                let value = function(simd, simd.load_first(x.as_ptr(), x.len()));
                simd.store_first(y.as_mut_ptr(), value, x.len());
            }
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

    /// Errors on purpose, of which `scripts/sanitize.sh` wants to hear from each tool.
    #[cfg(finescale_exact_buffers)]
    mod planted {
        use super::super::{Simd, dispatch};
        use crate::buffer::Buffer;

        dispatch!(fn load_behind(values: &[f32], sum: &mut f32) => load_behind_generic);
        #[inline(always)]
        fn load_behind_generic<S: Simd>(simd: S, values: &[f32], sum: &mut f32) {
            let mut vector = [0f32; 16];
            // SAFETY: wrong on purpose: one value too few.
            simd.store(&mut vector, unsafe { simd.load_at(values[1..].as_ptr()) });
            *sum = vector.iter().sum();
        }

        dispatch!(fn store_behind(values: &mut [f32]) => store_behind_generic);
        #[inline(always)]
        fn store_behind_generic<S: Simd>(simd: S, values: &mut [f32]) {
            let count = S::LANES - 1;
            let start = values.len() + 1 - count;
            // SAFETY: wrong on purpose: one value too few.
            unsafe { simd.store_first(values[start..].as_mut_ptr(), simd.zero(), count) };
        }

        #[test]
        #[ignore = "reads one value behind a buffer"]
        fn load_behind_a_buffer() {
            let (values, mut sum) = (Buffer::new(super::super::lanes()), 0.0);
            load_behind(&values, &mut sum);
            assert_ne!(sum, 1.0);
        }

        #[test]
        #[ignore = "writes one value behind a buffer"]
        fn store_behind_a_buffer() {
            let mut values = Buffer::new(super::super::lanes());
            store_behind(&mut values);
            assert_eq!(values[values.len() - 1], 0.0);
        }
    }
}
