//! Edges between jobs: who waits for whom, and for which end.

use super::key::Key;
use crate::condition::Statuses;

/// One end of an edge, in a word: the job at the other end, and for which end of the upper one
/// the lower one waits. Keys count this process's jobs from 0, so they leave a byte free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge(u64);

const STATUSES: u64 = 0b111;
const ARGUMENT: u64 = 1 << 3;
const NESTED: u64 = 1 << 4;

impl Edge {
    /// The upper job's result is an argument of the lower one.
    pub(crate) fn argument(key: Key) -> Self {
        Self(key << 8 | ARGUMENT | u64::from(Statuses::DONE.bits()))
    }

    /// The lower job's condition demands that the upper one ends so.
    pub(crate) fn condition(key: Key, statuses: Statuses) -> Self {
        Self(key << 8 | u64::from(statuses.bits()))
    }

    /// The upper job is part of the lower one's nested condition, which knows the rest.
    pub(crate) fn nested(key: Key) -> Self {
        Self(key << 8 | NESTED)
    }

    pub(crate) fn key(self) -> Key {
        self.0 >> 8
    }

    /// The same edge, seen from its other end.
    pub(crate) fn to(self, key: Key) -> Self {
        Self(key << 8 | self.0 & 0xFF)
    }

    pub(crate) fn statuses(self) -> Statuses {
        Statuses::from_bits((self.0 & STATUSES) as u8)
    }

    pub(crate) fn is_argument(self) -> bool {
        self.0 & ARGUMENT != 0
    }

    pub(crate) fn is_nested(self) -> bool {
        self.0 & NESTED != 0
    }
}

/// Edges of a job in one direction: mostly none or one.
#[expect(clippy::box_collection, reason = "two words where a Vec would make it four")]
#[derive(Debug, Default)]
pub(crate) enum Edges {
    #[default]
    None,
    One(Edge),
    Many(Box<Vec<Edge>>),
}

impl Edges {
    pub(crate) fn push(&mut self, edge: Edge) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(edge),
            Self::One(first) => Self::Many(Box::new(vec![first, edge])),
            Self::Many(mut edges) => {
                edges.push(edge);
                Self::Many(edges)
            }
        };
    }

    pub(crate) fn as_slice(&self) -> &[Edge] {
        match self {
            Self::None => &[],
            Self::One(edge) => std::slice::from_ref(edge),
            Self::Many(edges) => edges,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_keeps_its_parts() {
        let edge = Edge::condition(1 << 50, Statuses::FAILED).to(7);
        assert_eq!((edge.key(), edge.statuses()), (7, Statuses::FAILED));
        assert!(!edge.is_argument() && !edge.is_nested());
        assert!(Edge::argument(3).is_argument() && Edge::nested(3).is_nested());
        assert_eq!(Edge::argument(3).statuses(), Statuses::DONE);
    }
}
