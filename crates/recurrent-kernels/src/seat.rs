//! Keeping a thread that helps off the processor of who is helped.
//!
//! A system that wakes a thread may put it on the processor of who wakes it, although another one
//! has nothing to do: Linux does in virtual machines, where a processor that sleeps looks like one
//! that the host has taken away. The two threads then take turns on one processor, and wake each
//! other there again and again, for seconds. So before work is handed to a thread that may share
//! the processor of the caller, the caller's processor is taken out of those where the thread may
//! run; as soon as the thread runs again, before it works, it gets it back. No thread is bound to a
//! processor for longer.
//!
//! On other systems than Linux this does nothing.

#[cfg(target_os = "linux")]
pub(crate) use linux::Seat;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::Seat;

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};
    use std::sync::{Mutex, PoisonError};

    use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_getcpu, sched_setaffinity};

    /// No processor: for [`Seat::at`] none that is known.
    const NONE: usize = usize::MAX;

    /// Where a thread runs.
    ///
    /// Nothing but speed depends on it, and where the system refuses, nothing is changed.
    pub(crate) struct Seat {
        /// Its number in the system, once it has begun; 0 before.
        thread: AtomicI32,
        /// The processor on which it was last seen.
        at: AtomicUsize,
        /// The processor that it is kept off.
        off: AtomicUsize,
        changed: Mutex<Changed>,
    }

    /// What a thread's set of processors was before it was kept off one, and what it is since.
    type Changed = Option<(CpuSet, CpuSet)>;

    impl Seat {
        pub(crate) fn new() -> Seat {
            Seat {
                thread: AtomicI32::new(0),
                at: AtomicUsize::new(NONE),
                off: AtomicUsize::new(NONE),
                changed: Mutex::default(),
            }
        }

        /// The thread begins.
        pub(crate) fn begin(&self) {
            self.thread.store(gettid().as_raw_nonzero().get(), Relaxed);
            self.sit();
        }

        /// The thread runs, somewhere.
        pub(crate) fn sit(&self) {
            self.at.store(sched_getcpu(), Relaxed);
            self.settle();
        }

        /// The thread may run everywhere again.
        pub(crate) fn settle(&self) {
            if self.off.load(Relaxed) != NONE {
                // Kept to the end: what is not kept off anything has no changed set.
                let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
                undo(changed.take());
                self.off.store(NONE, Relaxed);
            }
        }

        /// Where the thread will run next is for the system to say.
        pub(crate) fn rise(&self) {
            self.at.store(NONE, Relaxed);
        }

        /// Keeps the thread off the caller's processor until it [settles](Self::settle), if it may
        /// be there.
        pub(crate) fn keep_apart(&self) {
            let (here, at) = (sched_getcpu(), self.at.load(Relaxed));
            if (at == here || at == NONE) && self.off.load(Relaxed) != here {
                self.keep_off(here);
            }
        }

        #[cold]
        fn keep_off(&self, here: usize) {
            let Some(thread) = Pid::from_raw(self.thread.load(Relaxed)) else { return };
            // Who has the lock at this moment is the thread itself, which therefore runs.
            let Ok(mut changed) = self.changed.try_lock() else { return };
            // Also where nothing can be done: it is not tried again before the thread runs.
            self.off.store(here, Relaxed);
            let Ok(now) = sched_getaffinity(Some(thread)) else { return };
            // What somebody else has changed meanwhile is where it may run.
            let before =
                changed.filter(|&(_, since)| since == now).map_or(now, |(before, _)| before);
            if here >= CpuSet::MAX_CPU || !before.is_set(here) || before.count() < 2 {
                return;
            }
            let mut others = before;
            others.unset(here);
            if sched_setaffinity(Some(thread), &others).is_ok() {
                *changed = Some((before, others));
            }
        }

        /// Where the system lets the thread run now.
        #[cfg(test)]
        pub(crate) fn may_run(&self) -> CpuSet {
            sched_getaffinity(Pid::from_raw(self.thread.load(Relaxed))).unwrap()
        }
    }

    /// Gives the calling thread back the set that it had, unless somebody else changed it.
    fn undo(changed: Changed) {
        let Some((before, since)) = changed else { return };
        let own = || sched_getaffinity(None);
        if own().is_ok_and(|now| now == since) {
            // A thread that nobody has bound must go on following the program's set. It is one if
            // it may run just there when it is told to run everywhere.
            let _ = sched_setaffinity(None, &everywhere());
            if own().is_ok_and(|now| now != before) {
                let _ = sched_setaffinity(None, &before);
            }
        }
    }

    /// All processors that there could be.
    fn everywhere() -> CpuSet {
        let mut set = CpuSet::new();
        (0..CpuSet::MAX_CPU).for_each(|processor| set.set(processor));
        set
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::sync::mpsc::channel;
        use std::thread;

        /// A thread that sits when it is told to, and what the system says about it.
        fn with_thread(test: impl FnOnce(&Seat, &dyn Fn(), &dyn Fn() -> CpuSet)) {
            let seat = Seat::new();
            let (tell, told) = channel::<()>();
            let (say, said) = channel::<()>();
            thread::scope(|scope| {
                let seat = &seat;
                scope.spawn(move || {
                    seat.begin();
                    say.send(()).unwrap();
                    while told.recv().is_ok() {
                        seat.sit();
                        say.send(()).unwrap();
                    }
                });
                said.recv().unwrap();
                let sit = || {
                    tell.send(()).unwrap();
                    said.recv().unwrap();
                };
                let may_run =
                    || sched_getaffinity(Pid::from_raw(seat.thread.load(Relaxed))).unwrap();
                test(seat, &sit, &may_run);
                drop(tell);
            });
        }

        #[test]
        fn who_may_share_a_processor_is_kept_off_it_until_it_sits() {
            with_thread(|seat, sit, may_run| {
                let all = may_run();
                if all.count() < 2 {
                    return;
                }
                for here in (0..CpuSet::MAX_CPU).filter(|&here| all.is_set(here)) {
                    seat.keep_off(here);
                    let mut others = all;
                    others.unset(here);
                    assert_eq!(may_run(), others);
                }
                sit();
                assert_eq!(may_run(), all);
                assert_ne!(seat.at.load(Relaxed), NONE);
            });
        }

        #[test]
        fn only_who_may_be_here_is_kept_apart() {
            with_thread(|seat, sit, may_run| {
                let all = may_run();
                // Far away from every processor there is.
                seat.at.store(NONE - 1, Relaxed);
                seat.keep_apart();
                assert_eq!(may_run(), all);
                seat.rise();
                seat.keep_apart();
                let lost = u32::from(all.count() > 1);
                assert_eq!(may_run().count(), all.count() - lost);
                sit();
                assert_eq!(may_run(), all);
            });
        }

        #[test]
        fn a_thread_that_has_one_processor_keeps_it() {
            with_thread(|seat, sit, may_run| {
                let all = may_run();
                let here = (0..).find(|&here| all.is_set(here)).unwrap();
                let mut one = CpuSet::new();
                one.set(here);
                sched_setaffinity(Pid::from_raw(seat.thread.load(Relaxed)), &one).unwrap();
                seat.keep_off(here);
                assert_eq!(may_run(), one);
                sit();
                assert_eq!(may_run(), one);
            });
        }

        #[test]
        fn who_was_bound_meanwhile_stays_bound() {
            with_thread(|seat, sit, may_run| {
                let all = may_run();
                let here = (0..).find(|&here| all.is_set(here)).unwrap();
                let mut one = CpuSet::new();
                one.set(here);
                let bind = || {
                    sched_setaffinity(Pid::from_raw(seat.thread.load(Relaxed)), &one).unwrap();
                };
                seat.keep_off(here);
                bind();
                sit();
                assert_eq!(may_run(), one);
                // Also if another caller would keep it off another processor then.
                sched_setaffinity(Pid::from_raw(seat.thread.load(Relaxed)), &all).unwrap();
                seat.keep_off(here);
                bind();
                seat.keep_off(here + 1);
                sit();
                assert_eq!(may_run(), one);
            });
        }

        #[test]
        fn before_a_thread_has_begun_nobody_is_moved() {
            let seat = Seat::new();
            let all = sched_getaffinity(None).unwrap();
            seat.keep_apart();
            assert_eq!(sched_getaffinity(None).unwrap(), all);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    /// Where a thread runs, of which nothing is known.
    pub(crate) struct Seat;

    impl Seat {
        pub(crate) fn new() -> Seat {
            Seat
        }
        pub(crate) fn begin(&self) {}
        pub(crate) fn sit(&self) {}
        pub(crate) fn settle(&self) {}
        pub(crate) fn rise(&self) {}
        pub(crate) fn keep_apart(&self) {}
    }
}
