//! Promise: where a program asks for it, SIGTERM and Ctrl-C finish what is there, a second one
//! cancels it; where it does not, the library handles no signal.
#![cfg(feature = "signals")]

mod common;
#[path = "common/role.rs"]
mod role;

use std::io::{BufRead, BufReader};
use std::sync::Mutex;

use common::within;
use executor_engine::SignalGuard;
use executor_engine::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A program with a job that ends when it is cancelled, one that waits for a line, and one behind.
fn program(guarded: bool) {
    program_with(|engine| guarded.then(|| engine.end_on_signals().unwrap()));
}

fn program_with(guard: impl FnOnce(&Engine) -> Option<SignalGuard>) {
    let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
    let _guard = guard(&engine);
    let (first, second) = submit(&engine);
    engine.wait().unwrap();
    println!("\nended {} {}", first.status(), second.status());
    closed(&engine);
    println!("\nclosed");
}

fn submit(engine: &Engine) -> (JobHandle<()>, JobHandle<()>) {
    let patient = |ctx: JobContext| {
        println!("\nbegun");
        while !ctx.is_cancelled() && !std::path::Path::new(&path()).exists() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    let first = engine.submit(ThreadJob::new(patient, (Context,))).unwrap();
    let second = engine.submit(ThreadJob::new(|()| (), (&first,))).unwrap();
    (first, second)
}

/// Waits until the engine takes no more jobs.
fn closed(engine: &Engine) {
    while engine.submit(ThreadJob::new(|| (), ())).is_ok() {
        std::thread::yield_now();
    }
}

fn path() -> String {
    std::env::var("EXECUTOR_SIGNALS_GO").expect("the path of the file to wait for")
}

/// Runs the program; gives its lines of interest, and how it ended. `act` gets its pid, once the
/// job has begun, and the path for which the job waits.
fn run(test: &str, act: impl FnOnce(Pid, &str)) -> (Vec<String>, std::process::ExitStatus) {
    let go = std::env::temp_dir().join(format!("executor-signals-{test}-{}", std::process::id()));
    let go = go.to_str().unwrap().to_owned();
    let _ = std::fs::remove_file(&go);
    let mut child = role::actor(test, test).env("EXECUTOR_SIGNALS_GO", &go).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "begun"));
    act(Pid::from_raw(child.id().cast_signed()), &go);
    let told = lines.filter(|line| line.starts_with("ended") || line == "closed").collect();
    let status = child.wait().unwrap();
    let _ = std::fs::remove_file(&go);
    (told, status)
}

#[test]
fn the_first_signal_finishes_what_is_there() {
    const TEST: &str = "the_first_signal_finishes_what_is_there";
    if role::plays(TEST) {
        return program(true);
    }
    within(|| {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let (told, status) = run(TEST, |pid, go| {
                kill(pid, signal).unwrap();
                std::fs::write(go, "").unwrap();
            });
            assert_eq!(told, ["ended done done", "closed"]);
            assert!(status.success());
        }
    });
}

#[test]
fn the_second_one_cancels_what_is_left() {
    const TEST: &str = "the_second_one_cancels_what_is_left";
    if role::plays(TEST) {
        return program(true);
    }
    within(|| {
        let (told, status) = run(TEST, |pid, _| {
            kill(pid, Signal::SIGTERM).unwrap();
            // Signals of one number that wait to be taken are one.
            kill(pid, Signal::SIGINT).unwrap();
        });
        assert_eq!(told, ["ended cancelled cancelled", "closed"]);
        assert!(status.success());
    });
}

#[test]
fn a_program_that_does_not_ask_is_ended_as_ever() {
    use std::os::unix::process::ExitStatusExt;
    const TEST: &str = "a_program_that_does_not_ask_is_ended_as_ever";
    if role::plays(TEST) {
        return program(false);
    }
    within(|| {
        let (told, status) = run(TEST, |pid, _| kill(pid, Signal::SIGTERM).unwrap());
        assert!(told.is_empty());
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
    });
}

#[test]
fn without_its_guard_a_program_is_ended_as_before() {
    use std::os::unix::process::ExitStatusExt;
    const TEST: &str = "without_its_guard_a_program_is_ended_as_before";
    if role::plays(TEST) {
        let engine = Engine::new().unwrap();
        // Twice: what was before the second one is not what the first one made of it.
        for _ in 0..2 {
            drop(engine.end_on_signals().unwrap());
        }
        return program(false);
    }
    within(|| {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let (told, status) = run(TEST, |pid, _| kill(pid, signal).unwrap());
            assert!(told.is_empty());
            assert_eq!(status.signal(), Some(signal as i32));
        }
    });
}

#[test]
fn a_drain_is_cut_short_when_its_time_is_up() {
    const TEST: &str = "a_drain_is_cut_short_when_its_time_is_up";
    if role::plays(TEST) {
        let time = std::time::Duration::from_millis(20);
        return program_with(|engine| Some(engine.end_on_signals_within(time).unwrap()));
    }
    within(|| {
        let (told, status) = run(TEST, |pid, _| kill(pid, Signal::SIGTERM).unwrap());
        assert_eq!(told, ["ended cancelled cancelled", "closed"]);
        assert!(status.success());
    });
}

/// The guard's drop waits for the drain, and the program is not to end in the middle of it.
#[test]
fn the_second_one_is_heard_while_the_guard_is_dropped() {
    const TEST: &str = "the_second_one_is_heard_while_the_guard_is_dropped";
    if role::plays(TEST) {
        let engine = Engine::new().unwrap();
        let guard = engine.end_on_signals().unwrap();
        let (first, second) = submit(&engine);
        closed(&engine);
        let (tell, told) = std::sync::mpsc::channel();
        let dropper = std::thread::spawn(move || {
            tell.send(nix::unistd::gettid()).unwrap();
            drop(guard);
        });
        let stat = format!("/proc/self/task/{}/stat", told.recv().unwrap());
        while !std::fs::read_to_string(&stat).unwrap().contains(") S ") {
            std::thread::yield_now();
        }
        kill(Pid::this(), Signal::SIGINT).unwrap();
        dropper.join().unwrap();
        println!("\nended {} {}", first.status(), second.status());
        return;
    }
    within(|| {
        let (told, status) = run(TEST, |pid, _| kill(pid, Signal::SIGTERM).unwrap());
        assert_eq!(told, ["ended cancelled cancelled"]);
        assert!(status.success());
    });
}

/// A guard that a job has, and lets go of while it is waited for.
#[test]
fn a_job_may_drop_the_guard_in_the_middle_of_a_drain() {
    const TEST: &str = "a_job_may_drop_the_guard_in_the_middle_of_a_drain";
    if role::plays(TEST) {
        let engine = Engine::new().unwrap();
        let guard = engine.end_on_signals().unwrap();
        let inner = engine.clone();
        let job = move || {
            println!("\nbegun");
            closed(&inner);
            drop((guard, inner));
        };
        let job = engine.submit(ThreadJob::once(job, ()).blocking()).unwrap();
        engine.wait().unwrap();
        println!("\nended {}", job.status());
        return;
    }
    within(|| {
        let (told, status) = run(TEST, |pid, _| kill(pid, Signal::SIGTERM).unwrap());
        assert_eq!(told, ["ended done"]);
        assert!(status.success());
    });
}

#[test]
fn a_paused_program_is_ended_as_well() {
    const TEST: &str = "a_paused_program_is_ended_as_well";
    if role::plays(TEST) {
        let engine = Engine::new().unwrap();
        let _guard = engine.end_on_signals().unwrap();
        engine.pause();
        let job = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        println!("\nbegun");
        engine.wait().unwrap();
        println!("\nended {}", job.status());
        return;
    }
    within(|| {
        let (told, status) = run(TEST, |pid, _| kill(pid, Signal::SIGTERM).unwrap());
        assert_eq!(told, ["ended done"]);
        assert!(status.success());
    });
}

/// A logger is foreign code, which may do this.
struct DropsTheGuard(Mutex<Option<SignalGuard>>);

impl log::Log for DropsTheGuard {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.args().to_string().contains("finishing what is there") {
            drop(self.0.lock().unwrap().take());
        }
    }

    fn flush(&self) {}
}

#[test]
fn the_logger_that_hears_of_a_signal_may_drop_the_guard() {
    const TEST: &str = "the_logger_that_hears_of_a_signal_may_drop_the_guard";
    if role::plays(TEST) {
        return within(|| {
            let engine = Engine::new().unwrap();
            let guard = engine.end_on_signals().unwrap();
            log::set_boxed_logger(Box::new(DropsTheGuard(Mutex::new(Some(guard))))).unwrap();
            log::set_max_level(log::LevelFilter::Info);
            println!("\nbegun");
            closed(&engine);
            engine.wait().unwrap();
            println!("\nended");
        });
    }
    within(|| {
        let (told, status) = run(TEST, |pid, _| kill(pid, Signal::SIGTERM).unwrap());
        assert_eq!(told, ["ended"]);
        assert!(status.success());
    });
}
