//! The fork server's loop over the control socket, ended children and deadlines.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getpid, setpgid};

use super::children::Children;
use super::worker::Setup;
use crate::sys::{self, Forked, Page};
use crate::task;
use crate::wire::codec;
use crate::wire::frame::Decoder;
use crate::wire::message::{
    CONTROL_CAP, FromServer, HELLO_FDS, PROTOCOL, SPAWN_FDS, ToServer, control_frame,
};

/// What has become of the process when its serving ends.
pub(super) enum Role {
    /// The engine is gone and so is every worker.
    Finished,
    /// This is a new worker. Nothing of the server is left open in it.
    Worker(Setup),
}

/// The fork server.
pub(super) struct Server {
    control: OwnedFd,
    decoder: Decoder,
    /// Descriptors that have come, one list per message that has some.
    fds: VecDeque<Vec<OwnedFd>>,
    ended: SignalFd,
    children: Children,
    page: Option<Page>,
    /// The environment of new workers, if it could not be made the server's own, for there are
    /// other threads: constructors of the program can have started some.
    environment: Option<Vec<u8>>,
    bye: bool,
}

/// Whether to go on.
enum Next {
    Continue,
    Stop,
    Worker(Setup),
}

impl Server {
    pub(super) fn new(control: OwnedFd) -> io::Result<Self> {
        set_child_subreaper(true)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let ended = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self {
            control,
            decoder: Decoder::new(CONTROL_CAP),
            fds: VecDeque::new(),
            ended,
            children: Children::default(),
            page: None,
            environment: None,
            bye: false,
        })
    }

    /// Serves until the engine is gone; or, in a new worker, until it is forked.
    pub(super) fn serve(mut self) -> io::Result<Role> {
        loop {
            match self.turn() {
                Ok(Next::Continue) => {}
                Ok(Next::Worker(setup)) => return Ok(Role::Worker(setup)),
                Ok(Next::Stop) => {
                    self.children.end_all();
                    return Ok(Role::Finished);
                }
                Err(error) => {
                    self.children.end_all();
                    return Err(error);
                }
            }
        }
    }

    /// Waits for something to happen and acts on it.
    fn turn(&mut self) -> io::Result<Next> {
        let timeout = match self.children.next_deadline() {
            // Rounded up, not to wake before it is time.
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut fds = [
            PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.ended.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [control, ended] = fds.map(|fd| fd.any().unwrap_or(true));
        let now = Instant::now();
        if ended {
            // One signal may stand for several children, so all of them are looked for anyway.
            while let Ok(Some(_)) = self.ended.read_signal() {}
            self.telling(|children, tell| children.reap(tell))?;
        }
        self.telling(|children, tell| children.kill_overdue(now, tell))?;
        if control {
            match self.receive()? {
                Next::Continue => {}
                next => return Ok(next),
            }
        }
        Ok(if self.bye && self.children.is_empty() { Next::Stop } else { Next::Continue })
    }

    /// Does something with the children, and tells the engine of those that are gone by it.
    fn telling(
        &mut self,
        f: impl FnOnce(&mut Children, &mut dyn FnMut(FromServer)),
    ) -> io::Result<()> {
        let mut result = Ok(());
        let control = &self.control;
        f(&mut self.children, &mut |message| {
            if result.is_ok() {
                result = tell(control, &message);
            }
        });
        result
    }

    /// Receives from the engine what is there, and obeys.
    fn receive(&mut self) -> io::Result<Next> {
        match sys::recv_with_fds(self.control.as_fd(), self.decoder.space()) {
            Ok((0, _)) => return Ok(Next::Stop),
            Ok((n, fds)) => {
                self.decoder.filled(n);
                self.fds.extend(fds);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The engine was killed.
            Err(_) => return Ok(Next::Stop),
        }
        loop {
            let frame = self.decoder.next().map_err(invalid)?;
            let Some((header, range)) = frame else { return Ok(Next::Continue) };
            let message: ToServer = codec::decode(self.decoder.bytes(range)).map_err(invalid)?;
            let fds = match header.extra {
                0 => Vec::new(),
                // The kernel hands them over no later than the last byte of the message.
                _ => self.fds.pop_front().unwrap_or_default(),
            };
            match self.obey(message, fds)? {
                Next::Continue => {}
                next => return Ok(next),
            }
        }
    }

    fn obey(&mut self, message: ToServer, fds: Vec<OwnedFd>) -> io::Result<Next> {
        match message {
            ToServer::Hello { protocol, build_id, slots } => {
                let ours = (PROTOCOL, task::build_id());
                let answer = FromServer::Hello { protocol: ours.0, build_id: ours.1 };
                tell(&self.control, &answer)?;
                if (protocol, build_id) != ours || fds.len() < usize::from(HELLO_FDS) {
                    return Ok(Next::Stop);
                }
                let slots = usize::try_from(slots).map_err(invalid)?;
                self.page = Some(Page::map(&fds[0], slots)?);
            }
            ToServer::Spawn { worker, slot, environment, umask, frame_cap } => {
                if let Some(environment) = environment {
                    // Made the server's own, it is there in every worker at no cost.
                    let replaced = sys::replace_environment(&environment);
                    self.environment = replaced.is_err().then_some(environment);
                }
                return self.spawn(worker, slot, umask, frame_cap, fds);
            }
            ToServer::Kill { worker, term, grace } => {
                self.children.kill(worker, term, Duration::from_millis(grace));
            }
            ToServer::Bye { grace } => {
                self.bye = true;
                self.children.kill_all(Duration::from_millis(grace));
            }
        }
        Ok(Next::Continue)
    }

    fn spawn(
        &mut self,
        worker: u64,
        slot: u32,
        umask: u32,
        frame_cap: u64,
        fds: Vec<OwnedFd>,
    ) -> io::Result<Next> {
        let why = match <[OwnedFd; SPAWN_FDS as usize]>::try_from(fds) {
            Err(_) => "the fork server has too many open files".to_owned(),
            Ok([socket, stdout, stderr, directory]) => {
                let server = getpid();
                match sys::fork() {
                    Ok(Forked::Child) => {
                        let Some(page) = self.page.take() else { return Ok(Next::Stop) };
                        return Ok(Next::Worker(Setup {
                            server,
                            socket,
                            output: [stdout, stderr],
                            directory,
                            page,
                            slot,
                            environment: self.environment.take(),
                            umask,
                            frame_cap,
                        }));
                    }
                    Ok(Forked::Parent(pid)) => {
                        // The worker does the same; whoever comes first.
                        let _ = setpgid(Pid::from_raw(pid), Pid::from_raw(pid));
                        self.children.add(worker, pid);
                        tell(&self.control, &FromServer::Spawned { worker, pid })?;
                        return Ok(Next::Continue);
                    }
                    Err(error) => format!("fork: {error}"),
                }
            }
        };
        tell(&self.control, &FromServer::SpawnFailed { worker, why })?;
        Ok(Next::Continue)
    }
}

/// Tells the engine something. If the engine is gone, the next receive says so.
fn tell(control: &OwnedFd, message: &FromServer) -> io::Result<()> {
    let frame = control_frame(message, 0).map_err(invalid)?;
    match sys::send_all(control.as_fd(), &frame) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        sent => sent,
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
