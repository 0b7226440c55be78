//! What a job waits for, in words.

use std::fmt::Write;
use std::sync::Arc;

use super::core::Core;
use super::key::{Key, READERS};
use super::node::{Needs, Node, Out, State};
use super::run::{Dispatcher, Payload};
use crate::clock::Moment;
use crate::condition::Statuses;
use crate::id::JobId;
use crate::job::{AnyJob, KindId, Status};

/// More than this many jobs are not told one by one.
const MOST_TOLD: usize = 20;

impl Dispatcher {
    /// What the job waits for.
    pub(super) fn explain(&self, job: &Arc<dyn AnyJob>) -> String {
        let mut text = String::new();
        // The core knows the time of the last event only.
        let now = self.moment().now;
        self.ask(|core| core.explain(&mut text, job, core.moment().at(now)));
        text
    }
}

impl Core<Payload> {
    fn explain(&self, text: &mut String, job: &Payload, moment: Moment) {
        let head = job.head();
        self.name(text, head.key());
        let node = self.nodes.get(head.key());
        match node.map(|node| node.state) {
            Some(State::Waiting) => {
                text.push_str(" is pending: it waits for");
                if let Some(node) = node {
                    self.explain_needs(text, head.key(), node, moment);
                }
            }
            Some(State::Ready) => {
                text.push_str(" is pending: it is ready and waits for its turn; ");
                self.explain_permits(text, head.kind(), node);
            }
            Some(State::Delayed) => {
                text.push_str(" is pending: it failed, and is tried again");
                if let Some(Needs::Many(wants)) = node.map(|node| &node.needs)
                    && let Some(at) = wants.attempts.as_ref().and_then(|attempts| attempts.again_at)
                {
                    let left = at.saturating_sub(self.moment().now).div_ceil(1_000_000);
                    let _ = write!(text, " in {:?}", std::time::Duration::from_millis(left));
                }
            }
            Some(State::Out(out)) => self.explain_out(text, job, out),
            Some(State::Finished(_)) | Some(State::Expected) | None => {
                let status = head.status();
                let verb = if status == Status::Failed { " has" } else { " is" };
                let _ = write!(text, "{verb} {status}");
                if let Some(error) = job.error().filter(|_| status.is_finished()) {
                    let _ = match error.cancel_reason() {
                        Some(reason) => write!(text, ": {reason}"),
                        None => write!(text, ": {error}"),
                    };
                }
            }
        }
    }

    fn explain_needs(&self, text: &mut String, key: Key, node: &Node<Payload>, moment: Moment) {
        let open = node.needs.edges().iter().filter(|edge| self.is_awaited(edge.key(), key));
        for (count, edge) in open.enumerate() {
            text.push_str("\n  ");
            if count == MOST_TOLD {
                text.push_str("and more jobs");
                break;
            }
            if edge.is_argument() {
                text.push_str("the result of ");
                self.name(text, edge.key());
                self.explain_state(text, edge.key());
            } else {
                self.explain_edge(text, edge.key(), edge.statuses(), None);
            }
        }
        if let Some(tree) = node.needs.tree() {
            tree.tell_missing(text, 1, moment, &|text, key, statuses, ended| {
                self.explain_edge(text, key, statuses, ended);
            });
        }
    }

    /// A job that is to end so.
    fn explain_edge(&self, text: &mut String, key: Key, wanted: Statuses, ended: Option<Status>) {
        self.name(text, key);
        match ended {
            Some(status) => {
                let _ = write!(text, ", which is {status}");
            }
            None => self.explain_state(text, key),
        }
        let _ = write!(text, ", to be {}", wanted.words());
    }

    /// Where an unfinished job stands.
    fn explain_state(&self, text: &mut String, key: Key) {
        text.push_str(match self.get(key) {
            None => ", which was not submitted",
            Some(job) if job.head().status() == Status::Running => ", which is running",
            Some(_) => ", which is pending",
        });
    }

    /// What keeps a ready job from going out.
    fn explain_permits(&self, text: &mut String, kind: KindId, node: Option<&Node<Payload>>) {
        let limits = self.ready.limits();
        let (of_kind, all) = self.ready.permits();
        if self.ready.is_paused(kind) {
            let _ = write!(text, "{} jobs are paused", kind.name());
            return;
        }
        match limits.max_jobs {
            Some(max) if all >= max => {
                let _ = write!(text, "max_jobs is {max}, and {all} jobs run");
                return;
            }
            _ => {
                let (jobs, most) = (of_kind[kind as usize], limits.capacity(kind));
                let _ = write!(text, "of {} jobs {jobs} are out, and {most} may be", kind.name());
            }
        }
        let attempts = node.and_then(|node| node.needs.attempts());
        let own = attempts.map(|attempts| &attempts.rules.demands);
        let demands = limits.rates.demands(kind, own);
        for &(id, units) in &demands.resources {
            let (free, total) = self.ready.supplies().of(id);
            let _ = write!(text, "; it needs {units} units of a resource");
            let _ = write!(text, " of which {free} of {total} are free");
        }
        let now = self.moment().now;
        if let Some(at) = limits.rates.opens(&demands, now) {
            let left = at.saturating_sub(now).div_ceil(1_000_000);
            let left = std::time::Duration::from_millis(left);
            let _ = write!(text, "; a rate limit lets it go in {left:?}");
        }
    }

    fn explain_out(&self, text: &mut String, job: &Payload, out: Out) {
        let head = job.head();
        if head.status() == Status::Running {
            let _ = write!(text, " is running (attempt {})", head.attempt());
            for blocked in self.blocked.iter().filter(|blocked| blocked.key == head.key()) {
                if blocked.on == READERS {
                    text.push_str(" and waits for somebody to read what it sends");
                } else {
                    text.push_str(" and waits, in its own code, for ");
                    self.name(text, blocked.on);
                    self.explain_state(text, blocked.on);
                }
            }
        } else {
            let most = self.ready.limits().per_kind[head.kind() as usize];
            text.push_str(" is pending: it is next in line for ");
            let _ = match head.kind() {
                KindId::Local => write!(text, "the serial lane"),
                KindId::Thread => write!(text, "a thread of the pool, which has {most}"),
                KindId::Blocking => write!(text, "one of at most {most} blocking threads"),
                KindId::Process => write!(text, "one of at most {most} worker processes"),
            };
        }
        if out.cancelled.is_some() {
            text.push_str("; it was told to stop");
        }
    }

    /// "job 6f0… (load)".
    fn name(&self, text: &mut String, key: Key) {
        let _ = write!(text, "job {}", JobId::from_count(key));
        if let Some(name) = self.get(key).and_then(|job| job.head().name()) {
            let _ = write!(text, " ({name})");
        }
    }
}
