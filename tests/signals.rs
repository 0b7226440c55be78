//! Promise: where a program asks for it, SIGTERM and Ctrl-C finish what is there, a second one
//! cancels it; where it does not, the library handles no signal.
#![cfg(feature = "signals")]

mod common;
#[path = "common/role.rs"]
mod role;

use std::io::{BufRead, BufReader};

use common::within;
use executor_engine::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A program with a job that ends when it is cancelled, one that waits for a line, and one behind.
fn program(guarded: bool) {
    let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
    let _guard = guarded.then(|| engine.end_on_signals().unwrap());
    let patient = |ctx: JobContext| {
        println!("\nbegun");
        while !ctx.is_cancelled() && !std::path::Path::new(&path()).exists() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    let first = engine.submit(ThreadJob::new(patient, (Context,))).unwrap();
    let second = engine.submit(ThreadJob::new(|()| (), (&first,))).unwrap();
    engine.wait().unwrap();
    println!("\nended {} {}", first.status(), second.status());
    while engine.submit(ThreadJob::new(|| (), ())).is_ok() {
        std::thread::yield_now();
    }
    println!("\nclosed");
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
