//! Parameters that are trained on a card: values, gradients, averages and moments stay there, and nothing but the loss and the norm of
//! the gradient comes back from a step.

use super::CardError;
use super::blocks::DOUBLE;
use super::card::{Argument, Blocks, Card, int, long};
use super::memory::{CardMemory, View};
use super::weights::Place;
use crate::cpu::with_values;
use crate::{Engine, Volume};
use candle_core::{Result, Tensor, bail};
use std::collections::HashMap;
use std::sync::Arc;

/// Threads of a block that sums, as in the kernels.
const SUMMING: usize = 256;
/// Most blocks that sum: few enough for one more block to add up what they find.
const MOST_SUMS: usize = 1024;

/// Parameters that cards train by AdamW, with exponential averages of their values.
///
/// Networks whose parameters are these tensors, or share their values, compute on these cards with the cards' values; the host's stay as
/// they were until they are [brought](Self::values) back. Averages are on the first card, which moves the values and hands them to the
/// others. Dropped, it leaves the cards as if it had not been.
pub struct CardOptimizer {
    learners: Vec<CardLearner>,
    averaged: Vec<Tensor>,
    /// Values that decay; they come first.
    decayed: usize,
    averages: Arc<CardMemory>,
    first: CardMemory,
    second: CardMemory,
    /// What another card has found, on its way to the sum.
    arrived: Option<[CardMemory; 2]>,
}

/// Parameters on one of the cards that train them, and their gradients.
pub struct CardLearner {
    card: Card,
    parameters: Vec<Parameter>,
    count: usize,
    weights: Arc<CardMemory>,
    gradient: CardMemory,
    /// The loss and the sum of the gradient's squares, in f64.
    sums: CardMemory,
}

/// One parameter and where it lies in the vectors of all.
#[derive(Clone)]
struct Parameter {
    weight: Tensor,
    place: Place,
    begin: usize,
    len: usize,
}

/// A parameter, the average of its values, and the first and second moment of its gradient: tensors of one shape on the host.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The parameter.
    pub weight: Tensor,
    /// The average of its values.
    pub average: Tensor,
    /// The average of its gradient.
    pub first: Tensor,
    /// The average of its gradient's square.
    pub second: Tensor,
}

/// What a card has of each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Values.
    Weights,
    /// Averages of values.
    Averages,
    /// Averages of gradients.
    First,
    /// Averages of squared gradients.
    Second,
}

/// The numbers of one update:
/// first ← `first_decay` first + (1 - `first_decay`) g, second ← `second_decay` second + (1 - `second_decay`) g²,
/// weight ← `weight_decay` weight - `size` first / (√(`second_scale` second) + `epsilon`),
/// average ← `average_decay` average + (1 - `average_decay`) weight,
/// where g is `gradient_scale` times the gradient, and parameters of one axis have no `weight_decay`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the equations above")]
pub struct AdamStep {
    pub gradient_scale: f64,
    pub first_decay: f64,
    pub second_decay: f64,
    pub size: f64,
    pub second_scale: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
    pub average_decay: f64,
}

impl std::fmt::Debug for CardOptimizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.learners).finish()
    }
}

impl std::fmt::Debug for CardLearner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CardLearner({} parameters on {:?})", self.parameters.len(), self.card)
    }
}

impl CardLearner {
    fn new(card: &Card, parameters: &[Parameter], values: &[f32]) -> Result<Self> {
        let count = values.len();
        let weights = Arc::new(card.upload(values)?);
        for Parameter { weight, begin, len, .. } in parameters {
            card.weights().train(weight, View { memory: Arc::clone(&weights), first: *begin, len: *len });
        }
        // Zeros between parameters stay.
        let (gradient, sums) = (card.upload(&vec![0f32; count])?, card.memory(2 * DOUBLE)?);
        Ok(Self { card: card.clone(), parameters: parameters.to_vec(), count, weights, gradient, sums })
    }

    /// Runs an evaluation backward: Σ `weight` (`output` - `target`)² is added to the loss, and its gradients to those of the
    /// parameters; where it `begins` a step, they take the place of the last ones.
    ///
    /// # Shapes
    /// `output`, `target`: (b, c, x, y, z); `weight`: (b, 1, x, y, z).
    /// # Errors
    /// If shapes differ, the loss does not depend on a parameter, or the card has no room.
    pub fn learn(
        &mut self,
        engine: Engine<Card>,
        output: &Volume<Card>,
        target: &Tensor,
        weight: &Tensor,
        begins: bool,
    ) -> Result<()> {
        let (batch, fields, nx, ny, nz) = target.dims5()?;
        let (voxels, values) = (nx * ny * nz, output.values()?);
        if weight.elem_count() != batch * voxels || values.len() != target.elem_count() {
            bail!("weights {:?} and a target {:?} for an output {output:?}", weight.dims(), target.dims());
        }
        let upload = |tensor| with_values(tensor, |values| Ok(self.card.upload(values)?));
        let (target, weight) = (upload(target)?, upload(weight)?);
        let gradient = self.card.volume(values.len())?;
        let partial = self.card.memory(DOUBLE * MOST_SUMS)?;
        let blocks = sums(values.len());
        let arguments = [
            self.card.pointer(values),
            self.card.pointer(&target),
            self.card.pointer(&weight),
            self.card.pointer(&gradient),
            self.card.pointer(&partial),
            long(voxels),
            int(fields),
            long(values.len()),
        ];
        self.card.run("weighted_squares", blocks, &arguments)?;
        self.sum_all(&partial, blocks, 0, !begins)?;
        let gradients = engine.gradients(output, gradient)?;
        let gradients: HashMap<Place, &CardMemory> =
            gradients.iter().map(|(tensor, by)| (Place::of(tensor), by)).collect();
        let add = Argument::Int((!begins).into());
        for parameter in &self.parameters {
            let Some(by) = gradients.get(&parameter.place) else {
                bail!("the loss does not depend on a parameter of shape {:?}", parameter.weight.dims());
            };
            assert_eq!(by.len(), parameter.len);
            let sum = self.card.pointer_at(&self.gradient, parameter.begin);
            let arguments = [sum, self.card.pointer(by), add, long(by.len())];
            self.card.map("accumulate", by.len(), &arguments)?;
        }
        Ok(())
    }

    /// Sums what blocks found into one of the two sums.
    fn sum_all(
        &self,
        partial: &CardMemory,
        found: Blocks,
        sum: usize,
        add: bool,
    ) -> std::result::Result<(), CardError> {
        let arguments = [
            self.card.pointer(partial),
            self.card.pointer_at(&self.sums, DOUBLE * sum),
            Argument::Int(add.into()),
            Argument::Word(found.blocks[0]),
        ];
        self.card.run("sum_all", sums(1), &arguments)
    }
}

impl CardOptimizer {
    /// Takes parameters to cards of one kind.
    ///
    /// # Errors
    /// If there is no card, the parameters are not f32 on the host, or a card has no room.
    pub fn new(cards: &[Card], parameters: &[Moved]) -> Result<Self> {
        let Some(card) = cards.first() else { bail!("no card to train on") };
        let (placed, decayed) = placed(parameters);
        let values = |of: fn(&Moved) -> &Tensor| values_in_order(parameters, &placed, of);
        let averages = Arc::new(card.upload(&values(|p| &p.average)?)?);
        for (Moved { average, .. }, Parameter { begin, len, .. }) in parameters.iter().zip(&placed) {
            card.weights().train(average, View { memory: Arc::clone(&averages), first: *begin, len: *len });
        }
        let weights = values(|p| &p.weight)?;
        let learner = |card| CardLearner::new(card, &placed, &weights);
        let learners = cards.iter().map(learner).collect::<Result<_>>()?;
        let (first, second) = (card.upload(&values(|p| &p.first)?)?, card.upload(&values(|p| &p.second)?)?);
        let averaged = parameters.iter().map(|moved| moved.average.clone()).collect();
        Ok(Self { learners, averaged, decayed, averages, first, second, arrived: None })
    }

    /// Begins an update: what evaluations of the averages left on the card is in the way of it.
    pub fn begin(&mut self) {
        self.learners.iter().for_each(|learner| learner.card.weights().repack_trained());
    }

    /// What computes gradients, one for each card.
    pub fn learners(&mut self) -> &mut [CardLearner] {
        &mut self.learners
    }

    /// Adds to what the first card has found what the next ones have, up to `count` of them in their order: the sums are those of one
    /// card that does all the work, bit for bit.
    ///
    /// # Errors
    /// If a card has no room, or does not answer.
    pub fn gather(&mut self, count: usize) -> Result<()> {
        let Some((here, others)) = self.learners[..count].split_first_mut() else { return Ok(()) };
        if others.is_empty() {
            return Ok(());
        }
        let on = here.card.clone();
        if self.arrived.is_none() {
            self.arrived = Some([on.memory(here.count)?, on.memory(2 * DOUBLE)?]);
        }
        let Some([gradient, sums_there]) = &mut self.arrived else { unreachable!("just made") };
        for other in others {
            other.card.wait()?;
            on.fetch(&other.gradient, gradient)?;
            on.fetch(&other.sums, sums_there)?;
            let add = Argument::Int(1);
            let arguments = [on.pointer(&here.gradient), on.pointer(gradient), add, long(here.count)];
            on.map("accumulate", here.count, &arguments)?;
            let arguments = [on.pointer(sums_there), on.pointer(&here.sums), add, Argument::Int(1)];
            on.run("sum_all", sums(1), &arguments)?;
            // Until then the other card must not go on with its gradient.
            on.wait()?;
        }
        Ok(())
    }

    /// The loss of this step, and the norm of its gradient.
    ///
    /// # Errors
    /// If the card does not answer.
    pub fn loss_and_norm(&self) -> Result<(f64, f64)> {
        let CardLearner { card, count, gradient, sums: found, .. } = &self.learners[0];
        let partial = card.memory(DOUBLE * MOST_SUMS)?;
        let blocks = sums(*count);
        card.run("squares", blocks, &[card.pointer(gradient), card.pointer(&partial), long(*count)])?;
        self.learners[0].sum_all(&partial, blocks, 1, false)?;
        let sums: Vec<f64> = bytemuck::pod_collect_to_vec(&card.download(found)?);
        Ok((sums[0], sums[1].sqrt()))
    }

    /// Moves weights, moments and averages.
    ///
    /// # Errors
    /// If a card does not answer: then some values may have moved, and others not.
    pub fn step(&mut self, step: &AdamStep) -> Result<()> {
        let float = |value: f64| Argument::Float(value as f32);
        let Some((here, others)) = self.learners.split_first() else { return Ok(()) };
        let on = &here.card;
        let arguments = [
            on.pointer(&here.gradient),
            on.pointer(&here.weights),
            on.pointer(&self.averages),
            on.pointer(&self.first),
            on.pointer(&self.second),
            float(step.gradient_scale),
            float(step.first_decay),
            float(1.0 - step.first_decay),
            float(step.second_decay),
            float(1.0 - step.second_decay),
            float(step.size),
            float(step.second_scale),
            float(step.epsilon),
            float(step.weight_decay),
            float(step.average_decay),
            float(1.0 - step.average_decay),
            long(self.decayed),
            long(here.count),
        ];
        on.map("adamw", here.count, &arguments)?;
        on.weights().repack_trained();
        if !others.is_empty() {
            on.wait()?;
        }
        for other in others {
            other.card.fetch(&here.weights, &other.weights)?;
            other.card.weights().repack_trained();
        }
        // Until then the weights must not be changed again, nor let go.
        others.iter().try_for_each(|other| other.card.wait())?;
        Ok(())
    }

    /// What the cards have of each parameter, in the order in which they came.
    ///
    /// # Errors
    /// If the card does not answer.
    pub fn values(&self, part: Part) -> Result<Vec<Vec<f32>>> {
        let here = &self.learners[0];
        let memory = match part {
            Part::Weights => &here.weights,
            Part::Averages => &self.averages,
            Part::First => &self.first,
            Part::Second => &self.second,
        };
        let all = here.card.download(memory)?;
        Ok(here.parameters.iter().map(|p| all[p.begin..p.begin + p.len].to_vec()).collect())
    }
}

impl Drop for CardOptimizer {
    fn drop(&mut self) {
        for CardLearner { card, parameters, .. } in &self.learners {
            parameters.iter().for_each(|parameter| card.weights().forget(&parameter.weight));
            self.averaged.iter().for_each(|average| card.weights().forget(average));
        }
    }
}

/// Values that a parameter with what is left free behind it takes: kernels read several at once, from multiples of 16 bytes on.
fn room(parameter: &Tensor) -> usize {
    parameter.elem_count().next_multiple_of(4)
}

/// Where each parameter lies, and where those end that decay: weights, which lie before biases and norms.
fn placed(parameters: &[Moved]) -> (Vec<Parameter>, usize) {
    let is_decayed = |moved: &Moved| moved.weight.rank() > 1;
    let decayed = parameters.iter().filter(|p| is_decayed(p)).map(|p| room(&p.weight)).sum();
    let mut ends = [0, decayed];
    let placed = parameters.iter().map(|moved| {
        let (weight, len) = (moved.weight.clone(), moved.weight.elem_count());
        let end = &mut ends[usize::from(!is_decayed(moved))];
        let begin = *end;
        *end += room(&weight);
        Parameter { place: Place::of(&weight), weight, begin, len }
    });
    (placed.collect(), decayed)
}

/// The values of one tensor of each parameter where they lie, with zeros between them.
fn values_in_order(
    parameters: &[Moved],
    placed: &[Parameter],
    of: fn(&Moved) -> &Tensor,
) -> Result<Vec<f32>> {
    let mut values = vec![0f32; placed.iter().map(|parameter| room(&parameter.weight)).sum()];
    for (moved, &Parameter { begin, len, .. }) in parameters.iter().zip(placed) {
        if of(moved).elem_count() != len {
            bail!("averages and moments have the shapes of their weights");
        }
        with_values(of(moved), |part| {
            values[begin..begin + len].copy_from_slice(part);
            Ok(())
        })?;
    }
    Ok(values)
}

/// Blocks that sum so many values.
fn sums(count: usize) -> Blocks {
    Blocks {
        blocks: [u32::try_from(count.div_ceil(SUMMING).clamp(1, MOST_SUMS)).unwrap_or(1), 1, 1],
        threads: [SUMMING as u32, 1],
        shared_bytes: size_of::<f64>() * SUMMING,
    }
}
