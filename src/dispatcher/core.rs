//! The dispatcher's core: a pure state machine over jobs.
//!
//! [`Core::handle`] takes an event and appends effects. It does no I/O, reads no clock, takes
//! no lock and calls nobody, so a million random steps a second can be tried against
//! [`sanity_check`](super::invariants). What it decides:
//!
//! * a job is *ready* when every job it needs has ended as wanted and its condition holds, and
//!   *cancelled* as soon as that can no longer come true ([`waiting`](super::waiting));
//! * a ready job goes *out* when its kind and the engine have a permit left, oldest first;
//! * a job that is out ends when its backend says so, and only then frees its permit;
//! * a job that was called off meanwhile ends as cancelled, whatever the backend says;
//! * one that failed and has retries left goes back to the queue ([`running`](super::running)).

use std::collections::{HashSet, VecDeque};

use super::edge::{Edge, Edges};
use super::key::{Key, Nanos, READERS};
use super::message::{Effect, Event, Refusal, Submission, Verdict};
use super::node::{Needs, Node, Out, State};
use super::ready::{Going, Limits, Ready};
use super::table::Table;
use super::verdict::{ended_otherwise, let_go_of, tell_cycle};
use super::wheel::{TimerId, Wheel};
use crate::clock::Moment;
use crate::error::CancelReason;
use crate::job::Status;

/// How many jobs stand where, for the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Submitted and not finished.
    pub(crate) unfinished: usize,
    /// Handed to a backend or run by a waiting thread.
    pub(crate) out: usize,
    /// Of those, how many lend their permit.
    pub(crate) blocked: usize,
    /// Of all jobs ever finished, by how they ended.
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

/// The state machine. `P` is carried for each job and cloned into effects.
pub(crate) struct Core<P> {
    pub(super) nodes: Table<Node<P>>,
    pub(super) ready: Ready,
    pub(super) counts: Counts,
    /// How often a job stopped waiting for another that had not ended.
    pub(super) cuts: u64,
    /// What jobs that are out block on.
    pub(super) blocked: Vec<Blocked>,
    /// Of these, streams that block on those who read them.
    pub(super) lent: usize,
    /// When waiting jobs are to be looked at again.
    pub(super) wheel: Wheel,
    /// Waiting jobs that time alone, or a custom condition's answer, may make ready.
    pub(super) live: usize,
    /// Custom conditions that were asked and have not answered.
    pub(super) asked: usize,
    /// Finished jobs, oldest first, to forget the oldest; removed ones are passed over.
    pub(super) finished: VecDeque<Key>,
    pub(super) finished_here: usize,
    keep_finished: usize,
    pub(super) closed: bool,
    /// Work list of [`Core::conclude`], kept for its memory.
    ending: Vec<(Key, Verdict)>,
    /// Jobs between two attempts.
    pub(super) delayed: usize,
    /// When the next job may go that a rate holds.
    pub(super) rate_timer: Option<(TimerId, Nanos)>,
    /// The latest time that an event had, by both clocks.
    pub(super) moment: Moment,
}

/// A job that is out and waits, in its own code, for another one, or for its [`READERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub(crate) key: Key,
    pub(crate) on: Key,
}

impl<P: Clone> Core<P> {
    /// A core at that moment.
    pub(crate) fn new(limits: Limits, keep_finished: usize, moment: Moment) -> Self {
        Self {
            nodes: Table::new(),
            ready: Ready::new(limits),
            counts: Counts::default(),
            cuts: 0,
            blocked: Vec::new(),
            lent: 0,
            wheel: Wheel::new(),
            live: 0,
            delayed: 0,
            rate_timer: None,
            asked: 0,
            finished: VecDeque::new(),
            finished_here: 0,
            keep_finished,
            closed: false,
            ending: Vec::new(),
            moment,
        }
    }

    /// Takes in what happened at the time `now` and appends what is to be done.
    // It has one caller, and moving an event costs as much as some do.
    #[inline]
    pub(crate) fn handle(&mut self, event: Event<P>, now: Nanos, effects: &mut Vec<Effect<P>>) {
        // News can be older than what was heard already.
        self.moment.now = self.moment.now.max(now);
        self.ring(effects);
        match event {
            Event::Submit(submission) => self.submit(submission, effects),
            Event::Started { key } => self.run_began(key),
            Event::Finished { key, ended } => self.run_ended(key, ended, effects),
            Event::Rerun(submission) => self.rerun(submission, effects),
            Event::Cancel { key, reason } => self.cancel(key, reason, effects),
            Event::CancelAll { reason } => self.cancel_all(reason, effects),
            Event::TakeInline { key, over } => self.take_inline(key, over, effects),
            Event::Blocked { key, on } => self.block(key, on),
            Event::Unblocked { key } => self.unblock(key, false),
            Event::Lent { key, lent: true } => self.block(key, READERS),
            Event::Lent { key, lent: false } => self.take_back_lent(key),
            Event::StartOne => {
                self.start_one(true, effects);
            }
            Event::Close => self.closed = true,
            Event::Pause { kind, paused } => self.pause(kind, paused, effects),
            Event::Recalled(jobs) => {
                // The last first, and each to its place.
                for (key, ready) in jobs.into_iter().rev() {
                    self.recalled(key, ready, effects);
                }
            }
            // What was due has rung.
            Event::Tick => {}
            Event::ClockSet { offset } => self.clock_set(offset, effects),
            Event::Answer { key, number, answer } => self.answered(key, number, answer, effects),
        }
        // What it has set for no later than now.
        self.ring(effects);
        while self.start_one(false, effects) {}
        effects.extend(self.ready.take_overtaken().into_iter().map(Effect::TakeBack));
        self.watch_rates();
    }

    fn submit(&mut self, submission: Submission<P>, effects: &mut Vec<Effect<P>>) {
        let refusal = match self.cycle_through(submission.key, &submission.needs) {
            _ if self.closed => Some(Refusal::Closed),
            cycle => cycle.map(Refusal::Cycle),
        };
        if let Some(refusal) = refusal {
            return self.refuse(submission, refusal, effects);
        }
        let Submission { key, kind, needs, nested, attempts, payload, .. } = submission;
        let mut waits = 0;
        let mut broken = None;
        for need in &needs {
            match self.ended(need) {
                Some(status) if need.edge.statuses().contains(status) => {}
                Some(status) => broken = broken.or(Some((need.edge, status))),
                None => {
                    waits += 1;
                    self.expect(need, key);
                }
            }
        }
        let (tree, possible) = match nested {
            Some(nested) => {
                let possible = nested.possible;
                (Some(self.begin(key, *nested)), possible)
            }
            None => (None, true),
        };
        let node = self.nodes.get_or_insert_with(key, Node::expected);
        debug_assert_eq!(node.state, State::Expected, "a job is submitted once");
        node.payload = Some(payload);
        node.kind = kind;
        node.needs = Needs::new(&needs, tree, attempts);
        (node.state, node.waits) = (State::Waiting, waits);
        self.counts.unfinished += 1;
        let verdict = match broken {
            Some((edge, status)) => Some(ended_otherwise(edge, status)),
            None if !possible => self.impossible(key),
            None => self.look(key, false, effects),
        };
        if let Some(verdict) = verdict {
            self.conclude(key, verdict, effects);
        }
    }

    /// A job that cannot be: refused, or, if it was accepted already, cancelled.
    fn refuse(&mut self, submission: Submission<P>, why: Refusal, effects: &mut Vec<Effect<P>>) {
        let Submission { key, kind, nested, accepted, payload, .. } = submission;
        if let Some(nested) = nested {
            let_go_of(key, nested.tree, effects);
        }
        if !accepted {
            return effects.push(Effect::Refuse(payload, why));
        }
        let reason = match why {
            Refusal::Closed | Refusal::NotFinished => CancelReason::Shutdown,
            Refusal::Cycle(keys) => CancelReason::Unsatisfiable(tell_cycle(&keys)),
        };
        let node = self.nodes.get_or_insert_with(key, Node::expected);
        node.payload = Some(payload);
        node.kind = kind;
        node.state = State::Waiting;
        self.counts.unfinished += 1;
        self.conclude(key, Verdict::Cancelled(reason), effects);
    }

    /// Takes dependents that have ended out of a job's list, each time it has doubled: so a job
    /// that stays unfinished does not gather all that ever waited for it and was cancelled.
    pub(super) fn compact_downstream(&mut self, key: Key) {
        let Some(node) = self.nodes.get_mut(key) else { return };
        let length = node.downstream.as_slice().len();
        if length < 64 || !length.is_power_of_two() {
            return;
        }
        let old = std::mem::take(&mut node.downstream);
        let mut kept = Edges::None;
        for &down in old.as_slice() {
            if self.nodes.get(down.key()).is_some_and(|node| !node.is_finished()) {
                kept.push(down);
            }
        }
        if let Some(node) = self.nodes.get_mut(key) {
            node.downstream = kept;
        }
    }

    /// Forgets a job that was named and never submitted, when nobody waits for it any more.
    pub(super) fn forget_unexpected(&mut self, key: Key) {
        /// A longer list is not searched; it is shortened as it grows.
        const SHORT: usize = 64;
        let Some(node) = self.nodes.get(key).filter(|node| node.state == State::Expected) else {
            return;
        };
        let waiting = node.downstream.as_slice();
        let ended = |down: &Edge| self.nodes.get(down.key()).is_none_or(Node::is_finished);
        if waiting.len() <= SHORT && waiting.iter().all(ended) {
            self.nodes.remove(key);
        }
    }

    pub(super) fn make_ready(&mut self, key: Key) {
        let now = self.moment.now;
        if let Some(node) = self.nodes.get_mut(key) {
            node.state = State::Ready;
            let rules = node.needs.attempts_mut().map(|attempts| &attempts.rules);
            let priority = rules.map_or(0, |rules| rules.priority);
            self.ready.push(key, node.kind, now, priority, rules.map(|rules| &rules.demands));
        }
        self.watch(key, false);
    }

    /// Starts a ready job; false if there is none, or none may go, though it be `over` the limit.
    fn start_one(&mut self, over: bool, effects: &mut Vec<Effect<P>>) -> bool {
        let nodes = &mut self.nodes;
        let is_ready = |key| nodes.get(key).is_some_and(|node| node.state == State::Ready);
        let Some(going) = self.ready.next(over, self.moment.now, is_ready) else { return false };
        let (kind, ready) = (going.kind, going.ready);
        if let Some(payload) = self.send_out(going, effects) {
            effects.push(Effect::Start { payload, kind, ready });
        }
        true
    }

    /// Whether [`Event::StartOne`] would [start a job](Ready::may_start_over).
    pub(crate) fn may_start_one(&self) -> bool {
        self.ready.may_start_over(self.moment.now)
    }

    /// A job goes out, with what it was given.
    fn send_out(&mut self, going: Going, effects: &mut Vec<Effect<P>>) -> Option<P> {
        let node = self.nodes.get_mut(going.key)?;
        node.state = State::Out(Out::default());
        self.counts.out += 1;
        let payload = node.payload.clone()?;
        if !going.granted.is_empty()
            && let Some(attempts) = node.needs.attempts_mut()
        {
            attempts.granted.clone_from(&going.granted);
            effects.push(Effect::Grant { payload: payload.clone(), granted: going.granted });
        }
        Some(payload)
    }

    fn take_inline(&mut self, key: Key, over: bool, effects: &mut Vec<Effect<P>>) {
        let now = self.moment.now;
        let Some(node) = self.nodes.get_mut(key) else { return };
        if node.state != State::Ready || !(over || self.ready.has_permit(node.kind)) {
            return;
        }
        let kind = node.kind;
        let rules = node.needs.attempts_mut().map(|attempts| &attempts.rules);
        let (priority, demands) = rules.map(|rules| (rules.priority, &rules.demands)).unzip();
        let going = self.ready.take_out_of_turn(key, kind, priority.unwrap_or(0), demands, now);
        let Some(going) = going else { return };
        if let Some(payload) = self.send_out(going, effects) {
            effects.push(Effect::Inline(payload));
        }
    }

    fn cancel_all(&mut self, reason: CancelReason, effects: &mut Vec<Effect<P>>) {
        let keys: Vec<Key> = self
            .nodes
            .iter()
            .filter(|(_, node)| !node.is_finished() && node.state != State::Expected)
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.cancel(key, reason.clone(), effects);
        }
    }

    fn block(&mut self, key: Key, on: Key) {
        let readers = on == READERS;
        if !readers && self.nodes.get(on).is_none_or(Node::is_finished) {
            return;
        }
        // A stream can wait for its readers and for a job. Of several jobs, for which parts of one
        // job wait that run in parallel, the first counts.
        let same = |b: &Blocked| b.key == key && (b.on == READERS) == readers;
        let Some(node) = self.nodes.get_mut(key) else { return };
        let State::Out(out) = &mut node.state else { return };
        if out.blocked && self.blocked.iter().any(same) {
            return;
        }
        if !std::mem::replace(&mut out.blocked, true) {
            self.ready.give_back(node.kind);
            self.counts.blocked += 1;
        }
        self.blocked.push(Blocked { key, on });
        self.lent += usize::from(readers);
    }

    /// A job does not block any more on those who read it, or on a job.
    fn unblock(&mut self, key: Key, readers: bool) {
        let same = |b: &Blocked| b.key == key && (b.on == READERS) == readers;
        let Some(at) = self.blocked.iter().position(same) else { return };
        let Blocked { on, .. } = self.blocked.remove(at);
        self.cuts += u64::from(self.is_open(on));
        self.lent -= usize::from(readers);
        if self.blocked.iter().any(|b| b.key == key) {
            return;
        }
        if let Some(node) = self.nodes.get_mut(key)
            && let State::Out(out) = &mut node.state
        {
            out.blocked = false;
            self.counts.blocked -= 1;
            self.ready.take(node.kind);
        }
    }

    /// A stream goes on, or ends.
    pub(super) fn take_back_lent(&mut self, key: Key) {
        if self.lent > 0 {
            self.unblock(key, true);
        }
    }

    /// Gives those that block on this job, which has ended, their permits back.
    fn unblock_all_on(&mut self, on: Key) {
        while let Some(&blocked) = self.blocked.iter().find(|blocked| blocked.on == on) {
            self.unblock(blocked.key, false);
        }
    }

    /// Ends a job and, by a work list rather than by recursion, all that its end decides.
    pub(super) fn conclude(&mut self, key: Key, verdict: Verdict, effects: &mut Vec<Effect<P>>) {
        let mut ending = std::mem::take(&mut self.ending);
        ending.push((key, verdict));
        while let Some((key, verdict)) = ending.pop() {
            let Some(node) = self.nodes.get_mut(key) else { continue };
            // Two upstreams can fail before the job's own turn comes.
            if node.is_finished() {
                continue;
            }
            let (status, count) = match &verdict {
                Verdict::Done => (Status::Done, &mut self.counts.done),
                Verdict::Failed | Verdict::TimedOut(_) | Verdict::ConditionPanicked(_) => {
                    (Status::Failed, &mut self.counts.failed)
                }
                Verdict::Cancelled(_) => (Status::Cancelled, &mut self.counts.cancelled),
            };
            *count += 1;
            let was = std::mem::replace(&mut node.state, State::Finished(status));
            self.delayed -= usize::from(was == State::Delayed);
            self.cuts += u64::from(was == State::Waiting);
            self.counts.unfinished -= 1;
            self.finished.push_back(key);
            self.finished_here += 1;
            let downstream = std::mem::take(&mut node.downstream);
            let needs = std::mem::take(&mut node.needs);
            effects.push(Effect::Publish { key, verdict });
            self.unblock_all_on(key);
            self.let_go_of_needs(key, needs, was, effects);
            // Reversed, so that dependents are cancelled in the order in which they came.
            for &edge in downstream.as_slice().iter().rev() {
                if let Some(verdict) = self.up_ended(edge, key, status) {
                    ending.push((edge.key(), verdict));
                }
            }
            for &edge in downstream.as_slice() {
                if edge.is_nested() && !self.has_news(edge.key()) {
                    continue;
                }
                if let Some(verdict) = self.look(edge.key(), false, effects) {
                    ending.push((edge.key(), verdict));
                }
            }
        }
        self.ending = ending;
        self.compact_finished();
    }

    /// Takes out of the list of finished jobs those that have been removed or run again, when they
    /// come to be more than half of it.
    fn compact_finished(&mut self) {
        if self.finished.len() < 2 * self.finished_here + 64 {
            return;
        }
        // Of several entries the last one counts.
        let mut seen = HashSet::new();
        let kept: VecDeque<Key> = std::mem::take(&mut self.finished)
            .into_iter()
            .rev()
            .filter(|&key| self.nodes.get(key).is_some_and(Node::is_finished) && seen.insert(key))
            .collect();
        self.finished = kept.into_iter().rev().collect();
    }

    /// Takes the oldest finished job out of the table if there are more than are to be kept.
    pub(crate) fn forget_oldest(&mut self) -> Option<P> {
        while self.finished_here > self.keep_finished {
            let key = self.finished.pop_front()?;
            if let Some(payload) = self.forget(key) {
                return Some(payload);
            }
        }
        None
    }

    /// Takes a finished job out of the table.
    fn forget(&mut self, key: Key) -> Option<P> {
        if !self.nodes.get(key)?.is_finished() {
            return None;
        }
        self.finished_here -= 1;
        self.nodes.remove(key)?.payload
    }

    /// Takes a finished job out of the table.
    ///
    /// # Errors
    /// Whether the job is there at all, if it is not finished.
    pub(crate) fn remove(&mut self, key: Key) -> Result<P, bool> {
        match self.nodes.get(key).map(|node| node.state) {
            Some(State::Finished(_)) => self.forget(key).ok_or(false),
            None | Some(State::Expected) => Err(false),
            Some(_) => Err(true),
        }
    }

    /// Takes every finished job out of the table.
    pub(crate) fn remove_finished(&mut self) -> Vec<P> {
        let keys = std::mem::take(&mut self.finished);
        keys.into_iter().filter_map(|key| self.forget(key)).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The job's payload, if it was submitted and is still in the table.
    pub(crate) fn get(&self, key: Key) -> Option<&P> {
        self.nodes.get(key)?.payload.as_ref()
    }

    /// Every submitted job in the order of its key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &P> {
        self.nodes.iter().filter_map(|(_, node)| node.payload.as_ref())
    }

    /// How many submitted jobs the table holds; jobs that are only named do not count.
    pub(crate) fn len(&self) -> usize {
        self.counts.unfinished + self.finished_here
    }

    /// Takes every job out of the table: the end.
    pub(crate) fn remove_all(&mut self) -> Vec<P> {
        let jobs = self.iter().cloned().collect();
        self.nodes = Table::new();
        jobs
    }
}
