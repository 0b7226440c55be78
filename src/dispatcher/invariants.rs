//! What must hold in the core after every step; checked by the simulation.

use super::core::Core;
use super::message::Key;
use super::node::State;
use crate::job::KindId;

impl<P: Clone> Core<P> {
    /// Panics unless permits add up, every job is in exactly one place, and every edge has two
    /// ends.
    pub(crate) fn sanity_check(&self) {
        let mut permits = [0; KindId::COUNT];
        let (mut unfinished, mut out_jobs, mut ready, mut finished, mut blocked) = (0, 0, 0, 0, 0);
        for (key, node) in self.nodes.iter() {
            match node.state {
                State::Expected => {
                    assert!(node.payload.is_none(), "{key}: expected, yet submitted");
                    assert!(!node.downstream.as_slice().is_empty(), "{key}: expected by nobody");
                }
                State::Waiting(waits) => {
                    unfinished += 1;
                    let open = node.upstream.iter().filter(|&&up| self.is_open(up)).count();
                    assert_eq!(open, waits as usize, "{key}: its count of waits is off");
                    assert!(waits > 0, "{key}: waits for nothing");
                    for up in node.upstream.iter().filter(|&&up| self.is_open(up)) {
                        let back = self.nodes.get(*up).map(|up| up.downstream.as_slice());
                        assert!(
                            back.is_some_and(|back| back.contains(&key)),
                            "{key}: the edge to {up} has one end"
                        );
                    }
                }
                State::Ready => {
                    unfinished += 1;
                    ready += 1;
                    assert!(!node.upstream.iter().any(|&up| self.is_open(up)), "{key}: too early");
                }
                State::Out(out) => {
                    unfinished += 1;
                    out_jobs += 1;
                    blocked += usize::from(out.blocked);
                    if !out.blocked {
                        permits[node.kind as usize] += 1;
                    }
                    assert!(!node.upstream.iter().any(|&up| self.is_open(up)), "{key}: too early");
                }
                State::Finished(status) => {
                    finished += 1;
                    assert!(status.is_finished());
                    assert!(node.downstream.as_slice().is_empty(), "{key}: dependents left behind");
                }
            }
        }
        assert_eq!(self.ready.permits(), (permits, permits.iter().sum()), "permits do not add up");
        assert_eq!(self.ready.len(), ready, "the count of ready jobs is off");
        assert_eq!(self.counts.unfinished, unfinished, "the count of unfinished jobs is off");
        assert_eq!(self.counts.out, out_jobs, "the count of jobs that are out is off");
        for b in &self.blocked {
            assert!(self.is_open(b.on), "{}: blocks on {}, which has ended", b.key, b.on);
        }
        assert_eq!(self.blocked.len(), blocked, "the list of blocked jobs is off");
        assert_eq!(self.finished_here, finished, "the count of finished jobs is off");
    }

    /// Whether the job is in the table and not finished.
    fn is_open(&self, key: Key) -> bool {
        self.nodes.get(key).is_some_and(|node| !node.is_finished())
    }
}
