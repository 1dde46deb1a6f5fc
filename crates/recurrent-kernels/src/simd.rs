//! The instruction set as a value, so that a test can lower it.

/// The vector instructions that kernels may use.
///
/// [`Level::detect`] finds the best one of this processor; a lower one can be asked for by name.
/// All levels compute the same operations in the same order, with fused multiply-add, so they
/// give the same bits; only the speed differs.
#[derive(Clone, Copy)]
pub struct Level(Kind);

#[derive(Clone, Copy)]
enum Kind {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Level {
    /// No vector instructions: slow, and present everywhere.
    pub const SCALAR: Level = Level(Kind::Scalar);

    /// The best level of this processor.
    pub fn detect() -> Level {
        Level::available().pop().unwrap_or(Level::SCALAR)
    }

    /// Every level of this processor, slowest first.
    pub fn available() -> Vec<Level> {
        let mut levels = vec![Level::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(pulp::x86::V3::try_new().map(|v3| Level(Kind::Avx2(v3))));
            levels.extend(pulp::x86::V4::try_new().map(|v4| Level(Kind::Avx512(v4))));
        }
        #[cfg(target_arch = "aarch64")]
        levels.extend(pulp::aarch64::Neon::try_new().map(|neon| Level(Kind::Neon(neon))));
        levels
    }

    /// `"scalar"`, `"avx2"`, `"avx512"` or `"neon"`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => "neon",
        }
    }

    /// The instructions of AVX2, where this level has them.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn avx2(self) -> Option<pulp::x86::V3> {
        match self.0 {
            Kind::Scalar => None,
            Kind::Avx2(v3) => Some(v3),
            Kind::Avx512(v4) => Some(*v4),
        }
    }

    /// Runs `work` compiled for this level: the compiler vectorises its plain loops over slices.
    #[inline]
    pub fn run<V: Vectorized>(self, work: V) -> V::Output {
        struct Work<V>(V);
        impl<V: Vectorized> pulp::WithSimd for Work<V> {
            type Output = V::Output;
            #[inline(always)]
            fn with_simd<S: pulp::Simd>(self, _: S) -> V::Output {
                self.0.run()
            }
        }
        self.dispatch(Work(work))
    }

    /// Runs an operation written over pulp's vector types at this level.
    #[inline]
    pub(crate) fn dispatch<Op: pulp::WithSimd>(self, op: Op) -> Op::Output {
        match self.0 {
            Kind::Scalar => at(pulp::Scalar::new(), op),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(v3) => at(v3, op),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(v4) => at(v4, op),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(neon) => at(neon, op),
        }
    }
}

/// Work that [`Level::run`] compiles once for each instruction set.
///
/// It is a trait and not a closure because [`run`](Vectorized::run), and every function that it
/// calls in a loop, must be marked `#[inline(always)]`, which a closure cannot be: code that is
/// not inlined is compiled without the instructions, gives the same bits, and is forty times
/// slower without anybody noticing.
///
/// ```
/// use recurrent_kernels::{Level, Vectorized};
///
/// struct Double<'a>(&'a mut [f32]);
///
/// impl Vectorized for Double<'_> {
///     type Output = ();
///     #[inline(always)]
///     fn run(self) {
///         self.0.iter_mut().for_each(|x| *x *= 2.0);
///     }
/// }
///
/// let mut numbers = [1.0, 2.0, 3.0];
/// Level::detect().run(Double(&mut numbers));
/// assert_eq!(numbers, [2.0, 4.0, 6.0]);
/// ```
pub trait Vectorized {
    /// What comes out.
    type Output;

    /// Does the work. Mark it `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Calls `op` inside a function that has the target features of `simd`.
#[inline]
fn at<S: pulp::Simd, Op: pulp::WithSimd>(simd: S, op: Op) -> Op::Output {
    // A struct and not a closure: only a method can be marked as always inlined, and code that
    // is not inlined here would be compiled without the features.
    struct Call<S, Op>(S, Op);
    impl<S: pulp::Simd, Op: pulp::WithSimd> pulp::NullaryFnOnce for Call<S, Op> {
        type Output = Op::Output;
        #[inline(always)]
        fn call(self) -> Op::Output {
            self.1.with_simd(self.0)
        }
    }
    simd.vectorize(Call(simd, op))
}

impl PartialEq for Level {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Level {}

impl std::fmt::Debug for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Default for Level {
    fn default() -> Self {
        Level::detect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answer;

    impl Vectorized for Answer {
        type Output = u32;
        #[inline(always)]
        fn run(self) -> u32 {
            6 * 7
        }
    }

    #[test]
    fn levels_are_ordered_and_scalar_is_always_there() {
        let levels = Level::available();
        assert_eq!(levels[0], Level::SCALAR);
        assert_eq!(*levels.last().unwrap(), Level::detect());
        for level in levels {
            assert_eq!(level.run(Answer), 42, "{}", level.name());
        }
    }
}
