//! The promise: nothing is polled. An engine that has nothing to do makes no context switches,
//! even with jobs pending; and a job that waits for another burns no time.
//!
//! In a binary of its own with one test at a time, so that all engine threads are ours.

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use common::{Gate, within};
use executor_engine::JobKind;
use executor_engine::condition::*;
use executor_engine::prelude::*;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Context switches so far of each thread of an engine, by its name and number.
fn switches() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap();
        let Ok(status) = std::fs::read_to_string(task.path().join("status")) else { continue };
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap_or_default().to_owned()
        };
        let name = field("Name:");
        if name.starts_with("executor-") {
            let count = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
                .map(|name| field(name).parse::<u64>().unwrap());
            all.insert(format!("{name} {}", task.file_name().display()), count.iter().sum());
        }
    }
    all
}

/// The switches settle to nothing: two seconds come in which there is none. What is under test
/// is what happens in that time, so it is slept through.
fn assert_idle() {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let before = switches();
        assert!(!before.is_empty());
        std::thread::sleep(Duration::from_secs(2));
        let after = switches();
        if before == after {
            return;
        }
        seen.push((before, after));
    }
    panic!("the engine's threads were never at rest: {seen:#?}");
}

#[test]
fn an_idle_engine_with_pending_jobs_makes_no_context_switches() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poison| poison.into_inner());
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let local = engine.submit(LocalJob::new(|| 1, ())).unwrap();
        let thread = engine.submit(ThreadJob::new(|x: i32| x, (&local,))).unwrap();
        let never = ThreadJob::new(|| 1, ());
        let pending: Vec<_> = (0..100)
            .map(|_| {
                let job = ThreadJob::new(|a: i32, b: i32| a + b, (&thread, never.output()));
                engine.submit(job).unwrap()
            })
            .collect();
        thread.wait().unwrap();
        assert_idle();
        engine.submit(never).unwrap();
        assert!(pending.iter().all(|job| job.result().unwrap() == 2));
    });
}

#[test]
fn an_idle_engine_that_ran_blocking_jobs_makes_no_context_switches() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poison| poison.into_inner());
    within(|| {
        let engine = Engine::new().unwrap();
        engine.submit(ThreadJob::new(|| 1, ()).blocking()).unwrap().wait().unwrap();
        assert_idle();
    });
}

#[test]
fn jobs_that_wait_inside_jobs_sleep_while_others_queue() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poison| poison.into_inner());
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let (started, gate) = (Gate::new(), Gate::new());
        let (s, g) = (started.clone(), gate.clone());
        let slow = engine
            .submit(
                ThreadJob::new(
                    move || {
                        s.open();
                        g.pass()
                    },
                    (),
                )
                .blocking(),
            )
            .unwrap();
        started.pass();
        // Both pool threads wait for it; more thread jobs are queued behind them.
        let both = Gate::new();
        let waits: Vec<_> = (0..2)
            .map(|i| {
                let (slow, both) = (slow.clone(), both.clone());
                let wait = move || {
                    if i == 1 {
                        both.open()
                    }
                    both.pass();
                    slow.wait().unwrap();
                };
                engine.submit(ThreadJob::new(wait, ())).unwrap()
            })
            .collect();
        let behind: Vec<_> =
            (0..5).map(|i| engine.submit(ThreadJob::new(move || i, ())).unwrap()).collect();
        both.pass();
        assert_idle();
        gate.open();
        engine.wait().unwrap();
        assert!(waits.iter().all(|job| job.status() == Status::Done));
        assert!(behind.iter().all(|job| job.status() == Status::Done));
    });
}

#[test]
fn conditions_that_wait_for_time_or_for_others_make_no_context_switches() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poison| poison.into_inner());
    within(|| {
        let engine = Engine::new().unwrap();
        let missing = ThreadJob::new(|| 1, ());
        let submit =
            |condition| engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
        let far: Vec<_> = (0..300_u64)
            .map(|index| {
                let time = Duration::from_secs(3600 + index);
                submit(match index % 6 {
                    0 => after_delay(time),
                    1 => after_timepoint(std::time::SystemTime::now() + time),
                    2 => every(time) & after_delay("1d"),
                    3 => between_clock("9", "10") & after_delay("30d"),
                    4 => after_another(&missing) & every("1ms") & custom(|_| true).every("1ms"),
                    _ => custom(|_| false).every("1h") | after_another(&missing),
                })
            })
            .collect();
        assert_idle();
        // Deadlines that are taken back wake nobody.
        let near: Vec<_> = (0..100_u64)
            .map(|index| submit(after_delay(Duration::from_millis(900 + index * 20))))
            .collect();
        near.iter().for_each(JobHandle::cancel);
        let over = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        over.wait().unwrap();
        assert_never_stirs();
        // Nor does the end of all: the last timer goes with its job.
        far.iter().for_each(JobHandle::cancel);
        engine.wait().unwrap();
        assert_never_stirs();
    });
}

/// How long the process has computed.
fn computed() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |time: TimeVal| Duration::from_micros(time.num_microseconds().try_into().unwrap());
    time(usage.user_time()) + time(usage.system_time())
}

#[test]
fn a_job_that_waits_for_one_that_is_held_burns_no_time() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poison| poison.into_inner());
    within(|| {
        for by_rate in [false, true] {
            let engine = Engine::builder().max_thread_jobs(2);
            let engine = match by_rate {
                true => engine.rate_limit(JobKind::Local, 1, Duration::from_secs(3600)),
                false => engine,
            };
            let engine = engine.build().unwrap();
            engine.submit(LocalJob::new(|| 1, ())).unwrap().wait().unwrap();
            if !by_rate {
                engine.pause_kind(JobKind::Local);
            }
            let held = engine.submit(LocalJob::new(|| 1, ())).unwrap();
            let (begun, needed) = (Gate::new(), held.clone());
            let begins = begun.clone();
            let wait = move || {
                begins.open();
                needed.wait().unwrap();
            };
            let waits = engine.submit(ThreadJob::new(wait, ())).unwrap();
            begun.pass();
            assert_idle();
            let before = computed();
            // What is under test is what is done in that time, so it is slept through.
            std::thread::sleep(Duration::from_secs(2));
            let burnt = computed() - before;
            assert!(burnt < Duration::from_millis(500), "{burnt:?} in two seconds");
            match by_rate {
                true => held.cancel(),
                false => engine.resume(),
            }
            waits.result().unwrap();
        }
    });
}

/// No context switch at all, from now on for the time in which cancelled timers would have rung.
/// (A thread that has just been woken may still be on its way to sleep: for that it gets a moment.)
fn assert_never_stirs() {
    let mut before = switches();
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = switches();
        if now == std::mem::replace(&mut before, now.clone()) {
            break;
        }
    }
    // What is under test is what happens in that time, so it is slept through.
    std::thread::sleep(Duration::from_millis(2700));
    let after = switches();
    assert_eq!(before, after);
}
