//! Why a job ends before it has run, in words, and what is let go of then.

use super::edge::Edge;
use super::key::Key;
use super::message::{Effect, Verdict};
use crate::condition::{Statuses, Tree};
use crate::error::{CancelReason, Unsatisfiable};
use crate::id::JobId;
use crate::job::Status;

/// Has the custom conditions of a tree dropped by who holds no lock.
pub(super) fn let_go_of<P>(key: Key, tree: Tree, effects: &mut Vec<Effect<P>>) {
    let customs = tree.into_customs();
    if !customs.is_empty() {
        effects.push(Effect::LetGo { key, customs });
    }
}

/// The verdict on a job when the one at the other end of the edge has ended otherwise than
/// wanted.
pub(super) fn ended_otherwise(edge: Edge, status: Status) -> Verdict {
    let id = JobId::from_count(edge.key());
    let reason = if edge.is_argument() {
        CancelReason::Upstream(id)
    } else {
        let mut text = String::new();
        tell_edge(&mut text, edge.key(), edge.statuses(), Some(status));
        CancelReason::Unsatisfiable(Unsatisfiable::new(vec![id], text))
    };
    Verdict::Cancelled(reason)
}

/// Why a job that waits for itself, by way of those after it, can never run.
pub(super) fn tell_cycle(keys: &[Key]) -> Unsatisfiable {
    let jobs: Vec<JobId> = keys.iter().copied().map(JobId::from_count).collect();
    let names: Vec<String> = jobs.iter().map(JobId::to_string).collect();
    Unsatisfiable::new(jobs, format!("it would wait for itself: {}", names.join(" waits for ")))
}

pub(super) fn tell_edge(text: &mut String, key: Key, statuses: Statuses, ended: Option<Status>) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(text, "job {} was to be {}", JobId::from_count(key), statuses.words());
    if let Some(status) = ended {
        let verb = if status == Status::Failed { "" } else { "is " };
        let _ = write!(text, " and {verb}{status}");
    }
}
