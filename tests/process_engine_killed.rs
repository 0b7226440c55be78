//! When the engine's process is killed, so is everything that descends from it.
//!
//! The test starts this program again as the engine to be killed, and holds the writing end of
//! a pipe's other side: each descendant has the pipe open, so its end comes when the last one is
//! gone.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use executor_engine::prelude::*;

const ENGINE: &str = "PROCESS_ENGINE_KILLED";

/// Starts a child in its group, a child that has left it, says so, and stays.
#[task]
fn stay() {
    Command::new("sleep").arg("600").spawn().unwrap();
    Command::new("sh").args(["-c", "setsid sleep 600 & true"]).status().unwrap();
    println!("staying");
    loop {
        std::thread::park();
    }
}

#[test]
fn everything_dies_with_the_engine() -> executor_engine::Result<()> {
    if std::env::var_os(ENGINE).is_some() {
        let engine = Engine::builder().max_process_jobs(2).build()?;
        engine.submit_all((0..2).map(|_| ProcessJob::new(stay, ())))?;
        return engine.wait();
    }
    let mut engine = Command::new(std::env::current_exe().unwrap())
        .args(["everything_dies_with_the_engine", "--exact", "--nocapture"])
        .env(ENGINE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(engine.stdout.take().unwrap());
    let mut staying = 0;
    while staying < 2 {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended too early");
        staying += usize::from(line.contains("staying"));
    }
    let killed = Instant::now();
    engine.kill().unwrap();
    // Stdout is the engine's own pipe, in its workers, their children and the daemons.
    output.read_to_end(&mut Vec::new()).unwrap();
    assert!(killed.elapsed() < Duration::from_secs(1), "it took {:?}", killed.elapsed());
    engine.wait().unwrap();
    Ok(())
}
