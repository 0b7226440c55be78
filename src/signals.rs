//! Ending in good order when the program is told to end.

use std::thread::JoinHandle;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::engine::{Engine, Shutdown};
use crate::error::{Error, Result};

/// While this exists, Ctrl-C and SIGTERM end an engine in good order; made by
/// [`Engine::end_on_signals`].
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::SignalGuard;
/// # let engine = Engine::new()?;
/// let guard: SignalGuard = engine.end_on_signals()?;
/// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
/// assert_eq!(job.result()?, 1); // SIGTERM would have let it finish
/// drop(guard); // from here on it would end the program at once
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[must_use = "when it is dropped, signals do again what they did before"]
#[derive(Debug)]
pub struct SignalGuard {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// From now on Ctrl-C (SIGINT) and SIGTERM [drain](Shutdown::Drain) the engine: it takes no more
    /// jobs and finishes what it has, and who waits for it goes on, so that the program can end by
    /// itself. A second signal cancels what is left.
    ///
    /// The library handles no signals but by this call. Needs the feature `signals`, which is on
    /// by default.
    ///
    /// # Errors
    /// The system refuses the handlers or the thread.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let _guard = engine.end_on_signals()?;
    /// engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn end_on_signals(&self) -> Result<SignalGuard> {
        let mut signals = Signals::new([SIGINT, SIGTERM])
            .map_err(|error| Error::io("signals cannot be handled", error))?;
        let handle = signals.handle();
        let engine = self.clone();
        let thread = std::thread::Builder::new()
            .name("executor-signals".into())
            .spawn(move || {
                let mut drain = None;
                for signal in signals.forever() {
                    let target = "executor_engine::engine";
                    if drain.is_none() {
                        log::info!(target: target, "signal {signal}: finishing what is there");
                        let engine = engine.clone();
                        drain = Some(std::thread::spawn(move || engine.shutdown(Shutdown::Drain)));
                    } else {
                        log::info!(target: target, "signal {signal}: cancelling what is left");
                        engine.cancel_all();
                    }
                }
                if drain.is_some_and(|drain| drain.join().is_err()) {
                    log::error!(target: "executor_engine::engine", "the drain panicked");
                }
            })
            .map_err(|error| Error::io("the thread for signals could not be started", error))?;
        Ok(SignalGuard { handle, thread: Some(thread) })
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there was logged where it was noticed.
            let _ = thread.join();
        }
    }
}
