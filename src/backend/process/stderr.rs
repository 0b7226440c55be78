//! What workers write to stderr: passed on to the engine's stderr, the last of it kept.
//!
//! A thread of its own does that. Writing to a terminal that somebody has stopped, or to a pipe
//! that nobody reads, blocks; that may hold up the workers that write, as it would any program,
//! but not the results of the others, which the I/O thread handles.
//!
//! When a worker has died, its pipe is emptied before the error is composed, by whoever composes
//! it; those bytes are passed on by the thread later.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use parking_lot::Mutex;

use crate::files;
use crate::record::record;

/// How much is kept for errors.
const TAIL_BYTES: usize = 4096;
const TAIL_LINES: usize = 20;

/// How much is read at once. A pipe holds as much.
const CHUNK: usize = 64 * 1024;

/// The most that is read when a pipe is emptied: what was in it, even if more keeps coming.
const DRAIN: usize = 4 * CHUNK;

/// The event of the wake-up descriptor.
const WAKE: u64 = u64::MAX;

/// The end of a worker's stderr that is read.
#[derive(Debug)]
pub(super) struct Tail {
    pipe: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Vec<u8>,
    /// Read, but not passed on yet.
    unsent: Vec<u8>,
    ended: bool,
}

impl Tail {
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self { pipe, state: Mutex::default() }
    }

    /// Reads what is there, and returns what is to be passed on and whether it was the last.
    fn read(&self, limit: usize) -> (Vec<u8>, bool) {
        let mut state = self.state.lock();
        state.read(&self.pipe, limit);
        (std::mem::take(&mut state.unsent), state.ended)
    }

    /// Empties the pipe and returns the last lines.
    pub(super) fn drain(&self) -> String {
        let mut state = self.state.lock();
        state.read(&self.pipe, DRAIN);
        last_lines(&state.last)
    }
}

impl State {
    fn read(&mut self, pipe: &OwnedFd, limit: usize) {
        let mut total = 0;
        while !self.ended && total < limit {
            let old = self.unsent.len();
            self.unsent.resize(old + CHUNK, 0);
            let read = nix::unistd::read(pipe, &mut self.unsent[old..]);
            self.unsent.truncate(old + read.unwrap_or(0));
            match read {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    total += n;
                    self.last.extend_from_slice(&self.unsent[old..]);
                    let excess = self.last.len().saturating_sub(TAIL_BYTES);
                    self.last.drain(..excess);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => self.ended = true,
            }
        }
    }
}

/// The last lines of a text.
pub(super) fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let ends = text.trim_end().rmatch_indices('\n');
    let from = ends.map(|(at, _)| at + 1).nth(TAIL_LINES - 1).unwrap_or(0);
    text[from..].to_owned()
}

/// The thread that passes it on.
pub(super) struct Forwarder {
    shared: Arc<Pipes>,
    thread: Option<JoinHandle<()>>,
}

struct Pipes {
    epoll: Epoll,
    wake: EventFd,
    stop: AtomicBool,
    tails: Mutex<HashMap<u64, Arc<Tail>>>,
}

impl Forwarder {
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Pipes {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            stop: AtomicBool::new(false),
            tails: Mutex::default(),
        });
        shared.epoll.add(&shared.wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let pipes = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("executor-stderr".into())
            .spawn(move || pipes.forward())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Passes on what comes from this pipe until it ends.
    pub(super) fn add(&self, worker: u64, tail: &Arc<Tail>) -> io::Result<()> {
        self.shared.tails.lock().insert(worker, Arc::clone(tail));
        let event = EpollEvent::new(EpollFlags::EPOLLIN, worker);
        let added = self.shared.epoll.add(tail.pipe.as_fd(), event);
        if added.is_err() {
            self.shared.tails.lock().remove(&worker);
        }
        Ok(added?)
    }

    /// Passes on what [`Tail::drain`] has read.
    pub(super) fn wake(&self) {
        let _ = self.shared.wake.write(1);
    }

    /// Passes on what is there and ends. The processes that could write more have ended.
    pub(super) fn stop(mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Pipes {
    fn forward(&self) {
        files::settle_new_thread();
        let mut events = [EpollEvent::empty(); 16];
        loop {
            let n = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(n) => n,
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    record!(Error, "executor_engine::process", "epoll of stderr: {error}");
                    return;
                }
            };
            // Read before the pipes are, so that none is left when it is seen set.
            let stop = self.stop.load(Ordering::Acquire);
            for event in &events[..n] {
                if event.data() == WAKE {
                    let _ = self.wake.read();
                    let all: Vec<u64> = self.tails.lock().keys().copied().collect();
                    for worker in all {
                        self.pass_on(worker, if stop { DRAIN } else { 0 });
                    }
                } else {
                    self.pass_on(event.data(), CHUNK);
                }
            }
            if stop {
                return;
            }
        }
    }

    fn pass_on(&self, worker: u64, limit: usize) {
        let Some(tail) = self.tails.lock().get(&worker).cloned() else { return };
        let (bytes, ended) = tail.read(limit);
        if !bytes.is_empty() {
            // Nobody can be told that stderr is closed.
            let _ = io::stderr().lock().write_all(&bytes);
        }
        if ended {
            let _ = self.epoll.delete(tail.pipe.as_fd());
            self.tails.lock().remove(&worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn the_last_lines_are_kept() {
        let (read, write) = sys::nonblocking_pipe().unwrap();
        let tail = Tail::new(read);
        assert_eq!(tail.drain(), "");
        let mut pipe = std::fs::File::from(write);
        for i in 0..1000 {
            writeln!(pipe, "line {i}").unwrap();
        }
        let kept = tail.drain();
        assert_eq!(kept.lines().count(), TAIL_LINES);
        assert!(kept.starts_with("line 980\n") && kept.ends_with("line 999\n"));
        pipe.write_all(&[b'x'; 10_000]).unwrap();
        drop(pipe);
        assert_eq!(tail.drain(), "x".repeat(TAIL_BYTES));
        let (bytes, _) = tail.read(CHUNK);
        assert!(bytes.ends_with(b"xxx"));
    }
}
