//! What jobs and moments are called in the core.

/// A job's key in its engine: its place in this process's count of jobs.
pub(crate) type Key = u64;

/// Stands for those who read a stream, as what its job blocks on. No job has this key.
pub(crate) const READERS: Key = Key::MAX;

/// Monotonic time, in nanoseconds.
pub(crate) type Nanos = u64;
