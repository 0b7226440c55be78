//! The one allocation behind a job: its identity, its body, and the slot for its result.
//!
//! A [`JobCell`] is shared by the job's handles (as [`TypedJob<T>`]), by the engine and by
//! dependents (as [`AnyJob`]). Who may do what with it:
//!
//! * the dispatcher alone moves `status` to and from the finished states;
//! * whoever wins [`Head::claim`] runs the body, once per run, and stores its result;
//! * anyone reads.

use std::sync::Arc;

use parking_lot::Mutex;

use super::args::Caller;
use super::engine_id::EngineId;
use super::head::Head;
use super::keep::Keep;
use super::kind::KindId;

use super::panics;
use crate::condition::{Target, Watched};
use crate::error::{CancelReason, JobError};
use crate::status::Status;
use crate::task::TaskDef;

/// What a job does; the part that knows its function's and arguments' types.
pub(crate) trait Body<T>: Send {
    /// Visits the jobs that arguments come from.
    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>));

    /// Runs the function in this process.
    fn call(&self, caller: Caller<'_>) -> Result<T, JobError>;

    /// Whether it can be called more than once.
    fn is_repeatable(&self) -> bool {
        true
    }

    /// The task to call in a worker process; jobs that run in this process have none.
    fn task(&self) -> Option<&'static TaskDef> {
        None
    }

    /// Appends the encoded arguments to `out`.
    fn encode_args(&self, _caller: Caller<'_>, _out: &mut Vec<u8>) -> Result<(), JobError> {
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
    Taken,
}

/// A job, whatever its types: what the engine and its backends hold.
pub(crate) trait AnyJob: Watched {
    fn head(&self) -> &Head;

    fn visit_upstream(&self, visit: &mut dyn FnMut(Arc<dyn AnyJob>));

    /// Runs the claimed job in this process and stores how it went; true if it has a result.
    /// Catches panics. `caller` is the job itself, as what refers to it later.
    fn run_here(&self, caller: Caller<'_>) -> bool;

    /// Whether the job can run once more: it still has its function, and that can be called
    /// again.
    fn can_run_again(&self) -> bool;

    /// The task to call in a worker process.
    fn task(&self) -> Option<&'static TaskDef>;

    /// Appends the encoded arguments to `out`. Catches panics. On an error, store it with
    /// [`store_error`](Self::store_error).
    fn encode_args(&self, caller: Caller<'_>, out: &mut Vec<u8>) -> Result<(), JobError>;

    /// Decodes and stores the result that a worker sent; true if that went well, otherwise the
    /// error is stored. Catches panics.
    fn store_encoded(&self, bytes: &[u8]) -> bool;

    /// Lets go of the function and its arguments: the job is finished, and nobody has a handle
    /// to run it again. A panic in their drop is caught.
    fn release_body(&self);

    /// Stores why the job has no result. One that it had counts no more, and is dropped.
    fn store_error(&self, error: JobError);

    /// The first half of [`store_error`](Self::store_error), for those who hold a lock of the
    /// engine's: no users' code runs, nor is any waited for. The error that was there is given back.
    fn set_error(&self, error: JobError) -> Option<JobError>;

    /// The second half: drops a result that counts no more, unless somebody is at it. Then it stays
    /// until the job runs again or goes.
    fn discard_result(&self);

    /// The stored error.
    fn error(&self) -> Option<JobError>;
}

/// A job with a result of type `T`: what its handles hold.
pub(crate) trait TypedJob<T>: AnyJob {
    /// Calls `f` with the result, if there is one. Other readers wait, and whoever stores a new one;
    /// nobody else does.
    fn with_result(&self, f: &mut dyn FnMut(Option<&T>));

    /// Moves the result or the error out; an error stays.
    fn take_result(&self) -> Result<T, JobError>;

    fn into_any_job(self: Arc<Self>) -> Arc<dyn AnyJob>;
}

/// The allocation.
pub(crate) struct JobCell<T, B> {
    head: Head,
    /// Users' code runs with it locked.
    slot: Mutex<Slot<T>>,
    /// If there is one, what is in the slot counts no more. To be locked after the slot, and for
    /// moments only.
    error: Mutex<Option<JobError>>,
    /// There until the drop, or until the job is finished and nobody has a handle of it.
    body: Keep<B>,
}

/// Wherever the last reference goes, on a thread of the engine or of the user: a panic in the
/// drop of the job's values is logged and goes no further.
impl<T, B> Drop for JobCell<T, B> {
    fn drop(&mut self) {
        let label = self.head.label();
        panics::drop_quietly_of(&label, std::mem::replace(self.slot.get_mut(), Slot::Empty));
        panics::drop_quietly_of(&label, self.error.get_mut().take());
        panics::drop_quietly_of(&label, self.body.take());
        // Callbacks and the like.
        if let Some(meta) = self.head.take_meta() {
            panics::drop_quietly_of(&format_args!("job {}", self.head.id()), meta);
        }
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
            error: Mutex::new(None),
            body: Keep::new(body),
        })
    }

    /// Calls `f` with the body. It is gone if a job that nobody has a handle of was cancelled
    /// and let go of, while a backend still looks at its run.
    fn with_body<R>(&self, f: impl FnOnce(&B) -> Result<R, JobError>) -> Result<R, JobError> {
        let gone = || Err(JobError::cancelled(CancelReason::Requested));
        self.look_at_body(|body| body.map_or_else(gone, f))
    }

    fn look_at_body<R>(&self, f: impl FnOnce(Option<&B>) -> R) -> R {
        let (result, unwanted) = self.body.with(f);
        if let Some(body) = unwanted {
            panics::drop_quietly_of(&self.head.label(), body);
        }
        result
    }

    /// Whatever was there is dropped outside the locks, a panic in its drop caught.
    fn store(&self, result: Result<T, JobError>) -> bool {
        match result {
            Ok(value) => {
                let mut slot = self.slot.lock();
                let old = std::mem::replace(&mut *slot, Slot::Value(value));
                let error = self.error.lock().take();
                drop(slot);
                self.drop_quietly(old);
                if error.is_some() {
                    panics::drop_quietly_of(&self.head.label(), error);
                }
                true
            }
            Err(error) => {
                self.store_error(error);
                false
            }
        }
    }

    fn drop_quietly(&self, old: Slot<T>) {
        if matches!(old, Slot::Value(_)) {
            panics::drop_quietly_of(&self.head.label(), old);
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
        self.look_at_body(|body| {
            if let Some(body) = body {
                body.visit_upstream(visit);
            }
        });
    }

    fn run_here(&self, caller: Caller<'_>) -> bool {
        let result = self.with_body(|body| panics::catch(|| body.call(caller)));
        self.store(result)
    }

    fn can_run_again(&self) -> bool {
        self.look_at_body(|body| body.is_some_and(B::is_repeatable))
    }

    fn task(&self) -> Option<&'static TaskDef> {
        self.look_at_body(|body| body.and_then(B::task))
    }

    fn encode_args(&self, caller: Caller<'_>, out: &mut Vec<u8>) -> Result<(), JobError> {
        self.with_body(|body| panics::catch(|| body.encode_args(caller, out)))
    }

    fn store_encoded(&self, bytes: &[u8]) -> bool {
        let result = self.with_body(|body| panics::catch(|| body.decode_result(bytes)));
        self.store(result)
    }

    fn release_body(&self) {
        panics::drop_quietly_of(&self.head.label(), self.body.let_go());
    }

    fn store_error(&self, error: JobError) {
        let old = self.set_error(error);
        if old.is_some() {
            panics::drop_quietly_of(&self.head.label(), old);
        }
        self.discard_result();
    }

    fn set_error(&self, error: JobError) -> Option<JobError> {
        self.error.lock().replace(error)
    }

    fn discard_result(&self) {
        let Some(mut slot) = self.slot.try_lock() else { return };
        // The job may have a new result by now.
        let stale = matches!(*slot, Slot::Value(_)) && self.error.lock().is_some();
        let old = stale.then(|| std::mem::replace(&mut *slot, Slot::Empty));
        drop(slot);
        old.into_iter().for_each(|old| self.drop_quietly(old));
    }

    fn error(&self) -> Option<JobError> {
        self.error.lock().clone()
    }
}

impl<T, B> TypedJob<T> for JobCell<T, B>
where
    T: Send + 'static,
    B: Body<T> + 'static,
{
    fn with_result(&self, f: &mut dyn FnMut(Option<&T>)) {
        match &*self.slot.lock() {
            Slot::Value(value) if self.error.lock().is_none() => f(Some(value)),
            _ => f(None),
        }
    }

    fn take_result(&self) -> Result<T, JobError> {
        let mut slot = self.slot.lock();
        if let Some(error) = self.error() {
            return Err(error);
        }
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Value(value) => Ok(value),
            Slot::Taken => Err(JobError::taken()),
            Slot::Empty => {
                *slot = Slot::Empty;
                Err(JobError::stalled("it has not run".into()))
            }
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
