//! The engine's rayon pool.
//!
//! Jobs do not become rayon tasks one by one. They wait in a queue of ours, and *pumps* work it
//! off: rayon tasks, at most one per pool thread, that run jobs until the queue is empty. So a
//! job costs no rayon spawn and no wake while pumps run, and at most as many jobs run at once
//! as the pool has threads, since rayon runs a task on one thread from start to end.
//!
//! Inside a job, `par_iter` and `join` use the same pool. A rayon thread that waits in a `join`
//! picks up other tasks of the pool, perhaps a pump. Such a nested pump runs one job and makes
//! way, so that the waiting job goes on soon: rayon's own behaviour for spawned closures.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam::queue::SegQueue;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::{Backend, EngineId, Here, Reports, Run, execute};
use crate::job::KindId;

/// After this many jobs a pump gives rayon's own tasks a turn.
const YIELD_EVERY: u32 = 64;

/// How the pool is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadSettings {
    pub(crate) threads: usize,
    pub(crate) stack_size: usize,
}

/// The pool. Its threads start with the first job.
pub(crate) struct ThreadBackend {
    shared: Arc<Shared>,
    engine: EngineId,
    settings: ThreadSettings,
    pool: Mutex<Pool>,
}

enum Pool {
    NotYet,
    Running(Vec<JoinHandle<()>>),
    Ended,
}

struct Shared {
    threads: usize,
    reports: Weak<dyn Reports>,
    queue: SegQueue<Run>,
    /// Runs in the queue; raised before one is pushed.
    queued: AtomicUsize,
    /// Pumps alive.
    pumps: AtomicUsize,
    /// Pumps alive that will look into the queue before they do anything else.
    hungry: AtomicUsize,
    /// `None` before the first job and after the shutdown.
    pool: parking_lot::RwLock<Option<ThreadPool>>,
}

impl ThreadBackend {
    pub(crate) fn new(
        engine: EngineId,
        settings: ThreadSettings,
        reports: Weak<dyn Reports>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                threads: settings.threads,
                reports,
                queue: SegQueue::new(),
                queued: AtomicUsize::new(0),
                pumps: AtomicUsize::new(0),
                hungry: AtomicUsize::new(0),
                pool: parking_lot::RwLock::new(None),
            }),
            engine,
            settings,
            pool: Mutex::new(Pool::NotYet),
        }
    }

    fn build(&self) -> std::io::Result<(ThreadPool, Vec<JoinHandle<()>>)> {
        let engine = self.engine;
        let stack_size = self.settings.stack_size;
        let mut threads = Vec::with_capacity(self.settings.threads);
        let pool = ThreadPoolBuilder::new()
            .num_threads(self.settings.threads)
            // Our own spawning, to join the threads at the end: rayon lets them go unjoined.
            .spawn_handler(|thread| {
                let name = format!("executor-pool-{}", thread.index());
                let spawned = std::thread::Builder::new().name(name).stack_size(stack_size).spawn(
                    move || {
                        Here::enter(engine, KindId::Thread);
                        thread.run();
                    },
                )?;
                threads.push(spawned);
                Ok(())
            })
            .build()
            .map_err(std::io::Error::other);
        match pool {
            Ok(pool) => Ok((pool, threads)),
            Err(error) => {
                // A pool that failed to build ends the threads it had.
                threads.into_iter().for_each(super::join);
                Err(error)
            }
        }
    }

    fn start(&self) {
        let mut pool = self.pool.lock();
        if !matches!(*pool, Pool::NotYet) {
            return;
        }
        match self.build() {
            Ok((rayon, threads)) => {
                *self.shared.pool.write() = Some(rayon);
                *pool = Pool::Running(threads);
            }
            Err(error) => {
                drop(pool);
                self.shared.fail_queued(&error);
            }
        }
    }
}

impl Backend for ThreadBackend {
    fn push(&self, run: Run) {
        self.shared.queued.fetch_add(1, Ordering::SeqCst);
        self.shared.queue.push(run);
    }

    fn kick(&self) {
        if self.shared.pool.read().is_none() {
            self.start();
        }
        self.shared.feed();
    }

    fn abort(&self, run: &Run) {
        super::abort_unclaimed(run, &self.shared.reports);
    }

    fn has_waiting(&self) -> bool {
        self.shared.queued.load(Ordering::SeqCst) > 0
    }

    fn shutdown(&self) {
        let pool = std::mem::replace(&mut *self.pool.lock(), Pool::Ended);
        // Dropped outside the lock.
        let rayon = self.shared.pool.write().take();
        drop(rayon);
        if let Pool::Running(threads) = pool {
            threads.into_iter().for_each(super::join);
        }
    }
}

impl Shared {
    /// Sees to it that the queue has pumps enough.
    fn feed(self: &Arc<Self>) {
        loop {
            let queued = self.queued.load(Ordering::SeqCst);
            let pumps = self.pumps.load(Ordering::SeqCst);
            if queued == 0 || pumps >= self.threads || self.hungry.load(Ordering::SeqCst) >= queued
            {
                return;
            }
            if self
                .pumps
                .compare_exchange(pumps, pumps + 1, Ordering::SeqCst, Ordering::SeqCst)
                .is_err()
            {
                continue;
            }
            self.hungry.fetch_add(1, Ordering::SeqCst);
            let shared = Arc::clone(self);
            match &*self.pool.read() {
                Some(pool) => pool.spawn(move || shared.pump()),
                None => {
                    self.hungry.fetch_sub(1, Ordering::SeqCst);
                    self.pumps.fetch_sub(1, Ordering::SeqCst);
                    return;
                }
            }
        }
    }

    fn pop(&self) -> Option<Run> {
        let run = self.queue.pop()?;
        self.queued.fetch_sub(1, Ordering::SeqCst);
        Some(run)
    }

    /// Runs jobs until the queue is empty. Comes counted as hungry.
    fn pump(self: &Arc<Self>) {
        let nested = Here::in_job();
        let mut jobs = 0_u32;
        while let Some(run) = self.pop() {
            if run.claim()
                && let Some(reports) = self.reports.upgrade()
            {
                self.hungry.fetch_sub(1, Ordering::SeqCst);
                // The pump counts as hungry again before the news of this job makes the next
                // one ready, so that a chain of jobs stays on one thread and wakes no other.
                execute(&*run.job, &Hungry { shared: self, reports: &*reports });
                if nested {
                    break;
                }
            }
            jobs = jobs.wrapping_add(1);
            if jobs.is_multiple_of(YIELD_EVERY) {
                rayon::yield_now();
            }
        }
        self.hungry.fetch_sub(1, Ordering::SeqCst);
        self.pumps.fetch_sub(1, Ordering::SeqCst);
        // A job pushed just now may have counted on this pump.
        self.feed();
    }

    fn fail_queued(&self, error: &std::io::Error) {
        let Some(reports) = self.reports.upgrade() else { return };
        while let Some(run) = self.pop() {
            if run.claim() {
                super::fail_unstarted(&*run.job, &*reports, "the thread pool", error);
            }
        }
        reports.drive();
    }
}

/// Counts its pump as hungry again when the job's end is posted.
struct Hungry<'a> {
    shared: &'a Shared,
    reports: &'a dyn Reports,
}

impl Reports for Hungry<'_> {
    fn post_finished(&self, key: u64, ok: bool) {
        self.shared.hungry.fetch_add(1, Ordering::SeqCst);
        self.reports.post_finished(key, ok);
    }

    fn drive(&self) {
        self.reports.drive();
    }
}
