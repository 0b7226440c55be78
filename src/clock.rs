//! Times of jobs: nanoseconds since the process's first engine or job, and back to the wall.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

struct Epoch {
    instant: Instant,
    wall: SystemTime,
}

fn epoch() -> &'static Epoch {
    static EPOCH: OnceLock<Epoch> = OnceLock::new();
    EPOCH.get_or_init(|| Epoch { instant: Instant::now(), wall: SystemTime::now() })
}

/// Nanoseconds since the epoch, monotonic; never 0, which stands for "not yet".
pub(crate) fn now() -> u64 {
    u64::try_from(epoch().instant.elapsed().as_nanos()).map_or(u64::MAX, |nanos| nanos.max(1))
}

/// The wall-clock time of a moment.
pub(crate) fn wall(since_epoch: Duration) -> SystemTime {
    epoch().wall + since_epoch
}
