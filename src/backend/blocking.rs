//! Threads for jobs that wait rather than compute: made on demand up to a limit, kept for a
//! while when idle.
//!
//! Streams have a crew of threads to themselves, without a limit but that of the permits: a stream
//! that was started must not wait for a thread that sleeps until somebody has read it.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use parking_lot::Mutex;

use super::tally::{HUNGRY, QUEUED, SERVER, Tally};
use super::{Backend, Here, Reports, Run, execute};
use crate::clock;
use crate::job::{EngineId, KindId};

/// How long an idle thread stays.
const KEEP_IDLE: Duration = Duration::from_secs(10);

/// The cached threads.
pub(crate) struct BlockingBackend {
    jobs: Crew,
    streams: Crew,
}

/// Threads that work off one queue.
struct Crew {
    engine: EngineId,
    limit: usize,
    stack_size: usize,
    shared: Arc<Shared>,
    sender: Mutex<Option<Sender<Run>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Receiver<Run>,
    /// The servers are the threads.
    tally: Tally,
    reports: Weak<dyn Reports>,
}

impl BlockingBackend {
    pub(crate) fn new(
        engine: EngineId,
        limit: usize,
        stack_size: usize,
        reports: Weak<dyn Reports>,
    ) -> Self {
        let streams = Crew::new(engine, usize::MAX, stack_size, Weak::clone(&reports));
        Self { jobs: Crew::new(engine, limit, stack_size, reports), streams }
    }
}

impl Backend for BlockingBackend {
    fn push(&self, run: Run) {
        let crew = if run.job.head().stream().is_some() { &self.streams } else { &self.jobs };
        crew.push(run);
    }

    fn kick(&self) {
        self.jobs.kick();
        self.streams.kick();
    }

    fn take_back(&self) -> Vec<Run> {
        let mut runs = self.jobs.take_back();
        runs.extend(self.streams.take_back());
        runs
    }

    fn abort(&self, run: &Run) {
        super::abort_unclaimed(run, &self.jobs.shared.reports);
    }

    fn waiting(&self) -> usize {
        self.jobs.shared.tally.counts().queued()
    }

    fn shutdown(&self) {
        self.jobs.shutdown();
        self.streams.shutdown();
    }
}

impl Crew {
    fn new(engine: EngineId, limit: usize, stack_size: usize, reports: Weak<dyn Reports>) -> Self {
        let (sender, queue) = unbounded();
        Self {
            engine,
            limit,
            stack_size,
            shared: Arc::new(Shared { queue, tally: Tally::default(), reports }),
            sender: Mutex::new(Some(sender)),
            threads: Mutex::default(),
        }
    }

    fn spawn(&self) -> std::io::Result<JoinHandle<()>> {
        let (engine, shared) = (self.engine, Arc::clone(&self.shared));
        std::thread::Builder::new()
            .name("executor-blocking".into())
            .stack_size(self.stack_size)
            .spawn(move || {
                Here::enter(engine, KindId::Blocking);
                shared.serve();
            })
    }

    fn push(&self, run: Run) {
        if let Some(sender) = &*self.sender.lock() {
            self.shared.tally.add(QUEUED);
            // The receiver lives as long as `self`.
            let _ = sender.send(run);
        }
    }

    fn take_back(&self) -> Vec<Run> {
        let runs = self.shared.queue.try_iter();
        runs.inspect(|_| self.shared.tally.subtract(QUEUED)).collect()
    }

    fn kick(&self) {
        while self.shared.tally.hire(self.limit) {
            let mut threads = self.threads.lock();
            if self.sender.lock().is_none() {
                // Shut down: nobody would join the thread.
                return self.shared.tally.subtract(SERVER + HUNGRY);
            }
            threads.retain(|thread| !thread.is_finished());
            match self.spawn() {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.shared.tally.subtract(SERVER + HUNGRY);
                    // Threads that are there will come to it.
                    if threads.is_empty() {
                        drop(threads);
                        self.shared.fail_queued(&error);
                    }
                    return;
                }
            }
        }
    }

    fn shutdown(&self) {
        self.sender.lock().take();
        // A thread that is joined may be in `kick` and want the lock.
        let threads = std::mem::take(&mut *self.threads.lock());
        threads.into_iter().for_each(super::join);
    }
}

impl Shared {
    /// Runs jobs until the queue is closed or has been empty for long. Comes counted as hungry.
    fn serve(&self) {
        loop {
            match self.queue.recv_timeout(KEEP_IDLE) {
                Ok(run) => self.run(&run),
                Err(RecvTimeoutError::Disconnected) => {
                    return self.tally.subtract(SERVER + HUNGRY);
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.tally.subtract(SERVER + HUNGRY);
                    // A run pushed just now may have counted on this thread.
                    if !self.tally.hire(usize::MAX) {
                        return;
                    }
                }
            }
        }
    }

    fn run(&self, run: &Run) {
        self.tally.subtract(QUEUED + HUNGRY);
        if run.claim()
            && let Some(reports) = self.reports.upgrade()
        {
            execute(&run.job, &*reports, clock::now());
        }
        self.tally.add(HUNGRY);
    }

    fn fail_queued(&self, error: &std::io::Error) {
        let Some(reports) = self.reports.upgrade() else { return };
        while let Ok(run) = self.queue.try_recv() {
            self.tally.subtract(QUEUED);
            if run.claim() {
                super::fail_unstarted(&*run.job, &*reports, "a thread for blocking jobs", error);
            }
        }
        reports.drive();
    }
}
