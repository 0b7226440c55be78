//! A job's status and those who wait for its end: one atomic byte, and a list that is touched
//! only if somebody waits.
//!
//! `tests/loom.rs` tries every interleaving of a finish with registrations, replacements and
//! removals.
//!
//! Waiters may be foreign code, so none is dropped here, under the lock: who is taken off the list is
//! given back.

use super::status::Status;
use super::sync::{AtomicU8, Mutex, Ordering};

/// Beside the status: somebody waits for the job's end.
const WAITED: u8 = 1 << 7;

/// A list in one word where a `Vec` has three: mostly there is none.
type List<W> = Option<Box<Vec<W>>>;

/// The status of a job, and those who wait for its end.
pub(crate) struct Gate<W> {
    status: AtomicU8,
    waiters: Mutex<List<W>>,
}

impl<W> Gate<W> {
    pub(crate) fn new() -> Self {
        Self { status: AtomicU8::new(Status::Created as u8), waiters: Mutex::new(None) }
    }

    pub(crate) fn status(&self) -> Status {
        Status::from_u8(self.status.load(Ordering::Acquire) & !WAITED)
    }

    /// Moves on to an unfinished status, or back to one. Only one caller at a time may: before
    /// submission the job's owner, while it runs its claimant, else the dispatcher.
    pub(crate) fn advance(&self, to: Status) {
        debug_assert!(!to.is_finished());
        // Waiters set their bit at any time, so the status is changed beside it.
        let from = self.status.load(Ordering::Relaxed) & !WAITED;
        self.status.fetch_xor(from ^ to as u8, Ordering::AcqRel);
    }

    /// The end. Gives those who waited, to be woken.
    pub(crate) fn finish(&self, status: Status) -> Vec<W> {
        debug_assert!(status.is_finished());
        if self.status.swap(status as u8, Ordering::SeqCst) & WAITED == 0 {
            return Vec::new();
        }
        self.waiters.lock().take().map_or_else(Vec::new, |list| *list)
    }

    /// Registers a waiter, in place of the one that is the `same`, which is given back. If the end
    /// has come, the waiter itself is: `Err`.
    pub(crate) fn add(&self, waiter: W, same: impl FnMut(&W) -> bool) -> Result<Option<W>, W> {
        let mut waiters = self.waiters.lock();
        // Either `finish` sees the bit, and then waits for this lock, or we see its status.
        let before = self.status.fetch_or(WAITED, Ordering::AcqRel);
        if Status::from_u8(before & !WAITED).is_finished() {
            return Err(waiter);
        }
        let list = waiters.get_or_insert_with(Box::default);
        if let Some(at) = list.iter().position(same) {
            return Ok(Some(std::mem::replace(&mut list[at], waiter)));
        }
        list.push(waiter);
        Ok(None)
    }

    /// Whether such a waiter is registered. One that was is not any more once an end has come,
    /// whatever the status is by now.
    pub(crate) fn has(&self, wanted: impl Fn(&W) -> bool) -> bool {
        self.waiters.lock().as_ref().is_some_and(|list| list.iter().any(wanted))
    }

    /// Takes a waiter off the list, and the list away if it was the last.
    pub(crate) fn remove(&self, unwanted: impl FnMut(&W) -> bool) -> Option<W> {
        let mut waiters = self.waiters.lock();
        let list = waiters.as_mut()?;
        let at = list.iter().position(unwanted)?;
        let waiter = list.swap_remove(at);
        if list.is_empty() {
            *waiters = None;
        }
        Some(waiter)
    }
}
