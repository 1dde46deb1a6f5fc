//! Activations of pre-activations, with their slopes, as cells use them line by line.

use recurrent_kernels::{Numbers, Real, activation};

/// A function of one number, next to its derivative, which takes the function's value.
pub(crate) trait Activation: Copy {
    /// `y = f(x)`; NaN stays NaN.
    fn value<N: Numbers>(x: N) -> N;
    /// `f'(x)`, from `y = f(x)`.
    fn slope<N: Numbers>(y: N) -> N;
}

/// `1 / (1 + e^-x)`, in [0, 1].
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;
/// The hyperbolic tangent, in [-1, 1].
#[derive(Clone, Copy)]
pub(crate) struct Tanh;
/// `max(x, 0)`.
#[derive(Clone, Copy)]
pub(crate) struct Relu;
/// `x` itself.
#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Activation for Sigmoid {
    #[inline(always)]
    fn value<N: Numbers>(x: N) -> N {
        activation::sigmoid(x)
    }
    #[inline(always)]
    fn slope<N: Numbers>(y: N) -> N {
        y * (y.all(Real::ONE) - y)
    }
}

impl Activation for Tanh {
    #[inline(always)]
    fn value<N: Numbers>(x: N) -> N {
        activation::tanh(x)
    }
    #[inline(always)]
    fn slope<N: Numbers>(y: N) -> N {
        y.all(Real::ONE) - y * y
    }
}

impl Activation for Relu {
    #[inline(always)]
    fn value<N: Numbers>(x: N) -> N {
        activation::relu(x)
    }
    #[inline(always)]
    fn slope<N: Numbers>(y: N) -> N {
        activation::relu_slope(y)
    }
}

impl Activation for Identity {
    #[inline(always)]
    fn value<N: Numbers>(x: N) -> N {
        x
    }
    #[inline(always)]
    fn slope<N: Numbers>(y: N) -> N {
        y.all(Real::ONE)
    }
}

/// ONNX's `clip`: a pre-activation, bias included, is kept between `-limit` and `limit` before its
/// activation sees it. A constant, so that cells without it have no trace of it in their loops.
pub(crate) trait Clip: Copy {
    /// Cells with it are so few that their equations need not be as fast as can be.
    const RARE: bool;

    /// `f` of the clipped `x`.
    fn value<A: Activation, N: Numbers>(self, x: N) -> N;
    /// The derivative by the pre-activation, from the value `y`: 0 where the limit held it. A
    /// value that equals that of the limit counts as held.
    fn slope<A: Activation, N: Numbers>(self, y: N) -> N;
}

/// No clip.
#[derive(Clone, Copy)]
pub(crate) struct Free;

/// A clip at this limit, above 0.
#[derive(Clone, Copy)]
pub(crate) struct Limit(pub(crate) f64);

impl Clip for Free {
    const RARE: bool = false;

    #[inline(always)]
    fn value<A: Activation, N: Numbers>(self, x: N) -> N {
        A::value(x)
    }
    #[inline(always)]
    fn slope<A: Activation, N: Numbers>(self, y: N) -> N {
        A::slope(y)
    }
}

impl Clip for Limit {
    const RARE: bool = true;

    #[inline(always)]
    fn value<A: Activation, N: Numbers>(self, x: N) -> N {
        let limit = x.all(Real::from_f64(self.0));
        // Selects that keep x unless it is beyond, so that NaN stays.
        let x = limit.if_less(x, limit, x);
        let x = x.if_less(-limit, -limit, x);
        A::value(x)
    }
    #[inline(always)]
    fn slope<A: Activation, N: Numbers>(self, y: N) -> N {
        let limit: N::Number = Real::from_f64(self.0);
        let (least, most) = (y.all(A::value(-limit)), y.all(A::value(limit)));
        let zero = y.all(Real::ZERO);
        y.if_at_most(least, zero, most.if_at_most(y, zero, A::slope(y)))
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

/// `Cell::pointwise` and `Cell::pointwise_backward` of `$cell`, by its `forward` and `backward`, compiled
/// in this crate ([`Compiled`](recurrent_kernels::Compiled)).
macro_rules! compiled_pointwise {
    ($cell:ident) => {
        fn pointwise<T: Real>(&self, level: Level, phase: usize, step: Forward<'_, T>) {
            struct Here<'a>(&'a $cell);
            impl<'a> Compiled for Here<'a> {
                type Value<T: Real> = (Here<'a>, Level, usize, Forward<'a, T>);
                type Output = ();
                #[inline(never)]
                fn f32((Here(cell), level, phase, step): Self::Value<f32>) {
                    cell.forward(level, phase, step);
                }
                #[inline(never)]
                fn f64((Here(cell), level, phase, step): Self::Value<f64>) {
                    cell.forward(level, phase, step);
                }
            }
            T::call::<Here<'_>>((Here(self), level, phase, step));
        }

        fn pointwise_backward<T: Real>(&self, level: Level, phase: usize, step: Backward<'_, T>) {
            struct Here<'a>(&'a $cell);
            impl<'a> Compiled for Here<'a> {
                type Value<T: Real> = (Here<'a>, Level, usize, Backward<'a, T>);
                type Output = ();
                #[inline(never)]
                fn f32((Here(cell), level, phase, step): Self::Value<f32>) {
                    cell.backward(level, phase, step);
                }
                #[inline(never)]
                fn f64((Here(cell), level, phase, step): Self::Value<f64>) {
                    cell.backward(level, phase, step);
                }
            }
            T::call::<Here<'_>>((Here(self), level, phase, step));
        }
    };
}
pub(crate) use compiled_pointwise;

/// The one door for limits: a clip that lets nothing through, or means nothing, is refused.
#[track_caller]
pub(crate) fn check_clip(clip: Option<f64>) {
    if let Some(limit) = clip {
        assert!(limit > 0.0 && limit.is_finite(), "a clip of {limit} is not above 0 and finite");
    }
}
