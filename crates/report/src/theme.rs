//! Colours for light and dark pages. The three lines differ in hue, lightness and dash: vermilion and blue of
//! Okabe & Ito, which the colour-blind tell apart, against ink.

/// Red, green, blue.
pub(crate) type Colour = [u8; 3];

/// Which page a figure lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

/// The colours of a theme; `paper` is that of page.css.
pub(crate) struct Palette {
    pub(crate) paper: Colour,
    pub(crate) ink: Colour,
    pub(crate) muted: Colour,
    pub(crate) grid: Colour,
    pub(crate) tolerance: Colour,
    pub(crate) truth: Colour,
    pub(crate) condition: Colour,
    pub(crate) sample: Colour,
    pub(crate) faint_sample: Colour,
}

impl Theme {
    pub(crate) const ALL: [Self; 2] = [Self::Light, Self::Dark];

    pub(crate) fn palette(self) -> Palette {
        match self {
            Self::Light => Palette {
                paper: [255, 255, 255],
                ink: [34, 34, 40],
                muted: [105, 105, 115],
                grid: [232, 232, 236],
                tolerance: [228, 241, 249],
                truth: [28, 28, 34],
                condition: [213, 94, 0],
                sample: [0, 114, 178],
                faint_sample: [158, 202, 228],
            },
            Self::Dark => Palette {
                paper: [27, 29, 35],
                ink: [230, 230, 235],
                muted: [158, 160, 172],
                grid: [48, 51, 60],
                tolerance: [30, 49, 63],
                truth: [240, 240, 244],
                condition: [255, 146, 62],
                sample: [86, 180, 233],
                faint_sample: [48, 94, 124],
            },
        }
    }
}
