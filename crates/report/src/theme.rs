//! Colours for light and dark pages. The lines differ in hue, lightness and dash: vermilion, blue, green and purple of
//! Okabe & Ito, which the colour-blind tell apart, against ink.

/// Red, green, blue.
pub(crate) type Colour = [u8; 3];

/// Which page a figure lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

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

impl Ink {
    pub(crate) const ALL: [Self; 11] = [
        Self::Paper,
        Self::Text,
        Self::Muted,
        Self::Grid,
        Self::Tolerance,
        Self::Truth,
        Self::Condition,
        Self::Sample,
        Self::FaintSample,
        Self::Baseline,
        Self::Published,
    ];

    /// Its name in the style sheet.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Text => "ink",
            Self::Muted => "muted",
            Self::Grid => "grid",
            Self::Tolerance => "tolerance",
            Self::Truth => "truth",
            Self::Condition => "condition",
            Self::Sample => "sample",
            Self::FaintSample => "faint-sample",
            Self::Baseline => "baseline",
            Self::Published => "published",
        }
    }

    pub(crate) fn colour(self, theme: Theme) -> Colour {
        let [light, dark] = match self {
            Self::Paper => [[255, 255, 255], [27, 29, 35]],
            Self::Text => [[34, 34, 40], [230, 230, 235]],
            Self::Muted => [[96, 96, 106], [158, 160, 172]],
            Self::Grid => [[232, 232, 236], [48, 51, 60]],
            Self::Tolerance => [[228, 241, 249], [30, 49, 63]],
            Self::Truth => [[28, 28, 34], [240, 240, 244]],
            Self::Condition => [[213, 94, 0], [255, 146, 62]],
            Self::Sample => [[0, 114, 178], [86, 180, 233]],
            Self::FaintSample => [[158, 202, 228], [48, 94, 124]],
            Self::Baseline => [[168, 82, 138], [214, 140, 186]],
            Self::Published => [[0, 132, 96], [60, 196, 150]],
        };
        match theme {
            Theme::Light => light,
            Theme::Dark => dark,
        }
    }

    /// The colours of a theme as variables of a style sheet.
    pub(crate) fn variables(theme: Theme) -> String {
        Self::ALL.map(|ink| format!("--{}: {};", ink.name(), hexadecimal(ink.colour(theme)))).join(" ")
    }
}

/// As style sheets write it.
pub(crate) fn hexadecimal([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}
