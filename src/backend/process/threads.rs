//! The threads of the backend: one for what comes in, one for what workers write to stderr.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::stderr::Forwarder;

/// The event of the wake-up descriptor.
pub(super) const WAKE: u64 = u64::MAX;

/// The backend's threads, and what wakes them.
pub(super) struct Threads {
    pub(super) epoll: Arc<Epoll>,
    pub(super) stderr: Forwarder,
    wake: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    io: Option<JoinHandle<()>>,
}

impl Threads {
    /// The I/O thread runs `io`, until the flag is set and the descriptor wakes it.
    pub(super) fn start(
        io: impl FnOnce(&Epoll, &EventFd, &AtomicBool) + Send + 'static,
    ) -> io::Result<Self> {
        let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        epoll.add(&*wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stderr = Forwarder::start()?;
        let thread = {
            let (epoll, wake, stop) = (Arc::clone(&epoll), Arc::clone(&wake), Arc::clone(&stop));
            std::thread::Builder::new()
                .name("executor-io".into())
                .spawn(move || io(&epoll, &wake, &stop))
        };
        match thread {
            Ok(thread) => Ok(Self { epoll, stderr, wake, stop, io: Some(thread) }),
            Err(error) => {
                stderr.stop();
                Err(error)
            }
        }
    }

    /// Makes the I/O thread look at the clock.
    pub(super) fn wake(&self) {
        let _ = self.wake.write(1);
    }

    /// Ends the I/O thread and waits for it, unless this is it.
    pub(super) fn stop_io(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.io.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
