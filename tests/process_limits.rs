//! A worker that cannot be started fails its job, with the reason, and leaves nothing open.
//!
//! One test, because it limits what the whole process may open.

use executor_engine::prelude::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_process_without_room_for_descriptors_fails_that_job_alone() -> executor_engine::Result<()> {
    let engine = Engine::builder().max_process_jobs(2).build()?;
    let fresh = || engine.submit(ProcessJob::new(add, (1, 2)).fresh_process(true));
    let warm = || engine.submit(ProcessJob::new(add, (2, 3)));
    assert_eq!(warm()?.result()?, 5);

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let before = open();
    for room in 0..5 {
        // The listing itself had one open.
        let limit = u64::try_from(before - 1 + room).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
        let error = fresh()?.result().unwrap_err();
        assert!(error.is_no_worker(), "{error}");
        assert!(error.to_string().contains("os error 24"), "{error}");
        assert_eq!(warm()?.result()?, 5, "the worker that is there serves");
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert_eq!(open(), before);
    }
    assert_eq!(fresh()?.result()?, 3);
    Ok(())
}
