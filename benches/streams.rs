//! Streams: what a value costs, beside a bare bounded channel and a bare socketpair.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use common::{Table, per_job, size};
use executor_engine::Stream;
use executor_engine::prelude::*;

#[task]
fn count(out: Yield<u64>, n: u64) -> Result<(), StreamStopped> {
    (0..n).try_for_each(|i| out.send(i))
}

/// Reads it all.
fn read(job: &JobHandle<Stream<u64>>, values: usize) -> f64 {
    per_job(values, || {
        let mut seen = 0;
        for (expected, value) in (0..).zip(job) {
            assert_eq!(value.expect("a value"), expected);
            seen += 1;
        }
        assert_eq!(seen, values);
    })
}

fn thread(engine: &Engine, buffer: usize, values: usize) -> f64 {
    let job = ThreadJob::stream(count, (values as u64,)).buffer(buffer);
    read(&engine.submit(job).expect("submitted"), values)
}

fn process(engine: &Engine, buffer: usize, values: usize) -> f64 {
    let job = ProcessJob::stream(count, (values as u64,)).buffer(buffer);
    read(&engine.submit(job).expect("submitted"), values)
}

/// A thread sends numbers by a bounded channel.
fn channel(buffer: usize, values: usize) -> f64 {
    let (send, receive) = crossbeam::channel::bounded(buffer);
    let thread = std::thread::spawn(move || {
        for i in 0..values as u64 {
            send.send(i).expect("somebody receives");
        }
    });
    let time = per_job(values, || {
        for expected in 0..values as u64 {
            assert_eq!(receive.recv().expect("somebody sends"), expected);
        }
    });
    thread.join().expect("it ends");
    time
}

/// A thread writes numbers into a socketpair, one call each.
fn socketpair(values: usize) -> f64 {
    let (mut write, mut read) = UnixStream::pair().expect("a socketpair");
    let thread = std::thread::spawn(move || {
        for i in 0..values as u64 {
            write.write_all(&i.to_le_bytes()).expect("somebody reads");
        }
    });
    let time = per_job(values, || {
        let mut number = [0; 8];
        for expected in 0..values as u64 {
            read.read_exact(&mut number).expect("somebody writes");
            assert_eq!(u64::from_le_bytes(number), expected);
        }
    });
    thread.join().expect("it ends");
    time
}

/// A number goes one way, a word that it is wanted the other.
fn socketpair_in_turn(values: usize) -> f64 {
    let (mut ours, mut theirs) = UnixStream::pair().expect("a socketpair");
    let thread = std::thread::spawn(move || {
        let mut word = [0; 1];
        for i in 0..values as u64 {
            theirs.write_all(&i.to_le_bytes()).expect("somebody reads");
            theirs.read_exact(&mut word).expect("somebody writes");
        }
    });
    let time = per_job(values, || {
        let mut number = [0; 8];
        for expected in 0..values as u64 {
            ours.read_exact(&mut number).expect("somebody writes");
            assert_eq!(u64::from_le_bytes(number), expected);
            ours.write_all(&[1]).expect("somebody reads");
        }
    });
    thread.join().expect("it ends");
    time
}

fn main() {
    let mut table = Table::default();
    let engine = Engine::builder().max_process_jobs(1).build().expect("an engine");
    process(&engine, 16, 10); // the worker starts

    let million = size(1_000_000);
    for buffer in [16, 1024] {
        table.pairs(
            "streams",
            &format!("value of a thread stream, buffer {buffer}"),
            &format!("crossbeam bounded({buffer})"),
            None,
            || thread(&engine, buffer, million),
            || channel(buffer, million),
        );
    }
    let few = size(100_000);
    table.pairs(
        "streams",
        "value of a thread stream, pulled",
        "crossbeam bounded(0)",
        None,
        || thread(&engine, 0, few),
        || channel(0, few),
    );
    for buffer in [16, 1024] {
        table.pairs(
            "streams",
            &format!("value of a process stream, buffer {buffer}"),
            "socketpair, a call each",
            None,
            || process(&engine, buffer, few),
            || socketpair(few),
        );
    }
    let turns = size(20_000);
    table.pairs(
        "streams",
        "value of a process stream, pulled",
        "socketpair, in turn",
        None,
        || process(&engine, 0, turns),
        || socketpair_in_turn(turns),
    );
    table.finish("streams");
}
