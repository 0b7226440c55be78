//! The primitives of the two small lock-free protocols, [`Gate`](crate::job::Gate) and
//! [`Baton`](crate::dispatcher), in one place, so that `tests/loom.rs` can put loom's in theirs.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};

pub(crate) use parking_lot::{Mutex, MutexGuard};
