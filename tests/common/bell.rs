//! Tasks in other processes say that they run, and wait until they are let go.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use executor_engine::prelude::*;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Where tasks in other processes say that they run.
pub struct Bell(UnixListener, PathBuf);

impl Bell {
    pub fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::SeqCst);
        let name = format!("executor-bell-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        Self(UnixListener::bind(&path).expect("a new socket"), path)
    }

    pub fn path(&self) -> PathBuf {
        self.1.clone()
    }

    /// Waits until the next one runs. Whoever drops what this gives lets it go.
    pub fn rung(&self) -> UnixStream {
        self.rung_within(super::common::DEADLINE).expect("a task rings")
    }

    /// The next one, if it runs within that time.
    pub fn rung_within(&self, time: Duration) -> Option<UnixStream> {
        let mut listener = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).expect("a time that poll knows");
        loop {
            match poll(&mut listener, time) {
                Ok(0) => return None,
                Ok(_) => return Some(self.0.accept().expect("a connection").0),
                // A signal: longer than asked for is no matter.
                Err(Errno::EINTR) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.1);
    }
}

/// Rings, in a task.
pub fn ring(bell: &Path) -> UnixStream {
    UnixStream::connect(bell).expect("somebody listens")
}

/// Says that it runs, and runs until it is let go.
#[task]
pub fn until_let_go(bell: PathBuf) {
    let _ = ring(&bell).read(&mut [0]);
}

/// Exactly `limit` process jobs run at once: so many meet, and never one more; and when one goes,
/// one comes.
pub fn assert_exactly(engine: &Engine, limit: usize) {
    let bell = Bell::new();
    let jobs = (0..3 * limit).map(|_| ProcessJob::new(until_let_go, (bell.path(),)));
    let jobs = engine.submit_all(jobs).unwrap();
    let mut inside = std::collections::VecDeque::new();
    while inside.len() < limit {
        let next = bell.rung_within(super::common::DEADLINE / 3);
        inside.push_back(next.unwrap_or_else(|| panic!("{} of {limit} jobs run", inside.len())));
    }
    for _ in limit..jobs.len() {
        // Room for one too many to show itself: the wait can only be too short to catch a fault.
        assert!(bell.rung_within(Duration::from_millis(10)).is_none(), "more than {limit} run");
        drop(inside.pop_front());
        inside.push_back(bell.rung());
    }
    drop(inside);
    engine.wait().unwrap();
    assert!(jobs.iter().all(|job| job.status() == Status::Done));
}
