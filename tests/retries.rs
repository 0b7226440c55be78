//! Promise: a job that fails is tried again as often as it says, when it says, for the errors it
//! says; its dependents and whoever waits see the last attempt only.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::{Gate, within};
use executor_engine::prelude::*;
use executor_engine::{Backoff, CancelReason, ManualClock};

/// Fails until it was called that often.
fn fails(times: u32) -> (Arc<AtomicU32>, impl Fn() -> Result<u32, String> + Send + 'static) {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let job = move || match counted.fetch_add(1, Ordering::SeqCst) {
        call if call < times => Err(format!("call {call}")),
        call => Ok(call),
    };
    (calls, job)
}

#[task]
fn die_unless(path: String) -> Result<u32, std::io::Error> {
    if std::path::Path::new(&path).exists() {
        return Ok(7);
    }
    std::fs::write(&path, "was here")?;
    std::process::abort()
}

#[test]
fn a_job_is_tried_until_it_succeeds_or_has_no_retry_left() {
    within(|| {
        let engine = Engine::new().unwrap();
        for (kind, make) in [
            ("thread", (|f| ThreadJob::try_new(f, ())) as fn(_) -> ThreadJob<u32>),
            ("blocking", |f| ThreadJob::try_new(f, ()).blocking()),
        ] {
            let (calls, f) = fails(2);
            let job =
                engine.submit(make(Box::new(f) as Box<dyn Fn() -> _ + Send>).retries(2)).unwrap();
            assert_eq!(job.result().unwrap(), 2, "{kind}");
            assert_eq!((job.attempt(), job.info().retry_remain()), (3, 0), "{kind}");
            assert_eq!(calls.load(Ordering::SeqCst), 3, "{kind}");
        }
        let (calls, f) = fails(9);
        let job = engine.submit(LocalJob::try_new(f, ()).retries(3)).unwrap();
        assert_eq!(job.result().unwrap_err().message(), "call 3");
        assert_eq!((job.attempt(), job.status()), (4, Status::Failed));
        assert_eq!(calls.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn panics_and_dead_workers_are_retried_too() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let calls = AtomicU32::new(0);
        let panics = move || match calls.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("first"),
            call => call,
        };
        let job = engine.submit(ThreadJob::new(panics, ()).retries(1)).unwrap();
        assert_eq!(job.result().unwrap(), 1);

        let path = std::env::temp_dir().join(format!("executor-retry-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let path_text = path.to_str().unwrap().to_owned();
        let job = engine.submit(ProcessJob::new(die_unless, (path_text,)).retries(1)).unwrap();
        let result = job.result();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(result.unwrap(), 7);
        assert_eq!(job.attempt(), 2);
    });
}

#[test]
fn dependents_see_the_last_attempt_only() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (_, f) = fails(3);
        let flaky = engine.submit(ThreadJob::try_new(f, ()).retries(3)).unwrap();
        let next = engine.submit(ThreadJob::new(|x: u32| x + 1, (&flaky,))).unwrap();
        assert_eq!(next.result().unwrap(), 4);
        let (_, f) = fails(3);
        let hopeless = engine.submit(ThreadJob::try_new(f, ()).retries(2)).unwrap();
        let next = engine.submit(ThreadJob::new(|x: u32| x + 1, (&hopeless,))).unwrap();
        let error = next.result().unwrap_err();
        assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(hopeless.id())));
    });
}

#[test]
fn only_errors_that_it_says_are_retried_and_a_panic_there_is_a_no() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (calls, f) = fails(9);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let job = ThreadJob::try_new(f, ()).retries(9).retry_if(move |error| {
            log.lock().unwrap().push(error.message());
            error.message() != "call 2"
        });
        let job = engine.submit(job).unwrap();
        assert_eq!(job.result().unwrap_err().message(), "call 2");
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert_eq!(*asked.lock().unwrap(), ["call 0", "call 1", "call 2"]);

        let (calls, f) = fails(9);
        let job = ThreadJob::try_new(f, ()).retries(9).retry_if(|_| panic!("no opinion"));
        let error = engine.submit(job).unwrap().result().unwrap_err();
        assert_eq!((error.message().as_str(), calls.load(Ordering::SeqCst)), ("call 0", 1));
    });
}

#[test]
fn delays_pass_by_the_clock_and_hold_no_permit() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).max_jobs(1).build().unwrap();
        let times = Arc::new(Mutex::new(Vec::new()));
        let (log, now) = (Arc::clone(&times), clock.clone());
        let job = ThreadJob::try_new(
            move || {
                log.lock().unwrap().push(now.now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
                Err::<(), _>("again")
            },
            (),
        );
        let seconds = Duration::from_secs;
        let backoff = Backoff::exponential(seconds(10)).max(seconds(25));
        let job = engine.submit(job.retries(4).backoff(backoff)).unwrap();
        clock.run_for(seconds(1)).unwrap();
        // Between two attempts it is pending, says so, and leaves its permit to others.
        assert_eq!(job.status(), Status::Pending);
        assert!(job.explain().contains("tried again in 9s"), "{}", job.explain());
        assert_eq!(engine.submit(ThreadJob::new(|| 1, ())).unwrap().result().unwrap(), 1);
        clock.run_for(seconds(1000)).unwrap();
        assert_eq!(job.status(), Status::Failed);
        let expected = [0, 10, 30, 55, 80].map(seconds);
        assert_eq!(*times.lock().unwrap(), expected);
    });
}

#[test]
fn jitter_keeps_delays_below_the_whole_and_apart() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).build().unwrap();
        let whole = Duration::from_secs(1000);
        let jobs: Vec<_> = (0..50)
            .map(|_| {
                let times = Arc::new(Mutex::new(Vec::new()));
                let (log, now) = (Arc::clone(&times), clock.clone());
                let job = ThreadJob::try_new(
                    move || {
                        log.lock().unwrap().push(now.now());
                        Err::<(), _>("again")
                    },
                    (),
                );
                let job = job.retries(1).backoff(Backoff::fixed(whole).full_jitter());
                engine.submit(job).unwrap();
                times
            })
            .collect();
        clock.run_for(whole).unwrap();
        let mut delays: Vec<Duration> = jobs
            .iter()
            .map(|times| {
                let times = times.lock().unwrap();
                times[1].duration_since(times[0]).unwrap()
            })
            .collect();
        assert!(delays.iter().all(|delay| *delay <= whole));
        delays.sort_unstable();
        delays.dedup();
        assert!(delays.len() > 45, "they come back together: {delays:?}");
    });
}

#[test]
fn a_cancelled_job_is_not_retried() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (begun, go_on) = (Gate::new(), Gate::new());
        let (tell, wait) = (begun.clone(), go_on.clone());
        let job = ThreadJob::try_new(
            move || {
                tell.open();
                wait.pass();
                Err::<(), _>("failed")
            },
            (),
        );
        let job = engine.submit(job.retries(9)).unwrap();
        begun.pass();
        job.cancel();
        go_on.open();
        job.wait().unwrap();
        assert_eq!((job.status(), job.attempt()), (Status::Cancelled, 1));

        // Nor between two attempts.
        let (calls, f) = fails(9);
        let job = ThreadJob::try_new(f, ()).retries(9).retry_delay(Duration::from_secs(3600));
        let job = engine.submit(job).unwrap();
        while calls.load(Ordering::SeqCst) == 0 || job.status() != Status::Pending {
            std::thread::yield_now();
        }
        job.cancel();
        assert_eq!((job.status(), job.attempt()), (Status::Cancelled, 1));
    });
}

#[test]
fn a_wait_for_a_job_between_two_attempts_is_no_stall() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (_, f) = fails(1);
        let delay = Duration::from_millis(20);
        let job = engine.submit(ThreadJob::try_new(f, ()).retries(1).retry_delay(delay)).unwrap();
        engine.wait().unwrap();
        assert_eq!(job.result().unwrap(), 1);
        assert!(job.info().total_time().unwrap() >= delay);
    });
}

#[test]
fn how_to_retry_means_nothing_without_how_often() {
    let engine = Engine::new().unwrap();
    let job = || ThreadJob::new(|| 1, ());
    let second = Duration::from_secs(1);
    for idle in [job().retry_delay(second), job().retry_if(|_| true)] {
        assert!(engine.submit(idle).unwrap_err().is_invalid_setting());
    }
    // Said to be none, it is meant.
    assert_eq!(engine.submit(job().retry_delay(second).retries(0)).unwrap().result().unwrap(), 1);
}
