//! Threads for jobs that wait rather than compute: made on demand up to a limit, kept for a
//! while when idle.

use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use parking_lot::Mutex;

use super::{Backend, Here, Reports, Run, execute};
use crate::clock;
use crate::job::{EngineId, KindId};

/// How long an idle thread stays.
const KEEP_IDLE: Duration = Duration::from_secs(10);

/// The cached threads.
pub(crate) struct BlockingBackend {
    engine: EngineId,
    limit: usize,
    stack_size: usize,
    reports: Weak<dyn Reports>,
    queue: Receiver<Run>,
    sender: Mutex<Option<Sender<Run>>>,
    /// Threads that wait for a job, or are about to.
    idle: std::sync::Arc<AtomicUsize>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl BlockingBackend {
    pub(crate) fn new(
        engine: EngineId,
        limit: usize,
        stack_size: usize,
        reports: Weak<dyn Reports>,
    ) -> Self {
        let (sender, queue) = unbounded();
        Self {
            engine,
            limit,
            stack_size,
            reports,
            queue,
            sender: Mutex::new(Some(sender)),
            idle: std::sync::Arc::default(),
            threads: Mutex::default(),
        }
    }

    fn spawn(&self) -> std::io::Result<JoinHandle<()>> {
        let (engine, queue, reports) =
            (self.engine, self.queue.clone(), Weak::clone(&self.reports));
        let idle = std::sync::Arc::clone(&self.idle);
        idle.fetch_add(1, Ordering::SeqCst);
        let spawned = std::thread::Builder::new()
            .name("executor-blocking".into())
            .stack_size(self.stack_size)
            .spawn(move || {
                Here::enter(engine, KindId::Blocking);
                serve(&queue, &idle, &reports);
            });
        if spawned.is_err() {
            self.idle.fetch_sub(1, Ordering::SeqCst);
        }
        spawned
    }
}

impl Backend for BlockingBackend {
    fn push(&self, run: Run) {
        if let Some(sender) = &*self.sender.lock() {
            // The receiver lives as long as `self`.
            let _ = sender.send(run);
        }
    }

    fn kick(&self) {
        let mut threads = self.threads.lock();
        while self.queue.len() > self.idle.load(Ordering::SeqCst) {
            threads.retain(|thread| !thread.is_finished());
            if threads.len() >= self.limit {
                return;
            }
            match self.spawn() {
                Ok(thread) => threads.push(thread),
                // The threads that are there will come to it.
                Err(_) if !threads.is_empty() => return,
                Err(error) => {
                    drop(threads);
                    super::local::fail_queued(
                        &self.queue,
                        &self.reports,
                        "a thread for blocking jobs",
                        &error,
                    );
                    return;
                }
            }
        }
    }

    fn abort(&self, run: &Run) {
        super::abort_unclaimed(run, &self.reports);
    }

    fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    fn shutdown(&self) {
        self.sender.lock().take();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            super::join(thread);
        }
    }
}

/// Runs jobs until the queue is closed or has been empty for long.
fn serve(queue: &Receiver<Run>, idle: &AtomicUsize, reports: &Weak<dyn Reports>) {
    loop {
        match queue.recv_timeout(KEEP_IDLE) {
            Ok(run) => {
                idle.fetch_sub(1, Ordering::SeqCst);
                if run.claim()
                    && let Some(reports) = reports.upgrade()
                {
                    execute(&*run.job, &*reports, clock::now());
                }
                idle.fetch_add(1, Ordering::SeqCst);
            }
            Err(RecvTimeoutError::Timeout) => {
                idle.fetch_sub(1, Ordering::SeqCst);
                // A job pushed just now counted on this thread: look once more.
                let Ok(run) = queue.try_recv() else { return };
                if run.claim()
                    && let Some(reports) = reports.upgrade()
                {
                    execute(&*run.job, &*reports, clock::now());
                }
                idle.fetch_add(1, Ordering::SeqCst);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
