//! When a task counts as solved.

use std::collections::VecDeque;

/// What the error of a sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// How far the number is off.
    Distance,
    /// How far the output furthest off is off: of softmax that is 1 - p of what was asked for, since
    /// all other outputs together are as much. Of several steps the worst.
    Probability,
    /// 0 if at every step all symbols that can come have larger outputs than all others, else 1.
    Legal,
    /// The share of tokens asked for that are not the likeliest.
    WrongTokens,
}

/// On which sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// On so many of the most recent training sequences, each judged before it was learnt from.
    Training {
        /// How many.
        recent: usize,
    },
    /// On sequences of its own (and on the fixed ones of the training, if they are fixed).
    Test {
        /// Training sequences from one look to the next.
        every: u64,
    },
}

/// What the errors must be on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mean {
    /// Nothing is asked.
    Any,
    /// The mean error is below this.
    Error(f64),
}

/// When a task counts as solved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// On which sequences.
    pub judged: Judged,
    /// What an error is.
    pub measure: Measure,
    /// A sequence with a smaller error is right.
    pub right_below: f64,
    /// How many may be wrong.
    pub most_wrong: usize,
    /// What is asked of the mean.
    pub mean: Mean,
}

impl Goal {
    /// Whether a sequence with this error is wrong; NaN is.
    pub fn is_wrong(&self, error: f64) -> bool {
        error.is_nan() || error >= self.right_below
    }

    /// Whether so many wrong sequences, and this mean of the errors, are good enough.
    fn is_reached(&self, wrong: usize, mean: f64) -> bool {
        let on_average = match self.mean {
            Mean::Any => true,
            Mean::Error(most) => mean < most,
        };
        wrong <= self.most_wrong && on_average
    }

    /// Whether these errors, of all sequences of a test, are enough.
    pub fn is_reached_by(&self, errors: &[f64]) -> bool {
        let wrong = errors.iter().filter(|&&error| self.is_wrong(error)).count();
        self.is_reached(wrong, errors.iter().sum::<f64>() / errors.len() as f64)
    }
}

/// The errors of the most recent training sequences.
#[derive(Clone, Debug)]
pub struct Streak {
    goal: Goal,
    length: usize,
    errors: VecDeque<f64>,
    wrong: usize,
}

impl Streak {
    /// None yet, of `length` that are looked at.
    pub fn new(goal: Goal, length: usize) -> Streak {
        Streak { goal, length, errors: VecDeque::with_capacity(length + 1), wrong: 0 }
    }

    /// Takes the error of the next sequence.
    pub fn push(&mut self, error: f64) {
        self.errors.push_back(error);
        self.wrong += usize::from(self.goal.is_wrong(error));
        if self.errors.len() > self.length {
            let oldest = self.errors.pop_front();
            self.wrong -= usize::from(oldest.is_some_and(|error| self.goal.is_wrong(error)));
        }
    }

    /// There are enough sequences, and they are good enough.
    pub fn is_reached(&self) -> bool {
        // The mean only where it can matter: this is asked after every batch.
        self.errors.len() == self.length
            && self.wrong <= self.goal.most_wrong
            && self.goal.is_reached(self.wrong, self.mean())
    }

    /// The mean of the errors so far; NaN before the first.
    pub fn mean(&self) -> f64 {
        self.errors.iter().sum::<f64>() / self.errors.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal {
        judged: Judged::Training { recent: 4 },
        measure: Measure::Distance,
        right_below: 0.04,
        most_wrong: 1,
        mean: Mean::Error(0.04),
    };

    fn after(goal: Goal, errors: &[f64]) -> bool {
        let mut streak = Streak::new(goal, 4);
        errors.iter().for_each(|&error| streak.push(error));
        streak.is_reached()
    }

    #[test]
    fn a_streak_needs_its_length_few_wrong_and_a_small_mean() {
        assert!(!after(GOAL, &[0.0; 3]));
        assert!(after(GOAL, &[0.0; 4]));
        assert!(after(GOAL, &[0.0, 0.0, 0.04, 0.0]));
        assert!(!after(GOAL, &[0.04, 0.0, 0.04, 0.0]));
        assert!(after(GOAL, &[0.04, 0.0, 0.04, 0.0, 0.0]), "the first is forgotten");
        assert!(after(GOAL, &[0.0, 0.0, 0.159, 0.0]), "0.159 / 4 is below 0.04");
        assert!(!after(GOAL, &[0.0, 0.0, 0.16, 0.0]), "0.16 / 4 is not");
        assert!(!after(GOAL, &[0.0, 0.0, f64::NAN, 0.0]), "NaN is no error below");
        let strict = Goal { most_wrong: 0, ..GOAL };
        assert!(after(strict, &[0.039; 4]) && !after(strict, &[0.0, 0.04, 0.0, 0.0]));
    }

    #[test]
    fn a_test_asks_for_the_mean_or_not() {
        let goal = Goal { mean: Mean::Error(0.01), ..GOAL };
        assert!(goal.is_reached_by(&[0.0, 0.019]) && !goal.is_reached_by(&[0.0, 0.02]));
        assert!(!goal.is_reached_by(&[0.0, 0.0, f64::NAN]));
        let goal = Goal { mean: Mean::Any, ..GOAL };
        assert!(goal.is_reached_by(&[0.0, 9.0]) && !goal.is_reached_by(&[9.0, 9.0]));
        assert!(!goal.is_reached_by(&[f64::NAN; 2]), "NaN is wrong, and not only on average");
    }
}
