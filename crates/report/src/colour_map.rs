//! A perceptually uniform colour map, from night blue over magenta and orange to pale yellow.
//!
//! Lightness rises evenly in OKLab, so that equal steps of density look equal, also in grey and to the
//! colour-blind. OKLab: Björn Ottosson 2020, <https://bottosson.github.io/posts/oklab/>.

const STEPS: usize = 256;
/// OKLab lightness at the ends.
const LIGHTNESS: [f64; 2] = [0.14, 0.98];
/// (position, hue in degrees, chroma).
const PATH: [(f64, f64, f64); 6] = [
    (0.0, 275.0, 0.050),
    (0.2, 292.0, 0.135),
    (0.45, 355.0, 0.190),
    (0.65, 400.0, 0.185),
    (0.85, 440.0, 0.160),
    (1.0, 465.0, 0.070),
];

/// The colours, computed once.
pub(crate) struct ColourMap {
    table: Vec<[u8; 3]>,
}

impl ColourMap {
    pub(crate) fn new() -> Self {
        Self { table: (0..STEPS).map(|i| colour(i as f64 / (STEPS - 1) as f64)).collect() }
    }

    /// Colour at `position`, clamped to 0..=1 (dark to light); NaN is dark.
    pub(crate) fn at(&self, position: f32) -> [u8; 3] {
        self.table[(position.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize]
    }
}

fn colour(position: f64) -> [u8; 3] {
    let lightness = LIGHTNESS[0] + position * (LIGHTNESS[1] - LIGHTNESS[0]);
    let upper = PATH.iter().position(|point| point.0 >= position).unwrap_or(PATH.len() - 1).max(1);
    let (from, to) = (PATH[upper - 1], PATH[upper]);
    let part = (position - from.0) / (to.0 - from.0);
    let (hue, mut chroma) = (from.1 + part * (to.1 - from.1), from.2 + part * (to.2 - from.2));
    loop {
        let rgb = linear_rgb(lightness, chroma, hue.to_radians());
        // Less chroma keeps lightness and hue where a screen cannot show the colour.
        if chroma <= 0.0 || rgb.iter().all(|c| (0.0..=1.0).contains(c)) {
            return rgb.map(|c| (gamma(c.clamp(0.0, 1.0)) * 255.0).round() as u8);
        }
        chroma -= 0.002;
    }
}

/// Linear sRGB of an OKLab colour.
fn linear_rgb(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

fn gamma(linear: f64) -> f64 {
    if linear <= 0.003_130_8 { 12.92 * linear } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brightness_rises_evenly() {
        let map = ColourMap::new();
        let luminance = |c: [u8; 3]| {
            let linear = c.map(|v| {
                let v = f64::from(v) / 255.0;
                if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            });
            // The eye's lightness is about the cube root of luminance.
            (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]).cbrt()
        };
        let steps: Vec<f64> = (0..=16).map(|i| luminance(map.at(i as f32 / 16.0))).collect();
        for pair in steps.windows(2) {
            let step = (pair[1] - pair[0]) * 16.0;
            assert!((0.3..1.5).contains(&step), "{steps:?}");
        }
        assert_eq!(map.at(f32::NAN), map.at(-1.0));
        assert_eq!(map.at(7.0), map.at(1.0));
    }
}
