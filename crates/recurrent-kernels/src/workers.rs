//! Threads that help: of two pieces of work, one is given to a thread that has nothing to do.
//!
//! The pieces here take microseconds, hundreds of thousands of times in a row: half of a product at
//! every step of a sequence. So the way there and back must take less than one. A worker that has
//! finished looks for more work in a loop for a while before it sleeps; what is handed over lies on
//! the caller's stack; and nobody waits for a worker that has not begun: the caller takes the work
//! back and does it itself. Therefore any number of threads can share workers, pieces can be
//! divided again, and nothing can wait in a circle.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use crate::seat::Seat;

/// How often a thread looks before it sleeps: some 100 microseconds, about twice as long as it
/// takes to be woken.
const LOOKS: u32 = 5000;
/// How often it looks before it says again where it runs: one or two microseconds.
const LOOKS_IN_SEAT: u32 = 64;

/// Nobody uses the worker. It looks for work, or sleeps.
const FREE: u32 = 0;
/// One caller has it for itself, and nothing is handed over.
const CLAIMED: u32 = 1;
/// Work is handed over and not begun.
const READY: u32 = 2;
/// The worker works.
const RUNNING: u32 = 3;
/// The work is done, and its result is where the caller reads it.
const DONE: u32 = 4;

/// Threads that wait for work. They end with this value.
pub(crate) struct Workers {
    posts: Arc<Posts>,
    threads: Vec<JoinHandle<()>>,
}

struct Posts {
    posts: Vec<Post>,
    /// The threads shall end.
    over: AtomicBool,
}

/// Where one worker is given its work. Apart from its neighbours in memory, because two threads
/// look at it in a loop.
#[repr(align(128))]
struct Post {
    state: AtomicU32,
    /// Belongs to the caller while CLAIMED or DONE, and to the worker while RUNNING.
    work: UnsafeCell<Work>,
    /// The worker sleeps, or is about to.
    asleep: AtomicBool,
    /// The caller sleeps, or is about to.
    waits: AtomicBool,
    /// Who is to be woken when the work is done.
    caller: Mutex<Option<Thread>>,
    /// Where the worker runs.
    seat: Seat,
}

/// A function of one argument that lies on the caller's stack.
#[derive(Clone, Copy)]
struct Work {
    run: unsafe fn(*const ()),
    on: *const (),
}

// SAFETY: the only part that is not `Sync` by itself is `work`. The states give it to one thread at
// a time: it is written by the one caller whose exchange made FREE into CLAIMED and read by the
// worker whose exchange made READY into RUNNING; a store or exchange of the state with release order
// stands behind every use, and a load or exchange with acquire order before the next thread's. What
// `Work` points to may go to another thread because `Workers::join` asks for `Send`.
unsafe impl Sync for Post {}
// SAFETY: as above; a post that nobody uses holds a pointer that nobody follows.
unsafe impl Send for Post {}

/// The second piece of work and what came of it, on the stack of who waits for it.
struct Piece<B, R> {
    task: UnsafeCell<Option<B>>,
    result: UnsafeCell<Option<Result<R, Box<dyn Any + Send>>>>,
}

impl<B: FnOnce() -> R, R> Piece<B, R> {
    /// Does the work of the piece at `on`, once.
    ///
    /// # Safety
    /// `on` must point to a `Piece<B, R>` that nobody else uses until this returns.
    unsafe fn run(on: *const ()) {
        // SAFETY: by the contract.
        let piece = unsafe { &*on.cast::<Self>() };
        // SAFETY: nobody else uses the piece, and no reference to its inside is kept.
        unsafe {
            let task = (*piece.task.get()).take().expect("work is begun once");
            *piece.result.get() = Some(catch_unwind(AssertUnwindSafe(task)));
        }
    }
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// The system's reason, if it gives no more threads; those that began have ended again.
    pub(crate) fn start(count: usize) -> std::io::Result<Workers> {
        let posts = (0..count).map(|_| Post::new()).collect();
        let posts = Arc::new(Posts { posts, over: AtomicBool::new(false) });
        let mut workers = Workers { posts: Arc::clone(&posts), threads: Vec::with_capacity(count) };
        for index in 0..count {
            let posts = Arc::clone(&posts);
            let builder = thread::Builder::new().name(format!("recurrent-{}", index + 1));
            workers.threads.push(builder.spawn(move || posts.posts[index].help(&posts.over))?);
        }
        Ok(workers)
    }

    /// Does both, at the same time if a worker is free. A panic of either goes on here, once
    /// nobody works any more.
    pub(crate) fn join<A, B: Send>(
        &self,
        a: impl FnOnce() -> A,
        b: impl FnOnce() -> B + Send,
    ) -> (A, B) {
        let Some((index, post)) = self.claim() else { return (a(), b()) };
        let piece = Piece { task: UnsafeCell::new(Some(b)), result: UnsafeCell::new(None) };
        // Behind this line the piece belongs to the worker until `given` gives it back. It does so
        // when it goes out of scope, too: no unwinding leaves a worker with what is gone.
        let mut given = Given { post, over: false };
        // SAFETY: `piece` outlives `given`, which ends only with the worker's work or before it
        // began; and `work_of` makes the function for the type of this piece.
        unsafe { post.give(work_of(&piece), self.threads[index].thread()) };
        let a = a();
        let was_done = given.end();
        drop(given);
        match was_done {
            true => match piece.result.into_inner().expect("done means that there is a result") {
                Ok(b) => (a, b),
                Err(panic) => resume_unwind(panic),
            },
            false => {
                let b = piece.task.into_inner().expect("what was not begun is still there");
                (a, b())
            }
        }
    }

    /// Whether a worker is free and not asleep.
    pub(crate) fn is_awake(&self) -> bool {
        let free = |post: &Post| post.state.load(Relaxed) == FREE && !post.asleep.load(Relaxed);
        self.posts.posts.iter().any(free)
    }

    /// A worker that nobody uses, for this caller alone.
    fn claim(&self) -> Option<(usize, &Post)> {
        self.posts.posts.iter().enumerate().find(|(_, post)| {
            post.state.load(Relaxed) == FREE
                && post.state.compare_exchange(FREE, CLAIMED, Acquire, Relaxed).is_ok()
        })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.posts.over.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // It catches what its work panics with, so it has ended as told.
            let _ = thread.join();
        }
    }
}

fn work_of<B: FnOnce() -> R + Send, R: Send>(piece: &Piece<B, R>) -> Work {
    Work { run: Piece::<B, R>::run, on: std::ptr::from_ref(piece).cast() }
}

/// Work that a worker has, until it is done or taken back.
struct Given<'p> {
    post: &'p Post,
    over: bool,
}

impl Given<'_> {
    /// Whether the worker has done the work; otherwise it never begins, and the caller has it back.
    fn end(&mut self) -> bool {
        if std::mem::replace(&mut self.over, true) {
            return false;
        }
        let post = self.post;
        let taken_back = post.state.compare_exchange(READY, CLAIMED, Acquire, Relaxed).is_ok();
        if taken_back {
            // It may wait for the processor on which its caller worked.
            post.seat.rise();
        } else {
            post.wait();
        }
        post.state.store(FREE, Release);
        !taken_back
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Post {
    fn new() -> Post {
        unsafe fn nothing(_: *const ()) {}
        Post {
            state: AtomicU32::new(FREE),
            work: UnsafeCell::new(Work { run: nothing, on: std::ptr::null() }),
            asleep: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            caller: Mutex::new(None),
            seat: Seat::new(),
        }
    }

    /// Hands `work` to the worker, `thread`.
    ///
    /// # Safety
    /// The caller must have claimed this post, and what `work` points to must be the worker's alone
    /// until the state is DONE, or READY was made into CLAIMED again.
    unsafe fn give(&self, work: Work, thread: &Thread) {
        // SAFETY: the state is CLAIMED, and only the caller uses `work` then.
        unsafe { *self.work.get() = work };
        self.seat.keep_apart();
        // Either this sees that the worker sleeps, or the worker sees this before it does: both
        // write and then read, in one order for all threads.
        self.state.store(READY, SeqCst);
        if self.asleep.load(SeqCst) {
            thread.unpark();
        }
    }

    /// Returns when the worker has done its work.
    fn wait(&self) {
        for _ in 0..LOOKS {
            if self.state.load(Acquire) == DONE {
                return;
            }
            std::hint::spin_loop();
        }
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current());
        self.waits.store(true, SeqCst);
        while self.state.load(SeqCst) != DONE {
            thread::park();
        }
        self.waits.store(false, Relaxed);
    }

    /// What a worker does all its life.
    fn help(&self, over: &AtomicBool) {
        let mut looks = 0;
        self.seat.begin();
        while !over.load(Relaxed) {
            if self.state.load(Relaxed) == READY
                && self.state.compare_exchange(READY, RUNNING, Acquire, Relaxed).is_ok()
            {
                self.seat.settle();
                self.work();
                looks = 0;
            } else if looks < LOOKS {
                if looks.is_multiple_of(LOOKS_IN_SEAT) {
                    self.seat.sit();
                }
                looks += 1;
                std::hint::spin_loop();
            } else {
                self.seat.rise();
                self.asleep.store(true, SeqCst);
                while self.state.load(SeqCst) != READY && !over.load(SeqCst) {
                    // Work may have been taken back before it began, here and while it slept.
                    self.seat.settle();
                    thread::park();
                    self.seat.settle();
                }
                self.asleep.store(false, SeqCst);
                self.seat.sit();
                looks = 0;
            }
        }
    }

    /// Does the work that was handed over, and says so.
    fn work(&self) {
        // SAFETY: the state is RUNNING, and only the worker uses `work` then. What it points to is
        // alive and the worker's alone until the state is DONE, by the contract of `give`.
        unsafe {
            let Work { run, on } = *self.work.get();
            run(on);
        }
        // Behind this line the caller may be gone with its stack; the post stays. Either the caller
        // sees that it is done before it sleeps, or this sees that it waits.
        self.state.store(DONE, SeqCst);
        if self.waits.load(SeqCst)
            && let Some(caller) = &*self.caller.lock().unwrap_or_else(PoisonError::into_inner)
        {
            caller.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sum(workers: &Workers, numbers: &[u64], least: usize) -> u64 {
        if numbers.len() <= least {
            return numbers.iter().sum();
        }
        let (left, right) = numbers.split_at(numbers.len() / 2);
        let (a, b) = workers.join(|| sum(workers, left, least), || sum(workers, right, least));
        a + b
    }

    #[test]
    fn pieces_of_pieces_are_all_done_by_any_number_of_threads() {
        let numbers: Vec<u64> = (0..1000).collect();
        for count in [0, 1, 2, 5] {
            let workers = Workers::start(count).unwrap();
            // Several callers share the workers.
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for _ in 0..300 {
                            assert_eq!(sum(&workers, &numbers, 10), 499_500);
                        }
                    });
                }
            });
        }
    }

    /// Waits until another thread has set it.
    fn await_set(flag: &AtomicBool) {
        for _ in 0..10_000 {
            if flag.load(SeqCst) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("no other thread began within ten seconds");
    }

    #[test]
    fn workers_that_sleep_and_callers_that_wait_are_woken() {
        let workers = Workers::start(1).unwrap();
        for pause in [0, 1, 5, 20] {
            // The worker has slept, and then takes longer than the caller looks.
            thread::sleep(Duration::from_millis(pause));
            let began = AtomicBool::new(false);
            let (me, other) = workers.join(
                || {
                    await_set(&began);
                    thread::current().id()
                },
                || {
                    began.store(true, SeqCst);
                    thread::sleep(Duration::from_millis(30));
                    thread::current().id()
                },
            );
            assert_eq!(me, thread::current().id());
            assert_ne!(me, other);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_worker_works_where_it_may_always_run() {
        use rustix::thread::sched_getaffinity;
        let workers = Workers::start(1).unwrap();
        let all = sched_getaffinity(None).unwrap();
        for turn in 0..60 {
            if turn % 20 == 0 {
                // It sleeps, and then it does not.
                thread::sleep(Duration::from_millis(20));
            }
            // It may be on this processor.
            workers.posts.posts[0].seat.rise();
            let began = AtomicBool::new(false);
            let ((), may_run) = workers.join(
                // Long enough for the worker to begin, and short if it cannot.
                || {
                    (0..5_000_000).take_while(|_| !began.load(SeqCst)).for_each(|_| {
                        std::hint::spin_loop();
                    });
                },
                || {
                    began.store(true, SeqCst);
                    sched_getaffinity(None).unwrap()
                },
            );
            assert_eq!(may_run, all);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_worker_whose_work_was_taken_back_may_run_everywhere_again() {
        let workers = Workers::start(1).unwrap();
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(10));
            workers.join(|| (), || ());
            let may_run = || workers.posts.posts[0].seat.may_run();
            let soon = (0..10_000).any(|_| {
                thread::sleep(Duration::from_millis(1));
                may_run() == rustix::thread::sched_getaffinity(None).unwrap()
            });
            assert!(soon, "{:?}", may_run());
        }
    }

    #[test]
    fn what_nobody_else_can_begin_is_done_on_the_spot() {
        let workers = Workers::start(1).unwrap();
        let began = AtomicBool::new(false);
        // The only worker divides its piece once more, and nobody is left for the second part.
        let (_, (first, second)) = workers.join(
            || await_set(&began),
            || {
                began.store(true, SeqCst);
                workers.join(|| thread::current().id(), || thread::current().id())
            },
        );
        assert_eq!(first, second);
        assert_ne!(first, thread::current().id());
    }

    #[test]
    fn a_panic_of_either_arrives_when_nobody_works_any_more() {
        let workers = Workers::start(1).unwrap();
        for (first, second) in [(true, false), (false, true), (true, true)] {
            let (began, ended) = (AtomicBool::new(false), AtomicBool::new(false));
            let panic = catch_unwind(AssertUnwindSafe(|| {
                workers.join(
                    || {
                        await_set(&began);
                        assert!(!first, "first");
                    },
                    || {
                        began.store(true, SeqCst);
                        thread::sleep(Duration::from_millis(20));
                        ended.store(true, SeqCst);
                        assert!(!second, "second");
                    },
                )
            }));
            let text = *panic.unwrap_err().downcast_ref::<&str>().unwrap();
            assert_eq!(text, if first { "first" } else { "second" });
            assert!(ended.load(SeqCst));
        }
        // And it goes on helping.
        assert_eq!(workers.join(|| 1, || 2), (1, 2));
    }
}
