//! Streams, in a worker: values go to the engine while the task runs, credit and answers come back.
//!
//! The task's own threads do all of it. One that may send a value puts it behind the others that
//! wait, and sends all of them at once when the last time was some while ago, when they are many, or
//! when no credit is left: so a value that comes alone goes at once, and many that come fast share a
//! call. What would be left behind when no further value comes is sent by a thread that is there for
//! this, a millisecond later; it is started with the first value that is kept.
//!
//! One that may not send, or waits for an answer, reads the socket. Nothing but words on this stream
//! comes there until it has ended.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::JobError;
use crate::job::{Encode, Outlet, StreamStopped, Why, send_by};
use crate::sys;
use crate::wire::frame::{Decoder, HEADER, Header};
use crate::wire::message::{
    NOTE_ASKING, NOTE_VALUES, STREAM_ANSWER, STREAM_CLOSE, STREAM_CREDIT, is_stream_word,
};

/// Values that came later than this after the last call go at once.
const ALONE: Duration = Duration::from_micros(50);
/// As many bytes as this go at once.
const MANY: usize = 16 * 1024;
/// Values that are kept are sent after this time.
const KEEP: Duration = Duration::from_millis(1);

/// The stream that this process is at.
static STREAM: Mutex<Option<Arc<Stream>>> = Mutex::new(None);

thread_local! {
    /// Memory for this thread's next value.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

struct Stream {
    socket: Arc<OwnedFd>,
    seq: u32,
    frame_cap: u64,
    credit: AtomicU32,
    /// Nobody reads it.
    closed: AtomicBool,
    ended: AtomicBool,
    last_ticket: AtomicU32,
    outgoing: Mutex<Outgoing>,
    incoming: Mutex<Incoming>,
    /// Something came in, or nobody looks for it now.
    news: Condvar,
}

struct Outgoing {
    /// A frame, whose header is not filled in yet.
    frame: Vec<u8>,
    values: u16,
    /// When values were sent last.
    sent: Option<Instant>,
}

struct Incoming {
    decoder: Decoder,
    answers: BTreeMap<u32, Vec<u8>>,
    /// A thread waits for the socket. The others wait for it.
    watched: bool,
}

/// Has streams send by this module.
pub(super) fn install() {
    let current = || STREAM.lock().as_ref().map_or(0, |stream| stream.seq);
    send_by(Outlet {
        current,
        send: |seq, encode, asked| {
            let stream = STREAM.lock().clone().filter(|stream| stream.seq == seq);
            let stream = stream.ok_or(StreamStopped(Why::Over))?;
            if asked { stream.ask(encode).map(Some) } else { stream.send(encode).map(|()| None) }
        },
    });
}

/// Calls `perform` while streams send by this socket; gives the decoder back.
pub(super) fn during(
    socket: &Arc<OwnedFd>,
    seq: u32,
    frame_cap: u64,
    decoder: Decoder,
    perform: impl FnOnce(),
) -> Decoder {
    let stream = Arc::new(Stream {
        socket: Arc::clone(socket),
        seq,
        frame_cap,
        credit: AtomicU32::new(0),
        closed: AtomicBool::new(false),
        ended: AtomicBool::new(false),
        last_ticket: AtomicU32::new(0),
        outgoing: Mutex::new(Outgoing { frame: Vec::new(), values: 0, sent: None }),
        incoming: Mutex::new(Incoming { decoder, answers: BTreeMap::new(), watched: false }),
        news: Condvar::new(),
    });
    *STREAM.lock() = Some(Arc::clone(&stream));
    perform();
    STREAM.lock().take();
    stream.ended.store(true, Ordering::SeqCst);
    stream.flush(&mut stream.outgoing.lock());
    // A thread of the task that still waits for the socket sees that it has ended before it reads.
    let mut incoming = stream.incoming.lock();
    stream.news.notify_all();
    std::mem::replace(&mut incoming.decoder, Decoder::new(0))
}

/// Whether the task failed because nobody reads its stream, which is no failure.
pub(super) fn is_over(error: &JobError) -> bool {
    let stream = STREAM.lock().clone();
    error.is_caused_by::<StreamStopped>()
        && stream.is_some_and(|stream| stream.closed.load(Ordering::SeqCst))
}

impl Stream {
    fn send(&self, encode: Encode<'_>) -> Result<(), StreamStopped> {
        let value = self.encoded(encode)?;
        self.spend()?;
        let mut outgoing = self.outgoing.lock();
        let more = value.len() - HEADER;
        if outgoing.values > 0 && (outgoing.frame.len() - HEADER + more) as u64 > self.frame_cap {
            self.flush(&mut outgoing);
        }
        let Outgoing { frame, values, .. } = &mut *outgoing;
        frame.resize(frame.len().max(HEADER), 0);
        frame.extend_from_slice(&value[HEADER..]);
        put_back(value);
        *values += 1;
        let at_once = *values == u16::MAX
            || frame.len() >= MANY
            || outgoing.sent.is_none_or(|sent| sent.elapsed() >= ALONE)
            || self.credit.load(Ordering::SeqCst) == 0;
        if at_once {
            self.flush(&mut outgoing);
            drop(outgoing);
            self.listen();
        } else if outgoing.values == 1 && !wake_sender() {
            self.flush(&mut outgoing);
        }
        Ok(())
    }

    fn ask(&self, encode: Encode<'_>) -> Result<Vec<u8>, StreamStopped> {
        let mut frame = self.encoded(encode)?;
        self.spend()?;
        let ticket = self.last_ticket.fetch_add(1, Ordering::SeqCst);
        frame[HEADER..HEADER + 4].copy_from_slice(&ticket.to_le_bytes());
        {
            let mut outgoing = self.outgoing.lock();
            self.flush(&mut outgoing);
            self.transmit(&mut frame, 1, NOTE_ASKING);
        }
        put_back(frame);
        let mut answer = None;
        self.read_until(|incoming| {
            answer = incoming.answers.remove(&ticket);
            answer.is_some()
        })?;
        answer.ok_or(StreamStopped(Why::Unread))
    }

    /// An encoded value behind its length, as a frame of its own. It is made before there is the
    /// right to send it, and apart from those that wait: one that is refused, or whose `Serialize`
    /// panics, costs no credit and leaves nothing behind.
    fn encoded(&self, encode: Encode<'_>) -> Result<Vec<u8>, StreamStopped> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(StreamStopped(Why::Over));
        }
        if self.closed.load(Ordering::SeqCst) {
            return Err(StreamStopped(Why::Unread));
        }
        let mut frame = SPARE.try_with(Cell::take).unwrap_or_default();
        frame.clear();
        frame.resize(HEADER + 4, 0);
        if let Err(error) = encode(&mut frame) {
            let what = format!("a value of the stream does not encode: {error}");
            return Err(StreamStopped(Why::Codec(what)));
        }
        let length = frame.len() - HEADER - 4;
        match u32::try_from(length) {
            Ok(short) if (length + 4) as u64 <= self.frame_cap => {
                frame[HEADER..HEADER + 4].copy_from_slice(&short.to_le_bytes());
                Ok(frame)
            }
            _ => {
                let cap = self.frame_cap;
                let what = format!(
                    "a value of the stream is {length} bytes encoded, where {cap} are allowed: \
                     raise max_message_bytes, or put it into a file"
                );
                Err(StreamStopped(Why::Codec(what)))
            }
        }
    }

    /// Takes the right to send one value.
    fn spend(&self) -> Result<(), StreamStopped> {
        let spend = || {
            let less = |credit: u32| credit.checked_sub(1);
            self.credit.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
        };
        if self.ended.load(Ordering::SeqCst) {
            return Err(StreamStopped(Why::Over));
        }
        if !self.closed.load(Ordering::SeqCst) && spend() {
            return Ok(());
        }
        self.flush(&mut self.outgoing.lock());
        self.read_until(|_| spend())
    }

    /// Reads the socket until there is enough.
    fn read_until(
        &self,
        mut enough: impl FnMut(&mut Incoming) -> bool,
    ) -> Result<(), StreamStopped> {
        let mut incoming = self.incoming.lock();
        loop {
            if self.ended.load(Ordering::SeqCst) {
                return Err(StreamStopped(Why::Over));
            }
            self.take_words(&mut incoming);
            if self.closed.load(Ordering::SeqCst) {
                return Err(StreamStopped(Why::Unread));
            }
            if enough(&mut incoming) {
                return Ok(());
            }
            if incoming.watched {
                self.news.wait(&mut incoming);
                continue;
            }
            incoming.watched = true;
            let ready = MutexGuard::unlocked(&mut incoming, || {
                sys::wait_readable(self.socket.as_fd(), None)
            });
            incoming.watched = false;
            let ended = self.ended.load(Ordering::SeqCst);
            if !ended && (ready.is_err() || !self.receive(&mut incoming)) {
                // The engine is gone.
                self.closed.store(true, Ordering::SeqCst);
            }
            self.news.notify_all();
        }
    }

    /// Looks whether there is a word from the engine, unless another thread does.
    fn listen(&self) {
        if let Some(mut incoming) = self.incoming.try_lock() {
            if self.ended.load(Ordering::SeqCst) {
                // What comes now is for the next request. Who ends the stream says so before it takes
                // the decoder away.
                return;
            }
            self.receive(&mut incoming);
            self.take_words(&mut incoming);
            self.news.notify_all();
        }
    }

    /// Receives what is there; false at the end of the connection.
    fn receive(&self, incoming: &mut Incoming) -> bool {
        match sys::recv(self.socket.as_fd(), incoming.decoder.space()) {
            Ok(0) => false,
            Ok(n) => {
                incoming.decoder.filled(n);
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }

    fn take_words(&self, incoming: &mut Incoming) {
        let Incoming { decoder, answers, .. } = incoming;
        while let Ok(Some((header, range))) = decoder.next() {
            if !is_stream_word(header.kind) || header.seq != self.seq {
                // A late word on a stream that has ended.
                continue;
            }
            let body = decoder.bytes(range);
            let number = body.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
            match (header.kind, number) {
                (STREAM_CREDIT, Some(more)) => {
                    self.credit.fetch_add(more, Ordering::SeqCst);
                }
                (STREAM_ANSWER, Some(ticket)) => {
                    answers.insert(ticket, body[4..].to_vec());
                }
                (STREAM_CLOSE, _) => self.closed.store(true, Ordering::SeqCst),
                _ => {}
            }
        }
    }

    fn flush(&self, outgoing: &mut Outgoing) {
        if outgoing.values == 0 {
            return;
        }
        let values = std::mem::take(&mut outgoing.values);
        self.transmit(&mut outgoing.frame, values, NOTE_VALUES);
        outgoing.frame.clear();
        outgoing.frame.shrink_to(4 * MANY);
        outgoing.sent = Some(Instant::now());
    }

    fn transmit(&self, frame: &mut [u8], values: u16, kind: u8) {
        let length = (frame.len() - HEADER) as u64;
        let header = Header { length, seq: self.seq, extra: values, kind };
        frame[..HEADER].copy_from_slice(&header.to_bytes());
        // Not between the parts of another frame. An engine that does not listen any more ends this
        // process anyway.
        let _alone = super::sending::alone();
        let _ = sys::send_all(self.socket.as_fd(), frame);
    }
}

/// Keeps the memory of a value that is sent for this thread's next one.
fn put_back(mut frame: Vec<u8>) {
    frame.clear();
    frame.shrink_to(4 * MANY);
    let _ = SPARE.try_with(|spare| spare.set(frame));
}

/// Has the values that wait sent in a while; false if there is nobody to do it.
fn wake_sender() -> bool {
    static SENDER: OnceLock<Option<Thread>> = OnceLock::new();
    let sender = SENDER.get_or_init(|| {
        let run = || loop {
            std::thread::park();
            std::thread::sleep(KEEP);
            let stream = STREAM.lock().clone();
            if let Some(stream) = stream {
                stream.flush(&mut stream.outgoing.lock());
            }
        };
        let name = "executor-stream".to_owned();
        let thread = std::thread::Builder::new().name(name).stack_size(64 * 1024).spawn(run);
        let thread = thread.ok().map(|thread| thread.thread().clone());
        if thread.is_some() {
            sys::add_blind_thread();
        }
        thread
    });
    sender.as_ref().map(Thread::unpark).is_some()
}
