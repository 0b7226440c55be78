//! Questions about the graph of jobs: cycles, stalls, and what a blocked thread could run.
//! All walks are loops over an explicit stack; a chain of a million jobs is no problem.

use std::collections::{HashMap, HashSet};

use super::core::Core;
use super::key::{Key, READERS};
use super::message::Need;
use super::node::{Node, State};
use crate::job::KindId;

/// How far a blocked thread looks for a job to run.
const SEARCH_LIMIT: usize = 1_000;

/// A job that nothing can make ready, and the unfinished jobs it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stalled {
    pub(crate) key: Key,
    pub(crate) waits_for: Vec<Key>,
}

/// Where a search for something to run ended: jobs, each waiting for the next, and which of its
/// upstreams that is.
#[derive(Debug, Default)]
pub(crate) struct Path {
    steps: Vec<(Key, usize)>,
    /// It holds until a job stops waiting for another that has not ended: as of so many times.
    cuts: u64,
}

impl<P: Clone> Core<P> {
    /// The cycle that submitting `key` with these needs would close: `key`, what it waits for,
    /// and so on. Only a job that others wait for already can close one. (A nested condition
    /// closes none: it may come true by another of its parts.)
    pub(super) fn cycle_through(&self, key: Key, needs: &[Need]) -> Option<Vec<Key>> {
        if needs.iter().any(|need| need.edge.key() == key) {
            return Some(vec![key]);
        }
        if needs.is_empty() || self.dependents(key).next().is_none() {
            return None;
        }
        let goal: HashSet<Key> = needs.iter().map(|need| need.edge.key()).collect();
        // Each job met, and the job that it waits for.
        let mut waits_for: HashMap<Key, Key> =
            self.dependents(key).map(|down| (down, key)).collect();
        let mut open: Vec<Key> = self.dependents(key).collect();
        while let Some(at) = open.pop() {
            // One that was cancelled stays in the lists of what it waited for, and may run again.
            let waits = |node: &Node<P>| matches!(node.state, State::Waiting);
            if !self.nodes.get(at).is_some_and(waits) {
                continue;
            }
            if goal.contains(&at) {
                let mut cycle = vec![key];
                let mut step = at;
                while step != key {
                    cycle.push(step);
                    step = waits_for[&step];
                }
                return Some(cycle);
            }
            for down in self.dependents(at) {
                waits_for.entry(down).or_insert_with(|| {
                    open.push(down);
                    at
                });
            }
        }
        None
    }

    /// The jobs that cannot become ready before this one has ended.
    fn dependents(&self, key: Key) -> impl Iterator<Item = Key> + '_ {
        let edges = self.nodes.get(key).map_or(&[][..], |node| node.downstream.as_slice());
        edges.iter().filter(|edge| !edge.is_nested()).map(|edge| edge.key())
    }

    /// Whether unfinished jobs remain and nothing that the engine has can make one ready.
    pub(crate) fn is_stalled(&self) -> bool {
        // Those that are ready may lack what jobs hold that are out.
        let ready = self.ready.len();
        let none_goes = ready == 0 || (ready == self.ready.starving() && !self.ready.may_go_on());
        let none_runs = self.counts.out == self.counts.blocked;
        let none_will = self.live + self.delayed + self.lent == 0;
        self.counts.unfinished > 0 && none_goes && none_runs && none_will
    }

    /// Whether the engine is stalled for good: no job that blocks in its own code could still
    /// be told so, and go on.
    pub(crate) fn is_stalled_for_good(&self) -> bool {
        self.blocked.is_empty() && self.is_stalled()
    }

    /// Whether nothing runs or is about to; jobs may wait, and streams for their readers.
    pub(crate) fn is_quiet(&self) -> bool {
        self.ready.len() == 0 && self.counts.out == self.counts.blocked
    }

    /// Whether nothing happens but by time, or from outside: nothing runs or is about to, and no
    /// custom condition has yet to answer.
    pub(crate) fn is_settled(&self) -> bool {
        // Jobs that are ready are held by a rate, or paused.
        self.counts.out == self.counts.blocked && self.asked == 0
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.counts.unfinished == 0
    }

    /// The unfinished jobs and what each waits for; meaningful when stalled.
    pub(crate) fn stalled(&self) -> Vec<Stalled> {
        self.nodes
            .iter()
            .filter(|(_, node)| matches!(node.state, State::Waiting | State::Ready | State::Out(_)))
            .map(|(key, node)| Stalled { key, waits_for: self.waits_for(key, node).collect() })
            .collect()
    }

    /// The unfinished jobs that a job waits for: by its arguments and its condition, or in its
    /// own code.
    pub(super) fn waits_for<'a>(
        &'a self,
        key: Key,
        node: &'a Node<P>,
    ) -> impl Iterator<Item = Key> + 'a {
        let waiting = matches!(node.state, State::Waiting).then(|| node.needs.jobs());
        let own_code = self.blocked.iter().filter(move |b| b.key == key).map(|b| b.on);
        let held = (node.state == State::Ready).then(|| self.holders(node));
        let needs = waiting.into_iter().flatten().filter(move |&up| self.is_awaited(up, key));
        let own_code = own_code.filter(|&up| self.is_open(up));
        needs.chain(own_code).chain(held.into_iter().flatten())
    }

    /// The jobs that hold units of what a ready job demands: while they wait in their own code, or
    /// before they have begun, perhaps behind others that do.
    fn holders<'a>(&'a self, node: &'a Node<P>) -> impl Iterator<Item = Key> + 'a {
        let demands = node.needs.attempts().map(|attempts| &attempts.rules.demands.resources);
        let wanted =
            move |id| demands.is_some_and(|wanted| wanted.iter().any(|&(own, _)| own == id));
        let has = move |node: &Node<P>| {
            let attempts = node.needs.attempts();
            attempts.is_some_and(|attempts| attempts.granted.iter().any(|&(id, ..)| wanted(id)))
        };
        // Most jobs demand nothing, and then none of the others is looked at.
        let nodes = demands.is_some_and(|wanted| !wanted.is_empty()).then(|| self.nodes.iter());
        nodes.into_iter().flatten().filter(move |(_, node)| has(node)).map(|(key, _)| key)
    }

    /// Whether a job's needs have yet to hear of the end of `up`, which is one of them.
    pub(super) fn is_awaited(&self, up: Key, key: Key) -> bool {
        self.nodes.get(up).is_some_and(|node| {
            let hears = || node.downstream.as_slice().iter().any(|edge| edge.key() == key);
            !node.is_finished() && (!node.reran || hears())
        })
    }

    /// Whether the job is in the table and not finished.
    pub(super) fn is_open(&self, key: Key) -> bool {
        self.nodes.get(key).is_some_and(|node| !node.is_finished())
    }

    /// Whether the job is named by others and was not submitted, as far as is known here.
    pub(crate) fn is_expected(&self, key: Key) -> bool {
        self.nodes.get(key).is_some_and(|node| node.state == State::Expected)
    }

    /// Looks for a job that a blocked thread may run, by its kind, so that `goal` comes nearer:
    /// `goal` itself or one that it waits for, directly or not. `try_take` gets each candidate,
    /// with whether it is in the ready queue (`true`) or with a backend, perhaps not begun
    /// (`false`), and says whether it took it.
    ///
    /// `path` is where the last search for the same goal ended. Mostly what it leads to next is
    /// one step away, so that working off a chain or a fan-in takes linear time; else everything
    /// that `goal` waits for is looked at, or, unless the search must be `thorough`, the nearest
    /// [`SEARCH_LIMIT`] jobs.
    pub(crate) fn find_runnable(
        &self,
        goal: Key,
        path: &mut Path,
        thorough: bool,
        may: &impl Fn(KindId) -> bool,
        try_take: &mut (impl FnMut(Key, &P, bool) -> bool + ?Sized),
    ) {
        if self.follow(goal, path).is_some_and(|leaf| self.offer(leaf, may, try_take)) {
            return;
        }
        let mut seen = HashSet::from([goal]);
        let mut open = vec![goal];
        while let Some(key) = open.pop() {
            let Some(node) = self.nodes.get(key) else { continue };
            if self.offer(key, may, try_take) || (seen.len() > SEARCH_LIMIT && !thorough) {
                return;
            }
            open.extend(self.waits_for(key, node).filter(|&up| seen.insert(up)));
        }
    }

    /// Whether a ready job can be taken out of its turn, but for a permit.
    pub(crate) fn may_take_inline(&self, key: Key) -> bool {
        self.nodes.get(key).is_some_and(|node| {
            let demands = node.needs.attempts().map(|attempts| &attempts.rules.demands);
            self.ready.may_go_out_of_turn(node.kind, demands, self.moment().now)
        })
    }

    /// Follows the first unfinished upstream of each job, from where `path` ends, to a job that
    /// waits for none.
    fn follow(&self, goal: Key, path: &mut Path) -> Option<Key> {
        if path.steps.is_empty() || path.cuts != self.cuts {
            (path.steps, path.cuts) = (vec![(goal, 0)], self.cuts);
        }
        // Jobs that wait for each other in their own code have no end to follow to.
        while path.steps.len() <= self.counts.unfinished + 1 {
            let (key, at) = path.steps.last_mut()?;
            let Some(node) = self.nodes.get(*key).filter(|node| !node.is_finished()) else {
                path.steps.pop();
                continue;
            };
            let mut needed = None;
            if matches!(node.state, State::Waiting) {
                while let Some(up) = node.needs.job(*at) {
                    needed = up.filter(|&up| self.is_awaited(up, *key));
                    if needed.is_some() {
                        break;
                    }
                    *at += 1;
                }
            }
            let own_code = || self.blocked.iter().find(|b| b.key == *key && b.on != READERS);
            match needed.or_else(|| own_code().map(|b| b.on)) {
                Some(next) => path.steps.push((next, 0)),
                None => return Some(*key),
            }
        }
        path.steps.clear();
        None
    }

    /// Offers one job to `try_take`, if it `may` be taken by its kind and might not have begun; true if
    /// taken.
    pub(crate) fn offer(
        &self,
        key: Key,
        may: &impl Fn(KindId) -> bool,
        try_take: &mut (impl FnMut(Key, &P, bool) -> bool + ?Sized),
    ) -> bool {
        let Some(node) = self.nodes.get(key) else { return false };
        let in_queue = match node.state {
            State::Ready => true,
            State::Out(out) if !out.blocked => false,
            _ => return false,
        };
        may(node.kind)
            && node.payload.as_ref().is_some_and(|payload| try_take(key, payload, in_queue))
    }
}
