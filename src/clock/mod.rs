//! The clocks: the monotonic one in nanoseconds, the wall's, and one that is moved by hand.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

mod manual;

pub use manual::ManualClock;
pub(crate) use manual::{Hands, Timed};

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

/// A moment by both clocks, in nanoseconds: the monotonic one, and what is to be added to it for
/// the wall's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) now: u64,
    /// Wall clock minus monotonic clock. Changes when somebody sets the wall clock.
    pub(crate) offset: i64,
}

impl Moment {
    /// The moment at which it is asked for.
    fn of_system() -> Self {
        /// Two looks so close together were not interrupted, in nanoseconds.
        const CLOSE: u64 = 10_000;
        const TRIES: usize = 20;
        // The wall is read before the other clock, so that no job that waits for it comes early;
        // and between two looks at that, for a thread can be interrupted between any two.
        let look = || {
            let before = now();
            let wall = nanos_since_epoch(SystemTime::now());
            let now = now();
            (now - before, Self { now, offset: wall.saturating_sub(signed(now)) })
        };
        let mut best = look();
        for _ in 0..TRIES {
            if best.0 <= CLOSE {
                break;
            }
            best = std::cmp::min_by_key(best, look(), |(took, _)| *took);
        }
        best.1
    }

    /// Nanoseconds since the Unix epoch.
    pub(crate) fn wall(self) -> i64 {
        signed(self.now).saturating_add(self.offset)
    }

    /// When the monotonic clock will be at that moment of the wall clock, if nobody sets that.
    pub(crate) fn monotonic(self, wall: i64) -> u64 {
        u64::try_from(i128::from(wall) - i128::from(self.offset)).unwrap_or_default()
    }

    /// The moment at which the monotonic clock shows this.
    pub(crate) fn at(self, now: u64) -> Self {
        Self { now, ..self }
    }
}

fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// Beyond the years 1677 and 2262, those.
fn nanos_since_epoch(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, std::ops::Neg::neg)
        }
    }
}

/// The clock that an engine goes by.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    Manual(Arc<Hands>),
}

impl Clock {
    /// This moment.
    pub(crate) fn moment(&self) -> Moment {
        match self {
            Self::System => Moment::of_system(),
            Self::Manual(hands) => hands.moment(),
        }
    }

    /// The monotonic time of something that happened at `system` by the system's clock.
    pub(crate) fn time(&self, system: u64) -> u64 {
        match self {
            Self::System => system,
            Self::Manual(hands) => hands.moment().now,
        }
    }

    /// Whether time passes by itself.
    pub(crate) fn runs(&self) -> bool {
        matches!(self, Self::System)
    }
}
