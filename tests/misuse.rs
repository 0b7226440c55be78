//! The promise: misuse is a typed error, at once, with a predicate, and a sentence that says
//! what to do; and it changes nothing.

mod common;

use common::{Gate, within};
use executor_engine::prelude::*;
use executor_engine::{EngineBuilder, Error};

fn assert_says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!text.contains('\n') && !text.contains("Kind"), "{text}");
}

#[test]
fn every_limit_of_zero_is_refused_by_name() {
    type Setting = (&'static str, fn(EngineBuilder) -> EngineBuilder);
    let settings: [Setting; 7] = [
        ("max_jobs", |b| b.max_jobs(0)),
        ("max_thread_jobs", |b| b.max_thread_jobs(0)),
        ("max_blocking_jobs", |b| b.max_blocking_jobs(0)),
        ("max_process_jobs", |b| b.max_process_jobs(0)),
        ("max_jobs_per_worker", |b| b.max_jobs_per_worker(0)),
        ("max_message_bytes", |b| b.max_message_bytes(0)),
        ("thread_stack_bytes", |b| b.thread_stack_bytes(0)),
    ];
    for (name, set) in settings {
        let error = set(Engine::builder()).build().unwrap_err();
        assert!(error.is_invalid_setting(), "{name}");
        assert_says(&error, &[&format!("{name} is 0"), "give at least 1"]);
    }
    // Keeping none is a choice.
    within(|| {
        let engine = Engine::builder().keep_finished(0).build().unwrap();
        assert_eq!(engine.submit(ThreadJob::new(|| 1, ())).unwrap().result().unwrap(), 1);
    });
}

#[test]
fn settings_beyond_all_measure_are_errors_or_work_but_never_a_panic_or_a_hang() {
    within(|| {
        let settings: [fn(EngineBuilder) -> EngineBuilder; 7] = [
            |b| b.max_jobs(usize::MAX),
            |b| b.max_blocking_jobs(usize::MAX),
            |b| b.max_process_jobs(usize::MAX),
            |b| b.keep_finished(usize::MAX),
            |b| b.kill_grace(std::time::Duration::MAX),
            |b| b.max_message_bytes(usize::MAX),
            |b| b.max_jobs_per_worker(u32::MAX),
        ];
        for set in settings {
            if let Ok(engine) = set(Engine::builder()).build() {
                let job = engine.submit(ThreadJob::new(|| 1, ()).blocking()).unwrap();
                assert_eq!(job.result().unwrap(), 1);
                let job = engine.submit(ProcessJob::new(gives_one, ())).unwrap();
                assert_eq!(job.result().unwrap(), 1);
            }
        }
    });
}

#[task]
fn gives_one() -> i32 {
    1
}

#[test]
fn a_stack_that_the_system_refuses_fails_the_jobs_that_need_it() {
    within(|| {
        let engine = Engine::builder().thread_stack_bytes(1 << 60).build().unwrap();
        let jobs = [
            engine.submit(LocalJob::new(|| 1, ())).unwrap(),
            engine.submit(ThreadJob::new(|| 1, ())).unwrap(),
            engine.submit(ThreadJob::new(|| 1, ()).blocking()).unwrap(),
        ];
        for job in jobs {
            let error = job.result().unwrap_err();
            assert!(error.is_no_worker(), "{error}");
            assert!(error.to_string().contains("could not be started"), "{error}");
        }
        engine.wait().unwrap();
        assert_eq!((engine.stats().unfinished, engine.stats().failed), (0, 3));
    });
}

#[test]
fn submitting_to_an_engine_that_is_shut_down() {
    within(|| {
        let engine = Engine::new().unwrap();
        engine.shutdown(Shutdown::Cancel);
        let error = engine.submit(ThreadJob::new(|| 1, ())).unwrap_err();
        assert!(error.is_shut_down());
        assert_says(&error, &["shut down", "make a new one"]);
    });
}

#[test]
fn what_a_refused_job_needs_can_go_to_another_engine() {
    within(|| {
        let ended = Engine::new().unwrap();
        ended.shutdown(Shutdown::Cancel);
        let source = ThreadJob::new(|| 1, ());
        let refused = ended.submit(ThreadJob::new(|x: i32| x, (source.output(),)));
        assert!(refused.unwrap_err().is_shut_down());
        // As the message says.
        let engine = Engine::new().unwrap();
        assert_eq!(engine.submit(source).unwrap().result().unwrap(), 1);
    });
}

#[test]
fn a_handle_or_an_output_of_another_engine() {
    within(|| {
        let (one, two) = (Engine::new().unwrap(), Engine::new().unwrap());
        let theirs = one.submit(ThreadJob::new(|| 1, ())).unwrap();
        theirs.wait().unwrap();
        let by_handle = two.submit(ThreadJob::new(|x: i32| x, (&theirs,))).unwrap_err();
        let by_output = two.submit(LocalJob::new(|x: i32| x, (theirs.output(),))).unwrap_err();
        let in_a_list = two.submit_all([ThreadJob::new(|x: i32| x, (&theirs,))]).unwrap_err();
        for error in [by_handle, by_output, in_a_list] {
            assert!(error.is_other_engine());
            let id = theirs.id().to_string();
            assert_says(&error, &[&id, "submit both jobs to one engine", "as a value"]);
        }
        // An output that another engine waits for already is that engine's.
        let promised = ThreadJob::new(|| 5, ());
        let waits = one.submit(ThreadJob::new(|x: i32| x, (promised.output(),))).unwrap();
        assert!(
            two.submit(ThreadJob::new(|x: i32| x, (promised.output(),)))
                .unwrap_err()
                .is_other_engine()
        );
        one.submit(promised).unwrap();
        assert_eq!(waits.result().unwrap(), 5);
        // The refusals left nothing behind, and the values can go as values.
        two.wait().unwrap();
        assert!(two.jobs().is_empty());
        let value = theirs.result().unwrap();
        assert_eq!(two.submit(ThreadJob::new(|x: i32| x, (value,))).unwrap().result().unwrap(), 1);
    });
}

#[test]
fn one_bad_job_in_a_list_refuses_the_list() {
    within(|| {
        let (one, two) = (Engine::new().unwrap(), Engine::new().unwrap());
        let theirs = one.submit(ThreadJob::new(|| 1, ())).unwrap();
        let ran = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut jobs: Vec<_> = (0..10)
            .map(|_| {
                let ran = std::sync::Arc::clone(&ran);
                ThreadJob::new(
                    move |_: i32| ran.store(true, std::sync::atomic::Ordering::SeqCst),
                    (1,),
                )
            })
            .collect();
        jobs.push(ThreadJob::new(|_: i32| (), (&theirs,)));
        assert!(two.submit_all(jobs).unwrap_err().is_other_engine());
        two.wait().unwrap();
        assert!(!ran.load(std::sync::atomic::Ordering::SeqCst));
        assert_eq!(two.stats(), executor_engine::Stats::default());
    });
}

#[test]
fn unknown_ids() {
    within(|| {
        let (engine, other) = (Engine::new().unwrap(), Engine::new().unwrap());
        let unsubmitted = ThreadJob::new(|| 1, ());
        let theirs = other.submit(ThreadJob::new(|| 1, ())).unwrap();
        let foreign: JobId = "12345678-1234-8123-8123-123456789abc".parse().unwrap();
        let removed = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        removed.wait().unwrap();
        engine.remove(removed.id()).unwrap();
        // Named by a job, but not submitted.
        let named = ThreadJob::new(|| 1, ());
        let waits = engine.submit(ThreadJob::new(|x: i32| x, (named.output(),))).unwrap();
        for id in [unsubmitted.id(), theirs.id(), foreign, removed.id(), named.id()] {
            for error in [engine.wait_job(id).unwrap_err(), engine.remove(id).unwrap_err()] {
                assert!(error.is_unknown_job(), "{error}");
                let id = id.to_string();
                assert_says(&error, &[&id, "never submitted", "removed"]);
            }
            assert!(engine.jobs().get(id).is_none());
        }
        waits.cancel();
    });
}

#[test]
fn jobs_only_named_are_not_counted() {
    within(|| {
        let engine = Engine::new().unwrap();
        let named = ThreadJob::new(|| 1, ());
        let job = engine.submit(ThreadJob::new(|x: i32| x, (named.output(),))).unwrap();
        assert_eq!(engine.jobs().len(), engine.jobs().iter().count());
        job.cancel();
        engine.jobs().clear_finished();
        assert!(engine.jobs().is_empty(), "{} left", engine.jobs().len());
    });
}

#[test]
fn removing_what_is_not_finished() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let (started, gate) = (Gate::new(), Gate::new());
        let (s, g) = (started.clone(), gate.clone());
        let running = engine
            .submit(ThreadJob::new(
                move || {
                    s.open();
                    g.pass()
                },
                (),
            ))
            .unwrap();
        started.pass();
        let queued = engine.submit(ThreadJob::new(|| (), ())).unwrap();
        let waits = engine.submit(ThreadJob::new(|()| (), (&queued,))).unwrap();
        for job in [&running, &queued, &waits] {
            let error = engine.remove(job.id()).unwrap_err();
            assert!(error.is_not_finished() && !error.is_unknown_job());
            assert_says(&error, &[&job.id().to_string(), "cancel it or wait for it first"]);
        }
        assert_eq!(engine.jobs().clear_finished(), 0);
        gate.open();
        engine.wait().unwrap();
        for job in [&running, &queued, &waits] {
            assert_eq!(job.status(), Status::Done);
            engine.remove(job.id()).unwrap();
            assert!(engine.remove(job.id()).unwrap_err().is_unknown_job());
        }
    });
}
