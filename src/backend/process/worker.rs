//! One worker, as the engine sees it.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use log::Level;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::outbox::{Args, Outbox};
use super::pool::{About, Records};
use super::stderr::Tail;
use super::streams::{Flow, Values};
use crate::backend::Run;
use crate::error::JobError;
use crate::job::AnyJob;
use crate::sys::Page;
use crate::task::TaskDef;
use crate::wire::claims::Claims;
use crate::wire::frame::{Decoder, Header};

/// A run that waits for a worker, or is with one.
pub(super) struct Queued {
    pub(super) run: Run,
    pub(super) task: &'static TaskDef,
    /// The kind of its request.
    pub(super) kind: u8,
    pub(super) args: Args,
    /// It wants a process of its own.
    pub(super) fresh: bool,
    /// It was claimed, when it was sent for the first time.
    pub(super) claimed: bool,
    /// How many workers died that had it and had not begun it.
    pub(super) deaths: u8,
}

impl Queued {
    /// Whether its time is limited.
    pub(super) fn timed(&self) -> bool {
        self.run.job.head().is_timed()
    }

    /// Whether it is that run of that job.
    pub(super) fn is_of(&self, run: &Run) -> bool {
        self.run.run == run.run && self.run.job.head().key() == run.job.head().key()
    }
}

/// A request whose reply is not there yet.
pub(super) struct InFlight {
    pub(super) seq: u32,
    /// Its job, unless it was taken back.
    pub(super) job: Option<Queued>,
}

/// A reply, and the job it is for.
pub(super) struct Answered {
    pub(super) job: Queued,
    pub(super) kind: u8,
    pub(super) range: Range<usize>,
}

/// The right to read a worker's replies, and what is needed for it.
pub(super) struct Inbox {
    pub(super) decoder: Decoder,
    /// The frames of one batch. Kept for its memory.
    pub(super) frames: Vec<(Header, Range<usize>)>,
    /// The replies of one batch. Kept for its memory.
    pub(super) answered: Vec<Answered>,
    /// What jobs said of their progress: in order, and before their replies.
    pub(super) notes: Vec<(Arc<dyn AnyJob>, Range<usize>)>,
    /// What streams sent, likewise.
    pub(super) values: Vec<Values>,
    /// The stream ended, or cannot be read on.
    pub(super) deaf: bool,
}

impl Inbox {
    pub(super) fn new(cap: u64) -> Self {
        Self {
            decoder: Decoder::new(cap),
            frames: Vec::new(),
            answered: Vec::new(),
            notes: Vec::new(),
            values: Vec::new(),
            deaf: false,
        }
    }
}

/// What a worker is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It serves.
    Active,
    /// It has done all it was to do; its connection is closed, and it will exit.
    Closing,
    /// It is being killed, or is dead as far as is known.
    Dying,
}

/// How a worker came to its end.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The fork server told how its process ended.
    Process { signal: Option<i32>, code: Option<i32>, peak_memory: u64 },
    /// The fork server died, and the worker with it.
    ServerDied,
    /// There never was one.
    NoWorker(JobError),
}

/// One worker.
pub(super) struct Worker {
    pub(super) id: u64,
    /// Which fork server it came from.
    pub(super) generation: u64,
    pub(super) pid: Option<i32>,
    pub(super) socket: Arc<OwnedFd>,
    pub(super) page: Arc<Page>,
    pub(super) slot: usize,
    pub(super) state: State,
    /// It serves one job and is closed.
    pub(super) fresh: bool,
    /// Who has this reads its replies.
    pub(super) inbox: Option<Box<Inbox>>,
    /// A user's thread has the inbox.
    pub(super) waiter: bool,
    pub(super) out: Outbox,
    /// What the I/O thread's epoll looks for; `None` if the socket is not in it.
    interest: Option<EpollFlags>,
    pub(super) in_flight: VecDeque<InFlight>,
    /// Of the stream that it has.
    pub(super) flow: Option<Flow>,
    /// How many of those were taken back.
    pub(super) taken_back: usize,
    /// The number of the last request.
    pub(super) last_seq: u32,
    /// How many jobs it has been given and has not given back.
    pub(super) given: u32,
    /// When its last reply came, or it became busy.
    pub(super) mark: u64,
    /// How many jobs the whole pool had finished at that moment.
    pub(super) pool_mark: u64,
    /// Whether its last reply was there as soon as its request was sent.
    pub(super) prompt: Prompt,
    /// It has replied before.
    pub(super) warm: bool,
    pub(super) end: Option<End>,
    /// It ended of its own accord.
    pub(super) unasked: bool,
    pub(super) note: Option<String>,
    pub(super) stderr: Arc<Tail>,
    /// The pool's.
    records: Arc<Records>,
}

/// Whether a worker replies so soon that it is worth a look right after sending.
///
/// On a busy CPU the kernel often runs the worker at once when it is sent something, and when
/// the sender goes on, the reply is there: taking it costs one call, and having the I/O thread
/// woken for it costs much more. Between idle CPUs it never is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prompt {
    luck: u8,
    turn: u8,
}

impl Prompt {
    /// Whether to look this time. Now and then even if it never was there.
    pub(super) fn worth_a_look(&mut self) -> bool {
        self.turn = self.turn.wrapping_add(1);
        self.luck > 0 || self.turn.is_multiple_of(16)
    }

    pub(super) fn note(&mut self, was_there: bool) {
        self.luck = if was_there { 8 } else { self.luck.saturating_sub(1) };
    }
}

/// What is needed to make a [`Worker`].
pub(super) struct Birth {
    pub(super) id: u64,
    pub(super) generation: u64,
    pub(super) socket: OwnedFd,
    pub(super) page: Arc<Page>,
    pub(super) slot: usize,
    pub(super) fresh: bool,
    pub(super) cap: u64,
    pub(super) stderr: Arc<Tail>,
    pub(super) records: Arc<Records>,
}

/// A worker whose inbox somebody has.
pub(super) type Lent = (u64, Box<Inbox>, Arc<OwnedFd>);

impl Worker {
    pub(super) fn new(birth: Birth) -> Self {
        Self {
            id: birth.id,
            generation: birth.generation,
            pid: None,
            socket: Arc::new(birth.socket),
            page: birth.page,
            slot: birth.slot,
            state: State::Active,
            fresh: birth.fresh,
            inbox: Some(Box::new(Inbox::new(birth.cap))),
            waiter: false,
            out: Outbox::default(),
            interest: None,
            in_flight: VecDeque::new(),
            flow: None,
            taken_back: 0,
            last_seq: 0,
            given: 0,
            mark: 0,
            pool_mark: 0,
            prompt: Prompt::default(),
            warm: false,
            end: None,
            unasked: false,
            note: None,
            stderr: birth.stderr,
            records: birth.records,
        }
    }

    /// The number that this worker and the engine share.
    pub(super) fn claims(&self) -> Claims<'_> {
        Claims::new(self.page.slot(self.slot).expect("slots come from the page"))
    }

    /// The first request that was not taken back. While the worker is active, it never is.
    pub(super) fn head(&self) -> Option<&InFlight> {
        self.in_flight.iter().find(|entry| entry.job.is_some())
    }

    /// How many jobs wait behind the one at its head.
    pub(super) fn behind(&self) -> usize {
        self.in_flight.len().saturating_sub(1 + self.taken_back)
    }

    /// Whether it may be sent jobs.
    pub(super) fn takes_jobs(&self, max_jobs: u32) -> bool {
        self.state == State::Active
            && self.end.is_none()
            && !self.fresh
            && self.flow.is_none()
            && self.taken_back == 0
            && self.given < max_jobs
            && self.last_seq < u32::MAX / 2
    }

    /// Hands the inbox to a user's thread, if nobody has it.
    pub(super) fn lend(&mut self) -> Option<Lent> {
        let inbox = self.inbox.take_if(|inbox| !inbox.deaf)?;
        self.waiter = true;
        Some((self.id, inbox, Arc::clone(&self.socket)))
    }

    /// Makes epoll look for what matters now: replies, unless a user's thread reads them, and
    /// room in the socket, if something waits for it.
    pub(super) fn watch(&mut self, epoll: &Epoll) {
        if self.inbox.as_ref().is_some_and(|inbox| inbox.deaf) {
            self.unwatch(epoll);
            return;
        }
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, !self.waiter);
        wanted.set(EpollFlags::EPOLLOUT, !self.out.is_empty());
        if self.interest == Some(wanted) {
            return;
        }
        let mut event = EpollEvent::new(wanted, self.id);
        let changed = match self.interest {
            Some(_) => epoll.modify(self.socket.as_fd(), &mut event),
            None => epoll.add(self.socket.as_fd(), event),
        };
        match changed {
            Ok(()) => self.interest = Some(wanted),
            Err(error) => {
                let text = format!("epoll of a worker: {error}");
                self.records.push((Level::Error, About::Process, text));
            }
        }
    }

    /// Takes its socket out of epoll.
    pub(super) fn unwatch(&mut self, epoll: &Epoll) {
        if self.interest.take().is_some() {
            let _ = epoll.delete(self.socket.as_fd());
        }
    }

    /// Sends what it has to be sent.
    pub(super) fn flush(&mut self, epoll: &Epoll) {
        if self.out.flush(self.socket.as_fd()).is_err() {
            // It is gone; the end of its stream and the fork server will say so.
            self.out.clear();
        }
        self.watch(epoll);
    }
}
