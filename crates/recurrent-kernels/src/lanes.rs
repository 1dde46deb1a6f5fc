//! The vector operations that a kernel written once for `f32` and `f64` needs.

use pulp::Simd;

/// Declares operations on vectors, lane by lane.
macro_rules! declare {
    ($($(#[$doc:meta])* $name:ident($($argument:ident),+);)+) => {
        $(
            $(#[$doc])*
            fn $name<S: Simd>(simd: S, $($argument: Self::Vector<S>),+) -> Self::Vector<S>;
        )+
    };
}

/// A number that fills the lanes of a vector register.
pub trait Lanes: Copy + 'static {
    /// A register of `S`: a plain array of these numbers in memory.
    type Vector<S: Simd>: Copy;

    /// `value` in every lane.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;

    declare! {
        /// `-a`
        neg_lanes(a);
        /// `a + b`
        add_lanes(a, b);
        /// `a - b`
        sub_lanes(a, b);
        /// `a * b`
        mul_lanes(a, b);
        /// `a / b`
        div_lanes(a, b);
        /// `a * b + c`, rounded once.
        mul_add_lanes(a, b, c);
        /// The magnitude.
        abs_lanes(a);
        /// `then` where `a < b`, else `otherwise`.
        if_less_lanes(a, b, then, otherwise);
        /// `then` where `a <= b`, else `otherwise`.
        if_at_most_lanes(a, b, then, otherwise);
        /// The magnitude of `a` with the sign of `sign`.
        with_sign_of_lanes(a, sign);
        /// `2^n` of `a = 1.5 * 2^(mantissa bits) + n`, where it is a normal number.
        power_of_two_lanes(a);
    }
}

/// How many `T` a register of `S` holds.
pub(crate) const fn lane_count<T: Lanes, S: Simd>() -> usize {
    size_of::<T::Vector<S>>() / size_of::<T>()
}

/// An operation that pulp has.
macro_rules! same {
    ($vector:ident, $name:ident, $pulp:ident($($argument:ident),+)) => {
        #[inline(always)]
        fn $name<S: Simd>(simd: S, $($argument: S::$vector),+) -> S::$vector {
            simd.$pulp($($argument),+)
        }
    };
}

macro_rules! lanes {
    (
        $t:ident, $vector:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
        $mul_add:ident, $less:ident, $at_most:ident;
        $bits:ident, $splat_bits:ident, $from_bits:ident, $to_bits:ident, $add_bits:ident,
        $and:ident, $or:ident, $xor:ident, $select:ident, $shift:ident
    ) => {
        impl Lanes for $t {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }
            same!($vector, add_lanes, $add(a, b));
            same!($vector, sub_lanes, $sub(a, b));
            same!($vector, mul_lanes, $mul(a, b));
            same!($vector, div_lanes, $div(a, b));
            same!($vector, mul_add_lanes, $mul_add(a, b, c));

            // What follows acts on bits: pulp's own functions of this kind for numbers are not
            // always inlined, and cost ten times as much then.

            #[inline(always)]
            fn neg_lanes<S: Simd>(simd: S, a: S::$vector) -> S::$vector {
                let sign = simd.$splat_bits((-0.0 as $t).to_bits());
                simd.$from_bits(simd.$xor(simd.$to_bits(a), sign))
            }
            #[inline(always)]
            fn abs_lanes<S: Simd>(simd: S, a: S::$vector) -> S::$vector {
                let rest = simd.$splat_bits(!(-0.0 as $t).to_bits());
                simd.$from_bits(simd.$and(simd.$to_bits(a), rest))
            }
            #[inline(always)]
            fn if_less_lanes<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                then: S::$vector,
                otherwise: S::$vector,
            ) -> S::$vector {
                let (then, otherwise) = (simd.$to_bits(then), simd.$to_bits(otherwise));
                simd.$from_bits(simd.$select(simd.$less(a, b), then, otherwise))
            }
            #[inline(always)]
            fn if_at_most_lanes<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                then: S::$vector,
                otherwise: S::$vector,
            ) -> S::$vector {
                let (then, otherwise) = (simd.$to_bits(then), simd.$to_bits(otherwise));
                simd.$from_bits(simd.$select(simd.$at_most(a, b), then, otherwise))
            }
            #[inline(always)]
            fn with_sign_of_lanes<S: Simd>(simd: S, a: S::$vector, sign: S::$vector) -> S::$vector {
                let place = (-0.0 as $t).to_bits();
                let rest = simd.$and(simd.$to_bits(a), simd.$splat_bits(!place));
                let sign = simd.$and(simd.$to_bits(sign), simd.$splat_bits(place));
                simd.$from_bits(simd.$or(rest, sign))
            }
            #[inline(always)]
            fn power_of_two_lanes<S: Simd>(simd: S, a: S::$vector) -> S::$vector {
                let bias = simd.$splat_bits($t::MAX_EXP as $bits - 1);
                simd.$from_bits($shift(simd, simd.$add_bits(simd.$to_bits(a), bias)))
            }
        }
    };
}

lanes!(
    f32, f32s, splat_f32s, add_f32s, sub_f32s, mul_f32s, div_f32s, mul_add_f32s, less_than_f32s,
    less_than_or_equal_f32s;
    u32, splat_u32s, transmute_f32s_u32s, transmute_u32s_f32s, add_u32s, and_u32s, or_u32s,
    xor_u32s, select_u32s, shift_f32
);
lanes!(
    f64, f64s, splat_f64s, add_f64s, sub_f64s, mul_f64s, div_f64s, mul_add_f64s, less_than_f64s,
    less_than_or_equal_f64s;
    u64, splat_u64s, transmute_f64s_u64s, transmute_u64s_f64s, add_u64s, and_u64s, or_u64s,
    xor_u64s, select_u64s, shift_f64
);

/// The lowest bits brought to the place of the exponent.
#[inline(always)]
fn shift_f32<S: Simd>(simd: S, bits: S::u32s) -> S::u32s {
    simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(f32::MANTISSA_DIGITS - 1))
}

/// As [`shift_f32`]; by a product, because pulp has no such shift of 64 bits.
#[inline(always)]
fn shift_f64<S: Simd>(simd: S, bits: S::u64s) -> S::u64s {
    simd.mul_u64s(bits, simd.splat_u64s(1 << (f64::MANTISSA_DIGITS - 1)))
}
