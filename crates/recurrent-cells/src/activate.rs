//! Activations of pre-activations, with their slopes, as cells use them line by line.

use recurrent_kernels::{Real, activation};

/// A function of one number, next to its derivative, which takes the function's value.
pub(crate) trait Activation {
    /// `y = f(x)`; NaN stays NaN.
    fn value<T: Real>(x: T) -> T;
    /// `f'(x)`, from `y = f(x)`.
    fn slope<T: Real>(y: T) -> T;
}

/// `1 / (1 + e^-x)`, in [0, 1].
pub(crate) struct Sigmoid;
/// The hyperbolic tangent, in [-1, 1].
pub(crate) struct Tanh;
/// `max(x, 0)`.
pub(crate) struct Relu;
/// `x` itself.
pub(crate) struct Identity;

impl Activation for Sigmoid {
    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        activation::sigmoid(x)
    }
    #[inline(always)]
    fn slope<T: Real>(y: T) -> T {
        y * (T::ONE - y)
    }
}

impl Activation for Tanh {
    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        activation::tanh(x)
    }
    #[inline(always)]
    fn slope<T: Real>(y: T) -> T {
        T::ONE - y * y
    }
}

impl Activation for Relu {
    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        activation::relu(x)
    }
    #[inline(always)]
    fn slope<T: Real>(y: T) -> T {
        activation::relu_slope(y)
    }
}

impl Activation for Identity {
    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        x
    }
    #[inline(always)]
    fn slope<T: Real>(_: T) -> T {
        T::ONE
    }
}

/// ONNX's `clip`: a pre-activation, bias included, is kept between `-limit` and `limit` before its
/// activation sees it. A constant, so that cells without it have no trace of it in their loops.
pub(crate) trait Clip: Copy {
    /// `f` of the clipped `x`.
    fn value<A: Activation, T: Real>(self, x: T) -> T;
    /// The derivative by the pre-activation, from the value `y`: 0 where the limit held it. A
    /// value that equals that of the limit counts as held.
    fn slope<A: Activation, T: Real>(self, y: T) -> T;
}

/// No clip.
#[derive(Clone, Copy)]
pub(crate) struct Free;

/// A clip at this limit, above 0.
#[derive(Clone, Copy)]
pub(crate) struct Limit(pub(crate) f64);

impl Clip for Free {
    #[inline(always)]
    fn value<A: Activation, T: Real>(self, x: T) -> T {
        A::value(x)
    }
    #[inline(always)]
    fn slope<A: Activation, T: Real>(self, y: T) -> T {
        A::slope(y)
    }
}

impl Clip for Limit {
    #[inline(always)]
    fn value<A: Activation, T: Real>(self, x: T) -> T {
        let limit = T::from_f64(self.0);
        // Selects that keep x unless it is beyond, so that NaN stays.
        let x = if x > limit { limit } else { x };
        let x = if x < -limit { -limit } else { x };
        A::value(x)
    }
    #[inline(always)]
    fn slope<A: Activation, T: Real>(self, y: T) -> T {
        let limit = T::from_f64(self.0);
        let held = y <= A::value(-limit) || y >= A::value(limit);
        if held { T::ZERO } else { A::slope(y) }
    }
}

/// Runs `$call` with a [`Clip`] made of an `Option<f64>`, compiled once for each.
macro_rules! with_clip {
    ($limit:expr, $clip:ident => $call:expr) => {
        match $limit {
            None => {
                let $clip = $crate::activate::Free;
                $call
            }
            Some(limit) => {
                let $clip = $crate::activate::Limit(limit);
                $call
            }
        }
    };
}
pub(crate) use with_clip;

/// Every number of `block` becomes the activation of itself plus its bias.
#[inline(always)]
pub(crate) fn activate<A: Activation, T: Real>(clip: impl Clip, block: &mut [T], bias: &[T]) {
    let bias = &bias[..block.len()];
    for k in 0..block.len() {
        block[k] = clip.value::<A, T>(block[k] + bias[k]);
    }
}

/// The one door for limits: a clip that lets nothing through, or means nothing, is refused.
#[track_caller]
pub(crate) fn check_clip(clip: Option<f64>) {
    if let Some(limit) = clip {
        assert!(limit > 0.0 && limit.is_finite(), "a clip of {limit} is not above 0 and finite");
    }
}
