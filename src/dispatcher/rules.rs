//! What a job says about its attempts and its turn, as the core keeps it, and where these stand.

use std::time::Duration;

use super::demands::{Demands, Granted};
use super::key::{Key, Nanos};
use crate::job::{Backoff, Meta};

/// What a job says about its attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
    /// From the first start to the end, with all attempts and what is between them.
    pub(crate) timeout: Option<Nanos>,
    pub(crate) attempt_timeout: Option<Nanos>,
    /// More than one is to go before it.
    pub(crate) priority: i32,
    pub(crate) demands: Demands,
}

impl Rules {
    /// The rules of a job that says anything about its attempts or its turn; what its resources
    /// and tags demand of this engine is worked out by the caller.
    pub(crate) fn of(meta: &Meta, demands: &Demands) -> Option<Box<Attempts>> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(Nanos::MAX);
        let rules = Self {
            retries: meta.retry.most,
            backoff: meta.retry.backoff,
            timeout: meta.timeout.map(nanos),
            attempt_timeout: meta.attempt_timeout.map(nanos),
            priority: meta.priority,
            demands: demands.clone(),
        };
        (rules != Self::default()).then(|| Box::new(Attempts::new(rules)))
    }
}

/// Where the attempts of a job stand.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) rules: Rules,
    /// Retries so far.
    pub(crate) retried: u32,
    /// When the first one began, and the one that is out.
    pub(crate) first_began: Option<Nanos>,
    pub(crate) began: Option<Nanos>,
    /// When the next one is due.
    pub(crate) again_at: Option<Nanos>,
    /// What the one that is out was given.
    pub(crate) granted: Granted,
}

impl Attempts {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            retried: 0,
            first_began: None,
            began: None,
            again_at: None,
            granted: Granted::new(),
        }
    }

    /// When all attempts together, and the present one alone, have taken too long.
    pub(crate) fn deadlines(&self) -> (Option<Nanos>, Option<Nanos>) {
        let after =
            |start: Option<Nanos>, limit: Option<Nanos>| Some(start?.saturating_add(limit?));
        (after(self.first_began, self.rules.timeout), after(self.began, self.rules.attempt_timeout))
    }

    /// The next of these, and of the next attempt.
    pub(crate) fn next(&self) -> Option<Nanos> {
        let (all, one) = self.deadlines();
        [all, one, self.again_at].into_iter().flatten().min()
    }

    /// Counts a retry; how long it is to wait. `None`: there is none left. Jitter is to differ between
    /// jobs, and between machines where the same job fails: so it depends on the time too.
    pub(crate) fn retry(&mut self, key: Key, now: Nanos) -> Option<Nanos> {
        if self.retried >= self.rules.retries {
            return None;
        }
        let random = mix(key ^ mix(now ^ mix(u64::from(self.retried))));
        let delay = self.rules.backoff.nanos(self.retried, random);
        self.retried += 1;
        Some(delay)
    }
}

/// A number that looks random, from one that need not (the finalizer of SplitMix64: Steele, Lea
/// and Flood, OOPSLA 2014). The core draws no true random numbers: it is to be repeatable.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
