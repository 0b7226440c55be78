//! What comes from workers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::pool::Pool;
use super::shared::Shared;
use super::worker::{Answered, Inbox, State};
use crate::clock;
use crate::error::{JobError, PanicInfo};
use crate::info::Progress;
use crate::job::{AnyJob, note_progress};
use crate::sys;
use crate::wire::codec;
use crate::wire::message::{
    NOTE_ASKING, NOTE_PROGRESS, NOTE_VALUES, REPLY_CODEC, REPLY_FAILED, REPLY_NO_PLACE, REPLY_OK,
    REPLY_PANICKED, REPLY_SKIPPED,
};

/// What a batch of replies came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    /// Something was posted: [`Shared::drive`] must follow.
    pub(super) posted: bool,
    /// The job that was looked for is among them.
    pub(super) found: bool,
}

impl Shared {
    /// Takes the right to read a worker's replies, if it is there to be taken.
    pub(super) fn take_inbox(&self, id: u64) -> Option<(Box<Inbox>, Arc<OwnedFd>)> {
        self.locked(|pool| {
            let worker = pool.workers.get_mut(&id)?;
            let inbox = worker.inbox.take()?;
            Some((inbox, Arc::clone(&worker.socket)))
        })
        .0
    }

    /// Receives once, and handles the replies that are whole by then. `wanted` is the key of a
    /// job that somebody waits for.
    pub(super) fn receive(
        &self,
        id: u64,
        inbox: &mut Inbox,
        socket: &OwnedFd,
        block: bool,
        wanted: Option<u64>,
    ) -> Batch {
        let space = inbox.decoder.space();
        let received = if block {
            sys::recv_blocking(socket.as_fd(), space)
        } else {
            sys::recv(socket.as_fd(), space)
        };
        match received {
            Ok(0) => inbox.deaf = true,
            Ok(n) => inbox.decoder.filled(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Batch::default(),
            Err(_) => inbox.deaf = true,
        }
        self.absorb(id, inbox, wanted)
    }

    /// Looks whether the reply to what was just sent is there already.
    pub(super) fn look(&self, id: u64, inbox: &mut Inbox, socket: &OwnedFd) -> bool {
        let batch = self.receive(id, inbox, socket, false, None);
        self.locked(|pool| {
            if let Some(worker) = pool.workers.get_mut(&id) {
                worker.prompt.note(batch.posted);
            }
        });
        batch.posted
    }

    fn absorb(&self, id: u64, inbox: &mut Inbox, wanted: Option<u64>) -> Batch {
        let mut breach = None;
        inbox.frames.clear();
        loop {
            match inbox.decoder.next() {
                Ok(Some(frame)) => inbox.frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    breach = Some(error.to_string());
                    break;
                }
            }
        }
        let ((), posted) = self.locked(|pool| {
            let breach = pool.take_replies(id, inbox).err().or(breach);
            if let Some(what) = breach {
                inbox.deaf = true;
                pool.kill(id, false, Some(format!("it broke the wire protocol: it sent {what}")));
            }
            pool.schedule(self);
        });
        let mut posted = self.deliver(inbox) || posted;
        for (job, range) in inbox.notes.drain(..) {
            if let Ok(progress) = codec::decode::<Progress>(inbox.decoder.bytes(range)) {
                let progress = Progress::new(progress.fraction(), progress.message().into());
                // It is under way while its reply is not settled.
                posted |= note_progress(&job, job.head().run(), progress);
            }
        }
        let mut batch = Batch { posted, found: false };
        for Answered { job, kind, range } in inbox.answered.drain(..) {
            let any = &job.run.job;
            let ok = settle(any, kind, inbox.decoder.bytes(range));
            self.post(any, ok);
            batch.posted = true;
            batch.found |= wanted == Some(any.head().key());
        }
        batch
    }
}

impl Pool {
    /// Matches replies with requests; what the worker has no more to do with goes into
    /// `inbox.answered`.
    ///
    /// # Errors
    /// What it sent that is no reply to anything.
    fn take_replies(&mut self, id: u64, inbox: &mut Inbox) -> Result<(), String> {
        let max_jobs = self.max_jobs();
        let Some(worker) = self.workers.get_mut(&id) else { return Ok(()) };
        let mut result = Ok(());
        let mut done = 0;
        for (header, range) in inbox.frames.drain(..) {
            if matches!(header.kind, NOTE_VALUES | NOTE_ASKING) {
                match worker.take_values(header, range, &mut inbox.values) {
                    Ok(false) => {}
                    Ok(true) => {
                        let stream = worker.head().and_then(|entry| entry.job.as_ref());
                        self.lent.extend(
                            stream.map(|job| (job.run.job.head().key(), job.run.run, true)),
                        );
                    }
                    Err(breach) => {
                        result = Err(breach);
                        break;
                    }
                }
                continue;
            }
            if header.kind == NOTE_PROGRESS {
                // One of a job that has ended is late: a thread of it still runs.
                let same = worker.in_flight.iter().find(|entry| entry.seq == header.seq);
                if let Some(job) = same.and_then(|entry| entry.job.as_ref()) {
                    inbox.notes.push((Arc::clone(&job.run.job), range));
                }
                continue;
            }
            let front = worker.in_flight.pop_front_if(|entry| {
                entry.seq == header.seq
                    && match header.kind {
                        REPLY_SKIPPED => entry.job.is_none(),
                        REPLY_OK | REPLY_FAILED | REPLY_PANICKED | REPLY_CODEC | REPLY_NO_PLACE => {
                            entry.job.is_some()
                        }
                        _ => false,
                    }
            });
            match front.map(|entry| entry.job) {
                Some(Some(job)) => {
                    // How long a stream takes says nothing of other jobs.
                    done += u64::from(worker.flow.is_none());
                    inbox.answered.push(Answered { job, kind: header.kind, range });
                }
                Some(None) => worker.taken_back -= 1,
                None => {
                    result = Err("a reply to nothing it was asked".to_owned());
                    break;
                }
            }
        }
        let streamed = worker.in_flight.is_empty() && worker.flow.take().is_some();
        let now = clock::now();
        if let Some(each) = now.saturating_sub(worker.mark).checked_div(done) {
            // The first reply of a new worker also took its start.
            if worker.warm {
                self.pace.note(each);
            }
            self.finished += done;
            worker.warm = true;
            worker.mark = now;
            worker.pool_mark = self.finished;
        }
        if worker.in_flight.is_empty() && worker.state == State::Active && result.is_ok() {
            let mut retired = worker.fresh || !worker.takes_jobs(max_jobs);
            if streamed {
                // While it waited for its reader there may have been one more than the limit.
                retired |= self.busy() + self.idle.len() > self.settings.limit;
            }
            if retired {
                // A fresh worker that was given nothing yet, or whose job was taken back, stays
                // for nothing.
                self.close(id);
            } else if !self.idle.contains(&id) {
                self.idle.push(id);
            }
        }
        result
    }
}

/// Stores what a worker replied; true if that is a result.
fn settle(job: &Arc<dyn AnyJob>, kind: u8, bytes: &[u8]) -> bool {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    let error = match kind {
        REPLY_OK => return job.store_encoded(bytes),
        REPLY_FAILED => JobError::failure_text(text()),
        REPLY_PANICKED => match codec::decode::<PanicInfo>(bytes) {
            Ok(info) => JobError::panic(info),
            Err(error) => JobError::codec(format!("a panic's message does not decode: {error}")),
        },
        REPLY_NO_PLACE => JobError::no_place(text()),
        _ => JobError::codec(text()),
    };
    job.store_error(error);
    false
}
