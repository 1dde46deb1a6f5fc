//! What a probe finds out, one heap for each cell of a stack.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Direction;

/// A value for each cell that was seen, by layer and direction. Several threads fill it.
///
/// A probe that keeps its findings here needs to be told nothing of the model beforehand.
#[derive(Debug)]
pub(crate) struct ByCell<X>(Mutex<Vec<(usize, Direction, X)>>);

impl<X> Default for ByCell<X> {
    fn default() -> Self {
        ByCell(Mutex::default())
    }
}

impl<X: Default> ByCell<X> {
    /// Hands the cell's value to `f`; while it works, other threads wait.
    pub(crate) fn change(&self, layer: usize, direction: Direction, f: impl FnOnce(&mut X)) {
        let mut cells = self.lock();
        let found = cells.iter().position(|&(at, way, _)| (at, way) == (layer, direction));
        let place = found.unwrap_or(cells.len());
        if found.is_none() {
            cells.push((layer, direction, X::default()));
        }
        f(&mut cells[place].2);
    }
}

impl<X> ByCell<X> {
    /// What `f` makes of every cell's value, first layer first, forward before reverse.
    pub(crate) fn map<Y>(&self, mut f: impl FnMut(usize, Direction, &X) -> Y) -> Vec<Y> {
        let mut cells = self.lock();
        cells.sort_by_key(|&(layer, direction, _)| (layer, direction == Direction::Reverse));
        cells.iter().map(|(layer, direction, value)| f(*layer, *direction, value)).collect()
    }

    /// Whoever panicked with the lock held has left whole values.
    fn lock(&self) -> MutexGuard<'_, Vec<(usize, Direction, X)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
