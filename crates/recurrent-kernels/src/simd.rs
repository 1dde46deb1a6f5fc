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

    /// Runs `f` compiled for this level. What `f` inlines is vectorised by the compiler: write
    /// plain loops over slices and mark the functions they call `#[inline(always)]`.
    #[inline]
    pub fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        self.dispatch(f)
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

    #[test]
    fn levels_are_ordered_and_scalar_is_always_there() {
        let levels = Level::available();
        assert_eq!(levels[0], Level::SCALAR);
        assert_eq!(*levels.last().unwrap(), Level::detect());
        for level in levels {
            assert_eq!(level.vectorize(|| 6 * 7), 42, "{}", level.name());
        }
    }
}
