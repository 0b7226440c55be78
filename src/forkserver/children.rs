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

/// A worker that has ended while its group had time left to end kindly, and has others in it.
///
/// A process number that is a group's is not given out again while the group has members. These
/// are children of this process once their parents are gone, so their ends are seen, and with the
/// last one this goes.
#[derive(Debug)]
struct Orphans {
    deadline: Instant,
    /// What is to be told when they are gone.
    exited: FromServer,
}

/// The workers by pid.
#[derive(Debug, Default)]
pub(super) struct Children {
    by_pid: HashMap<i32, Child>,
    orphans: HashMap<i32, Orphans>,
}

impl Children {
    pub(super) fn add(&mut self, worker: u64, pid: i32) {
        self.by_pid.insert(pid, Child { worker, deadline: None });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_pid.is_empty() && self.orphans.is_empty()
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
        for orphans in self.orphans.values_mut() {
            orphans.deadline = orphans.deadline.min(deadline);
        }
    }

    /// When something is to be killed next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let children = self.by_pid.values().filter_map(|child| child.deadline);
        children.chain(self.orphans.values().map(|orphans| orphans.deadline)).min()
    }

    /// Kills the groups whose time is up; tells of workers of which nothing is left.
    pub(super) fn kill_overdue(&mut self, now: Instant, tell: impl FnMut(FromServer)) {
        for (&pid, child) in &mut self.by_pid {
            if child.deadline.is_some_and(|deadline| deadline <= now) {
                child.deadline = None;
                sys::kill_group(pid, Signal::SIGKILL);
            }
        }
        self.let_go_of_orphans(now, tell);
    }

    fn let_go_of_orphans(&mut self, now: Instant, mut tell: impl FnMut(FromServer)) {
        let over = |(&pid, orphans): (&i32, &Orphans)| {
            let gone = !sys::group_has_members(pid);
            if !gone && orphans.deadline <= now {
                sys::kill_group(pid, Signal::SIGKILL);
            }
            (gone || orphans.deadline <= now).then_some(pid)
        };
        let over: Vec<i32> = self.orphans.iter().filter_map(over).collect();
        for pid in over {
            if let Some(Orphans { exited, .. }) = self.orphans.remove(&pid) {
                tell(exited);
            }
        }
    }

    /// Reaps every child that has ended, and tells of the workers among them. What is left of a
    /// worker's group is killed, unless it was told to end and has time left for that.
    pub(super) fn reap(&mut self, mut tell: impl FnMut(FromServer)) {
        let now = Instant::now();
        while let Some(pid) = sys::peek_ended() {
            let child = self.by_pid.remove(&pid);
            let deadline = child.as_ref().and_then(|child| child.deadline);
            let deadline = deadline.filter(|&deadline| deadline > now);
            if child.is_some() && deadline.is_none() {
                // While the leader is not reaped, nobody else can get its number.
                sys::kill_group(pid, Signal::SIGKILL);
            }
            let Ok(ended) = sys::reap(pid) else { break };
            let Some(Child { worker, .. }) = child else { continue };
            let (signal, code, peak_memory) = (ended.signal, ended.code, ended.peak_memory);
            let exited = FromServer::Exited { worker, signal, code, peak_memory };
            match deadline {
                Some(deadline) if sys::group_has_members(pid) => {
                    self.orphans.insert(pid, Orphans { deadline, exited });
                }
                _ => tell(exited),
            }
        }
        self.let_go_of_orphans(now, tell);
    }

    /// Kills everything that descends from this process, and reaps it.
    ///
    /// First the groups, all at once. What left its group is found as a child of this process
    /// when its parent is gone, for orphans come to a subreaper.
    pub(super) fn end_all(self) {
        for &pid in self.by_pid.keys().chain(self.orphans.keys()) {
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
