//! Start, surroundings of workers, and the end of everything.

use super::harness::{Bench, await_end, settings, tasks};
use crate::backend::Backend;
use crate::backend::process::Settings;
use crate::job::ProcessJob;

#[test]
fn nothing_is_started_before_it_is_needed() {
    let bench = Bench::workers(2);
    assert_eq!(bench.backend.server(), None);
    bench.backend.prestart().unwrap();
    let server = bench.backend.server().unwrap();
    assert!(bench.backend.workers().is_empty());
    let job = bench.push(ProcessJob::new(tasks::add, (1, 1)));
    assert_eq!(bench.result(&job).unwrap(), 2);
    assert_eq!(bench.backend.server(), Some(server));
}

#[test]
fn shutdown_ends_every_process() {
    let bench = Bench::workers(3);
    let jobs: Vec<_> = (0..100).map(|_| bench.put(ProcessJob::new(tasks::pid, ()))).collect();
    bench.backend.kick();
    let mut pids: Vec<i32> = jobs.iter().map(|job| bench.result(job).unwrap()).collect();
    pids.sort_unstable();
    pids.dedup();
    let server = i32::try_from(bench.backend.server().unwrap()).unwrap();
    bench.backend.shutdown();
    for pid in pids {
        // They were reaped by the fork server, which is gone too: no zombie of either is left.
        assert!(crate::sys::pidfd(pid).is_err(), "worker {pid} is left");
    }
    assert!(crate::sys::pidfd(server).is_err(), "the fork server is left");
    bench.backend.shutdown();
}

#[test]
fn a_dropped_backend_ends_what_its_tasks_left_behind() {
    let bench = Bench::workers(1);
    let say = super::harness::Gate::new();
    let job = bench.push(ProcessJob::new(tasks::leave_daemon, (say.writer(),)));
    bench.result(&job).unwrap();
    let daemon = say.line().parse().unwrap();
    drop(bench);
    await_end(daemon);
}

#[test]
fn new_workers_see_the_surroundings_of_now() {
    // The surroundings of a process are shared by all tests in it, so this is one test, and it
    // sets what no other looks at.
    let bench = Bench::new(Settings { max_jobs_per_worker: Some(1), ..settings(1) });
    let ask = || bench.result(&bench.push(ProcessJob::new(tasks::surroundings, ()))).unwrap();
    let (directory, umask, marker) = ask();
    assert_eq!(directory, std::env::current_dir().unwrap().display().to_string());
    assert_eq!(umask, crate::sys::own_umask().unwrap());
    assert_eq!(marker, None);
    assert!(!crate::forkserver::token_present());
}

#[test]
fn jobs_after_the_shutdown_fail() {
    let bench = Bench::workers(1);
    bench.backend.shutdown();
    let job = bench.push(ProcessJob::new(tasks::add, (1, 1)));
    assert!(bench.error(&job).is_no_worker());
}
