//! What is called when a job has ended.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::cell::TypedJob;
use super::panics;
use crate::error::JobError;
use crate::info::JobInfo;
use crate::record::record;
use crate::status::Status;

/// A call that is ready to be made.
pub(crate) type Call = Box<dyn FnOnce() + Send>;

/// Makes a [`Call`] with a clone of the result, if there is one.
type MakeCall = Box<dyn Fn() -> Option<Call> + Send + Sync>;

/// A call that is told something.
type Tell<X> = Box<dyn Fn(&X) + Send + Sync>;

/// The callbacks of a job.
#[derive(Default)]
pub(crate) struct Callbacks {
    done: Vec<MakeCall>,
    failed: Vec<Tell<JobError>>,
    finished: Vec<Tell<JobInfo>>,
    /// Made by the run that left the result, before anyone could take that.
    ready: Mutex<Vec<Call>>,
}

impl Callbacks {
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.failed.is_empty() && self.finished.is_empty()
    }

    pub(super) fn on_done<T: Clone + Send + 'static>(
        &mut self,
        job: &Arc<dyn TypedJob<T>>,
        call: impl Fn(&T) + Send + Sync + 'static,
    ) {
        // The job has the callbacks, so they must not have the job.
        let job = Arc::downgrade(job);
        let call = Arc::new(call);
        self.done.push(Box::new(move || {
            let mut result = None;
            job.upgrade()?.with_result(&mut |value| result = value.cloned());
            let (result, call) = (result?, Arc::clone(&call));
            Some(Box::new(move || call(&result)))
        }));
    }

    pub(super) fn on_failed(&mut self, call: impl Fn(&JobError) + Send + Sync + 'static) {
        self.failed.push(Box::new(call));
    }

    pub(super) fn on_finished(&mut self, call: impl Fn(&JobInfo) + Send + Sync + 'static) {
        self.finished.push(Box::new(call));
    }

    /// A run has left a result: makes the calls that want it.
    pub(super) fn make_ready(&self, job: &dyn fmt::Display) {
        let calls = self.done.iter().filter_map(|make| {
            // Cloning is the user's code.
            panics::catch_panic(make).unwrap_or_else(|panic| {
                record!(
                    Error,
                    "executor_engine::job",
                    "the result of {job} panicked while it was cloned for a callback: {}",
                    panic.message
                );
                None
            })
        });
        *self.ready.lock() = calls.collect();
    }

    /// The calls that want the result of the run that has just ended.
    pub(crate) fn take_ready(&self) -> Vec<Call> {
        std::mem::take(&mut *self.ready.lock())
    }

    /// The job has ended as `info` says: makes every call that is due, each once, a panic in one
    /// being logged.
    pub(crate) fn call(&self, info: &JobInfo, ready: Vec<Call>) {
        let guarded = |call: &mut dyn FnMut()| {
            if let Err(panic) = panics::catch_panic(call) {
                record!(
                    Error,
                    "executor_engine::job",
                    "a callback of job {} panicked at {}: {}",
                    info.id(),
                    panic.location.as_deref().unwrap_or("an unknown place"),
                    panic.message
                );
            }
        };
        if info.status() == Status::Done {
            for call in ready {
                let mut call = Some(call);
                guarded(&mut || call.take().into_iter().for_each(|call| call()));
            }
        } else {
            panics::drop_quietly_of(&format_args!("job {}", info.id()), ready);
        }
        if let (Status::Failed, Some(error)) = (info.status(), info.error()) {
            self.failed.iter().for_each(|call| guarded(&mut || call(error)));
        }
        self.finished.iter().for_each(|call| guarded(&mut || call(info)));
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}
