//! What an engine starts and opens is gone after it, and closed on exec while it lives.
//!
//! One test, because it counts what belongs to the whole process.

use std::collections::BTreeSet;

use executor_engine::prelude::*;

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
fn die() {
    std::process::abort()
}

/// The numbers of this process's descriptors.
fn descriptors() -> BTreeSet<i32> {
    let list = std::fs::read_dir("/proc/self/fd").unwrap();
    let all = list.map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let all: BTreeSet<i32> = all.collect();
    // The one of the listing is gone by now.
    all.into_iter().filter(|fd| std::fs::exists(format!("/proc/self/fd/{fd}")).unwrap()).collect()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn children() -> String {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while they are listed.
    tasks.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("children")).ok()).collect()
}

fn is_closed_on_exec(fd: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    u32::from_str_radix(flags.trim(), 8).unwrap() & 0o2_000_000 != 0
}

#[test]
fn nothing_is_left_of_an_engine() -> executor_engine::Result<()> {
    let before = (descriptors(), threads(), children());
    for round in 0..5 {
        let engine = Engine::builder().max_process_jobs(3).build()?;
        let jobs = engine.submit_all((0..200).map(|i| ProcessJob::new(add, (i, round))))?;
        let fresh = (0..5).map(|i| ProcessJob::new(add, (i, round)).fresh_process(true));
        let fresh = engine.submit_all(fresh)?;
        let dead = engine.submit_all((0..3).map(|_| ProcessJob::new(die, ())))?;
        for (i, job) in (0..).zip(&jobs) {
            assert_eq!(job.result()?, i + round);
        }
        for (i, job) in (0..).zip(&fresh) {
            assert_eq!(job.result()?, i + round);
        }
        for job in &dead {
            assert_eq!(job.result().unwrap_err().signal(), Some(6));
        }
        for fd in descriptors().difference(&before.0) {
            assert!(is_closed_on_exec(*fd), "descriptor {fd}");
        }
        drop(engine);
        assert_eq!((descriptors(), threads(), children()), before);
    }
    Ok(())
}
