//! What backends tell, and how it gets to the core.

use super::key::{Key, Nanos};
use super::message::Event;
use super::run::{Dispatcher, Payload};
use crate::backend::{Reports, Run, enter_service};
use crate::clock;
use crate::info::Progress;
use crate::job::{Ended, drop_quietly};

/// What a backend tells of a run.
pub(super) enum News {
    Started(Key),
    /// These were taken back from their backend, and are claimed; with when each became ready.
    Recalled(Vec<(Key, Nanos)>),
    Ended(Key, Ended),
    /// By that run.
    Lent(Key, u32, bool),
    /// Of that run, for those who want to hear of it.
    Progress(Key, u32, Box<Progress>),
}

impl Dispatcher {
    /// Claims those of the runs that nobody has begun, so that they stay untouched until the core has
    /// heard of them; says whether there are any. `done_with` gets each job: perhaps nobody else holds
    /// it.
    pub(super) fn recall(
        &self,
        runs: Vec<Run>,
        at: Nanos,
        mut done_with: impl FnMut(Payload),
    ) -> bool {
        let mut recalled = Vec::with_capacity(runs.len());
        for run in runs {
            if run.claim() {
                recalled.push((run.job.head().key(), run.ready));
            }
            done_with(run.job);
        }
        let any = !recalled.is_empty();
        if any {
            self.news.push((News::Recalled(recalled), at));
        }
        any
    }
}

impl Reports for Dispatcher {
    fn post_started(&self, key: Key, at: Nanos) {
        self.news.push((News::Started(key), at));
    }

    fn post_finished(&self, key: Key, ended: Ended) {
        self.news.push((News::Ended(key, ended), clock::now()));
    }

    fn post_lent(&self, key: Key, run: u32, lent: bool) {
        self.news.push((News::Lent(key, run, lent), clock::now()));
    }

    fn post_taken_back(&self, runs: Vec<Run>) -> bool {
        self.recall(runs, clock::now(), drop_quietly)
    }

    fn finished(&self, key: Key, ended: Ended, at: Nanos) {
        if let Some(mut desk) = self.try_turn() {
            self.handle(&mut desk, Event::Finished { key, ended }, at);
        } else {
            self.news.push((News::Ended(key, ended), at));
            self.drive();
        }
    }

    fn drive(&self) {
        self.announce();
    }

    fn enter_service(&self) {
        enter_service(self.engine);
    }
}
