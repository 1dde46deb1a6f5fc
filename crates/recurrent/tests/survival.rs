//! Runs that are killed again and again, and runs on a disk that fills up: they end with the bytes of
//! a run that met nothing.

#![cfg(all(feature = "cli", unix))]

#[path = "support/place.rs"]
mod place;

use std::{
    env, fs,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use place::{ALL, Place, assert_one_line, text};

/// Epochs of six steps, each of which leaves a line in the metrics.
const TRAIN: &str = "train language-model --data text.txt --hidden-size 8 --num-layers 2 \
                     --dropout 0.3 --batch-size 4 --sequence-length 16 --learning-rate 0.01 \
                     --threads 1 --checkpoint-every 2";

fn place() -> Place {
    let place = Place::new();
    place.write("text.txt", text(400));
    place
}

fn tell(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Nothing is left of a save that was stopped.
fn assert_clean(place: &Place, run: &str) {
    for entry in fs::read_dir(place.path(run)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".saving"), "{run}/{name} is left");
    }
}

/// Numbers in no order, for moments.
struct Moments(u32);

impl Moments {
    /// A time up to `most`.
    fn next(&mut self, most: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        most.mul_f64(f64::from(self.0) / f64::from(u32::MAX))
    }
}

/// Kills a training this often, at moments in no order, and lets it go on each time. A run that
/// comes to its end in between is compared with one that was never killed, and another begins.
fn killed_again_and_again(count: u32) {
    let began = Instant::now();
    let place = place();
    let whole = Instant::now();
    place.done(&format!("{TRAIN} --epochs 20 --out whole"));
    let whole = whole.elapsed();
    // Neither so early that nothing is ever saved, nor so late that every run comes to its end.
    let (mut moments, mut most) = (Moments(count), whole / 4);
    let (mut ended, mut saved, mut before_any) = (0, 0, 0);
    let arguments = || {
        let steps = fs::read_dir(place.path("run")).into_iter().flatten();
        let names = steps.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // A run that has saved nothing makes way for a new one.
        match names.filter(|name| name.ends_with(".ckpt")).count() {
            0 => format!("{TRAIN} --epochs 20 --out run"),
            _ => "resume run".to_owned(),
        }
    };
    let compare = || {
        place.assert_equal_runs("whole", "run", &ALL);
        assert_clean(&place, "run");
    };
    let mut killed = 0;
    while killed < count {
        let arguments = arguments();
        let mut child = start(place.command(&arguments));
        thread::sleep(moments.next(most));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            killed += 1;
            saved += u32::from(arguments.starts_with("resume"));
            before_any += u32::from(!arguments.starts_with("resume"));
        }
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        match output.status.code() {
            None if arguments.starts_with("resume") => {}
            None => most = most.mul_f64(1.2),
            Some(0) => {
                compare();
                fs::remove_dir_all(place.path("run")).unwrap();
                ended += 1;
                most = most.mul_f64(0.7);
            }
            // It was killed behind its last save, and there is nothing more to do.
            Some(2) if stderr.contains("the run is finished after") => {
                compare();
                fs::remove_dir_all(place.path("run")).unwrap();
                ended += 1;
            }
            code => panic!("{arguments}: {code:?}: {stderr}"),
        }
    }
    let last = place.run(&arguments());
    let over = last.code == Some(2) && last.stderr.contains("the run is finished after");
    assert!(last.code == Some(0) || over, "{}", last.stderr);
    compare();
    tell(&format!(
        "killed {killed} times ({before_any} in a run that had saved nothing, {saved} after a \
         resume), {} runs came to their end, in {:.1} s",
        ended + 1,
        began.elapsed().as_secs_f64()
    ));
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    killed_again_and_again(20);
}

#[cfg_attr(torture, test)]
#[cfg_attr(not(torture), allow(dead_code))]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bytes_however_often() {
    killed_again_and_again(200);
}

/// A start that was killed while it wrote its options left a folder that is no run yet, and nothing
/// that the next start would have to be forced over.
#[test]
fn a_start_that_was_killed_at_its_options_makes_way() {
    let place = place();
    fs::create_dir(place.path("run")).unwrap();
    place.write("run/writer.lock", "");
    place.write("run/config.toml.saving", "task = \"language-");
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    assert_clean(&place, "run");

    // Also behind a run that went on.
    place.write("run/config.toml.saving", "task = \"language-");
    place.done("resume run --epochs 2");
    assert_clean(&place, "run");
}

/// A start over an old run that has no room for its options leaves the old run whole; a person's own
/// files stay in any case.
#[test]
fn a_start_that_failed_over_an_old_run_leaves_it() {
    let place = place();
    place.done(&format!("{TRAIN} --epochs 1 --out run"));
    place.write("run/notes.txt", "my own");
    let files = || ALL.map(|file| place.read_of_run("run", file));
    let before = files();
    fs::create_dir(place.path("run/config.toml.saving")).unwrap();
    let ended = place.run(&format!("{TRAIN} --epochs 1 --seed 2 --force --out run"));
    assert_one_line(&ended.stderr, "config.toml.saving: cannot write the file");
    assert!(files() == before, "a start that failed changed the old run");
    fs::remove_dir(place.path("run/config.toml.saving")).unwrap();
    place.done("resume run --epochs 2");
    place.done(&format!("{TRAIN} --epochs 1 --force --out run"));
    assert!(files() == before, "equal runs write equal bytes");
    assert_eq!(place.read("run/notes.txt"), b"my own");
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The name of the small file system, below the folder that the child works in.
const SMALL: &str = "small";

/// Runs a test that is a part of this one in a namespace of its own, where a file system of 200 KiB
/// is at `small`. The rest of the machine does not see it. Without the right to do so it says so.
fn on_a_small_disk(child: &str) {
    let place = place();
    fs::create_dir(place.path(SMALL)).unwrap();
    let mount = "mount -t tmpfs -o size=200k tmpfs small";
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script]).current_dir(place.path("."));
        command
    };
    let can = unshare(mount).stderr(Stdio::null()).status();
    if !can.is_ok_and(|status| status.success()) {
        tell(&format!("{child}: not run, for want of unshare, or of the right to use it"));
        return;
    }
    // This executable, asked for one of its tests: no secret of the environment is read.
    let own = env::current_exe().unwrap();
    let mut command = unshare(&format!("{mount} && exec \"$0\" \"$@\""));
    command.arg(own).args(["--exact", child, "--nocapture"]);
    let output = command.output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
    let told = stderr.lines().find(|line| line.starts_with("full disk: "));
    tell(told.unwrap_or_else(|| panic!("{child} did nothing: {stderr}")));
}

/// The place of [`on_a_small_disk`], or none where somebody runs every test.
fn small_place() -> Option<Place> {
    let folder = env::current_dir().unwrap();
    let is_mounted = fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| {
        mounts.lines().any(|line| line.split(' ').nth(1) == folder.join(SMALL).to_str())
    });
    is_mounted.then(|| Place::at(folder))
}

/// What the program says on stderr, line by line.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || {
        stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    receiver
}

/// Takes all the room that there is.
fn fill(place: &Place) {
    let file = File::options().append(true).create(true).open(place.path("small/fill"));
    let Ok(mut file) = file else { return };
    while file.write_all(&[0; 512]).is_ok() {}
}

/// Waits until a file has this many bytes.
fn wait_for(child: &mut Child, what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {what}");
        assert!(began.elapsed() < Duration::from_secs(120), "no {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The room that a page of the file system gives.
const PAGE: u64 = 4096;

/// Trains at `small/run` until the disk has been full for so long that a line of the metrics was
/// torn at the end of a page.
fn train_until_torn(place: &Place, epochs: u64) -> (Child, Receiver<String>) {
    let mut child = start(place.command(&format!("{TRAIN} --epochs {epochs} --out small/run")));
    let said = lines(&mut child);
    wait_for(&mut child, "two epochs", || {
        let metrics = fs::read_to_string(place.path("small/run/metrics.jsonl"));
        metrics.is_ok_and(|metrics| metrics.lines().count() >= 2)
    });
    let metrics = place.path("small/run/metrics.jsonl");
    wait_for(&mut child, "a torn line", || {
        fill(place);
        let length = length(&metrics);
        length > 0 && length.is_multiple_of(PAGE)
    });
    (child, said)
}

const EPOCHS: u64 = 100;

#[test]
fn a_disk_that_is_full_for_a_while_changes_nothing() {
    on_a_small_disk("child_is_full_for_a_while");
}

#[test]
// A part of the test above, in a namespace of its own; alone it does nothing.
fn child_is_full_for_a_while() {
    let Some(place) = small_place() else { return };
    let began = Instant::now();
    place.done(&format!("{TRAIN} --epochs {EPOCHS} --out whole"));
    let (mut child, said) = train_until_torn(&place, EPOCHS);
    // It goes on, and says so each time.
    let mut warnings = 0;
    while warnings < 20 {
        let line = said.recv_timeout(Duration::from_secs(60)).expect("a warning");
        warnings += u32::from(line.starts_with("warning: cannot save small/run/"));
        if line.starts_with("warning: ") {
            assert!(line.contains("; the next save tries again"), "{line}");
        }
    }
    fs::remove_file(place.path("small/fill")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    place.assert_equal_runs("whole", "small/run", &ALL);
    assert_clean(&place, "small/run");
    warnings += said.iter().filter(|line| line.starts_with("warning: ")).count() as u32;
    tell(&format!("full disk: {warnings} warnings, in {:.1} s", began.elapsed().as_secs_f64()));
}

#[test]
fn a_disk_that_stays_full_is_an_error_and_costs_no_step_that_was_saved() {
    on_a_small_disk("child_stays_full");
}

#[test]
// A part of the test above, in a namespace of its own; alone it does nothing.
fn child_stays_full() {
    let Some(place) = small_place() else { return };
    let began = Instant::now();
    place.done(&format!("{TRAIN} --epochs {EPOCHS} --out whole"));
    let (mut child, said) = train_until_torn(&place, EPOCHS);
    let mut rest = String::new();
    while child.try_wait().unwrap().is_none() {
        fill(&place);
        rest.extend(said.try_iter().map(|line| line + "\n"));
        thread::sleep(Duration::from_millis(1));
    }
    rest.extend(said.iter().map(|line| line + "\n"));
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    let error = rest.lines().last().unwrap();
    assert_one_line(&format!("{error}\n"), "; the run is saved up to step ");
    assert_one_line(&format!("{error}\n"), "with the cause mended, `recurrent resume small/run`");
    // Nothing is lost that was saved, and what is there can be used while the disk is full.
    let whole = place.done("inspect small/run");
    assert!(whole.contains("recurrent.language-model"), "{whole}");
    place.done("evaluate small/run --json");
    assert_clean(&place, "small/run");
    // No room, no change.
    let before = place.read(&place.newest("small/run"));
    let refused = place.run("resume small/run");
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(place.read(&place.newest("small/run")) == before);

    fs::remove_file(place.path("small/fill")).unwrap();
    let resumed = place.run("resume small/run");
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(!resumed.stderr.contains("warning"), "{}", resumed.stderr);
    place.assert_equal_runs("whole", "small/run", &ALL);
    assert_clean(&place, "small/run");
    tell(&format!("full disk: to the end, in {:.1} s", began.elapsed().as_secs_f64()));
}
