//! Promise: what the Python original's own tests promise is promised here, by the test that
//! `docs/parity.md` names. What no other file holds is held here: mostly, that process jobs do as
//! jobs on threads do.

#[path = "common/bell.rs"]
mod bell;
mod common;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bell::{Bell, ring};
use common::{DEADLINE, Gate, within};
use executor_engine::condition::*;
use executor_engine::prelude::*;
use executor_engine::{CancelReason, JobEvent, ManualClock, Stream};

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
fn same(x: i64) -> i64 {
    x
}

#[task]
fn fails() -> Result<i64, String> {
    Err("error".into())
}

/// Says that it runs, and runs for ever.
#[task]
fn runs_for_ever(bell: PathBuf) {
    let _connection = ring(&bell);
    loop {
        std::thread::park();
    }
}

/// Says that it runs, and goes on when it is told to.
#[task]
fn add_one_when_told(bell: PathBuf, x: i64) -> i64 {
    let mut connection = ring(&bell);
    connection.read_exact(&mut [0]).expect("a word");
    x + 1
}

/// Yields so many numbers, and then fails if it is to.
#[task]
fn numbers(out: Yield<u64>, n: u64, fail: bool) -> Result<(), Boxed> {
    (0..n).try_for_each(|i| out.send(i))?;
    if fail { Err("error".into()) } else { Ok(()) }
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

fn requested<T>(job: &JobHandle<T>) -> bool {
    let error = job.exception();
    job.status() == Status::Cancelled
        && error.is_some_and(|error| error.cancel_reason() == Some(&CancelReason::Requested))
}

#[test]
fn a_process_job_that_runs_for_ever_is_cancelled_running_and_pending() {
    within(|| {
        let bell = Bell::new();
        let engine = Engine::builder().max_jobs(1).build().unwrap();
        let running = engine.submit(ProcessJob::new(runs_for_ever, (bell.path(),))).unwrap();
        let _connection = bell.rung();
        let pending = engine.submit(ProcessJob::new(runs_for_ever, (bell.path(),))).unwrap();
        assert_eq!((running.status(), pending.status()), (Status::Running, Status::Pending));
        pending.cancel();
        assert!(requested(&pending), "at once");
        assert_eq!((running.status(), pending.attempt()), (Status::Running, 0));
        engine.cancel(running.id()).unwrap();
        running.wait().unwrap();
        assert!(requested(&running));
        let next = engine.submit(ProcessJob::new(same, (1,))).unwrap();
        assert_eq!(next.result().unwrap(), 1, "the permit is back");
    });
}

#[test]
fn a_wait_gives_up_in_time_and_cancel_all_ends_running_processes() {
    within(|| {
        let bell = Bell::new();
        let engine = Engine::builder().max_process_jobs(3).build().unwrap();
        let jobs = (0..3).map(|_| ProcessJob::new(runs_for_ever, (bell.path(),)));
        let jobs = engine.submit_all(jobs).unwrap();
        let _connections: Vec<_> = jobs.iter().map(|_| bell.rung()).collect();
        assert!(!engine.wait_timeout(Duration::from_millis(20)).unwrap());
        assert!(jobs.iter().all(|job| job.status() == Status::Running));
        engine.cancel_all();
        engine.wait().unwrap();
        assert!(jobs.iter().all(requested));
        assert_eq!(engine.jobs().count(Status::Cancelled), 3);
    });
}

#[test]
fn process_jobs_run_beside_each_other() {
    within(|| {
        let bell = Bell::new();
        let engine = Engine::builder().max_process_jobs(2).build().unwrap();
        let jobs = (1..3).map(|x| ProcessJob::new(add_one_when_told, (bell.path(), x)));
        let jobs = engine.submit_all(jobs).unwrap();
        // Neither goes on before both are there.
        for mut connection in [bell.rung(), bell.rung()] {
            connection.write_all(b".").unwrap();
        }
        assert_eq!((jobs[0].result().unwrap(), jobs[1].result().unwrap()), (2, 3));
    });
}

#[test]
fn the_callback_for_failures_is_called_on_every_kind() {
    fn with_callback<K>(
        log: &Arc<Mutex<Vec<String>>>,
        job: executor_engine::Job<K, i64>,
    ) -> executor_engine::Job<K, i64> {
        let log = Arc::clone(log);
        job.on_done(|_| unreachable!("it failed"))
            .on_failed(move |error| log.lock().unwrap().push(error.message()))
    }
    within(|| {
        let engine = Engine::new().unwrap();
        let log = Arc::default();
        let bad = || Err::<i64, _>("error");
        engine.submit(with_callback(&log, LocalJob::try_new(bad, ()))).unwrap();
        engine.submit(with_callback(&log, ThreadJob::try_new(bad, ()))).unwrap();
        engine.submit(with_callback(&log, ThreadJob::try_new(bad, ()).blocking())).unwrap();
        engine.submit(with_callback(&log, ProcessJob::new(fails, ()))).unwrap();
        engine.wait().unwrap();
        assert_eq!(engine.stats().failed, 4);
        // The end waits for callbacks.
        engine.shutdown(Shutdown::Drain);
        assert_eq!(*log.lock().unwrap(), ["error"; 4]);
    });
}

#[test]
fn jobs_of_every_kind_can_be_shown_with_and_without_conditions() {
    within(|| {
        let engine = Engine::new().unwrap();
        let first = ThreadJob::new(|| 1_i64, ());
        let first_id = first.id();
        let conditions = [
            after_another(&first),
            after_another(&first) & after_delay("1h"),
            after_others([&first]).any() | after_another(&first).failed(),
        ];
        let mut kinds = Vec::new();
        let mut show = |job: &dyn std::fmt::Debug, id: JobId| {
            let text = format!("{job:?} {job:#?}");
            assert!(text.contains(&id.to_string()), "{text}");
            kinds.push(text);
        };
        show(&first, first_id);
        for condition in conditions {
            assert!(format!("{condition:?}").contains(&first_id.to_string()), "{condition:?}");
            let local = LocalJob::new(|| 1, ()).name("shown").condition(condition.clone());
            let thread = ThreadJob::new(|| 1, ()).name("shown").condition(condition.clone());
            let process = ProcessJob::new(same, (1,)).name("shown").condition(condition);
            show(&local, local.id());
            show(&thread, thread.id());
            show(&process, process.id());
            assert_eq!(process.status(), Status::Created);
            let process = engine.submit(process).unwrap();
            show(&process, process.id());
            // What it waits for is told apart.
            assert!(process.explain().contains(&first_id.to_string()), "{}", process.explain());
        }
        for word in ["local", "thread", "process", "Pending"] {
            assert!(kinds.iter().any(|text| text.contains(word)), "{word}: {kinds:?}");
        }
        assert_eq!(kinds.iter().filter(|text| text.contains("shown")).count(), 12);
    });
}

#[test]
fn waiting_for_some_jobs_leaves_the_others_running() {
    within(|| {
        let engine = Engine::new().unwrap();
        let gates = [Gate::new(), Gate::new(), Gate::new()];
        let [first, second, third] = gates.clone().map(|gate| {
            let begun = Gate::new();
            let tell = begun.clone();
            let work = move || {
                tell.open();
                gate.pass()
            };
            let job = engine.submit(ThreadJob::new(work, ()).blocking()).unwrap();
            begun.pass();
            job
        });
        gates[0].open();
        first.wait().unwrap();
        assert_eq!(first.status(), Status::Done);
        assert_eq!((second.status(), third.status()), (Status::Running, Status::Running));
        gates[2].open();
        for job in [&first, &third] {
            engine.wait_job(job.id()).unwrap();
        }
        assert_eq!((second.status(), third.status()), (Status::Running, Status::Done));
        gates[1].open();
        engine.wait().unwrap();
        assert_eq!(second.status(), Status::Done);
    });
}

#[test]
fn a_process_job_counts_its_retries_down() {
    within(|| {
        let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).build().unwrap();
        let second = Duration::from_secs(1);
        let job = ProcessJob::new(fails, ()).retries(2).retry_delay(second);
        let job = engine.submit(job.condition(after_delay(second))).unwrap();
        assert_eq!((job.attempt(), job.info().retry_remain()), (0, 2));
        for (attempt, remain, status) in
            [(1, 2, Status::Pending), (2, 1, Status::Pending), (3, 0, Status::Failed)]
        {
            clock.run_for(second).unwrap();
            assert_eq!((job.attempt(), job.info().retry_remain()), (attempt, remain));
            assert_eq!(job.status(), status);
        }
    });
}

#[test]
fn process_jobs_feed_each_other_and_obey_a_condition_in_any_order() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job1 = ProcessJob::new(add, (1, 2));
        let job2 = ProcessJob::new(add, (job1.output(), 3));
        let job3 = ProcessJob::new(add, (job2.output(), 4)).condition(after_another(&job1));
        let job3 = engine.submit(job3).unwrap();
        let job2 = engine.submit(job2).unwrap();
        assert_eq!((job2.status(), job3.status()), (Status::Pending, Status::Pending));
        engine.submit(job1).unwrap();
        assert_eq!((job2.result().unwrap(), job3.result().unwrap()), (6, 10));
    });
}

#[test]
fn a_process_job_that_fails_or_is_cancelled_cancels_those_that_need_its_result() {
    within(|| {
        let bell = Bell::new();
        let engine = Engine::builder().max_process_jobs(2).build().unwrap();
        let bad = ProcessJob::new(fails, ());
        let next = engine.submit(ProcessJob::new(add, (1, bad.output()))).unwrap();
        let bad = engine.submit(bad).unwrap();
        engine.wait().unwrap();
        assert_eq!((bad.status(), next.status()), (Status::Failed, Status::Cancelled));
        let error = next.exception().unwrap();
        assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(bad.id())));

        let long = ProcessJob::new(add_one_when_told, (bell.path(), 1));
        let next = engine.submit(ProcessJob::new(add, (1, long.output()))).unwrap();
        let long = engine.submit(long).unwrap();
        let _connection = bell.rung();
        long.cancel();
        engine.wait().unwrap();
        assert!(requested(&long));
        let error = next.result().unwrap_err();
        assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(long.id())));
    });
}

#[test]
fn a_generator_runs_before_and_while_it_is_read() {
    fn check<K>(engine: &Engine, job: executor_engine::Job<K, Stream<u64>>, bad: bool) {
        let events = engine.events();
        let job = engine.submit(job.buffer(0)).unwrap();
        let started = JobEvent::Started { id: job.id(), attempt: 1 };
        while events.recv_timeout(DEADLINE).expect("it starts") != started {}
        assert_eq!(job.status(), Status::Running);
        let mut reader = job.iter();
        for i in 0..5 {
            assert_eq!(reader.next().unwrap().unwrap(), i);
            assert_eq!(job.status(), Status::Running);
        }
        let last = reader.next();
        if bad {
            assert_eq!(last.unwrap().unwrap_err().message(), "error");
            assert_eq!(job.status(), Status::Failed);
        } else {
            assert!(last.is_none());
            assert_eq!(job.status(), Status::Done);
        }
    }
    within(|| {
        let engine = Engine::new().unwrap();
        for bad in [false, true] {
            check(&engine, LocalJob::stream(numbers, (5, bad)), bad);
            check(&engine, ThreadJob::stream(numbers, (5, bad)), bad);
            check(&engine, ProcessJob::stream(numbers, (5, bad)), bad);
        }
    });
}

#[test]
fn every_day_is_monday_or_later_and_sunday_or_earlier() {
    within(|| {
        let day = Duration::from_secs(86_400);
        for days in 0..7 {
            let clock = ManualClock::new(SystemTime::UNIX_EPOCH + days * day);
            let engine = Engine::builder().clock(&clock).time_zone("UTC").build().unwrap();
            for condition in [
                after_weekday("mon"),
                before_weekday("sun"),
                after_clock("00:00:00"),
                before_clock("23:59:59"),
            ] {
                let job = engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap();
                clock.run_for(Duration::ZERO).unwrap();
                assert_eq!(job.status(), Status::Done, "{days}");
            }
        }
    });
}

#[test]
fn jobs_of_all_kinds_follow_each_other_however_they_are_submitted() {
    within(|| {
        let engine = Engine::new().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let notes = || {
            let log = Arc::clone(&log);
            move |x: &i64| log.lock().unwrap().push(*x)
        };
        let job1 = LocalJob::new(same, (1,)).on_done(notes());
        let job2 = ThreadJob::new(same, (2,)).on_done(notes()).condition(after_another(&job1));
        let job3 = ProcessJob::new(same, (3,)).on_done(notes()).condition(after_another(&job2));
        let job3 = engine.submit(job3).unwrap();
        let job2 = engine.submit(job2).unwrap();
        let job1 = engine.submit(job1).unwrap();
        engine.wait().unwrap();
        let [job1, job2, job3] = [job1, job2, job3].map(|job| job.info());
        assert!(job2.started_at() >= job1.finished_at());
        assert!(job3.started_at() >= job2.finished_at());
        engine.shutdown(Shutdown::Drain);
        let mut log = log.lock().unwrap();
        log.sort_unstable();
        assert_eq!(*log, [1, 2, 3], "each callback has its job's result, once");
    });
}

#[test]
fn after_others_waits_for_all_or_for_any() {
    within(|| {
        let engine = Engine::new().unwrap();
        let gate = Gate::new();
        let pass = gate.clone();
        let quick = ThreadJob::new(|| (), ());
        let slow = ThreadJob::new(move || pass.pass(), ()).blocking();
        let both = [quick.id(), slow.id()];
        let all = ThreadJob::new(|| (), ()).condition(after_others(both));
        let all = engine.submit(all).unwrap();
        let any = ThreadJob::new(|| (), ()).condition(after_others(both).any());
        let any = engine.submit(any).unwrap();
        let slow = engine.submit(slow).unwrap();
        assert_eq!((all.status(), any.status()), (Status::Pending, Status::Pending));
        engine.submit(quick).unwrap();
        any.result().unwrap();
        assert!(!slow.status().is_finished());
        assert_eq!(all.status(), Status::Pending);
        gate.open();
        all.result().unwrap();
        assert_eq!(slow.status(), Status::Done);
    });
}

/// What this library does not have yet, and the names by which it will.
const NOT_HERE: [(&str, &[&str]); 6] = [
    ("launchers", &["Launcher"]),
    ("sentinel and cron jobs", &["SentinelJob", "CronJob"]),
    ("shell commands", &["SubprocessJob"]),
    ("web apps", &["WebappJob"]),
    ("Dask", &["DaskJob"]),
    ("jobs stored on disk", &["rusqlite"]),
];

/// The tests that a text cites: `tests/x.rs::name` or `src/x.rs::name`, in backticks.
fn cited(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let places = quoted.filter(|quoted| quoted.starts_with("tests/") || quoted.starts_with("src/"));
    places
        .map(|place| {
            let parts = place.split_once("::").filter(|(file, _)| file.ends_with(".rs"));
            parts.ok_or_else(|| format!("`{place}` names no test"))
        })
        .collect()
}

/// Whether a file has a test of that name, which is run whenever tests are.
fn is_test(source: &str, name: &str) -> Result<(), &'static str> {
    if source.lines().any(|line| line.trim().starts_with("#![cfg")) {
        return Err("its file is not always compiled");
    }
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.starts_with(&format!("fn {name}(")));
    let at = at.ok_or("not there")?;
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with(['#', '/']));
    let attributes: Vec<&str> = above.copied().filter(|line| line.starts_with('#')).collect();
    match attributes[..] {
        ["#[test]"] => Ok(()),
        _ if !attributes.contains(&"#[test]") => Err("no test"),
        _ => Err("a test with other attributes, which may keep it from running"),
    }
}

/// Looks whether a row of a table says who holds what it promises.
fn check_row(row: &str, read: impl Fn(&str) -> String) -> Result<(), String> {
    let cells = row.strip_prefix("| ").and_then(|row| row.strip_suffix(" |"));
    let cells: Vec<&str> = cells.ok_or("no row")?.split(" | ").collect();
    let [original, promise, here] = cells[..] else { return Err("not three cells".into()) };
    let name = original.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
    if !name.is_some_and(|name| name.starts_with("test_")) || promise.is_empty() {
        return Err("says nothing of an original test".into());
    }
    if let Some(reason) = here.strip_prefix("Not here yet: ") {
        let known = NOT_HERE.iter().any(|(known, _)| *known == reason);
        return if known { Ok(()) } else { Err(format!("{reason:?} is no known reason")) };
    }
    let cited = cited(here)?;
    for (file, name) in &cited {
        is_test(&read(file), name).map_err(|why| format!("{file}::{name}: {why}"))?;
    }
    if cited.is_empty() { Err("nothing holds it".into()) } else { Ok(()) }
}

#[test]
fn the_document_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| {
        std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    let (document, readme) = (read("docs/parity.md"), read("README.md"));
    let rows = document.lines().filter(|line| line.starts_with('|'));
    let rows = rows
        .filter(|row| *row != "| original test | behaviour | here |" && *row != "|---|---|---|");
    let mut count = 0;
    for row in rows {
        check_row(row, read).unwrap_or_else(|why| panic!("docs/parity.md: {why}: {row}"));
        count += 1;
    }
    assert!(count > 80, "only {count} rows were found");
    for section in document.split("README: \"").skip(1) {
        let section = section.split_once('"').expect("a closing quote").0;
        assert!(readme.contains(&format!("## {section}\n")), "README has no section {section:?}");
    }
}

#[test]
fn what_the_document_says_is_not_here_is_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let (public, manifest) = (read("src/lib.rs"), read("Cargo.toml"));
    let document = read("docs/parity.md");
    let list = document.split_once("\n## Not here yet\n").expect("a list").1;
    let list: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    let reasons: Vec<&str> =
        list.iter().filter_map(|line| Some(line.split_once(": `")?.0)).collect();
    assert_eq!(reasons, NOT_HERE.map(|(reason, _)| reason));
    for (reason, names) in NOT_HERE {
        for name in names {
            let words = |text: &str| {
                text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == *name)
            };
            let there = public.lines().any(|line| !line.trim().starts_with("//") && words(line));
            assert!(
                !there && !manifest.lines().any(|line| line.starts_with(name)),
                "{reason} are here: {name}"
            );
        }
    }
}

#[test]
fn rows_that_hold_nothing_are_found() {
    let row = |here: &str| {
        let source = |_: &str| {
            "#[test]\nfn good() {}\n#[test]\n#[ignore = \"slow\"]\nfn idle() {}\n\
             #[cfg(windows)]\n#[test]\nfn elsewhere() {}\nfn helper() {}\n\
             // #[test]\nfn off() {}\n"
                .to_owned()
        };
        check_row(&format!("| `test_x` | a promise | {here} |"), source)
    };
    row("Differs, on purpose: `tests/x.rs::good`").unwrap();
    row("Not here yet: web apps").unwrap();
    for (here, why) in [
        ("`tests/x.rs::gone`", "not there"),
        ("`tests/x.rs::goo`", "not there"),
        ("`tests/x.rs::helper`", "no test"),
        ("`tests/x.rs::off`", "no test"),
        ("`tests/x.rs::idle`", "other attributes"),
        ("`tests/x.rs::elsewhere`", "other attributes"),
        ("`tests/x.rs::good`, `tests/x.rs::gone`", "not there"),
        ("`tests/x.rs`", "names no test"),
        ("not here", "nothing holds it"),
        ("Not here yet: no time", "no known reason"),
        ("Not here yet: web apps, `tests/x.rs::good`", "no known reason"),
        ("README: \"The tour\"", "nothing holds it"),
        ("Differs: it is better so", "nothing holds it"),
        ("", "nothing holds it"),
    ] {
        let told = row(here).expect_err(here);
        assert!(told.contains(why), "{here}: {told}");
    }
}
