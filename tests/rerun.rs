//! Promise: a finished job can run again; its result is replaced, what came of the old one stays.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Gate, within};
use executor_engine::prelude::*;

fn counter() -> (Arc<AtomicU32>, impl Fn() -> u32 + Send + 'static) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    (calls, move || counted.fetch_add(1, Ordering::SeqCst))
}

#[task]
fn pid() -> u32 {
    std::process::id()
}

#[test]
fn the_result_is_replaced_and_dependents_keep_the_old_one() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (_, count) = counter();
        let job = engine.submit(ThreadJob::new(count, ())).unwrap();
        let next = engine.submit(ThreadJob::new(|x: u32| x * 10 + 1, (&job,))).unwrap();
        engine.wait().unwrap();
        assert_eq!((job.result().unwrap(), next.result().unwrap()), (0, 1));
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap(), 1);
        assert_eq!(next.result().unwrap(), 1);
        assert_eq!((job.attempt(), next.attempt()), (1, 1));
        // Run again, the dependent uses what is there now.
        next.rerun().unwrap();
        assert_eq!(next.result().unwrap(), 11);
        // Jobs submitted meanwhile wait for the new run.
        assert_eq!(engine.stats().done, 4);
    });
}

#[test]
fn jobs_submitted_while_it_runs_again_wait_for_its_new_end() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (gate, first) = (Gate::new(), AtomicU32::new(0));
        let wait = gate.clone();
        let job = ThreadJob::new(
            move || {
                if first.fetch_add(1, Ordering::SeqCst) > 0 {
                    wait.pass();
                }
                first.load(Ordering::SeqCst)
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        job.wait().unwrap();
        job.rerun().unwrap();
        let next = engine.submit(ThreadJob::new(|x: u32| x, (&job,))).unwrap();
        assert!(job.rerun().unwrap_err().is_not_finished());
        assert_eq!(next.status(), Status::Pending);
        gate.open();
        assert_eq!(next.result().unwrap(), 2);
    });
}

#[test]
fn failed_and_cancelled_jobs_run_again_and_their_errors_go() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (_, count) = counter();
        let odd = move || if count() % 2 == 0 { Err("even") } else { Ok("odd") };
        let job = engine.submit(ThreadJob::try_new(odd, ()).retries(0)).unwrap();
        assert_eq!(job.result().unwrap_err().message(), "even");
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap(), "odd");
        assert!(job.exception().is_none());
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap_err().message(), "even");

        let other = ThreadJob::new(|| 1, ());
        let job = engine.submit(ThreadJob::new(|x: i32| x, (other.output(),))).unwrap();
        job.cancel();
        // Its argument is still not there: that is an error of the run, not a hang.
        job.rerun().unwrap();
        let error = job.result().unwrap_err();
        assert!(error.is_failure(), "{error:?}");
        assert!(error.message().contains(&format!("{}", other.id())), "{error}");
        let other = engine.submit(other).unwrap();
        other.wait().unwrap();
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap(), 1);
    });
}

#[test]
fn retries_count_anew() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (calls, count) = counter();
        let job = ThreadJob::try_new(move || Err::<(), _>(count().to_string()), ()).retries(2);
        let job = engine.submit(job).unwrap();
        assert_eq!(job.result().unwrap_err().message(), "2");
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap_err().message(), "5");
        assert_eq!((job.attempt(), calls.load(Ordering::SeqCst)), (3, 6));
    });
}

#[test]
fn every_kind_runs_again_also_when_the_engine_has_forgotten_the_job() {
    within(|| {
        let engine = Engine::builder().keep_finished(0).max_process_jobs(1).build().unwrap();
        let (_, count) = counter();
        let job = engine.submit(LocalJob::new(count, ())).unwrap();
        engine.wait().unwrap();
        assert!(engine.jobs().is_empty());
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap(), 1);
        let (_, count) = counter();
        let job = engine.submit(ThreadJob::new(count, ()).blocking()).unwrap();
        job.wait().unwrap();
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap(), 1);
        let fresh = engine.submit(ProcessJob::new(pid, ()).fresh_process(true)).unwrap();
        let first = fresh.result().unwrap();
        fresh.rerun().unwrap();
        assert_ne!(fresh.result().unwrap(), first);
    });
}

#[test]
fn what_cannot_run_again_says_why() {
    within(|| {
        let engine = Engine::new().unwrap();
        let list = vec![1];
        let once = engine.submit(ThreadJob::once(move || list, ())).unwrap();
        once.wait().unwrap();
        let error = once.rerun().unwrap_err();
        assert!(error.is_runs_once() && error.to_string().contains("once"), "{error}");
        assert_eq!(once.result().unwrap(), [1]);

        let id = engine.submit(ThreadJob::new(|| 1, ())).unwrap().id();
        engine.wait().unwrap();
        assert!(engine.rerun(id).unwrap_err().is_runs_once());
        assert!(engine.rerun(ThreadJob::new(|| 1, ()).id()).unwrap_err().is_unknown_job());

        let job = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        engine.shutdown(Shutdown::Drain);
        assert!(job.rerun().unwrap_err().is_shut_down());
        assert_eq!(job.result().unwrap(), 1);
    });
}

/// Users' code that looks at a result is waited for by nobody but who wants that result, too.
#[test]
fn a_result_that_is_looked_at_holds_up_nobody() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (calls, count) = counter();
        let job = engine.submit(ThreadJob::new(count, ())).unwrap();
        job.wait().unwrap();
        let (looks, leave) = (Gate::new(), Gate::new());
        let reader = {
            let (job, looks, leave) = (job.clone(), looks.clone(), leave.clone());
            std::thread::spawn(move || {
                job.with_result(|&value| {
                    looks.open();
                    leave.pass();
                    value
                })
            })
        };
        looks.pass();
        assert_eq!((job.info().status(), job.exception().is_none()), (Status::Done, true));
        assert_eq!(engine.jobs().iter().count(), 1);
        engine.pause();
        job.rerun().unwrap();
        job.cancel();
        assert!(job.exception().unwrap().is_cancelled());
        assert_eq!(engine.stats().unfinished, 0);
        leave.open();
        assert_eq!(reader.join().unwrap().unwrap(), 0);
        // Though the value was in somebody's hands when it went out of use.
        assert!(job.result().unwrap_err().is_cancelled());
        assert!(job.take().unwrap_err().is_cancelled());
        engine.resume();
        job.rerun().unwrap();
        assert_eq!(job.result().unwrap(), 1);
        // Also where one thread does all that.
        engine.pause();
        let value = job.with_result(|&value| {
            job.rerun().unwrap();
            job.cancel();
            assert_eq!(job.info().status(), Status::Cancelled);
            value
        });
        assert_eq!(value.unwrap(), 1);
        assert!(job.result().unwrap_err().is_cancelled());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    });
}

/// Either the handle was there in time, and the job runs again as it did, or it is refused.
#[test]
fn a_rerun_by_id_beside_the_end_of_the_last_handle_runs_whole_or_is_refused() {
    within(|| {
        let engine = Engine::new().unwrap();
        let mut granted = 0;
        for round in 0..2000 {
            let (calls, count) = counter();
            let job = engine.submit(ThreadJob::new(count, ())).unwrap();
            let id = job.id();
            job.wait().unwrap();
            let start = std::sync::Barrier::new(2);
            let rerun = std::thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    drop(job);
                });
                start.wait();
                engine.rerun(id)
            });
            engine.wait().unwrap();
            let info = engine.jobs().get(id).unwrap();
            assert_eq!(info.status(), Status::Done, "round {round}: {info:?}");
            let runs = 1 + u32::from(rerun.is_ok());
            assert_eq!(calls.load(Ordering::SeqCst), runs, "round {round}");
            granted += runs - 1;
            if let Err(error) = rerun {
                assert!(error.is_runs_once(), "round {round}: {error}");
            }
            assert!(engine.rerun(id).unwrap_err().is_runs_once(), "round {round}");
        }
        println!("{granted} of 2000 came before the handle went");
    });
}

#[test]
fn a_thousand_reruns_from_many_threads_end_in_one_state_each() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (calls, count) = counter();
        let job = engine.submit(ThreadJob::new(count, ())).unwrap();
        let reruns: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..250).filter(|_| job.wait().is_ok() && job.rerun().is_ok()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap() as u32).sum()
        });
        engine.wait().unwrap();
        // Of four that ask at one moment, one at least has its way.
        assert!((250..=1000).contains(&reruns), "{reruns} of 1000 asked for were granted");
        assert_eq!(calls.load(Ordering::SeqCst), reruns + 1);
        assert_eq!(engine.stats().done, u64::from(reruns) + 1);
        assert_eq!(engine.jobs().len(), 1);
    });
}
