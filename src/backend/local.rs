//! The serial lane: one thread that runs local jobs one after the other.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;

use super::{Backend, Here, Reports, Run, execute};
use crate::clock;
use crate::job::{EngineId, KindId};

/// The serial lane. Its thread starts with the first job.
pub(crate) struct LocalBackend {
    engine: EngineId,
    stack_size: usize,
    reports: Weak<dyn Reports>,
    queue: Receiver<Run>,
    lane: Mutex<Lane>,
    sender: Mutex<Option<Sender<Run>>>,
}

enum Lane {
    Idle,
    Running(JoinHandle<()>),
    Ended,
}

impl LocalBackend {
    pub(crate) fn new(engine: EngineId, stack_size: usize, reports: Weak<dyn Reports>) -> Self {
        let (sender, queue) = unbounded();
        Self {
            engine,
            stack_size,
            reports,
            queue,
            lane: Mutex::new(Lane::Idle),
            sender: Mutex::new(Some(sender)),
        }
    }
}

impl Backend for LocalBackend {
    fn push(&self, run: Run) {
        if let Some(sender) = &*self.sender.lock() {
            // The receiver lives as long as `self`.
            let _ = sender.send(run);
        }
    }

    fn kick(&self) {
        let mut lane = self.lane.lock();
        if !matches!(*lane, Lane::Idle) {
            return;
        }
        let (engine, queue, reports) =
            (self.engine, self.queue.clone(), Weak::clone(&self.reports));
        let spawned = std::thread::Builder::new()
            .name("executor-local".into())
            .stack_size(self.stack_size)
            .spawn(move || {
                Here::enter(engine, KindId::Local);
                serve(&queue, &reports);
            });
        match spawned {
            Ok(thread) => *lane = Lane::Running(thread),
            Err(error) => {
                drop(lane);
                fail_queued(&self.queue, &self.reports, "the serial lane's thread", &error);
            }
        }
    }

    fn take_back(&self) -> Vec<Run> {
        self.queue.try_iter().collect()
    }

    fn abort(&self, run: &Run) {
        super::abort_unclaimed(run, &self.reports);
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn shutdown(&self) {
        self.sender.lock().take();
        let lane = std::mem::replace(&mut *self.lane.lock(), Lane::Ended);
        if let Lane::Running(thread) = lane {
            super::join(thread);
        }
    }
}

/// Runs jobs until the queue is closed.
fn serve(queue: &Receiver<Run>, reports: &Weak<dyn Reports>) {
    while let Ok(run) = queue.recv() {
        if run.claim()
            && let Some(reports) = reports.upgrade()
        {
            execute(&run.job, &*reports, clock::now());
        }
    }
}

/// The thread that would run these jobs cannot be had: they fail, and say why.
pub(super) fn fail_queued(
    queue: &Receiver<Run>,
    reports: &Weak<dyn Reports>,
    thread: &str,
    error: &std::io::Error,
) {
    let Some(reports) = reports.upgrade() else { return };
    let runs: Vec<Arc<_>> = queue.try_iter().filter(Run::claim).map(|run| run.job).collect();
    for job in runs {
        super::fail_unstarted(&*job, &*reports, thread, error);
    }
    reports.drive();
}
