//! The promise: an engine that was dropped leaves no thread and no file descriptor behind.
//!
//! In a binary of its own with one test, so that all threads and descriptors are ours.

mod common;

use common::within;
use executor_engine::prelude::*;

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

fn one_engine(round: usize) {
    let engine = Engine::builder().max_thread_jobs(2).max_blocking_jobs(3).build().unwrap();
    let local = engine.submit(LocalJob::new(|| 1, ())).unwrap();
    let thread = engine.submit(ThreadJob::new(|x: i32| x + 1, (&local,))).unwrap();
    let blocking = engine.submit(ThreadJob::new(|x: i32| x + 1, (&thread,)).blocking()).unwrap();
    let never = ThreadJob::new(|| 1, ());
    engine.submit(ThreadJob::new(|x: i32| x, (never.output(),))).unwrap();
    engine.submit(ThreadJob::new(|| panic!("one of a hundred"), ())).unwrap();
    match round % 4 {
        0 => {}
        1 => assert_eq!(blocking.result().unwrap(), 3),
        2 => engine.shutdown(Shutdown::Drain),
        _ => engine.shutdown(Shutdown::Cancel),
    }
}

#[test]
fn a_hundred_engines_leave_no_thread_and_no_descriptor() {
    std::panic::set_hook(Box::new(|_| {}));
    within(|| {
        one_engine(1); // what the first use opens for good, if anything
        let before = (count("task"), count("fd"));
        for round in 0..100 {
            one_engine(round);
        }
        // The kernel shows a joined thread for a moment longer than the join takes.
        for _ in 0..10_000 {
            if (count("task"), count("fd")) == before {
                break;
            }
            std::thread::yield_now();
        }
        assert_eq!((count("task"), count("fd")), before);
    });
}
