//! Bars 10 and 11: what jobs cost that wait, and how late time wakes them.
//!
//! Memory is read from the process, so each such figure comes from a process of its own, in which
//! nothing was before: this program, run by itself with arguments (see [`hold`]).

mod common;

use std::hint::black_box;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use common::{Table, median, per_job, size, smoke};
use executor_engine::condition::{after_another, after_clock, after_delay};
use executor_engine::prelude::*;

/// Longer than the bench takes.
const FAR: Duration = Duration::from_secs(100 * 3600);

/// The first argument of the processes that [`hold`] runs in.
const HOLD: &str = "hold-pending-jobs";

/// What jobs wait for.
#[derive(Clone, Copy)]
enum Waits {
    Another,
    Delay,
    Clock,
}

impl Waits {
    const ALL: [Self; 3] = [Self::Another, Self::Delay, Self::Clock];

    fn name(self) -> &'static str {
        match self {
            Self::Another => "after_another",
            Self::Delay => "after_delay",
            Self::Clock => "after_clock",
        }
    }

    fn named(name: &str) -> Self {
        *Self::ALL.iter().find(|waits| waits.name() == name).expect("one of the names")
    }
}

/// An engine, and a job on a thread of its own that does not end while the bench has the sender:
/// which goes first, for the engine's end waits for the job's.
struct Busy {
    _end: Sender<()>,
    never: JobHandle<()>,
    engine: Engine,
}

fn busy() -> Busy {
    let engine = Engine::builder().max_thread_jobs(2).build().expect("an engine");
    // The pool starts with the first job.
    engine.submit(ThreadJob::new(|| (), ())).and_then(|job| job.wait()).expect("a first job");
    let (end, ended) = channel::<()>();
    let (begin, begun) = channel();
    let wait = move || {
        let _ = begin.send(());
        let _ = ended.recv();
    };
    let never = engine.submit(ThreadJob::new(wait, ()).blocking()).expect("submitted");
    begun.recv().expect("it begins");
    Busy { _end: end, never, engine }
}

/// Submits jobs that do not become ready while the bench runs, and keeps their handles.
fn submit_pending(busy: &Busy, waits: Waits, handles: &mut Vec<JobHandle<()>>, count: usize) {
    let zone = morning();
    for i in 0..count {
        let condition = match waits {
            Waits::Another => after_another(&busy.never),
            Waits::Delay => after_delay(FAR + Duration::from_millis(i as u64)),
            Waits::Clock => after_clock("23:59:59").zone(zone),
        };
        let job = ThreadJob::new(|| (), ()).condition(condition);
        handles.push(busy.engine.submit(job).expect("submitted"));
    }
}

/// A zone in which it is not afternoon, so that a time in the evening is far.
fn morning() -> &'static str {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    // That zone is twelve hours ahead.
    if now.as_secs() / 3600 % 24 < 12 { "UTC" } else { "Etc/GMT-12" }
}

/// What was seen of pending jobs.
#[derive(Clone, Copy)]
struct Held {
    bytes_per_job: f64,
    submit_seconds_per_job: f64,
    switches: f64,
}

/// Submits pending jobs in a process of its own, which then idles for so long.
fn hold(waits: Waits, count: usize, idle: Duration) -> Held {
    let output = Command::new(std::env::current_exe().expect("it is known"))
        .args([HOLD, waits.name(), &count.to_string(), &idle.as_millis().to_string()])
        .output()
        .expect("this program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("numbers");
    let numbers: Vec<f64> =
        text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [bytes_per_job, submit_seconds_per_job, switches] = numbers[..] else {
        panic!("three numbers are expected, not {text}");
    };
    Held { bytes_per_job, submit_seconds_per_job, switches }
}

/// The other side of [`hold`].
fn hold_here(mut arguments: impl Iterator<Item = String>) {
    let mut next = || arguments.next().expect("an argument");
    let waits = Waits::named(&next());
    let count: usize = next().parse().expect("how many");
    let idle = Duration::from_millis(next().parse().expect("how long"));

    let busy = busy();
    let mut handles = Vec::with_capacity(count);
    let before = resident_bytes();
    let seconds = per_job(count, || submit_pending(&busy, waits, &mut handles, count));
    let bytes = (resident_bytes() - before) / count as f64;
    let switches = if idle.is_zero() { 0 } else { switches_while_idle(idle) };
    assert!(handles.iter().all(|job| job.status() == Status::Pending));
    println!("{bytes} {seconds} {switches}");
    // Letting go of the jobs is not measured.
    std::process::exit(0);
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("in pages");
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    pages * page.ok().flatten().expect("pages have a size") as f64
}

/// Context switches of all threads of this process in that time, but for the one by which this
/// thread goes to sleep.
fn switches_while_idle(idle: Duration) -> u64 {
    // What was begun by the submissions comes to its end.
    std::thread::sleep(Duration::from_secs(1));
    let own = nix::unistd::gettid().to_string();
    let others: Vec<String> = std::fs::read_dir("/proc/self/task")
        .expect("Linux tells")
        .map(|task| task.expect("a thread").file_name().into_string().expect("a number"))
        .filter(|thread| *thread != own)
        .collect();
    let of_others = || others.iter().map(|thread| switches(thread)).sum::<u64>();
    // This thread comes last before the sleep and first after it: it may be interrupted at any
    // other time.
    let before = of_others();
    let own_before = switches(&own);
    std::thread::sleep(idle);
    let own_after = switches(&own);
    let after = of_others();
    (after - before) + (own_after - own_before).saturating_sub(1)
}

/// Context switches of a thread so far, voluntary and not.
fn switches(thread: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status"))
        .expect("the thread is there");
    let counts = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
    counts.map(|(_, count)| count.trim().parse::<u64>().expect("a number")).sum()
}

/// No-op thread jobs, submitted, and each waited for: not the engine, which has others.
fn unrelated(engine: &Engine, count: usize) -> f64 {
    let mut handles = Vec::with_capacity(count);
    per_job(count, || {
        for i in 0..count {
            handles.push(engine.submit(ThreadJob::new(move || i, ())).expect("submitted"));
        }
        let sum: usize = handles.iter().map(|handle| handle.result().expect("done")).sum();
        black_box(sum);
    })
}

/// Deadlines that come one by one: how long after the start.
fn deadlines() -> Vec<Duration> {
    let count = if smoke() { 20 } else { 500 };
    // Not in step with any tick of the system.
    let apart = |i: u64| Duration::from_micros(20_000 + 2_000 * i + i * 7919 % 1000);
    (0..count).map(apart).collect()
}

fn percentile(mut late: Vec<Duration>, percent: usize) -> f64 {
    late.sort_unstable();
    late[(late.len() * percent / 100).min(late.len() - 1)].as_secs_f64()
}

/// How late jobs begin, as a percentile. The deadline is counted from before the submission.
fn lateness(engine: &Engine, percent: usize) -> f64 {
    let deadlines = deadlines();
    let jobs: Vec<_> = deadlines
        .iter()
        .map(|&delay| {
            let job = ThreadJob::new(Instant::now, ()).condition(after_delay(delay));
            let submitted = Instant::now();
            (submitted + delay, engine.submit(job).expect("submitted"))
        })
        .collect();
    // A thread that waits for a job may run it itself; and this is about those that nobody is
    // awake for.
    std::thread::sleep(*deadlines.last().expect("some") + Duration::from_millis(20));
    let late = |(deadline, job): (Instant, JobHandle<Instant>)| {
        job.result().expect("done").saturating_duration_since(deadline)
    };
    percentile(jobs.into_iter().map(late).collect(), percent)
}

/// How late a thread wakes that waits for nothing but the time, as a percentile.
fn bare_lateness(percent: usize) -> f64 {
    let thread = std::thread::spawn(move || {
        let (lock, signal) = (Mutex::new(()), Condvar::new());
        let start = Instant::now();
        let wait = |delay| {
            let deadline = start + delay;
            let mut guard = lock.lock().expect("nobody panics");
            loop {
                let now = Instant::now();
                if now >= deadline {
                    return now - deadline;
                }
                guard = signal.wait_timeout(guard, deadline - now).expect("nobody panics").0;
            }
        };
        percentile(deadlines().into_iter().map(wait).collect(), percent)
    });
    thread.join().expect("it does not panic")
}

fn pending(table: &mut Table) {
    let count = size(1_000_000);
    let runs = if smoke() { 1 } else { 3 };
    let idle = Duration::from_secs(if smoke() { 1 } else { 10 });
    for waits in Waits::ALL {
        let name = waits.name();
        let held: Vec<Held> = (0..runs).map(|_| hold(waits, count, idle)).collect();
        let bytes = held.iter().map(|held| held.bytes_per_job).collect();
        let target = matches!(waits, Waits::Another).then_some(256.0);
        table.figure("10", &format!("{name}: memory of each of {count}"), "B", bytes, target);
        let switches = held.iter().map(|held| held.switches).collect();
        let what = format!("{name}: context switches in {} s", idle.as_secs());
        table.figure("10", &what, "", switches, Some(0.0));
    }
    for waits in Waits::ALL {
        pending_growth(table, waits, count);
    }
}

fn pending_growth(table: &mut Table, waits: Waits, count: usize) {
    let name = waits.name();
    let runs = if smoke() { 1 } else { 3 };
    // A smoke run does without the large ones.
    let sizes = if smoke() { vec![count / 10] } else { vec![count / 10, count * 10] };
    for other in sizes {
        let (mut ours, mut base) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            ours.push(hold(waits, other, Duration::ZERO));
            base.push(hold(waits, count, Duration::ZERO));
        }
        let bytes = ours.iter().map(|held| held.bytes_per_job).collect();
        let larger = other > count;
        let target = (larger && matches!(waits, Waits::Another)).then_some(256.0);
        let what = format!("growth: {name}: memory of each of {other}");
        table.figure("10", &what, "B", bytes, target);

        let seconds =
            |all: &[Held]| all.iter().map(|held| held.submit_seconds_per_job).collect::<Vec<_>>();
        let (a, b) = (seconds(&ours), seconds(&base));
        let ratios = a.iter().zip(&b).map(|(a, b)| a / b).collect();
        let what = format!("growth: {name}: submit {other}");
        let target = larger.then_some(1.2);
        table.add("10", &what, median(&a), &format!("{count}"), median(&b), ratios, target);
    }
}

fn unrelated_jobs(table: &mut Table) {
    let count = size(1_000_000);
    let jobs = size(100_000);
    let empty = busy();
    for waits in [Waits::Another, Waits::Delay] {
        let full = busy();
        let mut handles = Vec::with_capacity(count);
        submit_pending(&full, waits, &mut handles, count);
        table.pairs(
            "10",
            &format!("no-op job beside {count} {}", waits.name()),
            "in an empty engine",
            Some(1.2),
            || unrelated(&full.engine, jobs),
            || unrelated(&empty.engine, jobs),
        );
    }
}

/// An engine with so many timers armed that are far ahead; and the jobs that have them.
fn armed(count: usize) -> (Busy, Vec<JobHandle<()>>) {
    let busy = busy();
    let mut handles = Vec::with_capacity(count);
    submit_pending(&busy, Waits::Delay, &mut handles, count);
    (busy, handles)
}

fn timers(table: &mut Table) {
    let count = size(100_000);
    let (engine, _handles) = armed(count);
    // The bar is the last of them; the middle stays the same on a machine that does other things.
    for (percent, target) in [(50, None), (99, Some(1.3))] {
        table.pairs(
            "11",
            &format!("lateness of a timer, p{percent}, {count} armed"),
            &format!("Condvar::wait_timeout, p{percent}"),
            target,
            || lateness(&engine.engine, percent),
            || bare_lateness(percent),
        );
    }
    let engines = [count / 10, count * 10].map(|count| (count, armed(count)));
    // `growth` takes 0.1 and 10 times the size in turn with the size itself.
    table.growth("11", count, |wanted| {
        let other = engines.iter().find(|(count, _)| *count == wanted);
        lateness(&other.map_or(&engine, |(_, (engine, _))| engine).engine, 99)
    });
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(HOLD) {
        return hold_here(arguments);
    }
    let mut table = Table::default();
    pending(&mut table);
    unrelated_jobs(&mut table);
    timers(&mut table);
    table.finish("conditions");
}
