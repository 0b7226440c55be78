//! Promise (faults 10 and 13): the fork server can be killed, or the system can refuse it or a
//! worker: jobs fail typed, the engine goes on, nothing leaks.

#[path = "common/bell.rs"]
mod bell;
mod common;
#[path = "common/role.rs"]
mod role;

use bell::{Bell, until_let_go};
use common::within;
use executor_engine::prelude::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[task]
fn parent() -> i32 {
    nix::unistd::getppid().as_raw()
}

#[task]
fn one() -> u8 {
    1
}

#[test]
fn a_killed_fork_server_is_replaced() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(2).build().unwrap();
        let bell = Bell::new();
        for _ in 0..3 {
            let server = engine.submit(ProcessJob::new(parent, ())).unwrap().result().unwrap();
            let stuck = engine.submit(ProcessJob::new(until_let_go, (bell.path(),))).unwrap();
            // One that has not begun would go to another worker.
            let _stuck_in_it = bell.rung();
            // The second job runs on the second worker or after the first, so once it answers
            // the fork server has nothing more to start.
            let other = engine.submit(ProcessJob::new(parent, ())).unwrap();
            assert_eq!(other.result().unwrap(), server);
            kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
            let error = stuck.result().unwrap_err();
            assert!(error.is_worker_died(), "{error}");
            assert!(error.to_string().contains("fork server"), "{error}");
            let new = engine.submit(ProcessJob::new(parent, ())).unwrap().result();
            // A job that was sent before the death was seen can fail by it as well.
            let new = new.or_else(|error| {
                assert!(error.is_worker_died(), "{error}");
                engine.submit(ProcessJob::new(parent, ())).unwrap().result()
            });
            assert_ne!(new.unwrap(), server);
        }
    });
}

/// How many files this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_program_that_is_not_there() {
    role::apart("a_program_that_is_not_there", || {
        let engine = Engine::builder().worker_exe("/nonexistent/program").build().unwrap();
        let warm = engine.submit(ProcessJob::new(one, ())).unwrap().result().unwrap_err();
        assert!(warm.is_no_worker(), "{warm}");
        let before = open_files();
        for _ in 0..20 {
            let error = engine.submit(ProcessJob::new(one, ())).unwrap().result().unwrap_err();
            assert!(error.is_no_worker(), "{error}");
            assert!(error.to_string().contains("/nonexistent/program"), "{error}");
        }
        // The last server's may still be on their way out.
        while open_files() > before {
            std::thread::yield_now();
        }
        let thread = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        assert_eq!(thread.result().unwrap(), 1, "the engine goes on");
    });
}

#[test]
fn too_many_open_files() {
    role::apart("too_many_open_files", || {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        assert_eq!(engine.submit(ProcessJob::new(one, ())).unwrap().result().unwrap(), 1);
        let before = open_files();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // The listing itself takes one, so this leaves none.
        setrlimit(Resource::RLIMIT_NOFILE, before as u64 - 1, hard).unwrap();
        for _ in 0..5 {
            let job = ProcessJob::new(one, ()).fresh_process(true);
            let error = engine.submit(job).unwrap().result().unwrap_err();
            assert!(error.is_no_worker(), "{error}");
        }
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert_eq!(open_files(), before, "files leak");
        let job = ProcessJob::new(one, ()).fresh_process(true);
        assert_eq!(engine.submit(job).unwrap().result().unwrap(), 1, "the engine goes on");
    });
}

#[test]
fn an_environment_that_no_program_can_start_with() {
    role::apart("an_environment_that_no_program_can_start_with", || {
        let engine = Engine::new().unwrap();
        set_var("TOO_LONG", &"x".repeat(1 << 20)); // a variable may have 128 KiB: E2BIG
        let mut files = Vec::new();
        for _ in 0..5 {
            let error = engine.submit(ProcessJob::new(one, ())).unwrap().result().unwrap_err();
            assert!(error.is_no_worker(), "{error}");
            files.push(open_files());
        }
        assert_eq!(files, [files[0]; 5], "files leak");
        set_var("TOO_LONG", "short");
        assert_eq!(engine.submit(ProcessJob::new(one, ())).unwrap().result().unwrap(), 1);
    });
}

#[expect(unsafe_code, reason = "changing the environment is what the test is about")]
fn set_var(name: &str, value: &str) {
    // SAFETY: the part is played in a process of its own with one test thread; the engine's
    // threads do not read the environment while this one changes it.
    unsafe { std::env::set_var(name, value) };
}

#[test]
fn no_more_processes() {
    role::apart("no_more_processes", || {
        // The limit does not bind root.
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setgid(nix::unistd::Gid::from_raw(65534)).unwrap();
            nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).unwrap();
        }
        let engine = Engine::new().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NPROC).unwrap();
        setrlimit(Resource::RLIMIT_NPROC, 1, hard).unwrap();
        let before = open_files();
        let error = engine.submit(ProcessJob::new(one, ())).unwrap().result().unwrap_err();
        assert!(error.is_no_worker(), "{error}");
        let thread = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        let error = thread.result().unwrap_err();
        assert!(error.to_string().contains("could not be started"), "{error}");
        assert_eq!(open_files(), before, "files leak");
        setrlimit(Resource::RLIMIT_NPROC, soft, hard).unwrap();
    });
}
