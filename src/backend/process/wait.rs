//! User threads that serve the worker they wait for.
//!
//! A reply that goes to the I/O thread, which then wakes the waiting thread, takes three wakes
//! per round trip: the worker, the I/O thread, the waiter. So a thread that is about to block on
//! the job at the head of a worker takes that worker's inbox and blocks on its socket itself:
//! two wakes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::pool::Pool;
use super::shared::Shared;
use super::worker::Inbox;
use crate::job::AnyJob;

impl Shared {
    /// Serves the worker that runs this job until the job is finished, is not there any more,
    /// or the time is up. False if it did nothing, because another thread serves the worker, or
    /// the job is not at the head of one.
    pub(super) fn wait_here(&self, job: &Arc<dyn AnyJob>, deadline: Option<Instant>) -> bool {
        let key = job.head().key();
        let mut served = false;
        while let Some((id, mut inbox, socket)) = self.locked(|pool| pool.lend_inbox(key)).0 {
            served = true;
            let ready = deadline.is_none_or(|deadline| readable(&socket, deadline));
            let mut batch = Default::default();
            if ready {
                batch = self.receive(id, &mut inbox, &socket, deadline.is_none(), Some(key));
            }
            let posted = self.return_inbox(id, inbox);
            if posted | batch.posted {
                self.drive();
            }
            if batch.found || !ready {
                break;
            }
        }
        served
    }
}

impl Pool {
    /// The inbox of the worker that has this job at its head, if nobody reads it and nothing
    /// waits to be sent to it.
    fn lend_inbox(&mut self, key: u64) -> Option<(u64, Box<Inbox>, Arc<OwnedFd>)> {
        let threads = self.threads.as_ref()?;
        let worker = self.workers.values_mut().find(|worker| {
            let head = worker.in_flight.iter().find_map(|entry| entry.job.as_ref());
            head.is_some_and(|job| job.run.job.head().key() == key)
        })?;
        if !worker.out.is_empty() || worker.end.is_some() {
            return None;
        }
        let inbox = worker.inbox.take_if(|inbox| !inbox.deaf)?;
        worker.waiter = true;
        worker.watch(&threads.epoll);
        Some((worker.id, inbox, Arc::clone(&worker.socket)))
    }
}

/// Waits until the socket has something, or the time is up.
fn readable(socket: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up to the milliseconds that `poll` counts in.
        let left = left + Duration::from_micros(999);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => {}
            Ok(0) if Instant::now() >= deadline => return false,
            Ok(0) => {}
            Ok(_) | Err(_) => return true,
        }
    }
}
