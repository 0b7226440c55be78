//! [`Reader`]: the reading end of a stream, and what a handle of a stream can do.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::any::Word;
use super::channel::Channel;
use super::producer::Stream;
use super::travel::Item;
use crate::error::{CancelReason, JobError};
use crate::job::builder::Job;
use crate::job::cell::AnyJob;
use crate::job::handle::JobHandle;

/// Reads a stream: an iterator over its values, made by [`JobHandle::iter`].
///
/// It gives the values in the order in which they were sent, then, if the job failed or was
/// cancelled, its error, then `None`. When it gives `None`, the job is finished; but where nothing
/// can make the job ready, it gives a [stalled](JobError::is_stalled) error and one `None`, and then
/// waits anew. A job that is
/// [retried](crate::Job::retries) or [rerun](JobHandle::rerun) goes on with the values of the new
/// run: nothing that was sent is lost, and the producer is not asked to repeat itself.
///
/// When the last reader is dropped, the producer's next `send` fails, and the job ends. Clones share
/// one stream: each value goes to one of them.
///
/// Reading inside another job of the same engine keeps that engine going, as
/// [`JobHandle::wait`] does.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let numbers = |out: Yield<u32>| -> Result<(), JobError> {
///     let _ = out.send(1);
///     let _ = out.send(2);
///     panic!("no more")
/// };
/// let job = engine.submit(ThreadJob::try_stream(numbers, ()))?;
/// let mut reader = job.iter();
/// assert_eq!(reader.next().unwrap()?, 1);
/// assert_eq!(reader.next().unwrap()?, 2);
/// assert_eq!(reader.next().unwrap().unwrap_err().message(), "no more");
/// assert!(reader.next().is_none());
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub struct Reader<Y: Send + 'static, S: Send + 'static = ()> {
    job: Arc<dyn AnyJob>,
    channel: Arc<Channel<Y, S>>,
    /// Taken and not passed on yet.
    batch: VecDeque<Item<Y>>,
    /// The number of the value that was passed on last, if an answer is wanted.
    question: Option<u32>,
    /// The run whose error was passed on.
    told: Option<u32>,
    /// The last wait was in vain.
    vain: bool,
}

impl<Y: Send + 'static, S: Send + 'static> Reader<Y, S> {
    fn new(job: Arc<dyn AnyJob>, channel: Arc<Channel<Y, S>>) -> Self {
        channel.add_reader();
        Self { job, channel, batch: VecDeque::new(), question: None, told: None, vain: false }
    }

    /// Answers the value that was read last, and waits for the next one, as the iterator's `next`
    /// does. If that value was sent [without asking](super::Yield::send), or this is the first call,
    /// the answer is dropped.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let echo = |out: Yield<String, String>| {
    ///     let mut text = "start".to_owned();
    ///     while let Some(answer) = out.ask(text)? {
    ///         text = answer.to_uppercase();
    ///     }
    ///     Ok(())
    /// };
    /// let job = engine.submit(ThreadJob::stream(echo, ()))?;
    /// let mut reader = job.iter();
    /// assert_eq!(reader.next().unwrap()?, "start");
    /// assert_eq!(reader.send("hey".into()).unwrap()?, "HEY");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn send(&mut self, answer: S) -> Option<Result<Y, JobError>> {
        self.pull(Some(answer))
    }

    fn pull(&mut self, answer: Option<S>) -> Option<Result<Y, JobError>> {
        if std::mem::take(&mut self.vain) {
            return None;
        }
        self.answer(answer);
        if let Some(item) = self.batch.pop_front() {
            return Some(Ok(self.pass_on(item)));
        }
        loop {
            if let Some(value) = self.take() {
                return Some(Ok(value));
            }
            let run = self.job.head().run();
            if self.job.head().status().is_finished() {
                // What was sent before the end is there by now.
                if let Some(value) = self.take() {
                    return Some(Ok(value));
                }
                let error = self.job.error();
                // Unless it runs again, that is how this run ended.
                if self.job.head().run() == run {
                    return self.end(run, error);
                }
            }
            if self.channel.linger() {
                continue;
            }
            if let Err(error) = self.wait() {
                self.vain = true;
                return Some(Err(error));
            }
        }
    }

    fn take(&mut self) -> Option<Y> {
        let taken = self.channel.take(&mut self.batch)?;
        if let Some(word) = taken.credit {
            self.tell(word);
        }
        Some(self.pass_on(taken.first))
    }

    fn pass_on(&mut self, item: Item<Y>) -> Y {
        self.question = item.ticket;
        item.value
    }

    fn answer(&mut self, answer: Option<S>) {
        if let Some(ticket) = self.question.take()
            && let Some(word) = self.channel.answer(ticket, answer)
        {
            self.tell(word);
        }
    }

    /// The error of this run, once; then nothing.
    fn end(&mut self, run: u32, error: Option<JobError>) -> Option<Result<Y, JobError>> {
        if self.told.replace(run) == Some(run) {
            return None;
        }
        error.map(Err)
    }

    /// Waits until there is, or was, a value or the job is finished.
    fn wait(&self) -> Result<(), JobError> {
        let Some(link) = self.job.head().link() else {
            // An engine finishes its jobs before it goes.
            return match self.job.head().status().is_finished() {
                true => Ok(()),
                false => Err(JobError::cancelled(CancelReason::Shutdown)),
            };
        };
        let me = std::thread::current();
        if !self.channel.enlist(&me) {
            return Ok(());
        }
        let enough = || self.channel.has_values() || !self.channel.is_enlisted(&me);
        let waited = link.read_job(&self.job, &enough);
        self.channel.delist(&me);
        waited.map_err(|error| JobError::stalled(error.to_string()))
    }

    fn tell(&self, word: Word) {
        if let Some(link) = self.job.head().link() {
            link.tell_stream(&self.job, word);
        }
    }
}

impl<Y: Send + 'static, S: Send + 'static> Iterator for Reader<Y, S> {
    type Item = Result<Y, JobError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pull(None)
    }
}

/// Both read the same stream: each value goes to one of them.
impl<Y: Send + 'static, S: Send + 'static> Clone for Reader<Y, S> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.job), Arc::clone(&self.channel))
    }
}

impl<Y: Send + 'static, S: Send + 'static> Drop for Reader<Y, S> {
    fn drop(&mut self) {
        // Whoever reads on must not wait for an answer that cannot come.
        self.answer(None);
        if let Some(word) = self.channel.drop_reader(&mut self.batch) {
            self.tell(word);
        }
    }
}

impl<Y: Send + 'static, S: Send + 'static> fmt::Debug for Reader<Y, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("job", &self.job.head().id()).finish_non_exhaustive()
    }
}

impl<Y: Send + 'static, S: Send + 'static> JobHandle<Stream<Y, S>> {
    /// Reads the stream. When this reader and all others of the stream are dropped, the producer
    /// ends; so does one whose handles are all dropped and that nobody reads.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let count = |out: Yield<u32>, n: u32| (0..n).try_for_each(|i| out.send(i));
    /// let job = engine.submit(ThreadJob::stream(count, (3,)))?;
    /// for (i, value) in (0..).zip(job.iter()) {
    ///     assert_eq!(value?, i);
    /// }
    /// assert_eq!(job.status(), Status::Done);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn iter(&self) -> Reader<Y, S> {
        let job: Arc<dyn AnyJob> = Arc::clone(self.job()).into_any_job();
        let channel = job.head().stream().map(|stream| Arc::clone(stream).into_any());
        let channel = channel.and_then(|stream| stream.downcast().ok());
        Reader::new(job, channel.expect("a stream's job has a channel of its types"))
    }
}

impl<Y: Send + 'static, S: Send + 'static> IntoIterator for &JobHandle<Stream<Y, S>> {
    type Item = Result<Y, JobError>;
    type IntoIter = Reader<Y, S>;

    fn into_iter(self) -> Reader<Y, S> {
        self.iter()
    }
}

impl<K, Y: Send + 'static, S: Send + 'static> Job<K, Stream<Y, S>> {
    /// How many values may wait for the reader. Default: 16.
    ///
    /// With 0 the stream is strictly pulled: the producer goes on from a value when a reader comes
    /// for the next one, so the two never run at once. Otherwise the producer is at most that many
    /// values ahead of what the reader has taken; a single reader takes all that wait at once.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let count = |out: Yield<u32>, n: u32| (0..n).try_for_each(|i| out.send(i));
    /// let job = engine.submit(ThreadJob::stream(count, (3,)).buffer(0))?;
    /// for value in &job {
    ///     value?;
    ///     assert_eq!(job.status(), Status::Running); // waits to be asked for the next one
    /// }
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn buffer(mut self, values: usize) -> Self {
        if let Some(stream) = &self.meta_mut().stream {
            stream.set_buffer(values);
        }
        self
    }
}
