//! Promise: a job's handle is a future under any runtime, or none. It tells of every end; it keeps
//! one waker however often it is polled, and none once it is dropped; to drop it does not cancel
//! the job.

mod common;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use common::{Gate, within};
use executor_engine::CancelReason;
use executor_engine::prelude::*;
use futures::future::{BoxFuture, Either, join_all, ready, select};

fn tokio_of(mut builder: tokio::runtime::Builder) -> tokio::runtime::Runtime {
    builder.enable_time().build().unwrap()
}

type Run = fn(BoxFuture<'static, ()>);

/// Each way to run a future to its end.
const RUNTIMES: [(&str, Run); 6] = [
    ("futures", |future| futures::executor::block_on(future)),
    ("this library's block_on", |future| executor_engine::block_on(future)),
    ("tokio, one thread", |future| {
        tokio_of(tokio::runtime::Builder::new_current_thread()).block_on(future);
    }),
    ("tokio, a task", |future| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2);
        let runtime = tokio_of(builder);
        runtime.block_on(async { tokio::spawn(future).await.unwrap() });
    }),
    ("smol", |future| smol::block_on(future)),
    ("smol, a task", |future| smol::block_on(smol::spawn(future))),
];

/// Runs the future that `body` makes under each of them.
fn under_each<F>(body: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    within(move || {
        for (name, run) in RUNTIMES {
            println!("under {name}");
            run(Box::pin(body()));
        }
    });
}

/// Counts how often it is woken; who holds it can be counted, too.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Polls with a waker of that, which the handle alone holds then.
fn poll<T: Clone, W: Wake + Send + Sync + 'static>(
    handle: &mut JobHandle<T>,
    wake: &Arc<W>,
) -> Poll<Result<T, JobError>> {
    let waker = Waker::from(Arc::clone(wake));
    Pin::new(handle).poll(&mut TaskContext::from_waker(&waker))
}

/// A job that waits for the gate.
fn gated(engine: &Engine) -> (Gate, JobHandle<u32>) {
    let gate = Gate::new();
    let wait = gate.clone();
    let job = ThreadJob::new(
        move || {
            wait.pass();
            7
        },
        (),
    );
    (gate, engine.submit(job).unwrap())
}

/// A job that waits for one that is never submitted.
fn pending(engine: &Engine) -> JobHandle<u32> {
    let never = ThreadJob::new(|| 1_u32, ());
    engine.submit(ThreadJob::new(|x: u32| x, (never.output(),))).unwrap()
}

#[task]
fn double(x: u32) -> u32 {
    x * 2
}

#[test]
fn results_and_errors_of_every_kind() {
    under_each(|| async {
        let engine = Engine::new().unwrap();
        let local = engine.submit(LocalJob::new(|| 1, ())).unwrap();
        assert_eq!(local.await.unwrap(), 1);
        let thread = engine.submit(ThreadJob::new(|| "two".to_owned(), ())).unwrap();
        let blocking = engine.submit(ThreadJob::new(|| 3, ()).blocking()).unwrap();
        assert_eq!(thread.await.unwrap(), "two");
        assert_eq!(blocking.await.unwrap(), 3);
        assert_eq!(engine.submit(ProcessJob::new(double, (2,))).unwrap().await.unwrap(), 4);

        let fails = engine.submit(ThreadJob::try_new(|| Err::<u8, _>("no"), ())).unwrap();
        let next = engine.submit(ThreadJob::new(|x: u8| x, (&fails,))).unwrap();
        let error = fails.await.unwrap_err();
        assert!(error.is_failure());
        assert_eq!(error.message(), "no");
        assert!(matches!(next.await.unwrap_err().cancel_reason(), Some(CancelReason::Upstream(_))));
        let panics = engine.submit(ThreadJob::new(|| -> u8 { panic!("oh") }, ())).unwrap();
        assert!(panics.await.unwrap_err().is_panic());
    });
}

#[test]
fn ten_thousand_at_once() {
    under_each(|| async {
        let engine = Engine::new().unwrap();
        let odd = |x: u32| if x % 2 == 1 { Ok(x) } else { Err("even") };
        let jobs = (0..10_000).map(|x| ThreadJob::try_new(odd, (x,)));
        let handles: Vec<_> = jobs.map(|job| engine.submit(job).unwrap()).collect();
        for (x, result) in (0..).zip(join_all(handles).await) {
            match result {
                Ok(value) => assert_eq!((value, x % 2), (x, 1)),
                Err(error) => assert_eq!((&*error.message(), x % 2), ("even", 0)),
            }
        }
    });
}

#[test]
fn ten_thousand_tasks_await_one_job() {
    within(|| {
        let engine = Engine::new().unwrap();
        let runtime = tokio_of(tokio::runtime::Builder::new_multi_thread());
        let (gate, job) = gated(&engine);
        let tasks: Vec<_> = (0..10_000).map(|_| runtime.spawn(job.clone())).collect();
        let more: Vec<_> = (0..10_000).map(|_| smol::spawn(job.clone())).collect();
        gate.open();
        for result in runtime.block_on(join_all(tasks)) {
            assert_eq!(result.unwrap().unwrap(), 7);
        }
        for result in smol::block_on(join_all(more)) {
            assert_eq!(result.unwrap(), 7);
        }
    });
}

#[test]
fn a_handle_is_selected_on_again_and_again() {
    under_each(|| async {
        let engine = Engine::new().unwrap();
        let (gate, mut job) = gated(&engine);
        for _ in 0..10_000 {
            match select(&mut job, ready(())).await {
                Either::Left(_) => panic!("it is not finished"),
                Either::Right(_) => {}
            }
        }
        gate.open();
        assert_eq!(job.await.unwrap(), 7);
    });
}

#[test]
fn a_handle_outlives_its_timeouts() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (gate, mut job) = gated(&engine);
        tokio_of(tokio::runtime::Builder::new_current_thread()).block_on(async {
            // Over by the second turn, so that ten thousand do not take as many milliseconds.
            let deadline = tokio::time::Instant::now();
            for _ in 0..10_000 {
                assert!(tokio::time::timeout_at(deadline, &mut job).await.is_err());
            }
            // The timeout drops this one.
            assert!(tokio::time::timeout(Duration::ZERO, job.clone()).await.is_err());
            gate.open();
            let result = tokio::time::timeout(common::DEADLINE, &mut job).await;
            assert_eq!(result.unwrap().unwrap(), 7);
        });
        let (gate, mut job) = gated(&engine);
        smol::block_on(async {
            let timer = pin!(smol::Timer::after(Duration::from_millis(1)));
            assert!(matches!(select(&mut job, timer).await, Either::Right(_)));
            gate.open();
            assert_eq!(job.await.unwrap(), 7);
        });
    });
}

#[test]
fn ten_thousand_polls_keep_one_waker() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (gate, mut job) = gated(&engine);
        // With one waker: it is held once.
        let same = Arc::new(Counter::default());
        for _ in 0..10_000 {
            assert!(poll(&mut job, &same).is_pending());
            assert_eq!(Arc::strong_count(&same), 2);
        }
        // Each with its own: the last is held, in place of all that were before.
        let mut before = Arc::downgrade(&same);
        drop(same);
        for _ in 0..10_000 {
            let next = Arc::new(Counter::default());
            assert!(poll(&mut job, &next).is_pending());
            assert_eq!(Arc::strong_count(&next), 2);
            assert_eq!(before.strong_count(), 0, "the waker before is still held");
            before = Arc::downgrade(&next);
        }
        // Two in turn, as in a handle that moves between tasks: the last alone is woken.
        let both = [(); 2].map(|()| Arc::new(Counter::default()));
        for turn in 0..10_001 {
            assert!(poll(&mut job, &both[turn % 2]).is_pending());
            assert_eq!(both.each_ref().map(Arc::strong_count), [2 - turn % 2, 1 + turn % 2]);
        }
        gate.open();
        engine.wait().unwrap();
        wait_until(|| both[0].woken() == 1);
        assert_eq!(both[1].woken(), 0);
        wait_until(|| both.each_ref().map(Arc::strong_count) == [1, 1]);
        assert_eq!(poll(&mut job, &both[1]).map(Result::unwrap), Poll::Ready(7));
        assert_eq!(Arc::strong_count(&both[1]), 1);
    });
}

/// Wakers are woken a moment after the job is finished.
fn wait_until(holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < common::DEADLINE, "not within {:?}", common::DEADLINE);
        std::thread::yield_now();
    }
}

#[test]
fn a_dropped_future_leaves_no_waker_and_cancels_nothing() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (gate, mut job) = gated(&engine);
        let mine = Arc::new(Counter::default());
        assert!(poll(&mut job, &mine).is_pending());
        let wakers: Vec<Weak<Counter>> = (0..1000)
            .map(|_| {
                let wake = Arc::new(Counter::default());
                let mut dropped = job.clone();
                assert!(poll(&mut dropped, &wake).is_pending());
                Arc::downgrade(&wake)
            })
            .collect();
        assert!(wakers.iter().all(|wake| wake.strong_count() == 0));
        // A clone does not inherit the place, and so does not leave it.
        drop(job.clone());
        assert_eq!(Arc::strong_count(&mine), 2);
        gate.open();
        wait_until(|| mine.woken() == 1 && Arc::strong_count(&mine) == 1);
        assert_eq!((job.status(), job.result().unwrap()), (Status::Done, 7));

        // The last handle goes: the job goes on.
        let (gate, mut job) = gated(&engine);
        assert!(poll(&mut job, &mine).is_pending());
        let id = job.id();
        drop(job);
        assert_eq!(Arc::strong_count(&mine), 1);
        gate.open();
        engine.wait().unwrap();
        let jobs = engine.jobs();
        assert_eq!(jobs.iter().find(|info| info.id() == id).unwrap().status(), Status::Done);
        assert_eq!(mine.woken(), 1);
    });
}

#[test]
fn handles_come_and_go_while_the_job_ends() {
    within(|| {
        let engine = Engine::new().unwrap();
        for _ in 0..200 {
            let (gate, job) = gated(&engine);
            let wake = Arc::new(Counter::default());
            std::thread::scope(|scope| {
                for stays in [true, false] {
                    let (mut handle, wake) = (job.clone(), &wake);
                    scope.spawn(move || {
                        while poll(&mut handle, &Arc::new(Counter::default())).is_pending() {
                            let own = Arc::new(Counter::default());
                            if poll(&mut handle, &own).is_ready() {
                                break;
                            }
                            if stays {
                                wait_until(|| own.woken() == 1);
                            } else {
                                handle = handle.clone();
                            }
                        }
                        assert!(poll(&mut handle, wake).is_ready());
                    });
                }
                scope.spawn(|| gate.open());
            });
            assert_eq!(Arc::strong_count(&wake), 1);
        }
    });
}

#[test]
fn after_the_end_it_is_ready_every_time() {
    under_each(|| async {
        let engine = Engine::new().unwrap();
        let mut job = engine.submit(ThreadJob::new(|| 5, ())).unwrap();
        job.wait().unwrap();
        for _ in 0..3 {
            assert_eq!((&mut job).await.unwrap(), 5);
            assert_eq!(job.clone().await.unwrap(), 5);
        }
        assert_eq!(job.take().unwrap(), 5);
        assert!((&mut job).await.unwrap_err().is_taken());
        drop(engine);
        assert!(job.await.unwrap_err().is_taken());
    });
}

#[test]
fn a_job_that_runs_again_is_awaited_again() {
    under_each(|| async {
        let engine = Engine::new().unwrap();
        let count = AtomicUsize::new(0);
        let job = ThreadJob::new(move || count.fetch_add(1, Ordering::SeqCst), ());
        let mut job = engine.submit(job).unwrap();
        for run in 0..100 {
            assert_eq!((&mut job).await.unwrap(), run);
            job.rerun().unwrap();
        }
        assert_eq!(job.await.unwrap(), 100);
    });
}

#[test]
fn handles_have_places_of_their_own_in_each_run() {
    within(|| {
        let engine = Engine::new().unwrap();
        let gates = [(); 3].map(|()| Gate::new());
        let (waits, runs) = (gates.clone(), AtomicUsize::new(0));
        let job = move || {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            waits[run].pass();
            run
        };
        let first = engine.submit(ThreadJob::new(job, ())).unwrap();
        let mut handles = vec![first];
        // Of one handle more in each run; those that were there are not polled in between.
        for (run, gate) in gates.iter().enumerate() {
            handles.push(handles[0].clone());
            let wakes: Vec<_> = handles.iter().map(|_| Arc::new(Counter::default())).collect();
            // The new one comes first.
            for (handle, wake) in handles.iter_mut().zip(&wakes).rev() {
                assert!(poll(handle, wake).is_pending());
            }
            assert!(wakes.iter().all(|wake| Arc::strong_count(wake) == 2));
            gate.open();
            wait_until(|| wakes.iter().all(|wake| wake.woken() == 1));
            assert_eq!(handles[0].result().unwrap(), run);
            if run + 1 < gates.len() {
                handles[0].rerun().unwrap();
            }
        }
        for handle in &mut handles {
            let wake = Arc::new(Counter::default());
            assert_eq!(poll(handle, &wake).map(Result::unwrap), Poll::Ready(2));
        }
    });
}

#[test]
fn a_cancelled_job_says_so() {
    under_each(|| async {
        let engine = Engine::new().unwrap();
        let before = pending(&engine);
        before.cancel();
        let error = before.await.unwrap_err();
        assert!(matches!(error.cancel_reason(), Some(CancelReason::Requested)), "{error}");

        let mut awaited = pending(&engine);
        assert!(futures::poll!(&mut awaited).is_pending());
        let canceller = awaited.clone();
        let thread = std::thread::spawn(move || canceller.cancel());
        let error = awaited.await.unwrap_err();
        assert!(matches!(error.cancel_reason(), Some(CancelReason::Requested)), "{error}");
        thread.join().unwrap();
    });
}

#[test]
fn the_end_of_the_engine_ends_the_wait() {
    under_each(|| async {
        let engine = Engine::new().unwrap();
        let mut handles: Vec<_> = (0..10).map(|_| pending(&engine)).collect();
        for handle in &mut handles {
            assert!(futures::poll!(handle).is_pending());
        }
        let thread = std::thread::spawn(move || drop(engine));
        for result in join_all(handles).await {
            let error = result.unwrap_err();
            assert!(matches!(error.cancel_reason(), Some(CancelReason::Shutdown)), "{error}");
        }
        thread.join().unwrap();
    });
}

/// Panics when it is woken.
struct Panics(AtomicUsize);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a waker's panic");
    }
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (gate, job) = gated(&engine);
        let (bad, good) = (Arc::new(Panics(AtomicUsize::new(0))), Arc::new(Counter::default()));
        let mut handles: Vec<_> = (0..9).map(|_| job.clone()).collect();
        for (at, handle) in handles.iter_mut().enumerate() {
            let polled = if at % 2 == 0 { poll(handle, &bad) } else { poll(handle, &good) };
            assert!(polled.is_pending());
        }
        gate.open();
        wait_until(|| bad.0.load(Ordering::SeqCst) == 5 && good.woken() == 4);
        for handle in &mut handles {
            assert_eq!(poll(handle, &good).map(Result::unwrap), Poll::Ready(7));
        }
        assert_eq!(engine.submit(ThreadJob::new(|| 1, ())).unwrap().result().unwrap(), 1);
    });
}

/// When it is dropped it lets go of a handle, and panics.
struct Bomb {
    dropped: Arc<AtomicUsize>,
    handle: Mutex<Option<JobHandle<u32>>>,
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Bomb {
    fn drop(&mut self) {
        let mut handle = self.handle.get_mut().unwrap().take().unwrap();
        // The handle's job is the one that the waker waits for: nothing of it may be locked.
        let _ = poll(&mut handle, &Arc::new(Counter::default()));
        drop(handle);
        self.dropped.fetch_add(1, Ordering::SeqCst);
        panic!("a panic in a waker's drop");
    }
}

#[test]
fn a_waker_that_panics_in_its_drop_harms_nobody() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (gate, job) = gated(&engine);
        let dropped = Arc::new(AtomicUsize::new(0));
        let bomb = || {
            let mut handle = job.clone();
            assert!(poll(&mut handle, &Arc::new(Counter::default())).is_pending());
            Arc::new(Bomb { dropped: Arc::clone(&dropped), handle: Mutex::new(Some(handle)) })
        };
        let count = || dropped.load(Ordering::SeqCst);
        // Another waker takes its place.
        let mut replaced = job.clone();
        assert!(poll(&mut replaced, &bomb()).is_pending());
        assert_eq!(count(), 0);
        let good = Arc::new(Counter::default());
        assert!(poll(&mut replaced, &good).is_pending());
        assert_eq!(count(), 1);
        // Its handle is dropped.
        let mut gone = job.clone();
        assert!(poll(&mut gone, &bomb()).is_pending());
        drop(gone);
        assert_eq!(count(), 2);
        // The job ends.
        let mut woken = job.clone();
        assert!(poll(&mut woken, &bomb()).is_pending());
        gate.open();
        wait_until(|| count() == 3 && good.woken() == 1);
        assert_eq!(poll(&mut replaced, &good).map(Result::unwrap), Poll::Ready(7));
        assert_eq!(poll(&mut woken, &good).map(Result::unwrap), Poll::Ready(7));
    });
}
