//! Promise: a task runs in another process as it would in this one: with this process's
//! surroundings of the moment, with exactly the files it is meant to have, and with every
//! serde value carried to it and back.

mod common;
#[path = "common/role.rs"]
mod role;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::within;
use executor_engine::prelude::*;
use serde::{Deserialize, Serialize};

#[task]
fn own_pid() -> u32 {
    std::process::id()
}

#[task]
fn surroundings(variable: String) -> (Option<String>, PathBuf, u32) {
    let umask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    nix::sys::stat::umask(umask);
    (std::env::var(variable).ok(), std::env::current_dir().expect("a directory"), umask.bits())
}

/// What each of the process's open files is.
#[task]
fn open_files() -> BTreeMap<i32, String> {
    let listed: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .expect("proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    listed
        .into_iter()
        .filter_map(|fd| {
            let to = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
            Some((fd, to.to_string_lossy().into_owned()))
        })
        .collect()
}

#[task]
fn reads_stdin() -> usize {
    std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()).expect("readable")
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Shape {
    Circle { radius: f64 },
    Named(String),
    Many(Vec<Shape>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    shape: Shape,
    by_number: BTreeMap<u64, Option<Option<i128>>>,
    nothing: Option<()>,
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[task]
fn gives_back(value: Everything) -> Everything {
    value
}

#[task]
fn gives_back_float(value: f64) -> f64 {
    value
}

/// Encodes as a number, decodes as nothing: what a worker of another version would do.
#[derive(Clone, Debug)]
struct OneWay;

impl Serialize for OneWay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|_| Self)
    }
}

/// Cannot be encoded at all.
#[derive(Clone, Debug, Deserialize)]
struct NoWay;

impl Serialize for NoWay {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not for sale"))
    }
}

#[task]
fn takes_one_way(_value: OneWay) {}

#[task]
fn gives_one_way() -> OneWay {
    OneWay
}

#[task]
fn takes_no_way(_value: NoWay) {}

#[task]
fn gives_no_way() -> NoWay {
    NoWay
}

#[task]
fn fails(text: String) -> Result<u8, std::num::ParseIntError> {
    text.parse()
}

#[task]
fn panics() {
    panic!("on the far side")
}

#[test]
fn tasks_run_elsewhere_and_workers_stay_warm() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let run = || engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        let first = run();
        assert_ne!(first, std::process::id());
        assert_eq!(run(), first);
        let fresh = ProcessJob::new(own_pid, ()).fresh_process(true);
        assert_ne!(engine.submit(fresh).unwrap().result().unwrap(), first);
        assert_eq!(run(), first, "a fresh process takes nobody's place");
    });
}

#[test]
fn fresh_processes_see_what_is_now() {
    role::apart("fresh_processes_see_what_is_now", || {
        let engine = Engine::new().unwrap();
        let look = || {
            let job = ProcessJob::new(surroundings, ("MOOD".to_owned(),)).fresh_process(true);
            engine.submit(job).unwrap().result().unwrap()
        };
        let here = std::env::current_dir().unwrap();
        let (mood, dir, umask) = look();
        assert_eq!((mood, dir, umask), (None, here, common_umask()));

        set_var("MOOD", "fine");
        std::env::set_current_dir("/").unwrap();
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let (mood, dir, umask) = look();
        assert_eq!((mood.as_deref(), dir, umask), (Some("fine"), PathBuf::from("/"), 0o077));
    });
}

fn common_umask() -> u32 {
    let umask = nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    nix::sys::stat::umask(umask);
    umask.bits()
}

#[expect(unsafe_code, reason = "changing the environment is what the test is about")]
fn set_var(name: &str, value: &str) {
    // SAFETY: the part is played in a process of its own with one test thread; the engine's
    // threads do not read the environment while this one changes it.
    unsafe { std::env::set_var(name, value) };
}

#[test]
fn a_worker_has_its_standard_files_and_its_socket() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(3).build().unwrap();
        // A file of this process that is not marked close-on-exec.
        let leaky = std::fs::File::open("/proc/self/status").unwrap();
        nix::fcntl::fcntl(&leaky, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))
            .unwrap();
        for _ in 0..3 {
            // Each with other workers alive beside it.
            let job = ProcessJob::new(open_files, ()).fresh_process(true);
            let files = engine.submit(job).unwrap().result().unwrap();
            assert_eq!(files[&0], "/dev/null", "{files:?}");
            assert!(files[&2].starts_with("pipe:"), "{files:?}");
            let beyond: Vec<_> = files.iter().filter(|(fd, _)| **fd > 2).collect();
            assert!(
                beyond.len() == 1 && beyond[0].1.starts_with("socket:"),
                "only its socket to the engine: {files:?}"
            );
        }
        let read = engine.submit(ProcessJob::new(reads_stdin, ())).unwrap();
        assert_eq!(read.result().unwrap(), 0);
    });
}

#[test]
fn values_come_back_as_they_went() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let value = Everything {
            shape: Shape::Many(vec![
                Shape::Circle { radius: 0.1 },
                Shape::Named("dot".into()),
                Shape::Many(vec![]),
            ]),
            by_number: BTreeMap::from([
                (0, None),
                (1, Some(None)),
                (u64::MAX, Some(Some(i128::MIN))),
            ]),
            nothing: Some(()),
            rest: BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 255)]),
        };
        let job = engine.submit(ProcessJob::new(gives_back, (value.clone(),))).unwrap();
        assert_eq!(job.result().unwrap(), value);
        for float in [f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE / 2.0] {
            let job = engine.submit(ProcessJob::new(gives_back_float, (float,))).unwrap();
            assert_eq!(job.result().unwrap().to_bits(), float.to_bits());
        }
    });
}

#[test]
fn what_cannot_be_carried_is_a_codec_error_that_names_the_task() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let worker = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        let errors = [
            (
                engine.submit(ProcessJob::new(takes_one_way, (OneWay,))).unwrap().result().err(),
                "must deserialize what they serialize",
                "takes_one_way",
            ),
            (
                engine.submit(ProcessJob::new(takes_no_way, (NoWay,))).unwrap().result().err(),
                "not for sale",
                "takes_no_way",
            ),
            (
                engine.submit(ProcessJob::new(gives_one_way, ())).unwrap().result().map(drop).err(),
                "must deserialize what it serializes",
                "gives_one_way",
            ),
            (
                engine.submit(ProcessJob::new(gives_no_way, ())).unwrap().result().map(drop).err(),
                "not for sale",
                "gives_no_way",
            ),
        ];
        for (error, what, task) in errors {
            let error = error.expect(task);
            assert!(error.is_codec(), "{error}");
            let text = error.to_string();
            assert!(text.contains(what) && text.contains(task), "{text}");
        }
        let after = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        assert_eq!(after, worker, "and costs no worker");
    });
}

#[test]
fn failures_and_panics_cross_over_and_cost_no_worker() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let worker = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        let error =
            engine.submit(ProcessJob::new(fails, ("x".to_owned(),))).unwrap().result().unwrap_err();
        assert!(error.is_failure());
        assert_eq!(error.message(), "invalid digit found in string");
        let error = engine.submit(ProcessJob::new(panics, ())).unwrap().result().unwrap_err();
        assert!(error.is_panic());
        assert_eq!(error.message(), "on the far side");
        assert!(error.panic_location().unwrap().starts_with("tests/processes.rs:"), "{error}");
        let after = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        assert_eq!(after, worker);
    });
}

/// A task made by hand, not by the attribute, so that no registry has it.
#[derive(Clone, Copy)]
struct Unregistered;

impl executor_engine::Callable<()> for Unregistered {
    type Output = u8;

    fn call(&self, (): ()) -> Result<u8, JobError> {
        Ok(1)
    }
}

impl Task for Unregistered {
    type Args = ();
    type Result = u8;

    fn definition(&self) -> &'static executor_engine::__private::TaskDef {
        static DEFINITION: executor_engine::__private::TaskDef =
            executor_engine::__private::TaskDef::new("nowhere::unregistered", 0, |_, _| Ok(()));
        &DEFINITION
    }
}

#[task(name = "twin")]
fn first_twin() -> u8 {
    1
}

#[task(name = "twin")]
fn second_twin() -> u8 {
    2
}

#[test]
fn tasks_that_the_registry_cannot_tell_are_refused_at_submit() {
    let engine = Engine::new().unwrap();
    let error = engine.submit(ProcessJob::new(Unregistered, ())).unwrap_err();
    assert!(error.is_unknown_task());
    let text = error.to_string();
    assert!(text.contains("nowhere::unregistered") && text.contains("#[task]"), "{text}");
    for error in [
        engine.submit(ProcessJob::new(first_twin, ())).unwrap_err(),
        engine.submit(ProcessJob::new(second_twin, ())).unwrap_err(),
    ] {
        assert!(error.is_duplicate_task());
        assert!(error.to_string().contains("twin"), "{error}");
    }
    // In this process there is no doubt which function is meant.
    assert_eq!(engine.submit(ThreadJob::new(second_twin, ())).unwrap().result().unwrap(), 2);
}

#[test]
fn a_message_over_the_cap_fails_that_job_alone() {
    within(|| {
        let engine =
            Engine::builder().max_process_jobs(1).max_message_bytes(64 << 10).build().unwrap();
        let worker = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        let long = "x".repeat(1 << 20);
        let job = engine.submit(ProcessJob::new(fails, (long,))).unwrap();
        let error = job.result().unwrap_err();
        assert!(error.to_string().contains("max_message_bytes"), "{error}");
        let after = engine.submit(ProcessJob::new(own_pid, ())).unwrap().result().unwrap();
        assert_eq!(after, worker);
    });
}

static ENCODING: std::sync::Mutex<Option<std::sync::mpsc::Sender<()>>> =
    std::sync::Mutex::new(None);
static GO_ON: std::sync::LazyLock<common::Gate> = std::sync::LazyLock::new(common::Gate::new);

/// Says when it is first encoded, and takes until it may go on.
#[derive(Clone, Deserialize)]
struct Slow;

impl Serialize for Slow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let first = ENCODING.lock().unwrap().take();
        if let Some(encoding) = first {
            encoding.send(()).unwrap();
            GO_ON.pass();
        }
        serializer.serialize_unit_struct("Slow")
    }
}

#[task]
fn takes_slow(_first: u8, _slow: Slow) {}

/// Jobs without handles that are cancelled while the thread that encodes them is at another one
/// are let go of; that thread must cope.
#[test]
fn jobs_may_go_while_others_are_encoded() {
    within(|| {
        let (send, receive) = std::sync::mpsc::channel();
        *ENCODING.lock().unwrap() = Some(send);
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        let first = ThreadJob::new(|| 1_u8, ());
        for _ in 0..5 {
            drop(engine.submit(ProcessJob::new(takes_slow, (first.output(), Slow))).unwrap());
        }
        let first = engine.submit(first).unwrap();
        receive.recv().unwrap();
        // All five are with the backend now; the first is being encoded.
        let other = engine.clone();
        let end = std::thread::spawn(move || other.shutdown(Shutdown::Cancel));
        while engine.stats().cancelled < 5 {
            std::thread::yield_now();
        }
        GO_ON.open();
        end.join().unwrap();
        assert_eq!(first.result().unwrap(), 1);
        assert_eq!(engine.stats().unfinished, 0);
    });
}
