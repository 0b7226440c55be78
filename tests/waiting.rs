//! The promise (fault 19): waiting for a job never deadlocks, wherever it is done: in a pool
//! full of jobs that wait, a thousand deep, on the serial lane, in a parallel loop, or from many
//! threads at once. And a handle is a future.

mod common;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use common::{DEADLINE, Gate, Meter, within};
use executor_engine::EngineBuilder;
use executor_engine::condition::custom;
use executor_engine::prelude::*;
use rayon::prelude::*;

fn with_engine(settings: impl FnOnce(EngineBuilder) -> EngineBuilder, test: impl FnOnce(&Engine)) {
    let engine = settings(Engine::builder()).build().unwrap();
    test(&engine);
    // Jobs here hold clones of the engine.
    engine.shutdown(Shutdown::Cancel);
}

/// A job that submits a job that submits a job.. and waits for it, `depth` deep.
fn nest(engine: &Engine, depth: u32, blocking: bool) -> JobHandle<u32> {
    let inner = engine.clone();
    let job = ThreadJob::new(
        move || match depth {
            0 => 0,
            _ => nest(&inner, depth - 1, blocking).result().unwrap() + 1,
        },
        (),
    );
    engine.submit(if blocking { job.blocking() } else { job }).unwrap()
}

#[test]
fn a_thousand_deep_in_a_pool_of_one_and_of_two() {
    within(|| {
        for threads in [1, 2] {
            with_engine(
                |b| b.max_thread_jobs(threads),
                |engine| assert_eq!(nest(engine, 1_000, false).result().unwrap(), 1_000),
            );
        }
    });
}

#[test]
fn a_thousand_deep_with_two_blocking_threads() {
    within(|| {
        with_engine(
            |b| b.max_blocking_jobs(2),
            |engine| assert_eq!(nest(engine, 1_000, true).result().unwrap(), 1_000),
        );
    });
}

#[test]
fn a_thousand_deep_where_one_job_may_run() {
    within(|| {
        with_engine(
            |b| b.max_jobs(1).max_thread_jobs(2).max_blocking_jobs(2),
            |engine| {
                assert_eq!(nest(engine, 1_000, false).result().unwrap(), 1_000);
                assert_eq!(nest(engine, 1_000, true).result().unwrap(), 1_000);
            },
        );
    });
}

#[test]
fn a_full_pool_of_jobs_that_each_wait_for_a_child() {
    within(|| {
        with_engine(
            |b| b.max_thread_jobs(4),
            |engine| {
                let meet = Arc::new(Barrier::new(4));
                let parents: Vec<_> = (0..4_u64)
                    .map(|i| {
                        let (inner, meet) = (engine.clone(), Arc::clone(&meet));
                        let job = ThreadJob::new(
                            move || {
                                meet.wait(); // all four threads are taken
                                let child = ThreadJob::new(move || i, ());
                                inner.submit(child).unwrap().result().unwrap()
                            },
                            (),
                        );
                        engine.submit(job).unwrap()
                    })
                    .collect();
                for (i, parent) in (0..).zip(&parents) {
                    assert_eq!(parent.result().unwrap(), i);
                }
            },
        );
    });
}

#[test]
fn a_full_pool_whose_children_have_children_of_other_kinds() {
    within(|| {
        with_engine(
            |b| b.max_thread_jobs(2).max_blocking_jobs(2),
            |engine| {
                fn go(engine: &Engine, depth: u32, salt: u32) -> JobHandle<u32> {
                    let inner = engine.clone();
                    let f = move || match depth {
                        0 => 0,
                        _ => {
                            let a = go(&inner, depth - 1, salt + 1);
                            let b = go(&inner, depth - 1, salt + 2);
                            a.result().unwrap() + b.result().unwrap() + 1
                        }
                    };
                    match salt % 3 {
                        0 => engine.submit(LocalJob::new(f, ())).unwrap(),
                        1 => engine.submit(ThreadJob::new(f, ())).unwrap(),
                        _ => engine.submit(ThreadJob::new(f, ()).blocking()).unwrap(),
                    }
                }
                let roots: Vec<_> = (0..3).map(|salt| go(engine, 6, salt)).collect();
                for root in roots {
                    assert_eq!(root.result().unwrap(), 63);
                }
            },
        );
    });
}

#[test]
fn a_local_job_waits_for_a_thread_job_that_waits_for_a_local_job_behind_it() {
    within(|| {
        for max_jobs in [None, Some(1)] {
            with_engine(
                |b| match max_jobs {
                    Some(max) => b.max_jobs(max),
                    None => b,
                },
                |engine| {
                    let inner = engine.clone();
                    let outer = LocalJob::new(
                        move || {
                            let behind = inner.submit(LocalJob::new(|| 1, ())).unwrap();
                            let middle = ThreadJob::new(move || behind.result().unwrap() + 1, ());
                            inner.submit(middle).unwrap().result().unwrap() + 1
                        },
                        (),
                    );
                    assert_eq!(engine.submit(outer).unwrap().result().unwrap(), 3);
                },
            );
        }
    });
}

fn chain(engine: &Engine, length: u32) -> JobHandle<u32> {
    let mut tail = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
    for _ in 1..length {
        tail = engine.submit(ThreadJob::new(|x: u32| x + 1, (&tail,))).unwrap();
    }
    tail
}

#[test]
fn a_job_waits_for_a_chains_tail_in_a_pool_of_one() {
    within(|| {
        for length in [1, 2, 100, 900, 1_100, 5_000] {
            with_engine(
                |b| b.max_thread_jobs(1),
                |engine| {
                    let inner = engine.clone();
                    let job = ThreadJob::new(move || chain(&inner, length).result().unwrap(), ());
                    assert_eq!(engine.submit(job).unwrap().result().unwrap(), length);
                },
            );
        }
    });
}

#[test]
fn a_job_waits_for_a_wide_fan_in_in_a_pool_of_one() {
    within(|| {
        with_engine(
            |b| b.max_thread_jobs(1),
            |engine| {
                let inner = engine.clone();
                let job = ThreadJob::new(
                    move || {
                        // A binary tree of sums: 4,095 jobs, the wait at its root.
                        let mut level: Vec<JobHandle<u32>> = (0..2_048)
                            .map(|i| inner.submit(ThreadJob::new(move || i, ())).unwrap())
                            .collect();
                        while level.len() > 1 {
                            level = level
                                .chunks(2)
                                .map(|pair| {
                                    let sum = ThreadJob::new(
                                        |a: u32, b: u32| a + b,
                                        (&pair[0], &pair[1]),
                                    );
                                    inner.submit(sum).unwrap()
                                })
                                .collect();
                        }
                        level[0].result().unwrap()
                    },
                    (),
                );
                assert_eq!(engine.submit(job).unwrap().result().unwrap(), 2_048 * 2_047 / 2);
            },
        );
    });
}

#[test]
fn a_permit_is_lent_while_its_job_waits() {
    within(|| {
        with_engine(
            |b| b.max_jobs(1).max_thread_jobs(2).max_blocking_jobs(2),
            |engine| {
                // The child is running, so it cannot run inline: the parent sleeps, and a third
                // job, which the child needs to happen first, gets the one permit.
                let (child_runs, third_ran) = (Gate::new(), Gate::new());
                let inner = engine.clone();
                let (c, t) = (child_runs.clone(), third_ran.clone());
                let (c2, t2) = (child_runs.clone(), third_ran.clone());
                let parent = ThreadJob::new(
                    move || {
                        let (c, t) = (c.clone(), t.clone());
                        let t2 = t2.clone();
                        let grandchild = ThreadJob::new(move || t2.open(), ()).blocking();
                        let grandchild = inner.submit(grandchild).unwrap();
                        let child = ThreadJob::new(
                            move || {
                                c.open();
                                grandchild.wait().unwrap();
                                t.pass();
                                5
                            },
                            (),
                        );
                        inner.submit(child.blocking()).unwrap().result().unwrap()
                    },
                    (),
                );
                let parent = engine.submit(parent).unwrap();
                c2.pass();
                third_ran.pass();
                assert_eq!(parent.result().unwrap(), 5);
            },
        );
    });
}

/// One of its threads waits for the reader, another for a job, of which the first has an end.
#[test]
fn a_stream_lends_its_permit_while_it_waits_for_a_reader_or_for_a_job() {
    within(|| {
        let engine = Engine::builder().max_jobs(1).build().unwrap();
        let late = Arc::new(AtomicBool::new(false));
        let is_late = Arc::clone(&late);
        let is_late = custom(move |_| is_late.load(Ordering::SeqCst));
        let child = ThreadJob::new(|| 7, ()).condition(is_late.every(Duration::from_millis(1)));
        let child = engine.submit(child).unwrap();
        let (go_on, id) = (Gate::new(), child.id().to_string());
        let gate = go_on.clone();
        let waits_twice = move |out: Yield<u64>| -> Result<(), JobError> {
            let other = out.clone();
            let sends = std::thread::spawn(move || (0..9).try_for_each(|i| other.send(i)));
            gate.pass();
            let value = child.result()?;
            sends.join().unwrap().expect("it is read");
            let _ = out.send(value);
            Ok(())
        };
        let job = ThreadJob::try_stream(waits_twice, ()).buffer(1);
        let job = engine.submit(job).unwrap();
        // The one permit is lent: one of its threads waits for the reader.
        assert_eq!(engine.submit(LocalJob::new(|| 1, ())).unwrap().result().unwrap(), 1);
        go_on.open();
        let start = Instant::now();
        while !job.explain().contains(&id) {
            assert!(start.elapsed() < DEADLINE, "{}", job.explain());
            std::thread::yield_now();
        }
        let mut reader = job.iter();
        assert!((0..9).all(|i| reader.next().unwrap().unwrap() == i));
        late.store(true, Ordering::SeqCst);
        assert_eq!(reader.next().unwrap().unwrap(), 7);
        assert!(reader.next().is_none());
        assert_eq!(job.status(), Status::Done);
    });
}

#[test]
fn result_in_a_parallel_loop_inside_a_job() {
    within(|| {
        for threads in [1, 2, 3] {
            with_engine(
                |b| b.max_thread_jobs(threads),
                |engine| {
                    let inner = engine.clone();
                    let job = ThreadJob::new(
                        move || -> u32 {
                            (0..200_u32)
                                .into_par_iter()
                                .with_max_len(1)
                                .map(|i| {
                                    let a = inner.submit(ThreadJob::new(move || i, ())).unwrap();
                                    let b = ThreadJob::new(|x: u32| x + 1, (&a,));
                                    inner.submit(b).unwrap().result().unwrap()
                                })
                                .sum()
                        },
                        (),
                    );
                    assert_eq!(engine.submit(job).unwrap().result().unwrap(), 200 * 201 / 2);
                },
            );
        }
    });
}

#[test]
fn several_jobs_with_parallel_loops_that_wait() {
    within(|| {
        with_engine(
            |b| b.max_thread_jobs(2),
            |engine| {
                let jobs: Vec<_> = (0..8_u32)
                    .map(|salt| {
                        let inner = engine.clone();
                        let job = ThreadJob::new(
                            move || -> u32 {
                                (0..50_u32)
                                    .into_par_iter()
                                    .with_max_len(1)
                                    .map(|i| chain(&inner, 1 + (i + salt) % 5).result().unwrap())
                                    .sum()
                            },
                            (),
                        );
                        engine.submit(job).unwrap()
                    })
                    .collect();
                for job in jobs {
                    assert_eq!(job.result().unwrap(), 150);
                }
            },
        );
    });
}

/// Two jobs hold the pool's two threads; the half of one that the other's thread took waits for
/// a chain that nobody has begun, while the first sits in rayon's own wait for that half.
#[test]
fn a_stolen_half_that_waits_for_a_chain() {
    within(|| {
        with_engine(
            |b| b.max_thread_jobs(2),
            |engine| {
                let (helping, stolen, done) = (Gate::new(), Gate::new(), Gate::new());
                let (h, d) = (helping.clone(), done.clone());
                let helper = ThreadJob::new(
                    move || {
                        h.open();
                        while !d.pass_within(Duration::ZERO) {
                            rayon::yield_now();
                        }
                    },
                    (),
                );
                let helper = engine.submit(helper).unwrap();
                let inner = engine.clone();
                let job = ThreadJob::new(
                    move || {
                        helping.pass();
                        let (s, inner) = (stolen.clone(), inner.clone());
                        let ((), value) = rayon::join(
                            || stolen.pass(),
                            || {
                                s.open();
                                chain(&inner, 3).result().unwrap()
                            },
                        );
                        done.open();
                        value
                    },
                    (),
                );
                assert_eq!(engine.submit(job).unwrap().result().unwrap(), 3);
                helper.wait().unwrap();
            },
        );
    });
}

#[test]
fn wait_timeout_is_false_in_time_and_true_in_the_end() {
    within(|| {
        with_engine(
            |b| b.max_thread_jobs(2),
            |engine| {
                let gate = Gate::new();
                let g = gate.clone();
                let slow = engine.submit(ThreadJob::new(move || g.pass(), ())).unwrap();
                let start = Instant::now();
                assert!(!slow.wait_timeout(Duration::from_millis(30)).unwrap());
                assert!(start.elapsed() >= Duration::from_millis(30));
                assert!(!engine.wait_timeout(Duration::from_millis(1)).unwrap());
                assert!(!slow.wait_timeout(Duration::ZERO).unwrap());
                // The same inside a job, which goes on afterwards.
                let inner = slow.clone();
                let waits = ThreadJob::new(
                    move || inner.wait_timeout(Duration::from_millis(5)).unwrap(),
                    (),
                )
                .blocking();
                assert!(!engine.submit(waits).unwrap().result().unwrap());
                gate.open();
                assert!(slow.wait_timeout(DEADLINE).unwrap());
                assert!(slow.wait_timeout(Duration::MAX).unwrap());
                assert!(engine.wait_timeout(Duration::MAX).unwrap());
            },
        );
    });
}

#[test]
fn many_threads_wait_for_one_job_and_for_all() {
    within(|| {
        with_engine(
            |b| b,
            |engine| {
                for _ in 0..20 {
                    let gate = Gate::new();
                    let g = gate.clone();
                    let job = engine
                        .submit(ThreadJob::new(
                            move || {
                                g.pass();
                                9
                            },
                            (),
                        ))
                        .unwrap();
                    let meter = Meter::new();
                    std::thread::scope(|scope| {
                        for i in 0..16 {
                            let (job, meter) = (job.clone(), meter.clone());
                            scope.spawn(move || {
                                let _inside = meter.enter();
                                match i % 4 {
                                    0 => job.wait().unwrap(),
                                    1 => assert_eq!(job.result().unwrap(), 9),
                                    2 => engine.wait().unwrap(),
                                    _ => engine.wait_job(job.id()).unwrap(),
                                }
                                assert_eq!(job.status(), Status::Done);
                            });
                        }
                        assert!(meter.reaches(16, DEADLINE));
                        gate.open();
                    });
                }
            },
        );
    });
}

struct Unpark(std::thread::Thread, AtomicBool);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.store(true, Ordering::SeqCst);
        self.0.unpark();
    }
}

/// The smallest executor: polls when woken, and only then.
fn block_on<F: Future>(future: F) -> F::Output {
    let wake = Arc::new(Unpark(std::thread::current(), AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&wake));
    let mut future = pin!(future);
    loop {
        while !wake.1.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
    }
}

#[test]
fn a_handle_is_a_future_of_its_result() {
    within(|| {
        with_engine(
            |b| b,
            |engine| {
                for i in 0..500 {
                    let a = engine.submit(ThreadJob::new(move || i, ())).unwrap();
                    let b = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ())).unwrap();
                    let (a, b) = block_on(async { (a.await, b.await) });
                    assert_eq!(a.unwrap(), i);
                    assert_eq!(b.unwrap_err().message(), "no");
                }
            },
        );
    });
}

#[test]
fn a_future_of_a_cancelled_job_resolves() {
    within(|| {
        with_engine(
            |b| b,
            |engine| {
                let never = ThreadJob::new(|| 1, ());
                let job = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),))).unwrap();
                let future = job.clone();
                std::thread::scope(|scope| {
                    let waits = scope.spawn(|| block_on(future));
                    job.cancel();
                    assert!(waits.join().unwrap().unwrap_err().is_cancelled());
                });
            },
        );
    });
}

#[test]
fn a_future_polled_by_two_tasks_wakes_both() {
    within(|| {
        with_engine(
            |b| b,
            |engine| {
                let gate = Gate::new();
                let g = gate.clone();
                let job = engine
                    .submit(ThreadJob::new(
                        move || {
                            g.pass();
                            3
                        },
                        (),
                    ))
                    .unwrap();
                std::thread::scope(|scope| {
                    let tasks: Vec<_> = (0..8)
                        .map(|_| {
                            let job = job.clone();
                            scope.spawn(move || block_on(job))
                        })
                        .collect();
                    gate.open();
                    for task in tasks {
                        assert_eq!(task.join().unwrap().unwrap(), 3);
                    }
                });
            },
        );
    });
}

#[test]
fn dropping_the_future_does_not_cancel_the_job() {
    within(|| {
        with_engine(
            |b| b,
            |engine| {
                let gate = Gate::new();
                let g = gate.clone();
                let job = engine
                    .submit(ThreadJob::new(
                        move || {
                            g.pass();
                            3
                        },
                        (),
                    ))
                    .unwrap();
                let id = job.id();
                let mut future = Box::pin(job);
                let waker = Waker::noop();
                let poll = Pin::new(&mut *future).poll(&mut Context::from_waker(waker));
                assert!(poll.is_pending());
                drop(future);
                gate.open();
                engine.wait().unwrap();
                assert_eq!(engine.jobs().get(id).unwrap().status(), Status::Done);
            },
        );
    });
}

#[test]
fn engine_wait_in_a_parallel_part_of_a_job_is_an_error() {
    within(|| {
        with_engine(
            |b| b.max_thread_jobs(3),
            |engine| {
                let inner = engine.clone();
                let job = ThreadJob::new(
                    move || -> bool {
                        let meter = Meter::new();
                        (0..3)
                            .into_par_iter()
                            .with_max_len(1)
                            .map(|_| {
                                // Each on a thread of its own.
                                let _inside = meter.enter();
                                assert!(meter.reaches(3, DEADLINE));
                                inner.wait().unwrap_err().is_wait_inside_job()
                            })
                            .reduce(|| true, |a, b| a && b)
                    },
                    (),
                );
                assert!(engine.submit(job).unwrap().result().unwrap());
            },
        );
    });
}

/// Waits in its drop for what may come meanwhile.
struct Waits(Gate);

impl Drop for Waits {
    fn drop(&mut self) {
        assert!(self.0.pass_within(DEADLINE / 4), "what was submitted meanwhile did not run");
    }
}

/// A submission that is left to the thread which has the dispatcher's turn is seen to before that
/// thread runs users' code. (A blocking job, for which there is always a thread: the drop itself takes
/// one of the pool's or the lane.)
#[test]
fn no_submission_waits_for_another_jobs_drop() {
    with_engine(
        |settings| settings.max_thread_jobs(1).keep_finished(0),
        |engine| {
            for round in 0..1000 {
                let gate = Gate::new();
                let (value, begun) = (Waits(gate.clone()), Arc::new(AtomicBool::new(false)));
                let begins = Arc::clone(&begun);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        while !begun.load(Ordering::SeqCst) {
                            std::hint::spin_loop();
                        }
                        // So as to come just when the job's end is told.
                        (0..round % 400).for_each(|_| std::hint::spin_loop());
                        let open = gate.clone();
                        let open = ThreadJob::new(move || open.open(), ()).blocking();
                        engine.submit(open).unwrap();
                        let opened = gate.pass_within(DEADLINE / 8);
                        assert!(opened, "round {round}: it was left behind");
                    });
                    let job = move || {
                        let _ = &value;
                        begins.store(true, Ordering::SeqCst);
                    };
                    // This thread may be the one that drops it.
                    drop(engine.submit(ThreadJob::new(job, ())).unwrap());
                });
            }
            engine.wait().unwrap();
        },
    );
}
