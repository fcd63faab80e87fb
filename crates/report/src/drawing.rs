//! A figure as a list of marks, to be made a PNG ([`crate::raster`]) or an SVG ([`crate::svg`]). Lengths are in page
//! units, y downwards.

use crate::theme::{Colour, Ink};

/// A weight of the bundled font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    SemiBold,
}

/// Where a text's position is along its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// Which way a text runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Right,
    Up,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    pub(crate) weight: Weight,
    pub(crate) size: f32,
    pub(crate) ink: Ink,
    pub(crate) align: Align,
    pub(crate) direction: Direction,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pen {
    pub(crate) ink: Ink,
    pub(crate) width: f32,
    pub(crate) dash: Option<[f32; 2]>,
}

/// Left, top, right, bottom.
pub(crate) type Frame = [f32; 4];

/// One thing drawn.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Line {
        points: Vec<(f32, f32)>,
        pen: Pen,
        clip: Option<Frame>,
    },
    /// A closed area, partly transparent.
    Area {
        points: Vec<(f32, f32)>,
        ink: Ink,
        opacity: f32,
        clip: Option<Frame>,
    },
    Rectangle {
        frame: Frame,
        ink: Ink,
    },
    /// Blocks of colour that fill the frame, row by row from the top left; edges stay sharp.
    Image {
        frame: Frame,
        columns: usize,
        colours: Vec<Colour>,
    },
    Text {
        content: String,
        at: (f32, f32),
        text: Text,
    },
}

/// A picture in the making.
#[derive(Clone, Debug)]
pub(crate) struct Drawing {
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) marks: Vec<Mark>,
}

impl Drawing {
    /// A sheet of `width` x `height`.
    pub(crate) fn new(width: f32, height: f32) -> Self {
        Self { width, height, marks: Vec::new() }
    }

    pub(crate) fn line(&mut self, points: &[(f32, f32)], pen: &Pen) {
        self.line_in(points, pen, None);
    }

    /// A line of which only what lies in `clip` is seen.
    pub(crate) fn line_in(&mut self, points: &[(f32, f32)], pen: &Pen, clip: Option<Frame>) {
        self.marks.push(Mark::Line { points: points.to_vec(), pen: *pen, clip });
    }

    pub(crate) fn area_in(&mut self, points: Vec<(f32, f32)>, ink: Ink, opacity: f32, clip: Option<Frame>) {
        self.marks.push(Mark::Area { points, ink, opacity, clip });
    }

    pub(crate) fn rectangle(&mut self, frame: Frame, ink: Ink) {
        self.marks.push(Mark::Rectangle { frame, ink });
    }

    pub(crate) fn image(&mut self, frame: Frame, columns: usize, colours: Vec<Colour>) {
        self.marks.push(Mark::Image { frame, columns, colours });
    }

    /// `content` with its baseline (left, middle or right of it) at (x, y).
    pub(crate) fn text(&mut self, content: impl Into<String>, at: (f32, f32), text: &Text) {
        self.marks.push(Mark::Text { content: content.into(), at, text: *text });
    }
}
