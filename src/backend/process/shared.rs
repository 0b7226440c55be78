//! What the backend's threads share, and how news reach the dispatcher.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Weak};

use crossbeam::queue::SegQueue;
use parking_lot::Mutex;

use super::pool::Pool;
use super::settings::Settings;
use crate::backend::{Reports, Run};
use crate::job::{AnyJob, drop_quietly, judge};
use crate::record;

/// What the backend's threads share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    reports: Weak<dyn Reports>,
    /// Runs that were pushed and not yet looked at.
    pub(super) arrivals: SegQueue<Run>,
    pub(super) pool: Mutex<Pool>,
    /// How often all that nobody has begun was taken back.
    pub(super) takings: AtomicU64,
    /// Whether a fork server was started and has not answered yet.
    pub(super) greeting: AtomicBool,
    /// Whether more jobs are in flight than workers run.
    pub(super) crowded: AtomicBool,
    pub(super) me: Weak<Self>,
}

impl Shared {
    pub(super) fn new(settings: Settings, reports: Weak<dyn Reports>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            pool: Mutex::new(Pool::new(settings.clone())),
            settings,
            reports,
            arrivals: SegQueue::new(),
            greeting: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            takings: AtomicU64::new(0),
            me: Weak::clone(me),
        })
    }

    /// Does something with the pool; then, without the lock, reports the jobs that failed by
    /// it. Also says whether there were any: then [`drive`](Self::drive) must follow.
    pub(super) fn locked<R>(&self, f: impl FnOnce(&mut Pool) -> R) -> (R, bool) {
        let mut pool = self.pool.lock();
        let result = f(&mut pool);
        let records: Vec<_> = std::iter::from_fn(|| pool.records.pop()).collect();
        let dropped = std::mem::take(&mut pool.dropped);
        let failures = std::mem::take(&mut pool.failures);
        let begun = !pool.started.is_empty() || !pool.lent.is_empty();
        let posted = !failures.is_empty() || begun;
        if let Some(reports) = self.reports.upgrade().filter(|_| begun) {
            // Before the lock is let go: what another thread makes of these jobs comes after it.
            pool.started.drain(..).for_each(|(key, at)| reports.post_started(key, at));
            pool.lent.drain(..).for_each(|(key, run, lent)| reports.post_lent(key, run, lent));
        }
        drop(pool);
        for (level, about, record) in records {
            record::contained(|| log::log!(target: about.target(), level, "{record}"));
        }
        for (job, error) in failures {
            if let Some(error) = error {
                job.store_error(error);
            }
            self.post(&job, false);
        }
        dropped.into_iter().for_each(drop_quietly);
        (result, posted)
    }

    /// The calling thread is the backend's own.
    pub(super) fn enter_service(&self) {
        if let Some(reports) = self.reports.upgrade() {
            reports.enter_service();
        }
    }

    /// Puts the news that a job has finished into the dispatcher's inbox.
    pub(super) fn post(&self, job: &Arc<dyn AnyJob>, ok: bool) {
        if let Some(reports) = self.reports.upgrade() {
            reports.post_finished(job.head().key(), judge(&**job, ok));
        }
    }

    /// Gives these back to the dispatcher. Says whether there is news for it.
    pub(super) fn post_taken_back(&self, runs: Vec<Run>) -> bool {
        self.reports.upgrade().is_some_and(|reports| reports.post_taken_back(runs))
    }

    /// Lets the dispatcher act on its inbox. Call it with neither lock nor inbox in hand.
    pub(super) fn drive(&self) {
        if let Some(reports) = self.reports.upgrade() {
            reports.drive();
        }
    }
}
