//! Who may go next: a ready queue and a count of permits per kind, and one over all.
//!
//! A job that is handed to a backend holds one permit of its kind and one of the engine, until
//! its run has ended. A backend executes at most as many jobs at once as it has threads or
//! workers; where the engine as a whole is unlimited, it is handed some more than that (its
//! *window*), so that it never waits for the dispatcher between two jobs.

use std::collections::VecDeque;

use super::message::Key;
use crate::job::KindId;

/// How many jobs may be out at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Over all kinds; `None` is no limit.
    pub(crate) max_jobs: Option<usize>,
    /// How many jobs of each kind are executed at once.
    pub(crate) per_kind: [usize; KindId::COUNT],
    /// How many jobs more are handed out per kind, if `max_jobs` is `None`.
    pub(crate) window: [usize; KindId::COUNT],
}

impl Limits {
    /// How many jobs of the kind can be out.
    pub(crate) fn capacity(&self, kind: KindId) -> usize {
        let window = if self.max_jobs.is_none() { self.window[kind as usize] } else { 0 };
        self.per_kind[kind as usize].saturating_add(window)
    }
}

/// The ready queues and the permits.
pub(crate) struct Ready {
    limits: Limits,
    /// Per kind, in the order in which they became ready; entries whose job is no longer ready
    /// are passed over when they come up.
    queues: [VecDeque<Entry>; KindId::COUNT],
    permits: [usize; KindId::COUNT],
    total: usize,
    next_order: u64,
    /// Ready jobs; the queues may hold more, gone stale.
    ready: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    order: u64,
    key: Key,
}

impl Ready {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            queues: Default::default(),
            permits: [0; KindId::COUNT],
            total: 0,
            next_order: 0,
            ready: 0,
        }
    }

    /// A job became ready.
    pub(crate) fn push(&mut self, key: Key, kind: KindId) {
        self.queues[kind as usize].push_back(Entry { order: self.next_order, key });
        self.next_order += 1;
        self.ready += 1;
    }

    /// A ready job is ready no more, without having been [`next`](Self::next).
    pub(crate) fn forget_one(&mut self) {
        self.ready -= 1;
    }

    /// Whether a job of the kind could go out.
    pub(crate) fn has_permit(&self, kind: KindId) -> bool {
        self.limits.max_jobs.is_none_or(|max| self.total < max)
            && self.permits[kind as usize] < self.limits.capacity(kind)
    }

    /// The ready job that has waited longest among those whose kind has a permit left (or among
    /// all, if `over` the limit is allowed); it takes the permit. `is_ready` tells stale entries.
    pub(crate) fn next(
        &mut self,
        over: bool,
        mut is_ready: impl FnMut(Key) -> bool,
    ) -> Option<(Key, KindId)> {
        if self.ready == 0 {
            return None;
        }
        let mut oldest: Option<(u64, KindId)> = None;
        for kind in KindId::ALL {
            if self.queues[kind as usize].is_empty() || !(over || self.has_permit(kind)) {
                continue;
            }
            let queue = &mut self.queues[kind as usize];
            while queue.front().is_some_and(|entry| !is_ready(entry.key)) {
                queue.pop_front();
            }
            if let Some(entry) = queue.front()
                && oldest.is_none_or(|(order, _)| entry.order < order)
            {
                oldest = Some((entry.order, kind));
            }
        }
        let (_, kind) = oldest?;
        let entry = self.queues[kind as usize].pop_front()?;
        self.ready -= 1;
        self.take(kind);
        Some((entry.key, kind))
    }

    /// Takes a permit, whether or not one is left.
    pub(crate) fn take(&mut self, kind: KindId) {
        self.permits[kind as usize] += 1;
        self.total += 1;
    }

    /// Gives a permit back.
    pub(crate) fn give_back(&mut self, kind: KindId) {
        self.permits[kind as usize] -= 1;
        self.total -= 1;
    }

    /// How many jobs are ready.
    pub(crate) fn len(&self) -> usize {
        self.ready
    }

    /// Whether jobs of this kind are ready.
    pub(crate) fn waits(&self, kind: KindId) -> bool {
        !self.queues[kind as usize].is_empty()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The permits that are out: per kind, and in all.
    pub(crate) fn permits(&self) -> ([usize; KindId::COUNT], usize) {
        (self.permits, self.total)
    }
}
