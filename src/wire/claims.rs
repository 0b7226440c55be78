//! The shared number by which engine and worker agree on who has a request.
//!
//! Requests to a worker are numbered from 1. The engine sends several ahead, so that a worker
//! need not wait for the next; but those behind a long job must not be stuck there. So the two
//! share a number of two halves: `limit`, up to which the worker may run requests, and
//! `claimed`, up to which it has begun them. The engine raises the limit before it sends, and
//! can lower it to take requests back; the worker claims each before it runs it. Both change
//! the number by compare-and-swap, so each request is either begun or taken back.
//!
//! It also tells, when a worker has died, whether it had begun the job at the head.

use std::sync::atomic::{AtomicU64, Ordering};

/// One worker's number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claims<'a>(&'a AtomicU64);

const fn pack(limit: u32, claimed: u32) -> u64 {
    (limit as u64) << 32 | claimed as u64
}

#[expect(clippy::cast_possible_truncation, reason = "it takes the number's two halves apart")]
const fn unpack(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

impl<'a> Claims<'a> {
    pub(crate) fn new(number: &'a AtomicU64) -> Self {
        Self(number)
    }

    /// Begins anew, for a new worker.
    pub(crate) fn reset(self) {
        self.0.store(0, Ordering::Release);
    }

    /// Engine: lets the worker run requests up to this one.
    pub(crate) fn raise(self, limit: u32) {
        self.change(|_, claimed| (limit, claimed));
    }

    /// Engine: lets the worker run requests up to this one, or those it has begun if those are
    /// more. Returns the limit that was set.
    pub(crate) fn lower(self, limit: u32) -> u32 {
        self.change(|old, claimed| (limit.min(old).max(claimed), claimed)).0
    }

    /// The last request that the worker has begun.
    pub(crate) fn begun(self) -> u32 {
        unpack(self.0.load(Ordering::Acquire)).1
    }

    /// Worker: begins a request; false if it was taken back.
    pub(crate) fn claim(self, request: u32) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |value| {
                let (limit, _) = unpack(value);
                (limit >= request).then_some(pack(limit, request))
            })
            .is_ok()
    }

    fn change(self, f: impl Fn(u32, u32) -> (u32, u32)) -> (u32, u32) {
        let mut old = self.0.load(Ordering::Acquire);
        loop {
            let (limit, claimed) = unpack(old);
            let new = f(limit, claimed);
            let packed = pack(new.0, new.1);
            match self.0.compare_exchange_weak(old, packed, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return new,
                Err(now) => old = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_begun_or_taken_back() {
        let number = AtomicU64::new(0);
        let claims = Claims::new(&number);
        assert!(!claims.claim(1), "not sent yet");
        claims.raise(5);
        assert!(claims.claim(1));
        assert!(claims.claim(2));
        assert_eq!(claims.lower(1), 2, "two are begun");
        assert!(!claims.claim(3));
        assert_eq!(claims.begun(), 2);
        claims.raise(6);
        assert!(claims.claim(6));
        assert_eq!(claims.lower(9), 6, "lowering never raises");
    }

    #[test]
    fn racing_claims_and_lowerings_never_overlap() {
        const N: u32 = 2000;
        let number = AtomicU64::new(0);
        let claims = Claims::new(&number);
        claims.raise(N);
        let (begun, kept) = std::thread::scope(|scope| {
            let worker = scope.spawn(|| (1..=N).take_while(|&n| claims.claim(n)).count());
            let mut kept = N;
            while kept > 0 && claims.begun() < kept {
                kept = claims.lower(kept - 1);
            }
            (worker.join().unwrap(), kept)
        });
        assert_eq!(u32::try_from(begun).unwrap(), kept.min(N));
    }
}
