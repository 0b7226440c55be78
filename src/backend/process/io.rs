//! The I/O thread: what comes from workers and from the fork server, when no user's thread
//! waits for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;

use super::server::CONTROL;
use super::shared::Shared;
use super::threads::{Threads, WAKE};
use crate::files;
use crate::record::record;

/// Starts the backend's threads.
pub(super) fn start(shared: Arc<Shared>) -> io::Result<Threads> {
    Threads::start(move |epoll, wake, stop| run(&shared, epoll, wake, stop))
}

fn run(shared: &Arc<Shared>, epoll: &Epoll, wake: &EventFd, stop: &AtomicBool) {
    shared.enter_service();
    let mut events = [EpollEvent::empty(); 64];
    while !stop.load(Ordering::Acquire) {
        if shared.crowded.load(Ordering::Relaxed) {
            // More replies are about to come: with one wait for all of them, fewer threads are
            // woken for each. (Measured: a seventh less time per job.)
            std::thread::yield_now();
        }
        let timeout = shared.answer_timeout();
        let n = match epoll.wait(&mut events, timeout) {
            Ok(n) => n,
            Err(Errno::EINTR) => continue,
            Err(error) => {
                record!(Error, "executor_engine::process", "epoll: {error}");
                return;
            }
        };
        files::come_home();
        let mut posted = false;
        for event in &events[..n] {
            posted |= match event.data() {
                WAKE => {
                    let _ = wake.read();
                    false
                }
                id if id & CONTROL != 0 => shared.control_ready(id & !CONTROL, event.events()),
                id => shared.worker_ready(id, event.events()),
            };
        }
        posted |= shared.check_answer();
        if posted {
            shared.drive();
        }
    }
}

impl Shared {
    /// How long to wait at most: until an unanswered greeting is overdue.
    fn answer_timeout(&self) -> EpollTimeout {
        if !self.greeting.load(Ordering::Acquire) {
            return EpollTimeout::NONE;
        }
        let by = self.locked(|pool| {
            let unanswered = pool.server.as_ref().filter(|server| !server.greeted);
            // Under the lock, since a new server may be started as soon as it is free.
            self.greeting.store(unanswered.is_some(), Ordering::Release);
            unanswered.map(|server| server.answer_by)
        });
        match by.0 {
            Some(by) => {
                let left = by.saturating_duration_since(Instant::now());
                let left = left + std::time::Duration::from_millis(1);
                EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
            }
            None => EpollTimeout::NONE,
        }
    }

    /// A worker's socket has something, or room.
    fn worker_ready(&self, id: u64, what: EpollFlags) -> bool {
        if what.contains(EpollFlags::EPOLLOUT) {
            self.locked(|pool| {
                if let (Some(worker), Some(threads)) = (pool.workers.get_mut(&id), &pool.threads) {
                    worker.flush(&threads.epoll);
                }
            });
        }
        let ended = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        if !what.intersects(EpollFlags::EPOLLIN | ended) {
            return false;
        }
        match self.take_inbox(id) {
            Some((mut inbox, socket)) => {
                let batch = self.receive(id, &mut inbox, &socket, false, None);
                self.return_inbox(id, inbox) | batch.posted
            }
            None => {
                // A user's thread reads it, and will see the end itself. It cannot be masked.
                if what.intersects(ended) {
                    self.locked(|pool| {
                        if let (Some(worker), Some(threads)) =
                            (pool.workers.get_mut(&id), &pool.threads)
                            && worker.inbox.is_none()
                        {
                            worker.unwatch(&threads.epoll);
                        }
                    });
                }
                false
            }
        }
    }
}
