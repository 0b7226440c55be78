//! Jobs that are sent ahead, and taken back.

use super::harness::{Bench, Gate, tasks};
use crate::backend::Backend;
use crate::job::ProcessJob;

/// Teaches the pool that jobs are short, so that it sends ahead.
fn warm(bench: &Bench) {
    let jobs: Vec<_> = (0..300).map(|i| bench.put(ProcessJob::new(tasks::add, (i, 1)))).collect();
    bench.backend.kick();
    for (i, job) in (0..).zip(&jobs) {
        assert_eq!(bench.result(job).unwrap(), i + 1);
    }
}

#[test]
fn thousands_of_jobs_in_flight_each_have_one_outcome() {
    let bench = Bench::workers(2);
    let jobs: Vec<_> = (0..5000).map(|i| bench.put(ProcessJob::new(tasks::add, (i, i)))).collect();
    bench.backend.kick();
    for (i, job) in (0..).zip(&jobs) {
        assert_eq!(bench.result(job).unwrap(), 2 * i);
    }
    bench.assert_quiet();
    assert_eq!(bench.backend.workers().len(), 2);
}

#[test]
fn jobs_behind_a_long_one_go_to_another_worker() {
    let bench = Bench::workers(2);
    warm(&bench);
    let (say, mut gate) = (Gate::new(), Gate::new());
    let long = bench.put(ProcessJob::new(tasks::hold, (say.writer(), gate.reader())));
    let short: Vec<_> = (0..400).map(|i| bench.put(ProcessJob::new(tasks::add, (i, 1)))).collect();
    bench.backend.kick();
    // Whichever worker they were sent to, they finish while the long one still runs.
    for (i, job) in (0..).zip(&short) {
        assert_eq!(bench.result(job).unwrap(), i + 1);
    }
    gate.open();
    let holder = bench.result(&long).unwrap();
    assert!(bench.backend.workers().contains(&holder));
    bench.assert_quiet();
    // The one that held is of use again.
    warm(&bench);
    assert_eq!(bench.backend.workers().len(), 2);
}

#[test]
fn jobs_behind_long_ones_move_while_the_queue_is_never_empty() {
    let bench = Bench::workers(3);
    warm(&bench);
    let gates: Vec<_> = (0..2).map(|_| (Gate::new(), Gate::new())).collect();
    let mut long = Vec::new();
    let mut short = Vec::new();
    for i in 0..3000_i64 {
        if i % 700 == 350
            && let Some((say, gate)) = gates.get(long.len())
        {
            long.push(bench.put(ProcessJob::new(tasks::hold, (say.writer(), gate.reader()))));
        }
        short.push(bench.put(ProcessJob::new(tasks::add, (i, 1))));
    }
    bench.backend.kick();
    for (i, job) in (0..).zip(&short) {
        assert_eq!(bench.result(job).unwrap(), i + 1);
    }
    assert_eq!(long.len(), 2);
    for ((say, mut gate), job) in gates.into_iter().zip(&long) {
        assert!(say.line().parse::<i32>().unwrap() > 0);
        gate.open();
        bench.result(job).unwrap();
    }
    bench.assert_quiet();
}

#[test]
fn a_cancelled_job_that_was_not_begun_costs_no_worker() {
    let bench = Bench::workers(1);
    warm(&bench);
    let pid = bench.backend.workers();
    let (say, mut gate) = (Gate::new(), Gate::new());
    let long = bench.push(ProcessJob::new(tasks::hold, (say.writer(), gate.reader())));
    say.line();
    let sent: Vec<_> = (0..200).map(|i| bench.push(ProcessJob::new(tasks::add, (i, 1)))).collect();
    // Some of these were sent ahead, some wait in the queue.
    for job in sent.iter().step_by(2) {
        bench.abort(job);
        assert!(!bench.wait(job));
        assert!(job.job.error().is_none(), "nothing is stored");
    }
    gate.open();
    bench.result(&long).unwrap();
    for (i, job) in (0..).zip(&sent).skip(1).step_by(2) {
        assert_eq!(bench.result(job).unwrap(), i + 1);
    }
    bench.assert_quiet();
    assert_eq!(bench.backend.workers(), pid);
}

#[test]
fn a_cancelled_job_that_runs_ends_its_worker_and_spares_its_neighbours() {
    let bench = Bench::workers(1);
    warm(&bench);
    let (say, gate) = (Gate::new(), Gate::new());
    let long = bench.push(ProcessJob::new(tasks::hold, (say.writer(), gate.reader())));
    let pid: i32 = say.line().parse().unwrap();
    let behind: Vec<_> = (0..50).map(|i| bench.push(ProcessJob::new(tasks::add, (i, 1)))).collect();
    bench.abort(&long);
    let error = bench.error(&long);
    assert!(error.is_worker_died());
    assert_eq!(error.signal(), Some(15));
    for (i, job) in (0..).zip(&behind) {
        assert_eq!(bench.result(job).unwrap(), i + 1);
    }
    assert!(!bench.backend.workers().contains(&pid));
    bench.assert_quiet();
}

#[test]
fn a_job_cancelled_before_the_kick_never_starts() {
    let bench = Bench::workers(1);
    let job = bench.put(ProcessJob::new(tasks::add, (1, 1)));
    bench.abort(&job);
    bench.backend.kick();
    assert!(!bench.wait(&job));
    assert_eq!(job.job.head().attempt(), 0);
    bench.assert_quiet();
}
