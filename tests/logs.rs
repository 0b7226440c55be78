//! Promise: the library's log records tell the way of each job by its id, trouble as warnings, and
//! nothing that a job was given; a program that logs at `info` hears of trouble only.

mod common;
#[path = "common/role.rs"]
mod role;

use std::future::Future;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context as Polled, Wake, Waker};
use std::time::Duration;

use executor_engine::condition::{after_another, after_delay, before_timepoint};
use executor_engine::prelude::*;
use log::Level;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

static KEPT: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

/// There is one more.
static MORE: Condvar = Condvar::new();

struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = format!("{}: {}", record.target(), record.args());
        KEPT.lock().unwrap().push((record.level(), text));
        MORE.notify_all();
    }

    fn flush(&self) {}
}

fn keep(level: log::LevelFilter) {
    log::set_logger(&Keeper).unwrap();
    log::set_max_level(level);
}

/// The records that contain all this, with their levels.
fn kept(parts: &[&str]) -> Vec<(Level, String)> {
    let kept = KEPT.lock().unwrap();
    kept.iter().filter(|(_, text)| parts.iter().all(|part| text.contains(part))).cloned().collect()
}

/// Waits until there is a record that contains this.
fn await_one(part: &str) {
    let none = |kept: &mut Vec<(Level, String)>| !kept.iter().any(|(_, text)| text.contains(part));
    let kept = MORE.wait_timeout_while(KEPT.lock().unwrap(), common::DEADLINE, none).unwrap();
    assert!(!kept.1.timed_out(), "no {part:?} in {:#?}", kept.0);
}

/// The one record that contains all this.
#[track_caller]
fn one(level: Level, parts: &[&str]) {
    let found = kept(parts);
    assert!(found.len() == 1 && found[0].0 == level, "{parts:?}: {:#?}", KEPT.lock().unwrap());
}

#[task]
fn length(text: String) -> usize {
    text.len()
}

#[task]
fn dies_once(ctx: JobContext) -> u32 {
    if ctx.attempt() == 1 {
        kill(Pid::this(), Signal::SIGKILL).expect("one's own");
    }
    ctx.attempt()
}

/// A job of each kind that does as it should, in an engine that ends as it should.
fn ordinary(before_its_end: impl FnOnce()) -> Vec<JobId> {
    let engine = Engine::new().unwrap();
    let text = || "hunter2".to_owned();
    let len = |text: String| text.len();
    let jobs = [
        engine.submit(ThreadJob::new(len, (text(),)).name("measure")).unwrap(),
        engine.submit(ThreadJob::new(len, (text(),)).name("measure").blocking()).unwrap(),
        engine.submit(LocalJob::new(len, (text(),)).name("measure")).unwrap(),
        engine.submit(ProcessJob::new(length, (text(),)).name("measure")).unwrap(),
        engine.submit_all([ProcessJob::new(length, (text(),)).name("measure")]).unwrap().remove(0),
    ];
    engine.wait().unwrap();
    before_its_end();
    engine.shutdown(Shutdown::Drain);
    jobs.iter().map(JobHandle::id).collect()
}

#[test]
fn a_jobs_way_is_told_for_debugging() {
    role::apart("a_jobs_way_is_told_for_debugging", || {
        keep(log::LevelFilter::Trace);
        // Which can be heard of after the jobs that it has run.
        let worker_starts = || await_one(" has started");
        for id in ordinary(worker_starts).iter().map(JobId::to_string) {
            for way in ["is submitted", "starts, attempt 1", "is done"] {
                one(Level::Debug, &["executor_engine::job: ", &id, "(measure)", way]);
            }
            assert_eq!(kept(&[&id]).len(), 3);
        }
        assert!(!kept(&["executor_engine::process: worker process ", "has started"]).is_empty());
        assert_eq!(kept(&["hunter2"]), []);
        assert_eq!(kept(&[]).iter().map(|(level, _)| *level).min(), Some(Level::Debug));
    });
}

#[test]
fn an_ordinary_run_is_quiet() {
    role::apart("an_ordinary_run_is_quiet", || {
        keep(log::LevelFilter::Info);
        ordinary(|| ());
        assert_eq!(kept(&[]), []);
    });
}

#[test]
fn a_workers_death_is_told_though_its_job_is_tried_again() {
    role::apart("a_workers_death_is_told_though_its_job_is_tried_again", || {
        keep(log::LevelFilter::Info);
        let engine = Engine::new().unwrap();
        let job = ProcessJob::new(dies_once, (Context,)).name("mortal").retries(1);
        let job = engine.submit(job).unwrap();
        assert_eq!(job.result().unwrap(), 2);
        let id = job.id().to_string();
        drop(engine);
        one(
            Level::Warn,
            &["executor_engine::process: worker process ", &id, "(mortal)", "SIGKILL"],
        );
        assert_eq!(kept(&[]).len(), 1);
    });
}

#[test]
fn one_that_is_ended_with_its_cancelled_job_is_no_trouble() {
    role::apart("one_that_is_ended_with_its_cancelled_job_is_no_trouble", || {
        keep(log::LevelFilter::Debug);
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::new(stays, ())).unwrap();
        while job.status() != Status::Running {
            std::thread::yield_now();
        }
        job.cancel();
        job.wait().unwrap();
        drop(engine);
        assert!(kept(&[]).iter().all(|(level, _)| *level == Level::Debug));
    });
}

#[task]
fn stays() {
    loop {
        std::thread::park();
    }
}

/// Once the file is there, writes what is no frame into the worker's own socket to the engine.
#[task]
fn babbles_later(path: String) {
    std::thread::spawn(move || {
        while !std::path::Path::new(&path).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        for entry in std::fs::read_dir("/proc/self/fd").expect("proc").flatten() {
            let to = std::fs::read_link(entry.path()).unwrap_or_default();
            if to.to_string_lossy().starts_with("socket:") {
                write_to_fd(entry.file_name().to_str().unwrap().parse().unwrap());
            }
        }
    });
}

#[expect(unsafe_code, reason = "a task that misbehaves needs the socket by its number")]
fn write_to_fd(number: i32) {
    // SAFETY: the number was just listed as open in this process, and is not closed here.
    let socket = unsafe { std::fs::File::from_raw_fd(number) };
    let mut socket = std::mem::ManuallyDrop::new(socket);
    socket.write_all(&[b'?'; 64]).expect("the engine reads");
}

#[test]
fn a_worker_that_is_killed_for_what_it_sent_without_a_job_is_trouble() {
    role::apart("a_worker_that_is_killed_for_what_it_sent_without_a_job_is_trouble", || {
        keep(log::LevelFilter::Debug);
        let go = std::env::temp_dir().join(format!("executor-babble-{}", std::process::id()));
        let engine = Engine::new().unwrap();
        let path = go.to_str().unwrap().to_owned();
        let job = engine.submit(ProcessJob::new(babbles_later, (path,))).unwrap();
        // A thread that waits would read the socket itself, and nobody does after it.
        while !job.status().is_finished() {
            std::thread::yield_now();
        }
        std::fs::write(&go, "").unwrap();
        // "it has ended", or why it was killed
        let end = ["executor_engine::process: worker process ", ": ", "it "];
        while kept(&end).is_empty() {
            std::thread::yield_now();
        }
        std::fs::remove_file(&go).unwrap();
        one(Level::Warn, &[end[0], "it broke the wire protocol"]);
    });
}

/// Panics when it is dropped, or woken.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the bomb is dropped");
    }
}

struct Alarm;

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        panic!("the alarm goes off");
    }
}

#[test]
fn trouble_with_users_values_names_the_job() {
    role::apart("trouble_with_users_values_names_the_job", || {
        keep(log::LevelFilter::Info);
        let engine = Engine::new().unwrap();
        let gate = common::Gate::new();
        let pass = gate.clone();
        let job = ThreadJob::new(move || pass.pass(), ());
        let mut job = engine.submit(job).unwrap();
        let waker = Waker::from(Arc::new(Alarm));
        assert!(Pin::new(&mut job).poll(&mut Polled::from_waker(&waker)).is_pending());
        gate.open();
        let result = engine.submit(ThreadJob::new(|| Bomb, ()).name("result")).unwrap();
        let bomb = Bomb;
        let callback = ThreadJob::new(|| (), ()).on_finished(move |_| {
            let _ = &bomb;
        });
        let callback = engine.submit(callback).unwrap();
        engine.wait().unwrap();
        let ids = [job.id(), result.id(), callback.id()].map(|id| id.to_string());
        drop((job, result, callback, engine));
        one(Level::Error, &["a waker panicked", &ids[0]]);
        one(Level::Error, &["the bomb is dropped", &ids[1], "(result)"]);
        one(Level::Error, &["the bomb is dropped", &ids[2]]);
    });
}

/// As one that prints has it when nobody reads any more.
struct Broken;

impl log::Log for Broken {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        panic!("nobody reads");
    }

    fn log(&self, _: &log::Record<'_>) {
        panic!("nobody reads");
    }

    fn flush(&self) {}
}

#[task]
fn fails() -> Result<u8, String> {
    Err("no".into())
}

/// A job that fails after a retry, one that is done behind it and one that is called off by it; and a
/// `long` one that is cancelled while it runs.
fn troubled<K, S>(
    engine: &Engine,
    bad: executor_engine::Job<K, u8>,
    long: executor_engine::Job<S, ()>,
) {
    let failed = bad.retries(1).retry_delay(Duration::from_millis(5)).on_failed(|_| ());
    let failed = engine.submit(failed).unwrap();
    let after = ThreadJob::new(|| 1, ()).condition(after_another(&failed));
    let after = engine.submit(after).unwrap();
    let needs = engine.submit(LocalJob::new(|x: u8| x, (&failed,))).unwrap();
    assert_eq!(failed.result().unwrap_err().message(), "no");
    assert_eq!(failed.attempt(), 2);
    assert_eq!(after.result().unwrap(), 1);
    assert!(needs.result().unwrap_err().is_cancelled());
    let long = engine.submit(long).unwrap();
    while long.status() != Status::Running {
        std::thread::yield_now();
    }
    long.cancel();
    long.wait().unwrap();
    assert_eq!(long.status(), Status::Cancelled);
}

/// By the fate of jobs of all kinds, on whatever thread a record is written.
#[test]
fn a_logger_that_panics_harms_nothing() {
    role::apart("a_logger_that_panics_harms_nothing", || {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some("nobody reads") {
                hook(info);
            }
        }));
        log::set_logger(&Broken).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        fn no() -> Result<u8, &'static str> {
            Err("no")
        }
        fn sleeps(ctx: JobContext) {
            let _ = ctx.sleep(common::DEADLINE);
        }
        let engine = Engine::new().unwrap();
        let thread = || ThreadJob::try_new(no, ());
        let sleeper = || ThreadJob::new(sleeps, (Context,));
        troubled(&engine, thread(), sleeper());
        troubled(&engine, thread().blocking(), sleeper().blocking());
        troubled(&engine, LocalJob::try_new(no, ()), LocalJob::new(sleeps, (Context,)));
        troubled(&engine, ProcessJob::new(fails, ()), ProcessJob::new(stays, ()));
        // The dispatcher's thread itself says how this one ends, and goes on.
        let long = engine.submit(sleeper()).unwrap();
        let soon = std::time::SystemTime::now() + Duration::from_millis(20);
        let missed =
            ThreadJob::new(|| 1, ()).condition(after_another(&long) & before_timepoint(soon));
        let missed = engine.submit(missed).unwrap();
        assert!(missed.result().unwrap_err().is_cancelled());
        long.cancel();
        let late = ThreadJob::new(|| 2, ()).condition(after_delay("5ms"));
        assert_eq!(engine.submit(late).unwrap().result().unwrap(), 2);
        assert!(engine.drain_for(common::DEADLINE));
    });
}
