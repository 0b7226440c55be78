//! What happens to jobs, told as it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use crate::id::JobId;
use crate::info::Progress;
use crate::status::Status;

/// Something that happened to a job.
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::JobEvent;
/// # let engine = Engine::new()?;
/// let events = engine.events();
/// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
/// let end = events.iter().find_map(|event| match event {
///     JobEvent::Finished { id, status } => Some((id, status)),
///     _ => None,
/// });
/// assert_eq!(end, Some((job.id(), Status::Done)));
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum JobEvent {
    /// It was submitted.
    Submitted {
        /// The job.
        id: JobId,
    },
    /// An attempt has begun.
    Started {
        /// The job.
        id: JobId,
        /// Which attempt: 1 for the first.
        attempt: u32,
    },
    /// It told how far it is.
    Progress {
        /// The job.
        id: JobId,
        /// What it said.
        progress: Progress,
    },
    /// An attempt has failed, and another one will follow.
    Retrying {
        /// The job.
        id: JobId,
        /// The attempt that failed.
        attempt: u32,
        /// Why it failed.
        error: String,
    },
    /// It has ended, and is to run once more.
    Rerun {
        /// The job.
        id: JobId,
    },
    /// It has ended: its handles say so, too, and did so just before.
    Finished {
        /// The job.
        id: JobId,
        /// How.
        status: Status,
    },
}

impl JobEvent {
    /// The job that it is about.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let events = engine.events();
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// assert_eq!(events.recv().unwrap().id(), job.id());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> JobId {
        match self {
            Self::Submitted { id }
            | Self::Started { id, .. }
            | Self::Progress { id, .. }
            | Self::Retrying { id, .. }
            | Self::Rerun { id }
            | Self::Finished { id, .. } => *id,
        }
    }
}

/// The events of an engine since this was made by [`Engine::events`](crate::Engine::events).
///
/// It holds a limited number of events that were not read yet. If the reader falls behind, the
/// engine does not wait: further events are dropped, and counted by [`missed`](Self::missed).
/// Reading ends with the engine.
///
/// ```
/// use executor_engine::{JobEvent, prelude::*};
///
/// let engine = Engine::new()?;
/// let events = engine.events();
/// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
/// engine.wait()?;
/// drop(engine);
/// let id = job.id();
/// assert_eq!(
///     events.iter().collect::<Vec<_>>(),
///     [
///         JobEvent::Submitted { id },
///         JobEvent::Started { id, attempt: 1 },
///         JobEvent::Finished { id, status: Status::Done },
///     ]
/// );
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Events {
    receiver: Receiver<JobEvent>,
    missed: Arc<AtomicU64>,
}

impl Events {
    /// Blocks until there is an event; `None` once the engine has ended and all were read.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let events = engine.events();
    /// drop(engine);
    /// assert_eq!(events.recv(), None);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn recv(&self) -> Option<JobEvent> {
        self.receiver.recv().ok()
    }

    /// Blocks until there is an event, or the time is up, or the engine has ended and all were
    /// read.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// # let engine = Engine::new()?;
    /// assert_eq!(engine.events().recv_timeout(Duration::from_millis(1)), None);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<JobEvent> {
        self.receiver.recv_timeout(timeout).ok()
    }

    /// The next event, if there is one now.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// assert_eq!(engine.events().try_recv(), None);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn try_recv(&self) -> Option<JobEvent> {
        self.receiver.try_recv().ok()
    }

    /// All events, waiting for each, to the engine's end.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let events = engine.events();
    /// std::thread::spawn(move || events.iter().for_each(|event| println!("{event:?}")));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = JobEvent> + '_ {
        self.receiver.iter()
    }

    /// The receiver itself, for `crossbeam::select!` beside other channels.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// assert!(engine.events().receiver().is_empty());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn receiver(&self) -> &Receiver<JobEvent> {
        &self.receiver
    }

    /// How many events were dropped, because nobody read them in time.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let events = engine.events_with_capacity(1);
    /// engine.submit_all((0..10).map(|i| ThreadJob::new(move || i, ())))?;
    /// engine.wait()?;
    /// assert_eq!(events.missed(), 29);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }
}

/// The other end of [`Events`].
pub(crate) struct Subscriber {
    sender: Sender<JobEvent>,
    missed: Arc<AtomicU64>,
}

/// Both ends, for so many events that were not read.
pub(crate) fn subscription(capacity: usize) -> (Subscriber, Events) {
    let (sender, receiver) = bounded(capacity);
    let missed = Arc::new(AtomicU64::new(0));
    (Subscriber { sender, missed: Arc::clone(&missed) }, Events { receiver, missed })
}

impl Subscriber {
    /// Tells an event, if there is room; false if nobody will ever read it.
    pub(crate) fn tell(&self, event: JobEvent) -> bool {
        match self.sender.try_send(event) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}
