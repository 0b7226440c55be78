//! The promise (fault 17): a cycle is refused, and a chain of a million jobs overflows no stack,
//! whether it runs, is dropped unsubmitted, is cancelled, or ends with its engine.
//!
//! A cycle by arguments cannot be written: a job's arguments are given when it is made, and an
//! argument names a job that is made already. So the ids along any path of dependencies fall,
//! and no path comes back; a job cannot even name itself:
//!
//! ```compile_fail,E0425
//! let a = ThreadJob::new(|x: i32| x, (a.output(),));
//! ```
//!
//! What is left to prove from outside is that order, and that a job is submitted once. (The
//! core refuses cycles all the same: its own tests bring it some.) Cycles of *waits* inside
//! jobs are in `stalled.rs`.

mod common;

use common::{Gate, within};
use executor_engine::CancelReason;
use executor_engine::prelude::*;

const MILLION: u32 = 1_000_000;

/// Runs it on a thread whose stack is far too small for any recursion along a chain.
fn on_a_small_stack<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(f).unwrap();
    thread.join().unwrap()
}

/// A chain that waits for a job which is not submitted.
fn pending_chain(engine: &Engine, length: u32) -> (ThreadJob<u32>, Vec<JobHandle<u32>>) {
    let head = ThreadJob::new(|| 0_u32, ());
    let mut last = head.output();
    let mut handles = Vec::new();
    for _ in 0..length {
        let job = engine.submit(ThreadJob::new(|x: u32| x + 1, (last,))).unwrap();
        last = job.output();
        handles.push(job);
    }
    (head, handles)
}

#[test]
fn a_job_is_younger_than_all_it_depends_on() {
    let a = ThreadJob::new(|| 1, ());
    let b = ThreadJob::new(|x: i32| x, (a.output(),));
    let c = ThreadJob::new(|x: i32, y: i32| x + y, (a.output(), b.output()));
    assert!(a.id() < b.id() && b.id() < c.id());
    // In every order of submission the graph runs: none of them looks like a cycle.
    within(|| {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let engine = Engine::new().unwrap();
            let a = ThreadJob::new(|| 1, ());
            let b = ThreadJob::new(|x: i32| x, (a.output(),));
            let c = ThreadJob::new(|x: i32, y: i32| x + y, (a.output(), b.output()));
            let mut jobs = [Some(a), Some(b), Some(c)];
            for i in order {
                engine.submit(jobs[i].take().unwrap()).unwrap();
            }
            engine.wait().unwrap();
            assert_eq!(engine.stats().done, 3);
        }
    });
}

#[test]
fn a_million_jobs_in_a_chain_run() {
    within(|| {
        let engine = Engine::new().unwrap();
        let mut last = engine.submit(ThreadJob::new(|| 0, ())).unwrap();
        for _ in 1..MILLION {
            last = engine.submit(ThreadJob::new(|x: u32| x + 1, (&last,))).unwrap();
        }
        assert_eq!(last.result().unwrap(), MILLION - 1);
        engine.wait().unwrap();
        assert_eq!(engine.stats().done, u64::from(MILLION));
        on_a_small_stack(move || {
            drop(engine);
            drop(last);
        });
    });
}

#[test]
fn a_million_jobs_never_submitted_are_dropped_from_either_end() {
    within(|| {
        on_a_small_stack(|| {
            let mut last = ThreadJob::new(|| 0, ());
            for _ in 1..MILLION {
                last = ThreadJob::new(|x: u32| x + 1, (last.output(),));
            }
            drop(last);
            // As outputs alone, and two to a job.
            let mut last = ThreadJob::new(|| 0, ()).output();
            for _ in 1..MILLION / 2 {
                last = LocalJob::new(|x: u32, y: u32| x + y, (last.clone(), last)).output();
            }
            drop(last);
        });
    });
}

#[test]
fn a_million_pending_jobs_end_with_their_engine() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (head, mut handles) = pending_chain(&engine, MILLION);
        let last = handles.pop().unwrap();
        drop(handles);
        on_a_small_stack(move || {
            drop(engine);
            assert_eq!(last.status(), Status::Cancelled);
            assert!(last.exception().unwrap().is_cancelled());
            drop(head);
            drop(last);
        });
    });
}

#[test]
fn cancelling_the_first_of_a_million_cancels_them_all() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (head, handles) = pending_chain(&engine, MILLION);
        on_a_small_stack(move || {
            handles[0].cancel();
            for pair in handles.windows(2) {
                assert_eq!(pair[1].status(), Status::Cancelled);
            }
            let last = handles.last().unwrap();
            let before = &handles[handles.len() - 2];
            let error = last.exception().unwrap();
            assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(before.id())));
            assert_eq!(engine.stats().cancelled, u64::from(MILLION));
            drop(handles);
            drop(engine);
            drop(head);
        });
    });
}

#[test]
fn a_failure_runs_down_a_chain_of_a_million() {
    within(|| {
        let engine = Engine::new().unwrap();
        let gate = Gate::new();
        let g = gate.clone();
        let bad = ThreadJob::try_new(
            move || {
                g.pass();
                Err::<u32, _>("no")
            },
            (),
        );
        let mut last = engine.submit(bad).unwrap();
        for _ in 0..MILLION {
            last = engine.submit(ThreadJob::new(|x: u32| x + 1, (&last,))).unwrap();
        }
        gate.open();
        last.wait().unwrap();
        assert_eq!(last.status(), Status::Cancelled);
        assert_eq!(engine.stats().cancelled, u64::from(MILLION));
        engine.jobs().clear_finished();
        on_a_small_stack(move || drop(last));
    });
}

#[test]
fn a_stall_at_the_end_of_a_long_chain_is_found_and_told() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (head, handles) = pending_chain(&engine, 100_000);
        let error = engine.wait().unwrap_err();
        assert_eq!(error.stalled_jobs().len(), 100_000);
        engine.submit(head).unwrap();
        assert_eq!(handles.last().unwrap().result().unwrap(), 100_000);
    });
}
