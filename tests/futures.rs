//! Jobs that run async functions need no runtime; whoever wakes their future is heard; and a
//! cancelled one drops its future where it waits.

mod common;

use std::future::poll_fn;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use common::{Gate, within};
use executor_engine::prelude::*;

async fn add_one(x: u64) -> u64 {
    x + 1
}

#[task]
fn add_one_task(x: u64) -> u64 {
    executor_engine::block_on(add_one(x))
}

/// The original's `test_async_func_job`.
#[test]
fn async_functions_run_to_completion() {
    within(|| {
        let engine = Engine::new().unwrap();
        let jobs = [
            engine.submit(LocalJob::async_fn(add_one, (1,))).unwrap(),
            engine.submit(ThreadJob::async_fn(add_one, (1,))).unwrap(),
            engine.submit(ProcessJob::new(add_one_task, (1,))).unwrap(),
        ];
        for job in jobs {
            assert_eq!(job.result().unwrap(), 2);
            assert_eq!(job.status(), Status::Done);
        }
    });
}

/// A value that a future waits for.
#[derive(Clone, Default)]
struct Promise(Arc<Mutex<(Option<u32>, Option<Waker>)>>);

impl Promise {
    fn keep(&self, value: u32) {
        let mut state = self.0.lock().unwrap();
        state.0 = Some(value);
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    fn value(&self) -> impl Future<Output = u32> + use<> {
        let state = Arc::clone(&self.0);
        poll_fn(move |cx| {
            let mut state = state.lock().unwrap();
            state.1 = Some(cx.waker().clone());
            state.0.take().map_or(Poll::Pending, Poll::Ready)
        })
    }
}

#[test]
fn a_future_is_woken_from_another_thread() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (a, b) = (Promise::default(), Promise::default());
        let (x, y) = (a.value(), b.value());
        let job = engine.submit(ThreadJob::future(async move { x.await + y.await })).unwrap();
        std::thread::spawn(move || {
            for (promise, value) in [(b, 2), (a, 40)] {
                std::thread::yield_now();
                promise.keep(value);
            }
        });
        assert_eq!(job.result().unwrap(), 42);
    });
}

#[test]
fn futures_wait_for_jobs_and_for_each_other() {
    within(|| {
        let engine = Engine::new().unwrap();
        let mut last = engine.submit(ThreadJob::new(|| 0_u64, ())).unwrap();
        for _ in 0..50 {
            let next = async move { last.await.unwrap() + 1 };
            last = engine.submit(ThreadJob::future(next)).unwrap();
        }
        assert_eq!(last.result().unwrap(), 50);
    });
}

#[test]
fn a_cancelled_job_drops_its_future_where_it_waits() {
    struct Noticed(mpsc::Sender<()>);
    impl Drop for Noticed {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    within(|| {
        let engine = Engine::new().unwrap();
        for times_out in [false, true] {
            let (send, dropped) = mpsc::channel();
            let (waits, started) = (Gate::new(), Gate::new());
            let start = started.clone();
            let noticed = Noticed(send);
            let mut job = ThreadJob::future(async move {
                let _noticed = noticed;
                start.open();
                std::future::pending::<()>().await;
            });
            if times_out {
                job = job.timeout(Duration::from_millis(20));
            }
            let job = engine.submit(job).unwrap();
            started.pass();
            if !times_out {
                job.cancel();
            }
            dropped.recv().unwrap();
            job.wait().unwrap();
            let error = job.exception().unwrap();
            assert_eq!(error.is_timed_out(), times_out);
            assert_eq!(error.is_cancelled(), !times_out);
            drop(waits);
        }
    });
}

#[test]
fn errors_and_panics_fail_the_job() {
    within(|| {
        let engine = Engine::new().unwrap();
        let fails = engine.submit(ThreadJob::try_async_fn(|| async { Err::<u8, _>("no") }, ()));
        assert_eq!(fails.unwrap().result().unwrap_err().message(), "no");
        async fn panics() -> u8 {
            std::future::ready(()).await;
            panic!("oh")
        }
        let panics = engine.submit(ThreadJob::async_fn(panics, ())).unwrap();
        assert_eq!(panics.result().unwrap_err().message(), "oh");
    });
}

#[test]
fn an_async_function_is_tried_again_and_a_future_is_not() {
    within(|| {
        let engine = Engine::new().unwrap();
        let third = |ctx: JobContext| async move {
            if ctx.attempt() < 3 { Err("not yet") } else { Ok(ctx.attempt()) }
        };
        let job = engine.submit(ThreadJob::try_async_fn(third, (Context,)).retries(2)).unwrap();
        assert_eq!(job.result().unwrap(), 3);
        let once = ThreadJob::future(async { 1 }).retries(1);
        assert!(engine.submit(once).unwrap_err().is_runs_once());
    });
}

#[test]
fn block_on_is_for_any_thread() {
    within(|| {
        let promise = Promise::default();
        let keeper = promise.clone();
        let thread = std::thread::spawn(move || keeper.keep(5));
        assert_eq!(executor_engine::block_on(promise.value()), 5);
        thread.join().unwrap();
    });
}
