//! Which engine a job belongs to.
//!
//! A job knows its engine by a number, not by a reference: a reference would cost each job two
//! atomic operations on one counter that all threads share.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells engines apart within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EngineId(NonZeroU64);

impl EngineId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(NonZeroU64::new(number).expect("fewer than 2^64 engines"))
    }

    /// The number, never 0.
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }
}
