//! Which engine this thread belongs to, and which job it runs.

use std::cell::Cell;

use crate::files;
use crate::job::{EngineId, KindId};

/// What a thread of an engine is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    pub(crate) engine: EngineId,
    /// The kind of jobs that the thread is there for.
    pub(crate) server: KindId,
    /// The job that it runs now.
    pub(crate) job: Option<u64>,
}

thread_local! {
    static HERE: Cell<Option<Here>> = const { Cell::new(None) };
    /// The engine whose thread this is, though it runs no jobs.
    static SERVANT: Cell<Option<EngineId>> = const { Cell::new(None) };
}

/// Marks this thread as one that an engine needs for its own work: it must not wait for that
/// engine's end, which a value that it drops can bring about.
pub(crate) fn enter_service(engine: EngineId) {
    SERVANT.set(Some(engine));
    files::settle_new_thread();
}

/// Whether this thread is one of the engine's, of whatever sort.
pub(crate) fn is_of(engine: EngineId) -> bool {
    SERVANT.get() == Some(engine) || Here::of(engine).is_some()
}

impl Here {
    /// Marks this thread as one of the engine's.
    pub(crate) fn enter(engine: EngineId, server: KindId) {
        HERE.set(Some(Self { engine, server, job: None }));
        files::settle_new_thread();
    }

    /// What this thread is, if it is one of that engine's.
    pub(crate) fn of(engine: EngineId) -> Option<Self> {
        HERE.get().filter(|here| here.engine == engine)
    }

    /// Calls `f` while this thread is marked as running the job; then the mark is as before.
    pub(crate) fn running<R>(job: u64, f: impl FnOnce() -> R) -> R {
        struct Restore(Option<Here>);
        impl Drop for Restore {
            fn drop(&mut self) {
                HERE.set(self.0);
            }
        }
        let before = HERE.get();
        let _restore = Restore(before);
        HERE.set(before.map(|here| Self { job: Some(job), ..here }));
        f()
    }

    /// Whether this thread runs a job now, of whatever engine.
    pub(crate) fn in_job() -> bool {
        HERE.get().is_some_and(|here| here.job.is_some())
    }
}
