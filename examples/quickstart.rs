//! The main job in one page: a local job, a thread job and a process job, each feeding the next.
//!
//! `cargo run --example quickstart`

use executor_engine::prelude::*;

#[task] // may run in another process
fn add(a: i64, b: i64) -> i64 {
    println!("  process {}: {a} + {b}", std::process::id());
    a + b
}

fn main() -> executor_engine::Result<()> {
    println!("program {}: making an engine", std::process::id());
    let engine = Engine::new()?;

    let a = engine.submit(LocalJob::new(
        || {
            println!("  {}: 3", std::thread::current().name().unwrap_or("?"));
            3_i64
        },
        (),
    ))?;
    let b = engine.submit(ThreadJob::new(
        |x: i64, y: i64| {
            println!("  {}: {x} * {y}", std::thread::current().name().unwrap_or("?"));
            x * y
        },
        (&a, 4), // after a, with its result
    ))?;
    let c = engine.submit(ProcessJob::new(add, (&b, 5)))?; // after b

    engine.wait()?; // all finished
    assert_eq!(c.result()?, 17);
    println!("the result is {}", c.result()?);
    for job in engine.jobs().iter() {
        let time = job.run_time().unwrap_or_default();
        println!("  {:<8} job {}: {} in {time:?}", job.kind(), job.id(), job.status());
    }
    Ok(()) // dropping the engine ends its threads and processes
}
