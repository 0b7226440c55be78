//! Promise: a callback is called once per end of its job, with the final outcome, whatever else
//! happens; and it can harm nothing but other callbacks' time.

mod common;
#[path = "common/role.rs"]
mod role;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use common::{DEADLINE, Gate, within};
use executor_engine::prelude::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[task]
fn double(x: u32) -> u32 {
    x * 2
}

type Log = Arc<Mutex<Vec<String>>>;

fn with_all<K>(log: &Log, job: executor_engine::Job<K, u32>) -> executor_engine::Job<K, u32> {
    let logs: [Log; 3] = std::array::from_fn(|_| Arc::clone(log));
    let [done, failed, finished] = logs;
    job.on_done(move |result| done.lock().unwrap().push(format!("done {result}")))
        .on_failed(move |error| failed.lock().unwrap().push(format!("failed {}", error.message())))
        .on_finished(move |info| {
            finished.lock().unwrap().push(format!("finished {}", info.status()))
        })
}

#[test]
fn each_is_called_once_with_the_final_outcome() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let log = Log::default();
        engine.submit(with_all(&log, ThreadJob::new(|| 1, ()))).unwrap().wait().unwrap();
        engine.submit(with_all(&log, LocalJob::new(|| 2, ()))).unwrap().wait().unwrap();
        engine.submit(with_all(&log, ProcessJob::new(double, (2,)))).unwrap().wait().unwrap();
        let calls = AtomicU32::new(0);
        let flaky = move || match calls.fetch_add(1, Ordering::SeqCst) {
            2 => Ok(5),
            _ => Err("not yet"),
        };
        engine
            .submit(with_all(&log, ThreadJob::try_new(flaky, ()).retries(2)))
            .unwrap()
            .wait()
            .unwrap();
        let fails = ThreadJob::try_new(|| Err("never"), ()).retries(2);
        engine.submit(with_all(&log, fails)).unwrap().wait().unwrap();
        let missing = ThreadJob::new(|| 1, ());
        let waits = ThreadJob::new(|x: u32| x, (missing.output(),));
        engine.submit(with_all(&log, waits)).unwrap().cancel();
        // The end waits for callbacks.
        engine.shutdown(Shutdown::Drain);
        assert_eq!(
            *log.lock().unwrap(),
            [
                "done 1",
                "finished done",
                "done 2",
                "finished done",
                "done 4",
                "finished done",
                "done 5",
                "finished done",
                "failed never",
                "finished failed",
                "finished cancelled",
            ]
        );
    });
}

#[test]
fn the_result_is_there_for_them_though_it_was_taken() {
    within(|| {
        let engine = Engine::new().unwrap();
        for i in 0..200 {
            let (tell, told) = mpsc::channel();
            let job =
                ThreadJob::new(move || i, ()).on_done(move |result| tell.send(*result).unwrap());
            let job = engine.submit(job).unwrap();
            assert_eq!(job.take().unwrap(), i);
            assert_eq!(told.recv_timeout(DEADLINE).unwrap(), i);
        }
    });
}

#[test]
fn a_panic_in_one_changes_nothing() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (tell, told) = mpsc::channel();
        let job = ThreadJob::new(|| 1, ())
            .on_done(|_| panic!("in a callback"))
            .on_finished(|_| panic!("in another"))
            .on_finished(move |info| tell.send(info.status()).unwrap());
        let job = engine.submit(job).unwrap();
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), Status::Done);
        assert_eq!(job.result().unwrap(), 1);
        engine.wait().unwrap();
    });
}

#[test]
fn one_that_takes_long_holds_up_neither_jobs_nor_waits() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (gate, begun) = (Gate::new(), Gate::new());
        let (wait, tell) = (gate.clone(), begun.clone());
        let slow = ThreadJob::new(|| 1, ()).on_finished(move |_| {
            tell.open();
            wait.pass();
        });
        let slow = engine.submit(slow).unwrap();
        begun.pass();
        assert_eq!(slow.result().unwrap(), 1);
        let next = engine.submit(ThreadJob::new(|x: i32| x + 1, (&slow,))).unwrap();
        assert_eq!(next.result().unwrap(), 2);
        engine.wait().unwrap();
        gate.open();
    });
}

#[test]
fn one_may_use_the_engine_and_drop_its_last_handle() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (tell, told) = mpsc::channel();
        let own = engine.clone();
        let job = ThreadJob::new(|| 20, ()).on_done(move |result| {
            assert!(own.wait().unwrap_err().is_wait_inside_job());
            let result = *result;
            let next = own.submit(ThreadJob::new(move || result + 1, ())).unwrap();
            tell.send(next.result().unwrap()).unwrap();
        });
        drop(engine.submit(job).unwrap());
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), 21);
    });
}

#[test]
fn a_rerun_calls_them_again() {
    within(|| {
        let engine = Engine::new().unwrap();
        let calls = Arc::new(AtomicU32::new(0));
        let (count, seen) = (AtomicU32::new(0), Arc::clone(&calls));
        let job = ThreadJob::new(move || count.fetch_add(1, Ordering::SeqCst), ()).on_done(
            move |result| {
                seen.fetch_add(10 + result, Ordering::SeqCst);
            },
        );
        let job = engine.submit(job).unwrap();
        job.wait().unwrap();
        job.rerun().unwrap();
        engine.shutdown(Shutdown::Drain);
        assert_eq!(calls.load(Ordering::SeqCst), 21);
    });
}

#[test]
fn a_clone_that_panics_costs_the_callback_only() {
    struct Odd;
    impl Clone for Odd {
        fn clone(&self) -> Self {
            panic!("no clones")
        }
    }
    within(|| {
        let engine = Engine::new().unwrap();
        let (tell, told) = mpsc::channel();
        let job = ThreadJob::new(|| Odd, ())
            .on_done(|_| unreachable!("it could not be cloned"))
            .on_finished(move |info| tell.send(info.status()).unwrap());
        let job = engine.submit(job).unwrap();
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), Status::Done);
        assert!(job.take().is_ok());
    });
}

/// Asks its engine something when it is dropped.
#[derive(Clone)]
struct Asks(Engine);

impl Drop for Asks {
    fn drop(&mut self) {
        assert!(self.0.stats().unfinished < 9);
    }
}

#[test]
fn the_result_for_a_callback_that_gets_no_thread_may_use_the_engine_in_its_drop() {
    const TEST: &str =
        "the_result_for_a_callback_that_gets_no_thread_may_use_the_engine_in_its_drop";
    role::apart(TEST, || {
        // The limit does not bind root.
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setgid(nix::unistd::Gid::from_raw(65534)).unwrap();
            nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
        }
        let engine = Engine::new().unwrap();
        // The pool's threads are there.
        engine.submit(ThreadJob::new(|| (), ())).unwrap().result().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
        setrlimit(Resource::RLIMIT_NPROC, 1, hard).unwrap();
        let (value, called) = (Asks(engine.clone()), Gate::new());
        let call = called.clone();
        let job = ThreadJob::new(move || value.clone(), ()).on_done(move |_| call.open());
        let job = engine.submit(job).unwrap();
        // It returns when the dispatcher is through with the job's end.
        engine.wait().unwrap();
        setrlimit(Resource::RLIMIT_NPROC, soft, hard).unwrap();
        assert_eq!(job.status(), Status::Done);
        engine.shutdown(Shutdown::Drain);
        assert!(!called.pass_within(std::time::Duration::ZERO), "it got a thread");
    });
}
