//! Jobs that go well, and jobs that fail by themselves.

use std::time::Instant;

use super::harness::{Bench, Gate, PATIENCE, settings, tasks};
use crate::backend::Backend;
use crate::job::ProcessJob;

#[test]
fn a_job_runs_in_another_process() {
    let bench = Bench::workers(2);
    let job = bench.push(ProcessJob::new(tasks::add, (1, 2)));
    assert_eq!(bench.result(&job).unwrap(), 3);
    let pid = bench.push(ProcessJob::new(tasks::pid, ()));
    let pid = bench.result(&pid).unwrap();
    assert_ne!(pid, i32::try_from(std::process::id()).unwrap());
    assert_eq!(bench.backend.workers(), [pid]);
    bench.assert_quiet();
}

#[test]
fn a_waiting_thread_serves_its_worker() {
    let bench = Bench::workers(1);
    for i in 0..200 {
        let job = bench.push(ProcessJob::new(tasks::add, (i, 1)));
        bench.serve(&job, None);
        assert_eq!(bench.result(&job).unwrap(), i + 1);
    }
    bench.assert_quiet();
}

#[test]
fn a_waiting_thread_gives_up_at_its_deadline() {
    let bench = Bench::workers(1);
    let (say, mut gate) = (Gate::new(), Gate::new());
    let job = bench.push(ProcessJob::new(tasks::hold, (say.writer(), gate.reader())));
    say.line();
    let deadline = Instant::now() + std::time::Duration::from_millis(5);
    bench.serve(&job, Some(deadline));
    assert!(Instant::now() >= deadline);
    gate.open();
    bench.serve(&job, Some(Instant::now() + PATIENCE));
    bench.result(&job).unwrap();
}

#[test]
fn several_threads_wait_and_one_serves() {
    let bench = Bench::workers(2);
    let jobs: Vec<_> = (0..500).map(|i| bench.push(ProcessJob::new(tasks::add, (i, i)))).collect();
    std::thread::scope(|scope| {
        for chunk in jobs.chunks(100) {
            let bench = &bench;
            scope.spawn(move || {
                for job in chunk {
                    bench.serve(job, None);
                }
            });
        }
    });
    for (i, job) in (0..).zip(&jobs) {
        assert_eq!(bench.result(job).unwrap(), 2 * i);
    }
    bench.assert_quiet();
}

#[test]
fn a_failure_keeps_its_text() {
    let bench = Bench::workers(1);
    let job = bench.push(ProcessJob::new(tasks::parse, ("x".to_owned(),)));
    let error = bench.error(&job);
    assert!(error.is_failure());
    assert_eq!(error.message(), "invalid digit found in string");
}

#[test]
fn a_panic_keeps_its_text_and_place_and_its_worker() {
    let bench = Bench::workers(1);
    let before = bench.push(ProcessJob::new(tasks::pid, ()));
    let job = bench.push(ProcessJob::new(tasks::boom, ("oh no".to_owned(),)));
    let after = bench.push(ProcessJob::new(tasks::pid, ()));
    let error = bench.error(&job);
    assert!(error.is_panic());
    assert_eq!(error.message(), "oh no");
    assert!(error.panic_location().unwrap().contains("harness.rs:"));
    assert_eq!(bench.result(&before).unwrap(), bench.result(&after).unwrap());
}

#[test]
fn large_arguments_and_results_pass() {
    let bench = Bench::workers(2);
    let big = bench.push(ProcessJob::new(tasks::bytes, (20_000_000,)));
    let small = bench.push(ProcessJob::new(tasks::length, (vec![1; 20_000_000],)));
    assert!(bench.result(&big).unwrap() == vec![7; 20_000_000]);
    assert_eq!(bench.result(&small).unwrap(), 20_000_000);
}

#[test]
fn what_is_longer_than_a_frame_may_be_is_refused_on_either_side() {
    let bench = Bench::new(super::super::Settings { max_frame_bytes: 10_000, ..settings(1) });
    let pid = bench.push(ProcessJob::new(tasks::pid, ()));
    let pid = bench.result(&pid).unwrap();
    let result = bench.push(ProcessJob::new(tasks::bytes, (20_000,)));
    let error = bench.error(&result);
    assert!(error.is_codec() && error.to_string().contains("max_message_bytes"), "{error}");
    let args = bench.push(ProcessJob::new(tasks::length, (vec![200; 20_000],)));
    let error = bench.error(&args);
    assert!(error.is_codec() && error.to_string().contains("max_message_bytes"), "{error}");
    let same = bench.push(ProcessJob::new(tasks::pid, ()));
    assert_eq!(bench.result(&same).unwrap(), pid);
}

#[test]
fn a_fresh_process_serves_one_job() {
    let bench = Bench::workers(2);
    let warm = bench.push(ProcessJob::new(tasks::pid, ()));
    let warm = bench.result(&warm).unwrap();
    let mut pids = vec![warm];
    for _ in 0..10 {
        let job = bench.push(ProcessJob::new(tasks::pid, ()).fresh_process(true));
        pids.push(bench.result(&job).unwrap());
    }
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 11);
    let again = bench.push(ProcessJob::new(tasks::pid, ()));
    assert_eq!(bench.result(&again).unwrap(), warm);
}

#[test]
fn a_worker_is_replaced_after_its_share_of_jobs() {
    let bench = Bench::new(super::super::Settings { max_jobs_per_worker: Some(3), ..settings(1) });
    let jobs: Vec<_> = (0..30).map(|_| bench.put(ProcessJob::new(tasks::pid, ()))).collect();
    bench.backend.kick();
    let mut pids: Vec<i32> = jobs.iter().map(|job| bench.result(job).unwrap()).collect();
    assert!(pids.chunk_by(|a, b| a == b).all(|run| run.len() == 3), "{pids:?}");
    pids.dedup();
    assert_eq!(pids.len(), 10);
}
