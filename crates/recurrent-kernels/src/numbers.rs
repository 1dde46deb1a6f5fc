//! One number, or several that go through the same arithmetic side by side.

use std::ops::{Add, Div, Mul, Neg, Sub};

use pulp::Simd;

use crate::Real;
use crate::lanes::{Lanes, lane_count};

/// What an equation is written over: one number, or some vector registers of numbers.
///
/// An equation over this type is written once. With one number it is its own oracle; with several
/// registers, whose chains of operations a processor computes at the same time, it is fast. Every
/// operation is rounded as IEEE 754 says, number by number, so both give the same bits.
/// Implemented for [`Real`] numbers, and for the registers that [`Elementwise`] equations get.
///
/// [`Elementwise`]: crate::Elementwise
pub trait Numbers:
    Copy
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// The type of each number.
    type Number: Real;

    /// `value` beside each of these numbers.
    fn all(self, value: Self::Number) -> Self;
    /// `self * factor + term`, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// `then` where `self < other`, and else `otherwise`; also where one of them is NaN.
    fn if_less(self, other: Self, then: Self, otherwise: Self) -> Self;
    /// `then` where `self <= other`, and else `otherwise`; also where one of them is NaN.
    fn if_at_most(self, other: Self, then: Self, otherwise: Self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn with_sign_of(self, sign: Self) -> Self;
    /// `2^n` of `1.5 * 2^(mantissa bits) + n`, for every n at which it is a normal number.
    #[doc(hidden)]
    fn power_of_two(self) -> Self;
}

macro_rules! one_number {
    ($t:ident, $bits:ident) => {
        impl Numbers for $t {
            type Number = $t;

            #[inline(always)]
            fn all(self, value: $t) -> $t {
                value
            }
            #[inline(always)]
            fn mul_add(self, factor: $t, term: $t) -> $t {
                $t::mul_add(self, factor, term)
            }
            #[inline(always)]
            fn abs(self) -> $t {
                $t::abs(self)
            }
            #[inline(always)]
            fn if_less(self, other: $t, then: $t, otherwise: $t) -> $t {
                if self < other { then } else { otherwise }
            }
            #[inline(always)]
            fn if_at_most(self, other: $t, then: $t, otherwise: $t) -> $t {
                if self <= other { then } else { otherwise }
            }
            #[inline(always)]
            fn with_sign_of(self, sign: $t) -> $t {
                self.copysign(sign)
            }
            #[inline(always)]
            fn power_of_two(self) -> $t {
                // The constant has zeros where n is not, so only n and the exponent's bias reach
                // the bits that the shift keeps.
                let biased = self.to_bits().wrapping_add($t::MAX_EXP as $bits).wrapping_sub(1);
                $t::from_bits(biased << ($t::MANTISSA_DIGITS - 1))
            }
        }
    };
}
one_number!(f32, u32);
one_number!(f64, u64);

/// Numbers that lie one after the other in memory.
pub(crate) trait Run<S: Simd>: Numbers {
    /// How many these are.
    const LENGTH: usize;

    /// Zeros.
    fn zero(simd: S) -> Self;

    /// Those from `place` on.
    ///
    /// # Safety
    /// `LENGTH` numbers must be readable there, at any alignment.
    unsafe fn read(simd: S, place: *const Self::Number) -> Self;

    /// Writes them to `place`.
    ///
    /// # Safety
    /// `LENGTH` numbers must be writable there, at any alignment.
    unsafe fn write(self, place: *mut Self::Number);
}

/// A vector register.
#[derive(Clone, Copy)]
pub(crate) struct Register<S: Simd, T: Lanes> {
    simd: S,
    lanes: T::Vector<S>,
}

impl<S: Simd, T: Real> Run<S> for Register<S, T> {
    const LENGTH: usize = lane_count::<T, S>();

    #[inline(always)]
    fn zero(simd: S) -> Self {
        Register { simd, lanes: T::splat(simd, T::ZERO) }
    }

    #[inline(always)]
    unsafe fn read(simd: S, place: *const T) -> Self {
        // SAFETY: a register is a plain array of numbers, and the contract makes them readable.
        Register { simd, lanes: unsafe { place.cast::<T::Vector<S>>().read_unaligned() } }
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut T) {
        // SAFETY: as in `read`.
        unsafe { place.cast::<T::Vector<S>>().write_unaligned(self.lanes) };
    }
}

/// Twice as many numbers. A pair of pairs of registers is four, without a loop that a compiler
/// would have to unroll.
#[derive(Clone, Copy)]
pub(crate) struct Pair<N>(N, N);

impl<S: Simd, T: Real, N: Run<S, Number = T>> Run<S> for Pair<N> {
    const LENGTH: usize = 2 * N::LENGTH;

    #[inline(always)]
    fn zero(simd: S) -> Self {
        Pair(N::zero(simd), N::zero(simd))
    }

    #[inline(always)]
    unsafe fn read(simd: S, place: *const T) -> Self {
        // SAFETY: the halves are the two halves of what the contract makes readable.
        unsafe { Pair(N::read(simd, place), N::read(simd, place.wrapping_add(N::LENGTH))) }
    }

    #[inline(always)]
    unsafe fn write(self, place: *mut T) {
        // SAFETY: as in `read`.
        unsafe {
            self.0.write(place);
            self.1.write(place.wrapping_add(N::LENGTH));
        }
    }
}

/// An operator of registers, and of pairs.
macro_rules! operator {
    ($operator:ident, $method:ident, $lanes:ident $(, $other:ident)?) => {
        impl<S: Simd, T: Lanes> $operator for Register<S, T> {
            type Output = Self;
            #[inline(always)]
            fn $method(self $(, $other: Self)?) -> Self {
                Register { lanes: T::$lanes(self.simd, self.lanes $(, $other.lanes)?), ..self }
            }
        }
        impl<T: Real, N: Numbers<Number = T>> $operator for Pair<N> {
            type Output = Self;
            #[inline(always)]
            fn $method(self $(, $other: Self)?) -> Self {
                Pair(self.0.$method($($other.0)?), self.1.$method($($other.1)?))
            }
        }
    };
}
operator!(Neg, neg, neg_lanes);
operator!(Add, add, add_lanes, other);
operator!(Sub, sub, sub_lanes, other);
operator!(Mul, mul, mul_lanes, other);
operator!(Div, div, div_lanes, other);

/// The functions of registers, and of pairs.
macro_rules! functions {
    ($($method:ident, $lanes:ident ($($other:ident),*);)+) => {
        impl<S: Simd, T: Real> Numbers for Register<S, T> {
            type Number = T;

            #[inline(always)]
            fn all(self, value: T) -> Self {
                Register { lanes: T::splat(self.simd, value), ..self }
            }
            $(
                #[inline(always)]
                fn $method(self $(, $other: Self)*) -> Self {
                    Register { lanes: T::$lanes(self.simd, self.lanes $(, $other.lanes)*), ..self }
                }
            )+
        }

        impl<T: Real, N: Numbers<Number = T>> Numbers for Pair<N> {
            type Number = T;

            #[inline(always)]
            fn all(self, value: T) -> Self {
                Pair(self.0.all(value), self.1.all(value))
            }
            $(
                #[inline(always)]
                fn $method(self $(, $other: Self)*) -> Self {
                    Pair(self.0.$method($($other.0),*), self.1.$method($($other.1),*))
                }
            )+
        }
    };
}
functions! {
    mul_add, mul_add_lanes(factor, term);
    abs, abs_lanes();
    if_less, if_less_lanes(other, then, otherwise);
    if_at_most, if_at_most_lanes(other, then, otherwise);
    with_sign_of, with_sign_of_lanes(sign);
    power_of_two, power_of_two_lanes();
}
