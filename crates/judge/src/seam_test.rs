//! Whether samples show where their tiles meet.

use crate::Labelled;
use crate::measured::Measured;
use finescale_field::Field3;
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{PlaneGradients, Seams, SpectraError, TileFaces, seams};
use serde::Serialize;

const SEED: u64 = 1;

/// The seams of a field, judged.
#[derive(Clone, Debug, Serialize)]
pub struct SeamTest {
    /// Planes where tiles meet, by axis: face x lies between the cells x − 1 and x. Of a field that was made in several steps,
    /// those of the last.
    pub faces: [Vec<usize>; 3],
    /// Scores of the field at the faces.
    pub field: Seams,
    /// The same of the truth, which has no tiles.
    pub truth: Seams,
    /// Whether the gradient lies inside of the 95 % range of random offsets, and of the truth's.
    pub seamless: bool,
    /// Gradient at the faces of each step over the truth's at the same faces; the last step's is that of `field`.
    pub gradient_ratio_by_step: Vec<f64>,
}

/// Judges fields against one truth.
pub(crate) struct SeamJudge<'a> {
    truth: &'a Field3,
    gradients: Option<PlaneGradients>,
    /// The truth at faces seen already.
    known: Vec<(TileFaces, Seams)>,
}

impl<'a> SeamJudge<'a> {
    pub(crate) fn new(truth: &'a Field3) -> Self {
        Self { truth, gradients: None, known: Vec::new() }
    }

    pub(crate) fn judge(&mut self, labelled: &Labelled<'_>) -> Measured<SeamTest> {
        match labelled.faces.as_deref() {
            Ok([earlier @ .., last]) => self.test(labelled.field, earlier, last).into(),
            Ok([]) => Measured::skipped("no tiles are known"),
            Err(reason) => Measured::skipped(reason.clone()),
        }
    }

    fn test(
        &mut self,
        field: &Field3,
        earlier: &[TileFaces],
        faces: &TileFaces,
    ) -> Result<SeamTest, SpectraError> {
        let offsets = KeyedStream::new(SEED, Purpose::Bootstrap);
        let found = seams(field, faces, offsets)?;
        let truth = match self.known.iter().find(|(known, _)| known == faces) {
            Some((_, seams)) => seams.clone(),
            None => {
                let of_truth = seams(self.truth, faces, offsets)?;
                self.known.push((faces.clone(), of_truth.clone()));
                of_truth
            }
        };
        let mut gradient_ratio_by_step = Vec::new();
        if !earlier.is_empty() {
            let of_truth = match self.gradients.take() {
                Some(gradients) => gradients,
                None => PlaneGradients::new(self.truth)?,
            };
            let of_field = PlaneGradients::new(field)?;
            for faces in earlier {
                // Of a step without faces there is none.
                let ratio = match faces.is_empty() {
                    true => f64::NAN,
                    false => of_field.at(faces)? / of_truth.at(faces)?,
                };
                gradient_ratio_by_step.push(ratio);
            }
            self.gradients = Some(of_truth);
        }
        gradient_ratio_by_step.push(found.gradient.at_faces / truth.gradient.at_faces);
        let seamless = found.gradient.is_expected() && found.gradient.is_expected_of(&truth.gradient);
        let faces = [0, 1, 2].map(|axis| faces.along(axis).to_vec());
        Ok(SeamTest { faces, field: found, truth, seamless, gradient_ratio_by_step })
    }
}
