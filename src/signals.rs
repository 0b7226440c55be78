//! Ending in good order when the program is told to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::engine::{Engine, Shutdown};
use crate::error::{Error, Result};
use crate::files;
use crate::sys;

/// The guards of this process, and what is true while there are none: then those signals that
/// ended the program before the first of them do so again. (No handler is ever taken away: other
/// threads may be in it.)
static GUARDS: Mutex<(usize, Option<Arc<AtomicBool>>)> = Mutex::new((0, None));

/// One guard more.
fn enter() -> io::Result<()> {
    let mut guards = GUARDS.lock();
    let (count, none) = &mut *guards;
    let none = match none {
        Some(none) => none,
        None => {
            // True until all is done: what is half done leaves the program as it was.
            let flag = Arc::new(AtomicBool::new(true));
            for signal in [SIGINT, SIGTERM].into_iter().filter(|&signal| sys::is_default(signal)) {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(&flag))?;
            }
            none.insert(flag)
        }
    };
    none.store(false, Ordering::SeqCst);
    *count += 1;
    Ok(())
}

/// One guard less.
fn leave() {
    let mut guards = GUARDS.lock();
    guards.0 -= 1;
    if let (0, Some(none)) = &*guards {
        none.store(true, Ordering::SeqCst);
    }
}

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
#[must_use = "when it is dropped, signals end the program at once, if they did so before"]
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
        let refused = |error| Error::io("signals cannot be handled", error);
        enter().map_err(refused)?;
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
            leave();
            refused(error)
        })?;
        let handle = signals.handle();
        let engine = self.clone();
        let thread = std::thread::Builder::new()
            .name("executor-signals".into())
            .spawn(move || {
                // The thread for the drain starts from it.
                files::settle_new_thread();
                let mut drain = None;
                for signal in signals.forever() {
                    let target = "executor_engine::engine";
                    if drain.is_none() {
                        log::info!(target: target, "signal {signal}: finishing what is there");
                        let engine = engine.clone();
                        drain = std::thread::Builder::new()
                            .name("executor-drain".into())
                            .spawn(move || engine.shutdown(Shutdown::Drain))
                            .inspect_err(|error| {
                                log::error!(target: target, "no thread to drain on: {error}");
                            })
                            .ok();
                    } else {
                        log::info!(target: target, "signal {signal}: cancelling what is left");
                        engine.cancel_all();
                    }
                }
                if drain.is_some_and(|drain| drain.join().is_err()) {
                    log::error!(target: "executor_engine::engine", "the drain panicked");
                }
            })
            .map_err(|error| {
                leave();
                Error::io("the thread for signals could not be started", error)
            })?;
        Ok(SignalGuard { handle, thread: Some(thread) })
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.handle.close();
        // From here on, also while a drain that has begun goes on.
        leave();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there was logged where it was noticed.
            let _ = thread.join();
        }
    }
}
