//! Jobs that wait: for others to end as wanted, for their nested condition, for time.
//!
//! A waiting job costs nothing until something that it watches happens. A job that ends touches
//! only those that wait for it. A nested condition has one timer, for the next moment at which
//! time can matter to it: at which one of its parts changes, if the job could run then (it is
//! *live*), or else at which a part can never hold any more.

use super::core::Core;
use super::edge::Edge;
use super::key::{Key, Nanos};
use super::message::{Effect, Need, Nested, Verdict};
use super::node::{Needs, Node, Out, State, Wants};
use super::verdict::{ended_otherwise, let_go_of, tell_edge};
use crate::clock::Moment;
use crate::condition::Tree;
use crate::error::{CancelReason, PanicInfo, Unsatisfiable};
use crate::id::JobId;
use crate::job::Status;

/// The key of the timer for rates; no job gets so far.
const RATE: Key = Key::MAX;

/// How far it is looked ahead, under the core's lock, whether a condition can ever hold.
const LOOKS: usize = 100;

impl<P: Clone> Core<P> {
    /// How a job ended that another one needs, if it has.
    pub(super) fn ended(&self, need: &Need) -> Option<Status> {
        match self.nodes.get(need.edge.key()).map(|node| node.state) {
            Some(State::Finished(status)) => Some(status),
            Some(_) => None,
            None => need.ended,
        }
    }

    /// Makes `key` hear of the end of the job that it needs.
    pub(super) fn expect(&mut self, need: &Need, key: Key) {
        let up = need.edge.key();
        self.compact_downstream(up);
        self.nodes.get_or_insert_with(up, Node::expected).downstream.push(need.edge.to(key));
    }

    /// The nested condition of a job that is being submitted, as things stand now.
    pub(super) fn begin(&mut self, key: Key, nested: Nested) -> Tree {
        let Nested { mut tree, mut jobs, .. } = nested;
        tree.begin(self.moment);
        jobs.sort_unstable_by_key(|job| job.edge.key());
        jobs.dedup_by_key(|job| job.edge.key());
        for job in &jobs {
            match self.ended(job) {
                Some(status) => {
                    tree.job_ended(job.edge.key(), status);
                }
                None => self.expect(job, key),
            }
        }
        tree.update(self.moment, false);
        tree
    }

    /// Tells a job of the end of one that it waits for; the verdict, if that is its own end.
    pub(super) fn up_ended(&mut self, edge: Edge, up: Key, status: Status) -> Option<Verdict> {
        let node = self.nodes.get_mut(edge.key())?;
        if node.state != State::Waiting {
            return None;
        }
        if !edge.is_nested() {
            if !edge.statuses().contains(status) {
                return Some(ended_otherwise(edge.to(up), status));
            }
            node.waits -= 1;
            return None;
        }
        let tree = node.needs.tree_mut()?;
        // A part that can never hold any more may leave parts that never hold together.
        let worse = tree.job_ended(up, status) && !tree.is_dead();
        if worse && !tree.can_ever_hold(self.moment, LOOKS) {
            return self.impossible(edge.key());
        }
        None
    }

    /// Whether an end has changed anything for a job whose nested condition is about it: most do
    /// not, where there are many.
    pub(super) fn has_news(&mut self, key: Key) -> bool {
        let node = self.nodes.get_mut(key);
        node.and_then(|node| node.needs.tree_mut()).is_some_and(Tree::take_news)
    }

    /// Looks at a waiting job, of which something may have changed: makes it ready, or gives the
    /// verdict if it can never be, or sees to it that it is looked at again in time. `turn`: its
    /// timer has rung (or is about to, when the timer of another job has this one looked at first).
    pub(super) fn look(
        &mut self,
        key: Key,
        turn: bool,
        effects: &mut Vec<Effect<P>>,
    ) -> Option<Verdict> {
        let node = self.nodes.get_mut(key)?;
        if node.state != State::Waiting {
            return None;
        }
        let waits = node.waits;
        let Needs::Many(wants) = &mut node.needs else {
            // Most jobs: no timer to be taken back, so nothing needs to be looked up again.
            if waits == 0 {
                node.state = State::Ready;
                self.ready.push(key, node.kind, self.moment.now, 0, None);
            }
            return None;
        };
        let turn = turn || wants.timer.is_some_and(|(_, at)| at <= self.moment.now);
        let Some(tree) = wants.tree.as_mut() else {
            if waits == 0 {
                self.make_ready(key);
            }
            return None;
        };
        let moment = self.moment;
        if turn || (waits == 0 && tree.is_live()) {
            tree.update(moment, turn);
        }
        if tree.is_dead() {
            return self.impossible(key);
        }
        if waits == 0 && tree.holds() {
            // Perhaps without some of those that it is about.
            self.cuts += 1;
            self.make_ready(key);
            return None;
        }
        let live = waits == 0 && tree.is_live();
        if live {
            tree.questions(moment.now, |question| {
                self.asked += 1;
                effects.push(Effect::Ask { key, question });
            });
        }
        tree.end_moments();
        self.watch(key, live);
        None
    }

    /// Sees to it that the job is looked at again when time can matter to it. `live`: by time
    /// alone it may become ready.
    pub(super) fn watch(&mut self, key: Key, live: bool) {
        let moment = self.moment;
        let Some(node) = self.nodes.get_mut(key) else { return };
        let Needs::Many(wants) = &mut node.needs else { return };
        let next = match node.state {
            State::Expected | State::Finished(_) => None,
            State::Waiting => wants.tree.as_ref().and_then(|tree| tree.next_look(moment, live)),
            State::Ready | State::Delayed | State::Out(_) => None,
        };
        let attempts = wants.attempts.as_ref().and_then(|attempts| attempts.next());
        // One that is told to stop is not told again.
        let told = matches!(node.state, State::Out(Out { cancelled: Some(_), .. }));
        let finished = matches!(node.state, State::Finished(_));
        let attempts = attempts.filter(|_| !told && !finished);
        let next = [next, attempts].into_iter().flatten().min();
        self.arm(key, next, live);
    }

    fn arm(&mut self, key: Key, next: Option<Nanos>, live: bool) {
        let Some(Needs::Many(wants)) = self.nodes.get_mut(key).map(|node| &mut node.needs) else {
            return;
        };
        let Wants { timer, live: was_live, .. } = &mut **wants;
        if *was_live != live {
            *was_live = live;
            self.live = if live { self.live + 1 } else { self.live - 1 };
        }
        if timer.map(|(_, at)| at) == next {
            return;
        }
        if let Some((id, _)) = timer.take() {
            self.wheel.cancel(id);
        }
        *timer = next.map(|at| (self.wheel.insert(at, key), at));
    }

    /// Lets those timers ring that are due.
    pub(super) fn ring(&mut self, effects: &mut Vec<Effect<P>>) {
        while let Some((_, key)) = self.wheel.pop_due(self.moment.now) {
            if key == RATE {
                self.rate_timer = None;
                continue;
            }
            if let Some(Needs::Many(wants)) = self.nodes.get_mut(key).map(|node| &mut node.needs) {
                wants.timer = None;
            }
            let verdict = match self.nodes.get(key).map(|node| node.state) {
                Some(State::Waiting) => {
                    self.late(key, effects).or_else(|| self.look(key, true, effects))
                }
                _ => self.late(key, effects),
            };
            if let Some(verdict) = verdict {
                self.conclude(key, verdict, effects);
            }
        }
    }

    /// Sees to it that ready jobs that a rate holds are started in time.
    pub(super) fn watch_rates(&mut self) {
        let next = self.ready.rate_opens();
        if self.rate_timer.map(|(_, at)| at) != next {
            if let Some((id, _)) = self.rate_timer.take() {
                self.wheel.cancel(id);
            }
            self.rate_timer = next.map(|at| (self.wheel.insert(at, RATE), at));
        }
    }

    /// When time has to be told of next.
    pub(crate) fn next_deadline(&self) -> Option<Nanos> {
        self.wheel.next()
    }

    /// The wall clock was set: what depends on it is derived anew.
    pub(super) fn clock_set(&mut self, offset: i64, effects: &mut Vec<Effect<P>>) {
        if offset == self.moment.offset {
            return;
        }
        self.moment.offset = offset;
        let waiting = |node: &Node<P>| matches!(node.state, State::Waiting);
        let keys: Vec<Key> = self
            .nodes
            .iter()
            .filter(|(_, node)| {
                waiting(node) && node.needs.tree().is_some_and(Tree::is_of_the_wall)
            })
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            if let Some(tree) = self.nodes.get_mut(key).and_then(|node| node.needs.tree_mut()) {
                tree.update(self.moment, false);
            }
            if let Some(verdict) = self.look(key, false, effects) {
                self.conclude(key, verdict, effects);
            }
        }
    }

    /// A custom condition has answered.
    pub(super) fn answered(
        &mut self,
        key: Key,
        number: u32,
        answer: Result<bool, PanicInfo>,
        effects: &mut Vec<Effect<P>>,
    ) {
        let now = self.moment.now;
        self.asked = self.asked.saturating_sub(1);
        let Some(node) = self.nodes.get_mut(key) else { return };
        if node.state != State::Waiting {
            return;
        }
        let Some(tree) = node.needs.tree_mut() else { return };
        let verdict = match answer {
            Ok(answer) => {
                tree.answered(number, answer, now);
                self.look(key, false, effects)
            }
            Err(panic) => Some(Verdict::ConditionPanicked(Box::new(panic))),
        };
        if let Some(verdict) = verdict {
            self.conclude(key, verdict, effects);
        }
    }

    /// The verdict on a job whose nested condition can never hold.
    pub(super) fn impossible(&self, key: Key) -> Option<Verdict> {
        let tree = self.nodes.get(key)?.needs.tree()?;
        let text = tree.tell_dead(self.moment, &|text, key, statuses, ended| {
            tell_edge(text, key, statuses, ended);
        });
        let jobs = tree.dead_jobs().into_iter().map(JobId::from_count).collect();
        let why = Unsatisfiable::new(jobs, text);
        Some(Verdict::Cancelled(CancelReason::Unsatisfiable(why)))
    }

    /// A job has ended, from that state: it needs nothing any more.
    pub(super) fn let_go_of_needs(
        &mut self,
        key: Key,
        needs: Needs,
        was: State,
        effects: &mut Vec<Effect<P>>,
    ) {
        if let Needs::Many(wants) = &needs {
            if let Some((id, _)) = wants.timer {
                self.wheel.cancel(id);
            }
            self.live -= usize::from(wants.live);
        }
        // One that has run had them all, but for those of a nested condition.
        if matches!(was, State::Waiting) || needs.tree().is_some() {
            needs.jobs().for_each(|up| self.forget_unexpected(up));
        }
        if let Needs::Many(wants) = needs
            && let Some(tree) = wants.tree
        {
            let_go_of(key, tree, effects);
        }
    }

    /// The moment, by both clocks, of the last event.
    pub(crate) fn moment(&self) -> Moment {
        self.moment
    }
}
