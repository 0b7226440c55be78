//! The promise: a job runs when its condition holds: after other jobs, any set of them and any of
//! their ends, combined to any depth; one whose condition can hold no more is cancelled, and the
//! reason names the jobs to blame; and a condition is a value that comes back from any format as it
//! was.
//!
//! The first tests are the examples of the Python original's README, in as few lines.

mod common;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use common::{Gate, within};
use executor_engine::condition::*;
use executor_engine::prelude::*;
use executor_engine::{CancelReason, Error, Unsatisfiable};
use proptest::prelude::*;

#[task]
fn add(a: i64, b: i64) -> i64 {
    println!("add({a}, {b})");
    a + b
}

#[task]
fn back_and_forth(condition: Condition) -> Condition {
    condition
}

#[test]
fn readme_after_another() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job1 = ProcessJob::new(add, (1, 2));
        let job2 = ProcessJob::new(add, (3, 4)).condition(after_another(&job1));
        let job1 = engine.submit(job1).unwrap();
        let job2 = engine.submit(job2).unwrap();
        // job2 will be executed after job1 finished
        engine.wait().unwrap();
        assert_eq!((job1.result().unwrap(), job2.result().unwrap()), (3, 7));
        assert!(job2.info().started_at() >= job1.info().finished_at());
    });
}

#[test]
fn readme_after_a_time_point() {
    within(|| {
        let engine = Engine::new().unwrap();
        let soon = SystemTime::now() + Duration::from_millis(50);
        let job = ProcessJob::new(add, (1, 2)).condition(after_timepoint(soon));
        let job = engine.submit(job).unwrap();
        engine.wait().unwrap();
        assert!(SystemTime::now() >= soon && job.status() == Status::Done);
    });
}

#[test]
fn readme_all_satisfied() {
    within(|| {
        let s = Arc::new(Mutex::new(HashSet::new()));
        let adds = |x| {
            let s = s.clone();
            ThreadJob::new(move || s.lock().unwrap().insert(x), ())
        };
        let (job1, job2, s) = (adds(1), adds(2), s.clone());
        let job3 = ThreadJob::new(move || assert_eq!(s.lock().unwrap().len(), 2), ())
            .condition(all_satisfied([after_another(&job1), after_another(&job2)]));
        let engine = Engine::new().unwrap();
        let job3 = engine.submit(job3).unwrap();
        engine.submit_all([job2, job1]).unwrap();
        engine.wait().unwrap();
        job3.result().unwrap();
    });
}

#[test]
fn readme_any_satisfied() {
    within(|| {
        let gate = Gate::new();
        let g = gate.clone();
        let job1 = ThreadJob::new(|| (), ());
        let job2 = ThreadJob::new(move || g.pass(), ());
        let job3 = ThreadJob::new(move || gate.open(), ())
            .condition(any_satisfied([after_another(&job1), after_another(&job2)]));
        let engine = Engine::builder().max_thread_jobs(2).build().unwrap();
        let job3 = engine.submit(job3).unwrap();
        engine.submit_all([job2, job1]).unwrap();
        engine.wait().unwrap();
        job3.result().unwrap();
    });
}

#[test]
fn readme_and_and_or() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job1 = engine.submit(ThreadJob::new(|| 1, ())).unwrap();
        let job2 = engine.submit(ThreadJob::new(|| 2, ())).unwrap();
        let soon = SystemTime::now() + Duration::from_millis(20);
        let job3 = ThreadJob::new(|| 3, ())
            .condition(after_timepoint(soon) & (after_another(&job1) | after_another(&job2)));
        assert_eq!(engine.submit(job3).unwrap().result().unwrap(), 3);
        assert!(SystemTime::now() >= soon);
    });
}

/// A job of that end.
fn ending(engine: &Engine, status: Status) -> JobHandle<u32> {
    let job =
        ThreadJob::try_new(move || if status == Status::Failed { Err("no") } else { Ok(1) }, ());
    let job = if status == Status::Cancelled { job.condition(any_satisfied([])) } else { job };
    let job = engine.submit(job).unwrap();
    job.wait().unwrap();
    assert_eq!(job.status(), status);
    job
}

const ENDS: [Status; 3] = [Status::Done, Status::Failed, Status::Cancelled];

fn why(job: &JobHandle<u32>) -> Unsatisfiable {
    let error = job.exception().expect("it was cancelled");
    let Some(CancelReason::Unsatisfiable(why)) = error.cancel_reason() else { panic!("{error}") };
    why.clone()
}

#[test]
fn every_set_of_ends_before_and_after_submission() {
    within(|| {
        for wanted in 1..8_u8 {
            let wanted: Vec<Status> =
                (0..3).filter(|bit| wanted & 1 << bit != 0).map(|bit| ENDS[bit]).collect();
            for end in ENDS {
                let engine = Engine::new().unwrap();
                let late = ThreadJob::try_new(
                    move || if end == Status::Failed { Err("no") } else { Ok(1_u32) },
                    (),
                );
                let late = match end {
                    Status::Cancelled => late.condition(any_satisfied([])),
                    _ => late,
                };
                let over = ending(&engine, end);
                let waits =
                    |on: Condition| engine.submit(ThreadJob::new(|| 1, ()).condition(on)).unwrap();
                let one = |on: Condition| on.statuses(wanted.clone());
                let jobs = [
                    (over.id(), waits(one(after_another(&over)))),
                    (over.id(), waits(one(after_another(over.id())))),
                    (over.id(), waits(one(after_others([&over]).any()) | any_satisfied([]))),
                    (late.id(), waits(one(after_another(&late)))),
                    (late.id(), waits(one(after_others([late.id(), over.id()])))),
                    (late.id(), waits(one(after_others([&late]).any()) | any_satisfied([]))),
                ];
                engine.submit(late).unwrap();
                engine.wait().unwrap();
                for (index, (up, job)) in jobs.iter().enumerate() {
                    let status = job.status();
                    if wanted.contains(&end) {
                        assert_eq!(status, Status::Done, "{index}: {wanted:?}, {end}");
                    } else {
                        assert_eq!(status, Status::Cancelled, "{index}: {wanted:?}, {end}");
                        let why = why(job);
                        // Of two it is the first that decides.
                        assert!(index == 4 || why.jobs() == [*up], "{index}: {why}");
                        assert!(why.to_string().contains(&end.to_string()), "{why}");
                        assert!(why.to_string().contains(&why.jobs()[0].to_string()), "{why}");
                    }
                }
            }
        }
    });
}

#[test]
fn all_and_any_of_many() {
    within(|| {
        let engine = Engine::new().unwrap();
        let [done, failed, cancelled] = ENDS.map(|end| ending(&engine, end));
        let missing = ThreadJob::new(|| 1, ());
        let waits = |on: Condition| engine.submit(ThreadJob::new(|| 1, ()).condition(on)).unwrap();
        let ids = [done.id(), failed.id(), cancelled.id()];
        for good in [
            after_others([&done, &failed, &cancelled]),
            after_others(ids).any().failed(),
            after_others(ids).failed().any(),
            after_others([done.id(), missing.id()]).any(),
            after_others(ids).statuses(ENDS),
            after_others(&[done.clone(), done.clone()]).done(),
            after_others(Vec::<JobId>::new()),
            all_satisfied([]),
            all_satisfied([after_another(&done), all_satisfied([]) | any_satisfied([])]),
        ] {
            let told = format!("{good:?}");
            assert!(waits(good).result().is_ok(), "{told}");
        }
        for (bad, jobs) in [
            (after_others(ids).done(), vec![failed.id()]),
            (after_others([&failed, &cancelled]).done().any(), vec![failed.id(), cancelled.id()]),
            (after_others([failed.id(), missing.id()]).done(), vec![failed.id()]),
            (after_others(Vec::<JobId>::new()).any(), vec![]),
            (any_satisfied([]) & after_another(&done), vec![]),
            (
                (after_another(&done) & after_another(&failed).done())
                    | (after_another(&missing) & after_another(&cancelled).failed()),
                vec![failed.id(), cancelled.id()],
            ),
        ] {
            let told = format!("{bad:?}");
            let job = waits(bad);
            assert_eq!(job.status(), Status::Cancelled, "{told}");
            assert_eq!(why(&job).jobs(), jobs, "{told}");
            assert!(!why(&job).to_string().is_empty());
        }
        // Nothing but the missing one is left to wait for.
        let waits = waits(after_others([missing.id(), done.id()]));
        assert_eq!(engine.wait().unwrap_err().stalled_jobs()[0].waits_for(), [missing.id()]);
        engine.submit(missing).unwrap();
        assert!(waits.result().is_ok());
    });
}

/// What a condition tree says by definition, where no time passes.
#[derive(Clone, Debug)]
enum Model {
    Job(usize, Vec<Status>),
    Jobs(Vec<usize>, bool),
    All(Vec<Self>),
    Any(Vec<Self>),
    Always,
    Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Holds,
    Open,
    Never,
}

impl Model {
    fn condition(&self, jobs: &[JobId]) -> Condition {
        let parts =
            |parts: &[Self]| parts.iter().map(|part| part.condition(jobs)).collect::<Vec<_>>();
        match self {
            Self::Job(job, ends) => after_another(jobs[*job]).statuses(ends.clone()),
            Self::Jobs(named, any) => {
                let all = after_others(named.iter().map(|job| jobs[*job]));
                if *any { all.any() } else { all }
            }
            Self::All(all) => all_satisfied(parts(all)),
            Self::Any(any) => any_satisfied(parts(any)),
            Self::Always => after_delay("0s"),
            Self::Later => after_delay("1000d"),
        }
    }

    fn truth(&self, ends: &[Option<Status>]) -> Truth {
        let all = |truths: Vec<Truth>| match () {
            () if truths.contains(&Truth::Never) => Truth::Never,
            () if truths.contains(&Truth::Open) => Truth::Open,
            () => Truth::Holds,
        };
        let any = |truths: Vec<Truth>| match () {
            () if truths.contains(&Truth::Holds) => Truth::Holds,
            () if truths.contains(&Truth::Open) => Truth::Open,
            () => Truth::Never,
        };
        let of = |parts: &[Self]| parts.iter().map(|part| part.truth(ends)).collect();
        match self {
            Self::Job(job, wanted) => match ends[*job] {
                None => Truth::Open,
                Some(end) if wanted.contains(&end) => Truth::Holds,
                Some(_) => Truth::Never,
            },
            Self::Jobs(named, is_any) => {
                let truths = named
                    .iter()
                    .map(|job| if ends[*job].is_some() { Truth::Holds } else { Truth::Open })
                    .collect();
                if *is_any { any(truths) } else { all(truths) }
            }
            Self::All(parts) => all(of(parts)),
            Self::Any(parts) => any(of(parts)),
            Self::Always => Truth::Holds,
            Self::Later => Truth::Open,
        }
    }
}

const JOBS: usize = 5;

fn models() -> impl Strategy<Value = Model> {
    let ends = proptest::sample::subsequence(ENDS.to_vec(), 1..=3);
    let leaf = prop_oneof![
        4 => (0..JOBS, ends).prop_map(|(job, ends)| Model::Job(job, ends)),
        2 => (proptest::collection::vec(0..JOBS, 0..4), any::<bool>())
            .prop_map(|(jobs, any)| Model::Jobs(jobs, any)),
        1 => Just(Model::Always),
        1 => Just(Model::Later),
    ];
    leaf.prop_recursive(5, 24, 4, |part| {
        let parts = proptest::collection::vec(part, 0..4);
        prop_oneof![parts.clone().prop_map(Model::All), parts.prop_map(Model::Any)]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the condition, after the end of each job that it names the one that waits is where
    /// the definition says.
    #[test]
    fn any_nesting_means_what_it_says(
        model in models(),
        ends in proptest::collection::vec(0..3_usize, JOBS),
        submit_after in 0..=JOBS,
    ) {
        let clock = executor_engine::ManualClock::new(SystemTime::UNIX_EPOCH);
        let engine = Engine::builder().clock(&clock).time_zone("UTC").build().unwrap();
        let mut ups: Vec<Option<ThreadJob<u32>>> = ends
            .iter()
            .map(|&end| {
                let fails = ENDS[end] == Status::Failed;
                let job = ThreadJob::try_new(move || if fails { Err("no") } else { Ok(1) }, ());
                let never = any_satisfied([]);
                Some(if ENDS[end] == Status::Cancelled { job.condition(never) } else { job })
            })
            .collect();
        let ids: Vec<JobId> = ups.iter().flatten().map(|job| job.id()).collect();
        let condition = model.condition(&ids);
        let text = serde_json::to_string(&condition).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Condition>(&text).unwrap(), &condition);
        let mut waits = None;
        let mut known = vec![None; JOBS];
        for ended in 0..=JOBS {
            if ended > 0 {
                let up = ups[ended - 1].take().unwrap();
                engine.submit(up).unwrap().wait().unwrap();
                known[ended - 1] = Some(ENDS[ends[ended - 1]]);
            }
            if ended == submit_after {
                let job = ThreadJob::new(|| 1_u32, ()).condition(condition.clone());
                waits = Some(engine.submit(job).unwrap());
            }
            let Some(waits) = &waits else { continue };
            clock.run_for(Duration::ZERO).unwrap();
            // A job that has run did so when it could.
            if waits.status() == Status::Done && ended > submit_after {
                continue;
            }
            let expected = match model.truth(&known) {
                Truth::Holds => Status::Done,
                Truth::Open => Status::Pending,
                Truth::Never => Status::Cancelled,
            };
            prop_assert_eq!(waits.status(), expected, "{}", waits.explain());
            if expected == Status::Pending {
                prop_assert!(waits.explain().contains("waits for\n"), "{}", waits.explain());
            }
        }
    }
}

#[test]
fn a_condition_nested_a_hundred_thousand_deep() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ThreadJob::new(|| 1, ());
        let never = || any_satisfied([]);
        let deep = (0..100_000)
            .fold(after_another(&job).done(), |deep, _| (deep & after_delay("0s")) | never());
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let last = thread.spawn(move || {
            let text = serde_json::to_string(&deep).unwrap();
            assert_eq!(serde_json::from_str::<Condition>(&text).unwrap(), deep);
            let waits = engine.submit(ThreadJob::new(|| 2, ()).condition(deep.clone())).unwrap();
            assert!(waits.explain().len() < 10_000);
            let error = engine.wait().unwrap_err();
            assert_eq!(error.stalled_jobs()[0].waits_for(), [job.id()]);
            let dead =
                ThreadJob::new(|| 3, ()).condition(deep & after_others([&waits]).cancelled());
            let dead = engine.submit(dead).unwrap();
            engine.submit(job).unwrap();
            (waits.result(), dead.result().unwrap_err().is_cancelled())
        });
        let (waits, dead) = last.unwrap().join().unwrap();
        assert!(waits.unwrap() == 2 && dead);
    });
}

#[test]
fn a_job_with_arguments_and_a_condition_waits_for_both() {
    within(|| {
        let engine = Engine::new().unwrap();
        let argument = ThreadJob::new(|| 20, ());
        let before = ThreadJob::new(|| (), ());
        let both = ProcessJob::new(add, (argument.output(), 22));
        let both = both.condition(after_another(&before).done());
        let both = both.condition(after_delay("1ms"));
        let both = engine.submit(both).unwrap();
        engine.submit(argument).unwrap().wait().unwrap();
        assert_eq!(engine.wait().unwrap_err().stalled_jobs()[0].waits_for(), [before.id()]);
        engine.submit(before).unwrap();
        assert_eq!(both.result().unwrap(), 42);

        // The argument's failure is what counts, as without a condition.
        let bad = engine.submit(ThreadJob::try_new(|| Err::<i64, _>("no"), ())).unwrap();
        for condition in [after_delay("1h"), after_another(&bad), after_another(&bad).done()] {
            let job = ProcessJob::new(add, (&bad, 1)).condition(condition);
            let error = engine.submit(job).unwrap().result().unwrap_err();
            assert_eq!(error.cancel_reason(), Some(&CancelReason::Upstream(bad.id())));
        }
    });
}

#[test]
fn what_a_cancelled_job_was_waited_for_goes_on_down() {
    within(|| {
        let engine = Engine::new().unwrap();
        let first = ThreadJob::new(|| 1, ());
        let mut chain = Vec::new();
        let mut last = after_another(&first).done();
        for _ in 0..100 {
            let job = engine.submit(ThreadJob::new(|| 1, ()).condition(last)).unwrap();
            last = after_another(&job).done();
            chain.push(job);
        }
        let alarm = ThreadJob::new(|| 1, ()).condition(after_others(&chain).any().cancelled());
        let alarm = engine.submit(alarm).unwrap();
        let report =
            engine.submit(ThreadJob::new(|| 1, ()).condition(after_others(&chain))).unwrap();
        engine.submit(first).unwrap().cancel();
        chain[50].cancel();
        engine.wait().unwrap();
        for pair in chain[50..].windows(2) {
            assert_eq!(why(&pair[1]).jobs(), [pair[0].id()]);
        }
        assert_eq!((alarm.result().unwrap(), report.result().unwrap()), (1, 1));
    });
}

#[test]
fn an_ended_job_that_its_engine_forgot() {
    within(|| {
        let engine = Engine::builder().keep_finished(0).build().unwrap();
        let [done, failed, cancelled] = ENDS.map(|end| ending(&engine, end));
        assert!(engine.jobs().is_empty());
        let waits = |on: Condition| engine.submit(ThreadJob::new(|| 1, ()).condition(on)).unwrap();
        assert_eq!(waits(after_another(&done).done()).result().unwrap(), 1);
        let ends = after_another(&failed).failed() & after_another(&cancelled).cancelled();
        assert_eq!(waits(ends | any_satisfied([])).result().unwrap(), 1);
        assert_eq!(why(&waits(after_another(&failed).done())).jobs(), [failed.id()]);
        // A condition keeps what it knows, though the handle has gone.
        let condition = after_another(&done).done() & after_others([&done, &failed]);
        let id = done.id();
        drop((done, failed, cancelled));
        assert_eq!(waits(condition).result().unwrap(), 1);
        // By its id alone nothing is known of it: it is told, not waited for in silence.
        let job = waits(after_another(id));
        let error = engine.wait().unwrap_err();
        assert_eq!(error.stalled_jobs()[0].unsubmitted(), [id]);
        assert!(error.to_string().contains(&id.to_string()), "{error}");
        assert!(job.explain().contains(&id.to_string()), "{}", job.explain());
        job.cancel();
        engine.wait().unwrap();
    });
}

#[test]
fn a_removed_job_is_known_by_its_handle_only() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ending(&engine, Status::Done);
        let waits = |on: Condition| engine.submit(ThreadJob::new(|| 1, ()).condition(on)).unwrap();
        assert!(waits(after_another(job.id())).result().is_ok());
        engine.remove(job.id()).unwrap();
        assert!(waits(after_another(&job)).result().is_ok());
        let stuck = waits(after_another(job.id()));
        assert!(engine.wait().unwrap_err().is_stalled());
        // One that waits cannot be removed.
        assert!(engine.remove(stuck.id()).unwrap_err().is_not_finished());
        stuck.cancel();
        engine.remove(stuck.id()).unwrap();
    });
}

#[test]
fn jobs_of_other_engines_and_of_none() {
    within(|| {
        let (engine, other) = (Engine::new().unwrap(), Engine::new().unwrap());
        let theirs = other.submit(ThreadJob::new(|| 1, ())).unwrap();
        let refused = |condition: Condition| -> Error {
            engine.submit(ThreadJob::new(|| 1, ()).condition(condition)).unwrap_err()
        };
        for condition in [
            after_another(&theirs),
            after_another(&theirs) | after_delay("1h"),
            after_others([&theirs, &theirs]).any(),
        ] {
            let error = refused(condition);
            assert!(error.is_other_engine(), "{error}");
            assert!(error.to_string().contains(&theirs.id().to_string()), "{error}");
        }
        // By its id alone it is a job that was never submitted here.
        let waits = after_another(theirs.id());
        let waits = engine.submit(ThreadJob::new(|| 1, ()).condition(waits)).unwrap();
        let error = engine.wait().unwrap_err();
        assert_eq!(error.stalled_jobs()[0].waits_for(), [theirs.id()]);
        waits.cancel();
        // One that a condition names here is not to be submitted there.
        let mine = ThreadJob::new(|| 1, ());
        let waits = ThreadJob::new(|| 1, ()).condition(after_another(&mine));
        let waits = engine.submit(waits).unwrap();
        assert!(other.submit(mine).unwrap_err().is_other_engine());
        waits.cancel();
        // Ids that no job of this process has.
        let id = theirs.id().to_string();
        let strange =
            id.replacen(&id[..4], if id.starts_with("abcd") { "0123" } else { "abcd" }, 1);
        let far = format!("{}7{}", &id[..20], &id[21..]);
        let next = format!("{}ffff{}", &id[..24], &id[28..]);
        for text in [strange, far, next] {
            let error = refused(after_another(text.parse::<JobId>().unwrap()));
            assert!(error.is_invalid_condition() && error.to_string().contains(&text), "{error}");
            let error = refused(after_delay("1h") | after_another(text.parse::<JobId>().unwrap()));
            assert!(error.is_invalid_condition(), "{error}");
        }
        engine.wait().unwrap();
    });
}

#[test]
fn options_that_say_nothing_are_refused() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ThreadJob::new(|| 1, ());
        for (condition, word) in [
            (after_clock("9").done(), "done()"),
            (after_delay("1s").failed(), "failed()"),
            (every("1s").cancelled(), "cancelled()"),
            (all_satisfied([]).statuses([Status::Done]), "statuses()"),
            (after_another(&job).statuses([]), "statuses([])"),
            (after_another(&job).statuses([Status::Done, Status::Pending]), "Pending"),
            ((after_another(&job) | after_another(&job)).any(), "any_satisfied"),
            (after_delay("1s").any(), "any()"),
            (after_timepoint(SystemTime::now()).zone("Europe/Berlin"), "zone()"),
            // The first mistake is told.
            (after_clock("25").zone("Nowhere").done(), "25"),
        ] {
            let error = condition.check().unwrap_err().to_string();
            assert!(error.to_lowercase().contains(&word.to_lowercase()), "{error}");
            let bad = ThreadJob::new(|| 1, ()).condition(condition | after_delay("1s"));
            let refused = engine.submit(bad).unwrap_err();
            assert!(refused.is_invalid_condition(), "{refused}");
        }
        // A job that was refused leaves nothing behind, and those before it in a batch do not run.
        let batch = [
            ThreadJob::new(|| 1, ()).condition(after_delay("1h")),
            ThreadJob::new(|| 1, ()).condition(after_clock("9:99")),
        ];
        assert!(engine.submit_all(batch).unwrap_err().is_invalid_condition());
        engine.wait().unwrap();
        assert_eq!(engine.stats().done, 0);
    });
}

/// One of each kind.
fn samples() -> Vec<Condition> {
    let jobs = [ThreadJob::new(|| 1, ()), ThreadJob::new(|| 2, ())];
    let (from, until) = ("2026-11-24T08:00:00Z", "2030-01-01T00:00:00.000000001+01:00");
    vec![
        after_another(&jobs[0]),
        after_another(&jobs[1]).statuses([Status::Failed, Status::Cancelled]),
        after_others(&jobs).done().any(),
        after_others(&jobs),
        after_timepoint(from),
        before_timepoint(from),
        between_timepoint(from, until),
        after_delay("1d2h3m4.000000005s"),
        every("250ms"),
        after_clock("12:30"),
        before_clock("24:00").zone("Europe/Berlin"),
        between_clock("22:00", "6:00:01").zone("America/New_York"),
        after_weekday("wed"),
        before_weekday("Friday").zone("UTC"),
        between_weekday("sat", "mon"),
        all_satisfied([]),
        any_satisfied([]),
    ]
}

#[test]
fn conditions_come_back_from_every_format() {
    within(|| {
        let samples = samples();
        let mix =
            any_satisfied(samples.clone()) & (all_satisfied(samples.clone()) | after_clock("1"));
        let engine = Engine::new().unwrap();
        for condition in samples.into_iter().chain([mix]) {
            assert!(condition.check().is_ok(), "{condition:?}");
            let json = serde_json::to_string(&condition).unwrap();
            assert_eq!(serde_json::from_str::<Condition>(&json).unwrap(), condition, "{json}");
            let value = serde_json::to_value(&condition).unwrap();
            assert_eq!(serde_json::from_value::<Condition>(value).unwrap(), condition);
            // With the names of fields and without them.
            let packed = rmp_serde::to_vec(&condition).unwrap();
            assert_eq!(rmp_serde::from_slice::<Condition>(&packed).unwrap(), condition);
            let packed = rmp_serde::to_vec_named(&condition).unwrap();
            assert_eq!(rmp_serde::from_slice::<Condition>(&packed).unwrap(), condition);
            // By the way that arguments and results of tasks take.
            let there = ProcessJob::new(back_and_forth, (condition.clone(),));
            assert_eq!(engine.submit(there).unwrap().result().unwrap(), condition);
        }
    });
}

#[test]
fn a_condition_that_was_written_and_read_works() {
    within(|| {
        let engine = Engine::new().unwrap();
        let first = ThreadJob::new(|| 1, ());
        let condition =
            after_another(&first).failed() | (after_another(&first) & after_delay("1ms"));
        let text = serde_json::to_string(&condition).unwrap();
        let read: Condition = serde_json::from_str(&text).unwrap();
        let job = engine.submit(ThreadJob::new(|| 2, ()).condition(read)).unwrap();
        engine.submit(first).unwrap();
        assert_eq!(job.result().unwrap(), 2);
    });
}

#[test]
fn what_was_written_by_others_is_checked() {
    let id = ThreadJob::new(|| 1, ()).id();
    for text in [
        "",
        "[]",
        "{}",
        "7",
        r#"[{"all":1}]"#,
        r#"[{"any":18446744073709551615}]"#,
        r#"[{"all":0},{"all":0}]"#,
        r#"[{"delay":"1s"},{"all":2}]"#,
        r#"[{"delay":"soon"}]"#,
        r#"[{"every":"36501d"}]"#,
        r#"[{"custom":null}]"#,
        r#"[{"invalid":"text"}]"#,
        r#"[{"civil":{"civil":{"AfterClock":"25:00"}}}]"#,
        r#"[{"after":{"jobs":["nobody"],"statuses":["Done"]}}]"#,
        &format!(r#"[{{"after":{{"jobs":["{id}"],"statuses":[]}}}}]"#),
        &format!(r#"[{{"after":{{"jobs":["{id}"],"statuses":["Running"]}}}}]"#),
    ] {
        assert!(serde_json::from_str::<Condition>(text).is_err(), "{text}");
    }
    // What only the engine can know is told when it is submitted.
    for text in [
        r#"[{"timepoint":{}}]"#,
        r#"[{"every":"0s"}]"#,
        r#"[{"civil":{"civil":{"AfterClock":"12:00"},"zone":"Nowhere"}}]"#,
        r#"[{"civil":{"civil":{"BetweenClock":["12:00","12:00"]}}}]"#,
        r#"[{"timepoint":{"from":"2026-11-24T08:00:00Z","until":"2026-11-24T08:00:00Z"}}]"#,
    ] {
        let condition: Condition = serde_json::from_str(text).unwrap();
        assert!(condition.check().unwrap_err().is_invalid_condition(), "{text}");
    }
    let custom = after_delay("1s") & custom(|_| true).every("1s");
    let error = serde_json::to_string(&custom).unwrap_err().to_string();
    assert!(error.contains("cannot be serialised"), "{error}");
    let error = serde_json::to_string(&after_clock("25:00")).unwrap_err().to_string();
    assert!(error.contains("25:00"), "{error}");
}

#[test]
fn cancelling_and_timers_race() {
    within(|| {
        let engine = Engine::builder().keep_finished(0).build().unwrap();
        for round in 0..100_u64 {
            let jobs: Vec<_> = (0..20)
                .map(|index| {
                    let soon = after_delay(Duration::from_micros(index * 37 % 500));
                    let soon = soon | custom(|_| true).every("100us");
                    engine.submit(ThreadJob::new(|| 1, ()).condition(soon)).unwrap()
                })
                .collect();
            let waits = ThreadJob::new(|| 1, ()).condition(after_others(&jobs));
            let waits = engine.submit(waits).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| jobs.iter().rev().for_each(JobHandle::cancel));
                scope.spawn(|| jobs.iter().for_each(|job| _ = engine.remove(job.id())));
            });
            waits.wait().unwrap();
            assert!(jobs.iter().all(|job| job.status().is_finished()));
            let stats = engine.stats();
            assert_eq!((stats.unfinished, stats.done + stats.cancelled), (0, (round + 1) * 21));
        }
    });
}

#[test]
fn submissions_that_name_each_other_race() {
    within(|| {
        for _ in 0..50 {
            let engine = Engine::builder().keep_finished(0).build().unwrap();
            let pairs: Vec<_> = (0..50)
                .map(|_| {
                    let up = ThreadJob::new(|| 1, ());
                    let down = ThreadJob::new(|| 2, ());
                    let down = down.condition(after_another(&up).done() | any_satisfied([]));
                    (up, down)
                })
                .collect();
            let (ups, downs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let (one, two) = (engine.clone(), engine.clone());
            let downs = std::thread::scope(|scope| {
                let ups =
                    scope.spawn(move || ups.into_iter().for_each(|up| _ = one.submit(up).unwrap()));
                let downs = scope.spawn(move || two.submit_all(downs).unwrap());
                ups.join().unwrap();
                downs.join().unwrap()
            });
            engine.wait().unwrap();
            assert!(downs.iter().all(|job| job.status() == Status::Done));
        }
    });
}

#[test]
fn shutting_down_with_conditions_pending() {
    within(|| {
        for how in [Shutdown::Drain, Shutdown::Cancel] {
            let engine = Engine::new().unwrap();
            let missing = ThreadJob::new(|| 1, ());
            let submit =
                |on: Condition| engine.submit(ThreadJob::new(|| 1, ()).condition(on)).unwrap();
            let far = (how == Shutdown::Cancel).then(|| {
                [after_delay("1h"), custom(|_| false).every("1h"), every("1d") & after_clock("0")]
                    .map(submit)
            });
            let start = Instant::now();
            let near = submit(after_delay("30ms") & custom(|_| true).every("1ms"));
            let then = submit(after_another(&near));
            let stuck = submit(after_another(&missing));
            engine.shutdown(how);
            let drained = how == Shutdown::Drain;
            let expected = if drained { Status::Done } else { Status::Cancelled };
            // Only on a machine that is too busy does it come to run before it is cancelled.
            if drained || start.elapsed() < Duration::from_millis(20) {
                assert_eq!((near.status(), then.status()), (expected, expected));
            }
            assert_eq!(stuck.status(), Status::Cancelled);
            assert_eq!(stuck.exception().unwrap().cancel_reason(), Some(&CancelReason::Shutdown));
            for job in far.iter().flatten() {
                assert_eq!(job.exception().unwrap().cancel_reason(), Some(&CancelReason::Shutdown));
            }
            assert!(engine.submit(missing).unwrap_err().is_shut_down());
        }
    });
}

/// Draining means to finish what is there: it goes on until the last condition has come true, or
/// its job is cancelled.
#[test]
fn a_drain_waits_for_what_time_will_bring() {
    within(|| {
        let engine = Engine::new().unwrap();
        let far = ThreadJob::new(|| 1, ()).condition(after_delay("1d"));
        let far = engine.submit(far).unwrap();
        std::thread::scope(|scope| {
            let drain = scope.spawn(|| engine.shutdown(Shutdown::Drain));
            // It takes no more from then on.
            while engine.submit(ThreadJob::new(|| 1, ())).is_ok() {
                std::thread::yield_now();
            }
            assert!(!drain.is_finished());
            assert_eq!(far.status(), Status::Pending);
            far.cancel();
            drain.join().unwrap();
        });
        assert_eq!(far.status(), Status::Cancelled);
    });
}

#[test]
fn handles_may_go_while_conditions_wait() {
    within(|| {
        let engine = Engine::builder().keep_finished(0).build().unwrap();
        let gate = Gate::new();
        let ran = Gate::new();
        let (g, r) = (gate.clone(), ran.clone());
        let first = engine.submit(ThreadJob::new(move || g.pass(), ())).unwrap();
        let second =
            ThreadJob::new(|| (), ()).condition(after_another(&first) & after_delay("1ms"));
        let second = engine.submit(second).unwrap();
        let third = after_others([&first, &second]).done() & (after_another(&second) | every("1h"));
        engine.submit(ThreadJob::new(move || r.open(), ()).condition(third)).unwrap();
        drop((first, second));
        gate.open();
        ran.pass();
        engine.wait().unwrap();
        assert_eq!(engine.stats().done, 3);
    });
}
