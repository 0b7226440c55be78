//! Trying again: how often, when, and after which errors.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cell::AnyJob;
use super::head::{Ended, Stop};
use super::panics;
use crate::error::JobError;
use crate::record::record;

/// How long to wait before each retry.
///
/// ```
/// use executor_engine::{Backoff, prelude::*};
/// use std::time::Duration;
///
/// // 100 ms, 200 ms, 400 ms, .. but never more than 10 s, each drawn at random up to that
/// let patient = Backoff::exponential(Duration::from_millis(100))
///     .max(Duration::from_secs(10))
///     .full_jitter();
/// let job = ThreadJob::try_new(|| std::fs::read("there"), ()).retries(5).backoff(patient);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    pub(crate) base: Duration,
    pub(crate) doubles: bool,
    pub(crate) max: Option<Duration>,
    pub(crate) jitter: bool,
}

impl Backoff {
    /// The same time before each retry.
    ///
    /// ```
    /// # use executor_engine::Backoff;
    /// # use std::time::Duration;
    /// let steady = Backoff::fixed(Duration::from_secs(1));
    /// ```
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self { base: delay, doubles: false, max: None, jitter: false }
    }

    /// This time before the first retry, and twice the last one before each further one.
    ///
    /// ```
    /// # use executor_engine::Backoff;
    /// # use std::time::Duration;
    /// let doubling = Backoff::exponential(Duration::from_millis(10));
    /// ```
    #[must_use]
    pub const fn exponential(first: Duration) -> Self {
        Self { base: first, doubles: true, max: None, jitter: false }
    }

    /// Never longer than this. Default: a century.
    ///
    /// ```
    /// # use executor_engine::Backoff;
    /// # use std::time::Duration;
    /// let capped = Backoff::exponential(Duration::from_millis(10)).max(Duration::from_secs(5));
    /// ```
    #[must_use]
    pub const fn max(mut self, longest: Duration) -> Self {
        self.max = Some(longest);
        self
    }

    /// Each time drawn at random between nothing and what it would be, so that jobs that failed
    /// together do not come back together ("full jitter", M. Brooker, AWS Architecture Blog,
    /// 2015).
    ///
    /// ```
    /// # use executor_engine::Backoff;
    /// # use std::time::Duration;
    /// let spread = Backoff::exponential(Duration::from_millis(10)).full_jitter();
    /// ```
    #[must_use]
    pub const fn full_jitter(mut self) -> Self {
        self.jitter = true;
        self
    }

    /// Nanoseconds to wait before that retry, the first being 0. `random` is any number.
    pub(crate) fn nanos(&self, retry: u32, random: u64) -> u64 {
        const CENTURY: u64 = 36_500 * 24 * 3600 * 1_000_000_000;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let longest = self.max.map_or(CENTURY, nanos).min(CENTURY);
        let factor = if self.doubles { 1_u64.checked_shl(retry).unwrap_or(u64::MAX) } else { 1 };
        let delay = nanos(self.base).saturating_mul(factor).min(longest);
        match delay.checked_add(1) {
            Some(steps) if self.jitter => random % steps,
            _ => delay,
        }
    }
}

/// Says of an error whether the job is to be tried again.
pub(crate) type RetryIf = Arc<dyn Fn(&JobError) -> bool + Send + Sync>;

/// What a job says about retries.
#[derive(Clone, Default)]
pub(crate) struct Retry {
    /// How many.
    pub(crate) most: u32,
    /// How many was said, though it be none.
    pub(crate) counted: bool,
    pub(crate) backoff: Backoff,
    pub(crate) only_if: Option<RetryIf>,
}

impl Retry {
    /// Whether it says how to retry, and never how often.
    pub(crate) fn is_idle(&self) -> bool {
        let says_how = self.backoff != Backoff::default() || self.only_if.is_some();
        says_how && !self.counted
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("most", &self.most)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

/// What the end of a run comes to: to be called by who has run the job, with no lock held and
/// before it is reported. `ok`: the run left a result, else an error.
pub(crate) fn judge(job: &dyn AnyJob, ok: bool) -> Ended {
    let head = job.head();
    let meta = head.meta();
    // Read once: a limit that passes from here on comes too late.
    let stop = head.stop();
    match stop {
        Stop::No => {}
        Stop::Cancelled => return if ok { Ended::Done } else { Ended::Failed },
        timed_out => {
            let limit = meta.and_then(|meta| match timed_out {
                Stop::AttemptTimedOut => meta.attempt_timeout,
                _ => meta.timeout,
            });
            job.store_error(JobError::timed_out(limit.unwrap_or_default()));
        }
    }
    if ok && stop == Stop::No {
        if let Some(meta) = meta {
            meta.callbacks.make_ready(&head.label());
        }
        return Ended::Done;
    }
    let Some(retry) = meta.map(|meta| &meta.retry).filter(|retry| retry.most > 0) else {
        return Ended::Failed;
    };
    let Some(only_if) = &retry.only_if else { return Ended::FailedForNow };
    let Some(error) = job.error() else { return Ended::FailedForNow };
    match panics::catch_panic(|| only_if(&error)) {
        Ok(true) => Ended::FailedForNow,
        Ok(false) => Ended::Failed,
        Err(panic) => {
            record!(
                Error,
                "executor_engine::job",
                "{}: the question whether to retry it panicked, so it is not retried: {}",
                head.label(),
                panic.message
            );
            Ended::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_never_overflow() {
        let backoff = Backoff::exponential(Duration::from_nanos(3)).max(Duration::from_nanos(20));
        let delays: Vec<u64> = (0..5).map(|retry| backoff.nanos(retry, 7)).collect();
        assert_eq!(delays, [3, 6, 12, 20, 20]);
        let endless = Backoff::exponential(Duration::MAX);
        assert_eq!(endless.nanos(u32::MAX, 0), endless.nanos(0, 0));
        assert_eq!(Backoff::fixed(Duration::from_nanos(5)).nanos(9, 0), 5);
        assert_eq!(Backoff::exponential(Duration::ZERO).full_jitter().nanos(70, 9), 0);
    }

    #[test]
    fn full_jitter_covers_all_from_nothing_to_the_whole() {
        let backoff = Backoff::fixed(Duration::from_nanos(3)).full_jitter();
        let drawn: Vec<u64> = (0..8).map(|random| backoff.nanos(0, random)).collect();
        assert_eq!(drawn, [0, 1, 2, 3, 0, 1, 2, 3]);
    }
}
