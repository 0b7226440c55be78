//! What every job has, whatever its types: its key, its status, its run, its times.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::asleep::wake_sleepers_of;
use super::callbacks::Callbacks;
use super::engine_id::EngineId;
use super::gate::Gate;
use super::keep::Handles;
use super::kind::KindId;
use super::label::Label;
use super::panics;
use super::retry::Retry;
use super::stream::AnyStream;
use crate::files::Surroundings;
use crate::id::JobId;
use crate::info::Progress;
use crate::record::record;
use crate::status::Status;

/// What was said of the job before it was submitted, for those few jobs that say anything.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) name: Option<String>,
    /// A process of its own for this job.
    pub(crate) fresh_process: bool,
    pub(crate) retry: Retry,
    /// How long it may take from its first start to its end, and each attempt.
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) tags: Vec<String>,
    /// More than one is to go before it.
    pub(crate) priority: i32,
    /// Units of named resources that it needs while it runs.
    pub(crate) resources: BTreeMap<String, u64>,
    /// Which units it has, by the resource's name.
    granted: Mutex<BTreeMap<String, Vec<u32>>>,
    pub(crate) attrs: Attrs,
    /// Where it runs and where its output goes, if it asked for anything.
    pub(crate) surroundings: Option<Box<Surroundings>>,
    pub(crate) callbacks: Callbacks,
    /// What a stream's producer and readers share.
    pub(crate) stream: Option<Arc<dyn AnyStream>>,
    /// How far the job is, by its own word.
    progress: Mutex<Option<Progress>>,
}

/// What users note of a job.
pub(crate) type Attrs = BTreeMap<String, serde_json::Value>;

impl Meta {
    /// Whether it says nothing that would matter to a submitted job.
    fn is_empty(&self) -> bool {
        let Self { name, fresh_process, retry, timeout, attempt_timeout, .. } = self;
        name.is_none()
            && !fresh_process
            && retry.most == 0
            && timeout.or(*attempt_timeout).is_none()
            && self.tags.is_empty()
            && self.priority == 0
            && self.resources.is_empty()
            && self.attrs.is_empty()
            && self.surroundings.is_none()
            && self.callbacks.is_empty()
            && self.stream.is_none()
    }
}

/// What every job has, whatever its types.
pub(crate) struct Head {
    key: u64,
    gate: Gate<Waiter>,
    kind: AtomicU8,
    /// A [`Stop`].
    stop: AtomicU8,
    /// `2 * run + claimed`: which run of the job this is, and whether somebody runs it.
    run: AtomicU32,
    attempt: AtomicU32,
    /// Handles of the job.
    handles: Handles,
    /// Monotonic time in nanoseconds (see [`clock`](crate::clock)); 0 is "not yet".
    submitted: AtomicU64,
    started: AtomicU64,
    finished: AtomicU64,
    /// The engine that the job belongs to; 0 is none yet.
    engine: AtomicU64,
    meta: OnceLock<Box<Meta>>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a result.
    Done,
    /// Without one, for good.
    Failed,
    /// Without one; it is to be tried again if there are retries left.
    FailedForNow,
}

/// Why a job is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stop {
    /// It is not.
    No = 0,
    Cancelled = 1,
    TimedOut = 2,
    AttemptTimedOut = 3,
}

impl Stop {
    const fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Cancelled,
            2 => Self::TimedOut,
            3 => Self::AttemptTimedOut,
            _ => Self::No,
        }
    }
}

/// Engines of this process with somebody who wants to hear when jobs begin.
static START_WATCHERS: AtomicUsize = AtomicUsize::new(0);

/// One engine more, or less, wants to hear when jobs begin.
pub(crate) fn watch_starts(watch: bool) {
    if watch {
        START_WATCHERS.fetch_add(1, Ordering::Relaxed);
    } else {
        START_WATCHERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Which handle awaits the job. The handles of all jobs are counted together, so that no two have
/// one token, however often the job ends and runs again; 64 bits do not run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(NonZeroU64);

impl Token {
    fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(NonZeroU64::MIN.saturating_add(COUNT.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Somebody to wake when the job is finished.
pub(crate) enum Waiter {
    Thread(Thread),
    /// The task that polled this handle last.
    Task(Token, Waker),
}

const _: () = assert!(size_of::<Gate<Waiter>>() <= 24);

impl Waiter {
    fn is_thread(&self, thread: &Thread) -> bool {
        matches!(self, Self::Thread(this) if this.id() == thread.id())
    }

    fn is_task(&self, token: Token) -> bool {
        matches!(self, Self::Task(this, _) if *this == token)
    }

    /// Wakes it, for the job with that id has ended.
    pub(crate) fn wake(self, job: JobId) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(_, waker) => {
                // A waker is foreign code: its panic is its own affair.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    record!(
                        Error,
                        "executor_engine::job",
                        "a waker panicked that was to hear of the end of job {job}"
                    );
                    panics::drop_quietly_of(&format_args!("job {job}"), payload);
                }
            }
        }
    }
}

impl Head {
    pub(super) fn new(kind: KindId) -> Self {
        Self {
            key: JobId::next_count(),
            gate: Gate::new(),
            kind: AtomicU8::new(kind as u8),
            stop: AtomicU8::new(Stop::No as u8),
            run: AtomicU32::new(0),
            attempt: AtomicU32::new(0),
            handles: Handles::new(),
            submitted: AtomicU64::new(0),
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            engine: AtomicU64::new(0),
            meta: OnceLock::new(),
        }
    }

    /// The job's key in its engine's tables: its place in the count of this process.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(crate) fn id(&self) -> JobId {
        JobId::from_count(self.key)
    }

    pub(crate) fn status(&self) -> Status {
        self.gate.status()
    }

    /// Moves from `Created` to `Pending`. Only the job's one owner submits it.
    pub(crate) fn submit(&self, now: u64) {
        self.submitted.store(now, Ordering::Relaxed);
        self.gate.advance(Status::Pending);
    }

    /// Undoes [`submit`](Self::submit) when the engine refused the job.
    pub(crate) fn unsubmit(&self) {
        self.submitted.store(0, Ordering::Relaxed);
        self.gate.advance(Status::Created);
    }

    /// The final word on this run; the dispatcher's alone. Returns those to wake.
    pub(crate) fn finish(&self, status: Status, now: u64) -> Vec<Waiter> {
        self.finished.store(now, Ordering::Relaxed);
        self.gate.finish(status)
    }

    /// Registers a thread to be unparked at the job's end; false if it is finished.
    pub(crate) fn add_thread(&self, thread: &Thread) -> bool {
        let waiter = Waiter::Thread(thread.clone());
        self.gate.add(waiter, |waiter| waiter.is_thread(thread)).is_ok()
    }

    /// Registers the waker of the handle that has this token, or gets it, in place of the one from
    /// its last poll; false if the job is finished. Wakers are foreign code: they are cloned and
    /// dropped outside the lock, and a panic in their drop is caught.
    pub(super) fn add_task(&self, token: &mut Option<Token>, waker: &Waker) -> bool {
        let known = *token;
        let is_mine = |waiter: &Waiter| known.is_some_and(|token| waiter.is_task(token));
        let is_this = |waiter: &Waiter| match waiter {
            Waiter::Task(_, old) => is_mine(waiter) && old.will_wake(waker),
            Waiter::Thread(_) => false,
        };
        // A loop that polls again and again does not clone.
        if known.is_some() && self.gate.has(is_this) {
            return true;
        }
        let waker = waker.clone();
        let waiter = Waiter::Task(*token.get_or_insert_with(Token::next), waker);
        // A new token is on no list, so there is nothing to look for.
        let answer = match known {
            Some(_) => self.gate.add(waiter, is_mine),
            None => self.gate.add(waiter, |_| false),
        };
        let registered = answer.is_ok();
        panics::drop_quietly_of(&self.label(), answer);
        registered
    }

    /// The handle that has this token is dropped: its task is not woken any more, nor held.
    pub(super) fn remove_task(&self, token: Token) {
        panics::drop_quietly_of(&self.label(), self.gate.remove(|waiter| waiter.is_task(token)));
    }

    /// Whether this thread, which is registered, has yet to see an end of the job. A job that runs
    /// again has ended all the same.
    pub(crate) fn is_awaited_by(&self, thread: &Thread) -> bool {
        !self.status().is_finished() && self.gate.has(|waiter| waiter.is_thread(thread))
    }

    /// Takes this thread off the waiters.
    pub(crate) fn remove_thread(&self, thread: &Thread) {
        self.gate.remove(|waiter| waiter.is_thread(thread));
    }

    /// The current run, to be claimed later with [`claim`](Self::claim).
    pub(crate) fn run(&self) -> u32 {
        self.run.load(Ordering::Acquire) >> 1
    }

    /// Whether that run of the job has ended.
    pub(crate) fn is_over(&self, run: u32) -> bool {
        // In this order: one that runs again has been pending, and is counted before it runs.
        self.status() != Status::Running || self.run() != run
    }

    /// Takes the right to run this run of the job; only one caller gets it.
    pub(crate) fn claim(&self, run: u32) -> bool {
        self.run
            .compare_exchange(run << 1, (run << 1) | 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Tells the job to stop. The dispatcher's alone.
    pub(crate) fn set_stop(&self, stop: Stop) {
        self.stop.store(stop as u8, Ordering::Release);
    }

    /// Whether and why the job is to stop.
    pub(crate) fn stop(&self) -> Stop {
        Stop::from_u8(self.stop.load(Ordering::Acquire))
    }

    /// The job will run once more, `anew` if it had ended. The dispatcher's alone.
    pub(crate) fn again(&self, anew: bool) {
        self.set_stop(Stop::No);
        if anew {
            self.attempt.store(0, Ordering::Relaxed);
            self.started.store(0, Ordering::Relaxed);
            self.finished.store(0, Ordering::Relaxed);
        }
        self.gate.advance(Status::Pending);
        // From here on the last run says nothing more.
        if let Some(meta) = self.meta() {
            meta.progress.lock().take();
        }
        // Last: who sees the new run does not see the end of the one before.
        let run = self.run.load(Ordering::Relaxed) >> 1;
        self.run.store(run.wrapping_add(1) << 1, Ordering::Release);
        if !anew && self.attempt() > 0 {
            // An end wakes them by itself.
            wake_sleepers_of(self.key);
        }
    }

    /// Whether the job's time is limited.
    pub(crate) fn is_timed(&self) -> bool {
        self.meta().is_some_and(|meta| meta.timeout.or(meta.attempt_timeout).is_some())
    }

    /// Whether the dispatcher wants to know when a run of the job begins.
    pub(crate) fn tells_start(&self) -> bool {
        START_WATCHERS.load(Ordering::Relaxed) > 0 || self.is_timed()
    }

    /// Marks the job as running: its claimant's first act.
    pub(crate) fn start(&self, now: u64) {
        let attempt = self.attempt.load(Ordering::Relaxed);
        self.attempt.store(attempt + 1, Ordering::Relaxed);
        self.started.store(now, Ordering::Relaxed);
        self.gate.advance(Status::Running);
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    pub(crate) fn kind(&self) -> KindId {
        KindId::ALL[usize::from(self.kind.load(Ordering::Relaxed))]
    }

    pub(crate) fn set_kind(&self, kind: KindId) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    pub(crate) fn times(&self) -> [Option<Duration>; 3] {
        [&self.submitted, &self.started, &self.finished].map(|time| {
            match time.load(Ordering::Relaxed) {
                0 => None,
                nanos => Some(Duration::from_nanos(nanos)),
            }
        })
    }

    /// Ties the job to an engine: when it is submitted, or named by a job that is. False if it
    /// belongs to another one.
    pub(crate) fn tie(&self, engine: EngineId) -> bool {
        let number = engine.number();
        match self.engine.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(owner) => owner == number,
        }
    }

    /// The engine that the job is tied to.
    pub(crate) fn engine(&self) -> Option<EngineId> {
        EngineId::from_number(self.engine.load(Ordering::Relaxed))
    }

    /// Whether the job is tied to an engine other than this one.
    pub(crate) fn is_of_another(&self, engine: EngineId) -> bool {
        let owner = self.engine.load(Ordering::Relaxed);
        owner != 0 && owner != engine.number()
    }

    /// One more handle.
    pub(super) fn add_handle(&self) {
        self.handles.add();
    }

    /// One more handle, if there is one yet. Who finds none stays without: a job without handles
    /// gets no new ones.
    pub(super) fn add_handle_beside_others(&self) -> bool {
        self.handles.add_beside_others()
    }

    /// One handle less; true if it was the last.
    pub(super) fn drop_handle(&self) -> bool {
        self.handles.remove()
    }

    /// Whether nobody has a handle of the job. A handle is dropped before this and then asks
    /// whether the job is finished, or it is seen here by who has finished the job.
    pub(crate) fn is_unheld(&self) -> bool {
        self.handles.is_none()
    }

    pub(crate) fn set_meta(&self, meta: Box<Meta>) {
        if !meta.is_empty() {
            // Set once, by the only owner of the job, when it is submitted.
            let _ = self.meta.set(meta);
        }
    }

    pub(crate) fn meta(&self) -> Option<&Meta> {
        self.meta.get().map(|meta| &**meta)
    }

    /// Which units of resources the job has.
    pub(crate) fn set_granted(&self, granted: BTreeMap<String, Vec<u32>>) {
        if let Some(meta) = self.meta() {
            *meta.granted.lock() = granted;
        }
    }

    /// Which units of that resource the job has.
    pub(crate) fn granted(&self, resource: &str) -> Vec<u32> {
        self.meta().and_then(|meta| meta.granted.lock().get(resource).cloned()).unwrap_or_default()
    }

    /// What child processes are told of that: a variable for each resource.
    pub(crate) fn granted_variables(&self) -> Vec<(String, String)> {
        let Some(meta) = self.meta() else { return Vec::new() };
        let granted = meta.granted.lock();
        let variables =
            granted.iter().filter(|(_, units)| !units.is_empty()).map(|(name, units)| {
                let allowed =
                    |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
                let units: Vec<String> = units.iter().map(u32::to_string).collect();
                (
                    format!("EXECUTOR_RESOURCE_{}", name.chars().map(allowed).collect::<String>()),
                    units.join(","),
                )
            });
        variables.collect()
    }

    /// What its producer and readers share, if the job is a stream.
    pub(crate) fn stream(&self) -> Option<&Arc<dyn AnyStream>> {
        self.meta()?.stream.as_ref()
    }

    /// The word of that run on how far it is; false if that is over.
    pub(crate) fn set_progress(&self, run: u32, progress: Progress) -> bool {
        let mut told = self.meta.get_or_init(Box::default).progress.lock();
        // With the lock held, which `again` takes when the run is over.
        let over = self.is_over(run);
        if !over {
            *told = Some(progress);
        }
        !over
    }

    pub(crate) fn progress(&self) -> Option<Progress> {
        self.meta()?.progress.lock().clone()
    }

    /// What the job asked of where it runs and where its output goes.
    pub(crate) fn surroundings(&self) -> Option<&Surroundings> {
        self.meta()?.surroundings.as_deref()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.meta()?.name.as_deref()
    }

    /// What the job is called in log records.
    pub(crate) fn label(&self) -> Label<'_> {
        Label(self)
    }

    /// What was said of the job before it was submitted, for its drop.
    pub(super) fn take_meta(&mut self) -> Option<Box<Meta>> {
        self.meta.take()
    }
}
