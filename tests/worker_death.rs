//! Promise (faults 7 and 8): a worker process that dies, or that breaks the protocol, costs the
//! job that it ran and nothing else. The death is noticed at once, says what is known, and the
//! pool is refilled.

mod common;
#[path = "common/role.rs"]
mod role;

use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use common::within;
use executor_engine::prelude::*;
use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::Pid;
use rand::{RngExt, SeedableRng};

#[task]
fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

#[task]
fn killed_by(signal: i32) {
    eprintln!("about to end by signal {signal}");
    raise(Signal::try_from(signal).expect("a signal")).expect("raised");
    // SIGKILL acts before the call returns; others may take a moment.
    loop {
        std::thread::park();
    }
}

#[task]
fn exits_with(code: i32) {
    eprintln!("leaving");
    std::process::exit(code)
}

#[task]
fn fills_memory(bytes: usize) {
    let memory = vec![1_u8; bytes];
    assert_eq!(memory.iter().map(|&byte| usize::from(byte)).sum::<usize>(), bytes);
    std::process::abort()
}

/// Says its process's id on a named pipe, and waits to be killed.
#[task]
fn says_pid_and_waits(path: String) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("a named pipe");
    file.write_all(&std::process::id().to_le_bytes()).expect("somebody reads");
    drop(file);
    loop {
        std::thread::park();
    }
}

#[task]
fn adds_up(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

/// Writes these bytes into the worker's own socket to the engine.
#[task]
fn writes_into_its_socket(bytes: Vec<u8>, then_dies: bool) {
    for entry in std::fs::read_dir("/proc/self/fd").expect("proc").flatten() {
        let is_socket = std::fs::read_link(entry.path())
            .is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        if let (true, Some(number)) = (is_socket, entry.file_name().to_str()) {
            // Opened anew through /proc a socket cannot be, so write through a copy of the number.
            write_to_fd(number.parse().expect("a number"), &bytes);
        }
    }
    if then_dies {
        std::process::abort();
    }
}

#[expect(unsafe_code, reason = "a task that misbehaves needs the socket by its number")]
fn write_to_fd(number: i32, bytes: &[u8]) {
    // SAFETY: the number was just listed as open in this process; the copy of it is what is
    // owned, and the original is leaked again.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    let mut copy = std::fs::File::from(socket.try_clone().expect("a copy"));
    std::mem::forget(socket);
    copy.write_all(bytes).expect("the engine reads");
}

fn one_worker() -> Engine {
    Engine::builder().max_process_jobs(1).build().expect("an engine")
}

#[test]
fn a_death_by_signal_says_signal_and_last_words() {
    within(|| {
        let engine = one_worker();
        let before = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        for signal in [Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGTERM] {
            let job = engine.submit(ProcessJob::new(killed_by, (signal as i32,))).unwrap();
            let error = job.result().unwrap_err();
            assert!(error.is_worker_died(), "{error}");
            assert_eq!(error.signal(), Some(signal as i32), "{error}");
            assert_eq!(error.exit_code(), None);
            let last = error.stderr_tail().unwrap();
            assert!(last.contains("about to end by signal"), "{last:?}");
            assert!(error.to_string().contains(signal.as_str()), "{error}");
            assert_eq!(job.status(), Status::Failed);
        }
        let after = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        assert_ne!(before, after, "the pool was refilled");
    });
}

#[test]
fn an_exit_says_its_code_and_memory_its_peak() {
    within(|| {
        let engine = one_worker();
        let error = engine.submit(ProcessJob::new(exits_with, (3,))).unwrap().result().unwrap_err();
        assert_eq!((error.exit_code(), error.signal()), (Some(3), None), "{error}");
        assert!(error.stderr_tail().unwrap().contains("leaving"));

        let bytes = 64 << 20;
        let job = engine.submit(ProcessJob::new(fills_memory, (bytes,))).unwrap();
        let error = job.result().unwrap_err();
        assert_eq!(error.signal(), Some(Signal::SIGABRT as i32));
        assert!(error.peak_memory().unwrap() >= bytes as u64, "{error}");
    });
}

#[test]
fn a_kill_from_outside_is_noticed_at_once() {
    within(|| {
        let engine = one_worker();
        let dir = std::env::temp_dir().join(format!("executor-engine-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("pid");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let text = path.to_str().unwrap().to_owned();
        let job = engine.submit(ProcessJob::new(says_pid_and_waits, (text,))).unwrap();
        // Opening blocks until the task opens the other end.
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let worker = i32::from_le_bytes(bytes.try_into().unwrap());
        let start = Instant::now();
        kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
        let error = job.result().unwrap_err();
        let noticed = start.elapsed();
        assert_eq!(error.signal(), Some(9));
        // 100 ms on a quiet machine; a loaded one gets more, but far less than any timeout that
        // a product that polls would have.
        assert!(noticed < Duration::from_secs(2), "noticed after {noticed:?}");
        println!("noticed after {noticed:?}");
    });
}

/// Ten thousand jobs while workers are killed at random: every job has one outcome, and every
/// job that was not being run by a killed worker has its result.
#[test]
fn ten_thousand_jobs_under_random_kills() {
    // Apart, so that it kills no worker of another test.
    role::apart("ten_thousand_jobs_under_random_kills", || {
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let engine = Engine::builder().max_process_jobs(3).build().unwrap();
        let total = 10_000_u64;
        let jobs = (0..total).map(|i| ProcessJob::new(adds_up, (vec![i, 1],)));
        let handles = engine.submit_all(jobs).unwrap();
        let mut kills = 0;
        while !engine.wait_timeout(Duration::from_millis(rng.random_range(1..10))).unwrap() {
            for worker in grandchildren() {
                if rng.random_bool(0.3) && kill(Pid::from_raw(worker), Signal::SIGKILL).is_ok() {
                    kills += 1;
                }
            }
        }
        let (mut done, mut died) = (0, 0);
        for (i, handle) in handles.iter().enumerate() {
            match handle.result() {
                Ok(sum) => {
                    assert_eq!(sum, i as u64 + 1);
                    done += 1;
                }
                Err(error) => {
                    assert!(error.is_worker_died(), "{error}");
                    died += 1;
                }
            }
        }
        assert_eq!(done + died, total);
        assert!(died <= kills, "{died} jobs died of {kills} kills");
        let stats = engine.stats();
        assert_eq!((stats.done, stats.failed, stats.unfinished), (done, died, 0));
        let after = engine.submit(ProcessJob::new(adds_up, (vec![1],))).unwrap();
        assert_eq!(after.result().unwrap(), 1);
    });
}

/// The children of this process's children: the workers of its engines.
fn grandchildren() -> Vec<i32> {
    let me = std::process::id();
    let stat = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let parent = |pid: i32| -> Option<i32> {
        let text = stat(pid)?;
        text.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<i32> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    all.into_iter()
        .filter(|&pid| {
            parent(pid).and_then(parent).is_some_and(|grand| grand.cast_unsigned() == me)
        })
        .collect()
}

#[test]
fn a_broken_frame_drops_that_worker_alone() {
    within(|| {
        let engine = one_worker();
        let lies: [(Vec<u8>, bool); 4] = [
            // Garbage; a frame cut off by the death; a length of 4 GiB; and one of all ones.
            (vec![0xAB; 1000], false),
            (vec![200, 0, 0, 0, 0, 1], true),
            ([vec![0xFF, 0xFF, 0xFF, 0xFF], vec![0; 60]].concat(), false),
            (vec![0xFF; 64], false),
        ];
        for (bytes, dies) in lies {
            let error = engine
                .submit(ProcessJob::new(writes_into_its_socket, (bytes.clone(), dies)))
                .unwrap()
                .result()
                .unwrap_err();
            assert!(error.is_worker_died(), "{bytes:?}: {error}");
            let sum = engine.submit(ProcessJob::new(adds_up, (vec![40, 2],))).unwrap();
            assert_eq!(sum.result().unwrap(), 42, "after {bytes:?}");
        }
    });
}
