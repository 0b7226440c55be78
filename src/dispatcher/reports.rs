//! What backends tell, and how it gets to the core.

use super::key::{Key, Nanos};
use super::message::Event;
use super::run::Dispatcher;
use crate::backend::{Reports, enter_service};
use crate::clock;
use crate::info::Progress;
use crate::job::Ended;

/// What a backend tells of a run.
pub(super) enum News {
    Started(Key),
    /// The dispatcher itself has taken these back from their backend.
    Recalled(Vec<(Key, Nanos)>),
    Ended(Key, Ended),
    /// By that run.
    Lent(Key, u32, bool),
    /// For those who want to hear of it.
    Progress(Key, Box<Progress>),
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

    fn post_taken_back(&self, runs: Vec<(Key, Nanos)>) {
        self.news.push((News::Recalled(runs), clock::now()));
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
