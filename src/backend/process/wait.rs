//! User threads that serve the worker they wait for.
//!
//! A reply that goes to the I/O thread, which then wakes the waiting thread, takes three wakes
//! per round trip: the worker, the I/O thread, the waiter. So a thread that is about to block on
//! the job at the head of a worker takes that worker's inbox and blocks on its socket itself:
//! two wakes.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::pool::Pool;
use super::replies::Batch;
use super::shared::Shared;
use super::worker::Lent;
use crate::job::AnyJob;
use crate::sys;

impl Shared {
    /// Serves the worker that runs this job until the job is finished, is not there any more, has
    /// sent enough, or the time is up. False if it did nothing, because another thread serves the worker,
    /// the job is not at the head of one, or is a stream of several readers.
    pub(super) fn wait_here(
        &self,
        job: &Arc<dyn AnyJob>,
        deadline: Option<Instant>,
        enough: &dyn Fn() -> bool,
    ) -> bool {
        // One of several readers can give back values that it had taken, which wakes the others, but
        // not one who blocks on a socket. With a single reader nobody else has any, nor gets any while
        // that one waits: whoever comes later takes one value at a time, and keeps it.
        if job.head().stream().is_some_and(|stream| stream.is_shared()) {
            return false;
        }
        let key = job.head().key();
        let mut served = false;
        while let Some((id, mut inbox, socket)) = self.locked(|pool| pool.lend_inbox(key)).0 {
            served = true;
            // Nobody else can make it so while the inbox is here, nor before.
            if enough() {
                if self.return_inbox(id, inbox) {
                    self.drive();
                }
                break;
            }
            // An error would show itself in the receive as well.
            let ready =
                deadline.is_none() || sys::wait_readable(socket.as_fd(), deadline).unwrap_or(true);
            let mut batch = Batch::default();
            if ready {
                batch = self.receive(id, &mut inbox, &socket, deadline.is_none(), Some(key));
            }
            let posted = self.return_inbox(id, inbox);
            if posted | batch.posted {
                self.drive();
            }
            if batch.found || !ready || enough() {
                break;
            }
        }
        served
    }
}

impl Pool {
    /// The inbox of the worker that has this job at its head, if nobody reads it and nothing
    /// waits to be sent to it.
    fn lend_inbox(&mut self, key: u64) -> Option<Lent> {
        let threads = self.threads.as_ref()?;
        let worker = self.workers.values_mut().find(|worker| {
            let head = worker.in_flight.iter().find_map(|entry| entry.job.as_ref());
            head.is_some_and(|job| job.run.job.head().key() == key)
        })?;
        if !worker.out.is_empty() || worker.end.is_some() {
            return None;
        }
        let lent = worker.lend();
        worker.watch(&threads.epoll);
        lent
    }
}
