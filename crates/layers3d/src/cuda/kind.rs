//! What cards are, and how they compute.

/// How volumes are kept and multiplied. Parameters, their gradients and the sums of norms and attention are f32 or more in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As on the CPU, up to the order of sums.
    #[default]
    F32,
    /// Products on tensor cores: factors are rounded to 10 bits of mantissa (a relative error of 2^-11 each), sums are f32.
    Tf32,
    /// Volumes, and gradients by them, are kept in bfloat16, half the memory: each value is rounded to 7 bits of mantissa (a relative
    /// error of 2^-9). Products are those of tensor cores, of weights rounded alike, with f32 sums.
    Bf16,
}

impl Precision {
    /// Bytes of a value of a volume.
    #[must_use]
    pub fn value_bytes(self) -> usize {
        match self {
            Self::F32 | Self::Tf32 => size_of::<f32>(),
            Self::Bf16 => size_of::<u16>(),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

/// What a card says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct CardProperties {
    /// Such as NVIDIA H100 80GB HBM3.
    pub name: String,
    /// Compute capability, such as (9, 0).
    pub capability: (i32, i32),
    /// Bytes of memory that are free, and all.
    pub memory_bytes: (usize, usize),
    /// Number of multiprocessors.
    pub multiprocessors: i32,
    /// Their highest clock in GHz, 0 if the driver does not say.
    pub clock_ghz: f64,
    /// The driver's version of CUDA, such as 13000.
    pub driver: i32,
    /// The version of the compiler for kernels, such as (13, 0).
    pub compiler: (i32, i32),
}

impl CardProperties {
    /// Operations in 1e12 a second that its units for products of this precision do at its highest clock, if they are known: NVIDIA's
    /// data sheets for compute capability 8.0 (A100) and 9.0 (H100); in f32, for all from 7.0 on.
    #[must_use]
    pub fn peak_tflops(&self, precision: Precision) -> Option<f64> {
        if self.clock_ghz == 0.0 {
            return None;
        }
        // Products with sums, which are two operations, of a multiprocessor in a cycle.
        let fused = match (precision, self.capability) {
            (Precision::F32, (7, _) | (8, 0)) => 64.0,
            (Precision::F32, (8.., _)) => 128.0,
            (Precision::Tf32, (8, 0)) => 512.0,
            (Precision::Tf32, (9, 0)) | (Precision::Bf16, (8, 0)) => 1024.0,
            (Precision::Bf16, (9, 0)) => 2048.0,
            _ => return None,
        };
        Some(2.0 * fused * f64::from(self.multiprocessors) * self.clock_ghz / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_those_of_data_sheets() {
        let card = |capability, multiprocessors, clock_ghz| CardProperties {
            name: String::new(),
            capability,
            memory_bytes: (0, 0),
            multiprocessors,
            clock_ghz,
            driver: 13_000,
            compiler: (13, 0),
        };
        let (a100, h100) = (card((8, 0), 108, 1.41), card((9, 0), 132, 1.83));
        for (card, precision, sheet) in [
            (&a100, Precision::F32, 19.5),
            (&a100, Precision::Tf32, 156.0),
            (&a100, Precision::Bf16, 312.0),
            (&h100, Precision::Tf32, 494.7),
            (&h100, Precision::Bf16, 989.4),
        ] {
            let found = card.peak_tflops(precision).unwrap();
            assert!((found / sheet - 1.0).abs() < 5e-3, "{found} {sheet}");
        }
        assert_eq!(card((12, 0), 170, 2.4).peak_tflops(Precision::Bf16), None);
    }
}
