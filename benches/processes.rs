//! Bars 4, 5 and 6: jobs in worker processes beside a raw socketpair and Python's pool.

mod common;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use common::{Table, median_call, peer, per_job, size};
use executor_engine::prelude::*;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

const WORKERS: usize = 2;

#[task]
fn echo(payload: [u64; 7]) -> [u64; 7] {
    payload
}

#[task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// The other end of the raw baseline: sends back what it gets, 64 bytes at a time.
fn echo_server() {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().expect("the socket on stdin");
    let mut stream = UnixStream::from(socket);
    let mut buffer = [0; 64];
    while stream.read_exact(&mut buffer).is_ok() {
        stream.write_all(&buffer).expect("the other end reads");
    }
}

/// Runs `f` with this process, and what it starts, on one CPU.
fn on_one_cpu<R>(f: impl FnOnce() -> R) -> R {
    let me = Pid::from_raw(0);
    let all = sched_getaffinity(me).expect("the affinity");
    let first = (0..CpuSet::count()).find(|&cpu| all.is_set(cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(first.expect("a CPU")).expect("a CPU of the set");
    sched_setaffinity(me, &one).expect("narrowing the affinity");
    let result = f();
    sched_setaffinity(me, &all).expect("widening the affinity");
    result
}

fn engine(workers: usize) -> Engine {
    let engine = Engine::builder()
        .max_process_jobs(workers)
        .keep_finished(usize::MAX)
        .build()
        .expect("an engine");
    // Workers start with the jobs that need them.
    let jobs = (0..workers as u64).map(|i| ProcessJob::new(add, (i, 1)));
    engine.submit_all(jobs).and_then(|_| engine.wait()).expect("first jobs");
    engine
}

fn round_trips(table: &mut Table, what: &str, calls: usize) {
    let (mut ours, theirs) = UnixStream::pair().expect("a socketpair");
    let mut server = Command::new(std::env::current_exe().expect("this program"))
        .arg("--echo-server")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .expect("this program again");
    let engine = engine(1);
    table.pairs(
        "4",
        what,
        "raw socketpair echo, 64 bytes",
        Some(1.5),
        || {
            median_call(calls, || {
                let job = engine.submit(ProcessJob::new(echo, ([7; 7],))).expect("submitted");
                assert_eq!(job.result().expect("done")[0], 7);
            })
        },
        || {
            median_call(calls, || {
                let mut buffer = [7; 64];
                ours.write_all(&buffer).expect("the server reads");
                ours.read_exact(&mut buffer).expect("the server answers");
            })
        },
    );
    drop(ours);
    server.wait().expect("the server ends with its socket");
}

/// Jobs of two numbers, all in flight at once.
fn in_flight(engine: &Engine, count: usize) -> f64 {
    let mut handles = Vec::new();
    let mut sum = 0;
    let time = per_job(count, || {
        handles = engine
            .submit_all((0..count as u64).map(|i| ProcessJob::new(add, (i, 1))))
            .expect("submitted");
        engine.wait().expect("all finished");
        sum = handles.iter().map(|handle| handle.result().expect("done")).sum();
    });
    assert_eq!(sum, (1..=count as u64).sum::<u64>());
    engine.jobs().clear_finished();
    time
}

fn fresh(engine: &Engine, count: usize) -> f64 {
    let job = || ProcessJob::new(add, (1, 2)).fresh_process(true);
    per_job(count, || {
        let handles = engine.submit_all((0..count).map(|_| job())).expect("submitted");
        for handle in handles {
            assert_eq!(handle.result().expect("done"), 3);
        }
    })
}

fn main() {
    if std::env::args().any(|argument| argument == "--echo-server") {
        return echo_server();
    }
    let mut table = Table::default();
    let calls = size(10_000);
    on_one_cpu(|| round_trips(&mut table, "process job, 64-byte args, p50, on one CPU", calls));
    round_trips(&mut table, "process job, 64-byte args, p50, on all CPUs", calls);

    let engine = engine(WORKERS);
    let count = size(20_000);
    if let Some(first) = peer("pool_map.py", "multiprocessing", count) {
        let mut first = Some(first);
        table.pairs(
            "5",
            "process jobs, all in flight",
            "multiprocessing.Pool.map, chunksize 1",
            Some(0.1),
            || in_flight(&engine, count),
            || {
                first
                    .take()
                    .or_else(|| peer("pool_map.py", "multiprocessing", count))
                    .expect("it ran before")
            },
        );
    }
    table.growth("5", count, |count| in_flight(&engine, count));

    let few = size(400);
    // The peer takes a twentieth of a second for each job.
    let peers = if common::smoke() { 2 } else { 20 };
    if let Some(first) = peer("pyexec_process.py", "executor", peers) {
        let mut first = Some(first);
        table.pairs(
            "6",
            "fresh-process job",
            "Python executor-engine ProcessJob",
            Some(0.005),
            || fresh(&engine, few),
            || {
                first
                    .take()
                    .or_else(|| peer("pyexec_process.py", "executor", peers))
                    .expect("it ran before")
            },
        );
    }
    table.growth("6", few / 4, |count| fresh(&engine, count));
    table.finish("processes");
}
