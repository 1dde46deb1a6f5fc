//! What the activations need of a number type: constants and polynomials.

use crate::Numbers;

/// The parts of exp, sigmoid and tanh that differ between `f32` and `f64`.
pub trait Elementary: Sized {
    /// 1/2.
    const HALF: Self;
    /// 2.
    const TWO: Self;
    /// 1.5 * 2^(mantissa bits): adding it rounds to the nearest integer.
    const ROUND: Self;
    /// The logarithm of e to base 2.
    const LOG2_OF_E: Self;
    /// The first bits of ln 2, few enough that their product with any exponent is exact.
    const LN_2_HIGH: Self;
    /// The rest of ln 2.
    const LN_2_LOW: Self;
    /// From here down e^x rounds to zero.
    const EXP_LOWEST: Self;
    /// From here up e^x overflows.
    const EXP_HIGHEST: Self;
    /// An exponent that brings every 2^n with n <= 0 that matters into the normal numbers.
    const RAISE: Self;
    /// 2^-RAISE.
    const LOWER: Self;
    /// Below this magnitude tanh is its polynomial.
    const TANH_SMALL: Self;
    /// From here up tanh rounds to 1.
    const TANH_SATURATED: Self;

    /// `q(r)` with `e^r = 1 + r + r^2 q(r)` for `|r| <= ln 2 / 2`.
    fn exp_tail<N: Numbers<Number = Self>>(r: N) -> N;
    /// `p(z)` with `tanh(x) = x + x z p(z)`, `z = x^2`, for `|x| <= TANH_SMALL`.
    fn tanh_tail<N: Numbers<Number = Self>>(z: N) -> N;
}

/// A polynomial by Horner's rule, coefficients in ascending order.
macro_rules! polynomial {
    ($x:ident: $last:expr) => { $x.all($last) };
    ($x:ident: $first:expr, $($rest:expr),+) => {
        $x.mul_add(polynomial!($x: $($rest),+), $x.all($first))
    };
}

macro_rules! elementary {
    (
        $t:ident, $bits:ident;
        ln_2: $high:expr, $low:expr;
        exp: $lowest:expr, $highest:expr, $raise:expr;
        exp_tail: $($exp:expr),+;
        tanh_saturated: $saturated:expr;
        tanh_tail: $($tanh:expr),+;
    ) => {
        impl Elementary for $t {
            const HALF: Self = 0.5;
            const TWO: Self = 2.0;
            const ROUND: Self = 1.5 / $t::EPSILON;
            const LOG2_OF_E: Self = std::$t::consts::LOG2_E;
            const LN_2_HIGH: Self = $high;
            const LN_2_LOW: Self = $low;
            const EXP_LOWEST: Self = $lowest;
            const EXP_HIGHEST: Self = $highest;
            const RAISE: Self = $raise as $t;
            const LOWER: Self =
                $t::from_bits((($t::MAX_EXP - 1 - $raise) as $bits) << ($t::MANTISSA_DIGITS - 1));
            const TANH_SMALL: Self = 0.55;
            const TANH_SATURATED: Self = $saturated;

            #[inline(always)]
            fn exp_tail<N: Numbers<Number = Self>>(r: N) -> N {
                polynomial!(r: $($exp),+)
            }
            #[inline(always)]
            fn tanh_tail<N: Numbers<Number = Self>>(z: N) -> N {
                polynomial!(z: $($tanh),+)
            }
        }
    };
}

elementary! {
    f32, u32;
    ln_2: 0.693_145_75, 1.428_606_8e-6;
    exp: -104.0, 89.0, 64;
    exp_tail: 0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_715, 0.001_381_459_9;
    tanh_saturated: 9.2;
    tanh_tail: -0.333_333_16, 0.133_325_86, -0.053_852_31, 0.021_071_68, -0.006_274_241;
}

elementary! {
    f64, u64;
    ln_2: 0.693_147_180_559_663, 2.823_529_056_303_157_7e-13;
    exp: -746.0, 710.0, 512;
    exp_tail:
        0.5,
        0.166_666_666_666_666_82,
        0.041_666_666_666_666_095,
        0.008_333_333_333_317_037,
        0.001_388_888_888_911_555,
        0.000_198_412_698_963_754_66,
        2.480_158_692_674_634_5e-5,
        2.755_723_487_039_383_6e-6,
        2.755_758_177_573_145e-7,
        2.511_203_384_282_420_8e-8,
        2.082_664_339_205_991_6e-9;
    tanh_saturated: 20.0;
    tanh_tail:
        -0.333_333_333_333_333,
        0.133_333_333_333_266_22,
        -0.053_968_253_963_760_53,
        0.021_869_488_385_854_03,
        -0.008_863_232_601_418_507,
        0.003_592_092_030_258_758,
        -0.001_455_542_844_887_371_4,
        0.000_588_444_483_616_515_9,
        -0.000_233_381_560_819_727_33,
        8.331_644_368_306_944e-5,
        -1.949_468_665_510_539_8e-5;
}
