//! The promise (fault 14): a condition of one's own is asked at the interval that it names, sees the
//! engine's jobs and changes none, and whatever it does (panic, block, use the engine, panic or use
//! the engine when it is dropped) is its own job's affair only.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use common::{Gate, within};
use executor_engine::condition::*;
use executor_engine::prelude::*;
use executor_engine::{Callable, CancelReason, JobInfo, ManualClock};

const HOUR: Duration = Duration::from_secs(3600);

fn manual() -> (ManualClock, Engine) {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    let engine = Engine::builder().clock(&clock).time_zone("UTC").build().unwrap();
    (clock, engine)
}

/// A value that does this when it is dropped.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A custom condition that answers so and holds this value.
fn holding(value: impl Send + Sync + 'static, answer: bool) -> Condition {
    custom(move |_| {
        let _held = &value;
        answer
    })
    .every("1ms")
}

/// The original's example: a chance at each interval.
#[test]
fn a_random_condition() {
    within(|| {
        let engine = Engine::new().unwrap();
        let lucky = custom(|_| rand::random::<f64>() <= 0.2).every(Duration::from_millis(2));
        let jobs: Vec<_> = (0..20)
            .map(|_| engine.submit(ThreadJob::new(|| "hi", ()).condition(lucky.clone())).unwrap())
            .collect();
        engine.wait().unwrap();
        assert!(jobs.iter().all(|job| job.result().unwrap() == "hi"));
    });
}

#[test]
fn it_is_asked_at_once_and_then_at_its_interval() {
    within(|| {
        for _ in 0..50 {
            let (clock, engine) = manual();
            let asked = Arc::new(Mutex::new(Vec::new()));
            let (log, hand) = (Arc::clone(&asked), clock.clone());
            let fifth = custom(move |_| {
                let mut log = log.lock().unwrap();
                log.push(hand.now());
                log.len() == 5
            });
            let hand = clock.clone();
            let job = ThreadJob::new(move || hand.now(), ()).condition(fifth.every("1h"));
            let job = engine.submit(job).unwrap();
            clock.run_for(10 * HOUR).unwrap();
            let times: Vec<_> = (0..5).map(|hour| SystemTime::UNIX_EPOCH + hour * HOUR).collect();
            assert_eq!(*asked.lock().unwrap(), times);
            assert_eq!(job.result().unwrap(), times[4]);
        }
    });
}

#[test]
fn its_last_answer_counts_until_the_next() {
    within(|| {
        let (clock, engine) = manual();
        let hand = clock.clone();
        // Yes from 2:00 until it is asked again at 3:00.
        let at_two =
            custom(move |_| hand.now().duration_since(SystemTime::UNIX_EPOCH).unwrap() == 2 * HOUR);
        let now = |clock: &ManualClock| {
            let clock = clock.clone();
            ThreadJob::new(move || clock.now(), ())
        };
        let at_two = at_two.every("1h");
        let later = after_clock("2:59:59") & at_two.clone();
        let later = engine.submit(now(&clock).condition(later)).unwrap();
        let too_late = after_clock("3:00:01") & at_two;
        let too_late = engine.submit(now(&clock).condition(too_late)).unwrap();
        clock.run_for(24 * HOUR).unwrap();
        let expected = SystemTime::UNIX_EPOCH + 3 * HOUR - Duration::from_secs(1);
        assert_eq!(later.result().unwrap(), expected);
        assert_eq!(too_late.status(), Status::Pending);
    });
}

#[test]
fn it_is_not_asked_while_no_answer_could_help() {
    within(|| {
        let (clock, engine) = manual();
        let count = Arc::new(AtomicUsize::new(0));
        let asked = || {
            let count = Arc::clone(&count);
            custom(move |_| count.fetch_add(1, Ordering::SeqCst) > 0).every("1m")
        };
        let missing = ThreadJob::new(|| 1, ());
        let both = ThreadJob::new(|| 1, ()).condition(asked() & after_another(&missing));
        let both = engine.submit(both).unwrap();
        let argument = ThreadJob::new(|x: i32| x, (missing.output(),)).condition(asked());
        let argument = engine.submit(argument).unwrap();
        clock.run_for(24 * HOUR).unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0);
        assert!(engine.wait().unwrap_err().is_stalled());
        engine.submit(missing).unwrap();
        clock.run_for(HOUR).unwrap();
        assert_eq!((both.result().unwrap(), argument.result().unwrap()), (1, 1));
    });
}

#[test]
fn it_sees_the_jobs_of_the_engine_and_itself() {
    within(|| {
        let (clock, engine) = manual();
        let other = Engine::new().unwrap();
        let foreign = other.submit(ThreadJob::new(|| (), ())).unwrap().id();
        let first = engine.submit(LocalJob::new(|| 1, ()).name("first")).unwrap();
        let bad = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ())).unwrap();
        let (first, bad) = (first.id(), bad.id());
        engine.wait().unwrap();
        let seen = Arc::new(Mutex::new(None));
        let look = Arc::clone(&seen);
        let sees = custom(move |view: &JobsView<'_>| {
            let jobs: Vec<JobInfo> = view.jobs();
            let counts = Status::ALL.map(|status| view.count(status));
            let known = [first, bad, foreign, view.id()].map(|id| view.get(id).is_some());
            let own = view.get(view.id()).unwrap();
            let named = view.get(first).unwrap().name().map(str::to_owned);
            let failed = view.get(bad).unwrap().error().map(ToString::to_string);
            *look.lock().unwrap() =
                Some((jobs.len(), counts, known, own.status(), own.attempt(), named, failed));
            true
        });
        let job = ThreadJob::new(|| 1, ()).condition(sees.every("1s"));
        let job = engine.submit(job).unwrap();
        clock.run_for(Duration::ZERO).unwrap();
        assert_eq!(job.result().unwrap(), 1);
        let seen = seen.lock().unwrap().take().unwrap();
        let (count, counts, known, status, attempt, named, failed) = seen;
        assert_eq!((count, counts.iter().sum::<usize>()), (3, 3));
        assert_eq!(known, [true, true, false, true]);
        assert_eq!((status, attempt), (Status::Pending, 0));
        assert_eq!(named.as_deref(), Some("first"));
        assert!(failed.unwrap().contains("no"));
    });
}

#[test]
fn a_panic_in_it_fails_its_job_and_no_other() {
    within(|| {
        let engine = Engine::new().unwrap();
        for text in [Some("first time"), None] {
            let count = AtomicUsize::new(0);
            let panics = custom(move |_| match text {
                Some(text) => panic!("{text}"),
                None if count.fetch_add(1, Ordering::SeqCst) == 3 => {
                    std::panic::panic_any(OnDrop(|| panic!("the payload as well")))
                }
                None => false,
            });
            let panics = panics.every("1ms");
            let bystander = after_delay("5ms") & holding((), true);
            let bystander = engine.submit(ThreadJob::new(|| 1, ()).condition(bystander)).unwrap();
            let nested = (panics & after_delay("0s")) | after_delay("1h");
            let job = ThreadJob::new(|| 1, ()).name("bad").condition(nested);
            let job = engine.submit(job).unwrap();
            let dependent = engine.submit(ThreadJob::new(|x: i32| x, (&job,))).unwrap();
            let repair = ThreadJob::new(|| 2, ()).condition(after_another(&job).failed());
            let repair = engine.submit(repair).unwrap();
            engine.wait().unwrap();
            assert_eq!(job.status(), Status::Failed);
            let error = job.exception().unwrap();
            assert!(error.is_panic() && error.message().contains("condition"), "{error}");
            assert!(error.message().contains(text.unwrap_or("not text")), "{error}");
            assert!(error.panic_location().unwrap().contains("custom_conditions.rs"));
            assert!(job.explain().contains("failed"), "{}", job.explain());
            let error = dependent.exception().unwrap();
            assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(job.id())));
            assert_eq!((repair.result().unwrap(), bystander.result().unwrap()), (2, 1));
        }
    });
}

/// However the job ends: what its conditions hold is dropped once, at no lock's expense.
fn ends_of_a_job(make: impl Fn(&Engine) -> Condition) {
    type End = fn(&Engine, ThreadJob<i32>);
    let ends: [End; 7] = [
        |engine, job| {
            // It runs.
            let job = engine.submit(job.condition(holding((), true))).unwrap();
            job.wait().unwrap();
        },
        |engine, job| {
            let job = engine.submit(job.condition(after_delay("1h"))).unwrap();
            job.cancel();
            assert_eq!(job.status(), Status::Cancelled);
        },
        |engine, job| {
            // It can never run.
            let job = job.condition(before_timepoint("2000-01-01T00:00:00Z"));
            engine.submit(job).unwrap().wait().unwrap();
        },
        |engine, job| {
            let panics = custom(|_| panic!("asked")).every("1ms");
            let job = engine.submit(job.condition(panics)).unwrap();
            job.wait().unwrap();
            assert_eq!(job.status(), Status::Failed);
        },
        |engine, job| {
            let itself = after_another(&job);
            assert!(engine.submit(job.condition(itself)).unwrap_err().is_cycle());
        },
        |engine, job| {
            let itself = after_another(&job);
            let jobs = [ThreadJob::new(|| 1, ()), job.condition(itself), ThreadJob::new(|| 1, ())];
            assert!(engine.submit_all(jobs).unwrap_err().is_cycle());
        },
        |engine, job| {
            engine.submit(job.condition(after_delay("1h"))).unwrap();
            engine.shutdown(Shutdown::Cancel);
        },
    ];
    for end in ends {
        let engine = Engine::builder().keep_finished(0).build().unwrap();
        let condition = make(&engine);
        end(&engine, ThreadJob::new(|| 1, ()).condition(condition));
        if engine.submit(ThreadJob::new(|| 7, ())).is_ok_and(|job| job.result().is_err()) {
            panic!("the engine goes on");
        }
        engine.shutdown(Shutdown::Cancel);
    }
}

#[test]
fn its_drop_may_use_the_engine() {
    within(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&drops);
        ends_of_a_job(move |engine| {
            let (engine, count) = (engine.clone(), Arc::clone(&count));
            holding(
                OnDrop(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    let _ = engine.stats();
                    if let Ok(job) = engine.submit(ThreadJob::new(|| 1, ())) {
                        job.cancel();
                    }
                }),
                true,
            )
        });
        assert_eq!(drops.load(Ordering::SeqCst), 7);
    });
}

#[test]
fn its_drop_may_panic_and_so_may_that_of_its_neighbour() {
    within(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&drops);
        ends_of_a_job(move |_| {
            let bomb = |answer| {
                let count = Arc::clone(&count);
                let bomb = OnDrop(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    panic!("in the drop of a condition");
                });
                holding(bomb, answer)
            };
            (bomb(true) | bomb(false)) & (bomb(false) | bomb(true))
        });
        assert_eq!(drops.load(Ordering::SeqCst), 7 * 4);
    });
}

/// A condition can be the last that holds a job: one that was never submitted, or whose handles are
/// gone.
#[test]
fn a_job_that_only_a_condition_holds_may_use_the_engine_in_its_drop() {
    within(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let engine = Engine::builder().keep_finished(0).build().unwrap();
        let job = || {
            let (engine, dropped) = (engine.clone(), Arc::clone(&dropped));
            let value = OnDrop(move || {
                dropped.fetch_add(1, Ordering::SeqCst);
                let _ = engine.stats();
                panic!("in the drop of a job");
            });
            ThreadJob::new(move || _ = &value, ())
        };
        let plain = after_another(job());
        let nested = after_another(job()) | after_others([job(), job()]).any();
        for (condition, count) in [(plain, 1), (nested, 4)] {
            let waits = engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
            assert!(engine.wait().unwrap_err().is_stalled());
            assert_eq!(dropped.load(Ordering::SeqCst), count);
            waits.cancel();
        }
        engine.wait().unwrap();
    });
}

/// A closure that holds the engine which it is a condition of.
#[test]
fn it_may_hold_the_last_of_its_engine() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (inner, asked) = (engine.clone(), Gate::new());
        let (gate, opened) = (asked.clone(), Arc::new(AtomicBool::new(false)));
        let open = Arc::clone(&opened);
        let holds = custom(move |_| {
            let _ = inner.stats();
            gate.open();
            open.load(Ordering::SeqCst)
        });
        let job = ThreadJob::new(|| 1, ()).condition(holds.every("1ms"));
        let job = engine.submit(job).unwrap();
        asked.pass();
        drop(engine);
        // The engine is there until the job has let go of it.
        opened.store(true, Ordering::SeqCst);
        assert_eq!(job.result().unwrap(), 1);
    });
}

#[test]
fn it_may_submit_and_cancel_and_is_told_that_it_must_not_wait_for_all() {
    within(|| {
        let engine = Engine::new().unwrap();
        let told = Arc::new(Mutex::new(None));
        let (inner, tell) = (engine.clone(), Arc::clone(&told));
        let extra = Arc::new(OnceLock::new());
        let submitted = Arc::clone(&extra);
        let busy = custom(move |_| {
            let error = inner.wait().unwrap_err();
            *tell.lock().unwrap() = Some((error.is_wait_inside_job(), error.to_string()));
            let job = ThreadJob::new(|| 5, ()).condition(after_delay("1h"));
            inner.submit(job).unwrap().cancel();
            submitted.get_or_init(|| inner.submit(ThreadJob::new(|| 6, ())).unwrap());
            true
        });
        let job = ThreadJob::new(|| 1, ()).condition(busy.every("1h"));
        assert_eq!(engine.submit(job).unwrap().result().unwrap(), 1);
        assert_eq!(extra.get().unwrap().result().unwrap(), 6);
        let (right, text) = told.lock().unwrap().take().unwrap();
        assert!(right, "{text}");
        engine.shutdown(Shutdown::Cancel);
    });
}

#[test]
fn one_that_blocks_holds_up_no_job_and_no_other_condition_but_custom_ones() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (asked, gate) = (Gate::new(), Gate::new());
        let (a, g) = (asked.clone(), gate.clone());
        let blocks = custom(move |_| {
            a.open();
            g.pass();
            true
        });
        let blocked = ThreadJob::new(|| 1, ()).condition(blocks.every("1ms"));
        let blocked = engine.submit(blocked).unwrap();
        asked.pass();
        let timed = ThreadJob::new(|| 2, ()).condition(after_delay("5ms") & every("1ms"));
        assert_eq!(engine.submit(timed).unwrap().result().unwrap(), 2);
        assert_eq!(engine.submit(ThreadJob::new(|| 3, ())).unwrap().result().unwrap(), 3);
        // It can be cancelled, though its answer is still to come.
        let (other, o) = (Gate::new(), gate.clone());
        let waits = custom(move |_| {
            o.pass();
            other.open();
            true
        });
        let cancelled = ThreadJob::new(|| 4, ()).condition(waits.every("1ms"));
        let cancelled = engine.submit(cancelled).unwrap();
        cancelled.cancel();
        assert_eq!(cancelled.status(), Status::Cancelled);
        assert_eq!(blocked.status(), Status::Pending);
        gate.open();
        assert_eq!(blocked.result().unwrap(), 1);
        engine.wait().unwrap();
    });
}

#[test]
fn the_answer_for_a_job_that_has_ended_meanwhile_is_passed_over() {
    within(|| {
        for _ in 0..200 {
            let engine = Engine::builder().keep_finished(0).build().unwrap();
            let asked = Gate::new();
            let a = asked.clone();
            let yes = custom(move |_| {
                a.open();
                true
            });
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(yes.every("1ms"))).unwrap();
            asked.pass();
            job.cancel();
            engine.wait().unwrap();
            let ran = job.status() == Status::Done;
            assert!(ran || job.status() == Status::Cancelled);
            let stats = engine.stats();
            assert_eq!((stats.done, stats.cancelled), (u64::from(ran), u64::from(!ran)));
        }
    });
}

#[test]
fn thousands_of_them_are_asked_in_turn() {
    within(|| {
        let engine = Engine::new().unwrap();
        let open = Arc::new(AtomicBool::new(false));
        let jobs = (0..2000).map(|index| {
            let open = Arc::clone(&open);
            let own = custom(move |_| open.load(Ordering::SeqCst)).every("3ms");
            ThreadJob::new(move || index, ()).condition(own)
        });
        let jobs = engine.submit_all(jobs).unwrap();
        assert!(!engine.wait_timeout(Duration::from_millis(20)).unwrap());
        open.store(true, Ordering::SeqCst);
        for (index, job) in jobs.iter().enumerate() {
            assert_eq!(job.result().unwrap(), index);
        }
    });
}

#[test]
fn an_engine_ends_while_they_are_asked() {
    within(|| {
        for _ in 0..30 {
            let engine = Engine::new().unwrap();
            let asked = Gate::new();
            let jobs: Vec<_> = (0..20)
                .map(|_| {
                    let asked = asked.clone();
                    let never = custom(move |view| {
                        asked.open();
                        view.count(Status::Done) == 1000
                    });
                    engine.submit(ThreadJob::new(|| 1, ()).condition(never.every("1us"))).unwrap()
                })
                .collect();
            asked.pass();
            engine.shutdown(Shutdown::Cancel);
            for job in jobs {
                let error = job.result().unwrap_err();
                assert_eq!(error.cancel_reason(), Some(&CancelReason::Shutdown));
            }
        }
    });
}

/// What is generic over conditions can name the types: both are the crate's public ones.
#[test]
fn its_types_can_be_named() {
    fn gated<F: Callable<(), Output = i32>>(job: F, gate: Custom) -> ThreadJob<i32> {
        ThreadJob::new(job, ()).condition(gate.every("1ms"))
    }
    within(|| {
        let engine = Engine::new().unwrap();
        let gate: Custom = custom(|_: &JobsView<'_>| true);
        assert!(format!("{gate:?}").starts_with("Custom"));
        assert_eq!(engine.submit(gated(|| 4, gate)).unwrap().result().unwrap(), 4);
    });
}
