//! The promise (fault 14): a panic in a job, in a value's drop or in a waker is that job's
//! affair only. The job says what and where; the engine, its limits and all other jobs go on.

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::{Gate, within};
use executor_engine::CancelReason;
use executor_engine::prelude::*;

/// Panics when it is dropped, and counts that.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a bomb went off");
    }
}

fn bomb() -> (Bomb, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    (Bomb(Arc::clone(&count)), count)
}

/// All lanes run jobs, as many at once as they are allowed to.
fn assert_goes_on(engine: &Engine) {
    let local = engine.submit(LocalJob::new(|| 1, ())).unwrap();
    let thread = engine.submit(ThreadJob::new(|x: i32| x + 1, (&local,))).unwrap();
    let blocking = engine.submit(ThreadJob::new(|x: i32| x + 1, (&thread,)).blocking()).unwrap();
    assert_eq!(blocking.result().unwrap(), 3);
    engine.wait().unwrap();
    let stats = engine.stats();
    assert_eq!((stats.unfinished, stats.dispatched), (0, 0));
}

fn engine() -> Engine {
    Engine::builder().max_thread_jobs(1).max_blocking_jobs(1).build().unwrap()
}

#[test]
fn a_panic_fails_its_job_with_message_and_place_on_every_kind() {
    within(|| {
        let engine = engine();
        let line = line!() + 1;
        let boom = || -> u8 { panic!("number {}", 7) };
        let jobs = [
            engine.submit(LocalJob::new(boom, ())).unwrap(),
            engine.submit(ThreadJob::new(boom, ())).unwrap(),
            engine.submit(ThreadJob::new(boom, ()).blocking()).unwrap(),
        ];
        for job in jobs {
            let error = job.result().unwrap_err();
            assert_eq!(job.status(), Status::Failed);
            assert!(error.is_panic() && !error.is_failure());
            assert_eq!(error.message(), "number 7");
            let place = error.panic_location().unwrap();
            assert!(place.starts_with(&format!("{}:{line}:", file!())), "{place}");
            assert!(error.to_string().contains(place), "{error}");
        }
        assert_goes_on(&engine);
    });
}

#[test]
fn a_payload_that_is_no_text_is_said_to_be_none() {
    within(|| {
        let engine = engine();
        let job =
            engine.submit(ThreadJob::new(|| -> u8 { std::panic::panic_any(17_u32) }, ())).unwrap();
        let error = job.result().unwrap_err();
        assert!(error.is_panic());
        assert!(error.message().contains("not text"), "{}", error.message());
        assert!(error.panic_location().unwrap().contains("panics.rs"));
        assert_goes_on(&engine);
    });
}

#[test]
fn a_payload_that_panics_when_dropped_harms_nobody() {
    within(|| {
        let engine = engine();
        let boom = || -> u8 { std::panic::panic_any(Bomb(Arc::default())) };
        let job = engine.submit(ThreadJob::new(boom, ())).unwrap();
        assert!(job.result().unwrap_err().is_panic());
        assert_goes_on(&engine);
    });
}

#[test]
fn the_place_is_that_of_the_jobs_own_panic_not_of_one_it_caught() {
    within(|| {
        let engine = engine();
        let job = ThreadJob::new(
            || -> u8 {
                let _ = catch_unwind(|| panic!("inner"));
                std::panic::resume_unwind(Box::new("outer"))
            },
            (),
        );
        let error = engine.submit(job).unwrap().result().unwrap_err();
        assert_eq!(error.message(), "outer");
        assert_goes_on(&engine);
    });
}

#[test]
fn a_discarded_result_may_panic_in_its_drop() {
    within(|| {
        let engine = engine();
        let (started, gate) = (Gate::new(), Gate::new());
        let (s, g) = (started.clone(), gate.clone());
        let count = Arc::new(AtomicUsize::new(0));
        let inner = Arc::clone(&count);
        let job = ThreadJob::new(
            move || {
                s.open();
                g.pass();
                Bomb(Arc::clone(&inner))
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        started.pass();
        job.cancel();
        gate.open();
        job.wait().unwrap();
        assert_eq!(job.exception().unwrap().cancel_reason(), Some(&CancelReason::Requested));
        assert_goes_on(&engine);
        drop(engine);
        assert_eq!(count.load(Ordering::SeqCst), 1, "the result was dropped");
    });
}

#[test]
fn a_result_may_panic_when_the_last_handle_drops_it() {
    within(|| {
        let engine = engine();
        let count = Arc::new(AtomicUsize::new(0));
        let inner = Arc::clone(&count);
        let job = engine.submit(ThreadJob::new(move || Bomb(Arc::clone(&inner)), ())).unwrap();
        job.wait().unwrap();
        engine.remove(job.id()).unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0, "the handle keeps the result");
        // It is the caller's own value and drop: whether its panic comes through is not said.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(job)));
        assert_goes_on(&engine);
        drop(engine); // its thread may have held the job a moment longer than we
        assert_eq!(count.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_result_may_panic_when_the_engine_forgets_it() {
    within(|| {
        let engine = Engine::builder().keep_finished(1).build().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let inner = Arc::clone(&count);
            engine.submit(ThreadJob::new(move || Bomb(Arc::clone(&inner)), ())).unwrap();
        }
        engine.wait().unwrap();
        assert_goes_on(&engine);
        assert_eq!(engine.stats().done, 23);
        engine.jobs().clear_finished();
        drop(engine);
        assert_eq!(count.load(Ordering::SeqCst), 20);
    });
}

/// An argument whose clones panic in their drop.
struct Touchy(Arc<AtomicUsize>);

impl Clone for Touchy {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        if !std::thread::panicking() {
            panic!("touchy");
        }
    }
}

#[test]
fn an_argument_may_panic_in_its_drop() {
    within(|| {
        let engine = engine();
        let count = Arc::new(AtomicUsize::new(0));
        let arg = Touchy(Arc::clone(&count));
        let job = engine.submit(ThreadJob::new(|_: Touchy| 1, (arg,))).unwrap();
        let error = job.result().unwrap_err();
        assert!(error.is_panic(), "it was the job's function that dropped it: {error}");
        assert_eq!(error.message(), "touchy");
        assert_goes_on(&engine);
        let id = job.id();
        drop(job);
        engine.remove(id).unwrap();
        assert_goes_on(&engine);
        drop(engine);
        assert_eq!(count.load(Ordering::SeqCst), 2, "the clone and the original");
    });
}

/// An argument whose clone panics.
struct Unclonable;

impl Clone for Unclonable {
    fn clone(&self) -> Self {
        panic!("no clone")
    }
}

#[test]
fn an_input_may_panic_in_its_clone() {
    within(|| {
        let engine = engine();
        let source = engine.submit(ThreadJob::new(|| Unclonable, ())).unwrap();
        let job = engine.submit(ThreadJob::new(|_: Unclonable| (), (&source,))).unwrap();
        assert_eq!(job.result().unwrap_err().message(), "no clone");
        assert_eq!(source.status(), Status::Done);
        source.with_result(|_| ()).unwrap();
        assert_goes_on(&engine);
    });
}

fn jobs_with_bombs(engine: &Engine, how_many: usize) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..how_many {
        let bomb = Bomb(Arc::clone(&count));
        engine
            .submit(ThreadJob::new(
                move || {
                    let _ = &bomb;
                },
                (),
            ))
            .unwrap();
    }
    count
}

#[test]
fn captured_values_may_panic_at_remove_and_clear_finished() {
    within(|| {
        let engine = engine();
        let count = jobs_with_bombs(&engine, 3);
        engine.wait().unwrap();
        let first = engine.jobs().iter().next().unwrap().id();
        engine.remove(first).unwrap();
        assert_eq!(engine.jobs().clear_finished(), 2);
        assert_goes_on(&engine);
        drop(engine);
        assert_eq!(count.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn captured_values_may_panic_at_eviction() {
    within(|| {
        let engine = Engine::builder().keep_finished(0).build().unwrap();
        let count = jobs_with_bombs(&engine, 50);
        engine.wait().unwrap();
        assert_goes_on(&engine);
        engine.jobs().clear_finished();
        drop(engine);
        assert_eq!(count.load(Ordering::SeqCst), 50);
    });
}

#[test]
fn captured_values_may_panic_when_the_engine_is_dropped() {
    within(|| {
        // Two and more: a second panic while the first unwinds would abort the process.
        let engine = engine();
        let count = jobs_with_bombs(&engine, 5);
        engine.wait().unwrap();
        drop(engine);
        assert_eq!(count.load(Ordering::SeqCst), 5);
    });
}

#[test]
fn captured_values_of_jobs_that_never_ran_may_panic_when_the_engine_is_dropped() {
    within(|| {
        let engine = engine();
        let count = Arc::new(AtomicUsize::new(0));
        let never = ThreadJob::new(|| 1, ());
        for _ in 0..5 {
            let bomb = Bomb(Arc::clone(&count));
            let job = ThreadJob::new(
                move |_: i32| {
                    let _ = &bomb;
                },
                (never.output(),),
            );
            engine.submit(job).unwrap();
        }
        drop(engine);
        assert_eq!(count.load(Ordering::SeqCst), 5);
    });
}

#[test]
fn a_bomb_in_a_chain_does_not_keep_the_rest_of_the_chain() {
    within(|| {
        let alive = Arc::new(());
        let token = Arc::clone(&alive);
        let (bomb, count) = bomb();
        let first = ThreadJob::new(move || Arc::strong_count(&token), ());
        let second = ThreadJob::new(
            move |x: usize| {
                let _ = &bomb;
                x
            },
            (first.output(),),
        );
        let third = ThreadJob::new(|x: usize| x, (second.output(),));
        drop((first, second));
        let _ = catch_unwind(AssertUnwindSafe(|| drop(third)));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(Arc::strong_count(&alive), 1, "the first job is still somewhere");
    });
}

#[test]
fn a_hundred_panics_leave_every_permit_in_its_place() {
    within(|| {
        let engine = Engine::builder().max_jobs(2).max_thread_jobs(2).build().unwrap();
        for _ in 0..100 {
            engine.submit(ThreadJob::new(|| panic!("again"), ())).unwrap();
            engine.submit(LocalJob::new(|| panic!("again"), ())).unwrap();
            engine.submit(ThreadJob::new(|| panic!("again"), ()).blocking()).unwrap();
        }
        engine.wait().unwrap();
        assert_eq!(engine.stats().failed, 300);
        assert_goes_on(&engine);
    });
}

/// A waker that panics, the payload of which panics again if `worse`.
struct Rude {
    worse: bool,
    woken: AtomicUsize,
}

impl Wake for Rude {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        if self.worse {
            std::panic::panic_any(Bomb(Arc::default()));
        }
        panic!("a rude waker");
    }
}

fn rude_waker(worse: bool) {
    let engine = engine();
    let gate = Gate::new();
    let g = gate.clone();
    let job = engine
        .submit(ThreadJob::new(
            move || {
                g.pass();
                1
            },
            (),
        ))
        .unwrap();
    let rude = Arc::new(Rude { worse, woken: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&rude));
    let mut future = pin!(job.clone());
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // One who waits behind it must be woken all the same.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| job.wait());
        gate.open();
        waits.join().unwrap().unwrap();
    });
    assert_goes_on(&engine);
    assert_eq!(rude.woken.load(Ordering::SeqCst), 1);
    assert!(matches!(future.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(1))));
}

#[test]
fn a_waker_may_panic() {
    within(|| rude_waker(false));
}

#[test]
fn a_wakers_panic_may_carry_a_payload_that_panics() {
    within(|| rude_waker(true));
}
