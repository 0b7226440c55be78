//! What a job keeps for as long as somebody could want to run it: its function and arguments.
//!
//! They go when the job is finished and nobody has a handle of it. The last handle can be dropped
//! while another thread finishes the job, and while one looks at the function: whoever comes last
//! sees that they go. `tests/loom.rs` tries every interleaving.

use super::sync::{AtomicBool, AtomicU32, Mutex, Ordering, fence};

/// How many handles a job has.
pub(crate) struct Handles(AtomicU32);

impl Handles {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One more, unless there is none.
    pub(crate) fn add_beside_others(&self) -> bool {
        let one_more = |count| (count > 0).then(|| count + 1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    /// One less; true if it was the last. Then the caller asks whether the job is finished, or who
    /// has finished it sees that there is [none](Self::is_none).
    pub(crate) fn remove(&self) -> bool {
        let last = self.0.fetch_sub(1, Ordering::SeqCst) == 1;
        if last {
            // Pairs with the fence in `is_none`: one of the two sees what the other has done.
            fence(Ordering::SeqCst);
        }
        last
    }

    /// Whether nobody has one. To be asked after the job's end was published.
    pub(crate) fn is_none(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// A thing that is there until it is let go of.
pub(crate) struct Keep<B> {
    thing: Mutex<Option<B>>,
    /// It is to be let go of.
    unwanted: AtomicBool,
}

impl<B> Keep<B> {
    pub(crate) fn new(thing: B) -> Self {
        Self { thing: Mutex::new(Some(thing)), unwanted: AtomicBool::new(false) }
    }

    /// Calls `f` with the thing, if it is still there. Also gives it away if it was let go of
    /// meanwhile: to be dropped with no lock held.
    pub(crate) fn with<R>(&self, f: impl FnOnce(Option<&B>) -> R) -> (R, Option<B>) {
        let result = f(self.thing.lock().as_ref());
        // Who wanted to let go of it meanwhile left it to us. The fences pair: either the lock is
        // seen free there, or the mark here.
        fence(Ordering::SeqCst);
        let unwanted = self.unwanted.load(Ordering::SeqCst);
        (result, if unwanted { self.let_go() } else { None })
    }

    /// Gives the thing away, unless another thread is at it, which will then do so.
    pub(crate) fn let_go(&self) -> Option<B> {
        self.unwanted.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        // Users' code may run under the lock, and is not waited for: either the lock is free here,
        // or its holder sees the mark when it has let go.
        self.thing.try_lock().and_then(|mut thing| thing.take())
    }

    /// Gives the thing away, at the very end.
    pub(crate) fn take(&self) -> Option<B> {
        self.thing.lock().take()
    }
}
