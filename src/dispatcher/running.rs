//! Jobs that run: their attempts, what ends these, and what comes after.

use super::core::Core;
use super::key::{Key, Nanos};
use super::message::{Effect, Refusal, Submission, Verdict};
use super::node::{Cause, Needs, Node, State};
use crate::error::CancelReason;
use crate::job::{Ended, KindId};

impl<P: Clone> Core<P> {
    /// A run has begun: from now on it takes time.
    pub(super) fn run_began(&mut self, key: Key) {
        let now = self.moment.now;
        let Some(node) = self.nodes.get_mut(key) else { return };
        if let State::Out(_) = node.state
            && let Some(attempts) = node.needs.attempts_mut()
        {
            attempts.first_began.get_or_insert(now);
            attempts.began = Some(now);
            self.watch(key, false);
        }
    }

    pub(super) fn run_ended(&mut self, key: Key, ended: Ended, effects: &mut Vec<Effect<P>>) {
        let Some(node) = self.nodes.get_mut(key) else { return };
        let State::Out(out) = node.state else {
            debug_assert!(false, "only a job that is out can end its run");
            return;
        };
        if out.blocked {
            // News that a stream's worker waits for its reader can be overtaken.
            self.take_back_lent(key);
        }
        let Some(node) = self.nodes.get_mut(key) else { return };
        let State::Out(out) = node.state else { return };
        debug_assert!(!out.blocked, "a job's function has returned, so it waits for nothing");
        self.ready.give_back(node.kind);
        self.counts.out -= 1;
        let attempts = node.needs.attempts_mut();
        if let Some(attempts) = attempts {
            attempts.began = None;
            self.ready.return_granted(std::mem::take(&mut attempts.granted));
        }
        let verdict = match (out.cancelled, ended) {
            (Some(Cause::Requested), _) => Verdict::Cancelled(CancelReason::Requested),
            (Some(Cause::Shutdown), _) => Verdict::Cancelled(CancelReason::Shutdown),
            // In time after all.
            (_, Ended::Done) => Verdict::Done,
            (Some(Cause::TimedOut), _) => self.timed_out(key, true),
            (Some(Cause::AttemptTimedOut), ended) => {
                if ended == Ended::FailedForNow && self.retry(key, effects) {
                    return;
                }
                self.timed_out(key, false)
            }
            (None, Ended::FailedForNow) if self.retry(key, effects) => return,
            (None, _) => Verdict::Failed,
        };
        self.conclude(key, verdict, effects);
    }

    /// The verdict on a job that took too long: all of it, or its last attempt.
    fn timed_out(&self, key: Key, all: bool) -> Verdict {
        let rules = match self.nodes.get(key).map(|node| &node.needs) {
            Some(Needs::Many(wants)) => wants.attempts.as_ref().map(|attempts| &attempts.rules),
            _ => None,
        };
        let limit = rules.and_then(|rules| if all { rules.timeout } else { rules.attempt_timeout });
        Verdict::TimedOut(limit.unwrap_or_default())
    }

    /// Has a job whose run failed try again, unless it has no retry left.
    fn retry(&mut self, key: Key, effects: &mut Vec<Effect<P>>) -> bool {
        let now = self.moment.now;
        let Some(node) = self.nodes.get_mut(key) else { return false };
        let Some(attempts) = node.needs.attempts_mut() else { return false };
        let Some(delay) = attempts.retry(key, now) else { return false };
        let at_once = delay == 0;
        attempts.again_at = (!at_once).then(|| now.saturating_add(delay));
        node.state = State::Delayed;
        if let Some(payload) = node.payload.clone() {
            effects.push(Effect::Again { payload, anew: false });
        }
        if at_once {
            self.make_ready(key);
        } else {
            self.delayed += 1;
            self.watch(key, false);
        }
        true
    }

    /// Time has come for a job that is not waiting for others: its next attempt is due, or it took
    /// too long.
    pub(super) fn late(&mut self, key: Key, effects: &mut Vec<Effect<P>>) -> Option<Verdict> {
        let now = self.moment.now;
        let node = self.nodes.get_mut(key)?;
        let attempts = node.needs.attempts_mut()?;
        let due = |deadline: Option<u64>| deadline.is_some_and(|deadline| deadline <= now);
        let (all, one) = attempts.deadlines();
        let cause = if due(all) {
            Cause::TimedOut
        } else if due(one) {
            Cause::AttemptTimedOut
        } else {
            if due(attempts.again_at) {
                attempts.again_at = None;
                self.delayed -= 1;
                self.make_ready(key);
            } else {
                self.watch(key, false);
            }
            return None;
        };
        match &mut node.state {
            State::Out(_) => self.call_off(key, cause, effects),
            State::Ready => {
                self.forget_ready(key);
                return Some(self.timed_out(key, true));
            }
            State::Delayed => return Some(self.timed_out(key, true)),
            State::Expected | State::Waiting | State::Finished(_) => {}
        }
        None
    }

    /// A ready job is ready no more.
    fn forget_ready(&mut self, key: Key) {
        let Some(node) = self.nodes.get(key) else { return };
        let rules = node.needs.attempts().map(|attempts| &attempts.rules);
        let priority = rules.map_or(0, |rules| rules.priority);
        self.ready.forget_one(node.kind, priority, rules.map(|rules| &rules.demands));
    }

    /// Tells a job that is out to stop.
    fn call_off(&mut self, key: Key, cause: Cause, effects: &mut Vec<Effect<P>>) {
        let Some(node) = self.nodes.get_mut(key) else { return };
        let State::Out(out) = &mut node.state else { return };
        // The user's word, and the time for all attempts, count more than that for one.
        let weight = |cause| match cause {
            Cause::AttemptTimedOut => 0,
            Cause::TimedOut => 1,
            _ => 2,
        };
        let stays = out.cancelled.is_some_and(|before| weight(before) >= weight(cause));
        if !stays {
            out.cancelled = Some(cause);
            if let Some(payload) = &node.payload {
                effects.push(Effect::Abort(payload.clone(), node.kind, cause.stop()));
            }
        }
        self.watch(key, false);
    }

    pub(super) fn cancel(&mut self, key: Key, reason: CancelReason, effects: &mut Vec<Effect<P>>) {
        match self.nodes.get(key).map(|node| node.state) {
            None | Some(State::Expected | State::Finished(_)) => {}
            Some(State::Waiting | State::Delayed) => {
                self.conclude(key, Verdict::Cancelled(reason), effects);
            }
            Some(State::Ready) => {
                self.forget_ready(key);
                self.conclude(key, Verdict::Cancelled(reason), effects);
            }
            Some(State::Out(_)) => self.call_off(key, Cause::from(reason), effects),
        }
    }

    /// Has a finished job run once more, as it is: what it waited for, it has had.
    pub(super) fn rerun(&mut self, submission: Submission<P>, effects: &mut Vec<Effect<P>>) {
        let Submission { key, kind, attempts, payload, .. } = submission;
        if self.closed {
            return effects.push(Effect::Refuse(payload, Refusal::Closed));
        }
        match self.nodes.get(key).map(|node| node.state) {
            Some(State::Finished(_)) => self.finished_here -= 1,
            // It has left the table, or is named by others who have missed its end.
            None | Some(State::Expected) => {}
            Some(_) => return effects.push(Effect::Refuse(payload, Refusal::NotFinished)),
        }
        let node = self.nodes.get_or_insert_with(key, Node::expected);
        node.payload = Some(payload.clone());
        node.kind = kind;
        node.needs = Needs::new(&[], None, attempts);
        (node.state, node.waits) = (State::Waiting, 0);
        node.reran = true;
        self.cuts += 1;
        self.counts.unfinished += 1;
        effects.push(Effect::Again { payload, anew: true });
        self.make_ready(key);
    }

    /// Starts no more jobs of that kind, or again. What was handed to a backend and has not begun
    /// is taken back.
    pub(super) fn pause(&mut self, kind: KindId, paused: bool, effects: &mut Vec<Effect<P>>) {
        self.ready.set_paused(kind, paused);
        if paused {
            effects.push(Effect::TakeBack(kind));
        }
    }

    /// A job that was out is ready again, and has been so since that time.
    pub(super) fn recalled(&mut self, key: Key, ready: Nanos, effects: &mut Vec<Effect<P>>) {
        let Some(node) = self.nodes.get_mut(key) else { return };
        let State::Out(out) = node.state else { return };
        // Who called it off finds it gone from the backend.
        if out.cancelled.is_some() {
            return self.run_ended(key, Ended::Failed, effects);
        }
        self.counts.out -= 1;
        let kind = node.kind;
        let attempts = node.needs.attempts_mut();
        let granted = attempts.map(|attempts| {
            let granted = std::mem::take(&mut attempts.granted);
            (granted, &attempts.rules.demands)
        });
        let (granted, demands) = granted.unzip();
        self.ready.give_back_unused(kind, granted.unwrap_or_default(), demands);
        node.state = State::Ready;
        let rules = node.needs.attempts().map(|attempts| &attempts.rules);
        let priority = rules.map_or(0, |rules| rules.priority);
        self.ready.put_back(key, kind, ready, priority, rules.map(|rules| &rules.demands));
        self.watch(key, false);
    }
}
