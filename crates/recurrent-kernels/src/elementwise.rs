//! Equations that meet each place of some vectors by itself, several registers at a time.
//!
//! A loop over numbers that the compiler vectorises has one register of each chain of operations
//! under way, and a sigmoid is a chain of some twenty: most of the time the processor waits for
//! the end of one to begin the next. Four registers side by side fill the time.

use pulp::Simd;

use crate::numbers::{Pair, Register, Run};
use crate::{Level, Numbers, Real};

/// Four registers, which go through equations side by side.
type Four<S, T> = Pair<Pair<Register<S, T>>>;

/// Equations of `CHANGED + READ` numbers at one place, `CHANGED` of which they replace.
///
/// ```
/// use recurrent_kernels::{Elementwise, ElementwiseWork, Level, Numbers, Real, Vectors};
///
/// /// `y = y + a x`
/// struct Axpy;
///
/// impl<T: Real> Elementwise<T, 1, 2> for Axpy {
///     #[inline(always)]
///     fn apply<N: Numbers<Number = T>>(&self, [y]: [N; 1], [a, x]: [N; 2]) -> [N; 1] {
///         [a.mul_add(x, y)]
///     }
/// }
///
/// struct Work<'a>(&'a mut [f32], &'a [f32], &'a [f32]);
///
/// impl ElementwiseWork for Work<'_> {
///     #[inline(always)]
///     fn run<V: Vectors>(self, vectors: V) {
///         vectors.elementwise(&Axpy, [self.0], [self.1, self.2]);
///     }
/// }
///
/// let mut y = [1.0, 2.0, 3.0];
/// Level::detect().run_elementwise(Work(&mut y, &[1.0, 1.0, 2.0], &[0.5; 3]));
/// assert_eq!(y, [1.5, 2.5, 4.0]);
/// ```
pub trait Elementwise<T: Real, const CHANGED: usize, const READ: usize> {
    /// Four registers go side by side, where registers hold several `f32`. That is four times as
    /// much code: where speed matters less, say no.
    const SIDE_BY_SIDE: bool = true;

    /// What becomes of `changed`. Mark it `#[inline(always)]`.
    fn apply<N: Numbers<Number = T>>(&self, changed: [N; CHANGED], read: [N; READ])
    -> [N; CHANGED];
}

/// The vector instructions of a [`Level`], in the hands of an [`ElementwiseWork`].
pub trait Vectors: Copy {
    /// Applies `equations` at every place of vectors that are equally long.
    ///
    /// # Panics
    /// If they are not.
    fn elementwise<
        T: Real,
        E: Elementwise<T, CHANGED, READ>,
        const CHANGED: usize,
        const READ: usize,
    >(
        self,
        equations: &E,
        changed: [&mut [T]; CHANGED],
        read: [&[T]; READ],
    );
}

/// Work that [`Level::run_elementwise`] compiles once for each instruction set; a trait for the
/// reason that [`Vectorized`](crate::Vectorized) gives.
pub trait ElementwiseWork {
    /// Does the work. Mark it `#[inline(always)]`.
    fn run<V: Vectors>(self, vectors: V);
}

impl Level {
    /// Runs `work` with the vector instructions of this level.
    #[inline]
    pub fn run_elementwise<W: ElementwiseWork>(self, work: W) {
        struct Work<W>(W);
        impl<W: ElementwiseWork> pulp::WithSimd for Work<W> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                self.0.run(Instructions(simd));
            }
        }
        self.dispatch(Work(work));
    }
}

#[derive(Clone, Copy)]
struct Instructions<S>(S);

#[cold]
#[track_caller]
fn bad_lengths(changed: &[usize], read: &[usize]) -> ! {
    panic!("vectors of {changed:?} and {read:?} numbers cannot go through equations together");
}

impl<S: Simd> Vectors for Instructions<S> {
    #[inline(always)]
    fn elementwise<
        T: Real,
        E: Elementwise<T, CHANGED, READ>,
        const CHANGED: usize,
        const READ: usize,
    >(
        self,
        equations: &E,
        changed: [&mut [T]; CHANGED],
        read: [&[T]; READ],
    ) {
        let length = changed.first().map_or(0, |first| first.len());
        let fit = changed.iter().all(|one| one.len() == length);
        if !(fit && read.iter().all(|one| one.len() == length)) {
            bad_lengths(&changed.map(|one| one.len()), &read.map(|one| one.len()));
        }
        let mut places = Places {
            changed: changed.map(|one| one.as_mut_ptr()),
            read: read.map(|one| one.as_ptr()),
        };
        let mut left = length;
        // SAFETY: all vectors have `length` numbers, `changed` for writing and, being exclusive
        // borrows, apart from each other and from `read`. `left` of them lie from `places` on: it
        // falls by as many as `places` moves, and each call needs no more.
        unsafe {
            // Constants, so that what is not for these numbers is not compiled.
            if const { E::SIDE_BY_SIDE && Register::<S, T>::LENGTH > 1 && size_of::<T>() == 4 } {
                while left >= Four::<S, T>::LENGTH {
                    places.run::<S, Four<S, T>>(self.0, equations);
                    left -= Four::<S, T>::LENGTH;
                }
            }
            if const { Register::<S, T>::LENGTH > 1 } {
                while left >= Register::<S, T>::LENGTH {
                    places.run::<S, Register<S, T>>(self.0, equations);
                    left -= Register::<S, T>::LENGTH;
                }
            }
            for _ in 0..left {
                places.number(equations);
            }
        }
    }
}

/// Vectors that equations may change, and as many that they may read.
const MOST: usize = 8;

/// Runs `$body` with each `$k` below `$count`, without a loop: compilers unroll long loops only when
/// they are told to optimise for speed alone, and numbers in arrays that are indexed in a loop
/// cannot be kept in registers.
macro_rules! unrolled {
    ($k:ident < $count:expr => $body:expr) => {
        unrolled!($k < $count => $body; 0 1 2 3 4 5 6 7)
    };
    ($k:ident < $count:expr => $body:expr; $($index:literal)+) => {
        const { assert!($count <= MOST, "more vectors than equations may have") };
        $(
            if $index < $count {
                let $k = $index;
                $body
            }
        )+
    };
}

/// Where the numbers of each vector that come next begin.
struct Places<T, const CHANGED: usize, const READ: usize> {
    changed: [*mut T; CHANGED],
    read: [*const T; READ],
}

impl<T: Real, const CHANGED: usize, const READ: usize> Places<T, CHANGED, READ> {
    /// Applies `equations` to a run of each vector, and moves on.
    ///
    /// # Safety
    /// There must be as many numbers, and those of `changed` be writable and nowhere else.
    #[inline(always)]
    unsafe fn run<S: Simd, R: Run<S, Number = T>>(
        &mut self,
        simd: S,
        equations: &impl Elementwise<T, CHANGED, READ>,
    ) {
        let (mut given, mut seen) = ([R::zero(simd); CHANGED], [R::zero(simd); READ]);
        // SAFETY: by the contract; a place moves to the end of what was there at most.
        unsafe {
            unrolled!(k < CHANGED => given[k] = R::read(simd, self.changed[k]));
            unrolled!(k < READ => seen[k] = R::read(simd, self.read[k]));
            let made = equations.apply(given, seen);
            unrolled!(k < CHANGED => made[k].write(self.changed[k]));
        }
        self.advance(R::LENGTH);
    }

    /// Applies `equations` to one number of each vector, and moves on.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    #[inline(always)]
    unsafe fn number(&mut self, equations: &impl Elementwise<T, CHANGED, READ>) {
        let (mut given, mut seen) = ([T::ZERO; CHANGED], [T::ZERO; READ]);
        // SAFETY: by the contract; a place moves to the end of what was there at most.
        unsafe {
            unrolled!(k < CHANGED => given[k] = *self.changed[k]);
            unrolled!(k < READ => seen[k] = *self.read[k]);
            let made = equations.apply(given, seen);
            unrolled!(k < CHANGED => *self.changed[k] = made[k]);
        }
        self.advance(1);
    }

    #[inline(always)]
    fn advance(&mut self, count: usize) {
        unrolled!(k < CHANGED => self.changed[k] = self.changed[k].wrapping_add(count));
        unrolled!(k < READ => self.read[k] = self.read[k].wrapping_add(count));
    }
}
