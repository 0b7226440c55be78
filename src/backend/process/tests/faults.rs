//! Workers and fork servers that die, and workers that break the rules.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::harness::{Bench, Gate, await_end, rogue, settings, tasks};
use crate::backend::Backend;
use crate::backend::process::Settings;
use crate::job::ProcessJob;

fn sigkill(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn a_killed_worker_fails_its_job_and_is_replaced() {
    let bench = Bench::workers(1);
    let (say, gate) = (Gate::new(), Gate::new());
    let job = bench.push(ProcessJob::new(tasks::hold, (say.writer(), gate.reader())));
    let next = bench.push(ProcessJob::new(tasks::add, (2, 2)));
    let pid = say.line().parse().unwrap();
    sigkill(pid);
    let error = bench.error(&job);
    assert!(error.is_worker_died());
    assert_eq!((error.signal(), error.exit_code()), (Some(9), None));
    assert!(error.peak_memory().unwrap() > 100_000);
    assert_eq!(bench.result(&next).unwrap(), 4);
    assert!(!bench.backend.workers().contains(&pid));
    bench.assert_quiet();
}

#[test]
fn a_worker_that_exits_or_aborts_says_how() {
    let bench = Bench::workers(1);
    let job = bench.push(ProcessJob::new(tasks::exit, (3,)));
    let error = bench.error(&job);
    assert_eq!((error.signal(), error.exit_code()), (None, Some(3)));
    assert_eq!(error.stderr_tail(), Some("leaving with 3\n"));
    let job = bench.push(ProcessJob::new(tasks::abort, ()));
    assert_eq!(bench.error(&job).signal(), Some(6));
    let job = bench.push(ProcessJob::new(tasks::signal_self, (11,)));
    assert_eq!(bench.error(&job).signal(), Some(11));
    bench.assert_quiet();
}

#[test]
fn a_waiting_thread_sees_its_worker_die() {
    let bench = Bench::workers(1);
    for _ in 0..20 {
        let job = bench.push(ProcessJob::new(tasks::exit, (5,)));
        bench.serve(&job, None);
        assert_eq!(bench.error(&job).exit_code(), Some(5));
    }
    bench.assert_quiet();
}

#[test]
fn workers_killed_at_random_under_load_lose_no_job() {
    let bench = Bench::workers(3);
    let jobs: Vec<_> = (0..3000).map(|i| bench.put(ProcessJob::new(tasks::add, (i, 1)))).collect();
    bench.backend.kick();
    let (mut done, mut died) = (0, 0);
    for (i, job) in (0..).zip(&jobs) {
        match bench.result(job) {
            Ok(sum) => {
                assert_eq!(sum, i + 1);
                done += 1;
            }
            Err(error) => {
                assert!(error.is_worker_died(), "{error}");
                died += 1;
            }
        }
        if i % 100 == 0
            && let Some(&pid) = bench.backend.workers().first()
        {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    assert_eq!(done + died, 3000);
    assert!(died <= 31, "at most one job dies with each worker, not {died}");
    bench.assert_quiet();
}

#[test]
fn a_killed_fork_server_is_replaced() {
    let bench = Bench::workers(1);
    let (say, gate) = (Gate::new(), Gate::new());
    let job = bench.push(ProcessJob::new(tasks::hold, (say.writer(), gate.reader())));
    let pid: i32 = say.line().parse().unwrap();
    let next = bench.push(ProcessJob::new(tasks::pid, ()));
    let server = bench.backend.server().unwrap();
    sigkill(i32::try_from(server).unwrap());
    let error = bench.error(&job);
    assert!(error.is_worker_died());
    assert!(error.to_string().contains("the fork server died"), "{error}");
    assert_ne!(bench.result(&next).unwrap(), pid);
    assert_ne!(bench.backend.server().unwrap(), server);
    await_end(pid);
    bench.assert_quiet();
}

#[test]
fn a_worker_that_breaks_the_protocol_is_dropped_alone() {
    let bench = Bench::workers(1);
    for (way, says) in [
        (rogue::GARBAGE, "no frame"),
        (rogue::LONG, "allowed"),
        (rogue::UNASKED, "a reply to nothing"),
        (rogue::SKIPPED, "a reply to nothing"),
        (rogue::KIND, "a reply to nothing"),
    ] {
        let job = bench.push(ProcessJob::new(rogue::say, (way,)));
        let error = bench.error(&job);
        assert!(error.is_worker_died(), "{error}");
        assert!(error.to_string().contains("it broke the wire protocol"), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        let next = bench.push(ProcessJob::new(tasks::add, (1, 1)));
        assert_eq!(bench.result(&next).unwrap(), 2);
    }
    for values in [17, u16::MAX, 0] {
        let job = bench.push(ProcessJob::stream(rogue::flood, (values,)).fresh_process(true));
        let error = bench.error(&job);
        assert!(error.to_string().contains("values of a stream, where it may send 16"), "{error}");
    }
    // A frame that never ends, and a connection that does.
    for way in [rogue::HALF, rogue::CLOSE] {
        let job = bench.push(ProcessJob::new(rogue::say, (way,)));
        assert!(bench.error(&job).is_worker_died());
    }
    bench.assert_quiet();
}

#[test]
fn a_worker_has_no_socket_but_its_own() {
    let bench = Bench::workers(3);
    let gates: Vec<_> = (0..2).map(|_| (Gate::new(), Gate::new())).collect();
    let held: Vec<_> = gates
        .iter()
        .map(|(say, gate)| {
            let job = bench.push(ProcessJob::new(tasks::hold, (say.writer(), gate.reader())));
            say.line();
            job
        })
        .collect();
    let job = bench.push(ProcessJob::new(tasks::descriptors, ()));
    let fds = bench.result(&job).unwrap();
    assert_eq!(fds.len(), 4, "stdin, stdout, stderr and the socket: {fds:?}");
    assert_eq!(fds.iter().filter(|fd| fd.contains("socket:")).count(), 1, "{fds:?}");
    drop(gates);
    for job in held {
        bench.result(&job).unwrap();
    }
}

#[test]
fn what_a_task_started_dies_with_its_worker() {
    let bench = Bench::workers(1);
    let say = Gate::new();
    let job = bench.push(ProcessJob::new(tasks::leave_child, (say.writer(),)));
    bench.result(&job).unwrap();
    let child = say.line().parse().unwrap();
    // That it runs can be heard of after what it has done.
    let worker = loop {
        match bench.backend.workers().first() {
            Some(&worker) => break worker,
            None => std::thread::yield_now(),
        }
    };
    sigkill(worker);
    await_end(child);
}

#[test]
fn sigterm_comes_first_and_sigkill_later() {
    let bench =
        Bench::new(Settings { kill_grace: std::time::Duration::from_millis(50), ..settings(1) });
    let (say, gate) = (Gate::new(), Gate::new());
    let job = bench.push(ProcessJob::new(tasks::stubborn, (say.writer(), gate.reader())));
    say.line();
    bench.abort(&job);
    assert_eq!(bench.error(&job).signal(), Some(9));
}

#[test]
fn a_program_that_is_no_fork_server_is_reported() {
    // Written by another process: a program cannot be started while any process that some other
    // test is just starting has it open for writing.
    let babbler = std::env::temp_dir().join(format!("babbler-{}", std::process::id()));
    let script = "umask 077; echo '#!/bin/sh\necho good day to you, engine >&0\nread answer' > \
                  \"$0\"; chmod 700 \"$0\"";
    let mut shell = std::process::Command::new("sh");
    assert!(shell.args(["-c", script]).arg(&babbler).status().unwrap().success());
    for (program, says) in [
        ("/bin/true", "did not answer"),
        (babbler.to_str().unwrap(), "did not answer"),
        ("/nonexistent/program", "cannot be started"),
        ("/dev/null", "cannot be started"),
    ] {
        let bench = Bench::new(Settings { worker_exe: Some(program.into()), ..settings(2) });
        let jobs: Vec<_> =
            (0..20).map(|i| bench.put(ProcessJob::new(tasks::add, (i, 1)))).collect();
        bench.backend.kick();
        for job in &jobs {
            let error = bench.error(job);
            assert!(error.is_no_worker(), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        bench.assert_quiet();
    }
    std::fs::remove_file(&babbler).unwrap();
}

#[test]
fn a_fork_server_without_room_for_descriptors_fails_that_job_alone() {
    let bench = Bench::workers(2);
    let warm = bench.push(ProcessJob::new(tasks::pid, ()));
    let warm = bench.result(&warm).unwrap();
    let server = bench.backend.server().unwrap().to_string();
    let limit = |n: &str| {
        let mut prlimit = std::process::Command::new("prlimit");
        prlimit.args(["--pid", &server, &format!("--nofile={n}")]);
        assert!(prlimit.status().unwrap().success());
    };
    limit("6:4096");
    for _ in 0..3 {
        let job = bench.push(ProcessJob::new(tasks::pid, ()).fresh_process(true));
        let error = bench.error(&job);
        assert!(error.is_no_worker(), "{error}");
        assert!(error.to_string().contains("too many open files"), "{error}");
    }
    let job = bench.push(ProcessJob::new(tasks::pid, ()));
    assert_eq!(bench.result(&job).unwrap(), warm);
    limit("4096:4096");
    let job = bench.push(ProcessJob::new(tasks::pid, ()).fresh_process(true));
    assert_ne!(bench.result(&job).unwrap(), warm);
    bench.assert_quiet();
}
