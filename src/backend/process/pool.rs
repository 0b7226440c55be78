//! The queue and the workers: all that is under the lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crossbeam::queue::SegQueue;
use log::Level;

use super::server::ForkServer;
use super::settings::Settings;
use super::threads::Threads;
use super::worker::{End, Lent, Queued, State, Worker};
use crate::backend::Run;
use crate::error::JobError;
use crate::job::AnyJob;
use crate::record::is_wanted;
use crate::wire::message::ToServer;

/// A job that ended without a worker's word, and the error to store, if any.
pub(super) type Failure = (Arc<dyn AnyJob>, Option<JobError>);

/// What a record is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    Job,
    Process,
}

impl About {
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::Job => "executor_engine::job",
            Self::Process => "executor_engine::process",
        }
    }
}

/// What is to go to the log when the lock is free: how grave, about what, the text.
pub(super) type Records = SegQueue<(Level, About, String)>;

/// The queue and the workers.
pub(super) struct Pool {
    pub(super) settings: Arc<Settings>,
    /// Runs that were taken back from workers: they go first.
    pub(super) returned: VecDeque<Queued>,
    pub(super) queue: VecDeque<Queued>,
    pub(super) workers: BTreeMap<u64, Worker>,
    /// Active workers that have nothing in flight; the last one was busy last.
    pub(super) idle: Vec<u64>,
    /// Workers that were assigned something that is not sent yet.
    pub(super) dirty: Vec<u64>,
    pub(super) pace: Pace,
    /// How many jobs were finished, by all workers.
    pub(super) finished: u64,
    pub(super) server: Option<ForkServer>,
    pub(super) last_generation: u64,
    pub(super) last_worker: u64,
    pub(super) threads: Option<Threads>,
    /// Whether the caller of `schedule` can look for a prompt reply.
    pub(super) may_look: bool,
    /// The worker to look at, and its inbox.
    pub(super) look: Option<Lent>,
    /// Written by [`Shared::locked`](super::shared::Shared::locked). Workers have them, too.
    pub(super) records: Arc<Records>,
    /// Runs that are done with: users' values, to be dropped when the lock is free, likewise.
    pub(super) dropped: Vec<Run>,
    /// Jobs that have just failed, likewise.
    pub(super) failures: Vec<Failure>,
    /// Jobs that have begun and want to tell, and when.
    pub(super) started: Vec<(u64, u64)>,
    /// Runs of streams that wait for their readers now, or do so no more.
    pub(super) lent: Vec<(u64, u32, bool)>,
    pub(super) closed: bool,
}

impl Pool {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            returned: VecDeque::new(),
            queue: VecDeque::new(),
            workers: BTreeMap::new(),
            idle: Vec::new(),
            dirty: Vec::new(),
            pace: Pace::default(),
            finished: 0,
            server: None,
            last_generation: 0,
            last_worker: 0,
            threads: None,
            may_look: false,
            look: None,
            records: Arc::default(),
            dropped: Vec::new(),
            failures: Vec::new(),
            started: Vec::new(),
            lent: Vec::new(),
            closed: false,
        }
    }

    /// How many workers have something to do, or are being killed over it. Streams that wait for
    /// their readers do not count.
    pub(super) fn busy(&self) -> usize {
        let count = |w: &&Worker| w.state == State::Closing || w.awaits_reader();
        let not_busy = self.workers.values().filter(count).count();
        self.workers.len() - not_busy - self.idle.len()
    }

    pub(super) fn max_jobs(&self) -> u32 {
        self.settings.max_jobs_per_worker.unwrap_or(u32::MAX)
    }

    /// Notes something for the log, to be written when the lock is free. Its text is made only if
    /// such records are wanted at all.
    pub(super) fn tell_log(&mut self, level: Level, about: About, text: impl FnOnce() -> String) {
        if is_wanted(level) {
            self.records.push((level, about, text()));
        }
    }

    /// Notes that a job failed without a worker's word.
    pub(super) fn fail(&mut self, job: Queued, error: Option<JobError>) {
        self.failures.push((job.run.job, error));
    }

    /// Gives jobs that no worker has begun back to the queue.
    pub(super) fn give_back(&mut self, jobs: impl IntoIterator<Item = Queued>) {
        self.returned.extend(jobs);
    }

    /// Takes back requests that the worker has not begun, numbered above `keep`. They are in
    /// the queue again when this returns.
    pub(super) fn take_back(&mut self, id: u64, keep: u32) -> usize {
        let Some(worker) = self.workers.get_mut(&id) else { return 0 };
        let limit = worker.claims().lower(keep);
        let mut taken = Vec::new();
        for entry in &mut worker.in_flight {
            if entry.seq > limit {
                taken.extend(entry.job.take());
            }
        }
        let n = taken.len();
        worker.taken_back += n;
        worker.given = worker.given.saturating_sub(u32::try_from(n).unwrap_or(0));
        self.give_back(taken);
        n
    }

    /// Has a worker killed: with SIGTERM first, if it is to have the chance.
    pub(super) fn kill(&mut self, id: u64, gently: bool, note: Option<String>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.note.is_none() {
            worker.note = note;
        }
        worker.state = State::Dying;
        self.idle.retain(|&idle| idle != id);
        self.take_back(id, 0);
        let grace = if gently { self.settings.kill_grace } else { Default::default() };
        let grace = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.tell(&ToServer::Kill { worker: id, term: gently, grace }, Vec::new());
    }

    /// The limit of jobs to send ahead to one worker.
    pub(super) fn depth(&self) -> usize {
        self.pace.depth()
    }

    /// Notes how a worker ended, for its burial.
    pub(super) fn set_end(&mut self, id: u64, end: End) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.end.get_or_insert(end);
            if worker.state == State::Active {
                worker.state = State::Dying;
                worker.unasked = true;
            }
            self.idle.retain(|&idle| idle != id);
            crate::sys::shutdown(&worker.socket, std::net::Shutdown::Both);
        }
    }
}

/// How long jobs take, to tell how many to send ahead.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A moving average in nanoseconds; 0 is "not known".
    average: u64,
}

/// How much work to send ahead, in nanoseconds: enough to hide the wake-up of a thread that was
/// not running, little enough to wait for.
const AHEAD: u64 = 1_500_000;

/// The most jobs to send ahead.
pub(super) const MOST_AHEAD: usize = 64;

impl Pace {
    /// Notes how long a job took. Long ones count at once, short ones have to be many.
    pub(super) fn note(&mut self, nanos: u64) {
        let nanos = nanos.max(1);
        self.average = match self.average {
            0 => nanos,
            old if nanos > old => old / 2 + nanos / 2 + 1,
            old => old - (old - nanos) / 8,
        };
    }

    fn depth(&self) -> usize {
        match self.average {
            0 => 1,
            average => usize::try_from(AHEAD / average).unwrap_or(MOST_AHEAD).clamp(1, MOST_AHEAD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_follows_the_pace() {
        let mut pace = Pace::default();
        assert_eq!(pace.depth(), 1);
        pace.note(10_000);
        assert_eq!(pace.depth(), MOST_AHEAD);
        pace.note(1_000_000_000);
        assert_eq!(pace.depth(), 1);
        for _ in 0..100 {
            pace.note(100_000);
        }
        assert!((10..=15).contains(&pace.depth()));
    }
}
