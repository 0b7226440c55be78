//! Job identity: a UUID whose low half counts, so that making one costs one atomic add.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of a job: a UUID of version 8 (RFC 9562, section 5.8), unique across processes and
/// machines, assigned when the job is made, before it is submitted.
///
/// The first half is drawn at random once per process, the second half counts the jobs of the
/// process, so ids of one process sort by the time their jobs were made.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let first = ThreadJob::new(|| 1, ());
/// let second = ThreadJob::new(|| 2, ());
/// assert!(first.id() < second.id());
/// let text = first.id().to_string();
/// assert_eq!(text.parse::<JobId>().unwrap(), first.id());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(Uuid);

/// The bits of the low half that count: the top two hold the UUID's variant.
const COUNTER_MASK: u64 = (1 << 62) - 1;

/// The next place in the count.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The random half of this process's ids.
fn prefix() -> u64 {
    static PREFIX: OnceLock<u64> = OnceLock::new();
    *PREFIX.get_or_init(|| {
        // `new_v8` overwrites the four version bits; draw them zero so that halves compare equal.
        let (high, _) = Uuid::new_v4().as_u64_pair();
        high & !0xF000
    })
}

impl JobId {
    /// The next place in the count of this process.
    pub(crate) fn next_count() -> u64 {
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts as if so many jobs had been made.
    #[cfg(test)]
    pub(crate) fn reserve(count: u64) {
        NEXT.fetch_max(count, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn next() -> Self {
        Self::from_count(Self::next_count())
    }

    /// The id with that place in the count of this process.
    pub(crate) fn from_count(count: u64) -> Self {
        let bits = (u128::from(prefix()) << 64) | u128::from(count & COUNTER_MASK);
        Self(Uuid::new_v8(bits.to_be_bytes()))
    }

    /// The id's place in the count of this process, if this process made it: an id from elsewhere
    /// that looks alike must not be taken for another job's.
    pub(crate) fn count_here(self) -> Option<u64> {
        let (high, low) = self.0.as_u64_pair();
        let count = low & COUNTER_MASK;
        (high & !0xF000 == prefix() && count < NEXT.load(Ordering::Relaxed)).then_some(count)
    }

    /// The id as a UUID, for those who store or send it.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let job = ThreadJob::new(|| (), ());
    /// assert_eq!(job.id().as_uuid().get_version_num(), 8);
    /// ```
    #[must_use]
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({})", self.0)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_up_and_know_their_process() {
        let (a, b) = (JobId::next(), JobId::next());
        assert!(a < b);
        assert!(a.count_here().unwrap() < b.count_here().unwrap());
        assert_eq!(JobId(Uuid::new_v4()).count_here(), None);
    }

    #[test]
    fn ids_are_valid_uuids_of_version_8() {
        let id = JobId::next();
        assert_eq!(id.as_uuid().get_version_num(), 8);
        assert_eq!(id.as_uuid().get_variant(), uuid::Variant::RFC4122);
    }
}
