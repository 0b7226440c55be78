//! Promise: events tell what happens to each job, in order; a reader that falls behind slows
//! nothing and is told how much it missed.

mod common;

use std::collections::BTreeMap;
use std::sync::{Barrier, mpsc};
use std::time::Duration;

use common::{DEADLINE, Gate, within};
use executor_engine::prelude::*;
use executor_engine::{Events, JobEvent};

#[task]
fn report(ctx: JobContext) {
    ctx.progress(0.25, "a quarter");
    ctx.progress(7.0, "too much");
}

fn next(events: &Events) -> JobEvent {
    events.recv_timeout(DEADLINE).expect("an event")
}

#[test]
fn a_jobs_life_in_order() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let events = engine.events();
        let job = ThreadJob::try_new(
            |ctx: JobContext| if ctx.attempt() == 1 { Err("not yet") } else { Ok(()) },
            (Context,),
        );
        let job = engine.submit(job.retries(1)).unwrap();
        job.wait().unwrap();
        let id = job.id();
        let error = "the job failed: not yet".to_owned();
        let life = [
            JobEvent::Submitted { id },
            JobEvent::Started { id, attempt: 1 },
            JobEvent::Retrying { id, attempt: 1, error },
            JobEvent::Started { id, attempt: 2 },
            JobEvent::Finished { id, status: Status::Done },
        ];
        assert_eq!(std::array::from_fn(|_| next(&events)), life);
        job.rerun().unwrap();
        assert_eq!(next(&events), JobEvent::Rerun { id });

        let events = engine.events();
        let job = engine.submit(ProcessJob::new(report, (Context,))).unwrap();
        let mine = |event: &JobEvent| event.id() == job.id();
        let told: Vec<JobEvent> = events.iter().filter(mine).take(5).collect();
        assert_eq!(told[0], JobEvent::Submitted { id: job.id() });
        assert_eq!(told[1], JobEvent::Started { id: job.id(), attempt: 1 });
        let fractions: Vec<f64> = told
            .iter()
            .filter_map(|event| match event {
                JobEvent::Progress { progress, .. } => Some(progress.fraction()),
                _ => None,
            })
            .collect();
        assert_eq!(fractions, [0.25, 1.0]);
        assert_eq!(told[4], JobEvent::Finished { id: job.id(), status: Status::Done });
    });
}

#[test]
fn progress_is_told_between_the_start_and_the_end() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).max_process_jobs(2).build().unwrap();
        let events = engine.events_with_capacity(100_000);
        for _ in 0..300 {
            engine.submit(ThreadJob::new(report, (Context,))).unwrap();
            engine.submit(ProcessJob::new(report, (Context,))).unwrap();
            engine.submit(LocalJob::new(report, (Context,))).unwrap();
        }
        engine.wait().unwrap();
        drop(engine);
        let mut lives: BTreeMap<JobId, Vec<&str>> = BTreeMap::new();
        for event in events.iter() {
            lives.entry(event.id()).or_default().push(match event {
                JobEvent::Submitted { .. } => "submitted",
                JobEvent::Started { .. } => "started",
                JobEvent::Progress { .. } => "progress",
                JobEvent::Finished { .. } => "finished",
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(lives.len(), 900);
        for life in lives.values() {
            assert_eq!(*life, ["submitted", "started", "progress", "progress", "finished"]);
        }
    });
}

/// In the worker: the second job runs; the first one's thread has told.
static BEGUN: Barrier = Barrier::new(2);
static TOLD: Barrier = Barrier::new(2);

#[task]
fn leaves_a_thread(ctx: JobContext) {
    std::thread::spawn(move || {
        BEGUN.wait();
        ctx.progress(0.9, "late");
        TOLD.wait();
    });
}

#[task]
fn lets_it_tell(ctx: JobContext, own: Option<f64>) {
    if let Some(fraction) = own {
        ctx.progress(fraction, "own");
    }
    BEGUN.wait();
    TOLD.wait();
}

#[test]
fn the_progress_of_a_job_that_is_over_is_not_that_of_the_workers_next() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        for own in [None, Some(0.5)] {
            let left = engine.submit(ProcessJob::new(leaves_a_thread, (Context,))).unwrap();
            left.result().unwrap();
            let next = engine.submit(ProcessJob::new(lets_it_tell, (Context, own))).unwrap();
            next.result().unwrap();
            let told = next.info().progress().map(|progress| progress.fraction());
            assert_eq!((told, left.info().progress()), (own, None));
        }
    });
}

const LONG: Duration = Duration::from_secs(3600);

/// A context of a run that is over: nobody hears what it tells, and it says that it is to stop.
fn assert_over(ctx: &JobContext, attempt: u32) {
    ctx.progress(0.9, "late");
    assert!(ctx.is_cancelled());
    for stopped in [ctx.check_cancelled(), ctx.sleep(LONG)] {
        assert!(stopped.unwrap_err().message().contains("has ended"));
    }
    assert_eq!((ctx.attempt(), ctx.resource("gpu")), (attempt, vec![]));
}

#[test]
fn a_context_that_outlives_its_run_disturbs_nothing() {
    within(|| {
        let engine = Engine::builder().resource("gpu", 1).build().unwrap();
        let events = engine.events();
        let (tell, told) = mpsc::channel();
        let gate = Gate::new();
        let passed = gate.clone();
        // Once it fails, then it waits, then it is through.
        let leaks = move |ctx: JobContext| {
            ctx.progress(0.1, format!("attempt {}", ctx.attempt()));
            tell.send(ctx.clone()).unwrap();
            if ctx.attempt() == 1 {
                return Err("once");
            }
            passed.pass();
            Ok(())
        };
        let job = ThreadJob::try_new(leaks, (Context,)).retries(1).resource("gpu", 1);
        let job = engine.submit(job).unwrap();
        let progress = || job.info().progress().map(|progress| progress.message().to_owned());

        let [first, second] = std::array::from_fn(|_| told.recv().unwrap());
        assert_over(&first, 1);
        assert_eq!(progress().unwrap(), "attempt 2");
        assert_eq!((second.is_cancelled(), second.attempt()), (false, 2));
        assert_eq!(second.resource("gpu"), [0]);
        gate.open();
        job.wait().unwrap();
        assert_over(&first, 1);
        assert_over(&second, 2);
        assert_eq!(progress().unwrap(), "attempt 2");

        job.rerun().unwrap();
        let [third, fourth] = std::array::from_fn(|_| told.recv().unwrap());
        job.wait().unwrap();
        for (ctx, attempt) in [(first, 1), (second, 2), (third, 1), (fourth, 2)] {
            assert_over(&ctx, attempt);
        }
        assert_eq!(progress().unwrap(), "attempt 2");
        drop(engine);
        let words = events.iter().filter_map(|event| match event {
            JobEvent::Progress { progress, .. } => Some(progress.message().to_owned()),
            _ => None,
        });
        assert_eq!(Vec::from_iter(words), ["attempt 1", "attempt 2", "attempt 1", "attempt 2"]);
    });
}

/// A thread that a run leaves behind asleep is woken by its end, be it the last one or not.
#[test]
fn who_sleeps_in_a_job_is_woken_by_its_end() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (tell, told) = mpsc::channel();
        let leaves = move |ctx: JobContext| {
            let attempt = ctx.attempt();
            let tell = tell.clone();
            let (asleep, about) = mpsc::channel();
            std::thread::spawn(move || {
                asleep.send(()).unwrap();
                tell.send((attempt, ctx.sleep(LONG).is_err())).unwrap();
            });
            about.recv().unwrap();
            // Time to fall asleep: were it too short, the test could only pass for nothing.
            (0..100).for_each(|_| std::thread::yield_now());
            Err::<(), _>("once")
        };
        // The next attempt does not come before the first one's thread was woken.
        let job = ThreadJob::try_new(leaves.clone(), (Context,)).retries(1).retry_delay(LONG);
        let job = engine.submit(job).unwrap();
        assert_eq!(told.recv().unwrap(), (1, true));
        job.cancel();
        let job = engine.submit(ThreadJob::try_new(leaves, (Context,))).unwrap();
        assert_eq!(told.recv().unwrap(), (1, true));
        job.wait().unwrap();
    });
}

#[test]
fn a_reader_that_falls_behind_is_told_how_much_it_missed() {
    within(|| {
        let engine = Engine::new().unwrap();
        let lazy = engine.events_with_capacity(10);
        let none = engine.events_with_capacity(0);
        let eager = engine.events_with_capacity(10_000);
        engine.submit_all((0..1000).map(|i| ThreadJob::new(move || i, ()))).unwrap();
        engine.wait().unwrap();
        drop(engine);
        assert_eq!(eager.iter().count(), 3000);
        assert_eq!((lazy.missed(), lazy.iter().count()), (2990, 10));
        assert_eq!((none.missed(), none.iter().count()), (3000, 0));
        assert_eq!(eager.missed(), 0);
    });
}

#[test]
fn each_job_ends_once_whatever_happens() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let events = engine.events_with_capacity(100_000);
        let jobs: Vec<_> = (0..3000_u32)
            .map(|i| {
                let job =
                    ThreadJob::try_new(move || if i % 3 == 0 { Err("bad") } else { Ok(i) }, ());
                let job = engine.submit(job.retries(i % 2)).unwrap();
                if i % 5 == 0 {
                    job.cancel();
                }
                job
            })
            .collect();
        engine.wait().unwrap();
        drop(engine);
        let mut ends: BTreeMap<JobId, Vec<Status>> = BTreeMap::new();
        for event in events.iter() {
            if let JobEvent::Finished { id, status } = event {
                ends.entry(id).or_default().push(status);
            }
        }
        for job in &jobs {
            assert_eq!(ends[&job.id()], [job.status()]);
        }
    });
}

#[test]
fn others_hear_on_when_one_stops_listening_and_the_end_when_the_engine_ends() {
    within(|| {
        let engine = Engine::new().unwrap();
        drop(engine.events());
        let events = engine.events();
        let clone = events.clone();
        drop(events);
        engine.submit(ThreadJob::new(|| 1, ())).unwrap().wait().unwrap();
        assert!(matches!(next(&clone), JobEvent::Submitted { .. }));
        drop(clone);
        engine.submit(ThreadJob::new(|| 1, ())).unwrap().wait().unwrap();
        // The dispatcher is through with the last end, too.
        engine.wait().unwrap();
        let late = engine.events();
        engine.shutdown(Shutdown::Drain);
        assert_eq!(late.recv(), None);
        assert_eq!(engine.events().recv_timeout(Duration::from_secs(1)), None);
    });
}
