//! Promise: jobs go in the order of their priority, none waits for ever, and never more run than
//! there are resources, permits and rates for.

#[path = "common/bell.rs"]
mod bell;
mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bell::Bell;
use common::{Gate, Meter, within};
use executor_engine::condition::after_another;
use executor_engine::prelude::*;
use executor_engine::{JobKind, ManualClock};

/// An engine with one thread, which is busy until the gate opens.
fn busy(builder: executor_engine::EngineBuilder) -> (Engine, Gate) {
    let engine = builder.max_thread_jobs(1).max_jobs(1).build().unwrap();
    let gate = occupy(&engine);
    (engine, gate)
}

/// Keeps a thread of the engine busy until the gate opens.
fn occupy(engine: &Engine) -> Gate {
    let (begun, gate) = (Gate::new(), Gate::new());
    let (tell, wait) = (begun.clone(), gate.clone());
    let job = move || {
        tell.open();
        wait.pass();
    };
    engine.submit(ThreadJob::new(job, ())).unwrap();
    begun.pass();
    gate
}

type Log = Arc<Mutex<Vec<i32>>>;

fn notes(log: &Log, note: i32) -> ThreadJob<()> {
    let log = Arc::clone(log);
    ThreadJob::new(move || log.lock().unwrap().push(note), ())
}

#[test]
fn higher_priorities_go_first_and_equal_ones_in_order() {
    within(|| {
        let (engine, gate) = busy(Engine::builder());
        let log = Log::default();
        for (note, priority) in [(1, 0), (2, 0), (3, 5), (4, -5), (5, 5), (6, 0)] {
            engine.submit(notes(&log, note).priority(priority)).unwrap();
        }
        gate.open();
        engine.wait().unwrap();
        assert_eq!(*log.lock().unwrap(), [3, 5, 1, 2, 6, 4]);
    });
}

/// Without `max_jobs` an engine hands its pools more jobs than can begin. Those step back.
#[test]
fn a_priority_goes_before_what_a_pool_was_handed() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        for local in [false, true] {
            let (log, begun, gate) = (Log::default(), Gate::new(), Gate::new());
            let (tell, wait) = (begun.clone(), gate.clone());
            let occupy = move || {
                tell.open();
                wait.pass();
            };
            let submit = |note: i32, priority: i32| {
                let log = Arc::clone(&log);
                let note = move || log.lock().unwrap().push(note);
                match local {
                    false => engine.submit(ThreadJob::new(note, ()).priority(priority)).unwrap(),
                    true => engine.submit(LocalJob::new(note, ()).priority(priority)).unwrap(),
                }
            };
            match local {
                false => engine.submit(ThreadJob::new(occupy, ())).unwrap(),
                true => engine.submit(LocalJob::new(occupy, ())).unwrap(),
            };
            begun.pass();
            (0..3000).for_each(|note| drop(submit(note, 0)));
            submit(-1, 1);
            submit(-2, 2);
            submit(3000, 0);
            gate.open();
            engine.wait().unwrap();
            let log = log.lock().unwrap();
            assert!(log.iter().copied().eq([-2, -1].into_iter().chain(0..3001)), "{:?}", &log[..9]);
        }
    });
}

/// With no settings at all.
#[test]
fn priorities_mean_something_to_an_engine_with_default_settings() {
    within(|| {
        for (low, high) in [(0, 10), (-10, 0), (-10, 10)] {
            let engine = Engine::new().unwrap();
            let threads = std::thread::available_parallelism().unwrap().get();
            let gates: Vec<Gate> = (0..threads).map(|_| occupy(&engine)).collect();
            let log = Log::default();
            for _ in 0..5_000 {
                engine.submit(notes(&log, low).priority(low)).unwrap();
            }
            for _ in 0..20 + threads {
                engine.submit(notes(&log, high).priority(high)).unwrap();
            }
            gates.iter().for_each(Gate::open);
            engine.wait().unwrap();
            let log = log.lock().unwrap();
            assert_eq!(log.len(), 5_020 + threads);
            // Each thread may have begun one of the others before; and it may have begun one of
            // these, but stand still before it notes that.
            let mut highs = log.iter().enumerate().filter(|(_, note)| **note == high);
            let (twentieth, _) = highs.nth(19).unwrap();
            let most = 20 + 2 * threads;
            assert!(twentieth < most, "the 20th of priority {high} came as number {twentieth}");
        }
    });
}

/// They became ready at one moment, by the clock.
#[test]
fn what_is_taken_back_keeps_its_order_where_no_time_passes() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).max_thread_jobs(1).build().unwrap();
        for paused in [false, true] {
            let gate = occupy(&engine);
            let log = Log::default();
            let early = if paused { None } else { Some(5) };
            let job = |n: i32| notes(&log, n).priority(i32::from(early == Some(n)));
            engine.submit_all((0..10).map(job)).unwrap();
            if paused {
                engine.pause();
                engine.resume();
            }
            gate.open();
            engine.wait().unwrap();
            let order = early.into_iter().chain((0..10).filter(|&n| early != Some(n)));
            assert!(order.eq(log.lock().unwrap().iter().copied()), "{:?}", log.lock().unwrap());
        }
    });
}

#[test]
fn jobs_of_two_kinds_that_become_ready_together_both_go_first() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let (lane, tell) = (Gate::new(), Gate::new());
        let (begun, wait) = (tell.clone(), lane.clone());
        let occupy_lane = move || {
            tell.open();
            wait.pass();
        };
        engine.submit(LocalJob::new(occupy_lane, ())).unwrap();
        begun.pass();
        let pool = occupy(&engine);
        let first = Gate::new();
        let pass = first.clone();
        let up = engine.submit(ThreadJob::new(move || pass.pass(), ()).blocking()).unwrap();
        let (threads, locals) = (Log::default(), Log::default());
        let local = |n: i32| {
            let log = Arc::clone(&locals);
            LocalJob::new(move || log.lock().unwrap().push(n), ())
        };
        engine.submit(local(100).priority(5).condition(after_another(&up))).unwrap();
        engine.submit(notes(&threads, 100).priority(5).condition(after_another(&up))).unwrap();
        engine.submit_all((0..10).map(local)).unwrap();
        engine.submit_all((0..10).map(|n| notes(&threads, n))).unwrap();
        first.open();
        up.wait().unwrap();
        lane.open();
        pool.open();
        engine.wait().unwrap();
        let order: Vec<i32> = std::iter::once(100).chain(0..10).collect();
        assert_eq!(*threads.lock().unwrap(), order);
        assert_eq!(*locals.lock().unwrap(), order);
    });
}

/// Says that it is being encoded, and waits.
#[derive(Clone)]
struct Slow(Gate, Gate);

impl serde::Serialize for Slow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.open();
        self.1.pass();
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Slow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Self(Gate::new(), Gate::new()))
    }
}

#[task]
fn take_slow(_: Slow) {}

#[test]
fn a_pause_holds_process_jobs_that_are_just_being_encoded() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let slow = Slow(Gate::new(), Gate::new());
        let jobs = std::thread::scope(|scope| {
            let jobs = (0..20).map(|_| ProcessJob::new(take_slow, (slow.clone(),)));
            let submitter = scope.spawn(|| engine.submit_all(jobs).unwrap());
            slow.0.pass();
            engine.pause();
            slow.1.open();
            submitter.join().unwrap()
        });
        assert!(jobs.iter().all(|job| job.status() == Status::Pending));
        engine.resume();
        engine.wait().unwrap();
        assert!(jobs.iter().all(|job| job.status() == Status::Done && job.attempt() == 1));
    });
}

#[task]
fn note_in_file(path: std::path::PathBuf, note: String) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(note.as_bytes()).unwrap();
}

#[test]
fn priorities_mean_something_to_workers_that_are_handed_jobs_ahead() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let name = format!("executor-priorities-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let bell = Bell::new();
        engine.submit(ProcessJob::new(bell::until_let_go, (bell.path(),))).unwrap();
        let busy = bell.rung();
        let note = |note: &str| ProcessJob::new(note_in_file, (path.clone(), note.to_owned()));
        engine.submit_all((0..500).map(|_| note("."))).unwrap();
        engine.submit_all((0..10).map(|_| note("!").priority(1))).unwrap();
        drop(busy);
        engine.wait().unwrap();
        let log = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(log.len(), 510);
        assert!(log.rfind('!').unwrap() < 10, "{log}");
    });
}

#[test]
fn priorities_beside_everything_else_lose_nothing() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let runs: Arc<[_]> = (0..9000).map(|_| AtomicUsize::new(0)).collect();
        let jobs: Vec<_> = std::thread::scope(|scope| {
            let submitters: Vec<_> = (0..3_u64)
                .map(|first| {
                    let (engine, runs) = (&engine, &runs);
                    let submit = move |i: u64| {
                        let runs = Arc::clone(runs);
                        let run = move || {
                            runs[i as usize].fetch_add(1, Ordering::SeqCst);
                            i
                        };
                        let priority = if i.is_multiple_of(10) { (i % 3) as i32 } else { 0 };
                        let job = ThreadJob::new(run, ()).priority(priority);
                        let job = engine.submit(job).unwrap();
                        match i % 11 {
                            0 => job.cancel(),
                            1 => assert_eq!(job.result().unwrap(), i),
                            _ => {}
                        }
                        (i, job)
                    };
                    scope.spawn(move || {
                        (0..3000).map(|i| 3 * i + first).map(submit).collect::<Vec<_>>()
                    })
                })
                .collect();
            submitters.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        engine.wait().unwrap();
        for (i, job) in jobs {
            let runs = runs[i as usize].load(Ordering::SeqCst);
            match job.status() {
                Status::Done => assert_eq!((job.result().unwrap(), runs), (i, 1)),
                // Perhaps it ran when it was cancelled.
                status => {
                    assert!(status == Status::Cancelled && i % 11 == 0, "{i}: {status}");
                    assert!(runs <= 1, "{i} ran {runs} times");
                }
            }
        }
    });
}

#[test]
fn who_has_waited_long_goes_before_higher_priorities() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let step = Duration::from_secs(10);
        let (engine, gate) = busy(Engine::builder().clock(&clock).priority_ageing(step));
        let log = Log::default();
        engine.submit(notes(&log, 1)).unwrap();
        clock.advance(step * 2);
        engine.submit(notes(&log, 2).priority(2)).unwrap(); // just as long, by its priority
        engine.submit(notes(&log, 3).priority(3)).unwrap(); // longer
        clock.advance(step);
        engine.submit(notes(&log, 4).priority(1)).unwrap();
        gate.open();
        engine.wait().unwrap();
        assert_eq!(*log.lock().unwrap(), [3, 1, 2, 4]);
    });
}

#[test]
fn resources_are_never_exceeded_and_each_job_knows_its_own() {
    within(|| {
        let engine = Engine::builder()
            .max_thread_jobs(8)
            .resource("gpu", 3)
            .resource("memory", 100 << 30)
            .build()
            .unwrap();
        let (meter, held) = (Meter::new(), Arc::new(Mutex::new(BTreeSet::new())));
        let jobs: Vec<_> = (0..200_u64)
            .map(|i| {
                let (meter, held) = (meter.clone(), Arc::clone(&held));
                let job = ThreadJob::new(
                    move |ctx: JobContext| {
                        let units = ctx.resource("gpu");
                        let _inside: Vec<_> = units.iter().map(|_| meter.enter()).collect();
                        for unit in &units {
                            assert!(
                                held.lock().unwrap().insert(*unit),
                                "two jobs have unit {unit}"
                            );
                        }
                        std::thread::yield_now();
                        for unit in &units {
                            held.lock().unwrap().remove(unit);
                        }
                        assert!(ctx.resource("memory").is_empty());
                        units.len() as u64
                    },
                    (Context,),
                );
                let job = job.resource("gpu", 1 + i % 3).resource("memory", 10 << 30);
                engine.submit(job).unwrap()
            })
            .collect();
        engine.wait().unwrap();
        for (i, job) in (0..).zip(&jobs) {
            assert_eq!(job.result().unwrap(), 1 + i % 3);
        }
        assert_eq!(meter.most(), 3);
    });
}

#[task]
fn variable(name: String) -> Option<String> {
    let shell =
        std::process::Command::new("sh").args(["-c", &format!("echo ${name}")]).output().unwrap();
    let of_child = String::from_utf8(shell.stdout).unwrap().trim().to_owned();
    let own = std::env::var(&name).ok();
    assert_eq!(own.clone().unwrap_or_default(), of_child);
    own
}

#[test]
fn child_processes_know_which_units_they_have() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).resource("big gpu", 2).build().unwrap();
        let name = || "EXECUTOR_RESOURCE_BIG_GPU".to_owned();
        for (units, told) in [(2, Some("0,1")), (0, None), (1, Some("0"))] {
            let job = ProcessJob::new(variable, (name(),)).resource("big gpu", units);
            let job = engine.submit(job).unwrap();
            assert_eq!(job.result().unwrap().as_deref(), told);
        }
    });
}

#[task]
fn numbers(out: executor_engine::Yield<u64>, n: u64) -> Result<(), executor_engine::StreamStopped> {
    (0..n).try_for_each(|i| out.send(i))
}

#[test]
fn a_worker_that_has_streamed_can_tell_them_too() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).resource("gpu", 1).build().unwrap();
        let stream = engine.submit(ProcessJob::stream(numbers, (1000,))).unwrap();
        assert_eq!(stream.iter().map(Result::unwrap).sum::<u64>(), 499_500);
        let name = "EXECUTOR_RESOURCE_GPU".to_owned();
        let job = engine.submit(ProcessJob::new(variable, (name,)).resource("gpu", 1)).unwrap();
        assert_eq!(job.result().unwrap().as_deref(), Some("0"));
    });
}

#[test]
fn settings_that_would_mean_nothing_are_refused() {
    let builder = Engine::builder;
    for builder in [
        builder().priority_ageing(Duration::ZERO),
        builder().rate_limit(JobKind::Thread, 1, Duration::ZERO),
        builder().rate_limit_tag("api", 1, Duration::ZERO),
        builder().rate_limit_tag("api", 0, Duration::from_secs(1)),
    ] {
        assert!(builder.build().unwrap_err().is_invalid_setting());
    }
}

#[test]
fn one_that_wants_much_is_not_passed_by_for_ever() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(4).resource("slot", 2).build().unwrap();
        let (gate, log) = (Gate::new(), Log::default());
        let meter = Meter::new();
        let holds = |gate: Gate, meter: Meter| {
            let job = move || {
                let _inside = meter.enter();
                gate.pass();
            };
            ThreadJob::new(job, ()).resource("slot", 1)
        };
        engine.submit(holds(gate.clone(), meter.clone())).unwrap();
        assert!(meter.reaches(1, common::DEADLINE));
        let both = engine.submit(notes(&log, 1).resource("slot", 2)).unwrap();
        // A unit is free, but it is kept for the one before.
        let small = engine.submit(notes(&log, 2).resource("slot", 1)).unwrap();
        // What needs none goes on.
        engine.submit(ThreadJob::new(|| (), ())).unwrap().wait().unwrap();
        assert_eq!((both.status(), small.status()), (Status::Pending, Status::Pending));
        assert!(both.explain().contains("2 units"), "{}", both.explain());
        gate.open();
        engine.wait().unwrap();
        assert_eq!(*log.lock().unwrap(), [1, 2]);
    });
}

#[test]
fn what_can_never_be_had_is_refused() {
    within(|| {
        let engine = Engine::builder().resource("gpu", 2).build().unwrap();
        for (name, units) in [("gpu", 3), ("tpu", 1), ("gpu", u64::MAX)] {
            let job = ThreadJob::new(|| 1, ()).resource(name, units);
            let error = engine.submit(job).unwrap_err();
            assert!(error.is_impossible() && error.to_string().contains(name), "{error}");
        }
        let job = ThreadJob::new(|| 1, ()).resource("gpu", 0).resource("gpu", 2);
        assert_eq!(engine.submit(job).unwrap().result().unwrap(), 1);
    });
}

#[test]
fn units_come_back_however_the_job_ends_and_between_attempts() {
    within(|| {
        let engine = Engine::builder().resource("one", 1).build().unwrap();
        let one = |job: ThreadJob<()>| engine.submit(job.resource("one", 1)).unwrap();
        one(ThreadJob::new(|| panic!("ends badly"), ()));
        one(ThreadJob::try_new(|| Err("again"), ()).retries(3));
        let cancelled = one(ThreadJob::new(|| (), ()));
        cancelled.cancel();
        one(ThreadJob::new(|| (), ()).timeout(Duration::ZERO));
        let retried = one(ThreadJob::try_new(|| Err("later"), ())
            .retries(1)
            .retry_delay(Duration::from_secs(3600)));
        let last = one(ThreadJob::new(|| (), ()));
        last.result().unwrap();
        retried.cancel();
        engine.wait().unwrap();
    });
}

#[test]
fn a_job_that_holds_what_its_own_child_needs_is_told_of_the_stall() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).resource("one", 1).build().unwrap();
        let parent = ThreadJob::new(
            |ctx: JobContext| {
                let engine = ctx.engine().unwrap();
                let child = engine.submit(ThreadJob::new(|| 1, ()).resource("one", 1)).unwrap();
                let stalled = child.result().unwrap_err().is_stalled();
                child.cancel();
                stalled
            },
            (Context,),
        );
        let parent = engine.submit(parent.resource("one", 1)).unwrap();
        assert!(parent.result().unwrap());
        engine.wait().unwrap();
    });
}

#[test]
fn a_job_that_has_not_begun_keeps_its_units_from_nobody() {
    within(|| {
        for wait_for_last in [true, false] {
            let engine = Engine::builder().max_thread_jobs(1).resource("gpu", 1).build().unwrap();
            let inner = engine.clone();
            let outer = engine.submit(ThreadJob::new(
                move || {
                    let job = |x| ThreadJob::new(move || x, ()).resource("gpu", 1);
                    let first = inner.submit(job(1)).unwrap();
                    let last = inner.submit(job(2)).unwrap();
                    let local = inner.submit(LocalJob::new(|| 3, ()).resource("gpu", 1)).unwrap();
                    let one = if wait_for_last { last.result() } else { local.result() };
                    one.unwrap() + first.result().unwrap()
                },
                (),
            ));
            let outer = outer.unwrap();
            assert_eq!(outer.result().unwrap(), if wait_for_last { 3 } else { 4 });
            engine.wait().unwrap();
        }
    });
}

#[test]
fn what_waits_for_a_thread_neither_holds_units_nor_uses_up_a_rate() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder()
            .max_thread_jobs(1)
            .resource("gpu", 1)
            .rate_limit_tag("api", 1, Duration::from_secs(1))
            .clock(&clock)
            .build()
            .unwrap();
        let gate = occupy(&engine);
        // Behind the busy one; the pool is handed plain jobs ahead, but not these.
        let log = Log::default();
        let held = engine.submit(notes(&log, 1).resource("gpu", 1)).unwrap();
        let called: Vec<_> =
            (2..5).map(|n| engine.submit(notes(&log, n).tags(["api"])).unwrap()).collect();
        let other =
            engine.submit(ProcessJob::new(variable, ("GPU".to_owned(),)).resource("gpu", 1));
        other.unwrap().wait().unwrap();
        assert_eq!(held.status(), Status::Pending);
        // Time goes by in which three of them could have begun.
        clock.advance(Duration::from_secs(10));
        gate.open();
        held.wait().unwrap();
        called[0].wait().unwrap();
        clock.run_for(Duration::ZERO).unwrap();
        assert_eq!(called[1].status(), Status::Pending, "faster than its rate");
        clock.advance(Duration::from_secs(1));
        called[1].wait().unwrap();
        clock.advance(Duration::from_secs(1));
        engine.wait().unwrap();
    });
}

#[test]
fn rates_let_a_burst_go_and_then_one_after_the_other() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let second = Duration::from_secs(1);
        let engine = Engine::builder()
            .clock(&clock)
            .rate_limit(JobKind::Local, 1, second)
            .rate_limit_tag("api", 2, second)
            .build()
            .unwrap();
        let times = Arc::new(Mutex::new(Vec::new()));
        let start = clock.now();
        let call = || {
            let (times, clock) = (Arc::clone(&times), clock.clone());
            ThreadJob::new(
                move || times.lock().unwrap().push(clock.now().duration_since(start).unwrap()),
                (),
            )
        };
        let jobs: Vec<_> = (0..6).map(|_| engine.submit(call().tags(["api"])).unwrap()).collect();
        // Others are not held.
        engine.submit(ThreadJob::new(|| (), ())).unwrap().wait().unwrap();
        assert!(jobs[5].explain().contains("rate limit"), "{}", jobs[5].explain());
        clock.run_for(second * 10).unwrap();
        let millis = [0, 0, 500, 1000, 1500, 2000].map(Duration::from_millis);
        assert_eq!(*times.lock().unwrap(), millis);

        let beats = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..3 {
            let (beats, clock) = (Arc::clone(&beats), clock.clone());
            let job = move || beats.lock().unwrap().push(clock.now());
            engine.submit(LocalJob::new(job, ())).unwrap();
        }
        clock.run_for(second * 5).unwrap();
        let beats = beats.lock().unwrap();
        let gaps = beats.windows(2).map(|two| two[1].duration_since(two[0]).unwrap());
        assert!(gaps.eq([second, second]));
    });
}

#[test]
fn a_rate_by_the_systems_clock_needs_nobody_to_move_it() {
    within(|| {
        let tenth = Duration::from_millis(10);
        let engine = Engine::builder().rate_limit(JobKind::Thread, 1, tenth).build().unwrap();
        let start = std::time::Instant::now();
        engine.submit_all((0..5).map(|i| ThreadJob::new(move || i, ()))).unwrap();
        engine.wait().unwrap();
        assert!(start.elapsed() >= tenth * 4);
        assert!(Engine::builder().rate_limit(JobKind::Local, 0, tenth).build().is_err());
    });
}

#[test]
fn a_paused_engine_starts_nothing_not_even_what_its_pool_has() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(1).build().unwrap();
        let (begun, gate) = (Gate::new(), Gate::new());
        let (tell, wait) = (begun.clone(), gate.clone());
        let first = ThreadJob::new(
            move || {
                tell.open();
                wait.pass();
            },
            (),
        );
        let first = engine.submit(first).unwrap();
        begun.pass();
        // These are with the pool already.
        let log = Log::default();
        engine.submit_all((0..50).map(|i| notes(&log, i))).unwrap();
        engine.pause();
        let later = engine.submit(notes(&log, 50)).unwrap();
        gate.open();
        first.wait().unwrap();
        assert!(!engine.wait_timeout(Duration::from_millis(50)).unwrap());
        assert!(log.lock().unwrap().is_empty());
        assert!(later.explain().contains("paused"), "{}", later.explain());
        engine.resume_kind(JobKind::Process);
        assert_eq!(later.status(), Status::Pending);
        engine.resume_kind(JobKind::Thread);
        engine.wait().unwrap();
        assert_eq!(*log.lock().unwrap(), (0..51).collect::<Vec<_>>());
    });
}

#[test]
fn jobs_can_be_cancelled_and_the_engine_ended_while_it_is_paused() {
    within(|| {
        let engine = Engine::new().unwrap();
        engine.pause();
        let job = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        let other = engine.submit(LocalJob::new(|| 1, ())).unwrap();
        job.cancel();
        assert_eq!(job.status(), Status::Cancelled);
        drop(engine);
        assert_eq!(other.status(), Status::Cancelled);
    });
}

#[test]
fn pausing_beside_everything_else_loses_nothing() {
    within(|| {
        let engine = Engine::builder().max_thread_jobs(2).resource("r", 1).build().unwrap();
        let jobs: Vec<_> = std::thread::scope(|scope| {
            let pauser = scope.spawn(|| {
                for _ in 0..200 {
                    engine.pause();
                    engine.resume();
                }
            });
            let jobs: Vec<_> = (0..2000_u64)
                .map(|i| {
                    let job = ThreadJob::new(move || i, ()).priority((i % 3) as i32);
                    let job = if i % 5 == 0 { job.resource("r", 1) } else { job };
                    let job = engine.submit(job).unwrap();
                    if i % 7 == 0 {
                        job.cancel();
                    }
                    job
                })
                .collect();
            pauser.join().unwrap();
            jobs
        });
        engine.wait().unwrap();
        for (i, job) in (0..).zip(&jobs) {
            match job.status() {
                Status::Done => assert_eq!(job.result().unwrap(), i),
                status => assert!(status == Status::Cancelled && i % 7 == 0, "{i}: {status}"),
            }
            assert!(job.attempt() <= 1);
        }
    });
}
