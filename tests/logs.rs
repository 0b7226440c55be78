//! Promise: the library's log records tell the way of each job by its id, trouble as warnings, and
//! nothing that a job was given; a program that logs at `info` hears of trouble only.

mod common;
#[path = "common/role.rs"]
mod role;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as Polled, Wake, Waker};

use executor_engine::prelude::*;
use log::Level;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

static KEPT: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = format!("{}: {}", record.target(), record.args());
        KEPT.lock().unwrap().push((record.level(), text));
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
fn ordinary() -> Vec<JobId> {
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
    engine.shutdown(Shutdown::Drain);
    jobs.iter().map(JobHandle::id).collect()
}

#[test]
fn a_jobs_way_is_told_for_debugging() {
    role::apart("a_jobs_way_is_told_for_debugging", || {
        keep(log::LevelFilter::Trace);
        for id in ordinary().iter().map(JobId::to_string) {
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
        ordinary();
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
