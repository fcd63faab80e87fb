//! Colours for light and dark pages. The lines differ in hue, lightness and dash: vermilion, blue, green and
//! purple of Okabe & Ito, which the colour-blind tell apart, against ink.

/// Red, green, blue.
pub(crate) type Colour = [u8; 3];

/// What a colour is for; each theme has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Paper,
    Text,
    Muted,
    Grid,
    Tolerance,
    Truth,
    Condition,
    Sample,
    FaintSample,
    Baseline,
    Published,
}

/// By [`Ink`]: its name in the style sheet, its colour on light and on dark pages.
const PALETTE: [(&str, Colour, Colour); 11] = [
    ("paper", [255, 255, 255], [27, 29, 35]),
    ("ink", [34, 34, 40], [230, 230, 235]),
    ("muted", [96, 96, 106], [158, 160, 172]),
    ("grid", [232, 232, 236], [48, 51, 60]),
    ("tolerance", [228, 241, 249], [30, 49, 63]),
    ("truth", [28, 28, 34], [240, 240, 244]),
    ("condition", [213, 94, 0], [255, 146, 62]),
    ("sample", [0, 114, 178], [86, 180, 233]),
    ("faint-sample", [158, 202, 228], [48, 94, 124]),
    ("baseline", [168, 82, 138], [214, 140, 186]),
    ("published", [0, 132, 96], [60, 196, 150]),
];

impl Ink {
    /// Its name in the style sheet.
    pub(crate) fn name(self) -> &'static str {
        PALETTE[self as usize].0
    }

    /// Its colour on light paper, as style sheets write it.
    pub(crate) fn light(self) -> String {
        hexadecimal(PALETTE[self as usize].1)
    }
}

/// The colours of light and of dark pages as variables of a style sheet.
pub(crate) fn variables() -> [String; 2] {
    let light = PALETTE.map(|(name, light, _)| format!("--{name}: {};", hexadecimal(light)));
    let dark = PALETTE.map(|(name, _, dark)| format!("--{name}: {};", hexadecimal(dark)));
    [light, dark].map(|variables| variables.join(" "))
}

/// As style sheets write it.
pub(crate) fn hexadecimal([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
