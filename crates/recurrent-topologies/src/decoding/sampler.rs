//! From the logits of a step to a token: the most likely one, or a draw.

use recurrent_kernels::random::Generator;
use recurrent_kernels::{ColumnsMut, Level, Real, loss::softmax};
use serde::{Deserialize, Serialize};

/// How the next token is drawn from a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Divides the logits: below 1 sharper, above 1 flatter, 0 always the most likely token.
    pub temperature: f64,
    /// Draws from the `k` most likely tokens only.
    pub top_k: Option<usize>,
    /// Draws from the fewest tokens whose probabilities reach `p` together (nucleus sampling:
    /// Holtzman et al. 2020).
    pub top_p: Option<f64>,
}

/// Why nothing can be drawn, or not in this way.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// The temperature is negative or not finite.
    #[error("the temperature must be finite and at least 0, not {0}")]
    Temperature(f64),
    /// No token would be left.
    #[error("top-k must be at least 1, not 0")]
    TopK,
    /// Not a share.
    #[error("top-p must be above 0 and at most 1, not {0}")]
    TopP(f64),
    /// A model gave something that is no distribution.
    #[error("the logit of token {token} is {logit}, so there is nothing to draw from")]
    NonFinite {
        /// The token.
        token: u32,
        /// Its logit: NaN or infinity; minus infinity if no token can come.
        logit: f64,
    },
}

/// Draws tokens. It keeps its memory between draws.
#[derive(Clone, Debug)]
pub struct Sampler<T> {
    sampling: Sampling,
    level: Level,
    probabilities: Vec<T>,
    order: Vec<u32>,
}

impl<T: Real> Sampler<T> {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`SamplingError`] names the first that is out of range.
    pub fn new(level: Level, sampling: Sampling) -> Result<Self, SamplingError> {
        let Sampling { temperature, top_k, top_p } = sampling;
        if !(temperature.is_finite() && temperature >= 0.0) {
            return Err(SamplingError::Temperature(temperature));
        }
        if top_k == Some(0) {
            return Err(SamplingError::TopK);
        }
        if let Some(p) = top_p.filter(|&p| !(p > 0.0 && p <= 1.0)) {
            return Err(SamplingError::TopP(p));
        }
        Ok(Sampler { sampling, level, probabilities: Vec::new(), order: Vec::new() })
    }

    /// Draws a token; `banned` is never drawn. Equal logits are ordered by token. A logit of
    /// minus infinity is a token that cannot come.
    ///
    /// # Errors
    /// [`SamplingError::NonFinite`] if a logit is NaN or infinity, or if no token is left that can
    /// come.
    ///
    /// # Panics
    /// If no token is left.
    pub fn draw(
        &mut self,
        logits: &[T],
        banned: Option<u32>,
        generator: &mut Generator,
    ) -> Result<u32, SamplingError> {
        // 0 is added because the order below tells -0 from 0, and -0 + 0 is 0.
        let logit = |token: u32| logits[token as usize].to_f64() + 0.0;
        self.order.clear();
        self.order.extend((0..logits.len() as u32).filter(|&token| Some(token) != banned));
        assert!(!self.order.is_empty(), "no token is left to draw from {} logits", logits.len());
        let wrong = |&token: &u32| logit(token).is_nan() || logit(token) == f64::INFINITY;
        if let Some(token) = self.order.iter().copied().find(wrong) {
            return Err(SamplingError::NonFinite { token, logit: logit(token) });
        }
        self.order.sort_unstable_by(|&a, &b| logit(b).total_cmp(&logit(a)).then(a.cmp(&b)));
        let best = self.order[0];
        if logit(best) == f64::NEG_INFINITY {
            return Err(SamplingError::NonFinite { token: best, logit: f64::NEG_INFINITY });
        }
        if self.sampling.temperature == 0.0 {
            return Ok(self.order[0]);
        }
        self.order.truncate(self.sampling.top_k.unwrap_or(usize::MAX));

        self.probabilities.clear();
        let scale = T::from_f64(1.0 / self.sampling.temperature);
        let largest = logits[self.order[0] as usize];
        let scaled = self.order.iter().map(|&token| (logits[token as usize] - largest) * scale);
        self.probabilities.extend(scaled);
        let rows = self.probabilities.len();
        softmax(self.level, ColumnsMut::new(&mut self.probabilities, rows, 1));

        let kept = self.kept();
        let total: f64 = self.probabilities[..kept].iter().map(|p| p.to_f64()).sum();
        let mut rest = generator.uniform::<f64>() * total;
        for (&token, probability) in self.order[..kept].iter().zip(&self.probabilities) {
            rest -= probability.to_f64();
            if rest < 0.0 {
                return Ok(token);
            }
        }
        // Rounding may leave a crumb; it belongs to the most likely token.
        Ok(self.order[0])
    }

    /// How many of the sorted probabilities reach `top_p` together.
    fn kept(&self) -> usize {
        let Some(most) = self.sampling.top_p else { return self.probabilities.len() };
        let mut sum = 0.0;
        for (index, probability) in self.probabilities.iter().enumerate() {
            sum += probability.to_f64();
            if sum >= most {
                return index + 1;
            }
        }
        self.probabilities.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(sampling: Sampling, banned: Option<u32>) -> [usize; 4] {
        let mut sampler = Sampler::new(Level::detect(), sampling).unwrap();
        let mut generator = Generator::new(9, 0);
        let logits = [0.0f32, 1.0, 2.0, 3.0];
        let mut counts = [0; 4];
        for _ in 0..4000 {
            counts[sampler.draw(&logits, banned, &mut generator).unwrap() as usize] += 1;
        }
        counts
    }

    const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };

    #[test]
    fn frequencies_follow_the_distribution() {
        // e^k / (1 + e + e^2 + e^3)
        let expected = [0.0321, 0.0871, 0.2369, 0.6439];
        for (count, expected) in draws(PLAIN, None).into_iter().zip(expected) {
            assert!((count as f64 / 4000.0 - expected).abs() < 0.025, "{count} of 4000");
        }
    }

    #[test]
    fn what_is_cut_off_is_never_drawn() {
        assert_eq!(draws(Sampling { temperature: 0.0, ..PLAIN }, None), [0, 0, 0, 4000]);
        assert_eq!(draws(Sampling { temperature: 0.0, ..PLAIN }, Some(3)), [0, 0, 4000, 0]);
        let [a, b, c, _] = draws(Sampling { top_k: Some(2), ..PLAIN }, None);
        assert!(a == 0 && b == 0 && c > 0);
        let [a, b, c, _] = draws(Sampling { top_p: Some(0.7), ..PLAIN }, None);
        assert!(a == 0 && b == 0 && c > 0);
        assert_eq!(draws(Sampling { top_p: Some(0.6), ..PLAIN }, None), [0, 0, 0, 4000]);
        assert_eq!(draws(PLAIN, Some(2))[2], 0);
    }

    #[test]
    fn a_broken_distribution_is_refused() {
        let mut sampler = Sampler::new(Level::detect(), PLAIN).unwrap();
        let mut generator = Generator::new(9, 0);
        for broken in [f32::NAN, f32::INFINITY] {
            let error = sampler.draw(&[0.0, broken], None, &mut generator).unwrap_err();
            assert!(matches!(error, SamplingError::NonFinite { token: 1, .. }), "{error}");
        }
        let impossible = f32::NEG_INFINITY;
        assert_eq!(sampler.draw(&[impossible, 0.0], None, &mut generator), Ok(1));
        assert!(sampler.draw(&[impossible, impossible, 0.0], Some(2), &mut generator).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let refused = |sampling| Sampler::<f32>::new(Level::detect(), sampling).is_err();
        assert!(refused(Sampling { temperature: -1.0, ..PLAIN }));
        assert!(refused(Sampling { temperature: f64::NAN, ..PLAIN }));
        assert!(refused(Sampling { top_k: Some(0), ..PLAIN }));
        assert!(refused(Sampling { top_p: Some(0.0), ..PLAIN }));
        assert!(refused(Sampling { top_p: Some(1.5), ..PLAIN }));
    }
}
