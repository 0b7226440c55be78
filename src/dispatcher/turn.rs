//! A turn at the core: who has it may look and change, and its end pays what it owes.
//!
//! While a thread has the core, others leave their news to it and go. So a turn must not end without a
//! look at the inbox, or that news would lie there for ever: which is why the lock can be had only as a
//! [`Turn`], whose drop does all of it.

use std::ops::{Deref, DerefMut};

use parking_lot::MutexGuard;

use super::baton::Baton;
use super::key::Nanos;
use super::message::Event;
use super::reports::News;
use super::run::{Desk, Dispatcher};
use crate::event::JobEvent;
use crate::id::JobId;
use crate::job::KindId;

/// News that one thread carries to the core in one go, before it hands over.
const TURN: usize = 1024;

/// Turns that a thread has in a row while it has users' code to run, before it hands over.
const TURNS: usize = 4;

/// Submissions that go before the next look at news.
const SUBMISSIONS: usize = 32;

/// The core, and whose turn it is.
pub(super) struct Turns(Baton<Desk>);

impl Turns {
    pub(super) fn new(desk: Desk) -> Self {
        Self(Baton::new(desk))
    }

    /// Who has the turn leaves news in the inbox, for its end or a later turn.
    pub(super) fn leave_news(&self) {
        self.0.leave_news();
    }

    /// Whether there is news that nobody may have seen.
    pub(super) fn more(&self) -> bool {
        self.0.more()
    }

    /// The end of the dispatcher: nobody is there to bring news.
    pub(super) fn last<R>(&mut self, act: impl FnOnce(&mut Desk) -> R) -> R {
        act(&mut self.0.take())
    }
}

/// A thread's turn.
pub(super) struct Turn<'a> {
    dispatcher: &'a Dispatcher,
    /// Until the drop.
    desk: Option<MutexGuard<'a, Desk>>,
}

impl Deref for Turn<'_> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        self.desk.as_ref().expect("it is there until the drop")
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Desk {
        self.desk.as_mut().expect("it is there until the drop")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(desk) = self.desk.take() {
            self.dispatcher.settle(desk);
        }
    }
}

impl Dispatcher {
    /// Waits for a turn, for those who need an answer, and begins it by taking in all the news.
    pub(super) fn turn(&self) -> Turn<'_> {
        let mut turn = Turn { dispatcher: self, desk: Some(self.desk.0.take()) };
        self.take_in_all(&mut turn);
        turn
    }

    /// A turn, if it is free. The news is still to be taken in.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let desk = self.desk.0.try_take()?;
        Some(Turn { dispatcher: self, desk: Some(desk) })
    }

    /// Something was put into the inbox: it is taken in, here if the turn is free.
    pub(super) fn announce(&self) {
        if let Some(desk) = self.desk.0.announce() {
            self.settle(desk);
        }
    }

    /// Takes in the news; true if a turn's worth was not all, and the rest is left for later.
    fn take_in(&self, desk: &mut Desk) -> bool {
        if !self.desk.0.hear() {
            return false;
        }
        let mut left = TURN;
        loop {
            // What has ended makes others ready, so it comes first.
            while let Some((news, at)) = self.news.pop() {
                self.take_in_one(desk, news, at);
                left -= 1;
                if left == 0 {
                    self.desk.leave_news();
                    return true;
                }
            }
            for _ in 0..SUBMISSIONS {
                let Some((submission, then)) = self.submitted.pop() else { return false };
                self.handle_submission(desk, submission, then);
                left -= 1;
                if left == 0 {
                    self.desk.leave_news();
                    return true;
                }
            }
        }
    }

    fn take_in_one(&self, desk: &mut Desk, news: News, at: Nanos) {
        let event = match news {
            News::Started(key) => {
                if let Some(job) = desk.core.get(key) {
                    let (id, attempt) = (job.head().id(), job.head().attempt());
                    self.observers.tell(|| JobEvent::Started { id, attempt });
                }
                Event::Started { key }
            }
            News::Recalled(jobs) => {
                let known = jobs.iter().filter_map(|&(key, _)| desk.core.get(key));
                known.for_each(|job| job.head().again(false));
                Event::Recalled(jobs)
            }
            News::Ended(key, ended) => Event::Finished { key, ended },
            // A thread that has outlived its run says nothing of the next one.
            News::Lent(key, run, lent) => match desk.core.get(key) {
                Some(job) if job.head().run() == run => Event::Lent { key, lent },
                _ => return,
            },
            News::Progress(key, run, progress) => {
                // A thread that its job has left behind can be overtaken by the end.
                if desk.core.get(key).is_none_or(|job| job.head().is_over(run)) {
                    return;
                }
                let id = JobId::from_count(key);
                return self.observers.tell(|| JobEvent::Progress { id, progress: *progress });
            }
        };
        self.handle(desk, event, at);
    }

    /// Takes in all the news that there is by now: for those whose question is about jobs that may
    /// be among it. What comes meanwhile is for a later turn, or this one might never end.
    pub(super) fn take_in_all(&self, desk: &mut Desk) {
        if !self.desk.0.hear() {
            return;
        }
        let (news, submissions) = (self.news.len(), self.submitted.len());
        for (news, at) in (0..news).map_while(|_| self.news.pop()) {
            self.take_in_one(desk, news, at);
        }
        for (submission, then) in (0..submissions).map_while(|_| self.submitted.pop()) {
            self.handle_submission(desk, submission, then);
        }
        if !(self.news.is_empty() && self.submitted.is_empty()) {
            self.desk.leave_news();
        }
    }

    /// Ends a turn: takes in the news, wakes whom it concerns, lets go of the lock, and does what was
    /// put off. Before that, which can be users' code and take long, it sees to the news that others
    /// have left to whoever had the lock.
    fn settle<'a>(&'a self, mut desk: MutexGuard<'a, Desk>) {
        let mut turns = 1;
        loop {
            let full = self.take_in(&mut desk);
            if std::mem::take(&mut desk.changed) {
                self.wake_sleepers(&mut desk);
            }
            self.set_alarm(&mut desk);
            let kicks = std::mem::take(&mut desk.kicks);
            let after = desk.after.take();
            self.desk.0.pass(desk);
            let foreign = after.is_some() || kicks & (1 << KindId::Process as u8) != 0;
            if !foreign {
                self.kick(kicks);
            }
            let more = full || self.desk.more();
            // Others' news, not ours to carry for long.
            let enough = full || (foreign && turns >= TURNS);
            if more && enough {
                self.alarm.call();
            } else if more && let Some(again) = self.desk.0.try_take() {
                desk = again;
                if foreign {
                    // Whoever had a turn meanwhile has taken along what was put off in it.
                    debug_assert!(desk.after.is_none(), "it was left behind");
                    desk.kicks |= kicks;
                    desk.after = after;
                }
                turns += 1;
                continue;
            }
            if foreign {
                self.kick(kicks);
                if let Some(after) = after {
                    self.do_after(*after);
                }
            }
            return;
        }
    }
}
