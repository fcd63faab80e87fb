//! Slices side by side on one colour scale.

use super::Width;
use crate::axes::{Axes, LABEL_SIZE, SPINE, TICK_SIZE};
use crate::colour_map::ColourMap;
use crate::raster::{DENSITY, text_width};
use crate::slices::{Panel, Slices};
use crate::svg::{Place, Svg, Text};
use crate::theme::Ink;
use crate::ticks::{Scale, Tick};

const LEFT: f32 = 54.0;
const RIGHT: f32 = 14.0;
const GAP: f32 = 28.0;
/// Room for a panel's name above it, and for numbers beneath.
const NAME: f32 = 26.0;
const NUMBERS: f32 = 26.0;
const AXIS_LABEL: f32 = 22.0;
const COLOUR_BAR: f32 = 54.0;

/// The panels, their axes in Mpc/h, and the colour bar.
pub(super) fn svg(slices: &Slices, place: Place, name: &str, description: &str, width: Width) -> String {
    let columns = columns(slices.panels.len(), width);
    let rows = slices.panels.len().div_ceil(columns);
    let room = (width.units() - LEFT - RIGHT - GAP * (columns - 1) as f32) / columns as f32;
    let voxel = voxel_pixels(slices, room);
    let (nx, ny) = slices.panels[0].log10_density.dim();
    let panel = [nx as u32 * voxel[0], ny as u32 * voxel[1]].map(|pixels| pixels as f32 / DENSITY as f32);

    let pitch = [panel[0] + GAP, NAME + panel[1] + NUMBERS];
    let sheet =
        [LEFT + pitch[0] * columns as f32 - GAP + RIGHT, pitch[1] * rows as f32 + AXIS_LABEL + COLOUR_BAR];
    let mut svg = Svg::new(place, name);
    let colours = ColourMap::new();
    for (index, slice) in slices.panels.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let (left, top) = (LEFT + pitch[0] * column as f32, NAME + pitch[1] * row as f32);
        // Whole device pixels, or voxels would not be crisp.
        let [left, top] = [left, top].map(|v| (v * DENSITY as f32).round() / DENSITY as f32);
        let frame = [left, top, left + panel[0], top + panel[1]];
        paint(&mut svg, slice, slices.range, &colours, frame);
        let below = index + columns >= slices.panels.len();
        annotate(&mut svg, slices, &slice.label, frame, (column == 0, below));
    }
    colour_bar(&mut svg, slices.range, &colours, sheet);
    svg.finish(sheet[0], sheet[1], description)
}

fn columns(panels: usize, width: Width) -> usize {
    match (width, panels) {
        (Width::Narrow, _) => 1,
        (Width::Wide, 1..=3) => panels,
        (Width::Wide, _) => 2,
    }
}

/// Device pixels per voxel in x and y: whole numbers in the proportion of the voxel.
fn voxel_pixels(slices: &Slices, room: f32) -> [u32; 2] {
    let (nx, ny) = slices.panels[0].log10_density.dim();
    let exact = room * DENSITY as f32 / nx as f32;
    // A little too wide is better than much too small.
    let rounded = if exact.ceil() <= 1.18 * exact { exact.ceil() } else { exact.floor() };
    let x = (rounded as u32).max(1);
    let proportion = (slices.size_mpc_h[1] / ny as f64) / (slices.size_mpc_h[0] / nx as f64);
    [x, ((f64::from(x) * proportion).round() as u32).max(1)]
}

fn paint(svg: &mut Svg, panel: &Panel, (low, high): (f64, f64), colours: &ColourMap, frame: [f32; 4]) {
    let (nx, ny) = panel.log10_density.dim();
    // y upwards.
    let rows = (0..ny).rev().flat_map(|j| (0..nx).map(move |i| (i, j)));
    let colour = |at| colours.at(((f64::from(panel.log10_density[at]) - low) / (high - low)) as f32);
    svg.image(frame, nx, &rows.map(colour).collect::<Vec<_>>());
}

fn annotate(svg: &mut Svg, slices: &Slices, label: &str, frame: [f32; 4], (first, below): (bool, bool)) {
    let [left, top, right, bottom] = frame;
    let [x_size, y_size] = slices.size_mpc_h;
    let axes = Axes {
        frame,
        x: Scale::Linear { low: 0.0, high: x_size },
        y: Scale::Linear { low: 0.0, high: y_size },
    };
    let name = Text { weight: 600, ..Text::new(LABEL_SIZE, Ink::Text, "start") };
    let number = Text::new(TICK_SIZE, Ink::Muted, "middle");
    svg.text(label, (left, top - 9.0), &name);
    for Tick { value, label } in axes.x.ticks(((right - left) / 60.0) as usize) {
        let (x, _) = axes.point(value, 0.0);
        svg.line(&[(x, bottom + 1.0), (x, bottom + 4.0)], &SPINE);
        if let Some(label) = label {
            svg.text(&label, (x, bottom + 17.0), &number);
        }
    }
    for Tick { value, label } in axes.y.ticks(((bottom - top) / 60.0) as usize) {
        let (_, y) = axes.point(0.0, value);
        if let (true, Some(label)) = (first, label) {
            svg.line(&[(left - 4.0, y), (left - 1.0, y)], &SPINE);
            svg.text(&label, (left - 8.0, y + 4.2), &Text { anchor: "end", ..number });
        }
    }
    let axis = Text { ink: Ink::Text, ..number };
    if below {
        svg.text("x [Mpc/h]", ((left + right) / 2.0, bottom + 35.0), &axis);
    }
    if first {
        svg.text_upwards("y [Mpc/h]", (left - 40.0, (top + bottom) / 2.0), &axis);
    }
}

fn colour_bar(svg: &mut Svg, (low, high): (f64, f64), colours: &ColourMap, [width, height]: [f32; 2]) {
    let text = Text::new(TICK_SIZE, Ink::Muted, "middle");
    let label = "log₁₀(1 + δ)";
    let beside = text_width(label, text.size) + 12.0;
    let length = (width - LEFT - RIGHT - beside).min(380.0);
    let left = LEFT + (width - LEFT - RIGHT - length - beside) / 2.0 + beside;
    let top = height - 34.0;
    svg.text(label, (left - 12.0, top + 9.0), &Text { anchor: "end", ink: Ink::Text, ..text });
    let steps = 256;
    let ramp: Vec<_> = (0..steps).map(|step| colours.at(step as f32 / (steps - 1) as f32)).collect();
    svg.image([left, top, left + length, top + 10.0], steps, &ramp);
    let axes = Axes {
        frame: [left, top, left + length, top + 10.0],
        x: Scale::Linear { low, high },
        y: Scale::Linear { low: 0.0, high: 1.0 },
    };
    for Tick { value, label } in axes.x.ticks((length / 45.0) as usize) {
        let (x, _) = axes.point(value, 0.0);
        svg.line(&[(x, top + 11.0), (x, top + 14.0)], &SPINE);
        svg.text(&label.unwrap_or_default(), (x, top + 27.0), &text);
    }
}
