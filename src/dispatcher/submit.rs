//! The way in: submissions, and finished jobs that are to run again.
//!
//! A submission that only the core could refuse waits for the core's lock. Others, nearly all, need
//! not: if the core is busy they go into the inbox, and whoever has the core takes them in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::core::Core;
use super::key::{Key, Nanos};
use super::message::{Event, Need, Refusal, Submission};
use super::rules::Rules;
use super::run::{Desk, Dispatcher, Payload};
use crate::backend::Reports;
use crate::clock;

/// Submissions left in the inbox at most, before whoever submits more has to wait for the core.
const BACKLOG: usize = 1024;

impl Dispatcher {
    /// Submits one job.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn submit_one(
        &self,
        now: Nanos,
        mut submission: Submission<Payload>,
    ) -> Result<(), Refusal> {
        // A job that waits for none, or that none can wait for yet, can be refused for one reason
        // only, which is known without the core: so it need not wait for the core either.
        let unnamed = || submission.key >= self.unnamed.load(Ordering::SeqCst);
        if submission.nested.is_none() && (submission.needs.is_empty() || unnamed()) {
            if self.closed.load(Ordering::SeqCst) {
                return Err(Refusal::Closed);
            }
            // In a turn it comes behind what this thread may have submitted before, while the core
            // was busy.
            let mut desk = match self.try_turn() {
                Some(mut desk) => {
                    self.take_in_all(&mut desk);
                    desk
                }
                None if self.submitted.len() < BACKLOG => {
                    submission.accepted = true;
                    self.submitted.push((submission, now));
                    self.drive();
                    return Ok(());
                }
                // Who submits faster than the core takes in lends a hand.
                None => self.turn(),
            };
            let refused = self.handle_submission(&mut desk, submission, now);
            return refused.map_or(Ok(()), Err);
        }
        self.submit_all(now, [submission]).map_err(|(_, refusal)| refusal)
    }

    /// Submits jobs, in order, under one lock.
    ///
    /// # Errors
    /// Why the first refused one was refused, and how many went before it.
    pub(crate) fn submit_all(
        &self,
        now: Nanos,
        submissions: impl IntoIterator<Item = Submission<Payload>>,
    ) -> Result<(), (usize, Refusal)> {
        let mut desk = self.turn();
        let mut answer = Ok(());
        let mut submissions = submissions.into_iter().enumerate();
        for (count, submission) in &mut submissions {
            if let Some(refusal) = self.handle_submission(&mut desk, submission, now) {
                answer = Err((count, refusal));
                break;
            }
        }
        drop(desk);
        // With no lock held, for there may be users' values in them.
        drop(submissions);
        answer
    }

    /// Has a finished job run again.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn rerun(&self, job: &Payload) -> Result<(), Refusal> {
        let head = job.head();
        let submission = Submission {
            key: head.key(),
            kind: head.kind(),
            needs: SmallVec::new(),
            nested: None,
            attempts: head.meta().and_then(|meta| {
                // It was submitted once, so it can be had.
                Rules::of(meta, &self.names.demands(meta).unwrap_or_default())
            }),
            accepted: false,
            payload: Arc::clone(job),
        };
        let mut desk = self.turn();
        self.handle(&mut desk, Event::Rerun(submission), clock::now());
        let refused = desk.refused.take();
        refused.map_or(Ok(()), Err)
    }

    /// Notes that a job was named by another one, before it was submitted as far as is known: it
    /// could come to wait for itself.
    pub(crate) fn note_named(&self, key: Key) {
        if key >= self.unnamed.load(Ordering::SeqCst) {
            self.unnamed.fetch_max(key + 1, Ordering::SeqCst);
        }
    }

    /// Hands a submission to the core; says why, if it was refused.
    pub(super) fn handle_submission(
        &self,
        desk: &mut Desk,
        mut submission: Submission<Payload>,
        now: Nanos,
    ) -> Option<Refusal> {
        if submission.needs.is_empty() && submission.nested.is_none() {
            self.handle(desk, Event::Submit(submission), now);
            return desk.refused.take();
        }
        refresh(&desk.core, &mut submission);
        let Submission { needs, nested, .. } = &mut submission;
        let nested = nested.iter_mut().flat_map(|nested| &mut nested.jobs);
        for need in needs.iter_mut().chain(nested) {
            // It may be the last that holds the job, unless the core has it.
            if let Some(named) = need.watched.take()
                && desk.core.get(need.edge.key()).is_none()
            {
                desk.after().named.push(named);
            }
        }
        self.handle(desk, Event::Submit(submission), now);
        desk.refused.take()
    }
}

/// Looks once more at those jobs that the submitted one needs and the core does not know. One that
/// had not ended when the job was admitted may have ended, and left the table, since; then only
/// it can tell.
fn refresh(core: &Core<Payload>, submission: &mut Submission<Payload>) {
    let Submission { needs, nested, payload, .. } = submission;
    let known = |need: &Need| need.ended.is_some() || core.get(need.edge.key()).is_some();
    let nested = nested.iter_mut().flat_map(|nested| &mut nested.jobs);
    nested.filter(|need| !known(need)).for_each(Need::refresh);
    if needs.iter().all(known) {
        return;
    }
    needs.iter_mut().for_each(Need::refresh);
    // Arguments come first.
    let mut places = needs.iter_mut();
    payload.visit_upstream(&mut |job| {
        if let Some(place) = places.next() {
            *place = Need::argument(job.head());
        }
    });
}
