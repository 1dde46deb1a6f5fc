//! A run's files and its reports: metrics cut at a checkpoint, plain progress lines, Ctrl-C.

use recurrent::run::saver::Snapshot;
use recurrent::run::{MetricsLog, Saver};
use recurrent_checkpoint::{Checkpoint, Lock, Store, StoreError};
use serde::Serialize;
use std::fs;

#[derive(Serialize)]
struct Line {
    step: u32,
    loss: f64,
}

fn line(step: u32) -> Line {
    Line { step, loss: 1.5 }
}

#[test]
fn a_resumed_log_has_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let mut log = MetricsLog::create(&path).unwrap();
    log.write(&line(1)).unwrap();
    let at_checkpoint = log.length();
    log.to_sync().sync().unwrap();
    assert_eq!(at_checkpoint, fs::metadata(&path).unwrap().len(), "written at once");
    log.write(&line(2)).unwrap();
    drop(log);

    let mut log = MetricsLog::resume(&path, at_checkpoint, 1).unwrap();
    assert_eq!((log.length(), log.missing()), (at_checkpoint, 0));
    assert_eq!(fs::metadata(&path).unwrap().len(), at_checkpoint, "cut before a line is written");
    log.write(&line(2)).unwrap();
    log.write(&Line { step: 3, loss: f64::NAN }).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "{\"step\":1,\"loss\":1.5}\n{\"step\":2,\"loss\":1.5}\n{\"step\":3,\"loss\":null}\n"
    );
    assert_eq!(log.length(), text.len() as u64);
}

#[test]
fn a_log_that_lost_lines_goes_on_after_its_last_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    fs::write(&path, "{\"step\":1}\n{\"st").unwrap();
    let mut log = MetricsLog::resume(&path, 30, 9).unwrap();
    assert_eq!((log.length(), log.missing()), (11, 19));
    log.write(&line(2)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"step\":1}\n{\"step\":2,\"loss\":1.5}\n");

    fs::remove_file(&path).unwrap();
    let log = MetricsLog::resume(&path, 30, 9).unwrap();
    assert_eq!((log.length(), log.missing()), (0, 30));
}

/// Lines were lost, a run went on, and now goes on from a checkpoint before the loss: the bytes
/// that it counts on are others, of steps that it takes again.
#[test]
fn lines_of_later_steps_that_moved_to_the_front_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    let lines = "not of ours\n{\"step\":50}\n{\"step\":100}\n{\"step\":60}\n";
    for (step, kept) in [(49, 12), (50, 24), (99, 24), (100, lines.len())] {
        fs::write(&path, lines).unwrap();
        let log = MetricsLog::resume(&path, 1000, step).unwrap();
        assert_eq!(log.length(), kept as u64, "{step}");
        assert_eq!(fs::read_to_string(&path).unwrap(), lines[..kept]);
    }
}

/// A snapshot of a step for a log with nothing in it.
fn snapshot(step: u64, is_best: bool) -> Snapshot {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("number", &[], [step]);
    Snapshot { step, checkpoint, is_best, metrics: MetricsLog::in_memory().to_sync() }
}

#[test]
fn a_saver_saves_beside_its_caller_and_says_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut saver = Saver::new(store.writer(Lock::acquire(folder.path()).unwrap(), 2, 0).unwrap());
    assert!(saver.poll().is_none() && saver.wait().is_none());
    assert!(saver.save(snapshot(1, true)).is_none());
    let first = saver.save(snapshot(2, false)).expect("the first ends before the second begins");
    assert!(first.step == 1 && first.result.is_ok());
    let second = saver.wait().unwrap();
    assert!(second.step == 2 && second.result.is_ok());
    assert!(saver.poll().is_none() && saver.wait().is_none());
    assert_eq!(store.steps().unwrap(), [1, 2]);
    // What is under way when it is dropped is saved.
    saver.save(snapshot(3, false));
    drop(saver);
    assert_eq!((store.newest().unwrap().step, store.best().unwrap().step), (3, 1));
    assert!(Lock::acquire(folder.path()).is_ok(), "the lock is held on");
}

#[test]
fn a_best_state_that_could_not_be_saved_is_saved_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path());
    let mut saver = Saver::new(store.writer(Lock::acquire(folder.path()).unwrap(), 2, 0).unwrap());
    let mut save = |step, is_best| {
        saver.save(snapshot(step, is_best));
        saver.wait().unwrap().result.is_ok()
    };
    fs::create_dir(store.best_path()).unwrap();
    assert!(!save(1, true));
    // Without its best no later state is saved, which would count on it.
    assert!(!save(2, false));
    assert!(matches!(store.newest(), Err(StoreError::NothingWhole { .. })));
    fs::remove_dir(store.best_path()).unwrap();
    assert!(save(3, false));
    assert_eq!((store.newest().unwrap().step, store.best().unwrap().step), (3, 1));

    // A place that stays blocked holds up no other.
    fs::create_dir(store.step_path(4)).unwrap();
    assert!(!save(4, true));
    assert!(save(5, false));
    assert_eq!((store.newest().unwrap().step, store.best().unwrap().step), (5, 4));
}

#[cfg(target_os = "linux")]
#[test]
fn lines_that_cannot_be_written_wait_and_come_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    // A disk that is always full.
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut log = MetricsLog::create(&path).unwrap();
    log.write(&line(1)).unwrap();
    log.write(&line(2)).unwrap();
    let error = log.to_sync().sync().unwrap_err();
    assert!(error.to_string().ends_with("metrics.jsonl: cannot write a line"), "{error}");
    assert_eq!(log.waiting(), b"{\"step\":1,\"loss\":1.5}\n{\"step\":2,\"loss\":1.5}\n");
    assert_eq!(log.length(), log.waiting().len() as u64);
}

#[test]
fn a_folder_or_a_pipe_in_the_place_of_a_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    fs::create_dir(&path).unwrap();
    for error in [
        MetricsLog::resume(&path, 9, 9).map(drop).unwrap_err(),
        MetricsLog::extent(&path).map(drop).unwrap_err(),
        MetricsLog::kept(&path, 9, 9).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.source.to_string(), "not a regular file");
    }
}

#[test]
fn a_log_that_cannot_be_made_names_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = MetricsLog::create(folder.path().join("no/metrics.jsonl")).unwrap_err();
    assert!(error.to_string().ends_with("no/metrics.jsonl: cannot create the file"), "{error}");
}

#[cfg(feature = "cli")]
mod command_line {
    use recurrent::run::{Interrupt, Progress, interrupt::EXIT_CODE};
    use std::{
        env,
        io::{self, BufRead, BufReader, Write},
        process::{Command, Stdio},
        sync::{Arc, Mutex},
        thread,
        time::Duration,
    };

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn plain_lines_are_few() {
        let sink = Sink::default();
        let mut progress = Progress::lines_to(sink.clone());
        progress.start(100, 40, "tokens");
        (0..50).for_each(|_| progress.step(2.0, 10));
        progress.message("epoch 1: loss 2.0");
        progress.finish();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "no line for each step: {text}");
        assert_eq!(lines[0], "epoch 1: loss 2.0");
        assert!(lines[1].starts_with("step 90/100: loss 2.0000, "), "{text}");
    }

    const CHILD: &str = "RECURRENT_TEST_INTERRUPT_CHILD";

    /// Started by itself it does nothing; the test below starts it in a process of its own.
    #[test]
    fn interrupted_child() {
        if env::var_os(CHILD).is_none() {
            return;
        }
        let interrupt = Interrupt::install().unwrap();
        assert!(!interrupt.is_requested());
        assert!(Interrupt::install().is_err(), "Ctrl-C is taken over once");
        writeln!(io::stderr(), "ready").unwrap();
        for _ in 0..1000 {
            thread::sleep(Duration::from_millis(10));
            if interrupt.is_requested() {
                writeln!(io::stderr(), "requested").unwrap();
                thread::sleep(Duration::from_secs(10));
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_first_press_asks_and_the_second_exits() {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["command_line::interrupted_child", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let id = child.id().to_string();
        let press =
            || assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "ready"));
        press();
        let message = "finishing the step, then saving; press again to stop at once";
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let line = lines.next().expect("the child speaks before it ends");
            seen.extend([line].into_iter().filter(|line| line == message || line == "requested"));
        }
        seen.sort();
        assert_eq!(seen, [message, "requested"]);
        press();
        assert_eq!(child.wait().unwrap().code(), Some(EXIT_CODE));
    }
}
