//! What must hold in the core after every step; checked by the simulation.

use std::collections::BTreeSet;

use super::core::Core;
use super::edge::Edge;
use super::key::{Key, READERS};
use super::node::{Needs, Node, Out, State};
use crate::condition::Tree;
use crate::job::KindId;

impl<P: Clone> Core<P> {
    /// Panics unless permits add up, every job is in exactly one place, and every edge has two
    /// ends.
    pub(crate) fn sanity_check(&self) {
        let mut permits = [0; KindId::COUNT];
        let (mut unfinished, mut out_jobs, mut ready, mut finished, mut blocked) = (0, 0, 0, 0, 0);
        let (mut timers, mut live, mut delayed) = (0, 0, 0);
        for (key, node) in self.nodes.iter() {
            match node.state {
                State::Expected => {
                    assert!(node.payload.is_none(), "{key}: expected, yet submitted");
                    assert!(!node.downstream.as_slice().is_empty(), "{key}: expected by nobody");
                }
                State::Waiting => {
                    let waits = node.waits;
                    unfinished += 1;
                    let edges = || {
                        let needs = node.needs.edges().iter();
                        needs.filter(|up| self.is_awaited(up.key(), key))
                    };
                    let open = edges().count();
                    assert_eq!(open, waits as usize, "{key}: its count of waits is off");
                    let tree = node.needs.tree();
                    assert!(waits > 0 || tree.is_some(), "{key}: waits for nothing");
                    for up in edges() {
                        assert!(
                            self.has_edge(up.to(key), up.key()),
                            "{key}: half an edge to {up:?}"
                        );
                    }
                    for up in tree.into_iter().flat_map(Tree::open_jobs) {
                        assert!(self.is_open(up), "{key}: its condition missed the end of {up}");
                        assert!(
                            self.has_edge(Edge::nested(key), up),
                            "{key}: half an edge to {up}"
                        );
                    }
                    if let Some(tree) = tree {
                        assert!(!tree.is_dead(), "{key}: can never run and waits");
                        assert!(waits > 0 || !tree.holds(), "{key}: could run and waits");
                        let wants = node.needs.wants().expect("it has a tree");
                        assert_eq!(wants.live, waits == 0 && tree.is_live(), "{key}: live or not");
                        let next = tree.next_look(self.moment, wants.live);
                        assert_eq!(wants.timer.map(|(_, at)| at), next, "{key}: its timer is off");
                    }
                }
                State::Delayed => {
                    unfinished += 1;
                    delayed += 1;
                    self.check_begun(key, node);
                }
                State::Ready => {
                    unfinished += 1;
                    ready += 1;
                    self.check_begun(key, node);
                }
                State::Out(out) => {
                    unfinished += 1;
                    out_jobs += 1;
                    blocked += usize::from(out.blocked);
                    if !out.blocked {
                        permits[node.kind as usize] += 1;
                    }
                    self.check_begun(key, node);
                }
                State::Finished(status) => {
                    finished += 1;
                    assert!(status.is_finished());
                    assert!(node.downstream.as_slice().is_empty(), "{key}: dependents left behind");
                    assert!(matches!(node.needs, Needs::Nothing), "{key}: ended, yet needs");
                }
            }
            if let Some(wants) = node.needs.wants() {
                timers += usize::from(wants.timer.is_some());
                live += usize::from(wants.live);
            }
        }
        assert_eq!(self.ready.permits(), (permits, permits.iter().sum()), "permits do not add up");
        assert_eq!(self.ready.len(), ready, "the count of ready jobs is off");
        assert_eq!(self.counts.unfinished, unfinished, "the count of unfinished jobs is off");
        assert_eq!(self.counts.out, out_jobs, "the count of jobs that are out is off");
        for b in &self.blocked {
            let open = b.on == READERS || self.is_open(b.on);
            assert!(open, "{}: blocks on {}, which has ended", b.key, b.on);
        }
        let lent = self.blocked.iter().filter(|b| b.on == READERS).count();
        assert_eq!(self.lent, lent, "the count of lent permits is off");
        assert_eq!(self.counts.blocked, blocked, "the count of blocked jobs is off");
        let listed: BTreeSet<_> = self.blocked.iter().map(|b| b.key).collect();
        assert_eq!(listed.len(), blocked, "the list of blocked jobs is off");
        let ways: BTreeSet<_> = self.blocked.iter().map(|b| (b.key, b.on == READERS)).collect();
        assert_eq!(ways.len(), self.blocked.len(), "a job blocks twice in one way");
        assert_eq!(self.finished_here, finished, "the count of finished jobs is off");
        assert_eq!(self.delayed, delayed, "the count of delayed jobs is off");
        assert_eq!(self.live, live, "the count of live jobs is off");
        timers += usize::from(self.rate_timer.is_some());
        assert_eq!(self.wheel.len(), timers, "timers that are nobody's, or lost");
        let opens = self.ready.rate_opens();
        assert_eq!(self.rate_timer.map(|(_, at)| at), opens, "the timer of rates is off");
        self.check_supplies();
        self.check_stall();
        assert!(self.next_deadline().is_none_or(|at| at > self.moment.now), "a timer is overdue");
        self.wheel.sanity_check();
    }

    /// Who waits is told of a stall if, and only if, nothing can happen any more.
    fn check_stall(&self) {
        let can_go = self.nodes.iter().find(|(_, node)| {
            let rules = node.needs.attempts().map(|attempts| &attempts.rules);
            let demands = rules.map(|rules| &rules.demands);
            node.state == State::Ready
                && self.ready.may_go_out_of_turn(node.kind, demands, self.moment.now)
        });
        let can_go = can_go.map(|(key, _)| key);
        if self.is_stalled() {
            assert_eq!(can_go, None, "it could go, and all is said to be stalled");
        }
        let none_moves = self.counts.out == self.counts.blocked && self.counts.unfinished > 0;
        let none_will = self.live + self.delayed + self.lent == 0 && !self.ready.may_go_on();
        if none_moves && none_will && can_go.is_none() {
            assert!(self.is_stalled(), "nothing can happen any more, and nobody is told");
        }
    }

    /// What is free and what jobs have that are out is all there is.
    fn check_supplies(&self) {
        for (id, &all) in self.ready.limits().resources.iter().enumerate() {
            let (free, total) = self.ready.supplies().of(id as u16);
            let mut units = BTreeSet::new();
            let mut held = 0;
            for (key, node) in self.nodes.iter() {
                let granted = node.needs.attempts().into_iter().flat_map(|a| &a.granted);
                for (_, count, which) in granted.filter(|(of, ..)| usize::from(*of) == id) {
                    assert!(
                        matches!(node.state, State::Out(_)),
                        "{key}: has units, and is not out"
                    );
                    held += count;
                    assert!(which.iter().all(|unit| units.insert(*unit)), "{key}: another's unit");
                }
            }
            assert_eq!((free + held, total), (all, all), "resource {id} does not add up");
        }
    }

    fn has_edge(&self, edge: Edge, up: Key) -> bool {
        self.nodes.get(up).is_some_and(|up| up.downstream.as_slice().contains(&edge))
    }

    /// A job that waits no more.
    fn check_begun(&self, key: Key, node: &Node<P>) {
        let open = node.needs.edges().iter().any(|up| self.is_awaited(up.key(), key));
        assert!(!open, "{key}: too early");
        let Some(wants) = node.needs.wants() else { return };
        assert!(!wants.live, "{key}: waits no more, yet is live");
        let told = matches!(node.state, State::Out(Out { cancelled: Some(_), .. }));
        let next = wants.attempts.as_ref().and_then(|attempts| attempts.next());
        let next = next.filter(|_| !told);
        assert_eq!(wants.timer.map(|(_, at)| at), next, "{key}: the timer of its attempts is off");
    }
}
