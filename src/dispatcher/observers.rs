//! Those who want to hear of events.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::run::Dispatcher;
use crate::event::{Events, JobEvent, Subscriber, subscription};
use crate::job::watch_starts;

/// The subscribers of an engine's events.
pub(super) struct Observers {
    any: AtomicBool,
    /// `None` when there will be no more events.
    list: Mutex<Option<Vec<Subscriber>>>,
}

impl Default for Observers {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), list: Mutex::new(Some(Vec::new())) }
    }
}

impl Observers {
    fn add(&self, subscriber: Subscriber) {
        let mut list = self.list.lock();
        let Some(list) = &mut *list else { return };
        list.push(subscriber);
        if !self.any.swap(true, Ordering::SeqCst) {
            watch_starts(true);
        }
    }

    /// Whether somebody wants to hear of anything.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Tells an event, if somebody wants to hear it. Does not wait for anybody.
    pub(super) fn tell(&self, event: impl FnOnce() -> JobEvent) {
        if !self.any() {
            return;
        }
        let event = event();
        let mut list = self.list.lock();
        let Some(list) = &mut *list else { return };
        list.retain(|subscriber| subscriber.tell(event.clone()));
        if list.is_empty() && self.any.swap(false, Ordering::SeqCst) {
            watch_starts(false);
        }
    }

    /// There will be no more events.
    pub(super) fn end(&self) {
        *self.list.lock() = None;
        if self.any.swap(false, Ordering::SeqCst) {
            watch_starts(false);
        }
    }
}

impl Dispatcher {
    /// The events from now on, of which so many may wait to be read.
    pub(crate) fn subscribe(&self, capacity: usize) -> Events {
        let (subscriber, events) = subscription(capacity);
        self.observers.add(subscriber);
        events
    }
}
