//! A stream from a worker process keeps all promises of a stream (`streams.rs`), with bounded memory
//! on both sides, and says how its worker died.

#[path = "common/bell.rs"]
mod bell;
mod common;
#[path = "common/role.rs"]
mod role;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use bell::{Bell, ring};
use common::{peak_kib, within};
use executor_engine::prelude::*;
use executor_engine::{JobEvent, Stream};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Serialize};

type Values<T> = Result<Vec<T>, JobError>;
type Sent = Result<(), StreamStopped>;
type Boxed = Box<dyn std::error::Error + Send + Sync>;

#[task]
fn count(out: Yield<u64>, n: u64) -> Result<(), StreamStopped> {
    (0..n).try_for_each(|i| out.send(i))
}

#[task]
fn endless(out: Yield<u64>) -> Result<(), StreamStopped> {
    (0..).try_for_each(|i| out.send(i))
}

#[task]
fn total(out: Yield<i64, i64>) -> Result<(), StreamStopped> {
    let mut sum = 0;
    for _ in 0..3 {
        sum += out.ask(sum)?.unwrap_or(0);
    }
    Ok(())
}

#[task]
fn fails(out: Yield<u64>) -> Result<(), Boxed> {
    out.send(0)?;
    out.send(1)?;
    Err("error".into())
}

#[task]
fn panics(out: Yield<u64>) {
    let _ = out.send(0);
    let _ = out.send(1);
    panic!("error")
}

#[task]
fn aborts(out: Yield<u64>) {
    let _ = out.send(7);
    let _ = out.ask(8);
    std::process::abort()
}

#[task]
fn double(x: u64) -> u64 {
    2 * x
}

#[test]
fn values_come_in_order_and_then_the_job_is_done() {
    within(|| {
        let engine = Engine::new().unwrap();
        for buffer in [0, 1, 2, 16, 1000] {
            let job = engine.submit(ProcessJob::stream(count, (200,)).buffer(buffer)).unwrap();
            assert_eq!(job.iter().collect::<Values<_>>().unwrap(), Vec::from_iter(0..200));
            assert_eq!(job.status(), Status::Done);
        }
    });
}

#[test]
fn a_pulled_stream_runs_until_its_last_value_was_taken() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(count, (10,)).buffer(0)).unwrap();
        let mut seen = 0;
        for value in &job {
            assert_eq!(value.unwrap(), seen);
            assert_eq!(job.status(), Status::Running);
            seen += 1;
        }
        assert_eq!((seen, job.status()), (10, Status::Done));
    });
}

#[test]
fn errors_come_behind_the_values_before_them() {
    within(|| {
        let engine = Engine::new().unwrap();
        let jobs = [
            engine.submit(ProcessJob::stream(fails, ())).unwrap(),
            engine.submit(ProcessJob::stream(panics, ())).unwrap(),
        ];
        for job in jobs {
            let mut reader = job.iter();
            assert_eq!(reader.next().unwrap().unwrap(), 0);
            assert_eq!(reader.next().unwrap().unwrap(), 1);
            assert_eq!(reader.next().unwrap().unwrap_err().message(), "error");
            assert!(reader.next().is_none());
            assert_eq!(job.status(), Status::Failed);
        }
    });
}

#[test]
fn a_worker_that_dies_is_told_of_behind_its_values() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(aborts, ())).unwrap();
        let mut reader = job.iter();
        assert_eq!(reader.next().unwrap().unwrap(), 7);
        assert_eq!(reader.next().unwrap().unwrap(), 8);
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(error.signal(), Some(6));
        assert!(reader.next().is_none());
        let next = engine.submit(ProcessJob::new(double, (4,))).unwrap();
        assert_eq!(next.result().unwrap(), 8);
    });
}

#[test]
fn readers_answer() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(total, ())).unwrap();
        let mut reader = job.iter();
        assert_eq!(reader.next().unwrap().unwrap(), 0);
        assert_eq!(reader.send(1).unwrap().unwrap(), 1);
        assert_eq!(reader.send(2).unwrap().unwrap(), 3);
        assert!(reader.send(3).is_none());
        assert_eq!(job.status(), Status::Done);
    });
}

#[test]
fn dropping_the_last_reader_ends_the_producer_and_is_no_failure() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        for buffer in [0, 1, 16, 100_000] {
            let job = engine.submit(ProcessJob::stream(endless, ()).buffer(buffer)).unwrap();
            assert_eq!(job.iter().take(3).collect::<Values<_>>().unwrap(), [0, 1, 2]);
            job.wait().unwrap();
            assert_eq!(job.status(), Status::Done);
            let unread = engine.submit(ProcessJob::stream(endless, ()).buffer(buffer)).unwrap();
            drop(unread.iter());
            unread.wait().unwrap();
            assert_eq!(unread.status(), Status::Done);
        }
        drop(engine.submit(ProcessJob::stream(endless, ())).unwrap());
        engine.wait().unwrap();
        let next = engine.submit(ProcessJob::new(double, (4,))).unwrap();
        assert_eq!(next.result().unwrap(), 8, "its worker serves on");
    });
}

#[test]
fn cancelling_ends_the_iteration_with_that_error() {
    within(|| {
        let engine = Engine::new().unwrap();
        for buffer in [0, 4] {
            let job = engine.submit(ProcessJob::stream(endless, ()).buffer(buffer)).unwrap();
            let mut reader = job.iter();
            assert_eq!(reader.next().unwrap().unwrap(), 0);
            job.cancel();
            let error = reader.find_map(Result::err).unwrap();
            assert!(error.is_cancelled(), "{error}");
            assert_eq!(job.status(), Status::Cancelled);
        }
        let job = ProcessJob::stream(endless, ()).timeout(Duration::from_millis(50));
        let job = engine.submit(job).unwrap();
        let error = job.iter().find_map(Result::err).unwrap();
        assert!(error.is_timed_out(), "{error}");
    });
}

#[test]
fn a_hundred_thousand_values() {
    within(|| {
        let engine = Engine::new().unwrap();
        for buffer in [16, 1024] {
            let job = engine.submit(ProcessJob::stream(count, (100_000,)).buffer(buffer)).unwrap();
            let mut expected = 0;
            for value in &job {
                assert_eq!(value.unwrap(), expected);
                expected += 1;
            }
            assert_eq!(expected, 100_000);
        }
    });
}

/// Tells of each value before it is sent.
#[task]
fn told_ahead(out: Yield<u64>, bell: PathBuf) -> Result<(), StreamStopped> {
    let mut told = ring(&bell);
    (0..).try_for_each(|i| {
        told.write_all(&[0]).expect("somebody listens");
        out.send(i)
    })
}

/// Waits until the producer of a stream waits for its reader: where there is one permit, no other
/// job runs before.
fn producer_waits(engine: &Engine) {
    assert_eq!(engine.submit(ThreadJob::new(|| 1, ())).unwrap().result().unwrap(), 1);
    assert_eq!(engine.submit(ProcessJob::new(double, (4,))).unwrap().result().unwrap(), 8);
}

#[test]
fn while_nobody_reads_the_producer_sends_what_the_buffer_takes_and_not_one_more() {
    within(|| {
        for buffer in [1, 2, 16, 1000] {
            let engine = Engine::builder().max_jobs(1).build().unwrap();
            let bell = Bell::new();
            let job = ProcessJob::stream(told_ahead, (bell.path(),)).buffer(buffer);
            let job = engine.submit(job).unwrap();
            let mut told = bell.rung();
            let mut reader = job.iter();
            let mut expected = 0..;
            // The one that it cannot send yet.
            told.read_exact(&mut [0]).unwrap();
            for _round in 0..5 {
                told.read_exact(&mut vec![0; buffer]).unwrap();
                producer_waits(&engine);
                told.set_nonblocking(true).unwrap();
                let more = told.read(&mut [0]).expect_err("it goes on, and nobody reads").kind();
                assert_eq!(more, std::io::ErrorKind::WouldBlock);
                told.set_nonblocking(false).unwrap();
                assert_eq!(job.status(), Status::Running);
                // With the first of these a reader takes all that wait, and makes room for as many.
                for _ in 0..buffer {
                    assert_eq!(Some(reader.next().unwrap().unwrap()), expected.next());
                }
            }
        }
    });
}

/// Each reader takes what waits, passes one value on, and gives the others back.
#[test]
fn what_readers_give_back_is_no_reason_to_send_more() {
    within(|| {
        for buffer in [2, 8] {
            let engine = Engine::builder().max_jobs(1).build().unwrap();
            let bell = Bell::new();
            let job = ProcessJob::stream(told_ahead, (bell.path(),)).buffer(buffer);
            let job = engine.submit(job).unwrap();
            let mut told = bell.rung();
            told.set_nonblocking(true).unwrap();
            let mut sent = 0;
            let mut reader = job.iter();
            for i in 0..40 {
                assert_eq!(reader.next().unwrap().unwrap(), i as u64);
                producer_waits(&engine);
                let next = reader.clone();
                reader = next;
                let mut some = [0; 1000];
                sent += told.read(&mut some).unwrap_or(0);
                // One is in hand, the buffer's are sent, as many are with the reader.
                assert!(sent <= i + 1 + 2 * buffer, "{sent} values when {} are read", i + 1);
                assert!(sent > i + 1, "it stands still");
            }
        }
    });
}

/// A queue of which all was given back gives the next attempt no less room.
#[test]
fn what_readers_give_back_takes_no_room_from_the_next_attempt() {
    within(|| {
        let engine = Engine::builder().max_jobs(1).build().unwrap();
        let job = ProcessJob::stream(fails_at_first, (Context,)).buffer(8).retries(1);
        let job = engine.submit(job).unwrap();
        producer_waits(&engine);
        let mut first = job.iter();
        assert_eq!(first.next().unwrap().unwrap(), 0);
        let rest = first.clone();
        drop(first);
        let all = Vec::from_iter((1..10).chain(0..100));
        assert_eq!(rest.collect::<Values<_>>().unwrap(), all);
    });
}

#[task]
fn fails_at_first(out: Yield<u64>, ctx: JobContext) -> Result<(), Boxed> {
    let n = if ctx.attempt() == 1 { 10 } else { 100 };
    (0..n).try_for_each(|i| out.send(i))?;
    if ctx.attempt() == 1 { Err("once".into()) } else { Ok(()) }
}

/// What memory may differ by for other reasons than values that are kept.
const SLACK_KIB: usize = 4 * 1024;

/// Sends texts, and says how much its process has grown by the last nine tenths of them.
#[task]
fn texts(out: Yield<String>, n: usize, bytes: usize) -> Result<(), Boxed> {
    let text = "x".repeat(bytes);
    (0..n / 10).try_for_each(|_| out.send(text.clone()))?;
    let warm = peak_kib();
    (n / 10..n).try_for_each(|_| out.send(text.clone()))?;
    let grown = peak_kib().saturating_sub(warm);
    if grown > SLACK_KIB { Err(format!("the worker grew by {grown} KiB").into()) } else { Ok(()) }
}

/// 100 MB and 300 MB go through, while the reader stops again and again.
#[test]
fn however_slow_its_reader_a_stream_takes_no_memory_on_either_side() {
    fn read(engine: &Engine, (n, bytes, buffer): (usize, usize, usize)) {
        let job = engine.submit(ProcessJob::stream(texts, (n, bytes)).buffer(buffer)).unwrap();
        let mut read = 0;
        for value in &job {
            assert_eq!(value.unwrap().len(), bytes);
            if read % 500 == 0 {
                producer_waits(engine);
            }
            read += 1;
        }
        assert_eq!((read, job.status()), (n, Status::Done));
    }
    role::apart("however_slow_its_reader_a_stream_takes_no_memory_on_either_side", || {
        for (n, bytes, buffer) in [(100_000, 1000, 64), (3000, 100_000, 8)] {
            let engine = Engine::builder().max_jobs(1).build().unwrap();
            read(&engine, (n / 100, bytes, buffer));
            let warm = peak_kib();
            read(&engine, (n, bytes, buffer));
            let grown = peak_kib().saturating_sub(warm);
            assert!(grown < SLACK_KIB, "the reader's process grew by {grown} KiB");
        }
    });
}

#[test]
fn streams_are_read_in_turn_by_an_engine_with_one_worker() {
    within(|| {
        for engine in [
            Engine::builder().max_process_jobs(1).build().unwrap(),
            Engine::builder().max_process_jobs(1).max_jobs(1).build().unwrap(),
        ] {
            let streams: Vec<_> = (0..3)
                .map(|_| engine.submit(ProcessJob::stream(count, (100,)).buffer(2)).unwrap())
                .collect();
            let mut readers: Vec<_> = streams.iter().map(JobHandle::iter).collect();
            for i in 0..100 {
                for reader in &mut readers {
                    assert_eq!(reader.next().unwrap().unwrap(), i);
                }
            }
        }
    });
}

#[test]
fn while_a_stream_waits_for_its_reader_other_jobs_run_in_its_stead() {
    within(|| {
        for engine in [
            Engine::builder().max_process_jobs(1).build().unwrap(),
            Engine::builder().max_process_jobs(1).max_jobs(1).build().unwrap(),
        ] {
            let job = engine.submit(ProcessJob::stream(count, (50,)).buffer(1)).unwrap();
            for value in &job {
                let value = value.unwrap();
                let more = engine.submit(ProcessJob::new(double, (value,))).unwrap();
                assert_eq!(more.result().unwrap(), 2 * value);
            }
        }
    });
}

#[task]
fn fills_and_fails(out: Yield<u64>, ctx: JobContext) -> Result<(), Boxed> {
    (0..16).try_for_each(|i| out.send(i))?;
    if ctx.attempt() == 1 { Err("once".into()) } else { Ok(()) }
}

/// What the first attempt sent fills the buffer.
#[test]
fn a_stream_that_has_no_room_from_the_start_waits_for_its_reader() {
    within(|| {
        for engine in [
            Engine::builder().max_process_jobs(1).build().unwrap(),
            Engine::builder().max_process_jobs(1).max_jobs(1).build().unwrap(),
        ] {
            let events = engine.events();
            let job = ProcessJob::stream(fills_and_fails, (Context,)).retries(1);
            let job = engine.submit(job).unwrap();
            let second = |event: &JobEvent| matches!(event, JobEvent::Started { attempt: 2, .. });
            assert!(events.iter().any(|event| second(&event)));
            producer_waits(&engine);
            assert_eq!(job.status(), Status::Running);
            let all = Vec::from_iter((0..16).chain(0..16));
            assert_eq!(job.iter().collect::<Values<_>>().unwrap(), all);
            // Its permit is its own again, and only that.
            let jobs = engine.submit_all((0..10).map(|i| ProcessJob::new(double, (i,)))).unwrap();
            engine.wait().unwrap();
            assert!(jobs.iter().all(|job| job.status() == Status::Done));
        }
    });
}

#[test]
fn a_job_reads_a_process_stream() {
    within(|| {
        let engine = Engine::builder().max_jobs(1).max_thread_jobs(1).build().unwrap();
        let read = |ctx: JobContext| -> executor_engine::Result<u64> {
            let job = ctx.engine()?.submit(ProcessJob::stream(count, (300,)).buffer(3))?;
            Ok(job.iter().map(|value| value.unwrap()).sum())
        };
        let pool = engine.submit(ThreadJob::try_new(read, (Context,))).unwrap();
        let lane = engine.submit(LocalJob::try_new(read, (Context,))).unwrap();
        assert_eq!(pool.result().unwrap() + lane.result().unwrap(), 300 * 299);
    });
}

#[test]
fn streams_and_short_jobs_share_workers() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(2).build().unwrap();
        let jobs = engine.submit_all((0..2000).map(|i| ProcessJob::new(double, (i,)))).unwrap();
        let streams: Vec<_> =
            (0..4).map(|_| engine.submit(ProcessJob::stream(count, (500,))).unwrap()).collect();
        let more = engine.submit_all((0..2000).map(|i| ProcessJob::new(double, (i,)))).unwrap();
        for stream in streams {
            assert_eq!(stream.iter().count(), 500);
        }
        for (i, job) in (0..).zip(jobs.iter().chain(&more)) {
            assert_eq!(job.result().unwrap(), 2 * (i % 2000));
        }
    });
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Thing {
    Number(f64),
    Text(String),
    Pair { a: Option<()>, b: Vec<u8> },
}

fn things() -> [Thing; 3] {
    let pair = Thing::Pair { a: Some(()), b: vec![1; 300] };
    [Thing::Number(0.5), Thing::Text("x".repeat(100_000)), pair]
}

#[task]
fn every_thing(out: Yield<Thing, Thing>, ctx: JobContext) -> Result<(), StreamStopped> {
    assert_eq!(ctx.name(), Some("things"));
    for thing in things() {
        let answer = out.ask(thing.clone())?;
        assert_eq!(answer, Some(thing));
    }
    Ok(())
}

#[test]
fn values_and_answers_of_any_type_travel() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ProcessJob::stream(every_thing, (Context,)).name("things").fresh_process(true);
        let job: JobHandle<Stream<Thing, Thing>> = engine.submit(job).unwrap();
        let mut reader = job.iter();
        let mut value = reader.next();
        for thing in things() {
            assert_eq!(value.unwrap().unwrap(), thing);
            value = reader.send(thing);
        }
        assert!(value.is_none());
        job.take().unwrap();
    });
}

#[derive(Clone, Debug)]
struct Odd(u8);

impl Serialize for Odd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(serde::ser::Error::custom("thirteen")),
            14 => {
                // Half of it is written when it panics.
                let mut pair = serializer.serialize_tuple(2)?;
                pair.serialize_element(&14)?;
                panic!("fourteen")
            }
            n => serializer.serialize_u8(n),
        }
    }
}

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            7 => Err(serde::de::Error::custom("seven")),
            n => Ok(Self(n)),
        }
    }
}

#[task]
fn odd(out: Yield<Odd>, last: u8) -> Result<(), StreamStopped> {
    out.send(Odd(1))?;
    out.send(Odd(last))?;
    out.send(Odd(3))
}

#[test]
fn a_value_that_cannot_travel_fails_the_job_in_its_place() {
    within(|| {
        let engine = Engine::new().unwrap();
        for (last, why) in [(13, "does not encode: thirteen"), (7, "does not decode: seven")] {
            // Its reader is there before the job begins.
            engine.pause();
            let job = engine.submit(ProcessJob::stream(odd, (last,)).retries(1)).unwrap();
            let mut reader = job.iter();
            engine.resume();
            for _attempt in 0..2 {
                assert_eq!(reader.next().unwrap().unwrap().0, 1);
            }
            let error = reader.next().unwrap().unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!((job.status(), job.attempt()), (Status::Failed, 2));
        }
        let engine = Engine::builder().max_message_bytes(10_000).build().unwrap();
        let job = engine.submit(ProcessJob::stream(texts, (1, 100_000))).unwrap();
        let error = job.iter().next().unwrap().unwrap_err();
        assert!(error.to_string().contains("max_message_bytes"), "{error}");
    });
}

#[task]
fn many_threads(out: Yield<u64>) {
    std::thread::scope(|scope| {
        for part in 0..4 {
            let out = out.clone();
            scope.spawn(move || {
                for i in 0..250 {
                    let value = part * 250 + i;
                    if i % 2 == 0 {
                        out.send(value).unwrap()
                    } else {
                        assert_eq!(out.ask(value).unwrap(), None)
                    }
                }
            });
        }
    });
}

#[test]
fn several_threads_of_a_producer_send() {
    within(|| {
        let engine = Engine::new().unwrap();
        for buffer in [0, 3, 64] {
            let job = engine.submit(ProcessJob::stream(many_threads, ()).buffer(buffer)).unwrap();
            let mut values = job.iter().collect::<Values<_>>().unwrap();
            values.sort_unstable();
            assert_eq!(values, Vec::from_iter(0..1000));
        }
    });
}

#[task]
fn leaves_a_thread(out: Yield<u64>) -> Result<(), StreamStopped> {
    out.send(1)?;
    std::thread::spawn(move || -> Sent { (0..).try_for_each(|i| out.send(i)) });
    Ok(())
}

#[test]
fn a_thread_that_outlives_its_stream_disturbs_no_other() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        for _ in 0..5 {
            let job = engine.submit(ProcessJob::stream(leaves_a_thread, ()).buffer(2)).unwrap();
            let mut reader = job.iter();
            assert_eq!(reader.next().unwrap().unwrap(), 1);
            assert!(reader.all(|value| value.is_ok()));
            let next = engine.submit(ProcessJob::new(double, (4,))).unwrap();
            assert_eq!(next.result().unwrap(), 8);
            let whole = engine.submit(ProcessJob::stream(count, (100,))).unwrap();
            assert_eq!(whole.iter().collect::<Values<_>>().unwrap(), Vec::from_iter(0..100));
        }
    });
}

#[task]
fn leaves_threads(out: Yield<u64>) {
    for i in 0..4 {
        let out = out.clone();
        std::thread::spawn(move || while out.send(i).is_ok() {});
    }
    let _ = out.send(1).and_then(|()| out.send(1));
}

/// The worker's next requests come while they find out that it is over.
#[test]
fn threads_that_outlive_their_stream_take_no_request_away() {
    within(|| {
        let engine = Engine::builder().max_process_jobs(1).build().unwrap();
        for _ in 0..300 {
            let job = ProcessJob::stream(leaves_threads, ()).buffer(64);
            let job = engine.submit(job).unwrap();
            let next: Vec<_> =
                (0..8).map(|n| engine.submit(ProcessJob::new(double, (n,))).unwrap()).collect();
            assert!(job.iter().all(|value| value.is_ok()));
            for (n, next) in next.iter().enumerate() {
                assert_eq!(next.result().unwrap(), 2 * n as u64);
            }
        }
    });
}

#[task]
fn rare(out: Yield<u64>) -> Result<(), StreamStopped> {
    out.send(0)?;
    out.send(1)?;
    // Whoever keeps a value back until the next one is found out here.
    loop {
        std::thread::park();
    }
}

#[test]
fn a_value_does_not_wait_for_the_next_one() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(rare, ())).unwrap();
        let mut reader = job.iter();
        assert_eq!(reader.next().unwrap().unwrap(), 0);
        assert_eq!(reader.next().unwrap().unwrap(), 1);
        job.cancel();
    });
}

#[task]
fn dies_at_first(out: Yield<u64>, ctx: JobContext) -> Result<(), StreamStopped> {
    out.ask(u64::from(ctx.attempt()))?;
    if ctx.attempt() == 1 {
        std::process::abort();
    }
    Ok(())
}

#[test]
fn a_retried_stream_goes_on_with_the_values_of_the_next_attempt() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ProcessJob::stream(dies_at_first, (Context,)).retries(1);
        let job = engine.submit(job).unwrap();
        assert_eq!(job.iter().collect::<Values<_>>().unwrap(), [1, 2]);
    });
}

#[test]
fn an_engine_that_goes_ends_its_streams() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(endless, ())).unwrap();
        let mut reader = job.iter();
        assert!(reader.next().unwrap().is_ok());
        drop(engine);
        let error = reader.find_map(Result::err).unwrap();
        assert!(error.is_cancelled(), "{error}");
    });
}

#[task]
fn late_odd(out: Yield<Odd>) -> Result<(), StreamStopped> {
    (20..40).chain([7, 40]).try_for_each(|n| out.send(Odd(n)))
}

#[test]
fn values_before_one_that_does_not_decode_are_read() {
    within(|| {
        let engine = Engine::new().unwrap();
        for _ in 0..20 {
            let job = engine.submit(ProcessJob::stream(late_odd, ()).buffer(100)).unwrap();
            let mut reader = job.iter();
            for n in 20..40 {
                assert_eq!(reader.next().unwrap().unwrap().0, n);
            }
            let error = reader.next().unwrap().unwrap_err();
            assert!(error.to_string().contains("does not decode: seven"), "{error}");
        }
    });
}

#[task]
fn panicking_odd(out: Yield<Odd>) -> Result<(), StreamStopped> {
    for n in 20..40 {
        out.send(Odd(n))?;
        let send = std::panic::AssertUnwindSafe(|| out.send(Odd(14)));
        assert!(std::panic::catch_unwind(send).is_err());
    }
    Ok(())
}

#[test]
fn a_value_whose_serialize_panics_leaves_nothing_behind() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(panicking_odd, ()).buffer(100)).unwrap();
        let values: Vec<u8> = job.iter().map(|value| value.unwrap().0).collect();
        assert_eq!(values, Vec::from_iter(20..40));
        assert_eq!(job.status(), Status::Done);
    });
}

#[task]
fn refused_often(out: Yield<Odd>) -> Result<(), StreamStopped> {
    for n in 20..40 {
        assert!(out.send(Odd(13)).is_err());
        assert!(out.ask(Odd(13)).is_err());
        out.send(Odd(n))?;
    }
    Ok(())
}

#[test]
fn a_refused_value_takes_no_room() {
    within(|| {
        let engine = Engine::new().unwrap();
        for buffer in [0, 1, 16] {
            let job = ProcessJob::stream(refused_often, ()).buffer(buffer);
            let job = engine.submit(job).unwrap();
            let values: Vec<u8> = job.iter().map(|value| value.unwrap().0).collect();
            assert_eq!(values, Vec::from_iter(20..40));
        }
    });
}

#[task]
fn thousands(out: Yield<String>) -> Result<(), StreamStopped> {
    (0..100).try_for_each(|_| out.send("x".repeat(3000)))
}

#[test]
fn values_that_are_sent_together_may_be_larger_than_a_message() {
    within(|| {
        let engine = Engine::builder().max_message_bytes(10_000).build().unwrap();
        let job = engine.submit(ProcessJob::stream(thousands, ()).buffer(200)).unwrap();
        assert!(job.iter().all(|value| value.unwrap().len() == 3000));
        assert_eq!(job.status(), Status::Done);
    });
}

#[test]
fn a_stream_that_was_left_is_whole_again_when_it_is_rerun() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(count, (100,))).unwrap();
        assert_eq!(job.iter().count(), 100);
        job.rerun().unwrap();
        assert_eq!(job.iter().take(3).count(), 3);
        job.wait().unwrap();
        assert_eq!(job.status(), Status::Done);
        job.rerun().unwrap();
        assert_eq!(job.iter().collect::<Values<_>>().unwrap(), Vec::from_iter(0..100));
    });
}

#[test]
fn what_does_not_decode_fails_every_attempt_though_nobody_reads() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ProcessJob::stream(odd, (7,)).retries(1)).unwrap();
        job.wait().unwrap();
        assert_eq!((job.status(), job.attempt()), (Status::Failed, 2));
    });
}

#[test]
fn while_a_stream_waits_for_an_answer_other_jobs_run_in_its_stead() {
    within(|| {
        for engine in [
            Engine::builder().max_process_jobs(1).build().unwrap(),
            Engine::builder().max_process_jobs(1).max_jobs(1).build().unwrap(),
        ] {
            let job = engine.submit(ProcessJob::stream(total, ())).unwrap();
            let mut reader = job.iter();
            assert_eq!(reader.next().unwrap().unwrap(), 0);
            for (i, sum) in [(1_u64, Some(2)), (2, Some(6)), (3, None)] {
                let answer = engine.submit(ProcessJob::new(double, (i,))).unwrap();
                let answer = i64::try_from(answer.result().unwrap()).unwrap();
                assert_eq!(reader.send(answer).transpose().unwrap(), sum);
            }
            // Its permit is its own again, and only that.
            let jobs = engine.submit_all((0..10).map(|i| ProcessJob::new(double, (i,)))).unwrap();
            engine.wait().unwrap();
            assert!(jobs.iter().all(|job| job.status() == Status::Done));
        }
    });
}

/// One question of its first attempt is never answered there; its second asks two.
#[task]
fn asks_in_vain(out: Yield<i64, i64>, ctx: JobContext) -> Result<(), StreamStopped> {
    if ctx.attempt() == 1 {
        let other = out.clone();
        std::thread::spawn(move || other.ask(10));
        out.ask(11)?;
        std::process::abort();
    }
    let first = out.ask(20)?.unwrap_or(-1);
    let second = out.ask(first)?.unwrap_or(-1);
    out.send(second)
}

#[test]
fn what_is_answered_to_an_attempt_that_is_over_reaches_no_other() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ProcessJob::stream(asks_in_vain, (Context,)).retries(1);
        let job = engine.submit(job).unwrap();
        let [mut one, mut other] = [job.iter(), job.iter()];
        let values = [&mut one, &mut other].map(|reader| reader.next().unwrap().unwrap());
        let [mut reader, held] = match values {
            [11, 10] => [one, other],
            [10, 11] => [other, one],
            _ => panic!("{values:?}"),
        };
        assert_eq!(reader.send(0).unwrap().unwrap(), 20);
        // Says that no answer comes to the question of the first attempt.
        drop(held);
        assert_eq!(reader.send(5).unwrap().unwrap(), 5);
        assert_eq!(reader.send(6).unwrap().unwrap(), 6);
        assert!(reader.next().is_none());
        assert_eq!(job.status(), Status::Done);
    });
}

#[task]
fn asks_third(out: Yield<u64>) -> Result<(), StreamStopped> {
    out.send(1)?;
    out.send(2)?;
    out.ask(3)?;
    out.send(4)
}

/// The worker waits for an answer to what one reader has not passed on; another one waits for the
/// worker, until the first one leaves.
#[test]
fn a_reader_that_waits_hears_of_what_another_one_gives_back() {
    within(|| {
        for _ in 0..30 {
            let engine = Engine::builder().max_jobs(1).max_thread_jobs(2).build().unwrap();
            let job = engine.submit(ProcessJob::stream(asks_third, ())).unwrap();
            producer_waits(&engine);
            let mut first = job.iter();
            assert_eq!(first.next().unwrap().unwrap(), 1);
            let second = first.clone();
            let rest = ThreadJob::try_once(move || second.collect::<Values<_>>(), ());
            let rest = engine.submit(rest).unwrap();
            // Before this one runs, it sleeps.
            producer_waits(&engine);
            drop(first);
            assert_eq!(rest.take().unwrap(), [2, 3, 4]);
        }
    });
}

/// As above, where the others come when the first one waits already.
#[test]
fn a_reader_that_waits_hears_of_what_is_sent_after_others_have_come_and_gone() {
    within(|| {
        let engine = Engine::builder().max_jobs(1).max_thread_jobs(2).build().unwrap();
        for _ in 0..30 {
            let bell = Bell::new();
            let job = engine.submit(ProcessJob::stream(after_the_bell, (bell.path(),))).unwrap();
            let rung = bell.rung();
            let reader = job.iter();
            let all = ThreadJob::try_once(move || reader.collect::<Values<_>>(), ());
            let all = engine.submit(all).unwrap();
            let other = job.iter();
            drop(rung);
            let mut third = other.clone();
            drop(other);
            let mut values = Vec::from_iter(third.next().transpose().unwrap());
            drop(third);
            values.extend(all.take().unwrap());
            values.sort_unstable();
            assert_eq!(values, Vec::from_iter(0..40));
        }
    });
}

#[task]
fn after_the_bell(out: Yield<u64>, bell: PathBuf) -> Result<(), StreamStopped> {
    let _ = ring(&bell).read(&mut [0]);
    (0..40).try_for_each(|i| if i % 5 == 0 { out.ask(i).map(drop) } else { out.send(i) })
}
