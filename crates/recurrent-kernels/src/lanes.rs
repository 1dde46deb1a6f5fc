//! The vector operations that a kernel written once for `f32` and `f64` needs.

use pulp::Simd;

/// A number that fills the lanes of a vector register.
pub trait Lanes: Copy + 'static {
    /// A register of `S`: a plain array of these numbers in memory.
    type Vector<S: Simd>: Copy;

    /// `value` in every lane.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;

    /// `a + b`, lane by lane.
    fn add_lanes<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// `a * b + c`, rounded once, lane by lane.
    fn mul_add_lanes<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
}

/// How many `T` a register of `S` holds.
pub(crate) const fn lane_count<T: Lanes, S: Simd>() -> usize {
    size_of::<T::Vector<S>>() / size_of::<T>()
}

macro_rules! lanes {
    ($t:ident, $vector:ident, $splat:ident, $add:ident, $mul_add:ident) => {
        impl Lanes for $t {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }
            #[inline(always)]
            fn add_lanes<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn mul_add_lanes<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                c: S::$vector,
            ) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
        }
    };
}
lanes!(f32, f32s, splat_f32s, add_f32s, mul_add_f32s);
lanes!(f64, f64s, splat_f64s, add_f64s, mul_add_f64s);
