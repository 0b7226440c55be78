//! The promise: no limit is ever exceeded, the serial lane is serial and in order, and no path
//! of ending leaks a permit: afterwards exactly as many jobs as before run at once.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DEADLINE, Gate, Meter, within};
use executor_engine::EngineBuilder;
use executor_engine::prelude::*;
use rayon::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Local,
    Thread,
    Blocking,
}

fn submit(engine: &Engine, kind: Kind, f: impl Fn() + Send + 'static) -> JobHandle<()> {
    match kind {
        Kind::Local => engine.submit(LocalJob::new(f, ())).unwrap(),
        Kind::Thread => engine.submit(ThreadJob::new(f, ())).unwrap(),
        Kind::Blocking => engine.submit(ThreadJob::new(f, ()).blocking()).unwrap(),
    }
}

/// Exactly `limit` of these jobs run at once: so many meet, and never one more.
fn assert_exactly(engine: &Engine, kinds: &[Kind], limit: usize) {
    let (meter, gate) = (Meter::new(), Gate::new());
    for i in 0..3 * limit {
        let (meter, gate) = (meter.clone(), gate.clone());
        submit(engine, kinds[i % kinds.len()], move || {
            let _inside = meter.enter();
            gate.pass();
        });
    }
    assert!(meter.reaches(limit, DEADLINE), "{} of {limit} {kinds:?} jobs run", meter.most());
    // Room for one too many to show itself: the wait can only be too short to catch a fault.
    assert!(!meter.reaches(limit + 1, Duration::from_millis(20)), "too many {kinds:?} jobs run");
    gate.open();
    engine.wait().unwrap();
    assert_eq!(meter.most(), limit, "{kinds:?}");
}

fn build(settings: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
    settings(Engine::builder()).build().unwrap()
}

#[test]
fn max_thread_jobs_is_reached_and_kept() {
    within(|| {
        for limit in [1, 2, 5] {
            assert_exactly(&build(|b| b.max_thread_jobs(limit)), &[Kind::Thread], limit);
        }
    });
}

#[test]
fn max_blocking_jobs_is_reached_and_kept() {
    within(|| {
        for limit in [1, 2, 17] {
            assert_exactly(&build(|b| b.max_blocking_jobs(limit)), &[Kind::Blocking], limit);
        }
    });
}

#[test]
fn max_jobs_holds_over_all_kinds_together() {
    within(|| {
        let engine = build(|b| b.max_jobs(3).max_thread_jobs(8).max_blocking_jobs(8));
        assert_exactly(&engine, &[Kind::Thread, Kind::Blocking], 3);
        assert_exactly(&engine, &[Kind::Thread], 3);
        assert_exactly(&engine, &[Kind::Blocking], 3);
        let engine = build(|b| b.max_jobs(1).max_thread_jobs(8).max_blocking_jobs(8));
        assert_exactly(&engine, &[Kind::Local, Kind::Thread, Kind::Blocking], 1);
    });
}

#[test]
fn limits_of_kinds_add_up_where_the_engine_has_none() {
    within(|| {
        let engine = build(|b| b.max_thread_jobs(2).max_blocking_jobs(2));
        // The lane, two on the pool, two on threads of their own, all inside at once.
        let meter = Meter::new();
        for kind in [Kind::Local, Kind::Thread, Kind::Thread, Kind::Blocking, Kind::Blocking] {
            let meter = meter.clone();
            submit(&engine, kind, move || {
                let _inside = meter.enter();
                assert!(meter.reaches(5, DEADLINE));
            });
        }
        engine.wait().unwrap();
        assert_eq!(engine.stats().failed, 0);
    });
}

#[test]
fn two_blocking_jobs_meet_however_their_threads_come_and_go() {
    within(|| {
        // A warm thread has just taken the first of two jobs that need each other.
        let engine = build(|b| b.max_blocking_jobs(2));
        for round in 0..3_000 {
            let (first, second) = (Gate::new(), Gate::new());
            let (a, b) = (first.clone(), second.clone());
            submit(&engine, Kind::Blocking, move || {
                a.open();
                b.pass()
            });
            let (a, b) = (first, second);
            submit(&engine, Kind::Blocking, move || {
                b.open();
                a.pass()
            });
            engine.wait().unwrap();
            assert_eq!(engine.stats().failed, 0, "round {round}");
        }
    });
}

#[test]
fn the_lane_is_serial_and_in_order() {
    within(|| {
        let engine = build(|b| b);
        let (meter, order) = (Meter::new(), Arc::new(Mutex::new(Vec::new())));
        for i in 0..5_000 {
            let (meter, order) = (meter.clone(), Arc::clone(&order));
            submit(&engine, Kind::Local, move || {
                let _inside = meter.enter();
                order.lock().unwrap().push(i);
            });
        }
        engine.wait().unwrap();
        assert_eq!(meter.most(), 1);
        assert!(order.lock().unwrap().iter().copied().eq(0..5_000));
    });
}

#[test]
fn the_lane_keeps_each_submitters_order_and_is_serial_under_many() {
    within(|| {
        let engine = build(|b| b);
        let (meter, order) = (Meter::new(), Arc::new(Mutex::new(Vec::new())));
        std::thread::scope(|scope| {
            for who in 0..4_usize {
                let (engine, meter, order) = (&engine, &meter, &order);
                scope.spawn(move || {
                    for i in 0..2_000 {
                        let (meter, order) = (meter.clone(), Arc::clone(order));
                        submit(engine, Kind::Local, move || {
                            let _inside = meter.enter();
                            order.lock().unwrap().push((who, i));
                        });
                    }
                });
            }
        });
        engine.wait().unwrap();
        assert_eq!(meter.most(), 1);
        let order = order.lock().unwrap();
        for who in 0..4 {
            let his: Vec<_> = order.iter().filter(|o| o.0 == who).map(|o| o.1).collect();
            assert!(his.iter().copied().eq(0..2_000), "submitter {who} was served out of order");
        }
    });
}

#[test]
fn no_way_of_ending_leaks_a_permit() {
    within(|| {
        let engine = build(|b| b.max_jobs(4).max_thread_jobs(2).max_blocking_jobs(2));
        for _ in 0..5 {
            for kind in [Kind::Local, Kind::Thread, Kind::Blocking] {
                for _ in 0..20 {
                    submit(&engine, kind, || panic!("permit test"));
                    submit(&engine, kind, || {}).cancel();
                }
                // Cancelled while it runs.
                let (started, gate) = (Gate::new(), Gate::new());
                let (s, g) = (started.clone(), gate.clone());
                let running = submit(&engine, kind, move || {
                    s.open();
                    g.pass()
                });
                started.pass();
                running.cancel();
                // Queued behind it, failed by it, cancelled with it.
                engine.submit(ThreadJob::new(|()| (), (&running,))).unwrap();
                let bad = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ())).unwrap();
                engine.submit(LocalJob::new(|_: u8| (), (&bad,))).unwrap();
                engine.submit(ThreadJob::new(|_: u8| (), (&bad,)).blocking()).unwrap();
                gate.open();
            }
        }
        engine.wait().unwrap();
        assert_eq!((engine.stats().unfinished, engine.stats().dispatched), (0, 0));
        assert_exactly(&engine, &[Kind::Thread], 2);
        assert_exactly(&engine, &[Kind::Blocking], 2);
        assert_exactly(&engine, &[Kind::Thread, Kind::Blocking], 4);
        assert_exactly(&engine, &[Kind::Local], 1);
    });
}

#[test]
fn waiting_in_jobs_leaks_no_permit() {
    within(|| {
        let engine = build(|b| b.max_jobs(3).max_thread_jobs(2).max_blocking_jobs(2));
        for _ in 0..100 {
            for kind in [Kind::Local, Kind::Thread, Kind::Blocking] {
                let child = submit(&engine, Kind::Thread, || {});
                submit(&engine, kind, move || child.wait().unwrap());
                let child = submit(&engine, Kind::Blocking, || panic!("child"));
                submit(&engine, kind, move || child.wait().unwrap());
            }
        }
        engine.wait().unwrap();
        assert_exactly(&engine, &[Kind::Thread], 2);
        assert_exactly(&engine, &[Kind::Blocking], 2);
        assert_exactly(&engine, &[Kind::Thread, Kind::Blocking], 3);
    });
}

/// The engine cannot tell whose part of a parallel loop another thread took. If such a part waits
/// while permits are out, it may be its own job that holds the permit; so that this is no
/// deadlock, one job more may run for it, and no more than one.
#[test]
fn waits_in_parallel_parts_of_one_job_come_to_an_end_with_one_job_more_at_most() {
    within(|| {
        let engine = build(|b| b.max_jobs(1).max_thread_jobs(2));
        let meter = Meter::new();
        let (inner, count) = (engine.clone(), meter.clone());
        let job = ThreadJob::new(
            move || {
                let child = || {
                    let count = count.clone();
                    submit(&inner, Kind::Blocking, move || {
                        let _inside = count.enter();
                        count.reaches(3, Duration::from_millis(30));
                    })
                };
                let children: [_; 6] = std::array::from_fn(|_| child());
                let (left, right) = children.split_at(3);
                rayon::join(
                    || left.iter().for_each(|child| child.wait().unwrap()),
                    || right.iter().for_each(|child| child.wait().unwrap()),
                );
            },
            (),
        );
        engine.submit(job).unwrap().result().unwrap();
        engine.wait().unwrap();
        assert!(meter.most() <= 2, "{} children at once, where max_jobs is 1", meter.most());
        engine.shutdown(Shutdown::Cancel);
    });
}

fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn par_iter_in_a_job_uses_the_engines_pool() {
    within(|| {
        let engine = build(|b| b.max_thread_jobs(3));
        let job = ThreadJob::new(
            || {
                // All three threads of the pool meet in the one job's loop.
                let meter = Meter::new();
                let names: Vec<_> = (0..3)
                    .into_par_iter()
                    .with_max_len(1)
                    .map(|_| {
                        let _inside = meter.enter();
                        assert!(meter.reaches(3, DEADLINE));
                        thread_name()
                    })
                    .collect();
                (rayon::current_num_threads(), names)
            },
            (),
        );
        let (threads, mut names) = engine.submit(job).unwrap().result().unwrap();
        assert_eq!(threads, 3);
        names.sort();
        assert_eq!(names, ["executor-pool-0", "executor-pool-1", "executor-pool-2"]);
    });
}

#[test]
fn a_thread_job_uses_the_pool_even_if_a_job_of_another_kind_waits_for_it() {
    within(|| {
        let engine = build(|b| b.max_thread_jobs(3));
        for kind in [Kind::Local, Kind::Blocking] {
            for _ in 0..200 {
                let inner = engine.clone();
                let waiting = submit(&engine, kind, move || {
                    let child = ThreadJob::new(rayon::current_num_threads, ());
                    let child = inner.submit(child).unwrap();
                    assert_eq!(child.result().unwrap(), 3, "par_iter would leave the pool");
                });
                waiting.result().unwrap();
            }
        }
        engine.shutdown(Shutdown::Cancel);
    });
}

#[test]
fn blocking_jobs_run_outside_the_pool() {
    within(|| {
        // The pool is full to the last thread; blocking jobs run all the same.
        let engine = build(|b| b.max_thread_jobs(2).max_blocking_jobs(3));
        let (meter, gate) = (Meter::new(), Gate::new());
        for _ in 0..2 {
            let (meter, gate) = (meter.clone(), gate.clone());
            submit(&engine, Kind::Thread, move || {
                let _inside = meter.enter();
                gate.pass();
            });
        }
        assert!(meter.reaches(2, DEADLINE));
        let name = ThreadJob::new(|| (thread_name(), rayon::current_thread_index()), ()).blocking();
        let (name, index) = engine.submit(name).unwrap().result().unwrap();
        assert!(name.starts_with("executor-blocking"), "{name}");
        assert_eq!(index, None);
        gate.open();
        engine.wait().unwrap();
    });
}

#[test]
fn many_short_jobs_under_a_limit_all_run_once() {
    within(|| {
        let engine = build(|b| b.max_jobs(2).keep_finished(10));
        let count = Arc::new(AtomicUsize::new(0));
        let meter = Meter::new();
        for _ in 0..20_000 {
            let (meter, count) = (meter.clone(), Arc::clone(&count));
            submit(&engine, Kind::Thread, move || {
                let _inside = meter.enter();
                count.fetch_add(1, Ordering::SeqCst);
            });
        }
        engine.wait().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 20_000);
        assert!(meter.most() <= 2);
    });
}
