//! `finescale`: paints the fine scales into cosmological volumes.

fn main() {}
