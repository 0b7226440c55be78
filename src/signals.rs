//! Ending in good order when the program is told to end.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::engine::{Engine, Shutdown};
use crate::error::{Error, Result};
use crate::files;
use crate::record::record;
use crate::sys;

/// The signals that are handled.
const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

const TARGET: &str = "executor_engine::engine";

/// The guards of this process.
static GUARDS: Mutex<Guards> = Mutex::new(Guards { count: 0, before: None });

struct Guards {
    count: usize,
    before: Option<Before>,
}

/// How things were before the first guard, and are again while there is none. (No handler is ever
/// taken away: other threads may be in it.)
struct Before {
    /// The signals that ended the program.
    deadly: Vec<i32>,
    /// Whether they do so now.
    holds: Arc<AtomicBool>,
}

/// One guard more.
fn enter() -> io::Result<()> {
    let mut guards = GUARDS.lock();
    let before = match guards.before.take() {
        Some(before) => before,
        None => {
            let deadly: Vec<i32> = SIGNALS.into_iter().filter(|&s| sys::is_default(s)).collect();
            // True until all is done: what is half done leaves the program as it was.
            let holds = Arc::new(AtomicBool::new(true));
            for &signal in &deadly {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(&holds))?;
            }
            Before { deadly, holds }
        }
    };
    before.holds.store(false, Ordering::SeqCst);
    guards.before = Some(before);
    guards.count += 1;
    Ok(())
}

/// One guard less.
fn leave() {
    let mut guards = GUARDS.lock();
    guards.count -= 1;
    if let (0, Some(before)) = (guards.count, &guards.before) {
        before.holds.store(true, Ordering::SeqCst);
    }
}

/// A signal came while the last guard was there, and was taken up when it was not any more.
fn came_late(signal: i32) {
    let guards = GUARDS.lock();
    if guards.count == 0 && guards.before.as_ref().is_some_and(|b| b.deadly.contains(&signal)) {
        drop(guards);
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    }
}

/// While this exists, Ctrl-C and SIGTERM end an engine in good order; made by
/// [`Engine::end_on_signals`].
///
/// Its drop waits for a drain that a signal has begun, and until that is over a second signal still
/// cancels what is left. (Inside one of the engine's own jobs or callbacks the drop does not wait, since
/// the drain would wait for it.) What the drain may take is bounded by
/// [`end_on_signals_within`](Engine::end_on_signals_within), or else by nothing.
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
pub struct SignalGuard {
    shared: Arc<Shared>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// What the guard and its thread share.
struct Shared {
    engine: Engine,
    /// How long a drain may take, if not for ever.
    within: Option<Duration>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A signal has come.
    draining: bool,
    /// The guard is gone.
    gone: bool,
    /// Drains the engine.
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// From now on Ctrl-C (SIGINT) and SIGTERM [drain](Shutdown::Drain) the engine: it takes no more
    /// jobs and finishes what it has, and who waits for it goes on, so that the program can end by
    /// itself. A second signal cancels what is left.
    ///
    /// The library handles no signals but by this call and
    /// [`end_on_signals_within`](Self::end_on_signals_within). Needs the feature `signals`, which is on
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
        guard(self.clone(), None)
    }

    /// As [`end_on_signals`](Self::end_on_signals), but the drain takes no longer than that: what is
    /// unfinished then is cancelled, as by a second signal. For programs that are killed if they
    /// take too long to end, as service managers and containers do.
    ///
    /// # Errors
    /// As [`end_on_signals`](Self::end_on_signals).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::time::Duration;
    /// let engine = Engine::new()?;
    /// // systemd waits for 90 seconds before it kills, Kubernetes for 30
    /// let _guard = engine.end_on_signals_within(Duration::from_secs(25))?;
    /// engine.submit(ThreadJob::new(|| 1, ()))?;
    /// engine.wait()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn end_on_signals_within(&self, time: Duration) -> Result<SignalGuard> {
        guard(self.clone(), Some(time))
    }
}

fn guard(engine: Engine, within: Option<Duration>) -> Result<SignalGuard> {
    let refused = |error| Error::io("signals cannot be handled", error);
    enter().map_err(refused)?;
    let mut signals = Signals::new(SIGNALS).map_err(|error| {
        leave();
        refused(error)
    })?;
    let handle = signals.handle();
    let shared = Arc::new(Shared { engine, within, state: Mutex::default() });
    let hears = Arc::clone(&shared);
    let thread = std::thread::Builder::new()
        .name("executor-signals".into())
        .spawn(move || {
            // The thread for the drain starts from it.
            files::settle_new_thread();
            signals.forever().for_each(|signal| hears.hear(signal));
        })
        .map_err(|error| {
            leave();
            Error::io("the thread for signals could not be started", error)
        })?;
    Ok(SignalGuard { shared, handle, thread: Some(thread) })
}

impl Shared {
    fn hear(self: &Arc<Self>, signal: i32) {
        let mut state = self.state.lock();
        if state.draining {
            drop(state);
            record!(Info, TARGET, "signal {signal}: cancelling what is left");
            // Also what is submitted before the drain has closed the engine.
            self.engine.shutdown(Shutdown::Cancel);
        } else if state.gone {
            drop(state);
            came_late(signal);
        } else {
            let this = Arc::clone(self);
            let thread =
                std::thread::Builder::new().name("executor-drain".into()).spawn(move || {
                    // Here, for the logger is not called with the lock held.
                    record!(Info, TARGET, "signal {signal}: finishing what is there");
                    this.drain();
                });
            match thread {
                Ok(thread) => (state.draining, state.thread) = (true, Some(thread)),
                Err(error) => {
                    drop(state);
                    record!(Error, TARGET, "no thread to drain on: {error}");
                }
            }
        }
    }

    fn drain(&self) {
        match self.within {
            None => self.engine.shutdown(Shutdown::Drain),
            Some(time) => {
                if !self.engine.drain_for(time) {
                    record!(Info, TARGET, "the drain was cut short: jobs were cancelled");
                }
            }
        }
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        let me = std::thread::current().id();
        let is_me = |thread: &Option<JoinHandle<()>>| {
            thread.as_ref().is_some_and(|thread| thread.thread().id() == me)
        };
        let mut state = self.shared.state.lock();
        // A value that a job had, say: whom a drain waits for cannot wait for a drain.
        let inside = is_me(&state.thread)
            || is_me(&self.thread)
            || self.shared.engine.dispatcher().is_own_thread();
        if let Some(drain) = state.thread.take()
            && !inside
        {
            // Signals are heard meanwhile.
            drop(state);
            if drain.join().is_err() {
                record!(Error, TARGET, "the drain panicked");
            }
            state = self.shared.state.lock();
        }
        state.gone = true;
        leave();
        drop(state);
        self.handle.close();
        if let Some(thread) = self.thread.take()
            && !inside
        {
            // A panic there was logged where it was noticed.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SignalGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalGuard").field("within", &self.shared.within).finish_non_exhaustive()
    }
}
