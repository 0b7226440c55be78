//! The primitives of the small lock-free protocols, a job's `Gate` and `Keep` and the dispatcher's
//! `Baton`, in one place, so that `tests/loom.rs` can put loom's in theirs.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};

pub(crate) use parking_lot::{Mutex, MutexGuard};

/// Unlocks, and gives the lock to whoever waits longest rather than to whoever comes first.
pub(crate) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
    MutexGuard::unlock_fair(guard);
}
