//! [`ManualClock`]: time for tests, which passes when it is told to.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, MutexGuard};

use super::{Moment, nanos_since_epoch};
use crate::error::Result;

/// A clock that stands still until it is moved, for tests of conditions on time: years pass in
/// milliseconds, and always in the same way.
///
/// An engine built with [`EngineBuilder::clock`](crate::EngineBuilder::clock) goes by it in all
/// that it decides: delays, time points, clocks, weekdays. The times in
/// [`JobInfo`](crate::JobInfo), and the timeouts of calls that wait, are those of the system.
/// While the clock stands, [`Engine::wait`](crate::Engine::wait) waits for somebody to move it.
///
/// Clones are the same clock. Several engines can share one.
///
/// ```
/// use executor_engine::prelude::*;
/// use executor_engine::{ManualClock, condition::*};
/// use std::time::{Duration, SystemTime};
///
/// // Tuesday, 24 November 2026, 08:00 UTC
/// let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_507_200));
/// let engine = Engine::builder().clock(&clock).time_zone("UTC").build()?;
/// let lunch = ThreadJob::new(|| "lunch", ()).condition(after_clock("12:30"));
/// let lunch = engine.submit(lunch)?;
/// clock.advance(Duration::from_secs(4 * 3600));
/// assert_eq!(lunch.status(), Status::Pending); // 12:00
/// clock.advance(Duration::from_secs(1800));
/// assert_eq!(lunch.result()?, "lunch"); // 12:30
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct ManualClock {
    hands: Arc<Hands>,
}

/// What clones of a manual clock share.
pub(crate) struct Hands {
    moment: Mutex<Moment>,
    engines: Mutex<Vec<Weak<dyn Timed>>>,
    /// Held by who moves the clock, for each step: how many there were. Not while jobs are waited
    /// for, which may move the clock themselves.
    moving: Mutex<u64>,
}

/// An engine that goes by a manual clock.
pub(crate) trait Timed: Send + Sync {
    /// When time has to be told of next.
    fn next_deadline(&self) -> Option<u64>;

    /// Time has passed.
    fn tick(&self);

    /// The wall clock was set.
    fn clock_set(&self, offset: i64);

    /// Blocks until nothing runs or is ready, and no custom condition is being asked.
    ///
    /// # Errors
    /// Called inside a job.
    fn settle_down(&self) -> Result<()>;
}

impl ManualClock {
    /// A clock at that time.
    ///
    /// ```
    /// # use executor_engine::ManualClock;
    /// # use std::time::SystemTime;
    /// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    /// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
    /// ```
    #[must_use]
    pub fn new(time: SystemTime) -> Self {
        // The monotonic clock could start anywhere but at 0, which stands for "not yet".
        let start = 1_000_000_000;
        let offset = nanos_since_epoch(time).saturating_sub(1_000_000_000);
        Self {
            hands: Arc::new(Hands {
                moment: Mutex::new(Moment { now: start, offset }),
                engines: Mutex::default(),
                moving: Mutex::default(),
            }),
        }
    }

    pub(crate) fn hands(&self) -> &Arc<Hands> {
        &self.hands
    }

    /// What time it is.
    ///
    /// ```
    /// # use executor_engine::ManualClock;
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// ```
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let wall = self.hands.moment().wall();
        let distance = Duration::from_nanos(wall.unsigned_abs());
        if wall < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
    }

    /// Lets that much time pass. What is due on the way becomes due in order, each at its time,
    /// before this returns; the jobs that it makes ready are started and not waited for, nor are
    /// the answers of [custom](crate::condition::custom) conditions. See
    /// [`run_for`](Self::run_for) for when they should end in between. The clock goes no further
    /// than 292 years.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::{ManualClock, condition::*};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new(SystemTime::now());
    /// let engine = Engine::builder().clock(&clock).build()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).condition(after_delay("30d")))?;
    /// clock.advance(Duration::from_secs(30 * 24 * 3600));
    /// assert_eq!(job.result()?, 1);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn advance(&self, time: Duration) {
        let moved = self.hands.go(time, false);
        debug_assert!(moved.is_ok(), "nothing was waited for");
    }

    /// As [`advance`](Self::advance), but stops at each time at which something is due until
    /// everything that became ready by it has ended, and what depends on that, and so on, and the
    /// custom conditions that are due have answered: so whatever follows from a job happens at the
    /// time of the job. A job may move the clock meanwhile.
    ///
    /// # Errors
    /// Called inside a job of an engine that goes by the clock, which would wait for itself.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::{ManualClock, condition::*};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    /// let engine = Engine::builder().clock(&clock).build()?;
    /// let (look, again) = (clock.clone(), clock.clone());
    /// let first = ThreadJob::new(move || look.now(), ()).condition(after_delay("1h"));
    /// let first = engine.submit(first)?;
    /// let then = ThreadJob::new(move |_: SystemTime| again.now(), (&first,));
    /// let then = engine.submit(then)?;
    /// clock.run_for(Duration::from_secs(24 * 3600))?;
    /// let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
    /// assert_eq!((first.result()?, then.result()?), (hour, hour));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn run_for(&self, time: Duration) -> Result<()> {
        self.hands.go(time, true)
    }

    /// Sets the wall clock, forwards or back, as somebody at the machine might. No time passes:
    /// delays and periods are not affected, conditions on the wall clock see the new time.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::{ManualClock, condition::*};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new(SystemTime::UNIX_EPOCH);
    /// let engine = Engine::builder().clock(&clock).build()?;
    /// let later = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
    /// let point = engine.submit(ThreadJob::new(|| 1, ()).condition(after_timepoint(later)))?;
    /// let delay = engine.submit(ThreadJob::new(|| 1, ()).condition(after_delay("1h")))?;
    /// clock.set(later);
    /// assert_eq!(point.result()?, 1);
    /// assert_eq!(delay.status(), Status::Pending);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn set(&self, time: SystemTime) {
        let mut moving = self.hands.moving.lock();
        *moving += 1;
        let offset = {
            let mut moment = self.hands.moment.lock();
            let now = i64::try_from(moment.now).unwrap_or(i64::MAX);
            moment.offset = nanos_since_epoch(time).saturating_sub(now);
            moment.offset
        };
        for engine in self.hands.engines() {
            engine.clock_set(offset);
        }
    }
}

/// The clock stops here: 292 years, in nanoseconds.
const LAST: u64 = u64::MAX / 2;

impl Hands {
    pub(super) fn moment(&self) -> Moment {
        *self.moment.lock()
    }

    /// An engine goes by this clock from now on.
    pub(crate) fn register(&self, engine: Weak<dyn Timed>) {
        self.engines.lock().push(engine);
    }

    fn engines(&self) -> Vec<Arc<dyn Timed>> {
        let mut engines = self.engines.lock();
        engines.retain(|engine| engine.strong_count() > 0);
        engines.iter().filter_map(Weak::upgrade).collect()
    }

    /// Blocks until all engines have settled down.
    fn settle_down(&self) -> Result<()> {
        self.engines().iter().try_for_each(|engine| engine.settle_down())
    }

    /// For a step of the clock: the lock on moving it, with `settle` not before all has settled.
    fn right_to_move(&self, settle: bool) -> Result<MutexGuard<'_, u64>> {
        let mut moving = self.moving.lock();
        if !settle {
            return Ok(moving);
        }
        loop {
            let moves = *moving;
            drop(moving);
            self.settle_down()?;
            moving = self.moving.lock();
            // Else somebody has moved it, and what that has made ready is waited for, too.
            if *moving == moves {
                return Ok(moving);
            }
        }
    }

    /// Lets time pass, from one deadline to the next.
    fn go(&self, time: Duration, settle: bool) -> Result<()> {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // Never further than deadlines can lie ahead of it.
        let end = self.moment().now.saturating_add(nanos).min(LAST);
        loop {
            let mut moving = self.right_to_move(settle)?;
            let engines = self.engines();
            *moving += 1;
            let next = engines.iter().filter_map(|engine| engine.next_deadline()).min();
            let now = next.filter(|&next| next < end).unwrap_or(end);
            {
                let mut moment = self.moment.lock();
                moment.now = moment.now.max(now);
            }
            engines.iter().for_each(|engine| engine.tick());
            drop(moving);
            if now == end {
                return if settle { self.settle_down() } else { Ok(()) };
            }
        }
    }
}

impl fmt::Debug for Hands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hands").field("moment", &self.moment()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.now()).finish()
    }
}
