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
//! What is left to prove from outside is that order, and that a job is submitted once.
//!
//! Conditions can name jobs that are not made into handles yet, and so close a circle. One in
//! which each job must wait for the next is refused; one that any other job or time could open
//! is not, and is told as a stall. Those, and cycles of *waits* inside jobs, are in `stalled.rs`.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use common::{Gate, within};
use executor_engine::CancelReason;
use executor_engine::condition::*;
use executor_engine::prelude::*;

/// A million jobs take their time where there are few CPUs: each test has it to itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|poison| poison.into_inner())
}

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
    let _alone = alone();
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
    let _alone = alone();
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
    let _alone = alone();
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
    let _alone = alone();
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
    let _alone = alone();
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

/// Jobs that name each other in a circle, in all orders of submission; what closes it is refused,
/// with its jobs in order, and nothing else is lost.
#[test]
fn a_cycle_by_conditions_is_refused_at_submission() {
    within(|| {
        for length in [1, 2, 3, 10, 1000] {
            for first in [0, length / 2] {
                let engine = Engine::new().unwrap();
                let jobs: Vec<_> = (0..length).map(|_| ThreadJob::new(|| 1, ())).collect();
                let ids: Vec<JobId> = jobs.iter().map(|job| job.id()).collect();
                let mut jobs: Vec<_> = jobs
                    .into_iter()
                    .enumerate()
                    .map(|(at, job)| {
                        // Beside other things, and as part of a larger set.
                        let next = after_others([ids[(at + 1) % length]]).done();
                        let others = before_timepoint("2200-01-01T00:00:00Z") & every("1ms");
                        Some(job.condition(others & all_satisfied([next, after_delay("0s")])))
                    })
                    .collect();
                let order = (0..length).map(|at| (at * 7 + first) % length);
                let order: Vec<usize> =
                    if length % 7 == 0 { (0..length).collect() } else { order.collect() };
                let (last, rest) = order.split_last().unwrap();
                for &at in rest {
                    engine.submit(jobs[at].take().unwrap()).unwrap();
                }
                let error = engine.submit(jobs[*last].take().unwrap()).unwrap_err();
                assert!(error.is_cycle(), "{error}");
                let mut expected = ids[*last..].to_vec();
                expected.extend(&ids[..*last]);
                assert_eq!(error.cycle(), expected);
                assert!(error.to_string().contains(&ids[*last].to_string()));
                // The others wait for the refused one, and are told.
                if length > 1 {
                    assert_eq!(engine.wait().unwrap_err().stalled_jobs().len(), length - 1);
                    engine.jobs().iter().for_each(|job| assert_eq!(job.status(), Status::Pending));
                }
            }
        }
    });
}

#[test]
fn a_cycle_of_arguments_and_conditions_is_refused() {
    within(|| {
        let engine = Engine::new().unwrap();
        let a = ThreadJob::new(|| 1, ());
        let b = ThreadJob::new(|x: i32| x, (a.output(),));
        let a = a.condition(after_another(&b).failed());
        let (a_id, b_id) = (a.id(), b.id());
        let b = engine.submit(b).unwrap();
        let error = engine.submit(a).unwrap_err();
        assert_eq!(error.cycle(), [a_id, b_id]);
        b.cancel();
        // Through a batch: what came before in it is cancelled.
        let jobs: Vec<_> = (0..3).map(|_| ThreadJob::new(|| 1, ())).collect();
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id()).collect();
        let circle = jobs
            .into_iter()
            .zip([ids[1], ids[2], ids[0]])
            .map(|(job, next)| job.condition(after_another(next)));
        assert!(engine.submit_all(circle).unwrap_err().is_cycle());
        engine.wait().unwrap();
        assert_eq!(engine.stats().done, 0);
        // What is cancelled closes no circle any more.
        let late = ThreadJob::new(|| 1, ());
        let early = ThreadJob::new(|| 1, ()).condition(after_another(&late));
        let id = early.id();
        engine.submit(early).unwrap().cancel();
        let late = engine.submit(late.condition(after_another(id))).unwrap();
        assert_eq!(late.result().unwrap(), 1);
    });
}

#[test]
fn a_cycle_is_refused_while_others_submit() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (stop, others) = (AtomicBool::new(false), 3);
        std::thread::scope(|scope| {
            for _ in 0..others {
                scope.spawn(|| {
                    let mut last = engine.submit(ThreadJob::new(|| 0_u32, ())).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        // Not ever further ahead of the pool.
                        for _ in 0..50 {
                            let next = ThreadJob::new(|x: u32| x, (&last,));
                            last = engine.submit(next.condition(after_another(&last))).unwrap();
                        }
                        last.wait().unwrap();
                    }
                });
            }
            for round in 0..500 {
                let late = ThreadJob::new(|| 1, ());
                let early = ThreadJob::new(|| 1, ());
                let early = match round % 2 {
                    0 => early.condition(after_another(&late)),
                    _ => early.condition(after_another(late.id())),
                };
                let early = engine.submit(early).unwrap();
                let id = late.id();
                let refused = engine.submit(late.condition(after_another(&early)));
                let error = refused.map(|_| ()).unwrap_err();
                assert_eq!(error.cycle(), [id, early.id()], "{error}");
                early.cancel();
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_million_jobs_in_a_chain_by_condition_run() {
    let _alone = alone();
    within(|| {
        let engine = Engine::new().unwrap();
        let head = ThreadJob::new(|| 0, ());
        let mut last = after_another(&head);
        for index in 1..MILLION {
            // Every kind of way to say it; one in ten goes by a tree.
            let condition = if index % 10 == 0 { last.done() | any_satisfied([]) } else { last };
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
            last = after_another(&job);
        }
        on_a_small_stack(move || {
            engine.submit(head).unwrap();
            engine.wait().unwrap();
            assert_eq!(engine.stats().done, u64::from(MILLION));
            drop(last);
            drop(engine);
        });
    });
}

#[test]
fn a_failure_runs_down_a_chain_of_a_million_conditions() {
    let _alone = alone();
    within(|| {
        let engine = Engine::new().unwrap();
        let head = ThreadJob::try_new(|| Err::<i32, _>("no"), ());
        let mut last = after_another(&head).done();
        let mut bottom = None;
        for _ in 1..MILLION {
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(last)).unwrap();
            last = after_another(&job).done();
            bottom = Some(job);
        }
        let bottom = bottom.unwrap();
        on_a_small_stack(move || {
            engine.submit(head).unwrap();
            engine.wait().unwrap();
            assert_eq!(engine.stats().cancelled, u64::from(MILLION) - 1);
            assert!(bottom.explain().contains("can no longer come true"));
            drop(last);
            drop(engine);
        });
    });
}

#[test]
fn one_job_after_a_million_others() {
    let _alone = alone();
    within(|| {
        let engine = Engine::new().unwrap();
        let jobs: Vec<_> = (0..MILLION).map(|_| ThreadJob::new(|| 1, ())).collect();
        on_a_small_stack(move || {
            let submit =
                |condition| engine.submit(ThreadJob::new(|| 2, ()).condition(condition)).unwrap();
            let all = submit(after_others(&jobs).done());
            let any = submit(after_others(&jobs).any());
            let failed = submit(after_others(&jobs).any().failed());
            assert!(engine.wait().unwrap_err().is_stalled());
            engine.submit_all(jobs).unwrap();
            engine.wait().unwrap();
            assert!([all, any].iter().all(|job| job.status() == Status::Done));
            let error = failed.exception().unwrap();
            let Some(CancelReason::Unsatisfiable(why)) = error.cancel_reason() else { panic!() };
            assert_eq!(why.jobs().len(), MILLION as usize);
            assert!(error.to_string().len() < 10_000);
            drop(engine);
        });
    });
}

/// Fan-ins by parts that are about time as well.
#[test]
fn one_job_after_many_others_each_with_a_time_of_its_own() {
    let _alone = alone();
    within(|| {
        let engine = Engine::new().unwrap();
        let jobs: Vec<_> = (0..20_000).map(|_| ThreadJob::new(|| 1, ())).collect();
        let all = all_satisfied(jobs.iter().map(|job| after_another(job) | after_delay("1h")));
        let all = engine.submit(ThreadJob::new(|| 2, ()).condition(all)).unwrap();
        let any = any_satisfied(jobs.iter().map(|job| after_another(job).failed() & every("1h")));
        let any = engine.submit(ThreadJob::new(|| 2, ()).condition(any)).unwrap();
        engine.submit_all(jobs).unwrap();
        assert_eq!(all.result().unwrap(), 2);
        assert!(any.result().unwrap_err().is_cancelled());
    });
}
