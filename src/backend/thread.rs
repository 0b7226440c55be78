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

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam::queue::SegQueue;
use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::tally::{HUNGRY, QUEUED, SERVER, Tally};
use super::{Backend, Here, Reports, Run, execute};
use crate::clock;
use crate::job::{Ended, EngineId, KindId};

/// How many rounds a pump with nothing to do looks for more before it ends.
const LINGER: u32 = 24;
/// After how many nanoseconds of jobs a pump gives rayon's own tasks a turn. Meanwhile the queue
/// may need another pump, and that one a wake; so not after so many jobs, which can be short.
const YIELD_AFTER: u64 = 250_000;
/// How many of these rounds it spins; in the others it yields.
const SPIN: u32 = 6;

thread_local! {
    /// Whether this thread is in a pump.
    static IN_PUMP: Cell<bool> = const { Cell::new(false) };
}

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
    /// The servers are the pumps.
    tally: Tally,
    /// Threads of the pool that sleep inside a job.
    asleep: AtomicUsize,
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
                tally: Tally::default(),
                asleep: AtomicUsize::new(0),
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
        self.shared.tally.add(QUEUED);
        self.shared.queue.push(run);
    }

    fn kick(&self) {
        if !self.shared.tally.counts().wants_server(self.shared.max_pumps()) {
            return;
        }
        if self.shared.pool.read().is_none() {
            self.start();
        }
        self.shared.feed();
    }

    fn take_back(&self) -> Vec<Run> {
        let shared = &self.shared;
        let pop = || shared.queue.pop().inspect(|_| shared.tally.subtract(QUEUED));
        std::iter::from_fn(pop).collect()
    }

    fn abort(&self, run: &Run) {
        super::abort_unclaimed(run, &self.shared.reports);
    }

    fn waiting(&self) -> usize {
        self.shared.tally.counts().queued()
    }

    fn asleep(&self, asleep: bool) {
        if asleep {
            self.shared.asleep.fetch_add(1, Ordering::SeqCst);
        } else {
            self.shared.asleep.fetch_sub(1, Ordering::SeqCst);
        }
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
    /// One per thread; and one more for each thread that sleeps inside a job, for its pump does
    /// nothing meanwhile, while another thread may have room for one inside rayon's own waiting.
    fn max_pumps(&self) -> usize {
        self.threads + self.asleep.load(Ordering::SeqCst)
    }

    /// Sees to it that the queue has pumps enough.
    fn feed(self: &Arc<Self>) {
        while self.tally.hire(self.max_pumps()) {
            let shared = Arc::clone(self);
            match &*self.pool.read() {
                Some(pool) => pool.spawn(move || shared.pump()),
                None => return self.tally.subtract(SERVER + HUNGRY),
            }
        }
    }

    /// Runs jobs until the queue is empty. Comes counted as hungry.
    fn pump(self: &Arc<Self>) {
        // Inside a job, or inside a part of one that a pump found when it looked for rayon's tasks.
        let outer = IN_PUMP.replace(true);
        let nested = outer || Here::in_job();
        if let Some(reports) = self.reports.upgrade() {
            let reports = Hungry { shared: self, reports: &*reports };
            let mut idle = 0;
            let mut yielded = clock::now();
            while idle < LINGER {
                if let Some(run) = self.queue.pop() {
                    idle = 0;
                    if !run.claim() {
                        self.tally.subtract(QUEUED);
                        continue;
                    }
                    self.tally.subtract(QUEUED + HUNGRY);
                    // The pump counts as hungry again before the news of this job makes the next
                    // one ready, so that a chain of jobs stays on one thread and wakes no other.
                    // Not the end of the job before: users' wakers and the like came after that.
                    let end = execute(&run.job, &reports, clock::now());
                    if end.saturating_sub(yielded) >= YIELD_AFTER && !nested {
                        self.yield_to_rayon();
                        yielded = end;
                    }
                } else {
                    idle += 1;
                    // One that looks out for more is enough.
                    if idle == SPIN && self.tally.retire() {
                        IN_PUMP.set(outer);
                        return self.feed();
                    }
                    self.linger(idle);
                }
                if nested {
                    break;
                }
            }
        }
        IN_PUMP.set(outer);
        self.tally.subtract(HUNGRY + SERVER);
        // A job pushed just now may have counted on this pump.
        self.feed();
    }

    /// A pause of a pump with nothing to do: the next job is often near, and finding it here
    /// saves it a wake. Rayon's own tasks get their turn, during which the pump is not hungry.
    fn linger(self: &Arc<Self>, round: u32) {
        if round < SPIN {
            (0..1 << round).for_each(|_| std::hint::spin_loop());
            return;
        }
        if !self.yield_to_rayon() {
            std::thread::yield_now();
        }
    }

    /// Runs one of the pool's other tasks, if there is one. It may be a pump or take long, so
    /// this one does not count meanwhile.
    fn yield_to_rayon(self: &Arc<Self>) -> bool {
        self.tally.subtract(HUNGRY + SERVER);
        // A job pushed just now may have counted on this pump.
        self.feed();
        let ran = rayon::yield_now() == Some(rayon::Yield::Executed);
        self.tally.add(HUNGRY + SERVER);
        ran
    }

    fn fail_queued(&self, error: &std::io::Error) {
        let Some(reports) = self.reports.upgrade() else { return };
        while let Some(run) = self.queue.pop() {
            self.tally.subtract(QUEUED);
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
    fn post_started(&self, key: u64, at: u64) {
        self.reports.post_started(key, at);
    }

    fn post_finished(&self, key: u64, ended: Ended) {
        self.shared.tally.add(HUNGRY);
        self.reports.post_finished(key, ended);
    }

    fn post_lent(&self, key: u64, run: u32, lent: bool) {
        self.reports.post_lent(key, run, lent);
    }

    fn post_taken_back(&self, runs: Vec<Run>) -> bool {
        self.reports.post_taken_back(runs)
    }

    fn finished(&self, key: u64, ended: Ended, at: u64) {
        self.shared.tally.add(HUNGRY);
        self.reports.finished(key, ended, at);
    }

    fn drive(&self) {
        self.reports.drive();
    }
}
