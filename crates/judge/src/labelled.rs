//! Fields with their names.

use finescale_field::{Boundary, Field3, Scheme, TileFaces};

/// A density field in units of the cosmic mean, 1 + δ, with its name in the report.
#[derive(Clone, Debug)]
pub struct Labelled<'a> {
    /// Such as `truth` or `sample 1`.
    pub label: String,
    /// The field.
    pub field: &'a Field3,
    /// Where the tiles meet that it was made of, or why that is not known: of a field that was made in several steps, those of
    /// each, the last one last.
    pub faces: Result<Vec<TileFaces>, String>,
    /// How particles were assigned to its voxels, if that is known.
    pub assignment: Option<Scheme>,
    /// What lies beyond its faces: an open field is tapered before it is transformed.
    pub boundary: Boundary,
}

impl<'a> Labelled<'a> {
    /// `field`, called `label`, of unknown tiles.
    #[must_use]
    pub fn new(label: impl Into<String>, field: &'a Field3) -> Self {
        let faces = Err("nothing is known of tiles that the field was made of".to_owned());
        Self { label: label.into(), field, faces, assignment: None, boundary: Boundary::Periodic }
    }

    /// The same with the faces of its tiles by step, or with the reason why they are not known.
    #[must_use]
    pub fn with_faces(self, faces: Result<Vec<TileFaces>, String>) -> Self {
        Self { faces, ..self }
    }

    /// The same with the mass assignment whose window is in it, if it is known.
    #[must_use]
    pub fn with_assignment(self, assignment: Option<Scheme>) -> Self {
        Self { assignment, ..self }
    }

    /// The same with what lies beyond its faces.
    #[must_use]
    pub fn with_boundary(self, boundary: Boundary) -> Self {
        Self { boundary, ..self }
    }
}

/// Another field of the same universe, on the same grid: the truth's, and the one that each sample was drawn together with.
#[derive(Clone, Debug)]
pub struct Companion<'a> {
    /// What it is, such as `dm`.
    pub label: String,
    /// Of the truth.
    pub truth: &'a Field3,
    /// Of each sample, in their order.
    pub samples: Vec<&'a Field3>,
}

/// The fields of one box, all on one grid.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// What is true.
    pub truth: Labelled<'a>,
    /// The low-resolution field that the samples were drawn from.
    pub condition: Option<Labelled<'a>>,
    /// The samples, one at least.
    pub samples: Vec<Labelled<'a>>,
    /// Tiles drawn without knowing of each other, which must show seams.
    pub independent_tiles: Option<Labelled<'a>>,
    /// Another field of the same universe, that the samples were drawn together with.
    pub companion: Option<Companion<'a>>,
}

impl<'a> Fields<'a> {
    /// A truth and its samples, and nothing else.
    #[must_use]
    pub fn new(truth: Labelled<'a>, samples: Vec<Labelled<'a>>) -> Self {
        Self { truth, condition: None, samples, independent_tiles: None, companion: None }
    }
}
