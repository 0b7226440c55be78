//! The promise: the end of an engine is orderly. A drop cancels what has not begun and waits for
//! what runs; a drain finishes everything; both work from inside a job; handles outlive it all.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DEADLINE, Gate, within};
use executor_engine::condition::after_delay;
use executor_engine::prelude::*;
use executor_engine::{CancelReason, JobKind};

fn running(engine: &Engine) -> (JobHandle<i32>, Gate) {
    let (started, gate) = (Gate::new(), Gate::new());
    let (s, g) = (started.clone(), gate.clone());
    let job = engine
        .submit(ThreadJob::new(
            move || {
                s.open();
                g.pass();
                1
            },
            (),
        ))
        .unwrap();
    started.pass();
    (job, gate)
}

#[test]
fn a_drop_cancels_what_is_pending_and_waits_for_what_runs() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let returned = Arc::new(AtomicBool::new(false));
        let (started, gate) = (Gate::new(), Gate::new());
        let (s, g, r) = (started.clone(), gate.clone(), Arc::clone(&returned));
        let job = ThreadJob::new(
            move || {
                s.open();
                g.pass();
                r.store(true, Ordering::SeqCst)
            },
            (),
        );
        let runs = engine.submit(job).unwrap();
        started.pass();
        let queued = engine.submit(ThreadJob::new(|| 2, ())).unwrap();
        let waits = engine.submit(ThreadJob::new(|()| 3, (&runs,))).unwrap();
        let never = ThreadJob::new(|| 1, ());
        let stuck = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),))).unwrap();
        let dropping = std::thread::spawn(move || drop(engine));
        // The pending ones are cancelled while the running one still runs.
        for job in [&queued, &stuck] {
            job.wait_timeout(DEADLINE).unwrap();
            assert_eq!(job.status(), Status::Cancelled);
            let error = job.exception().unwrap();
            assert_eq!(error.cancel_reason(), Some(&CancelReason::Shutdown));
        }
        assert!(!dropping.is_finished(), "a function still runs");
        assert_eq!(runs.status(), Status::Running);
        gate.open();
        dropping.join().unwrap();
        assert!(returned.load(Ordering::SeqCst));
        assert_eq!(runs.status(), Status::Cancelled);
        assert_eq!(waits.status(), Status::Cancelled);
        assert_eq!((queued.attempt(), waits.attempt(), stuck.attempt()), (0, 0, 0));
    });
}

#[test]
fn a_drain_finishes_everything_that_can_run() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let mut last = Vec::new();
        for _ in 0..200 {
            let counted = |x: i32| {
                let count = Arc::clone(&count);
                move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    x
                }
            };
            let a = engine.submit(LocalJob::new(counted(1), ())).unwrap();
            let f = counted(1);
            let b = engine.submit(ThreadJob::new(move |x: i32| x + f(), (&a,))).unwrap();
            let f = counted(1);
            let c = ThreadJob::new(move |x: i32| x + f(), (&b,)).blocking();
            last.push(engine.submit(c).unwrap());
        }
        let never = ThreadJob::new(|| 1, ());
        let stuck = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),))).unwrap();
        engine.shutdown(Shutdown::Drain);
        assert_eq!(count.load(Ordering::SeqCst), 600);
        assert!(last.iter().all(|job| job.status() == Status::Done));
        assert!(last.iter().all(|job| job.result().unwrap() == 3));
        assert_eq!(stuck.status(), Status::Cancelled);
        assert_eq!(stuck.exception().unwrap().cancel_reason(), Some(&CancelReason::Shutdown));
    });
}

#[test]
fn what_was_accepted_before_a_drain_is_finished_by_it() {
    within(|| {
        for _ in 0..30 {
            let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
            let accepted = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                let submitters: Vec<_> = (0..3)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut mine = Vec::new();
                            for _ in 0..300 {
                                mine.push(engine.submit(ThreadJob::new(|| 1, ())).unwrap());
                            }
                            accepted.lock().unwrap().extend(mine);
                        })
                    })
                    .collect();
                for submitter in submitters {
                    submitter.join().unwrap();
                }
            });
            engine.shutdown(Shutdown::Drain);
            for job in accepted.into_inner().unwrap() {
                assert_eq!(job.status(), Status::Done);
            }
        }
    });
}

#[test]
fn after_a_shutdown_a_submit_is_refused_with_a_typed_error() {
    within(|| {
        for how in [Shutdown::Drain, Shutdown::Cancel] {
            let engine = Engine::new().unwrap();
            let before = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
            engine.shutdown(how);
            engine.shutdown(Shutdown::Drain);
            let error = engine.submit(ThreadJob::new(|| 1, ())).unwrap_err();
            assert!(error.is_shut_down());
            let error = engine.submit(LocalJob::new(|x: i32| x, (&before,))).unwrap_err();
            assert!(error.is_shut_down());
            let error = engine.submit_all([ThreadJob::new(|| 1, ())]).unwrap_err();
            assert!(error.is_shut_down());
            assert!(before.status().is_finished());
            engine.wait().unwrap();
        }
    });
}

#[test]
fn a_job_may_shut_its_engine_down() {
    within(|| {
        for how in [Shutdown::Drain, Shutdown::Cancel] {
            let engine = Engine::new().unwrap();
            let shared = Arc::new(Mutex::new(Some(engine.clone())));
            let inner = Arc::clone(&shared);
            let job = ThreadJob::new(
                move || {
                    let engine = inner.lock().unwrap().take().unwrap();
                    engine.shutdown(how);
                    engine.submit(ThreadJob::new(|| 1, ())).unwrap_err().is_shut_down()
                },
                (),
            );
            let job = engine.submit(job).unwrap();
            job.wait().unwrap();
            match how {
                Shutdown::Drain => assert!(job.result().unwrap()),
                Shutdown::Cancel => assert!(job.result().unwrap_err().is_cancelled()),
            }
            drop(engine);
        }
    });
}

#[test]
fn a_job_may_drop_the_last_engine_on_every_kind() {
    within(|| {
        for kind in 0..3 {
            let engine = Engine::new().unwrap();
            let last = Arc::new(Mutex::new(None));
            let (inner, go) = (Arc::clone(&last), Gate::new());
            let g = go.clone();
            let f = move || {
                g.pass();
                drop(inner.lock().unwrap().take().expect("the engine"));
            };
            let job = match kind {
                0 => engine.submit(LocalJob::new(f, ())).unwrap(),
                1 => engine.submit(ThreadJob::new(f, ())).unwrap(),
                _ => engine.submit(ThreadJob::new(f, ()).blocking()).unwrap(),
            };
            let never = ThreadJob::new(|| 1, ());
            let pending = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),))).unwrap();
            *last.lock().unwrap() = Some(engine);
            go.open();
            job.wait().unwrap();
            assert_eq!(job.status(), Status::Cancelled);
            assert_eq!(pending.status(), Status::Cancelled);
        }
    });
}

#[test]
fn a_job_that_keeps_a_clone_of_its_engine_does_not_keep_it_running() {
    within(|| {
        // The way every job that submits more jobs is written.
        let alive = Arc::new(());
        let engine = Engine::new().unwrap();
        let (inner, token) = (engine.clone(), Arc::clone(&alive));
        let job = ThreadJob::new(
            move || {
                let _ = &token;
                inner.submit(ThreadJob::new(|| 1, ())).unwrap().result().unwrap()
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        assert_eq!(job.result().unwrap(), 1);
        engine.wait().unwrap();
        drop(job);
        drop(engine);
        assert_eq!(Arc::strong_count(&alive), 1, "the engine is still there, with its threads");
    });
}

#[test]
fn shutting_down_from_inside_and_outside_at_once_is_no_deadlock() {
    within(|| {
        for how in [Shutdown::Drain, Shutdown::Cancel] {
            let engine = Engine::new().unwrap();
            let (started, gate) = (Gate::new(), Gate::new());
            let (s, g, inner) = (started.clone(), gate.clone(), Mutex::new(Some(engine.clone())));
            let f = move || {
                s.open();
                g.pass();
                inner.lock().unwrap().take().unwrap().shutdown(how);
            };
            let job = engine.submit(ThreadJob::new(f, ())).unwrap();
            started.pass();
            let outer = engine.clone();
            let outside = std::thread::spawn(move || outer.shutdown(how));
            // The outside one has begun when the engine refuses jobs.
            while engine.submit(ThreadJob::new(|| 1, ())).is_ok() {
                std::thread::yield_now();
            }
            gate.open();
            outside.join().unwrap();
            assert!(job.status().is_finished());
        }
    });
}

#[test]
fn handles_outlive_the_engine() {
    within(|| {
        let engine = Engine::new().unwrap();
        let good = engine.submit(ThreadJob::new(|| "kept".to_owned(), ()).name("good")).unwrap();
        let bad = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ())).unwrap();
        engine.wait().unwrap();
        drop(engine);
        good.wait().unwrap();
        assert!(good.wait_timeout(Duration::ZERO).unwrap());
        assert_eq!(good.result().unwrap(), "kept");
        assert_eq!((good.name(), good.status()), (Some("good"), Status::Done));
        assert!(good.info().finished_at().is_some());
        good.cancel();
        assert_eq!(good.status(), Status::Done);
        assert_eq!(bad.result().unwrap_err().message(), "no");
        assert_eq!(good.take().unwrap(), "kept");
    });
}

#[test]
fn a_clone_keeps_the_engine_and_the_last_drop_ends_it() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (job, gate) = running(&engine);
        let clone = engine.clone();
        drop(engine);
        gate.open();
        assert_eq!(job.result().unwrap(), 1, "not cancelled by the first drop");
        assert_eq!(clone.submit(ThreadJob::new(|| 2, ())).unwrap().result().unwrap(), 2);
    });
}

#[test]
fn two_threads_that_shut_down_both_return_when_it_is_over() {
    within(|| {
        for _ in 0..50 {
            let engine = Engine::new().unwrap();
            let (job, gate) = running(&engine);
            std::thread::scope(|scope| {
                for how in [Shutdown::Drain, Shutdown::Cancel, Shutdown::Drain] {
                    let (engine, job) = (&engine, &job);
                    scope.spawn(move || {
                        engine.shutdown(how);
                        assert!(job.status().is_finished());
                    });
                }
                gate.open();
            });
        }
    });
}

#[task]
fn waits_for_ever() {
    loop {
        std::thread::park();
    }
}

/// The failure comes in on the engine's own thread for replies, which cancels the dependent and
/// lets go of its closure, and with that of the last engine: it must not wait for the end there,
/// which needs that very thread.
#[test]
fn the_last_engine_may_go_on_the_thread_that_reads_replies() {
    within(|| {
        let grace = Duration::from_millis(50);
        let engine = Engine::builder().max_process_jobs(2).kill_grace(grace).build().unwrap();
        let stays = engine.submit(ProcessJob::new(waits_for_ever, ())).unwrap();
        let (gate, held) = (Gate::new(), engine.clone());
        let pass = gate.clone();
        let first = engine.submit(ThreadJob::new(move || pass.pass(), ()).blocking()).unwrap();
        let bad = engine.submit(ProcessJob::new(fails_after, (&first,))).unwrap();
        let dependent = ThreadJob::new(
            move |_: u8| {
                let _ = &held;
            },
            (&bad,),
        );
        drop(engine.submit(dependent).unwrap());
        drop((first, bad, engine));
        gate.open();
        stays.wait().unwrap();
        assert_eq!(stays.status(), Status::Cancelled);
    });
}

#[task]
fn fails_after(_first: ()) -> Result<u8, String> {
    Err("no".into())
}

#[test]
fn who_will_not_wait_for_a_drain_can_end_it() {
    within(|| {
        let ends: [fn(&Engine); 2] = [
            |engine| engine.shutdown(Shutdown::Cancel),
            |engine| assert!(!engine.drain_for(Duration::from_millis(1))),
        ];
        for end in ends {
            let engine = Engine::new().unwrap();
            let begun = Gate::new();
            let tell = begun.clone();
            // Ends only when it is told to.
            let job = move |context: JobContext| {
                tell.open();
                while context.check_cancelled().is_ok() {
                    std::thread::yield_now();
                }
            };
            let job = engine.submit(ThreadJob::new(job, (Context,))).unwrap();
            begun.pass();
            std::thread::scope(|scope| {
                let drain = scope.spawn(|| engine.shutdown(Shutdown::Drain));
                while engine.submit(ThreadJob::new(|| 1, ())).is_ok() {
                    std::thread::yield_now();
                }
                end(&engine);
                drain.join().unwrap();
            });
            assert_eq!(job.status(), Status::Cancelled);
        }
    });
}

#[test]
fn a_drain_that_a_job_asks_for_outlives_the_last_engine() {
    within(|| {
        let engine = Engine::new().unwrap();
        let inner = engine.clone();
        let (start, asked, gate) = (Gate::new(), Gate::new(), Gate::new());
        let (go, tell, pass) = (start.clone(), asked.clone(), gate.clone());
        let job = move || {
            go.pass();
            inner.shutdown(Shutdown::Drain);
            drop(inner);
            tell.open();
            pass.pass();
        };
        let first = engine.submit(ThreadJob::once(job, ())).unwrap();
        let last = engine.submit(ThreadJob::new(|()| 1, (&first,))).unwrap();
        start.open();
        asked.pass();
        let end = std::thread::spawn(move || drop(engine));
        gate.open();
        end.join().unwrap();
        assert_eq!(last.status(), Status::Done);
    });
}

#[test]
fn a_drain_with_a_deadline_that_a_job_or_a_callback_asks_for_loses_nothing() {
    fn asks(ctx: JobContext) -> executor_engine::Result<bool> {
        Ok(ctx.engine()?.drain_for(DEADLINE))
    }
    fn by<K>(job: executor_engine::Job<K, bool>) {
        let engine = Engine::new().unwrap();
        let next = engine.submit(ThreadJob::new(|asked: bool| asked, (job.output(),))).unwrap();
        engine.submit(job).unwrap();
        assert!(!next.result().unwrap(), "not all is finished when it returns");
        engine.shutdown(Shutdown::Drain);
        assert_eq!(engine.stats().done, 2);
    }
    within(|| {
        by(ThreadJob::try_new(asks, (Context,)));
        by(ThreadJob::try_new(asks, (Context,)).blocking());
        by(LocalJob::try_new(asks, (Context,)));
        let engine = Engine::new().unwrap();
        let (gate, inner) = (Gate::new(), engine.clone());
        let pass = gate.clone();
        let next = engine.submit(ThreadJob::new(move || pass.pass(), ())).unwrap();
        let job = LocalJob::new(|| (), ()).on_finished(move |_| {
            assert!(!inner.drain_for(DEADLINE));
            gate.open();
        });
        engine.submit(job).unwrap();
        next.result().unwrap();
        engine.shutdown(Shutdown::Drain);
        assert_eq!(engine.stats().done, 2);
    });
}

#[test]
fn a_deadline_that_a_job_sets_holds_for_itself() {
    within(|| {
        let engine = Engine::new().unwrap();
        let later = ThreadJob::new(|| (), ()).condition(after_delay("1h"));
        let later = engine.submit(later).unwrap();
        let asks = |ctx: JobContext| {
            // A second, more patient one changes nothing; nor does the drain that the drop is.
            let engine = ctx.engine().unwrap();
            assert!(!engine.drain_for(Duration::from_millis(1)));
            engine.shutdown(Shutdown::Drain);
            while !ctx.is_cancelled() {
                std::thread::yield_now();
            }
        };
        let asks = engine.submit(ThreadJob::new(asks, (Context,))).unwrap();
        asks.wait().unwrap();
        drop(engine);
        assert_eq!((asks.status(), later.status()), (Status::Cancelled, Status::Cancelled));
    });
}

#[test]
fn a_drain_resumes_what_is_paused() {
    within(|| {
        let drains: [fn(&Engine); 3] = [
            |engine| engine.shutdown(Shutdown::Drain),
            |engine| assert!(engine.drain_for(DEADLINE)),
            |engine| {
                // Also one that a job asks for.
                engine.resume_kind(JobKind::Thread);
                let drain = |ctx: JobContext| ctx.engine().unwrap().shutdown(Shutdown::Drain);
                let drain = engine.submit(ThreadJob::new(drain, (Context,))).unwrap();
                drain.wait().unwrap();
            },
        ];
        for drain in drains {
            let engine = Engine::new().unwrap();
            engine.pause();
            let first = engine.submit(LocalJob::new(|| 1, ())).unwrap();
            let next = engine.submit(ThreadJob::new(|x: i32| x + 1, (&first,))).unwrap();
            drain(&engine);
            assert_eq!(next.result().unwrap(), 2);
        }
    });
}

#[test]
fn an_engine_that_is_drained_is_not_paused_again() {
    within(|| {
        for _ in 0..20 {
            let engine = Engine::new().unwrap();
            let (first, gate) = running(&engine);
            let next = engine.submit(ThreadJob::new(|x: i32| x + 1, (&first,))).unwrap();
            let last = engine.submit(LocalJob::new(|x: i32| x + 1, (&next,))).unwrap();
            std::thread::scope(|scope| {
                let drain = scope.spawn(|| engine.shutdown(Shutdown::Drain));
                // Before the drain, in the middle of it, and after.
                while !drain.is_finished() {
                    engine.pause();
                    engine.pause_kind(JobKind::Local);
                    if engine.submit(ThreadJob::new(|| 1, ())).is_err() {
                        gate.open();
                    }
                    std::thread::yield_now();
                }
            });
            assert_eq!(last.result().unwrap(), 3);
        }
    });
}

#[test]
fn the_drop_of_a_paused_engine_cancels_its_jobs() {
    within(|| {
        let engine = Engine::new().unwrap();
        engine.pause();
        let job = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        drop(engine);
        assert_eq!((job.status(), job.attempt()), (Status::Cancelled, 0));
    });
}
