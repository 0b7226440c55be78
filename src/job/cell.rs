//! The one allocation behind a job: its identity, its body, and the slot for its result.
//!
//! A [`JobCell`] is shared by the job's handles (as [`TypedJob<T>`]), by the engine and by
//! dependents (as [`AnyJob`]). Who may do what with it:
//!
//! * the dispatcher alone moves `status` to and from the finished states;
//! * whoever wins [`Head::claim`] runs the body, once per run, and stores its result;
//! * anyone reads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::thread::Thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::engine_id::EngineId;
use super::gate::Gate;

use super::panics;
use crate::condition::{Condition, Target, Watched};
use crate::error::{CancelReason, JobError};
use crate::id::JobId;
use crate::status::Status;
use crate::task::TaskDef;

/// Which backend runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum KindId {
    Local = 0,
    Thread = 1,
    Blocking = 2,
    Process = 3,
}

impl KindId {
    pub(crate) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Local, Self::Thread, Self::Blocking, Self::Process];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Thread => "thread",
            Self::Blocking => "blocking",
            Self::Process => "process",
        }
    }
}

/// What was said of the job before it was submitted, for those few jobs that say anything.
#[derive(Debug, Default)]
pub(crate) struct Meta {
    pub(crate) name: Option<String>,
    /// A process of its own for this job.
    pub(crate) fresh_process: bool,
    /// When it may run; the dispatcher's, once it is submitted.
    pub(crate) condition: Option<Condition>,
}

impl Meta {
    /// Whether it says nothing that would matter to a submitted job.
    fn is_empty(&self) -> bool {
        self.name.is_none() && !self.fresh_process && self.condition.is_none()
    }
}

/// What every job has, whatever its types.
pub(crate) struct Head {
    key: u64,
    gate: Gate<Waiter>,
    kind: AtomicU8,
    /// `2 * run + claimed`: which run of the job this is, and whether somebody runs it.
    run: AtomicU32,
    attempt: AtomicU32,
    /// Handles of the job.
    handles: AtomicU32,
    /// Monotonic time in nanoseconds (see [`clock`](crate::clock)); 0 is "not yet".
    submitted: AtomicU64,
    started: AtomicU64,
    finished: AtomicU64,
    /// The engine that the job belongs to; 0 is none yet.
    engine: AtomicU64,
    meta: OnceLock<Box<Meta>>,
}

/// Somebody to wake when the job is finished.
pub(crate) enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    pub(crate) fn wake(self) {
        match self {
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => {
                // A waker is foreign code: its panic is its own affair.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    log::error!(target: "executor_engine::job", "a waker panicked");
                    panics::drop_quietly(payload);
                }
            }
        }
    }
}

impl Head {
    fn new(kind: KindId) -> Self {
        Self {
            key: JobId::next_count(),
            gate: Gate::new(),
            kind: AtomicU8::new(kind as u8),
            run: AtomicU32::new(0),
            attempt: AtomicU32::new(0),
            handles: AtomicU32::new(0),
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

    /// Registers a waiter, unless the job is finished: then it is given back.
    pub(crate) fn add_waiter(&self, waiter: Waiter) -> Result<(), Waiter> {
        self.gate.add(waiter, |old, new| match (old, new) {
            (Waiter::Task(old), Waiter::Task(new)) => old.will_wake(new),
            _ => false,
        })
    }

    /// Takes this thread off the waiters.
    pub(crate) fn remove_waiter(&self, thread: &Thread) {
        self.gate.remove(|waiter| matches!(waiter, Waiter::Thread(t) if t.id() == thread.id()));
    }

    /// The current run, to be claimed later with [`claim`](Self::claim).
    pub(crate) fn run(&self) -> u32 {
        self.run.load(Ordering::Acquire) >> 1
    }

    /// Takes the right to run this run of the job; only one caller gets it.
    pub(crate) fn claim(&self, run: u32) -> bool {
        self.run
            .compare_exchange(run << 1, (run << 1) | 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
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
    pub(super) fn engine(&self) -> Option<EngineId> {
        EngineId::from_number(self.engine.load(Ordering::Relaxed))
    }

    /// Whether the job is tied to an engine other than this one.
    pub(crate) fn is_of_another(&self, engine: EngineId) -> bool {
        let owner = self.engine.load(Ordering::Relaxed);
        owner != 0 && owner != engine.number()
    }

    /// One more handle.
    pub(super) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// One handle less; true if it was the last.
    pub(super) fn drop_handle(&self) -> bool {
        self.handles.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Whether nobody has a handle of the job. A handle is dropped before this and then asks
    /// whether the job is finished, or it is seen here by who has finished the job.
    pub(crate) fn is_unheld(&self) -> bool {
        self.handles.load(Ordering::SeqCst) == 0
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

    pub(crate) fn name(&self) -> Option<&str> {
        self.meta()?.name.as_deref()
    }
}

/// What a job does; the part that knows its function's and arguments' types.
pub(crate) trait Body<T>: Send {
    /// Visits the jobs that arguments come from.
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>));

    /// Runs the function in this process.
    fn call(&self) -> Result<T, JobError>;

    /// The task to call in a worker process; jobs that run in this process have none.
    fn task(&self) -> Option<&'static TaskDef> {
        None
    }

    /// Appends the encoded arguments to `out`.
    fn encode_args(&self, _out: &mut Vec<u8>) -> Result<(), JobError> {
        Err(JobError::codec("this job runs in the engine's own process".into()))
    }

    /// The result from what a worker process sent.
    fn decode_result(&self, _bytes: &[u8]) -> Result<T, JobError> {
        Err(JobError::codec("this job runs in the engine's own process".into()))
    }
}

/// The result of a job, when it has one.
pub(crate) enum Slot<T> {
    Empty,
    Value(T),
    Error(JobError),
    Taken,
}

/// A job, whatever its types: what the engine and its backends hold.
pub(crate) trait AnyJob: Watched {
    fn head(&self) -> &Head;

    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>));

    /// Runs the claimed job in this process and stores how it went; true if it has a result.
    /// Catches panics.
    fn run_here(&self) -> bool;

    /// The task to call in a worker process.
    fn task(&self) -> Option<&'static TaskDef>;

    /// Appends the encoded arguments to `out`. Catches panics. On an error, store it with
    /// [`store_error`](Self::store_error).
    fn encode_args(&self, out: &mut Vec<u8>) -> Result<(), JobError>;

    /// Decodes and stores the result that a worker sent; true if that went well, otherwise the
    /// error is stored. Catches panics.
    fn store_encoded(&self, bytes: &[u8]) -> bool;

    /// Lets go of the function and its arguments: the job is finished, and nobody has a handle
    /// to run it again. A panic in their drop is caught.
    fn release_body(&self);

    /// Stores why the job has no result, dropping a result that it had.
    fn store_error(&self, error: JobError);

    /// As [`store_error`](Self::store_error), but the result that the job had is given back, to
    /// be dropped where a user's drop code does no harm.
    fn swap_error(&self, error: JobError) -> Option<Box<dyn Send>>;

    /// The stored error.
    fn error(&self) -> Option<JobError>;
}

/// A job with a result of type `T`: what its handles hold.
pub(crate) trait TypedJob<T>: AnyJob {
    /// Calls `f` with the result, if there is one.
    fn with_result(&self, f: &mut dyn FnMut(Option<&T>));

    /// Moves the result or the error out; an error stays.
    fn take_result(&self) -> Result<T, JobError>;

    fn into_any_job(self: Arc<Self>) -> Arc<dyn AnyJob>;
}

/// The allocation.
pub(crate) struct JobCell<T, B> {
    head: Head,
    slot: Mutex<Slot<T>>,
    /// There until the drop, or until the job is finished and nobody has a handle of it.
    body: Mutex<Option<B>>,
    /// The body is to be let go of.
    unwanted: AtomicBool,
}

/// Wherever the last reference goes, on a thread of the engine or of the user: a panic in the
/// drop of the job's values is logged and goes no further.
impl<T, B> Drop for JobCell<T, B> {
    fn drop(&mut self) {
        panics::drop_quietly(std::mem::replace(self.slot.get_mut(), Slot::Empty));
        panics::drop_quietly(self.body.get_mut().take());
    }
}

impl<T, B> JobCell<T, B>
where
    T: Send + 'static,
    B: Body<T> + 'static,
{
    pub(crate) fn shared(kind: KindId, body: B) -> Arc<dyn TypedJob<T>> {
        Arc::new(Self {
            head: Head::new(kind),
            slot: Mutex::new(Slot::Empty),
            body: Mutex::new(Some(body)),
            unwanted: AtomicBool::new(false),
        })
    }

    /// Calls `f` with the body. It is gone if a job that nobody has a handle of was cancelled
    /// and let go of, while a backend still looks at its run.
    fn with_body<R>(&self, f: impl FnOnce(&B) -> Result<R, JobError>) -> Result<R, JobError> {
        let result = match &*self.body.lock() {
            Some(body) => f(body),
            None => Err(JobError::cancelled(CancelReason::Requested)),
        };
        // Who wanted to let go of the body meanwhile left it to us. The fences pair: either the
        // lock is seen free there, or the mark here.
        fence(Ordering::SeqCst);
        if self.unwanted.load(Ordering::SeqCst) {
            self.release_body();
        }
        result
    }

    fn store(&self, result: Result<T, JobError>) -> bool {
        let (slot, ok) = match result {
            Ok(value) => (Slot::Value(value), true),
            Err(error) => (Slot::Error(error), false),
        };
        self.replace(slot);
        ok
    }

    /// Puts `slot` in; what was there is dropped outside the lock, a panic in its drop caught.
    fn replace(&self, slot: Slot<T>) {
        let old = std::mem::replace(&mut *self.slot.lock(), slot);
        if matches!(old, Slot::Value(_)) {
            panics::drop_quietly(old);
        }
    }
}

impl<T, B> Watched for JobCell<T, B>
where
    T: Send + 'static,
    B: Body<T> + 'static,
{
    fn status(&self) -> Status {
        self.head.status()
    }

    fn tie(&self, engine: u64) -> bool {
        EngineId::from_number(engine).is_some_and(|engine| self.head.tie(engine))
    }

    fn is_of_another(&self, engine: u64) -> bool {
        EngineId::from_number(engine).is_some_and(|engine| self.head.is_of_another(engine))
    }
}

impl<T, B> AnyJob for JobCell<T, B>
where
    T: Send + 'static,
    B: Body<T> + 'static,
{
    fn head(&self) -> &Head {
        &self.head
    }

    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>)) {
        if let Some(body) = &*self.body.lock() {
            body.visit_upstream(visit);
        }
    }

    fn run_here(&self) -> bool {
        let result = self.with_body(|body| panics::catch(|| body.call()));
        self.store(result)
    }

    fn task(&self) -> Option<&'static TaskDef> {
        self.body.lock().as_ref().and_then(B::task)
    }

    fn encode_args(&self, out: &mut Vec<u8>) -> Result<(), JobError> {
        self.with_body(|body| panics::catch(|| body.encode_args(out)))
    }

    fn store_encoded(&self, bytes: &[u8]) -> bool {
        let result = self.with_body(|body| panics::catch(|| body.decode_result(bytes)));
        self.store(result)
    }

    fn release_body(&self) {
        self.unwanted.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Users' code may run under the lock, and is not waited for: either the lock is free
        // here, or its holder sees the mark when it has let go.
        let body = self.body.try_lock().and_then(|mut body| body.take());
        panics::drop_quietly(body);
    }

    fn store_error(&self, error: JobError) {
        self.replace(Slot::Error(error));
    }

    fn swap_error(&self, error: JobError) -> Option<Box<dyn Send>> {
        match std::mem::replace(&mut *self.slot.lock(), Slot::Error(error)) {
            Slot::Value(value) => Some(Box::new(value)),
            _ => None,
        }
    }

    fn error(&self) -> Option<JobError> {
        match &*self.slot.lock() {
            Slot::Error(error) => Some(error.clone()),
            _ => None,
        }
    }
}

impl<T, B> TypedJob<T> for JobCell<T, B>
where
    T: Send + 'static,
    B: Body<T> + 'static,
{
    fn with_result(&self, f: &mut dyn FnMut(Option<&T>)) {
        match &*self.slot.lock() {
            Slot::Value(value) => f(Some(value)),
            _ => f(None),
        }
    }

    fn take_result(&self) -> Result<T, JobError> {
        let mut slot = self.slot.lock();
        match &*slot {
            Slot::Value(_) => match std::mem::replace(&mut *slot, Slot::Taken) {
                Slot::Value(value) => Ok(value),
                _ => Err(JobError::taken()),
            },
            Slot::Error(error) => Err(error.clone()),
            Slot::Taken => Err(JobError::taken()),
            Slot::Empty => Err(JobError::stalled("it has not run".into())),
        }
    }

    fn into_any_job(self: Arc<Self>) -> Arc<dyn AnyJob> {
        self
    }
}

impl Target {
    /// That job.
    pub(super) fn of<T: 'static>(job: &Arc<dyn TypedJob<T>>) -> Self {
        Self { id: job.head().id(), watched: Some(Arc::clone(job) as Arc<dyn Watched>) }
    }
}
