//! The promise: an engine that was dropped leaves no thread, no process, no file descriptor and
//! no file behind.
//!
//! In a binary of its own with one test, so that all threads and descriptors are ours.

mod common;
#[path = "common/role.rs"]
mod role;

use common::within;
use executor_engine::condition::*;
use executor_engine::prelude::*;

fn count(what: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count()
}

#[task]
fn add(a: i32, b: i32) -> i32 {
    a + b
}

/// Ends its worker while it is at work.
#[task]
fn crashes() {
    std::process::abort()
}

/// The processes that descend from this one, the dead that nobody reaped among them.
fn descendants() -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let me = std::process::id();
    pids.filter(|&pid| {
        std::iter::successors(parent(pid), |&up| parent(up)).any(|ancestor| ancestor == me)
    })
    .collect()
}

fn files(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

fn one_engine(round: usize) {
    let engine = Engine::builder().max_thread_jobs(2).max_blocking_jobs(3).build().unwrap();
    let local = engine.submit(LocalJob::new(|| 1, ())).unwrap();
    let thread = engine.submit(ThreadJob::new(|x: i32| x + 1, (&local,))).unwrap();
    let blocking = engine.submit(ThreadJob::new(|x: i32| x + 1, (&thread,)).blocking()).unwrap();
    let never = ThreadJob::new(|| 1, ());
    engine.submit(ThreadJob::new(|x: i32| x, (never.output(),))).unwrap();
    engine.submit(ThreadJob::new(|| panic!("one of a hundred"), ())).unwrap();
    let process = engine.submit(ProcessJob::new(add, (&thread, 1))).unwrap();
    engine.submit(ProcessJob::new(add, (&process, 1)).fresh_process(true)).unwrap();
    engine.submit(ProcessJob::new(crashes, ())).unwrap();
    let soon = custom(|_| true).every("1ms") & after_delay("1ms");
    engine.submit(ThreadJob::new(|| 1, ()).condition(soon)).unwrap();
    if round % 4 != 2 {
        // A drain would wait for these.
        for condition in [after_delay("1h"), custom(|_| false).every("1ms")] {
            engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
        }
    }
    match round % 4 {
        0 => {}
        1 => assert_eq!((blocking.result().unwrap(), process.result().unwrap()), (3, 3)),
        2 => engine.shutdown(Shutdown::Drain),
        _ => engine.shutdown(Shutdown::Cancel),
    }
}

#[test]
fn a_hundred_engines_leave_nothing_behind() {
    std::panic::set_hook(Box::new(|_| {}));
    if !role::plays("engines") {
        // In a process with a directory for temporary files of its own.
        let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("leaves-nothing-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let output = role::actor("a_hundred_engines_leave_nothing_behind", "engines")
            .env("TMPDIR", &directory)
            .output()
            .unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    within(|| {
        one_engine(1); // what the first use opens for good, if anything
        // Nothing else writes there: the variable is this process's own.
        let temporary = std::env::temp_dir();
        let before = (count("task"), count("fd"));
        let files_before = files(&temporary);
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
        assert_eq!(descendants(), [0; 0], "processes are left");
        assert_eq!(files(&temporary), files_before, "files are left");
    });
}
