//! Whose turn it is at the core: a lock that nobody waits for just to bring news.
//!
//! A bringer of news puts it into a queue, [announces](Baton::announce) it, and tries the lock.
//! If another thread has it, the bringer leaves: the holder looks for announcements after it
//! has let go ([`Baton::more`]), and takes the lock again if there are any. So news is never
//! left lying: whichever of the two comes later sees the other.
//!
//! `tests/loom.rs` tries every interleaving.

use super::sync::{AtomicBool, AtomicU32, Mutex, MutexGuard, Ordering, fence, unlock_fair};

/// The lock and the flag that says that there is news.
pub(crate) struct Baton<D> {
    desk: Mutex<D>,
    news: AtomicBool,
    /// How many threads wait for the lock.
    waiting: AtomicU32,
}

impl<D> Baton<D> {
    pub(crate) fn new(desk: D) -> Self {
        Self { desk: Mutex::new(desk), news: AtomicBool::new(false), waiting: AtomicU32::new(0) }
    }

    /// Waits for the turn: for those who need an answer.
    pub(crate) fn take(&self) -> MutexGuard<'_, D> {
        if let Some(desk) = self.desk.try_lock() {
            return desk;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let desk = self.desk.lock();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        desk
    }

    /// The end of a turn: whoever waits for the next one gets it, or bringers of news, who come
    /// again and again, would always be faster.
    pub(crate) fn pass(&self, desk: MutexGuard<'_, D>) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            drop(desk);
        } else {
            unlock_fair(desk);
        }
    }

    /// The turn, if it is free.
    pub(crate) fn try_take(&self) -> Option<MutexGuard<'_, D>> {
        self.desk.try_lock()
    }

    /// Says that something was put into a queue; then the turn, if it is free.
    pub(crate) fn announce(&self) -> Option<MutexGuard<'_, D>> {
        // A swap, not a store: so whoever hears of a later announcement has heard of this one,
        // and sees what was put into the queue before it.
        self.news.swap(true, Ordering::SeqCst);
        // Pairs with the fence in `more`.
        fence(Ordering::SeqCst);
        self.desk.try_lock()
    }

    /// Whether there is news; the holder then empties the queues, or announces again.
    pub(crate) fn hear(&self) -> bool {
        self.news.load(Ordering::Relaxed) && self.news.swap(false, Ordering::SeqCst)
    }

    /// The holder leaves the rest of the news for a later turn.
    pub(crate) fn leave_news(&self) {
        self.news.store(true, Ordering::SeqCst);
    }

    /// To be asked after the turn: whether there is news that its bringer may have left to us.
    pub(crate) fn more(&self) -> bool {
        fence(Ordering::SeqCst);
        self.news.load(Ordering::SeqCst)
    }
}
