//! A job in the core: its state, and its edges to other jobs.

use super::message::Key;
use crate::error::CancelReason;
use crate::job::{KindId, Status};

/// A job in the core.
pub(crate) struct Node<P> {
    /// `None` for a job that others wait for and that is not submitted yet.
    pub(crate) payload: Option<P>,
    pub(crate) kind: KindId,
    pub(crate) state: State,
    /// The jobs that it needed when it was submitted.
    pub(crate) upstream: Box<[Key]>,
    /// The unfinished jobs that need it.
    pub(crate) downstream: Downstream,
}

/// Where a job stands, for the core. Whether a job that is out has begun is the backend's
/// affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Named by others, not submitted.
    Expected,
    /// Waits for this many jobs.
    Waiting(u32),
    /// In the ready queue.
    Ready,
    /// Handed to a backend, or run by a waiting thread.
    Out(Out),
    /// Ended.
    Finished(Status),
}

/// A job that is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Out {
    /// Whether it blocks on another job; then its permit is lent.
    pub(crate) blocked: bool,
    /// Set once it is called off.
    pub(crate) cancelled: Option<Cause>,
}

/// Why a job that is out is called off. (Trouble upstream cannot reach a job that is out.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Requested,
    Shutdown,
}

impl From<CancelReason> for Cause {
    fn from(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Shutdown => Self::Shutdown,
            CancelReason::Requested | CancelReason::Upstream(_) => Self::Requested,
        }
    }
}

impl From<Cause> for CancelReason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Requested => Self::Requested,
            Cause::Shutdown => Self::Shutdown,
        }
    }
}

/// The jobs that wait for one: mostly none or one.
#[expect(clippy::box_collection, reason = "two words where a Vec would make it four")]
#[derive(Debug, Default)]
pub(crate) enum Downstream {
    #[default]
    None,
    One(Key),
    Many(Box<Vec<Key>>),
}

impl Downstream {
    pub(crate) fn push(&mut self, key: Key) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(key),
            Self::One(first) => Self::Many(Box::new(vec![first, key])),
            Self::Many(mut keys) => {
                keys.push(key);
                Self::Many(keys)
            }
        };
    }

    pub(crate) fn as_slice(&self) -> &[Key] {
        match self {
            Self::None => &[],
            Self::One(key) => std::slice::from_ref(key),
            Self::Many(keys) => keys,
        }
    }
}

impl<P> Node<P> {
    pub(crate) fn expected() -> Self {
        Self {
            payload: None,
            kind: KindId::Local,
            state: State::Expected,
            upstream: Box::default(),
            downstream: Downstream::None,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished(_))
    }
}

// A million pending jobs are a million of these.
const _: () = assert!(size_of::<Option<Node<std::sync::Arc<()>>>>() <= 64);
