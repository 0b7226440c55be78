//! A job in the core: its state, and its edges to other jobs.

use super::edge::{Edge, Edges};
use super::key::{Key, Nanos};
use super::message::Need;
use super::rules::Attempts;
use super::wheel::TimerId;
use crate::condition::Tree;
use crate::error::CancelReason;
use crate::job::{KindId, Status, Stop};

/// A job in the core.
pub(crate) struct Node<P> {
    /// `None` for a job that others wait for and that is not submitted yet.
    pub(crate) payload: Option<P>,
    pub(crate) kind: KindId,
    pub(crate) state: State,
    /// While it waits: for how many jobs, apart from its nested condition.
    pub(crate) waits: u32,
    /// It had ended before: who waited for it then is not among its dependents any more.
    pub(crate) reran: bool,
    /// What it waits for, or waited for until it was ready.
    pub(crate) needs: Needs,
    /// The unfinished jobs that need it.
    pub(crate) downstream: Edges,
}

/// Where a job stands, for the core. Whether a job that is out has begun is the backend's
/// affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Named by others, not submitted.
    Expected,
    /// Waits for [some jobs](Node::waits), and for its nested condition, if it has one.
    Waiting,
    /// In the ready queue.
    Ready,
    /// Between two attempts.
    Delayed,
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
    /// All its attempts together took too long.
    TimedOut,
    /// This attempt took too long.
    AttemptTimedOut,
}

impl Cause {
    /// What to tell the job.
    pub(crate) fn stop(self) -> Stop {
        match self {
            Self::Requested | Self::Shutdown => Stop::Cancelled,
            Self::TimedOut => Stop::TimedOut,
            Self::AttemptTimedOut => Stop::AttemptTimedOut,
        }
    }
}

impl From<CancelReason> for Cause {
    fn from(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Shutdown => Self::Shutdown,
            _ => Self::Requested,
        }
    }
}

/// What a job waits for before it is ready.
#[derive(Debug, Default)]
pub(crate) enum Needs {
    #[default]
    Nothing,
    /// One job, as an argument or by a condition.
    One(Edge),
    Many(Box<Wants>),
}

/// What a job waits for, if it is more than one job, and what else few jobs have.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    /// All of these jobs.
    pub(crate) edges: Vec<Edge>,
    /// And its nested condition.
    pub(crate) tree: Option<Tree>,
    /// Where its attempts stand, if it says anything about them.
    pub(crate) attempts: Option<Box<Attempts>>,
    /// When it is to be looked at again.
    pub(crate) timer: Option<(TimerId, Nanos)>,
    /// Counted among the jobs that time alone may make ready.
    pub(crate) live: bool,
}

impl Needs {
    pub(crate) fn new(needs: &[Need], tree: Option<Tree>, attempts: Option<Box<Attempts>>) -> Self {
        match (needs, tree, attempts) {
            ([], None, None) => Self::Nothing,
            ([need], None, None) => Self::One(need.edge),
            (_, tree, attempts) => {
                let edges = needs.iter().map(|need| need.edge).collect();
                Self::Many(Box::new(Wants { edges, tree, attempts, ..Wants::default() }))
            }
        }
    }

    pub(crate) fn attempts(&self) -> Option<&Attempts> {
        match self {
            Self::Many(wants) => wants.attempts.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn attempts_mut(&mut self) -> Option<&mut Attempts> {
        match self {
            Self::Many(wants) => wants.attempts.as_deref_mut(),
            _ => None,
        }
    }

    /// The jobs that must all have ended as wanted.
    pub(crate) fn edges(&self) -> &[Edge] {
        match self {
            Self::Nothing => &[],
            Self::One(edge) => std::slice::from_ref(edge),
            Self::Many(wants) => &wants.edges,
        }
    }

    pub(crate) fn tree(&self) -> Option<&Tree> {
        match self {
            Self::Many(wants) => wants.tree.as_ref(),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn wants(&self) -> Option<&Wants> {
        match self {
            Self::Many(wants) => Some(wants),
            _ => None,
        }
    }

    pub(crate) fn tree_mut(&mut self) -> Option<&mut Tree> {
        match self {
            Self::Many(wants) => wants.tree.as_mut(),
            _ => None,
        }
    }

    /// The job at that place of all that are waited for; `None` in it if it has ended as far as
    /// the nested condition knows.
    pub(crate) fn job(&self, place: usize) -> Option<Option<Key>> {
        if let Some(edge) = self.edges().get(place) {
            return Some(Some(edge.key()));
        }
        let place = place - self.edges().len();
        let tree = self.tree().filter(|tree| place < tree.job_count())?;
        Some(tree.open_job(place))
    }

    /// All jobs that are waited for, but those that have ended as far as the nested condition
    /// knows.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = Key> + '_ {
        let nested = self.tree().into_iter().flat_map(Tree::open_jobs);
        self.edges().iter().map(|edge| edge.key()).chain(nested)
    }
}

impl<P> Node<P> {
    pub(crate) fn expected() -> Self {
        Self {
            payload: None,
            kind: KindId::Local,
            state: State::Expected,
            waits: 0,
            reran: false,
            needs: Needs::Nothing,
            downstream: Edges::None,
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished(_))
    }
}

// A million pending jobs are a million of these.
const _: () = assert!(size_of::<Option<Node<std::sync::Arc<dyn Send>>>>() <= 56);
