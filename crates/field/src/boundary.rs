//! What lies beyond the faces of a volume.

use serde::{Deserialize, Serialize};

/// What lies beyond the faces of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// The box begins again: what leaves at one face comes in at the other.
    Periodic,
    /// Nothing is known beyond the faces.
    Open,
}

impl Boundary {
    /// That of a box, or of something else.
    #[must_use]
    pub fn from_periodic(is_periodic: bool) -> Self {
        if is_periodic { Self::Periodic } else { Self::Open }
    }

    /// Whether the volume goes on at its other side.
    #[must_use]
    pub fn is_periodic(self) -> bool {
        self == Self::Periodic
    }

    /// That of volumes taken together: periodic if both are.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::from_periodic(self.is_periodic() && other.is_periodic())
    }

    /// That of a part of `shape` cells of a volume of `cells`: only the whole of a periodic box is periodic.
    #[must_use]
    pub fn of_part(self, shape: [usize; 3], cells: [usize; 3]) -> Self {
        if shape == cells { self } else { Self::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::Boundary::{Open, Periodic};

    #[test]
    fn only_the_whole_of_periodic_boxes_is_periodic() {
        assert_eq!([Periodic.and(Periodic), Periodic.and(Open), Open.and(Open)], [Periodic, Open, Open]);
        assert_eq!(Periodic.of_part([4, 4, 4], [4, 4, 4]), Periodic);
        assert_eq!(Periodic.of_part([4, 4, 3], [4, 4, 4]), Open);
        assert_eq!(Open.of_part([4, 4, 4], [4, 4, 4]), Open);
    }
}
