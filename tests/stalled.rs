//! The promise: a wait that could never end returns `Stalled` at once, naming each job and what
//! it waits for, inside jobs as outside; nothing is lost by it, and once the missing job is
//! submitted all goes on.

mod common;

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use common::{DEADLINE, Gate, Meter, within};
use executor_engine::condition::*;
use executor_engine::prelude::*;

/// A job that waits for one that is not submitted, and that one.
fn stuck(engine: &Engine) -> (JobHandle<i32>, ThreadJob<i32>) {
    let missing = ThreadJob::new(|| 1, ());
    let job = ThreadJob::new(|x: i32| x + 1, (missing.output(),)).name("dependent");
    (engine.submit(job).unwrap(), missing)
}

fn assert_names(error: &executor_engine::Error, job: JobId, missing: JobId) {
    assert!(error.is_stalled(), "{error}");
    let stalled = error.stalled_jobs().iter().find(|stalled| stalled.id() == job).unwrap();
    assert_eq!(stalled.waits_for(), [missing]);
    assert_eq!(stalled.name(), Some("dependent"));
    let text = error.to_string();
    for part in [&job.to_string(), &missing.to_string(), "dependent", "submit what they wait for"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn every_wait_from_outside_says_so_and_all_goes_on_afterwards() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (job, missing) = stuck(&engine);
        assert_names(&engine.wait().unwrap_err(), job.id(), missing.id());
        assert_names(&job.wait().unwrap_err(), job.id(), missing.id());
        assert_names(&engine.wait_job(job.id()).unwrap_err(), job.id(), missing.id());
        assert_names(&engine.wait_timeout(DEADLINE).unwrap_err(), job.id(), missing.id());
        assert_names(&job.wait_timeout(DEADLINE).unwrap_err(), job.id(), missing.id());
        let error = job.result().unwrap_err();
        assert!(error.is_stalled() && error.to_string().contains(&missing.id().to_string()));
        assert!(job.with_result(|_| ()).unwrap_err().is_stalled());
        assert!(job.take().unwrap_err().is_stalled());
        assert_eq!(job.status(), Status::Pending, "nothing has happened to it");
        engine.submit(missing).unwrap();
        assert_eq!(job.result().unwrap(), 2);
        engine.wait().unwrap();
    });
}

#[test]
fn the_error_names_all_jobs_of_a_long_list() {
    within(|| {
        let engine = Engine::new().unwrap();
        let missing = ThreadJob::new(|| 1, ());
        let jobs: Vec<_> = (0..100)
            .map(|_| engine.submit(ThreadJob::new(|x: i32| x, (missing.output(),))).unwrap())
            .collect();
        let below = engine.submit(ThreadJob::new(|x: i32| x, (&jobs[0],))).unwrap();
        let error = engine.wait().unwrap_err();
        assert_eq!(error.stalled_jobs().len(), 101);
        let last = error.stalled_jobs().iter().find(|job| job.id() == below.id()).unwrap();
        assert_eq!(last.waits_for(), [jobs[0].id()]);
        assert!(error.to_string().contains("101 jobs") && error.to_string().len() < 2_000);
    });
}

#[test]
fn it_is_not_stalled_while_something_runs() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (job, missing) = stuck(&engine);
        let gate = Gate::new();
        let g = gate.clone();
        let running = engine.submit(ThreadJob::new(move || g.pass(), ())).unwrap();
        assert!(!engine.wait_timeout(Duration::from_millis(5)).unwrap());
        assert!(!job.wait_timeout(Duration::from_millis(5)).unwrap());
        // Those who wait already are told when it comes true.
        std::thread::scope(|scope| {
            let all = scope.spawn(|| engine.wait());
            let one = scope.spawn(|| job.wait());
            gate.open();
            assert_names(&all.join().unwrap().unwrap_err(), job.id(), missing.id());
            assert_names(&one.join().unwrap().unwrap_err(), job.id(), missing.id());
        });
        assert_eq!(running.status(), Status::Done);
    });
}

#[test]
fn a_running_job_may_submit_what_is_missing() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (job, missing) = stuck(&engine);
        let missing = std::sync::Mutex::new(Some(missing));
        let inner = engine.clone();
        let submits = move || _ = inner.submit(missing.lock().unwrap().take().unwrap()).unwrap();
        engine.submit(ThreadJob::new(submits, ())).unwrap();
        engine.wait().unwrap();
        assert_eq!(job.result().unwrap(), 2);
        engine.shutdown(Shutdown::Cancel);
    });
}

#[test]
fn waits_inside_jobs_of_every_kind_are_told_too() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(1).max_blocking_jobs(1).build().unwrap();
        let (job, missing) = stuck(&engine);
        let waits = |job: JobHandle<i32>| {
            move || {
                let error = job.wait().unwrap_err();
                (error.is_stalled(), error.stalled_jobs().iter().any(|j| j.id() == job.id()))
            }
        };
        let inside = [
            engine.submit(LocalJob::new(waits(job.clone()), ())).unwrap(),
            engine.submit(ThreadJob::new(waits(job.clone()), ())).unwrap(),
            engine.submit(ThreadJob::new(waits(job.clone()), ()).blocking()).unwrap(),
        ];
        for inside in inside {
            assert_eq!(inside.result().unwrap(), (true, true));
        }
        engine.submit(missing).unwrap();
        assert_eq!(job.result().unwrap(), 2);
    });
}

#[test]
fn jobs_that_all_wait_inside_for_a_missing_one_are_all_told() {
    within(|| {
        for _ in 0..20 {
            let engine = Engine::builder().max_thread_jobs(3).build().unwrap();
            let (job, _missing) = stuck(&engine);
            let meter = Meter::new();
            let waits: Vec<_> = (0..3)
                .map(|_| {
                    let (meter, job) = (meter.clone(), job.clone());
                    let wait = move || {
                        let _inside = meter.enter();
                        assert!(meter.reaches(3, DEADLINE));
                        job.result().unwrap_err().is_stalled()
                    };
                    engine.submit(ThreadJob::new(wait, ())).unwrap()
                })
                .collect();
            for wait in waits {
                assert!(wait.result().unwrap());
            }
        }
    });
}

#[test]
fn a_job_that_waits_for_itself_is_told() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (send, receive) = std::sync::mpsc::channel::<JobHandle<bool>>();
        let receive = std::sync::Mutex::new(receive);
        let job = ThreadJob::new(
            move || {
                let me = receive.lock().unwrap().recv().unwrap();
                me.wait().unwrap_err().is_stalled()
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        send.send(job.clone()).unwrap();
        assert!(job.result().unwrap());
    });
}

#[test]
fn two_jobs_that_wait_for_each_other_come_to_an_end() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let meter = Meter::new();
        let mut senders = Vec::new();
        let jobs: Vec<_> = (0..2)
            .map(|_| {
                let (send, receive) = std::sync::mpsc::channel::<JobHandle<bool>>();
                senders.push(send);
                let receive = std::sync::Mutex::new(receive);
                let meter = meter.clone();
                let wait = move || {
                    let _inside = meter.enter();
                    assert!(meter.reaches(2, DEADLINE));
                    let other = receive.lock().unwrap().recv().unwrap();
                    other.wait().is_err_and(|error| error.is_stalled())
                };
                engine.submit(ThreadJob::new(wait, ())).unwrap()
            })
            .collect();
        senders[0].send(jobs[1].clone()).unwrap();
        senders[1].send(jobs[0].clone()).unwrap();
        let told: Vec<bool> = jobs.iter().map(|job| job.result().unwrap()).collect();
        assert!(told.contains(&true), "somebody must have been told");
        engine.wait().unwrap();
    });
}

#[test]
fn waiting_for_all_inside_a_job_is_an_error_that_says_what_to_do() {
    within(|| {
        let engine = Engine::new().unwrap();
        let inner = engine.clone();
        let waits = move || {
            let error = inner.wait().unwrap_err();
            assert!(inner.wait_timeout(DEADLINE).unwrap_err().is_wait_inside_job());
            (error.is_wait_inside_job(), error.to_string())
        };
        let (right, text) = engine.submit(ThreadJob::new(waits, ())).unwrap().result().unwrap();
        assert!(right);
        assert!(text.contains("JobHandle::wait"), "{text}");
        // Another engine's wait is no such thing.
        let other = Engine::new().unwrap();
        other.submit(ThreadJob::new(|| 1, ())).unwrap();
        let waits = move || other.wait().is_ok();
        assert!(engine.submit(ThreadJob::new(waits, ())).unwrap().result().unwrap());
        engine.shutdown(Shutdown::Cancel);
    });
}

#[test]
fn an_engine_with_nothing_in_it_is_not_stalled() {
    within(|| {
        let engine = Engine::new().unwrap();
        engine.wait().unwrap();
        let (job, missing) = stuck(&engine);
        job.cancel();
        engine.wait().unwrap();
        drop(missing);
    });
}

/// Every wait says so at once, names the job and what it waits for, and nothing else happens to it.
fn assert_told(engine: &Engine, job: &JobHandle<i32>, waits_for: &[JobId]) {
    for error in [engine.wait().unwrap_err(), job.wait().unwrap_err()] {
        assert!(error.is_stalled(), "{error}");
        let stalled = error.stalled_jobs().iter().find(|stalled| stalled.id() == job.id()).unwrap();
        let mut named = stalled.waits_for().to_vec();
        named.sort();
        assert_eq!(named, waits_for);
        let text = error.to_string();
        assert!(text.contains(&job.id().to_string()), "{text}");
        for id in waits_for.iter().take(8) {
            assert!(text.contains(&id.to_string()), "{text}");
        }
    }
    assert_eq!(job.status(), Status::Pending);
}

#[test]
fn conditions_on_a_job_that_is_not_submitted() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (missing, other) = (ThreadJob::new(|| 1, ()), ThreadJob::new(|| 1, ()));
        let ended = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        ended.wait().unwrap();
        let (m, o) = (missing.id(), other.id());
        for (condition, waits_for) in [
            (after_another(&missing), vec![m]),
            (after_others([&missing, &other]).done(), vec![m, o]),
            (after_others([&missing, &other]).any(), vec![m, o]),
            (after_others([m, ended.id()]), vec![m]),
            (after_another(&ended).failed() | after_another(&missing), vec![m]),
            // Time alone does not help: it is beside what is missing.
            (after_another(&missing) & after_delay("1h"), vec![m]),
            (after_another(&missing) & (every("1s") | after_another(&other)), vec![m, o]),
            (after_another(&missing) & custom(|_| true).every("1h"), vec![m]),
            (before_timepoint("2200-01-01T00:00:00Z") & after_another(&missing), vec![m]),
            (
                (after_another(&missing) & after_clock("0"))
                    | (after_another(&other) & after_delay("1s")),
                vec![m, o],
            ),
        ] {
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
            assert_told(&engine, &job, &waits_for);
            job.cancel();
        }
        engine.wait().unwrap();
        // And all goes on when it comes.
        let job = after_another(&missing).done() & after_others([&missing]).any();
        let job = engine.submit(ThreadJob::new(|| 2, ()).condition(job)).unwrap();
        assert_told(&engine, &job, &[m, m]);
        engine.submit(missing).unwrap();
        assert_eq!(job.result().unwrap(), 2);
        drop(other);
    });
}

#[test]
fn jobs_that_wait_for_each_other_or_another_by_their_conditions() {
    within(|| {
        let engine = Engine::new().unwrap();
        let missing = ThreadJob::new(|| 1, ());
        let jobs: Vec<_> = (0..3).map(|_| ThreadJob::new(|| 1, ())).collect();
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id()).collect();
        // In a circle, which any of the missing job's ends would open: so it is not refused.
        let jobs: Vec<_> = (0..3)
            .zip(jobs)
            .map(|(at, job)| {
                let either = after_another(ids[(at + 1) % 3]) | after_another(&missing);
                engine.submit(job.condition(either)).unwrap()
            })
            .collect();
        for (at, job) in jobs.iter().enumerate() {
            let mut waits_for = [ids[(at + 1) % 3], missing.id()];
            waits_for.sort();
            assert_told(&engine, job, &waits_for);
        }
        engine.submit(missing).unwrap();
        engine.wait().unwrap();
        assert_eq!(engine.stats().done, 4);

        // One that waits for itself or something else; and one that waits for itself alone.
        let job = ThreadJob::new(|| 1, ());
        let itself = after_another(&job) | any_satisfied([]);
        let id = job.id();
        let alone = engine.submit(job.condition(itself)).unwrap();
        assert_told(&engine, &alone, &[id]);
        alone.cancel();
        let job = ThreadJob::new(|| 1, ());
        let itself = after_another(&job) | after_delay("1ms");
        assert_eq!(engine.submit(job.condition(itself)).unwrap().result().unwrap(), 1);
        engine.wait().unwrap();
    });
}

#[test]
fn it_is_not_stalled_while_time_may_help() {
    within(|| {
        let engine = Engine::new().unwrap();
        let missing = ThreadJob::new(|| 1, ());
        for condition in [
            after_delay("50ms"),
            after_another(&missing) | every("50ms"),
            custom(|_| rand::random::<f64>() < 0.1).every("5ms") | after_another(&missing),
        ] {
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
            let then = ThreadJob::new(|| 2, ()).condition(after_another(&job).done());
            let then = engine.submit(then).unwrap();
            engine.wait().unwrap();
            assert_eq!(then.result().unwrap(), 2);
        }
        // A job that is stuck is told of when time can help the others no more.
        let stuck = engine.submit(ThreadJob::new(|| 1, ()).condition(after_another(&missing)));
        let stuck = stuck.unwrap();
        let timed = engine.submit(ThreadJob::new(|| 1, ()).condition(after_delay("30ms"))).unwrap();
        assert_told(&engine, &stuck, &[missing.id()]);
        assert_eq!(timed.status(), Status::Done);
    });
}

#[test]
fn those_who_wait_are_told_when_the_last_hope_is_cancelled() {
    within(|| {
        let engine = Engine::new().unwrap();
        let missing = ThreadJob::new(|| 1, ());
        let stuck = ThreadJob::new(|| 1, ()).condition(after_another(&missing));
        let stuck = engine.submit(stuck).unwrap();
        for hope in [after_delay("1d"), custom(|_| false).every("1d")] {
            let hope = engine.submit(ThreadJob::new(|| 1, ()).condition(hope)).unwrap();
            assert!(!engine.wait_timeout(Duration::from_millis(5)).unwrap());
            std::thread::scope(|scope| {
                let told = scope.spawn(|| engine.wait().unwrap_err().is_stalled());
                let also = scope.spawn(|| stuck.wait().unwrap_err().is_stalled());
                hope.cancel();
                assert!(told.join().unwrap() && also.join().unwrap());
            });
        }
    });
}

#[test]
fn a_job_that_waits_for_a_hundred_thousand_is_told_in_few_words() {
    within(|| {
        let engine = Engine::new().unwrap();
        let jobs: Vec<_> = (0..100_000).map(|_| ThreadJob::new(|| 1, ())).collect();
        for condition in [after_others(&jobs), after_others(&jobs).any()] {
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
            let ids: Vec<JobId> = jobs.iter().map(|job| job.id()).collect();
            assert_told(&engine, &job, &ids);
            let text = job.result().unwrap_err().to_string();
            assert!(text.contains("and 99992 more") && text.len() < 2_000, "{text}");
            job.cancel();
        }
    });
}

/// A job that has the graphics card and waits for one that it is sent; it gives whether that ended, or
/// whether it was told of a stall.
fn holder(engine: &Engine) -> (JobHandle<Result<bool, bool>>, mpsc::Sender<JobHandle<i32>>) {
    let (send, receive) = mpsc::channel::<JobHandle<i32>>();
    let receive = Mutex::new(receive);
    let holds = move || {
        let needed = receive.lock().unwrap().recv().unwrap();
        needed.wait_timeout(DEADLINE).map_err(|error| error.is_stalled())
    };
    (engine.submit(ThreadJob::new(holds, ()).resource("gpu", 1)).unwrap(), send)
}

/// A job that has a graphics card waits for one that needs it, and gets to know that: whatever
/// became of others that need it.
#[test]
fn who_holds_what_the_awaited_job_needs_is_told() {
    within(|| {
        for cancelled in [None, Some(1), Some(2)] {
            let engine = Engine::builder().max_thread_jobs(4).resource("gpu", 1).build().unwrap();
            let (holder, send) = holder(&engine);
            let need = || engine.submit(ThreadJob::new(|| 1, ()).resource("gpu", 1)).unwrap();
            let needs: Vec<_> = (0..3).map(|_| need()).collect();
            if let Some(which) = cancelled {
                // Also with an entry of each of its two runs.
                needs[which].cancel();
                if which == 2 {
                    needs[which].rerun().unwrap();
                }
            }
            send.send(needs[0].clone()).unwrap();
            assert_eq!(holder.result().unwrap(), Err(true), "{cancelled:?}");
            engine.wait().unwrap();
            assert_eq!(needs[0].result().unwrap(), 1);
        }
    });
}

/// What is kept for a job that cannot go is not kept from the one that all wait for.
#[test]
fn it_is_not_stalled_while_the_awaited_job_could_run() {
    within(|| {
        let engine = Engine::builder()
            .max_thread_jobs(4)
            .resource("gpu", 1)
            .resource("disk", 1)
            .build()
            .unwrap();
        let (holder, send) = holder(&engine);
        let both = LocalJob::new(|| 1, ()).resource("gpu", 1).resource("disk", 1);
        let both = engine.submit(both).unwrap();
        let one = engine.submit(LocalJob::new(|| 2, ()).resource("disk", 1)).unwrap();
        send.send(one).unwrap();
        assert_eq!(holder.result().unwrap(), Ok(true));
        assert_eq!(both.result().unwrap(), 1);
    });
}
