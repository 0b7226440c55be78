//! Threads for foreign code that must hold up neither the dispatcher nor jobs: custom conditions
//! that are asked, callbacks that are told.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam::channel::{Sender, unbounded};
use parking_lot::Mutex;

use super::run::Dispatcher;
use crate::backend::enter_service;
use crate::files;
use crate::job::EngineId;
use crate::record::record;

/// A thread that runs errands one after the other. It starts with the first.
pub(super) struct Errands<E> {
    name: &'static str,
    run: fn(&Arc<Dispatcher>, E),
    thread: Mutex<State<E>>,
}

enum State<E> {
    Nothing,
    Running(Sender<E>, JoinHandle<()>),
    Ended,
}

/// An errand that is not run, and why.
pub(super) struct Unsent<E> {
    pub(super) errand: E,
    pub(super) error: std::io::Error,
}

impl<E: Send + 'static> Errands<E> {
    pub(super) fn new(name: &'static str, run: fn(&Arc<Dispatcher>, E)) -> Self {
        Self { name, run, thread: Mutex::new(State::Nothing) }
    }

    /// Has an errand run. Waits for nobody, so it can be called with the core's lock held.
    ///
    /// # Errors
    /// The system refuses the thread; the engine has ended. The errand is given back, for it has
    /// users' values, which are not to be dropped under a lock.
    pub(super) fn send(
        &self,
        engine: EngineId,
        dispatcher: &Weak<Dispatcher>,
        errand: E,
    ) -> Result<(), Box<Unsent<E>>> {
        let mut thread = self.thread.lock();
        if matches!(*thread, State::Nothing) {
            let (sender, errands) = unbounded();
            let (dispatcher, run) = (Weak::clone(dispatcher), self.run);
            let spawned = std::thread::Builder::new().name(self.name.into()).spawn(move || {
                enter_service(engine);
                for errand in errands {
                    let Some(dispatcher) = dispatcher.upgrade() else { return };
                    files::come_home();
                    run(&dispatcher, errand);
                }
            });
            match spawned {
                Ok(handle) => *thread = State::Running(sender, handle),
                Err(error) => return Err(Box::new(Unsent { errand, error })),
            }
        }
        // Who counts errands must not count on one that never comes. (The receiver is there until
        // the sender is gone, unless the engine is.)
        let errand = match &*thread {
            State::Running(sender, _) => match sender.send(errand) {
                Ok(()) => return Ok(()),
                Err(unsent) => unsent.0,
            },
            State::Nothing | State::Ended => errand,
        };
        let error = std::io::Error::other("the engine has ended");
        Err(Box::new(Unsent { errand, error }))
    }

    /// Ends the thread, once it has run what it was sent.
    pub(super) fn stop(&self) {
        let ended = std::mem::replace(&mut *self.thread.lock(), State::Ended);
        let State::Running(sender, handle) = ended else { return };
        drop(sender);
        if handle.thread().id() != std::thread::current().id() && handle.join().is_err() {
            record!(Error, "executor_engine::dispatcher", "{}: the thread panicked", self.name);
        }
    }
}
