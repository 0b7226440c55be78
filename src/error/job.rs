//! Why a job has no result: [`JobError`], typed, cheap to clone, with predicates.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::death::WorkerDeath;
use super::reason::CancelReason;
use crate::id::JobId;
use crate::status::Status;

/// Why a job has no result.
///
/// Opaque, with a predicate and accessors for each reason, so that reasons can be added
/// without breaking users. Cloning shares the same error.
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let job = engine.submit(ThreadJob::try_new(|| "x1".parse::<u32>(), ()))?;
/// let error = job.result().unwrap_err();
/// assert!(error.is_failure());
/// assert_eq!(error.message(), "invalid digit found in string");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct JobError(Arc<Kind>);

/// The boxed error of a job's function, as any error type converts into it.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
enum Kind {
    /// The function returned `Err`.
    Failure { message: String, source: Option<BoxError> },
    /// The function panicked.
    Panic(PanicInfo),
    /// The job was called off.
    Cancelled(CancelReason),
    /// The job, or its last attempt, took longer than this.
    TimedOut(Duration),
    /// The worker process ended while it ran the job.
    WorkerDied(WorkerDeath),
    /// No worker process could be had.
    NoWorker(String),
    /// The job's directory or a file for its output could not be had.
    NoPlace(String),
    /// Arguments or the result could not be encoded or decoded.
    Codec(String),
    /// The job is not finished, and what it waits for cannot happen by itself.
    Stalled(String),
    /// The result was moved out by `take`.
    Taken,
}

/// What a panic said and where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PanicInfo {
    /// The panic's message.
    pub(crate) message: String,
    /// `file:line:column`, if known.
    pub(crate) location: Option<String>,
}

impl JobError {
    /// The function returned this error.
    pub(crate) fn failure(error: BoxError) -> Self {
        Self(Arc::new(Kind::Failure { message: chain_text(error.as_ref()), source: Some(error) }))
    }

    /// The function in another process returned an error with this text.
    pub(crate) fn failure_text(message: String) -> Self {
        Self(Arc::new(Kind::Failure { message, source: None }))
    }

    pub(crate) fn panic(info: PanicInfo) -> Self {
        Self(Arc::new(Kind::Panic(info)))
    }

    /// The result of that job is not there: it was run again, or this one was and never had it.
    pub(crate) fn without_argument(id: JobId, status: Status) -> Self {
        let message = format!("job {id}, whose result it needs, has none: it is {status} by now");
        Self(Arc::new(Kind::Failure { message, source: None }))
    }

    pub(crate) fn condition_panicked(mut info: PanicInfo) -> Self {
        info.message = format!("in the job's condition: {}", info.message);
        Self::panic(info)
    }

    pub(crate) fn cancelled(reason: CancelReason) -> Self {
        Self(Arc::new(Kind::Cancelled(reason)))
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self(Arc::new(Kind::TimedOut(limit)))
    }

    pub(crate) fn worker_died(death: WorkerDeath) -> Self {
        Self(Arc::new(Kind::WorkerDied(death)))
    }

    pub(crate) fn no_worker(why: String) -> Self {
        Self(Arc::new(Kind::NoWorker(why)))
    }

    pub(crate) fn no_place(why: String) -> Self {
        Self(Arc::new(Kind::NoPlace(why)))
    }

    pub(crate) fn codec(what: String) -> Self {
        Self(Arc::new(Kind::Codec(what)))
    }

    pub(crate) fn stalled(why: String) -> Self {
        Self(Arc::new(Kind::Stalled(why)))
    }

    pub(crate) fn taken() -> Self {
        Self(Arc::new(Kind::Taken))
    }

    /// The function returned `Err`.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::try_new(|| "x".parse::<u8>(), ()))?;
    /// assert!(job.result().unwrap_err().is_failure());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(*self.0, Kind::Failure { .. })
    }

    /// The function panicked.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| [1, 2][std::hint::black_box(2)], ()))?;
    /// assert!(job.result().unwrap_err().is_panic());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(*self.0, Kind::Panic(_))
    }

    /// The job was called off; [`cancel_reason`](Self::cancel_reason) says by what.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// engine.pause();
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// job.cancel();
    /// assert!(job.result().unwrap_err().is_cancelled());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.0, Kind::Cancelled(_))
    }

    /// The job, or its last attempt, took longer than its timeout allows.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::time::Duration;
    /// # let engine = Engine::new()?;
    /// let sleeps = |ctx: JobContext| ctx.sleep(Duration::from_secs(5)); // wakes when it is to stop
    /// let job = ThreadJob::try_new(sleeps, (Context,)).timeout(Duration::from_millis(2));
    /// assert!(engine.submit(job)?.result().unwrap_err().is_timed_out());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        matches!(*self.0, Kind::TimedOut(_))
    }

    /// The worker process ended, or was dropped, while it ran the job.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// #[task]
    /// fn leave() { std::process::exit(3) }
    ///
    /// let error = engine.submit(ProcessJob::new(leave, ()))?.result().unwrap_err();
    /// assert!(error.is_worker_died());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_worker_died(&self) -> bool {
        matches!(*self.0, Kind::WorkerDied(_))
    }

    /// No worker process could be started: the message says why and what to do.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn one() -> u8 { 1 }
    ///
    /// let engine = Engine::builder().worker_exe("/bin/false").build()?;
    /// let error = engine.submit(ProcessJob::new(one, ()))?.result().unwrap_err();
    /// assert!(error.is_no_worker());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_no_worker(&self) -> bool {
        matches!(*self.0, Kind::NoWorker(_))
    }

    /// The directory that the job was to run in, or a file for its output, could not be had: the
    /// message says which and why. The function was not called.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| 1, ()).change_dir("/dev/null/below"))?;
    /// assert!(job.result().unwrap_err().is_no_place());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_no_place(&self) -> bool {
        matches!(*self.0, Kind::NoPlace(_))
    }

    /// Arguments or the result could not be encoded or decoded.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn zeros(n: usize) -> Vec<u8> { vec![0; n] }
    ///
    /// let engine = Engine::builder().max_message_bytes(1 << 16).build()?;
    /// let job = engine.submit(ProcessJob::new(zeros, (1 << 20,)))?;
    /// assert!(job.result().unwrap_err().is_codec()); // more than may travel
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_codec(&self) -> bool {
        matches!(*self.0, Kind::Codec(_))
    }

    /// The job is not finished, and nothing that the engine has can make it ready.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let never = ThreadJob::new(|| 1, ());
    /// let job = engine.submit(ThreadJob::new(|x: i32| x, (never.output(),)))?;
    /// assert!(job.result().unwrap_err().is_stalled()); // `never` is not submitted
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        matches!(*self.0, Kind::Stalled(_))
    }

    /// The result was moved out by [`JobHandle::take`](crate::JobHandle::take).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| "text".to_owned(), ()))?;
    /// assert_eq!(job.take()?, "text");
    /// assert!(job.result().unwrap_err().is_taken());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(*self.0, Kind::Taken)
    }

    /// Whether an error of that type is among what made the function fail.
    pub(crate) fn is_caused_by<E: StdError + 'static>(&self) -> bool {
        let mut next: Option<&(dyn StdError + 'static)> = self.source();
        while let Some(error) = next {
            if error.is::<E>() {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// The error's or panic's own words, without the frame that `Display` puts around them.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::try_new(|| Err::<(), _>("no luck"), ()))?;
    /// let error = job.result().unwrap_err();
    /// assert_eq!(error.message(), "no luck");
    /// assert_eq!(error.to_string(), "the job failed: no luck");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn message(&self) -> String {
        match &*self.0 {
            Kind::Failure { message, .. } => message.clone(),
            Kind::Panic(info) => info.message.clone(),
            _ => self.to_string(),
        }
    }

    /// `file:line:column` of the panic, if the job panicked and the place is known.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| [1, 2][std::hint::black_box(2)], ()))?;
    /// assert!(job.result().unwrap_err().panic_location().unwrap().contains(".rs:"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn panic_location(&self) -> Option<&str> {
        match &*self.0 {
            Kind::Panic(info) => info.location.as_deref(),
            _ => None,
        }
    }

    /// Why the job was cancelled, if it was.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use executor_engine::CancelReason;
    /// # let engine = Engine::new()?;
    /// engine.pause();
    /// let job = engine.submit(ThreadJob::new(|| 1, ()))?;
    /// job.cancel();
    /// let error = job.result().unwrap_err();
    /// assert_eq!(error.cancel_reason(), Some(&CancelReason::Requested));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn cancel_reason(&self) -> Option<&CancelReason> {
        match &*self.0 {
            Kind::Cancelled(reason) => Some(reason),
            _ => None,
        }
    }

    /// The number of the signal that ended the worker process.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// #[task]
    /// fn abort() { std::process::abort() }
    ///
    /// let error = engine.submit(ProcessJob::new(abort, ()))?.result().unwrap_err();
    /// assert_eq!((error.signal(), error.exit_code()), (Some(6), None)); // SIGABRT
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.death().and_then(|death| death.signal)
    }

    /// The exit code of the worker process, if it exited by itself.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// #[task]
    /// fn leave() { std::process::exit(3) }
    ///
    /// let error = engine.submit(ProcessJob::new(leave, ()))?.result().unwrap_err();
    /// assert_eq!((error.exit_code(), error.signal()), (Some(3), None));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        self.death().and_then(|death| death.exit_code)
    }

    /// Peak resident memory of the worker process that died, in bytes.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// #[task]
    /// fn leave() { std::process::exit(3) }
    ///
    /// let error = engine.submit(ProcessJob::new(leave, ()))?.result().unwrap_err();
    /// assert!(error.peak_memory().unwrap() > 4096);
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        self.death().and_then(|death| death.peak_memory)
    }

    /// The last lines that the worker process wrote to stderr before it died.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// #[task]
    /// fn leave() {
    ///     eprintln!("last words");
    ///     std::process::exit(3)
    /// }
    ///
    /// let error = engine.submit(ProcessJob::new(leave, ()))?.result().unwrap_err();
    /// assert_eq!(error.stderr_tail(), Some("last words\n"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stderr_tail(&self) -> Option<&str> {
        self.death().map(|death| death.stderr_tail.as_str())
    }

    fn death(&self) -> Option<&WorkerDeath> {
        match &*self.0 {
            Kind::WorkerDied(death) => Some(death),
            _ => None,
        }
    }
}

/// An error and its sources in one line.
pub(crate) fn chain_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many errors repeat their source in their own text; say it once.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Failure { message, .. } => write!(f, "the job failed: {message}"),
            Kind::Panic(PanicInfo { message, location: Some(location) }) => {
                write!(f, "the job panicked at {location}: {message}")
            }
            Kind::Panic(PanicInfo { message, location: None }) => {
                write!(f, "the job panicked: {message}")
            }
            Kind::Cancelled(reason) => write!(f, "the job was cancelled: {reason}"),
            Kind::TimedOut(limit) => write!(f, "the job took longer than its timeout of {limit:?}"),
            Kind::WorkerDied(death) => fmt::Display::fmt(death, f),
            Kind::NoWorker(why) => write!(f, "no worker process: {why}"),
            Kind::NoPlace(why) => write!(f, "the job was not begun: {why}"),
            Kind::Codec(what) => f.write_str(what),
            Kind::Stalled(why) => write!(f, "the job cannot start: {why}"),
            Kind::Taken => {
                f.write_str("the result was moved out by `take` before: use `result` to share it")
            }
        }
    }
}

impl StdError for JobError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Kind::Failure { source: Some(source), .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_sources_is_told_once() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bad port")
            }
        }
        impl StdError for Outer {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer("".parse::<u8>().unwrap_err());
        assert_eq!(
            JobError::failure(Box::new(error)).message(),
            "bad port: cannot parse integer from empty string"
        );
    }

    #[test]
    fn a_death_says_all_it_knows() {
        let error = JobError::worker_died(WorkerDeath {
            signal: Some(9),
            peak_memory: Some(2048),
            stderr_tail: "boom\n".into(),
            ..WorkerDeath::default()
        });
        assert_eq!(
            error.to_string(),
            "the worker process died by signal 9 (SIGKILL); peak memory 2 KiB; last on stderr: boom"
        );
    }
}
