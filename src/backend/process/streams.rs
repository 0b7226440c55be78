//! Streams: how much their workers may send, and what their readers say.
//!
//! A worker that has a stream has nothing else: no job is sent behind it, and it is sent behind none.
//! It may send as many values as it has credit for; the engine counts along, so that a worker that
//! sends more breaks the protocol, and memory is bounded whatever it does. One whose credit is used
//! up, or that has asked for an answer, waits for its reader. Until it gets what it waits for, it does
//! not count as busy, and its job lends its permit: else streams that wait to be read could keep those
//! jobs from running that their reader waits for.

use std::ops::Range;
use std::sync::Arc;

use super::pool::Pool;
use super::shared::Shared;
use super::worker::{Inbox, Queued, Worker};
use crate::job::{AnyJob, Opening, Says, Word};
use crate::wire::frame::Header;
use crate::wire::message::{NOTE_VALUES, STREAM_ANSWER, STREAM_CLOSE, STREAM_CREDIT};

/// What a worker that has a stream may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    seq: u32,
    /// The number of the stream's opening.
    opening: u32,
    credit: usize,
    /// How many answers it waits for.
    asking: usize,
    /// It was told that nobody reads: it waits for nobody.
    closed: bool,
}

impl Flow {
    const fn awaits_reader(&self) -> bool {
        !self.closed && (self.credit == 0 || self.asking > 0)
    }
}

/// Values that a worker sent.
pub(super) struct Values {
    job: Arc<dyn AnyJob>,
    opening: u32,
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
        self.flow.is_some_and(|flow| flow.awaits_reader())
    }

    /// It was given a stream, as that request.
    pub(super) fn open_stream(&mut self, seq: u32, opening: Opening) {
        let Opening { number: opening, credit, closed } = opening;
        self.flow = Some(Flow { seq, opening, credit, asking: 0, closed });
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

    /// Notes values that it sent. Says whether it waits for its reader now, and did not before.
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
        let waited = flow.awaits_reader();
        flow.credit -= values;
        let asking = header.kind != NOTE_VALUES;
        flow.asking += usize::from(asking);
        let Flow { opening, .. } = *flow;
        let waits = flow.awaits_reader() && !waited;
        let entry = self.in_flight.iter().find(|entry| entry.seq == header.seq);
        if let Some(job) = entry.and_then(|entry| entry.job.as_ref()) {
            let job = Arc::clone(&job.run.job);
            into.push(Values { job, opening, asking, range });
        }
        Ok(waits)
    }
}

impl Pool {
    /// A reader says this to the worker that has the stream, if one has it.
    fn say(&mut self, job: &Arc<dyn AnyJob>, word: &Word) {
        let key = job.head().key();
        let run = |worker: &Worker| {
            let mut jobs = worker.in_flight.iter().filter_map(|entry| entry.job.as_ref());
            jobs.find(|job| job.run.job.head().key() == key).map(|job| job.run.run)
        };
        let mut workers = self.workers.values_mut();
        let Some((worker, run)) = workers.find_map(|worker| {
            let flow = worker.flow.filter(|flow| flow.opening == word.opening);
            let run = flow.and_then(|_| run(worker))?;
            Some((worker, run))
        }) else {
            return;
        };
        let Some(flow) = &mut worker.flow else { return };
        let waited = flow.awaits_reader();
        match &word.says {
            Says::Credit(more) => flow.credit += more,
            Says::Answer(..) => flow.asking = flow.asking.saturating_sub(1),
            Says::Close => flow.closed = true,
        }
        if waited && !flow.awaits_reader() {
            self.lent.push((key, run, false));
        }
        let seq = flow.seq;
        match &word.says {
            Says::Credit(more) => worker.say(seq, STREAM_CREDIT, &number(*more)),
            Says::Answer(ticket, bytes) => {
                worker.say(seq, STREAM_ANSWER, &[&ticket.to_le_bytes(), &bytes[..]].concat());
            }
            Says::Close => worker.say(seq, STREAM_CLOSE, &[]),
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

    /// Gives values to those who read them. True if something was posted by that.
    pub(super) fn deliver(&self, inbox: &mut Inbox) -> bool {
        let mut posted = false;
        for Values { job, opening, asking, range } in inbox.values.drain(..) {
            let Some(stream) = job.head().stream() else { continue };
            let bytes = inbox.decoder.bytes(range);
            let fine = if asking {
                stream.accept_asked(opening, bytes)
            } else {
                stream.accept(opening, bytes)
            };
            if !fine {
                let word = Word { opening, says: Says::Close };
                posted |= self.locked(|pool| pool.say(&job, &word)).1;
            }
        }
        posted
    }
}

fn number(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}
