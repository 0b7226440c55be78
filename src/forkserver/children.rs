//! The workers that the fork server has, and how to be rid of them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys;
use crate::wire::message::FromServer;

/// A worker that has not ended.
#[derive(Debug)]
struct Child {
    worker: u64,
    /// When to send SIGKILL.
    deadline: Option<Instant>,
}

/// The workers by pid.
#[derive(Debug, Default)]
pub(super) struct Children {
    by_pid: HashMap<i32, Child>,
}

impl Children {
    pub(super) fn add(&mut self, worker: u64, pid: i32) {
        self.by_pid.insert(pid, Child { worker, deadline: None });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    /// Sends SIGTERM to a worker's group if `term`, and SIGKILL after `grace`.
    pub(super) fn kill(&mut self, worker: u64, term: bool, grace: Duration) {
        // A worker that has ended meanwhile is not in the table, and its pid not signalled.
        let Some((&pid, child)) = self.by_pid.iter_mut().find(|(_, child)| child.worker == worker)
        else {
            return;
        };
        if grace.is_zero() {
            sys::kill_group(pid, Signal::SIGKILL);
            return;
        }
        if term {
            sys::kill_group(pid, Signal::SIGTERM);
        }
        child.end_by(Instant::now() + grace);
    }

    /// Sends SIGKILL to all groups after `grace`.
    pub(super) fn kill_all(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        for child in self.by_pid.values_mut() {
            child.end_by(deadline);
        }
    }

    /// When something is to be killed next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_pid.values().filter_map(|child| child.deadline).min()
    }

    /// Kills the groups whose time is up.
    pub(super) fn kill_overdue(&mut self, now: Instant) {
        for (&pid, child) in &mut self.by_pid {
            if child.deadline.is_some_and(|deadline| deadline <= now) {
                child.deadline = None;
                sys::kill_group(pid, Signal::SIGKILL);
            }
        }
    }

    /// Reaps every child that has ended, kills what is left of the groups of workers among
    /// them, and tells of those.
    pub(super) fn reap(&mut self, mut tell: impl FnMut(FromServer)) {
        while let Some(pid) = sys::peek_ended() {
            let child = self.by_pid.remove(&pid);
            if child.is_some() {
                // While the leader is not reaped, nobody else can get its number.
                sys::kill_group(pid, Signal::SIGKILL);
            }
            let Ok(ended) = sys::reap(pid) else { break };
            if let Some(Child { worker, .. }) = child {
                tell(FromServer::Exited {
                    worker,
                    signal: ended.signal,
                    code: ended.code,
                    peak_memory: ended.peak_memory,
                });
            }
        }
    }

    /// Kills everything that descends from this process, and reaps it.
    ///
    /// First the groups, all at once. What left its group is found as a child of this process
    /// when its parent is gone, for orphans come to a subreaper.
    pub(super) fn end_all(self) {
        for &pid in self.by_pid.keys() {
            sys::kill_group(pid, Signal::SIGKILL);
        }
        loop {
            let children = sys::children();
            if children.is_empty() {
                return;
            }
            for &pid in &children {
                // A child stays its number's owner until it is reaped, below.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            for pid in children {
                let _ = sys::reap(pid);
            }
        }
    }
}

impl Child {
    fn end_by(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |old| old.min(deadline)));
    }
}
