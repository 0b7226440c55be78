//! What the tests share: a deadline, an event, a meter of how much runs at once.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// No test waits longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the test's body on a thread of its own; fails if it is not through by the deadline, so
/// that a deadlock is a failure with a name.
pub fn within<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || drop(send.send(body())));
    match receive.recv_timeout(DEADLINE) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not through after {DEADLINE:?}: a hang"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the body sends before it ends"),
        },
    }
}

/// The most memory that this process ever had, in KiB. What is measured by it runs in a process
/// apart.
pub fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// An event that happens once.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open; panics at the deadline.
    pub fn pass(&self) {
        assert!(self.pass_within(DEADLINE), "a gate stayed shut for {DEADLINE:?}");
    }

    pub fn pass_within(&self, time: Duration) -> bool {
        let open = self.0.0.lock().unwrap();
        *self.0.1.wait_timeout_while(open, time, |open| !*open).unwrap().0
    }
}

/// Counts what is inside at once, and the most that ever was.
#[derive(Clone, Default)]
pub struct Meter(Arc<(Mutex<usize>, Condvar, AtomicUsize)>);

impl Meter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn enter(&self) -> Inside {
        let mut now = self.0.0.lock().unwrap();
        *now += 1;
        self.0.2.fetch_max(*now, Ordering::SeqCst);
        self.0.1.notify_all();
        Inside(self.clone())
    }

    pub fn most(&self) -> usize {
        self.0.2.load(Ordering::SeqCst)
    }

    /// Waits until `count` have been inside at once; false when the time is up.
    pub fn reaches(&self, count: usize, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut now = self.0.0.lock().unwrap();
        while self.most() < count {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
            now = self.0.1.wait_timeout(now, left).unwrap().0;
        }
        true
    }
}

/// Counted by its [`Meter`] until it is dropped.
pub struct Inside(Meter);

impl Drop for Inside {
    fn drop(&mut self) {
        *self.0.0.0.lock().unwrap() -= 1;
    }
}
