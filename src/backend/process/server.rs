//! The fork server, as the engine sees it: its start, its control socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::settings::Settings;
use crate::error::JobError;
use crate::forkserver::TOKEN;
use crate::sys::{self, Page};
use crate::task;
use crate::wire::frame::Decoder;
use crate::wire::message::{CONTROL_CAP, HELLO_FDS, PROTOCOL, SPAWN_FDS, ToServer, control_frame};

/// The events of control sockets have this bit; the others are workers'.
pub(super) const CONTROL: u64 = 1 << 63;

/// The event of a fork server's control socket.
pub(super) const fn control_event(generation: u64) -> u64 {
    CONTROL | generation
}

/// How long a fork server may take to answer the first message. It takes milliseconds; a
/// program that was not made for it and does something else must not hold jobs for ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What the program that is started is, in the system.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// A control message on its way.
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
}

/// A running fork server.
pub(super) struct ForkServer {
    pub(super) generation: u64,
    pub(super) child: Child,
    pub(super) control: Arc<OwnedFd>,
    pub(super) decoder: Decoder,
    pub(super) greeted: bool,
    /// When the answer is overdue.
    pub(super) answer_by: Instant,
    pub(super) page: Arc<Page>,
    pub(super) free_slots: Vec<usize>,
    /// The environment that it was told last.
    pub(super) environment: Option<Vec<u8>>,
    out: VecDeque<Outgoing>,
    interest: EpollFlags,
}

impl ForkServer {
    /// Starts one.
    pub(super) fn start(settings: &Settings, generation: u64, epoll: &Epoll) -> io::Result<Self> {
        // Twice the workers, since one that is closing keeps its slot until it has exited.
        let slots = settings.limit.saturating_mul(2).clamp(64, 1 << 16);
        let (page, page_file) = Page::create(slots)?;
        let (ours, theirs) = sys::pair()?;
        let program = program(settings);
        // Nothing here makes the standard library fork instead of `posix_spawn`, which would
        // copy the page tables of this process.
        let child = Command::new(settings.worker_exe.as_deref().unwrap_or(Path::new(OWN_PROGRAM)))
            .arg0(program.as_os_str())
            .env(TOKEN, PROTOCOL.to_string())
            .stdin(Stdio::from(theirs))
            .spawn()?;
        let mut server = Self {
            generation,
            child,
            control: Arc::new(ours),
            decoder: Decoder::new(CONTROL_CAP),
            greeted: false,
            answer_by: Instant::now() + ANSWER_WITHIN,
            page: Arc::new(page),
            free_slots: (0..slots).rev().collect(),
            environment: None,
            out: VecDeque::new(),
            interest: EpollFlags::EPOLLIN,
        };
        let hello = ToServer::Hello {
            protocol: PROTOCOL,
            build_id: task::build_id(),
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
        };
        let event = EpollEvent::new(server.interest, control_event(generation));
        let ready = epoll.add(server.control.as_fd(), event).map_err(io::Error::from);
        let ready = ready.and_then(|()| server.tell(&hello, vec![page_file], epoll));
        if let Err(error) = ready {
            server.end();
            return Err(error);
        }
        Ok(server)
    }

    /// Tells it something. Messages that do not fit into the socket now are sent later.
    ///
    /// # Errors
    /// The message was not sent and will not be: the kernel does not pass the descriptors on.
    pub(super) fn tell(
        &mut self,
        message: &ToServer,
        fds: Vec<OwnedFd>,
        epoll: &Epoll,
    ) -> io::Result<()> {
        let count = match message {
            ToServer::Hello { .. } => HELLO_FDS,
            ToServer::Spawn { .. } => SPAWN_FDS,
            ToServer::Kill { .. } | ToServer::Bye { .. } => 0,
        };
        debug_assert_eq!(fds.len(), usize::from(count));
        let bytes = control_frame(message, count)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        self.out.push_back(Outgoing { bytes, sent: 0, fds });
        self.flush(epoll)
    }

    /// Sends what it has to be told.
    ///
    /// # Errors
    /// As [`tell`](Self::tell), of the last message.
    pub(super) fn flush(&mut self, epoll: &Epoll) -> io::Result<()> {
        let mut result = Ok(());
        while let Some(first) = self.out.front_mut() {
            let fds: Vec<_> = first.fds.iter().map(AsFd::as_fd).collect();
            let rest = [IoSlice::new(&first.bytes[first.sent..])];
            match sys::send(self.control.as_fd(), &rest, &fds) {
                Ok(n) => {
                    first.fds.clear();
                    first.sent += n;
                    if first.sent == first.bytes.len() {
                        self.out.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It is gone; the I/O thread will notice by the end of its stream.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.out.clear(),
                Err(error) => {
                    // Too many descriptors on their way, or no memory. What was sent in part
                    // must be sent to its end.
                    if first.sent > 0 || self.out.len() > 1 {
                        break;
                    }
                    self.out.clear();
                    result = Err(error);
                }
            }
        }
        let mut wanted = EpollFlags::EPOLLIN;
        wanted.set(EpollFlags::EPOLLOUT, !self.out.is_empty());
        if wanted != self.interest {
            self.interest = wanted;
            let mut event = EpollEvent::new(wanted, control_event(self.generation));
            let _ = epoll.modify(self.control.as_fd(), &mut event);
        }
        result
    }

    /// Kills it, if it still runs, and reaps it. Says how it ended.
    pub(super) fn end(&mut self) -> String {
        // The standard library keeps the child unreaped until `wait`, so its pid is its own.
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Waits until it has ended, but not beyond the time: then kills it.
    pub(super) fn wait(&mut self, at_most: Duration) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let pid = i32::try_from(self.child.id()).unwrap_or(0);
        if let Ok(pidfd) = sys::pidfd(pid) {
            let deadline = Instant::now() + at_most;
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
                let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
                match poll(&mut fds, timeout) {
                    Err(nix::errno::Errno::EINTR) => {}
                    Ok(n) if n > 0 => break,
                    _ => {
                        let _ = self.child.kill();
                        break;
                    }
                }
            }
        }
        let _ = self.child.wait();
    }
}

/// The program's path, for people.
pub(super) fn program(settings: &Settings) -> PathBuf {
    settings
        .worker_exe
        .clone()
        .or_else(|| std::env::current_exe().ok())
        .unwrap_or_else(|| OWN_PROGRAM.into())
}

/// The fork server could not be started.
pub(super) fn cannot_start(settings: &Settings, error: &io::Error) -> JobError {
    let hint = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            "check Engine::builder().worker_exe(..), and that /proc is mounted"
        }
        _ => "check the limits on processes, open files and memory",
    };
    JobError::no_worker(format!(
        "the fork server {} cannot be started: {error}: {hint}",
        program(settings).display()
    ))
}

/// The fork server ended, or said something else, before it answered.
pub(super) fn no_answer(settings: &Settings, how: &str) -> JobError {
    JobError::no_worker(format!(
        "the worker program {} did not answer as a fork server ({how}): call \
         executor_engine::init() as the first line of its main",
        program(settings).display()
    ))
}

/// The fork server is of another build.
pub(super) fn other_build(settings: &Settings) -> JobError {
    JobError::no_worker(format!(
        "the worker program {} is not this build: its tasks or its version of this library \
         differ: rebuild it from the same sources as this program",
        program(settings).display()
    ))
}
