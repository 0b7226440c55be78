//! Promise: a job that takes longer than it may is stopped and says so; time in which it waits for
//! its turn does not count.

mod common;

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use common::{DEADLINE, Gate, within};
use executor_engine::prelude::*;
use executor_engine::{CancelReason, ManualClock};

const SHORT: Duration = Duration::from_millis(20);

#[task]
fn sleep(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

#[test]
fn a_process_job_is_ended_and_its_worker_replaced() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        for fresh in [false, true] {
            let start = Instant::now();
            let job = ProcessJob::new(sleep, (3600,)).timeout(SHORT).fresh_process(fresh);
            let job = engine.submit(job).unwrap();
            let error = job.result().unwrap_err();
            assert!(error.is_timed_out(), "{error}");
            assert!(error.to_string().contains("20ms"), "{error}");
            assert!(start.elapsed() >= SHORT);
            assert_eq!(job.status(), Status::Failed);
            let next = engine.submit(ProcessJob::new(sleep, (0,))).unwrap();
            next.result().unwrap();
        }
    });
}

#[test]
fn a_thread_job_runs_to_its_end_and_then_has_failed() {
    within(|| {
        let engine = Engine::new().unwrap();
        for attempt in [false, true] {
            let gate = Gate::new();
            let wait = gate.clone();
            let job = ThreadJob::new(move || wait.pass(), ());
            let job = if attempt { job.attempt_timeout(SHORT) } else { job.timeout(SHORT) };
            let job = engine.submit(job).unwrap();
            let next = engine.submit(ThreadJob::new(|()| (), (&job,))).unwrap();
            // It is told to stop, which explain knows; its permit stays with it.
            while !job.explain().contains("told to stop") {
                std::thread::yield_now();
            }
            assert_eq!(job.status(), Status::Running);
            gate.open();
            assert!(job.result().unwrap_err().is_timed_out());
            let error = next.result().unwrap_err();
            assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(job.id())));
        }
    });
}

#[test]
fn waiting_for_its_turn_does_not_count() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).max_jobs(1).build().unwrap();
        let (begun, gate) = (Gate::new(), Gate::new());
        let (tell, wait) = (begun.clone(), gate.clone());
        let first = ThreadJob::new(
            move || {
                tell.open();
                wait.pass();
            },
            (),
        );
        engine.submit(first).unwrap();
        begun.pass();
        let second = engine.submit(ThreadJob::new(|| 2, ()).timeout(SHORT)).unwrap();
        clock.advance(Duration::from_secs(3600));
        gate.open();
        assert_eq!(second.result().unwrap(), 2);
    });
}

#[test]
fn jobs_sent_ahead_to_a_worker_do_not_lose_time_there() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        // Short ones keep the worker busy and its queue deep.
        let short = engine.submit_all((0..500).map(|_| ProcessJob::new(sleep, (0,)))).unwrap();
        let timed = engine
            .submit_all((0..50).map(|_| ProcessJob::new(sleep, (0,)).timeout(DEADLINE)))
            .unwrap();
        let slow = engine.submit(ProcessJob::new(sleep, (3,))).unwrap();
        let limit = Duration::from_millis(2900);
        let after = engine.submit(ProcessJob::new(sleep, (0,)).timeout(limit)).unwrap();
        engine.wait().unwrap();
        for job in short.iter().chain(&timed).chain([&slow, &after]) {
            assert_eq!(job.status(), Status::Done, "{:?}", job.exception());
        }
    });
}

/// Wakes whoever awaits a job by keeping the thread that does so.
struct Slow(Duration);

impl std::task::Wake for Slow {
    fn wake(self: std::sync::Arc<Self>) {
        std::thread::sleep(self.0);
    }
}

/// It begins when it begins, not when the one before it on the same thread ended.
#[test]
fn what_others_do_at_the_end_of_the_job_before_does_not_count() {
    within(|| {
        let limit = Duration::from_millis(1500);
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let gate = Gate::new();
        let wait = gate.clone();
        let mut first = engine.submit(ThreadJob::new(move || wait.pass(), ())).unwrap();
        let waker = std::sync::Arc::new(Slow(limit + SHORT)).into();
        let mut polled = std::task::Context::from_waker(&waker);
        assert!(std::pin::Pin::new(&mut first).poll(&mut polled).is_pending());
        let next = engine.submit(ThreadJob::new(|| (), ()).timeout(limit)).unwrap();
        gate.open();
        next.result().unwrap();
        assert!(next.info().run_time().unwrap() < limit);
    });
}

#[test]
fn times_are_in_order_within_a_job_and_from_one_to_the_next() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        for _ in 0..30 {
            let chains: Vec<_> = (0..1000)
                .map(|_| {
                    let a = engine.submit(ThreadJob::new(|| (), ())).unwrap();
                    let b = engine.submit(LocalJob::new(|()| (), (&a,))).unwrap();
                    let c = engine.submit(ThreadJob::new(|()| (), (&b,))).unwrap();
                    [a, b, c]
                })
                .collect();
            engine.wait().unwrap();
            for chain in chains {
                let infos = chain.map(|job| job.info());
                for info in &infos {
                    assert!(info.submitted_at() <= info.started_at(), "{info:?}");
                    assert!(info.started_at() <= info.finished_at(), "{info:?}");
                    assert!(info.run_time() <= info.total_time(), "{info:?}");
                }
                for [before, after] in [[&infos[0], &infos[1]], [&infos[1], &infos[2]]] {
                    assert!(before.finished_at() <= after.started_at(), "{before:?} {after:?}");
                }
            }
        }
    });
}

#[test]
fn each_attempt_has_its_own_limit_and_all_together_theirs() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let job = ProcessJob::new(sleep, (3600,)).attempt_timeout(SHORT).retries(2);
        let job = engine.submit(job).unwrap();
        assert!(job.result().unwrap_err().is_timed_out());
        assert_eq!(job.attempt(), 3);

        let limit = Duration::from_secs(2);
        let job = ProcessJob::new(sleep, (3600,)).attempt_timeout(SHORT).retries(100_000);
        let start = Instant::now();
        let job = engine.submit(job.timeout(limit)).unwrap();
        let error = job.result().unwrap_err();
        assert!(error.to_string().contains("2s"), "{error}");
        assert!(start.elapsed() >= limit);
        let most = limit.as_millis() / SHORT.as_millis() + 1;
        assert!(job.attempt() > 1 && u128::from(job.attempt()) <= most, "{}", job.attempt());
    });
}

#[test]
fn the_limit_of_all_attempts_ends_the_time_between_two_as_well() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).build().unwrap();
        let hour = Duration::from_secs(3600);
        let job = ThreadJob::try_new(|| Err::<(), _>("no"), ())
            .retries(1)
            .retry_delay(2 * hour)
            .timeout(hour);
        let job = engine.submit(job).unwrap();
        clock.run_for(hour - Duration::from_nanos(1)).unwrap();
        assert_eq!(job.status(), Status::Pending);
        clock.run_for(Duration::from_nanos(1)).unwrap();
        assert!(job.result().unwrap_err().is_timed_out());
        assert_eq!(job.attempt(), 1);
    });
}

#[test]
fn a_job_in_time_has_its_result_whatever_time_passes_later() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).build().unwrap();
        let limit = Duration::from_secs(1);
        let job = ThreadJob::new(|| 1, ()).timeout(limit).attempt_timeout(limit);
        let job = engine.submit(job).unwrap();
        assert_eq!(job.result().unwrap(), 1);
        clock.advance(Duration::from_secs(10));
        assert_eq!(job.status(), Status::Done);
        // A limit that nothing can reach is none.
        let job = ThreadJob::new(|| 1, ()).timeout(Duration::MAX).attempt_timeout(Duration::MAX);
        assert_eq!(engine.submit(job).unwrap().result().unwrap(), 1);
        // One that nothing can keep: the job is told at once.
        let job = ProcessJob::new(sleep, (3600,)).timeout(Duration::ZERO);
        assert!(engine.submit(job).unwrap().result().unwrap_err().is_timed_out());
    });
}
