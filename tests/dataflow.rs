//! The promise: jobs feed each other by value, by handle and by output, in whatever order they
//! are submitted; and a job whose input has no value is cancelled, naming the job that is to
//! blame, however that one came to nothing.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Gate, within};
use executor_engine::prelude::*;
use executor_engine::{CancelReason, Error};

fn assert_cancelled_by<T: Clone>(job: &JobHandle<T>, upstream: JobId) {
    job.wait().unwrap();
    assert_eq!(job.status(), Status::Cancelled);
    let error = job.exception().expect("a cancelled job says why");
    assert!(error.is_cancelled());
    assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(upstream)));
    assert!(error.to_string().contains(&upstream.to_string()), "{error}");
    assert_eq!(job.attempt(), 0, "it must not have run");
}

#[test]
fn values_handles_and_outputs_mix_in_one_argument_list() {
    within(|| {
        let engine = Engine::new()?;
        let a = engine.submit(LocalJob::new(|| 3_i64, ()))?;
        let b = ThreadJob::new(|x: i64| x.to_string(), (&a,)).blocking();
        let c = engine.submit(ThreadJob::new(
            |a: i64, b: String, c: char, d: i64| format!("{a}{b}{c}{d}"),
            (&a, b.output(), '!', a.output()),
        ))?;
        engine.submit(b)?;
        assert_eq!(c.result()?, "33!3");
        Ok::<(), Error>(())
    })
    .unwrap();
}

#[test]
fn twelve_arguments_arrive_in_their_places() {
    within(|| {
        let engine = Engine::new().unwrap();
        let one = engine.submit(ThreadJob::new(|| 1_u64, ())).unwrap();
        let job = ThreadJob::new(
            |a: u64,
             b: u64,
             c: u64,
             d: u64,
             e: u64,
             f: u64,
             g: u64,
             h: u64,
             i: u64,
             j: u64,
             k: u64,
             l: u64| { [a, b, c, d, e, f, g, h, i, j, k, l] },
            (&one, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
        );
        let job = engine.submit(job).unwrap();
        assert_eq!(job.result().unwrap(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    });
}

#[test]
fn a_job_starts_only_when_its_last_input_is_there() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(4).build().unwrap();
        let gate = Gate::new();
        let finished = Arc::new(AtomicUsize::new(0));
        let inputs: Vec<_> = (0..3_usize)
            .map(|i| {
                let (gate, finished) = (gate.clone(), Arc::clone(&finished));
                let job = ThreadJob::new(
                    move || {
                        if i == 1 {
                            gate.pass();
                        }
                        finished.fetch_add(1, Ordering::SeqCst);
                        i
                    },
                    (),
                );
                engine.submit(job).unwrap()
            })
            .collect();
        let seen = Arc::clone(&finished);
        let join = ThreadJob::new(
            move |a: usize, b: usize, c: usize| (a + b + c, seen.load(Ordering::SeqCst)),
            (&inputs[0], &inputs[1], &inputs[2]),
        );
        let join = engine.submit(join).unwrap();
        inputs[0].wait().unwrap();
        inputs[2].wait().unwrap();
        assert_eq!(join.status(), Status::Pending);
        gate.open();
        assert_eq!(join.result().unwrap(), (3, 3));
    });
}

#[test]
fn a_diamond_submitted_backwards_runs() {
    within(|| {
        let engine = Engine::new().unwrap();
        let top = LocalJob::new(|| 1, ());
        let left = ThreadJob::new(|x: i32| x + 10, (top.output(),));
        let right = ThreadJob::new(|x: i32| x + 100, (top.output(),)).blocking();
        let bottom = LocalJob::new(|l: i32, r: i32| l + r, (left.output(), right.output()));
        let bottom = engine.submit(bottom).unwrap();
        let right = engine.submit(right).unwrap();
        let left = engine.submit(left).unwrap();
        assert_eq!(bottom.status(), Status::Pending);
        engine.submit(top).unwrap();
        assert_eq!(bottom.result().unwrap(), 112);
        assert_eq!((left.result().unwrap(), right.result().unwrap()), (11, 101));
    });
}

#[test]
fn one_result_serves_a_thousand_jobs_and_its_own_handle() {
    within(|| {
        let engine = Engine::new().unwrap();
        let source = ThreadJob::new(|| vec![7_u64; 3], ());
        let users: Vec<_> = (0..1000_u64)
            .map(|i| ThreadJob::new(move |v: Vec<u64>| v[0] + i, (source.output(),)))
            .collect();
        let users = engine.submit_all(users).unwrap();
        let source = engine.submit(source).unwrap();
        for (i, user) in (0..).zip(&users) {
            assert_eq!(user.result().unwrap(), 7 + i);
        }
        assert_eq!(source.result().unwrap(), [7; 3]);
    });
}

#[test]
fn the_same_job_twice_as_an_argument_counts_twice() {
    within(|| {
        let engine = Engine::new().unwrap();
        let x = ThreadJob::new(|| 4, ());
        let square = engine
            .submit(ThreadJob::new(|a: i32, b: i32| a * b, (x.output(), x.output())))
            .unwrap();
        engine.submit(x).unwrap();
        assert_eq!(square.result().unwrap(), 16);
    });
}

/// A result that cannot be cloned.
struct Unique(Arc<AtomicUsize>);

#[test]
fn a_result_without_clone_is_lent_and_taken_once() {
    within(|| {
        let engine = Engine::new().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        struct Counted(Arc<AtomicUsize>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let inner = Arc::clone(&drops);
        let handle =
            engine.submit(ThreadJob::new(move || Counted(Arc::clone(&inner)), ())).unwrap();
        assert_eq!(handle.with_result(|value| Arc::strong_count(&value.0)).unwrap(), 3);
        let other = handle.clone();
        let value = handle.take().unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        drop(value);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        assert!(handle.take().err().unwrap().is_taken());
        assert!(other.with_result(|_| ()).unwrap_err().is_taken());
        assert_eq!(handle.status(), Status::Done, "taking the result does not change the status");
    });
}

#[test]
fn many_threads_taking_one_result_get_it_once() {
    within(|| {
        let engine = Engine::new().unwrap();
        for _ in 0..50 {
            let count = Arc::new(AtomicUsize::new(0));
            let inner = Arc::clone(&count);
            let handle =
                engine.submit(ThreadJob::new(move || Unique(Arc::clone(&inner)), ())).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| match handle.take() {
                        Ok(unique) => _ = unique.0.fetch_add(1, Ordering::SeqCst),
                        Err(error) => assert!(error.is_taken()),
                    });
                }
            });
            assert_eq!(count.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn a_result_taken_before_its_dependent_starts_cancels_the_dependent() {
    within(|| {
        let engine = Engine::new().unwrap();
        let a = engine.submit(ThreadJob::new(|| "x".to_owned(), ())).unwrap();
        a.wait().unwrap();
        assert_eq!(a.take().unwrap(), "x");
        let b = engine.submit(ThreadJob::new(|s: String| s, (&a,))).unwrap();
        let error = b.result().unwrap_err();
        assert!(error.is_taken() || error.is_cancelled(), "{error:?}");
        assert_ne!(b.status(), Status::Done);
    });
}

#[test]
fn an_error_cancels_the_dependents_on_every_kind() {
    within(|| {
        let engine = Engine::new().unwrap();
        let bad = ThreadJob::try_new(|| Err::<i32, _>("no"), ());
        let id = bad.id();
        let local = engine.submit(LocalJob::new(|x: i32| x, (bad.output(),))).unwrap();
        let thread = engine.submit(ThreadJob::new(|x: i32| x, (bad.output(),))).unwrap();
        let blocking =
            engine.submit(ThreadJob::new(|x: i32| x, (bad.output(),)).blocking()).unwrap();
        let bad = engine.submit(bad).unwrap();
        for job in [&local, &thread, &blocking] {
            assert_cancelled_by(job, id);
        }
        assert_eq!(bad.status(), Status::Failed);
    });
}

#[test]
fn a_panic_cancels_the_dependents() {
    within(|| {
        let engine = Engine::new().unwrap();
        let bad = engine.submit(LocalJob::new(|| -> i32 { panic!("oh") }, ())).unwrap();
        let next = engine.submit(ThreadJob::new(|x: i32| x, (&bad,))).unwrap();
        assert_cancelled_by(&next, bad.id());
    });
}

#[test]
fn cancelling_a_pending_job_cancels_its_dependents() {
    within(|| {
        let engine = Engine::new().unwrap();
        let never = ThreadJob::new(|| 1, ());
        let pending = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),))).unwrap();
        let next = engine.submit(ThreadJob::new(|x: i32| x, (&pending,))).unwrap();
        pending.cancel();
        assert_eq!(pending.status(), Status::Cancelled);
        assert_eq!(pending.exception().unwrap().cancel_reason(), Some(&CancelReason::Requested));
        assert_cancelled_by(&next, pending.id());
    });
}

#[test]
fn cancelling_a_queued_job_cancels_its_dependents() {
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
        let queued = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        let next = engine.submit(ThreadJob::new(|x: i32| x, (&queued,))).unwrap();
        queued.cancel();
        assert_cancelled_by(&next, queued.id());
        assert_eq!(queued.attempt(), 0);
        gate.open();
        engine.wait().unwrap();
        assert_eq!(queued.status(), Status::Cancelled);
    });
}

#[test]
fn cancelling_a_running_job_cancels_it_and_its_dependents_when_it_returns() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (started, gate) = (Gate::new(), Gate::new());
        let (s, g) = (started.clone(), gate.clone());
        let running = engine
            .submit(ThreadJob::new(
                move || {
                    s.open();
                    g.pass();
                    1
                },
                (),
            ))
            .unwrap();
        let next = engine.submit(ThreadJob::new(|x: i32| x, (&running,))).unwrap();
        started.pass();
        running.cancel();
        assert_eq!(running.status(), Status::Running, "a thread cannot be killed");
        assert_eq!(next.status(), Status::Pending);
        gate.open();
        assert_cancelled_by(&next, running.id());
        let error = running.result().unwrap_err();
        assert_eq!(error.cancel_reason(), Some(&CancelReason::Requested));
        assert_eq!(running.status(), Status::Cancelled);
    });
}

#[test]
fn trouble_goes_down_the_whole_tree_each_naming_its_own_upstream() {
    within(|| {
        let engine = Engine::new().unwrap();
        let gate = Gate::new();
        let g = gate.clone();
        let root = engine
            .submit(ThreadJob::try_new(
                move || {
                    g.pass();
                    Err::<u32, _>("no")
                },
                (),
            ))
            .unwrap();
        let mut level = vec![root.clone()];
        let mut all = Vec::new();
        for _ in 0..6 {
            let mut below = Vec::new();
            for parent in &level {
                for _ in 0..2 {
                    let child = engine.submit(ThreadJob::new(|x: u32| x, (parent,))).unwrap();
                    all.push((child.clone(), parent.id()));
                    below.push(child);
                }
            }
            level = below;
        }
        gate.open();
        engine.wait().unwrap();
        for (child, parent) in &all {
            assert_cancelled_by(child, *parent);
        }
        assert_eq!(engine.stats().cancelled, 126);
        assert_eq!(engine.stats().failed, 1);
    });
}

#[test]
fn of_two_inputs_one_bad_is_enough_and_it_does_not_wait_for_the_good_one() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let gate = Gate::new();
        let g = gate.clone();
        let slow = engine
            .submit(ThreadJob::new(
                move || {
                    g.pass();
                    1
                },
                (),
            ))
            .unwrap();
        let bad = engine.submit(ThreadJob::try_new(|| Err::<i32, _>("no"), ())).unwrap();
        let both = engine.submit(ThreadJob::new(|a: i32, b: i32| a + b, (&slow, &bad))).unwrap();
        assert_cancelled_by(&both, bad.id());
        assert!(!slow.status().is_finished());
        gate.open();
        assert_eq!(slow.result().unwrap(), 1);
        engine.wait().unwrap();
        assert_cancelled_by(&both, bad.id());
    });
}

#[test]
fn a_handle_of_a_finished_job_still_serves_or_cancels() {
    within(|| {
        let engine = Engine::new().unwrap();
        let good = engine.submit(ThreadJob::new(|| 5, ())).unwrap();
        let bad = engine.submit(ThreadJob::try_new(|| Err::<i32, _>("no"), ())).unwrap();
        let off = engine
            .submit(ThreadJob::new(|x: i32| x, (ThreadJob::new(|| 1, ()).output(),)))
            .unwrap();
        off.cancel();
        engine.wait().unwrap();
        for removed in [false, true] {
            if removed {
                assert_eq!(engine.jobs().clear_finished(), 6);
            }
            let after = engine.submit(ThreadJob::new(|x: i32| x + 1, (&good,))).unwrap();
            assert_eq!(after.result().unwrap(), 6);
            for up in [&bad, &off] {
                let after = engine.submit(ThreadJob::new(|x: i32| x, (up,))).unwrap();
                assert_cancelled_by(&after, up.id());
            }
        }
    });
}

#[test]
fn a_dependent_finds_its_input_however_soon_the_engine_forgets_it() {
    within(|| {
        // The upstream ends, and is forgotten, at any moment while the dependent is submitted.
        let engine = Engine::builder().keep_finished(0).max_thread_jobs(2).build().unwrap();
        for round in 0..20_000_u32 {
            let a = engine.submit(ThreadJob::new(move || round, ())).unwrap();
            let b = engine.submit(ThreadJob::new(|x: u32| x + 1, (&a,))).unwrap();
            assert_eq!(b.result().unwrap(), round + 1, "round {round}");
        }
    });
}

#[test]
fn a_dependent_is_cancelled_however_soon_the_engine_forgets_the_failure() {
    within(|| {
        let engine = Engine::builder().keep_finished(0).max_thread_jobs(2).build().unwrap();
        for _ in 0..5_000 {
            let a = engine.submit(ThreadJob::try_new(|| Err::<u32, _>("no"), ())).unwrap();
            let b = engine.submit(ThreadJob::new(|x: u32| x + 1, (&a,))).unwrap();
            assert_cancelled_by(&b, a.id());
        }
    });
}
