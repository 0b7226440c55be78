//! The end of an engine: every job finished, every thread joined, every process reaped.

use std::sync::atomic::Ordering;

use super::run::Dispatcher;
use crate::backend::is_of;
use crate::error::CancelReason;
use crate::files;

impl Dispatcher {
    /// Whether submissions are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Whether somebody shuts the engine down.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Whether the calling thread runs this engine's jobs.
    pub(crate) fn is_own_thread(&self) -> bool {
        is_of(self.engine)
    }

    /// Finishes (`drain`) or cancels what is there, then ends every thread and process.
    ///
    /// Called by a thread of the engine itself (a job dropped the last `Engine`), it hands over
    /// to a thread of its own, for no thread can wait for its own end. Called again, it cancels what
    /// another thread drains, if it is not to drain itself; and, by a thread from outside, waits for
    /// the end that the other one brings about.
    pub(crate) fn shutdown(self: std::sync::Arc<Self>, drain: bool) {
        self.close();
        let from_inside = self.is_own_thread();
        if self.ending.swap(true, Ordering::SeqCst) {
            // The other may drain for long.
            if !drain {
                self.cancel_all(CancelReason::Shutdown);
            }
            if !from_inside {
                let mut ended = self.ended_flag.lock();
                self.ended_signal.wait_while(&mut ended, |ended| !*ended);
            }
            return;
        }
        if !from_inside {
            return self.finish(drain);
        }
        if !drain {
            self.cancel_all(CancelReason::Shutdown);
        }
        let this = std::sync::Arc::clone(&self);
        let spawned =
            std::thread::Builder::new().name("executor-shutdown".into()).spawn(move || {
                files::settle_new_thread();
                this.finish(drain);
            });
        if let Err(error) = spawned {
            // Left to the next who comes from outside, if one does.
            self.ending.store(false, Ordering::SeqCst);
            log::error!(
                target: "executor_engine::engine",
                "no thread to shut the engine down: {error}"
            );
        }
    }

    fn finish(&self, drain: bool) {
        // A drain ends early if what is left can never run.
        if !drain || self.wait_all(None).is_err() {
            self.cancel_all(CancelReason::Shutdown);
        }
        if let Err(error) = self.wait_all(None) {
            log::error!(target: "executor_engine::engine", "jobs remain after the end: {error}");
        }
        self.stop();
        log::debug!(target: "executor_engine::engine", "engine {} has ended", self.engine.number());
        *self.ended_flag.lock() = true;
        self.ended_signal.notify_all();
    }
}
