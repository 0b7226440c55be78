//! Streams: how much their workers may send, and what their readers say.
//!
//! A worker that has a stream has nothing else: no job is sent behind it, and it is sent behind none.
//! It may send as many values as it has credit for; the engine counts along, so that a worker that
//! sends more breaks the protocol, and memory is bounded whatever it does. One whose credit is used
//! up waits for its reader. Until it gets more, it does not count as busy, and its job lends its
//! permit: else streams that wait to be read could keep those jobs from running that their reader
//! waits for.

use std::ops::Range;
use std::sync::Arc;

use super::pool::Pool;
use super::shared::Shared;
use super::worker::{Inbox, Queued, Worker};
use crate::job::{AnyJob, Opening, Word};
use crate::wire::frame::Header;
use crate::wire::message::{NOTE_VALUES, STREAM_ANSWER, STREAM_CLOSE, STREAM_CREDIT};

/// What a worker that has a stream may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    seq: u32,
    credit: usize,
}

/// Values that a worker sent.
pub(super) struct Values {
    job: Arc<dyn AnyJob>,
    asking: bool,
    range: Range<usize>,
}

impl Queued {
    /// Whether it is a stream.
    pub(super) fn streams(&self) -> bool {
        self.run.job.head().stream().is_some()
    }
}

impl Worker {
    /// Whether it waits until somebody reads what it sent.
    pub(super) fn awaits_reader(&self) -> bool {
        self.flow.is_some_and(|flow| flow.credit == 0)
    }

    /// It was given a stream, as that request.
    pub(super) fn open_stream(&mut self, seq: u32, opening: Opening) {
        let Opening { credit, closed } = opening;
        self.flow = Some(Flow { seq, credit });
        if closed {
            self.say(seq, STREAM_CLOSE, &[]);
        } else {
            self.say(seq, STREAM_CREDIT, &number(credit));
        }
    }

    fn say(&mut self, seq: u32, kind: u8, body: &[u8]) {
        let header = Header { length: body.len() as u64, seq, extra: 0, kind };
        self.out.push_word(&header.to_bytes(), body);
    }

    /// Notes values that it sent. Says whether its credit is used up by them.
    ///
    /// # Errors
    /// It sent what it may not send.
    pub(super) fn take_values(
        &mut self,
        header: Header,
        range: Range<usize>,
        into: &mut Vec<Values>,
    ) -> Result<bool, String> {
        // A thread of a stream that has ended is late.
        let Some(flow) = self.flow.as_mut().filter(|flow| flow.seq == header.seq) else {
            return Ok(false);
        };
        let values = usize::from(header.extra);
        if values == 0 || values > flow.credit {
            return Err(format!("{values} values of a stream, where it may send {}", flow.credit));
        }
        flow.credit -= values;
        let used_up = flow.credit == 0;
        let entry = self.in_flight.iter().find(|entry| entry.seq == header.seq);
        if let Some(job) = entry.and_then(|entry| entry.job.as_ref()) {
            let job = Arc::clone(&job.run.job);
            into.push(Values { job, asking: header.kind != NOTE_VALUES, range });
        }
        Ok(used_up)
    }
}

impl Pool {
    /// A reader says this to the worker that has the stream, if one has it.
    fn say(&mut self, job: &Arc<dyn AnyJob>, word: &Word) {
        let key = job.head().key();
        let same = |job: &Queued| job.run.job.head().key() == key;
        let Some(worker) = self.workers.values_mut().find(|worker| {
            worker.flow.is_some()
                && worker.in_flight.iter().any(|entry| entry.job.as_ref().is_some_and(same))
        }) else {
            return;
        };
        let waited = worker.awaits_reader();
        let Some(flow) = &mut worker.flow else { return };
        let seq = flow.seq;
        match word {
            Word::Credit(more) => {
                flow.credit += more;
                worker.say(seq, STREAM_CREDIT, &number(*more));
            }
            Word::Answer(ticket, bytes) => {
                worker.say(seq, STREAM_ANSWER, &[&ticket.to_le_bytes(), &bytes[..]].concat());
            }
            Word::Close => worker.say(seq, STREAM_CLOSE, &[]),
        }
        if waited && !worker.awaits_reader() {
            self.lent.push((key, false));
        }
        if let Some(threads) = &self.threads {
            worker.flush(&threads.epoll);
        }
    }
}

impl Shared {
    pub(super) fn tell_stream(&self, job: &Arc<dyn AnyJob>, word: &Word) {
        if self.locked(|pool| pool.say(job, word)).1 {
            self.drive();
        }
    }

    /// Gives values to those who read them.
    pub(super) fn deliver(&self, inbox: &mut Inbox) {
        for Values { job, asking, range } in inbox.values.drain(..) {
            let Some(stream) = job.head().stream() else { continue };
            let bytes = inbox.decoder.bytes(range);
            let fine = if asking { stream.accept_asked(bytes) } else { stream.accept(bytes) };
            if !fine {
                self.locked(|pool| pool.say(&job, &Word::Close));
            }
        }
    }
}

fn number(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}
