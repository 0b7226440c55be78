//! Promise (fault 9): when the engine's process is killed, its workers and all that they have
//! started die with it.

mod common;
#[path = "common/role.rs"]
mod role;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::within;
use executor_engine::prelude::*;

/// Starts a child, and one in a session of its own, that hold this worker's stdout; ignores
/// SIGTERM itself; says so; never returns.
#[task]
fn starts_a_family(number: u32) {
    for program in [&["sleep", "1000"][..], &["setsid", "sleep", "1000"][..]] {
        let child = Command::new(program[0])
            .args(&program[1..])
            .stdout(Stdio::inherit())
            .spawn()
            .expect("a child");
        // Not waited for: it is to outlive this task, if it can.
        std::mem::forget(child);
    }
    println!("family {number}");
    loop {
        std::thread::park();
    }
}

/// The part of the engine's process.
fn engine_that_will_be_killed() {
    let engine = Engine::builder().max_process_jobs(3).build().unwrap();
    for number in 0..3 {
        engine.submit(ProcessJob::new(starts_a_family, (number,))).unwrap();
    }
    engine.wait().unwrap();
}

#[test]
fn sigkill_of_the_engine_leaves_nobody() {
    if role::plays("engine") {
        return engine_that_will_be_killed();
    }
    within(|| {
        let mut engine =
            role::actor("sigkill_of_the_engine_leaves_nobody", "engine").spawn().unwrap();
        let mut output = BufReader::new(engine.stdout.take().unwrap());
        let mut families = 0;
        let mut line = String::new();
        while families < 3 {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the engine ended by itself");
            families += usize::from(line.contains("family"));
        }
        engine.kill().unwrap();
        let start = Instant::now();
        engine.wait().unwrap();
        // Every process of the engine holds the other end of this pipe: its end is theirs.
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).unwrap();
        let gone = start.elapsed();
        println!("all gone after {gone:?}");
        // One second on a quiet machine; more on a loaded one, but far from sleep's thousand.
        assert!(gone < Duration::from_secs(20), "all gone after {gone:?}");
    });
}
