//! Times of jobs: the monotonic clock in nanoseconds, and back to the wall.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// The monotonic clock in nanoseconds; never 0, which stands for "not yet".
pub(crate) fn now() -> u64 {
    // This clock cannot fail on Linux; its epoch is the machine's start.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    (time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())).max(1)
}

/// The wall-clock time of a moment, by the difference of the two clocks when it was first asked
/// for.
pub(crate) fn wall(monotonic: Duration) -> SystemTime {
    static START: OnceLock<SystemTime> = OnceLock::new();
    let start = START.get_or_init(|| SystemTime::now() - Duration::from_nanos(now()));
    *start + monotonic
}
