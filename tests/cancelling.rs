//! Promise: cancel works on every kind and in every state, and says so: a pending job leaves at
//! once, a job that looks at its context stops within a moment, a process and all that it started
//! is ended, first kindly; and each job ends in exactly one way.

#[path = "common/bell.rs"]
mod bell;
mod common;
#[path = "common/role.rs"]
mod role;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bell::{Bell, until_let_go};
use common::{DEADLINE, Gate, within};
use executor_engine::condition::*;
use executor_engine::prelude::*;
use executor_engine::{Backoff, CancelReason};
use rand::RngExt;

#[task]
fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Starts a shell that ignores SIGTERM and starts another that does, and tells both pids.
#[task]
fn stubborn(report: String) {
    let script = format!(
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >> {report}; while :; do sleep 1000; done' & \
         echo $$ >> {report}; while :; do sleep 1000; done"
    );
    let mut child = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
    child.wait().unwrap();
}

/// Says when SIGTERM has come, by the way that a shell has of saying so.
#[task]
fn polite(report: String) {
    let script = format!(
        "trap 'echo bye > {report}; exit' TERM; echo there > {report}.up; while :; do sleep 0.01; done"
    );
    let mut child = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
    child.wait().unwrap();
}

fn temp(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("executor-cancel-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn alive(pid: i32) -> bool {
    // A zombie is as dead as can be.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

#[test]
fn a_job_that_looks_at_its_context_stops_within_a_moment() {
    within(|| {
        let engine = Engine::new().unwrap();
        let mut delays = Vec::new();
        for round in 0..60 {
            let begun = Gate::new();
            let tell = begun.clone();
            let stopped = Arc::new(AtomicU64::new(0));
            let (base, at) = (Instant::now(), Arc::clone(&stopped));
            let work = move |ctx: JobContext| -> Result<(), JobError> {
                tell.open();
                let end = match round % 3 {
                    0 => ctx.sleep(Duration::from_secs(3600)),
                    1 => loop {
                        if let Err(stop) = ctx.check_cancelled() {
                            break Err(stop);
                        }
                        std::hint::spin_loop();
                    },
                    _ => {
                        while !ctx.is_cancelled() {
                            std::hint::spin_loop();
                        }
                        Ok(())
                    }
                };
                at.store(base.elapsed().as_nanos() as u64, Ordering::SeqCst);
                end
            };
            let job = engine.submit(ThreadJob::try_new(work, (Context,))).unwrap();
            begun.pass();
            let cancelled = base.elapsed();
            job.cancel();
            job.wait().unwrap();
            assert_eq!(job.status(), Status::Cancelled);
            delays.push(
                Duration::from_nanos(stopped.load(Ordering::SeqCst)).saturating_sub(cancelled),
            );
        }
        delays.sort_unstable();
        // The median: a test machine may be busy with other things at any one time.
        let half = delays[delays.len() / 2];
        assert!(half < Duration::from_millis(1), "{half:?}");
    });
}

#[test]
fn a_local_job_and_a_blocking_one_are_told_too() {
    within(|| {
        let engine = Engine::new().unwrap();
        let nap = |ctx: JobContext| ctx.sleep(Duration::from_secs(3600));
        let local = engine.submit(LocalJob::try_new(nap, (Context,))).unwrap();
        let blocking = engine.submit(ThreadJob::try_new(nap, (Context,)).blocking()).unwrap();
        wait_until(|| [&local, &blocking].iter().all(|job| job.status() == Status::Running));
        engine.cancel_all();
        engine.wait().unwrap();
        for job in [local, blocking] {
            let error = job.result().unwrap_err();
            assert_eq!(error.cancel_reason(), Some(&CancelReason::Requested));
        }
    });
}

#[test]
fn a_job_that_does_not_look_stays_running_until_it_returns() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (begun, gate) = (Gate::new(), Gate::new());
        let (tell, wait) = (begun.clone(), gate.clone());
        let job = ThreadJob::new(
            move || {
                tell.open();
                wait.pass();
                1
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        let next = engine.submit(ThreadJob::new(|x: i32| x, (&job,))).unwrap();
        begun.pass();
        job.cancel();
        job.cancel();
        assert_eq!((job.status(), next.status()), (Status::Running, Status::Pending));
        gate.open();
        job.wait().unwrap();
        assert_eq!(job.status(), Status::Cancelled);
        let error = next.result().unwrap_err();
        assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(job.id())));
        // What has ended stays as it is.
        job.cancel();
        let done = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        done.wait().unwrap();
        done.cancel();
        assert_eq!(done.status(), Status::Done);
    });
}

#[test]
fn grandchildren_that_ignore_sigterm_are_gone_after_the_grace() {
    within(|| {
        let grace = Duration::from_millis(200);
        let engine = Engine::builder().max_process_jobs(1).kill_grace(grace).build().unwrap();
        let report = temp("stubborn");
        let job = ProcessJob::new(stubborn, (report.to_str().unwrap().to_owned(),));
        let job = engine.submit(job).unwrap();
        let pids = || -> Vec<i32> {
            let text = std::fs::read_to_string(&report).unwrap_or_default();
            text.lines().filter_map(|line| line.parse().ok()).collect()
        };
        wait_until(|| pids().len() == 2);
        let start = Instant::now();
        job.cancel();
        job.wait().unwrap();
        assert_eq!(job.status(), Status::Cancelled);
        wait_until(|| pids().into_iter().all(|pid| !alive(pid)));
        assert!(start.elapsed() >= grace, "they were not asked first");
        std::fs::remove_file(&report).unwrap();
        // The engine goes on.
        engine.submit(ProcessJob::new(sleep, (0,))).unwrap().result().unwrap();
    });
}

#[test]
fn a_process_is_asked_before_it_is_killed() {
    within(|| {
        // Time enough for a shell on a machine that stands still.
        let builder = Engine::builder().max_process_jobs(1).kill_grace(DEADLINE);
        let engine = builder.build().unwrap();
        let report = temp("polite");
        let up = std::path::PathBuf::from(format!("{}.up", report.display()));
        let path = report.to_str().unwrap().to_owned();
        let job = engine.submit(ProcessJob::new(polite, (path,))).unwrap();
        wait_until(|| up.exists());
        job.cancel();
        job.wait().unwrap();
        wait_until(|| report.exists());
        for path in [report, up] {
            std::fs::remove_file(path).unwrap();
        }
    });
}

#[test]
fn many_can_be_cancelled_by_what_is_known_of_them() {
    within(|| {
        let engine = Engine::new().unwrap();
        let hour = || after_delay("1h");
        let job = |name: &str, tag: &str| {
            ThreadJob::new(|| 1, ()).name(name).tags([tag]).condition(hour())
        };
        let jobs = engine
            .submit_all([job("a", "x"), job("b", "x"), job("a", "y"), job("c", "z")])
            .unwrap();
        assert_eq!(engine.cancel_where(|info| info.name() == Some("a")), 2);
        assert_eq!(engine.cancel_where(|info| info.has_tag("x")), 1);
        assert_eq!(engine.cancel_where(|_| false), 0);
        engine.cancel(jobs[3].id()).unwrap();
        engine.wait().unwrap();
        assert_eq!(engine.jobs().count(Status::Cancelled), 4);
        let unknown = ThreadJob::new(|| 1, ()).id();
        assert!(engine.cancel(unknown).unwrap_err().is_unknown_job());
        // Finished ones are none of its business.
        assert_eq!(engine.cancel_where(|_| true), 0);
        engine.remove(jobs[0].id()).unwrap();
        assert!(engine.cancel(jobs[0].id()).unwrap_err().is_unknown_job());
    });
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn children() -> Vec<i32> {
    let mut all = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    all
}

#[test]
fn ten_thousand_process_jobs_cancelled_killed_and_timed_out_at_random_each_end_once() {
    role::apart(
        "ten_thousand_process_jobs_cancelled_killed_and_timed_out_at_random_each_end_once",
        || {
            // With a limit over all kinds a permit is a running job; without, workers are handed
            // some jobs ahead.
            for limited in [true, false] {
                end_at_random(limited);
            }
        },
    );
}

fn end_at_random(limited: bool) {
    let fds = open_fds();
    {
        let grace = Duration::from_millis(20);
        let build = || {
            let builder = Engine::builder().max_process_jobs(4).kill_grace(grace);
            if limited { builder.max_jobs(4) } else { builder }.build().unwrap()
        };
        let engine = build();
        let events = engine.events_with_capacity(200_000);
        let mut rng = rand::rng();
        let jobs: Vec<_> = (0..5_000)
            .map(|_| {
                let mut job = ProcessJob::new(sleep, (rng.random_range(0..2),));
                match rng.random_range(0..10) {
                    0 => job = job.timeout(Duration::from_micros(rng.random_range(0..3000))),
                    1 => job = job.attempt_timeout(Duration::from_micros(500)).retries(1),
                    2 => job = job.retries(2).backoff(Backoff::fixed(Duration::from_millis(1))),
                    3 => job = job.fresh_process(rng.random_bool(0.2)),
                    _ => {}
                }
                let job = engine.submit(job).unwrap();
                match rng.random_range(0..12) {
                    0 => job.cancel(),
                    1 if rng.random_bool(0.3) => kill_a_worker(&mut rng),
                    _ => {}
                }
                job
            })
            .collect();
        for job in &jobs {
            if rng.random_bool(0.05) {
                job.cancel();
            }
            if rng.random_bool(0.01) {
                kill_a_worker(&mut rng);
            }
        }
        engine.wait().unwrap();
        let stats = engine.stats();
        assert_eq!((stats.unfinished, stats.dispatched), (0, 0));
        assert_eq!(stats.done + stats.failed + stats.cancelled, 5_000);
        // Every permit is back: as many jobs as ever run at once.
        bell::assert_exactly(&engine, 4);
        let ends = events
            .receiver()
            .try_iter()
            .filter(|event| matches!(event, executor_engine::JobEvent::Finished { .. }));
        assert_eq!(ends.count(), 5_012);
        assert!(jobs.iter().all(|job| job.status().is_finished()));
        assert!(jobs.iter().filter(|job| job.status() == Status::Done).count() > 2_500);
        // And as many are handed out as by an engine that has done nothing before.
        let engines = [engine, build()];
        for engine in &engines {
            engine.submit_all((0..1_000).map(|_| ProcessJob::new(sleep, (3_600_000,)))).unwrap();
        }
        let start = Instant::now();
        loop {
            let [used, new] = engines.each_ref().map(|engine| engine.stats().dispatched);
            if used == new && new >= 4 {
                break;
            }
            assert!(start.elapsed() < DEADLINE / 3, "{used} are out, and {new} of a new engine");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert!(children().is_empty(), "{:?}", children());
    assert_eq!(open_fds(), fds);
}

/// Kills a random process of the engine that is no fork server.
fn kill_a_worker(rng: &mut impl rand::Rng) {
    let workers: Vec<i32> = children().iter().flat_map(|&server| children_of(server)).collect();
    if !workers.is_empty() {
        let pid = workers[rng.random_range(0..workers.len())];
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}

fn children_of(pid: i32) -> Vec<i32> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Submits a job for worker processes when it is dropped, as users' values may.
struct Submits(Engine, Gate);

impl Drop for Submits {
    fn drop(&mut self) {
        self.0.submit(ProcessJob::new(sleep, (0,))).unwrap();
        self.1.open();
    }
}

/// Who cancels it is the last that has it, once it is out of the queue for the workers.
#[test]
fn what_a_cancelled_job_in_the_queue_leaves_may_use_the_engine_in_its_drop() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).keep_finished(0).build().unwrap();
        let first = engine.submit(ProcessJob::new(sleep, (60_000,))).unwrap();
        while first.status() != Status::Running {
            std::thread::yield_now();
        }
        // Jobs whose time is limited are not sent ahead to a busy worker.
        let limited = || ProcessJob::new(sleep, (0,)).timeout(DEADLINE);
        let next = engine.submit(limited()).unwrap();
        let dropped = Gate::new();
        let value = Submits(engine.clone(), dropped.clone());
        let keeps = move |_: &JobError| {
            let _ = &value;
            false
        };
        let job = engine.submit(limited().retries(1).retry_if(keeps)).unwrap();
        let id = job.id();
        drop(job);
        assert!(!dropped.pass_within(Duration::ZERO), "the queue has it");
        engine.cancel(id).unwrap();
        assert!(dropped.pass_within(Duration::ZERO), "and has it no more");
        first.cancel();
        next.result().unwrap();
        engine.shutdown(Shutdown::Drain);
    });
}

/// Computes for that many microseconds.
#[task]
fn compute(micros: u64) -> u64 {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
    micros
}

/// The worker may be through with the cancelled job, and at the next one already.
#[test]
fn cancelling_a_process_job_harms_no_other() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        for _ in 0..300 {
            let jobs: Vec<_> = (0..40)
                .map(|i| engine.submit(ProcessJob::new(compute, (50 + i % 7 * 30,))).unwrap())
                .collect();
            for job in jobs.iter().step_by(5) {
                while job.status() == Status::Pending {
                    std::thread::yield_now();
                }
                let moment = Duration::from_micros(rand::rng().random_range(0..200));
                let start = Instant::now();
                while start.elapsed() < moment && !job.status().is_finished() {}
                job.cancel();
            }
            engine.wait().unwrap();
            for (place, job) in jobs.iter().enumerate() {
                let may = job.status() == Status::Cancelled && place % 5 == 0;
                assert!(may || job.status() == Status::Done, "{place}: {:?}", job.info());
            }
        }
    });
}

#[task]
fn length(bytes: Vec<u8>) -> usize {
    bytes.len()
}

#[test]
fn a_cancelled_process_job_lets_go_of_its_arguments() {
    role::apart("a_cancelled_process_job_lets_go_of_its_arguments", || {
        let bell = Bell::new();
        let engine = Engine::builder().max_process_jobs(1).keep_finished(0).build().unwrap();
        let busy = engine.submit(ProcessJob::new(until_let_go, (bell.path(),))).unwrap();
        let let_go = bell.rung();
        let before = common::peak_kib();
        for _ in 0..300 {
            let job = ProcessJob::new(length, (vec![1; 1 << 20],));
            engine.submit(job).unwrap().cancel();
        }
        let more = common::peak_kib() - before;
        assert!(more < 100 * 1024, "{more} KiB more for 300 jobs of 1 MiB each");
        drop(let_go);
        busy.result().unwrap();
    });
}
