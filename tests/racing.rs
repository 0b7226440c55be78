//! The promise (fault 18): however submissions, cancellations, waits, removals and a shutdown
//! race, every accepted job ends in exactly one final state that never changes again, runs at
//! most once, and the engine's numbers add up.
//!
//! Each round prints its seed (shown when it fails); `RACING_SEED=n` runs that one.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{Gate, within};
use executor_engine::Stats;
use executor_engine::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

fn seeds(rounds: u64) -> Vec<u64> {
    match std::env::var("RACING_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..rounds).map(|_| rand::random()).collect(),
    }
}

/// An accepted job, and how often its function ran.
struct Record {
    handle: JobHandle<u32>,
    runs: Arc<AtomicU32>,
}

fn job(engine: &Engine, random: &mut SmallRng, known: &[Record]) -> Option<Record> {
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let how = random.random_range(0..10_u32);
    let f = move |x: u32| {
        count.fetch_add(1, Ordering::SeqCst);
        match how {
            0 => Err("chance"),
            1 => panic!("chance"),
            _ => Ok(x.wrapping_add(1)),
        }
    };
    let upstream = match known.len() {
        0 => None,
        n if random.random_bool(0.5) => Some(&known[random.random_range(0..n)].handle),
        _ => None,
    };
    let submitted = match (random.random_range(0..3_u32), upstream) {
        (0, None) => engine.submit(LocalJob::try_new(f, (0,))),
        (0, Some(up)) => engine.submit(LocalJob::try_new(f, (up,))),
        (1, None) => engine.submit(ThreadJob::try_new(f, (0,))),
        (1, Some(up)) => engine.submit(ThreadJob::try_new(f, (up,))),
        (_, None) => engine.submit(ThreadJob::try_new(f, (0,)).blocking()),
        (_, Some(up)) => engine.submit(ThreadJob::try_new(f, (up,)).blocking()),
    };
    match submitted {
        Ok(handle) => Some(Record { handle, runs }),
        Err(error) => {
            assert!(error.is_shut_down(), "{error}");
            None
        }
    }
}

/// The final state, checked against everything the handle says.
fn check(record: &Record) -> Status {
    let Record { handle, runs } = record;
    let status = handle.status();
    assert!(status.is_finished(), "{handle:?}");
    let runs = runs.load(Ordering::SeqCst);
    assert!(runs <= 1, "{handle:?} ran {runs} times");
    assert_eq!(handle.attempt(), runs, "{handle:?}");
    match (status, handle.result(), handle.exception()) {
        (Status::Done, Ok(_), None) => assert_eq!(runs, 1),
        (Status::Failed, Err(error), Some(_)) => {
            assert!(error.is_failure() || error.is_panic(), "{error}");
            assert_eq!(runs, 1);
        }
        (Status::Cancelled, Err(error), Some(_)) => assert!(error.is_cancelled(), "{error}"),
        other => panic!("{handle:?}: {other:?}"),
    }
    assert!(handle.info().finished_at().is_some());
    status
}

fn assert_counts(records: &[Record], stats: Stats) {
    let mut by_status = HashMap::new();
    for record in records {
        *by_status.entry(check(record)).or_insert(0_u64) += 1;
    }
    let of = |status| by_status.get(&status).copied().unwrap_or(0);
    assert_eq!((stats.unfinished, stats.dispatched), (0, 0));
    assert_eq!(
        (stats.done, stats.failed, stats.cancelled),
        (of(Status::Done), of(Status::Failed), of(Status::Cancelled))
    );
}

fn quiet() {
    // Thousands of intended panics would drown the output.
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"chance") {
                hook(info);
            }
        }));
    });
}

/// Submits, cancels, waits and removes on four threads; a shutdown comes at some moment.
fn race(seed: u64, shutdown: Option<Shutdown>) {
    println!("RACING_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let engine = Engine::builder()
        .max_thread_jobs(random.random_range(1..4))
        .max_blocking_jobs(random.random_range(1..4))
        .keep_finished([0, 3, 1_000_000][random.random_range(0..3)])
        .build()
        .unwrap();
    let all = Mutex::new(Vec::new());
    let submitted = AtomicUsize::new(0);
    let when = random.random_range(1..400_usize);
    let (time, over) = (Gate::new(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|who| {
                let (engine, all, submitted, time) = (&engine, &all, &submitted, &time);
                let mut random = SmallRng::seed_from_u64(seed ^ (who + 1) << 32);
                scope.spawn(move || {
                    let mut mine: Vec<Record> = Vec::new();
                    for _ in 0..150 {
                        match random.random_range(0..10_u32) {
                            0..6 => {
                                if let Some(record) = job(engine, &mut random, &mine) {
                                    mine.push(record);
                                }
                                if submitted.fetch_add(1, Ordering::SeqCst) == when {
                                    time.open();
                                }
                            }
                            _ if mine.is_empty() => {}
                            act => {
                                let record = &mine[random.random_range(0..mine.len())];
                                match act {
                                    6 | 7 => record.handle.cancel(),
                                    8 => drop(engine.remove(record.handle.id())),
                                    _ => {
                                        record.handle.wait().unwrap();
                                        check(record);
                                    }
                                }
                            }
                        }
                    }
                    all.lock().unwrap().extend(mine);
                })
            })
            .collect();
        if let Some(how) = shutdown {
            let (engine, time) = (&engine, &time);
            scope.spawn(move || {
                time.pass();
                engine.shutdown(how);
            });
        }
        let watch = scope.spawn(|| {
            // Looks all the while.
            while !over.load(Ordering::SeqCst) {
                for info in engine.jobs().iter() {
                    assert_ne!(info.status(), Status::Created);
                }
                engine.jobs().clear_finished();
                std::thread::yield_now();
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        time.open();
        over.store(true, Ordering::SeqCst);
        watch.join().unwrap();
    });
    engine.wait().unwrap();
    let records = all.into_inner().unwrap();
    let before: Vec<Status> = records.iter().map(check).collect();
    assert_counts(&records, engine.stats());
    // Final is final.
    records.iter().for_each(|record| record.handle.cancel());
    drop(engine);
    assert!(records.iter().map(check).eq(before));
}

#[test]
fn submit_cancel_wait_and_remove() {
    quiet();
    within(|| seeds(30).into_iter().for_each(|seed| race(seed, None)));
}

#[test]
fn with_a_drain_in_between() {
    quiet();
    within(|| seeds(30).into_iter().for_each(|seed| race(seed, Some(Shutdown::Drain))));
}

#[test]
fn with_a_cancelling_shutdown_in_between() {
    quiet();
    within(|| seeds(30).into_iter().for_each(|seed| race(seed, Some(Shutdown::Cancel))));
}

#[test]
fn a_job_cancelled_right_after_its_submission_is_never_lost() {
    // `cancel` before the job has begun: it must not run, and under load too.
    within(|| {
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let (started, gate) = (Gate::new(), Gate::new());
        let (s, g) = (started.clone(), gate.clone());
        engine
            .submit(ThreadJob::new(
                move || {
                    s.open();
                    g.pass()
                },
                (),
            ))
            .unwrap();
        started.pass();
        // The pool is busy, so none of these can begin before its cancellation.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let engine = &engine;
                scope.spawn(move || {
                    for _ in 0..3_000 {
                        let job = engine.submit(ThreadJob::new(|| (), ())).unwrap();
                        job.cancel();
                        job.wait().unwrap(); // hangs, behind the gate, if the call was lost
                        assert_eq!(job.status(), Status::Cancelled);
                    }
                });
            }
        });
        gate.open();
        engine.wait().unwrap();
        assert_eq!((engine.stats().done, engine.stats().cancelled), (1, 12_000));
    });
}

#[test]
fn a_wait_right_after_a_submission_sees_it() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let engine = &engine;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let job = engine.submit(ThreadJob::new(|| (), ())).unwrap();
                        engine.wait_job(job.id()).unwrap();
                        assert_eq!(job.status(), Status::Done);
                        let job = engine.submit(LocalJob::new(|| (), ())).unwrap();
                        engine.wait().unwrap();
                        assert_eq!(job.status(), Status::Done);
                    }
                });
            }
        });
    });
}
