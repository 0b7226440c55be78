//! A stream yields many values while its job runs: in order, as far ahead as the buffer allows, to
//! whoever reads; its errors come behind its values; it ends with its readers; and reading never
//! deadlocks the engine.

mod common;
#[path = "common/role.rs"]
mod role;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use common::{Gate, peak_kib, within};
use executor_engine::condition::*;
use executor_engine::prelude::*;
use executor_engine::{Reader, Stream};

type Values<T> = Result<Vec<T>, JobError>;
type Sent = Result<(), StreamStopped>;

fn count(out: Yield<u64>, n: u64) -> Sent {
    (0..n).try_for_each(|i| out.send(i))
}

fn total(out: Yield<i64, i64>) -> Sent {
    let mut sum = 0;
    for _ in 0..3 {
        sum += out.ask(sum)?.unwrap_or(0);
    }
    Ok(())
}

/// The three of the original's `test_generator`.
#[test]
fn values_come_in_order_and_then_the_job_is_done() {
    within(|| {
        let engine = Engine::new().unwrap();
        let thread = engine.submit(ThreadJob::stream(count, (10,))).unwrap();
        assert_eq!(thread.iter().collect::<Values<_>>().unwrap(), Vec::from_iter(0..10));
        assert_eq!(thread.status(), Status::Done);
        let local = engine.submit(LocalJob::stream(count, (10,))).unwrap();
        assert_eq!(local.iter().collect::<Values<_>>().unwrap(), Vec::from_iter(0..10));
        assert_eq!(local.status(), Status::Done);
        let none = engine.submit(ThreadJob::stream(count, (0,))).unwrap();
        assert!(none.iter().next().is_none());
        assert_eq!(none.status(), Status::Done);
    });
}

/// The original's `test_generator_async`: while there are values to come, the job runs.
#[test]
fn a_pulled_stream_runs_until_its_last_value_was_taken() {
    fn check<K>(engine: &Engine, job: executor_engine::Job<K, Stream<u64>>) {
        let job = engine.submit(job.buffer(0)).unwrap();
        let mut seen = 0;
        for value in &job {
            assert_eq!(value.unwrap(), seen);
            assert_eq!(job.status(), Status::Running);
            seen += 1;
        }
        assert_eq!((seen, job.status()), (10, Status::Done));
    }
    within(|| {
        let engine = Engine::new().unwrap();
        check(&engine, ThreadJob::stream(count, (10,)));
        check(&engine, LocalJob::stream(count, (10,)));
    });
}

#[test]
fn a_pulled_producer_goes_on_only_when_it_is_asked() {
    within(|| {
        let engine = Engine::new().unwrap();
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let job = ThreadJob::stream(
            move |out: Yield<usize>| -> Sent {
                loop {
                    out.send(counted.fetch_add(1, Ordering::SeqCst))?;
                }
            },
            (),
        );
        let job: JobHandle<Stream<usize>> = engine.submit(job.buffer(0)).unwrap();
        let mut reader = job.iter();
        for i in 0..100 {
            assert_eq!(reader.next().unwrap().unwrap(), i);
            assert_eq!(made.load(Ordering::SeqCst), i + 1, "it ran ahead");
        }
    });
}

/// The original's `test_generator_error`.
#[test]
fn errors_come_behind_the_values_before_them() {
    within(|| {
        let engine = Engine::new().unwrap();
        let fails = |out: Yield<u64>| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            out.send(0)?;
            out.send(1)?;
            Err("error".into())
        };
        let panics = |out: Yield<u64>| -> Sent {
            out.send(0)?;
            out.send(1)?;
            panic!("error")
        };
        for job in [
            engine.submit(ThreadJob::try_stream(fails, ())).unwrap(),
            engine.submit(ThreadJob::stream(panics, ())).unwrap(),
            engine.submit(LocalJob::try_stream(fails, ())).unwrap(),
        ] {
            let mut reader = job.iter();
            assert_eq!(reader.next().unwrap().unwrap(), 0);
            assert_eq!(reader.next().unwrap().unwrap(), 1);
            assert_eq!(reader.next().unwrap().unwrap_err().message(), "error");
            assert!(reader.next().is_none());
            assert_eq!(job.status(), Status::Failed);
        }
    });
}

/// The original's `test_generator_send` and `test_generator_send_localjob`.
#[test]
fn readers_answer() {
    within(|| {
        let engine = Engine::new().unwrap();
        let thread = engine.submit(ThreadJob::stream(total, ())).unwrap();
        let local = engine.submit(LocalJob::stream(total, ())).unwrap();
        for job in [thread, local] {
            let mut reader = job.iter();
            assert_eq!(reader.next().unwrap().unwrap(), 0);
            assert_eq!(reader.send(1).unwrap().unwrap(), 1);
            assert_eq!(reader.send(2).unwrap().unwrap(), 3);
            assert!(reader.send(3).is_none());
            assert_eq!(job.status(), Status::Done);
        }
    });
}

#[test]
fn dropping_the_last_reader_ends_the_producer_and_is_no_failure() {
    within(|| {
        let engine = Engine::new().unwrap();
        for buffer in [0, 1, 16] {
            let (send, stopped) = mpsc::channel();
            let endless = move |out: Yield<u64>| -> Sent {
                let end = (0..).try_for_each(|i| out.send(i));
                send.send(end.clone().unwrap_err()).unwrap();
                end
            };
            let job = engine.submit(ThreadJob::stream(endless, ()).buffer(buffer)).unwrap();
            let first = job.iter();
            let mut second = first.clone();
            drop(first);
            assert!(second.next().is_some(), "one is left");
            drop(second);
            assert!(stopped.recv().unwrap().is_unread());
            job.wait().unwrap();
            assert_eq!(job.status(), Status::Done);
        }
    });
}

#[test]
fn a_stream_that_nobody_can_read_ends() {
    within(|| {
        let engine = Engine::new().unwrap();
        let endless = |out: Yield<u64>| -> Sent { (0..).try_for_each(|i| out.send(i)) };
        drop(engine.submit(ThreadJob::stream(endless, ())).unwrap());
        engine.wait().unwrap();
        assert_eq!(engine.stats().done, 1);
    });
}

#[test]
fn cancelling_ends_the_iteration_with_that_error() {
    within(|| {
        let engine = Engine::new().unwrap();
        let endless = |out: Yield<u64>| -> Sent { (0..).try_for_each(|i| out.send(i)) };
        for buffer in [0, 4] {
            let job = engine.submit(ThreadJob::stream(endless, ()).buffer(buffer)).unwrap();
            let mut reader = job.iter();
            assert_eq!(reader.next().unwrap().unwrap(), 0);
            job.cancel();
            let error = reader.find_map(Result::err).unwrap();
            assert!(error.is_cancelled(), "{error}");
            assert!(reader.next().is_none());
            assert_eq!(job.status(), Status::Cancelled);
        }
    });
}

#[test]
fn a_stream_that_takes_too_long_is_told_to_stop() {
    within(|| {
        let engine = Engine::new().unwrap();
        let endless = |out: Yield<u64>| -> Sent { (0..).try_for_each(|i| out.send(i)) };
        let job = ThreadJob::stream(endless, ()).timeout(Duration::from_millis(20));
        let job = engine.submit(job).unwrap();
        let _reader = job.iter();
        job.wait().unwrap();
        assert!(job.exception().unwrap().is_timed_out());
    });
}

/// An engine in which no other job runs before the producer of a stream waits for its reader.
fn one_permit() -> Engine {
    Engine::builder().max_jobs(1).max_thread_jobs(1).build().unwrap()
}

fn producer_waits(engine: &Engine) {
    assert_eq!(engine.submit(ThreadJob::new(|| 1, ())).unwrap().result().unwrap(), 1);
}

#[test]
fn a_slow_reader_holds_the_producer_up() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    within(|| {
        let engine = one_permit();
        let alive = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (inside, peak) = (Arc::clone(&alive), Arc::clone(&most));
        let job = ThreadJob::stream(
            move |out: Yield<Counted>| {
                for _ in 0..20_000 {
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    peak.fetch_max(now, Ordering::SeqCst);
                    out.send(Counted(Arc::clone(&inside)))?;
                }
                Ok(())
            },
            (),
        );
        let job = engine.submit(job.buffer(8)).unwrap();
        let reader = job.iter();
        producer_waits(&engine);
        // Eight wait, one is in hand.
        assert_eq!(alive.load(Ordering::SeqCst), 9);
        let mut read = 0;
        for value in reader {
            drop(value.unwrap());
            read += 1;
            if read % 1000 == 1 {
                producer_waits(&engine);
                // The reader has up to seven more of those that it took together.
                let alive = alive.load(Ordering::SeqCst);
                assert!(alive <= 9 + 7, "{alive}");
            }
        }
        assert_eq!(read, 20_000);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        // Eight wait, eight are with the reader, one each is in hand.
        assert!(most.load(Ordering::SeqCst) <= 18, "{most:?} were alive at once");
    });
}

/// Each reader takes what waits, passes one value on, and gives the others back.
#[test]
fn what_readers_give_back_is_no_reason_to_send_more() {
    within(|| {
        let engine = one_permit();
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let endless = move |out: Yield<usize>| -> Sent {
            (0..).try_for_each(|_| out.send(counted.fetch_add(1, Ordering::SeqCst)))
        };
        let job = engine.submit(ThreadJob::stream(endless, ()).buffer(8)).unwrap();
        producer_waits(&engine);
        let mut reader = job.iter();
        for i in 0..40 {
            assert_eq!(reader.next().unwrap().unwrap(), i);
            producer_waits(&engine);
            let next = reader.clone();
            reader = next;
            let made = made.load(Ordering::SeqCst);
            // One is in hand, eight wait, eight are with the reader.
            assert!(made <= i + 1 + 17, "{made} values when {} are read", i + 1);
        }
    });
}

#[test]
fn a_million_values_take_no_memory() {
    fn read(engine: &Engine, n: u64) {
        let job = engine.submit(ThreadJob::stream(count, (n,)).buffer(256)).unwrap();
        let mut expected = 0;
        for value in &job {
            assert_eq!(value.unwrap(), expected);
            if expected % 50_000 == 0 {
                producer_waits(engine);
            }
            expected += 1;
        }
        assert_eq!(expected, n);
    }
    role::apart("a_million_values_take_no_memory", || {
        let engine = one_permit();
        read(&engine, 10_000);
        let warm = peak_kib();
        read(&engine, 1_000_000);
        // Were they kept, it would grow by 15 MiB.
        let grown = peak_kib().saturating_sub(warm);
        assert!(grown < 4 * 1024, "the process grew by {grown} KiB");
    });
}

#[test]
fn readers_share_a_stream() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ThreadJob::stream(count, (10_000,))).unwrap();
        let reader = job.iter();
        let sum = |reader: Reader<u64>| reader.sum::<Result<u64, JobError>>().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let reader = reader.clone();
                std::thread::spawn(move || sum(reader))
            })
            .collect();
        drop(reader);
        let all: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(all, 10_000 * 9_999 / 2);
    });
}

/// All sleep, and are woken by one value; those that come too late for it are woken by the next.
#[test]
fn each_of_many_readers_that_wait_hears_of_a_value() {
    const READERS: u64 = 12;
    within(|| {
        let engine = Engine::new().unwrap();
        for _ in 0..10 {
            let (tell, told) = mpsc::channel::<()>();
            let told = Mutex::new(told);
            let one_by_one = move |out: Yield<u64>| {
                let wait = || told.lock().unwrap().recv().unwrap();
                // All are about to read.
                (0..READERS).for_each(|_| wait());
                (0..READERS).try_for_each(|i| {
                    // Time to fall asleep: were it too short, the test could only pass for nothing.
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(2) {
                        std::thread::yield_now();
                    }
                    out.send(i)?;
                    // Somebody has it.
                    wait();
                    Ok(())
                })
            };
            let job = engine.submit(ThreadJob::stream(one_by_one, ())).unwrap();
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let (mut reader, tell) = (job.iter(), tell.clone());
                    std::thread::spawn(move || {
                        tell.send(()).unwrap();
                        let value = reader.next().unwrap().unwrap();
                        let _ = tell.send(());
                        value
                    })
                })
                .collect();
            let values = readers.into_iter().map(|reader| reader.join().unwrap());
            let mut values = Vec::from_iter(values);
            values.sort_unstable();
            assert_eq!(values, Vec::from_iter(0..READERS));
        }
    });
}

#[test]
fn a_reader_that_leaves_gives_back_what_it_has_not_passed_on() {
    within(|| {
        let engine = Engine::new().unwrap();
        let full = Gate::new();
        let open = full.clone();
        let job = ThreadJob::stream(
            move |out: Yield<u64>| {
                (0..10).try_for_each(|i| out.send(i))?;
                open.open();
                Ok(())
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        let mut first = job.iter();
        full.pass();
        assert_eq!(first.next().unwrap().unwrap(), 0); // takes all that are there
        let second = first.clone();
        drop(first);
        assert_eq!(second.collect::<Values<_>>().unwrap(), Vec::from_iter(1..10));
    });
}

#[test]
fn several_threads_of_a_producer_send() {
    within(|| {
        let engine = Engine::new().unwrap();
        for buffer in [0, 3] {
            let job = ThreadJob::stream(
                |out: Yield<u64>| {
                    std::thread::scope(|scope| {
                        for part in 0..4 {
                            let out = out.clone();
                            scope.spawn(move || {
                                (0..250).try_for_each(|i| out.send(part * 250 + i)).unwrap();
                            });
                        }
                    });
                    Ok(())
                },
                (),
            );
            let job = engine.submit(job.buffer(buffer)).unwrap();
            let mut values = job.iter().collect::<Values<_>>().unwrap();
            values.sort_unstable();
            assert_eq!(values, Vec::from_iter(0..1000));
        }
    });
}

#[test]
fn what_outlives_its_job_sends_nothing() {
    within(|| {
        let engine = Engine::new().unwrap();
        let (send, receive) = mpsc::channel();
        let job = ThreadJob::stream(
            move |out: Yield<u64>| {
                out.send(1)?;
                send.send(out).unwrap();
                Ok(())
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        let late = receive.recv().unwrap();
        assert_eq!(job.iter().collect::<Values<_>>().unwrap(), [1]);
        let stopped = late.send(2).unwrap_err();
        assert!(!stopped.is_unread() && !stopped.is_cancelled());
        assert_eq!(stopped.to_string(), "the stream's job has ended");
    });
}

/// Engines in which every kind has room for one job.
fn narrow() -> [Engine; 2] {
    let builder = || Engine::builder().max_thread_jobs(1).max_blocking_jobs(1).max_process_jobs(1);
    [builder().max_jobs(1).build().unwrap(), builder().build().unwrap()]
}

#[test]
fn streams_are_read_in_turn_on_a_full_engine() {
    within(|| {
        for engine in narrow() {
            let streams: Vec<_> = (0..5)
                .map(|_| engine.submit(ThreadJob::stream(count, (500,)).buffer(2)).unwrap())
                .collect();
            let mut readers: Vec<_> = streams.iter().map(JobHandle::iter).collect();
            for i in 0..500 {
                for reader in &mut readers {
                    assert_eq!(reader.next().unwrap().unwrap(), i);
                }
            }
        }
    });
}

#[test]
fn a_job_reads_a_stream_on_a_full_engine() {
    within(|| {
        for engine in narrow() {
            for buffer in [0, 3] {
                let read = move |ctx: JobContext| -> executor_engine::Result<u64> {
                    let engine = ctx.engine()?;
                    let job = engine.submit(ThreadJob::stream(count, (300,)).buffer(buffer))?;
                    Ok(job.iter().map(|value| value.unwrap()).sum())
                };
                let pool = engine.submit(ThreadJob::try_new(read, (Context,))).unwrap();
                let apart = engine.submit(ThreadJob::try_new(read, (Context,)).blocking()).unwrap();
                let lane = engine.submit(LocalJob::try_new(read, (Context,))).unwrap();
                for job in [pool, apart, lane] {
                    assert_eq!(job.result().unwrap(), 300 * 299 / 2);
                }
            }
        }
    });
}

#[test]
fn while_a_stream_waits_for_its_reader_other_jobs_run_in_its_stead() {
    within(|| {
        for engine in narrow() {
            let job = engine.submit(ThreadJob::stream(count, (100,)).buffer(1)).unwrap();
            for value in &job {
                let value = value.unwrap();
                let more = engine.submit(ThreadJob::new(move || value * 2, ())).unwrap();
                let other = engine.submit(ThreadJob::new(move || value, ()).blocking()).unwrap();
                assert_eq!(more.result().unwrap(), 2 * value);
                assert_eq!(other.result().unwrap(), value);
            }
        }
    });
}

/// A stream whose function reads a stream, and so on.
#[test]
fn streams_of_streams_on_a_full_engine() {
    fn deep(out: Yield<u64>, ctx: JobContext, depth: u64) -> Result<(), JobError> {
        if depth == 0 {
            for i in 0..20 {
                out.send(i).unwrap();
            }
            return Ok(());
        }
        let engine = ctx.engine().unwrap();
        let below = ThreadJob::try_stream(deep, (Context, depth - 1)).buffer(0);
        for value in &engine.submit(below).unwrap() {
            out.send(value? + 1).unwrap();
        }
        Ok(())
    }
    within(|| {
        for engine in narrow() {
            let job = engine.submit(ThreadJob::try_stream(deep, (Context, 20))).unwrap();
            assert_eq!(job.iter().collect::<Values<_>>().unwrap(), Vec::from_iter(20..40));
        }
    });
}

#[test]
fn a_local_job_that_reads_a_local_stream_is_told() {
    within(|| {
        let engine = Engine::new().unwrap();
        let read = |ctx: JobContext| -> Result<u64, JobError> {
            let engine = ctx.engine().unwrap();
            engine.submit(LocalJob::stream(count, (3,))).unwrap().iter().sum()
        };
        let job = engine.submit(LocalJob::try_new(read, (Context,))).unwrap();
        let error = job.result().unwrap_err();
        assert!(error.message().contains("waits for"), "{error}");
        engine.wait().unwrap();
    });
}

/// The lane sleeps in a job that waits for a stream, which reads a stream of the lane.
#[test]
fn a_local_job_that_reads_a_local_stream_by_way_of_others_is_told() {
    type Boxed = Box<dyn std::error::Error + Send + Sync>;
    fn around(out: Yield<u64>, ctx: JobContext) -> Result<(), Boxed> {
        for value in &ctx.engine()?.submit(LocalJob::stream(count, (50,)))? {
            out.send(value? + 1)?;
        }
        Ok(())
    }
    within(|| {
        let engine = Engine::new().unwrap();
        let read = |ctx: JobContext| -> Result<u64, JobError> {
            let engine = ctx.engine().unwrap();
            engine.submit(ThreadJob::try_stream(around, (Context,))).unwrap().iter().sum()
        };
        let job = engine.submit(LocalJob::try_new(read, (Context,))).unwrap();
        assert!(job.result().unwrap_err().message().contains("waits for"));
        engine.wait().unwrap();
        let wait = |ctx: JobContext| -> executor_engine::Result<()> {
            let job = ctx.engine()?.submit(LocalJob::stream(count, (1,)))?;
            let told = job.wait().unwrap_err();
            assert!(told.is_stalled());
            Ok(())
        };
        engine.submit(LocalJob::try_new(wait, (Context,))).unwrap().result().unwrap();
    });
}

#[test]
fn a_stream_waits_for_its_arguments_and_its_reader_is_told_of_a_stall() {
    within(|| {
        let engine = Engine::new().unwrap();
        let size = ThreadJob::new(|| 5, ());
        let job = engine.submit(ThreadJob::stream(count, (size.output(),))).unwrap();
        let mut reader = job.iter();
        assert!(reader.next().unwrap().unwrap_err().is_stalled());
        assert!(reader.next().is_none());
        assert!(reader.next().unwrap().unwrap_err().is_stalled());
        assert!(reader.next().is_none());
        engine.submit(size).unwrap();
        assert_eq!(reader.collect::<Values<_>>().unwrap(), Vec::from_iter(0..5));
        let bad = engine.submit(ThreadJob::try_new(|| Err::<u64, _>("no"), ())).unwrap();
        let job = engine.submit(ThreadJob::stream(count, (&bad,))).unwrap();
        assert!(job.iter().next().unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_stream_that_waits_for_its_reader_is_no_stall() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = engine.submit(ThreadJob::stream(count, (3,)).buffer(0)).unwrap();
        let mut reader = job.iter();
        reader.next().unwrap().unwrap();
        assert!(!engine.wait_timeout(Duration::from_millis(20)).unwrap());
        assert_eq!(reader.count(), 2);
        engine.wait().unwrap();
    });
}

#[test]
fn other_jobs_follow_a_stream() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ThreadJob::stream(count, (100,));
        let after = ThreadJob::new(|| "after", ()).condition(after_another(&job).done());
        let after = engine.submit(after).unwrap();
        let job = engine.submit(job).unwrap();
        assert_eq!(job.iter().count(), 100);
        assert_eq!(after.result().unwrap(), "after");
    });
}

#[test]
fn a_retried_stream_goes_on_with_the_values_of_the_next_attempt() {
    within(|| {
        let engine = Engine::new().unwrap();
        let job = ThreadJob::try_stream(
            |out: Yield<u32>, ctx: JobContext| {
                out.send(10 * ctx.attempt()).unwrap();
                out.send(10 * ctx.attempt() + 1).unwrap();
                if ctx.attempt() < 3 { Err("again") } else { Ok(()) }
            },
            (Context,),
        );
        let job = engine.submit(job.retries(2)).unwrap();
        assert_eq!(job.iter().collect::<Values<_>>().unwrap(), [10, 11, 20, 21, 30, 31]);
        let reader = job.iter();
        job.rerun().unwrap();
        assert_eq!(reader.collect::<Values<_>>().unwrap(), [10, 11, 20, 21, 30, 31]);
    });
}

/// A reader looks on and on while the job is run again.
#[test]
fn the_error_of_each_run_is_given_once() {
    const RUNS: u32 = 300;
    within(|| {
        let engine = Engine::new().unwrap();
        let runs = AtomicUsize::new(0);
        let fails = move |_: Yield<u64>| {
            Err::<(), _>(format!("run {}", runs.fetch_add(1, Ordering::SeqCst)))
        };
        let job = engine.submit(ThreadJob::try_stream(fails, ())).unwrap();
        let mut reader = job.iter();
        let (tell, told) = mpsc::channel();
        let reading = std::thread::spawn(move || {
            let mut errors = 0;
            while errors < RUNS {
                if let Some(value) = reader.next() {
                    errors += 1;
                    tell.send(value.unwrap_err().message().to_owned()).unwrap();
                }
            }
            assert!(reader.next().is_none());
        });
        for run in 0..RUNS {
            assert_eq!(told.recv().unwrap(), format!("run {run}"));
            if run + 1 < RUNS {
                job.rerun().unwrap();
            }
        }
        reading.join().unwrap();
    });
}

#[test]
fn readers_that_have_gone_are_no_reason_to_try_again() {
    within(|| {
        let engine = Engine::new().unwrap();
        let endless = |out: Yield<u64>| -> Sent { (0..).try_for_each(|i| out.send(i)) };
        let job = engine.submit(ThreadJob::stream(endless, ()).retries(5)).unwrap();
        assert!(job.iter().next().is_some());
        job.wait().unwrap();
        assert_eq!((job.status(), job.attempt()), (Status::Done, 1));
    });
}

#[test]
fn an_engine_that_goes_ends_its_streams() {
    within(|| {
        let engine = Engine::new().unwrap();
        let endless = |out: Yield<u64>| -> Sent { (0..).try_for_each(|i| out.send(i)) };
        let job = engine.submit(ThreadJob::stream(endless, ())).unwrap();
        let mut reader = job.iter();
        assert!(reader.next().unwrap().is_ok());
        drop(engine);
        let error = reader.find_map(Result::err).unwrap();
        assert!(error.is_cancelled(), "{error}");
        assert!(reader.next().is_none());
    });
}

#[test]
fn a_value_that_panics_in_its_drop_hurts_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a bomb");
            }
        }
    }
    within(|| {
        let engine = Engine::new().unwrap();
        let full = Gate::new();
        let open = full.clone();
        let job = ThreadJob::stream(
            move |out: Yield<Bomb>| {
                out.send(Bomb)?;
                open.open();
                Ok(())
            },
            (),
        );
        let job = engine.submit(job).unwrap();
        full.pass();
        drop(job.iter());
        engine.wait().unwrap();
        assert_eq!(job.status(), Status::Done);
    });
}

#[test]
fn a_stream_that_was_left_is_whole_again_when_it_is_rerun() {
    within(|| {
        let engine = Engine::new().unwrap();
        let jobs = [
            engine.submit(ThreadJob::stream(count, (100,))).unwrap(),
            engine.submit(LocalJob::stream(count, (100,)).buffer(0)).unwrap(),
        ];
        for job in jobs {
            // Read to its end; left in the middle; not read at all.
            assert_eq!(job.iter().count(), 100);
            job.rerun().unwrap();
            assert_eq!(job.iter().take(3).count(), 3);
            job.wait().unwrap();
            assert_eq!(job.status(), Status::Done);
            job.rerun().unwrap();
            assert_eq!(job.iter().collect::<Values<_>>().unwrap(), Vec::from_iter(0..100));
        }
    });
}

/// What a reader answers to a question that nobody waits with any more is dropped at once, where its
/// drop code may do what it likes, and is no answer to a later question.
#[test]
fn an_answer_that_comes_too_late_is_dropped() {
    struct Answer(JobHandle<Stream<u32, Answer>>, mpsc::Sender<()>);
    impl Drop for Answer {
        fn drop(&mut self) {
            // It can come to the stream.
            drop(self.0.iter());
            let _ = self.1.send(());
        }
    }
    within(|| {
        let engine = Engine::new().unwrap();
        let [asked, read, answered] = [Gate::new(), Gate::new(), Gate::new()];
        let gates = (asked.clone(), read.clone(), answered.clone());
        let asking = OnceLock::new();
        let producer = move |out: Yield<u32, Answer>, ctx: JobContext| {
            if ctx.attempt() == 1 {
                let asks = std::thread::spawn(move || assert!(out.ask(1).is_err()));
                let _ = asking.set(Mutex::new(Some(asks)));
                gates.1.pass();
                return Err("the first attempt fails while a question is open");
            }
            let asks = asking.get().and_then(|asks| asks.lock().unwrap().take());
            asks.unwrap().join().unwrap();
            gates.0.open();
            gates.2.pass();
            assert!(out.ask(2).unwrap().is_none(), "an answer to another question");
            Ok(())
        };
        let job = ThreadJob::try_stream(producer, (Context,)).retries(1);
        let job = engine.submit(job).unwrap();
        let mut reader = job.iter();
        assert_eq!(reader.next().unwrap().unwrap(), 1);
        read.open();
        asked.pass();
        let (dropped, drops) = mpsc::channel();
        let answer = Answer(job.clone(), dropped);
        let reading = std::thread::spawn(move || {
            assert_eq!(reader.send(answer).unwrap().unwrap(), 2);
            assert!(reader.next().is_none());
        });
        drops.recv().unwrap();
        answered.open();
        reading.join().unwrap();
        assert_eq!(job.status(), Status::Done);
        assert!(drops.recv().is_err(), "dropped twice");
    });
}

#[test]
fn a_stream_is_awaited_and_is_an_argument_as_any_job() {
    within(|| {
        let engine = Engine::new().unwrap();
        // It cannot end unread.
        let job = engine.submit(ThreadJob::stream(count, (3,)).buffer(0)).unwrap();
        let after = |_: Stream<u64>, x: u32| x + 1;
        let after = engine.submit(ThreadJob::new(after, (&job, 1))).unwrap();
        let reader = job.iter();
        assert_eq!(after.status(), Status::Pending);
        assert_eq!(reader.count(), 3);
        executor_engine::block_on(job).unwrap();
        assert_eq!(executor_engine::block_on(after).unwrap(), 2);
        let fails = |_: Yield<u64>| Err::<(), _>("no");
        let job = engine.submit(ThreadJob::try_stream(fails, ())).unwrap();
        assert_eq!(executor_engine::block_on(job).unwrap_err().message(), "no");
    });
}
