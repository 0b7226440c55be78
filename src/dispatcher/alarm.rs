//! What the dispatcher thread sleeps on: a call, a deadline, a step of the wall clock. Three file
//! descriptors, so that another thread can move the deadline without waking the sleeper.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::AsFd;

use super::key::Nanos;
use crate::record::record;

/// Wakes the dispatcher thread.
pub(super) struct Alarm {
    calls: EventFd,
    deadline: TimerFd,
    /// Armed for a time that never comes, to be cancelled when the wall clock is set. `None` where
    /// the system has no such timer: then steps go unnoticed.
    steps: Option<TimerFd>,
}

/// Why the sleeper woke.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Woken {
    /// The wall clock was set, or the machine was suspended.
    pub(super) clock_set: bool,
}

impl Alarm {
    /// # Errors
    /// The system refuses a file descriptor.
    pub(super) fn new() -> std::io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let steps = TimerFd::new(ClockId::CLOCK_REALTIME, flags).and_then(|timer| {
            arm_for_steps(&timer)?;
            Ok(timer)
        });
        if let Err(error) = &steps {
            record!(
                Warn,
                "executor_engine::dispatcher",
                "steps of the wall clock will go unnoticed: {error}"
            );
        }
        Ok(Self {
            calls: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            deadline: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?,
            steps: steps.ok(),
        })
    }

    /// Wakes the sleeper, or the next one to sleep.
    pub(super) fn call(&self) {
        // It fails only if 2^64 calls are pending: then one more is not missed.
        let _ = self.calls.write(1);
    }

    /// Wakes the sleeper at that time of the monotonic clock instead of the time set before.
    ///
    /// # Errors
    /// The system refuses the timer. The sleeper is woken, to look for itself.
    pub(super) fn set(&self, deadline: Option<Nanos>) -> nix::Result<()> {
        let set = match deadline {
            None => self.deadline.unset(),
            Some(at) => self
                .deadline
                .set(Expiration::OneShot(timespec(at)), TimerSetTimeFlags::TFD_TIMER_ABSTIME),
        };
        // Not known to happen.
        set.inspect_err(|_| self.call())
    }

    /// Sleeps until called, or until the deadline, or until the wall clock is set.
    pub(super) fn sleep(&self) -> Woken {
        let mut fds = vec![
            PollFd::new(self.calls.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.deadline.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.steps.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
        let ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any().unwrap_or(false));
        let clock_set = ready(2);
        if ready(0) {
            let _ = self.calls.read();
        }
        if ready(1) {
            let _ = self.deadline.wait();
        }
        if let Some(steps) = self.steps.as_ref().filter(|_| clock_set) {
            let _ = steps.wait();
            if let Err(error) = arm_for_steps(steps) {
                record!(
                    Warn,
                    "executor_engine::dispatcher",
                    "steps of the wall clock will go unnoticed: {error}"
                );
            }
        }
        Woken { clock_set }
    }
}

fn arm_for_steps(timer: &TimerFd) -> nix::Result<()> {
    timer.set(
        Expiration::OneShot(timespec(Nanos::MAX / 2)),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
    )
}

/// Never zero, which would disarm a timer; nor more than the kernel counts.
fn timespec(at: Nanos) -> TimeSpec {
    let at = at.clamp(1, Nanos::MAX / 2);
    TimeSpec::from_duration(std::time::Duration::from_nanos(at))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::clock;

    #[test]
    fn sleeps_until_the_deadline_and_not_a_tick_less() {
        let alarm = Alarm::new().unwrap();
        for _ in 0..20 {
            let at = clock::now() + 2_000_000;
            alarm.set(Some(at)).unwrap();
            alarm.sleep();
            assert!(clock::now() >= at);
        }
    }

    #[test]
    fn a_call_and_a_moved_deadline_wake_the_sleeper() {
        let alarm = Alarm::new().unwrap();
        alarm.call();
        alarm.sleep();
        let start = Instant::now();
        alarm.set(Some(clock::now() + 3_600_000_000_000)).unwrap();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| alarm.sleep());
            alarm.set(Some(clock::now() + 1_000_000)).unwrap();
            sleeper.join().unwrap();
        });
        // A deadline that has passed wakes at once; one that is taken back does not count.
        alarm.set(Some(1)).unwrap();
        alarm.sleep();
        alarm.set(Some(clock::now() + 1_000_000)).unwrap();
        alarm.set(None).unwrap();
        alarm.call();
        alarm.sleep();
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
