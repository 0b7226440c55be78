//! The end of an engine: every job finished, every thread joined, every process reaped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::run::Dispatcher;
use crate::backend::is_of;
use crate::error::CancelReason;
use crate::files;
use crate::job::KindId;
use crate::record::record;

/// How long an engine that ends waits for its jobs before it cancels them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    No,
    Until(Instant),
    Endless,
}

impl Dispatcher {
    /// Whether submissions are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Whether a thread of the engine itself has asked for the engine's end, which is brought about
    /// elsewhere.
    pub(crate) fn is_end_asked(&self) -> bool {
        self.end_asked.load(Ordering::SeqCst)
    }

    /// Whether the calling thread runs this engine's jobs.
    pub(crate) fn is_own_thread(&self) -> bool {
        is_of(self.engine)
    }

    /// Finishes what is there, as far as the patience goes, cancels the rest, then ends every thread
    /// and process. Says whether everything was finished in time.
    ///
    /// Called by a thread of the engine itself (a job dropped the last `Engine`), it hands over
    /// to a thread of its own, for no thread can wait for its own end, and says no. Each call is heard,
    /// whoever else waits for the end: the least patient one cancels.
    pub(crate) fn shutdown(self: Arc<Self>, patience: Patience) -> bool {
        self.close();
        if !matches!(patience, Patience::No) {
            // Else jobs that are ready would be waited for and never start.
            self.pause(&KindId::ALL, false);
        }
        if !self.is_own_thread() {
            return self.finish(patience);
        }
        let at_once = matches!(patience, Patience::No);
        if at_once {
            self.cancel_all(CancelReason::Shutdown);
        }
        let asked = self.end_asked.swap(true, Ordering::SeqCst);
        if asked && !matches!(patience, Patience::Until(_)) {
            return false;
        }
        let this = Arc::clone(&self);
        let spawned =
            std::thread::Builder::new().name("executor-shutdown".into()).spawn(move || {
                files::settle_new_thread();
                this.finish(patience);
            });
        if let Err(error) = spawned {
            // Left to the next who comes. Nobody waits for what has not begun.
            self.end_asked.fetch_and(asked, Ordering::SeqCst);
            record!(Error, "executor_engine::engine", "no thread to shut the engine down: {error}");
        }
        false
    }

    fn finish(&self, patience: Patience) -> bool {
        // A drain ends early if what is left can never run.
        let drained = match patience {
            Patience::No => false,
            Patience::Until(deadline) => matches!(self.wait_all(Some(deadline)), Ok(true)),
            Patience::Endless => self.wait_all(None).is_ok(),
        };
        if !drained {
            self.cancel_all(CancelReason::Shutdown);
        }
        if let Err(error) = self.wait_all(None) {
            record!(Error, "executor_engine::engine", "jobs remain after the end: {error}");
        }
        if self.ending.swap(true, Ordering::SeqCst) {
            let mut ended = self.ended_flag.lock();
            self.ended_signal.wait_while(&mut ended, |ended| !*ended);
            return drained;
        }
        self.stop();
        record!(Debug, "executor_engine::engine", "engine {} has ended", self.engine.number());
        *self.ended_flag.lock() = true;
        self.ended_signal.notify_all();
        drained
    }
}
