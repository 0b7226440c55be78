//! The counts of a queue and those who work it off, in one atomic word.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// Three counts that change together: runs in the queue (raised before the push), servers that
/// will look into the queue before they do anything else (*hungry*), and servers alive. One
/// step of a job is one atomic operation on one cache line, and no reader sees half a step.
#[derive(Default)]
pub(super) struct Tally(CachePadded<AtomicU64>);

/// The counts at one moment.
#[derive(Clone, Copy)]
pub(super) struct Counts(u64);

/// One more run in the queue.
pub(super) const QUEUED: u64 = 1 << 32;
/// One more hungry server.
pub(super) const HUNGRY: u64 = 1 << 16;
/// One more server.
pub(super) const SERVER: u64 = 1;

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        Counts(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn add(&self, counts: u64) {
        self.0.fetch_add(counts, Ordering::SeqCst);
    }

    pub(super) fn subtract(&self, counts: u64) {
        self.0.fetch_sub(counts, Ordering::SeqCst);
    }

    /// Counts one more server, hungry, if one is wanted and `limit` allows it.
    pub(super) fn hire(&self, limit: usize) -> bool {
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |counts| {
                Counts(counts).wants_server(limit).then_some(counts + SERVER + HUNGRY)
            })
            .is_ok()
    }

    /// Counts one server less, which is hungry, if others that are will do; it then ends.
    pub(super) fn retire(&self) -> bool {
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |counts| {
                let others = Counts(counts).hungry().saturating_sub(1);
                (others > counts / QUEUED).then_some(counts - SERVER - HUNGRY)
            })
            .is_ok()
    }
}

impl Counts {
    pub(super) fn queued(self) -> usize {
        usize::try_from(self.0 / QUEUED).unwrap_or(usize::MAX)
    }

    fn hungry(self) -> u64 {
        self.0 % QUEUED / HUNGRY
    }

    fn servers(self) -> u64 {
        self.0 % HUNGRY
    }

    /// Whether there are more runs than servers that will come for them.
    pub(super) fn wants_server(self, limit: usize) -> bool {
        self.0 / QUEUED > self.hungry() && self.servers() < limit as u64
    }
}
