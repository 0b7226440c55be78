//! Bar 15: the Python original, and other peers, on the same work.

mod common;

use common::{Table, peer, per_job, size};
use executor_engine::prelude::*;

#[task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn engine() -> Engine {
    let engine = Engine::builder()
        .max_thread_jobs(2)
        .max_process_jobs(2)
        .keep_finished(usize::MAX)
        .build()
        .expect("an engine");
    engine.submit(ThreadJob::new(|| (), ())).and_then(|job| job.wait()).expect("a first job");
    engine
        .submit_all((0..2).map(|i| ProcessJob::new(add, (i, 1))))
        .and_then(|_| engine.wait())
        .expect("first process jobs");
    engine
}

fn thread_jobs(count: usize) -> f64 {
    let engine = engine();
    per_job(count, || {
        let handles: Vec<_> = (0..count)
            .map(|i| engine.submit(ThreadJob::new(move || i, ())).expect("submitted"))
            .collect();
        engine.wait().expect("all finished");
        assert_eq!(handles[count - 1].result().expect("done"), count - 1);
    })
}

fn process_jobs(count: usize) -> f64 {
    let engine = engine();
    per_job(count, || {
        let handles: Vec<_> = (0..count as u64)
            .map(|i| engine.submit(ProcessJob::new(add, (i, 1))).expect("submitted"))
            .collect();
        engine.wait().expect("all finished");
        assert_eq!(handles[count - 1].result().expect("done"), count as u64);
    })
}

fn main() {
    let mut table = Table::default();
    let peers = [
        (
            "pyexec_thread.py",
            "executor",
            2_000,
            "thread job",
            "Python executor-engine",
            1.0 / 500.0,
        ),
        (
            "pyexec_process.py",
            "executor",
            100,
            "process job",
            "Python executor-engine",
            1.0 / 1000.0,
        ),
        ("loky_map.py", "loky", 2_000, "process job", "loky, warm", f64::NAN),
        ("dask_local.py", "distributed", 1_000, "process job", "Dask LocalCluster, warm", f64::NAN),
    ];
    for (script, module, theirs, what, name, target) in peers {
        let Some(first) = peer(script, module, size(theirs)) else { continue };
        let ours = if what == "thread job" { thread_jobs } else { process_jobs };
        let mut first = Some(first);
        table.pairs(
            "15",
            what,
            name,
            target.is_finite().then_some(target),
            || ours(size(20_000)),
            || first.take().or_else(|| peer(script, module, size(theirs))).expect("it ran before"),
        );
    }
    table.finish("peers");
}
