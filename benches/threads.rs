//! Bars 1, 2 and 3: thread jobs beside bare rayon, and jobs that wait for jobs beside those.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Table, median_call, per_job, size};
use executor_engine::condition::{after_another, after_others};
use executor_engine::prelude::*;
use rayon::ThreadPoolBuilder;

/// The pool that both sides get.
const THREADS: usize = 2;

fn engine() -> Engine {
    let engine = Engine::builder()
        .max_thread_jobs(THREADS)
        .keep_finished(usize::MAX)
        .build()
        .expect("an engine");
    // The pool starts with the first job.
    engine.submit(ThreadJob::new(|| (), ())).and_then(|job| job.wait()).expect("a first job");
    engine
}

/// Submits no-op jobs, keeps their handles, waits, reads every result.
fn jobs(count: usize) -> f64 {
    let engine = engine();
    let mut handles = Vec::with_capacity(count);
    let mut sum = 0;
    let time = per_job(count, || {
        for i in 0..count {
            handles.push(engine.submit(ThreadJob::new(move || i, ())).expect("submitted"));
        }
        engine.wait().expect("all finished");
        sum = handles.iter().map(|handle| handle.result().expect("done")).sum();
    });
    assert_eq!(sum, count * (count - 1) / 2);
    time
}

/// Spawns closures that count themselves, waits until all have.
fn rayon_spawns(pool: &rayon::ThreadPool, count: usize) -> f64 {
    let done = Arc::new(AtomicUsize::new(0));
    per_job(count, || {
        for _ in 0..count {
            let done = Arc::clone(&done);
            pool.spawn(move || {
                done.fetch_add(1, Ordering::Release);
            });
        }
        while done.load(Ordering::Acquire) < count {
            std::thread::yield_now();
        }
    })
}

/// Submits jobs that each add one to the result of the last.
fn chain(count: usize) -> f64 {
    let engine = engine();
    let mut last = engine.submit(ThreadJob::new(|| 0_usize, ())).expect("submitted");
    per_job(count, || {
        for _ in 0..count {
            last = engine.submit(ThreadJob::new(|x: usize| x + 1, (&last,))).expect("submitted");
        }
        assert_eq!(last.result().expect("done"), count);
    })
}

/// Submits jobs that each wait, by a condition, for the end of the last.
fn chain_by_condition(count: usize) -> f64 {
    let engine = engine();
    let mut last = engine.submit(ThreadJob::new(|| (), ())).expect("submitted");
    per_job(count, || {
        for _ in 0..count {
            let next = ThreadJob::new(|| (), ()).condition(after_another(&last));
            last = engine.submit(next).expect("submitted");
        }
        last.wait().expect("done");
    })
}

/// Submits a job that waits, by a condition, for so many others, all or any of them, and then
/// these others; waits until all are done. The cost is per other job.
fn fan_in(count: usize, any: bool) -> f64 {
    let engine = engine();
    let mut handles = Vec::with_capacity(count);
    let time = per_job(count, || {
        let others: Vec<_> = (0..count).map(|i| ThreadJob::new(move || i, ())).collect();
        let condition = after_others(&others);
        let condition = if any { condition.any() } else { condition };
        let last = engine.submit(ThreadJob::new(|| (), ()).condition(condition));
        for job in others {
            handles.push(engine.submit(job).expect("submitted"));
        }
        engine.wait().expect("all finished");
        last.expect("submitted").result().expect("done");
    });
    assert_eq!(handles[count - 1].result().expect("done"), count - 1);
    time
}

fn main() {
    let mut table = Table::default();
    let pool = ThreadPoolBuilder::new().num_threads(THREADS).build().expect("a pool");

    let count = size(500_000);
    table.pairs(
        "1",
        "no-op thread job, handles kept, results read",
        "rayon ThreadPool::spawn",
        Some(3.0),
        || jobs(count),
        || rayon_spawns(&pool, count),
    );
    table.growth("1", count, jobs);

    let engine = engine();
    let calls = size(10_000);
    table.pairs(
        "2",
        "thread job, submit to result, p50",
        "rayon ThreadPool::install, p50",
        Some(1.2),
        || {
            median_call(calls, || {
                let job = engine.submit(ThreadJob::new(|| 1_u64, ())).expect("submitted");
                assert_eq!(job.result().expect("done"), 1);
            })
        },
        || median_call(calls, || assert_eq!(pool.install(|| std::hint::black_box(1_u64)), 1)),
    );

    let links = size(1_000_000);
    table.pairs(
        "3",
        "chain of jobs, each after the last",
        "bar 1's job",
        Some(2.0),
        || chain(links),
        || jobs(count),
    );
    table.growth("3", links / 10, chain);
    table.pairs(
        "3",
        "chain of jobs, by after_another",
        "bar 1's job",
        Some(2.0),
        || chain_by_condition(links),
        || jobs(count),
    );
    table.growth("3", links / 10, chain_by_condition);
    for (any, what) in [
        (false, "one job after_others, per other job"),
        (true, "one job after any of others, per other job"),
    ] {
        let run = move |count| fan_in(count, any);
        table.pairs("3", what, "bar 1's job", Some(2.0), || run(links), || jobs(count));
        table.growth("3", links / 10, run);
    }

    table.finish("threads");
}
