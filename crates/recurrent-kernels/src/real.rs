//! The two number types: `f32` for speed, `f64` for proof.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, DivAssign, MulAssign, SubAssign};

use crate::Numbers;

/// A floating-point number of this stack: `f32` or `f64`. Sealed: kernels exist for these two only.
pub trait Real:
    sealed::Sealed
    + Copy
    + Default
    + Debug
    + Display
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Sum
    + Numbers<Number = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// The same value; exact.
    fn to_f64(self) -> f64;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The one value that has no order, not even with itself.
    fn is_nan(self) -> bool;
    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// Calls the function of `C` that is for this type.
    fn call<C: Compiled>(value: C::Value<Self>) -> C::Output;
}

/// A function of something generic, as two functions that are not.
///
/// A generic function is compiled anew in every crate, test and example that uses it. One that is
/// called through [`Real::call`] is compiled where it stands, once for each type: worth it for
/// kernels, of which there is much code for every call.
pub trait Compiled {
    /// What the function takes.
    type Value<T: Real>;
    /// What it gives.
    type Output;

    /// The function for `f32`. Mark it `#[inline(never)]`.
    fn f32(value: Self::Value<f32>) -> Self::Output;
    /// The function for `f64`. Mark it `#[inline(never)]`.
    fn f64(value: Self::Value<f64>) -> Self::Output;
}

pub(crate) mod sealed {
    /// What the kernels need of a number and nobody else may rely on.
    pub trait Sealed:
        faer::traits::RealField
        + crate::lanes::Lanes
        + crate::product::Multiply
        + crate::elementary::Elementary
        + crate::outer::Scratched
        + crate::transpose::Turn
    {
    }
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

macro_rules! real {
    ($t:ident) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: Self = $t::EPSILON;
            const NAME: &'static str = stringify!($t);

            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn call<C: Compiled>(value: C::Value<Self>) -> C::Output {
                C::$t(value)
            }
        }
    };
}
real!(f32);
real!(f64);
