//! What a stream's producer and its readers share.
//!
//! Values wait in a queue of at most `capacity`. A single reader takes all that is there at once,
//! so that both sides come to the lock, and wake each other, once for many values. Whoever has
//! nothing to do is on a list and is unparked by the other side; nobody polls.
//!
//! The end of a stream is not in here: it is the end of its job. A reader that finds the queue
//! empty and the job finished is through.
//!
//! The values of a process job come from its worker. There the room is told in advance, as
//! *credit*: how many values the worker may send. What readers take is given back to it.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;

use parking_lot::{Mutex, MutexGuard};

use super::any::{AnyStream, Opening, Says, Word};
use super::questions::{Fate, Questions};
use super::travel::{Codec, Item};
use super::yielder::{StreamStopped, Why};
use crate::error::JobError;
use crate::job::cell::AnyJob;
use crate::job::head::Stop;
use crate::job::panics;

/// How many values may wait if nothing is said.
pub(super) const DEFAULT_BUFFER: usize = 16;

/// The most: credits are numbers of 32 bits.
const MOST_BUFFER: usize = u32::MAX as usize / 4;

/// How often it is looked for the other side before a thread sleeps: spinning, then yielding.
const LOOKS: u32 = 16;
const SPINS: u32 = 6;

pub(super) struct Channel<Y, S> {
    state: Mutex<State<Y, S>>,
    /// How many values are in the queue, to look at without the lock.
    length: AtomicUsize,
    codec: Option<Codec<Y, S>>,
}

struct State<Y, S> {
    queue: VecDeque<Item<Y>>,
    capacity: usize,
    readers: usize,
    /// No reader is left, or nobody who could make one.
    closed: bool,
    /// The run of the job that may send.
    run: Option<u32>,
    /// How often the stream was given to a worker.
    opening: u32,
    questions: Questions<S>,
    /// Threads of the producer that sleep.
    producers: Vec<Thread>,
    /// Threads that wait for a value.
    waiting: Vec<Thread>,
    /// How many values were taken that the worker has no credit for yet.
    owed: usize,
    /// How many at the front of the queue were taken before, and given back.
    returned: usize,
    /// Why this run cannot go on.
    fault: Option<JobError>,
}

/// What a reader got.
pub(super) struct Taken<Y> {
    pub(super) first: Item<Y>,
    /// What the worker is to be told, if the stream is a process job's.
    pub(super) credit: Option<Word>,
}

impl<Y: Send + 'static, S: Send + 'static> Channel<Y, S> {
    pub(super) fn shared(codec: Option<Codec<Y, S>>) -> Arc<Self> {
        let state = State {
            queue: VecDeque::new(),
            capacity: DEFAULT_BUFFER,
            readers: 0,
            closed: false,
            run: None,
            opening: 0,
            questions: Questions::new(),
            producers: Vec::new(),
            waiting: Vec::new(),
            owed: 0,
            returned: 0,
            fault: None,
        };
        Arc::new(Self { state: Mutex::new(state), length: AtomicUsize::new(0), codec })
    }

    pub(super) fn capacity(&self) -> usize {
        self.state.lock().capacity
    }

    /// From now on that run may send, and no other.
    pub(super) fn begin(&self, run: u32) {
        self.state.lock().run = Some(run);
    }

    /// The run has ended: what still holds its [`Yield`](super::Yield) sends nothing more.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.run = None;
        let left = state.questions.end();
        wake(std::mem::take(&mut state.producers), state);
        left.into_iter().for_each(panics::drop_quietly);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(super) fn fault(&self) -> Option<JobError> {
        self.state.lock().fault.clone()
    }

    fn push(&self, mut state: MutexGuard<'_, State<Y, S>>, item: Item<Y>) {
        state.queue.push_back(item);
        self.length.store(state.queue.len(), Ordering::SeqCst);
        let waiting = std::mem::take(&mut state.waiting);
        wake(waiting, state);
    }

    /// Why that run of the job must not send.
    fn refusal(state: &State<Y, S>, job: &dyn AnyJob, run: u32) -> Option<StreamStopped> {
        Some(StreamStopped(if state.run != Some(run) {
            Why::Over
        } else if job.head().stop() != Stop::No {
            Why::ToStop
        } else if state.closed || state.fault.is_some() {
            Why::Unread
        } else {
            return None;
        }))
    }

    /// Sends a value as soon as there is room. If it is `asked` for, waits until a reader comes for
    /// the next one, and gives what that sent.
    pub(super) fn send(
        &self,
        job: &Arc<dyn AnyJob>,
        run: u32,
        value: Y,
        asked: bool,
    ) -> Result<Option<S>, StreamStopped> {
        let mut state = self.state.lock();
        loop {
            if let Some(refusal) = Self::refusal(&state, &**job, run) {
                drop(state);
                return Err(refusal);
            }
            if state.queue.len() < state.capacity.max(1) {
                break;
            }
            let capacity = state.capacity.max(1);
            state = self.sleep(state, job, run, |length| length < capacity);
        }
        // A producer with room only for what is wanted waits until it is wanted.
        let asked = asked || state.capacity == 0;
        if !asked {
            self.push(state, Item { value, ticket: None });
            return Ok(None);
        }
        let ticket = state.questions.ask();
        self.push(state, Item { value, ticket: Some(ticket) });
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = state.questions.take(ticket) {
                return Ok(answer);
            }
            if let Some(refusal) = Self::refusal(&state, &**job, run) {
                state.questions.forget(ticket);
                return Err(refusal);
            }
            state = self.sleep(state, job, run, |_| false);
        }
    }

    /// Lets a thread of the producer sleep until something has changed, or the look at the queue's
    /// length says so. Its job lends its permit meanwhile.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<Y, S>>,
        job: &Arc<dyn AnyJob>,
        run: u32,
        enough: impl Fn(usize) -> bool,
    ) -> MutexGuard<'a, State<Y, S>> {
        let me = std::thread::current();
        state.producers.push(me.clone());
        drop(state);
        let is_listed = |state: &State<Y, S>| state.producers.iter().any(|t| t.id() == me.id());
        for look in 0..LOOKS {
            pause(look);
            let mut state = self.state.lock();
            if enough(state.queue.len()) || !is_listed(&state) {
                state.producers.retain(|thread| thread.id() != me.id());
                return state;
            }
        }
        let link = job.head().link();
        let lend = |lent| link.iter().for_each(|link| link.lend(job, run, lent));
        lend(true);
        // Those who tell a job to stop wake it later.
        while is_listed(&self.state.lock()) && job.head().stop() == Stop::No {
            std::thread::park();
        }
        lend(false);
        let mut state = self.state.lock();
        state.producers.retain(|thread| thread.id() != me.id());
        state
    }

    /// Takes the first value, and, for the only reader of a buffered stream, all others that the
    /// buffer takes, which go into `batch`, which is empty.
    pub(super) fn take(&self, batch: &mut VecDeque<Item<Y>>) -> Option<Taken<Y>> {
        let mut state = self.state.lock();
        let first = state.queue.pop_front()?;
        let mut taken = 1;
        if state.readers == 1 && state.capacity > 1 {
            let more = state.capacity - 1;
            if state.queue.len() <= more {
                std::mem::swap(&mut state.queue, batch);
            } else {
                // What was given back lies before what the buffer takes. If all were taken, and given
                // back again and again, there would be ever more.
                batch.extend(state.queue.drain(..more));
            }
            taken += batch.len();
        }
        self.length.store(state.queue.len(), Ordering::SeqCst);
        let again = taken.min(state.returned);
        state.returned -= again;
        let mut credit = None;
        if self.codec.is_some() {
            state.owed += taken - again;
            if state.owed >= (state.capacity / 2).max(1) {
                let says = Says::Credit(std::mem::take(&mut state.owed));
                credit = Some(Word { opening: state.opening, says });
            }
        }
        wake(std::mem::take(&mut state.producers), state);
        Some(Taken { first, credit })
    }

    /// Puts the calling thread on the list of those who wait for a value; false if one is there.
    pub(super) fn enlist(&self, me: &Thread) -> bool {
        let mut state = self.state.lock();
        if !state.queue.is_empty() {
            return false;
        }
        state.waiting.push(me.clone());
        true
    }

    pub(super) fn delist(&self, me: &Thread) {
        self.state.lock().waiting.retain(|thread| thread.id() != me.id());
    }

    /// Whether the thread is on that list. Who is woken is taken off it, though another one may have
    /// been faster, and taken the value.
    pub(super) fn is_enlisted(&self, me: &Thread) -> bool {
        self.state.lock().waiting.iter().any(|thread| thread.id() == me.id())
    }

    /// Whether a value was there a moment ago.
    pub(super) fn has_values(&self) -> bool {
        self.length.load(Ordering::SeqCst) > 0
    }

    /// Looks for a value for some microseconds, in which it mostly comes if it comes at all soon.
    pub(super) fn linger(&self) -> bool {
        (0..LOOKS).any(|look| {
            pause(look);
            self.has_values()
        })
    }

    /// Answers a value; gives what a worker is to be told.
    pub(super) fn answer(&self, ticket: u32, answer: Option<S>) -> Option<Word> {
        let mut state = self.state.lock();
        let opening = state.opening;
        let fate = state.questions.answer(ticket, answer);
        wake(std::mem::take(&mut state.producers), state);
        match fate {
            Fate::Kept => None,
            Fate::There(number, answer) => Some(self.encode(opening, number, answer)),
            Fate::Unwanted(answer) => {
                panics::drop_quietly(answer);
                None
            }
        }
    }

    fn encode(&self, opening: u32, number: u32, answer: Option<S>) -> Word {
        let encoded = match &self.codec {
            Some(codec) => codec.encode(answer),
            None => Err(no_worker()),
        };
        let says = match encoded {
            Ok(bytes) => Says::Answer(number, bytes),
            Err(error) => {
                self.fail(opening, error);
                Says::Close
            }
        };
        Word { opening, says }
    }

    pub(super) fn add_reader(&self) {
        self.state.lock().readers += 1;
    }

    /// One reader less; what it had not passed on goes back. If the stream is closed by that, gives
    /// what a worker is to be told.
    pub(super) fn drop_reader(&self, batch: &mut VecDeque<Item<Y>>) -> Option<Word> {
        let mut state = self.state.lock();
        state.readers -= 1;
        if state.readers > 0 {
            state.returned += batch.len();
            while let Some(item) = batch.pop_back() {
                state.queue.push_front(item);
            }
            self.length.store(state.queue.len(), Ordering::SeqCst);
            let waiting = std::mem::take(&mut state.waiting);
            wake(waiting, state);
            return None;
        }
        self.close(state)
    }

    /// Nobody reads any more. Gives what a worker is to be told, if that is new.
    fn close(&self, mut state: MutexGuard<'_, State<Y, S>>) -> Option<Word> {
        let new = !std::mem::replace(&mut state.closed, true);
        let word = new.then_some(Word { opening: state.opening, says: Says::Close });
        let unread = std::mem::take(&mut state.queue);
        state.returned = 0;
        self.length.store(0, Ordering::SeqCst);
        wake(std::mem::take(&mut state.producers), state);
        panics::drop_quietly(unread);
        word
    }

    /// The run that has the stream since then cannot go on.
    fn fail(&self, opening: u32, error: JobError) {
        let mut state = self.state.lock();
        if state.opening == opening {
            state.fault.get_or_insert(error);
        }
    }

    /// Puts values from a worker into the queue, unless nobody wants them.
    fn put(&self, mut state: MutexGuard<'_, State<Y, S>>, items: VecDeque<Item<Y>>) {
        if state.closed || state.fault.is_some() {
            drop(state);
            return panics::drop_quietly(items);
        }
        if state.queue.is_empty() {
            state.queue = items;
        } else {
            state.queue.extend(items);
        }
        self.length.store(state.queue.len(), Ordering::SeqCst);
        let waiting = std::mem::take(&mut state.waiting);
        wake(waiting, state);
    }
}

impl<Y: Send + 'static, S: Send + 'static> AnyStream for Channel<Y, S> {
    fn opening(&self) -> Opening {
        let mut state = self.state.lock();
        state.owed = 0;
        state.fault = None;
        state.opening = state.opening.wrapping_add(1);
        // Nothing but numbers: answers go to the worker at once.
        drop(state.questions.end());
        // What waits from a run before is owed when it is taken, but for what was taken before.
        let unread = state.queue.len() - state.returned;
        let credit = state.capacity.max(1).saturating_sub(unread);
        Opening { number: state.opening, credit, closed: state.closed }
    }

    fn accept(&self, opening: u32, bytes: &[u8]) -> bool {
        let (items, fault) = match &self.codec {
            Some(codec) => codec.decode_all(bytes),
            None => (VecDeque::new(), Some(no_worker())),
        };
        // Behind the values that came before it: once it has failed, a stream takes no more.
        self.put(self.state.lock(), items);
        let fine = fault.is_none();
        if let Some(error) = fault {
            self.fail(opening, error);
        }
        fine
    }

    fn accept_asked(&self, opening: u32, bytes: &[u8]) -> bool {
        let asked = match &self.codec {
            Some(codec) => codec.decode_asked(bytes),
            None => Err(no_worker()),
        };
        match asked {
            Ok((number, value)) => {
                let mut state = self.state.lock();
                // One who was killed since waits for nothing.
                let asks = state.opening == opening;
                let ticket = asks.then(|| state.questions.ask_from(number));
                self.put(state, VecDeque::from([Item { value, ticket }]));
                true
            }
            Err(error) => {
                self.fail(opening, error);
                false
            }
        }
    }

    fn is_shared(&self) -> bool {
        self.state.lock().readers > 1
    }

    fn wake_producers(&self) {
        let mut state = self.state.lock();
        wake(std::mem::take(&mut state.producers), state);
    }

    fn handle_gone(&self) -> Option<Word> {
        let state = self.state.lock();
        if state.readers == 0 { self.close(state) } else { None }
    }

    fn reopen(&self, job: &dyn AnyJob) {
        let mut state = self.state.lock();
        // With the lock held: the last handle's end closes the stream after this, or was seen here.
        if state.readers > 0 || !job.head().is_unheld() {
            state.closed = false;
        }
    }

    fn set_buffer(&self, values: usize) {
        self.state.lock().capacity = values.min(MOST_BUFFER);
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl<Y, S> fmt::Debug for Channel<Y, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("length", &self.length).finish_non_exhaustive()
    }
}

/// What runs in this process sends and answers no bytes.
fn no_worker() -> JobError {
    JobError::codec("this stream has no worker".into())
}

/// Lets go of the lock, then wakes.
fn wake<Y, S>(threads: Vec<Thread>, state: MutexGuard<'_, State<Y, S>>) {
    drop(state);
    threads.iter().for_each(Thread::unpark);
}

fn pause(look: u32) {
    if look < SPINS {
        (0..1 << look).for_each(|_| std::hint::spin_loop());
    } else {
        std::thread::yield_now();
    }
}
