//! Output, directory and log of jobs whose function this program calls, here or in a worker.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::builder::Job;
use super::context::JobContext;
use super::handle::JobHandle;
use super::head::Head;
use super::local::Local;
use super::process::Process;
use super::thread::Thread;
use crate::error::{Error, Kind, Result};
use crate::files::{self, Cache, Directory, JobWriter, Redirect, Surroundings};

/// The kinds whose jobs call a function of this program: [`Local`], [`Thread`], [`Process`].
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Job, RunsFunction};
/// # let engine = Engine::new()?;
/// fn kept<K: RunsFunction, T>(job: Job<K, T>) -> Job<K, T> { job.redirect_output(CacheDir) }
///
/// let job = engine.submit(kept(ThreadJob::new(|| 1, ())))?;
/// assert!(job.stdout_path().is_some());
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub trait RunsFunction: sealed::Sealed {}

/// The kinds whose jobs run in the engine's own process: [`Local`], [`Thread`].
///
/// ```
/// # use executor_engine::prelude::*;
/// # use executor_engine::{Job, RunsHere};
/// # let engine = Engine::new()?;
/// fn logged<K: RunsHere, T>(job: Job<K, T>) -> Job<K, T> {
///     job.redirect_output(CacheDir).capture_log()
/// }
/// let job = engine.submit(logged(LocalJob::new(|| 1, ())))?;
/// assert!(job.stderr_path().is_some());
/// # Ok::<(), executor_engine::Error>(())
/// ```
pub trait RunsHere: RunsFunction {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Local {}
    impl Sealed for super::Thread {}
    impl Sealed for super::Process {}
}

impl RunsFunction for Local {}
impl RunsFunction for Thread {}
impl RunsFunction for Process {}
impl RunsHere for Local {}
impl RunsHere for Thread {}

impl<K: RunsFunction, T> Job<K, T> {
    /// Sends the job's output to files: `stdout.txt` and `stderr.txt` in the job's own
    /// [cache directory](JobContext::cache_dir), if `to` is [`CacheDir`](crate::CacheDir); or one
    /// file for both; or a pair of files.
    ///
    /// * For a process job that is all that its worker process writes to stdout and stderr while
    ///   the job runs: by Rust and C code, by other threads, the message of a panic, the last words
    ///   of a crash; and what child processes write, as long as they live. What a thread
    ///   that outlives the job prints later goes where the worker's output goes then, perhaps to
    ///   the next job's file: give jobs that leave threads behind a
    ///   [process of their own](Job::fresh_process).
    /// * For thread and local jobs it is what they write to [`JobContext::stdout`] and
    ///   [`JobContext::stderr`], for the process's own streams are everybody's.
    ///
    /// If its function returns an error or panics, its stderr says so. Files are appended to, so
    /// retries and reruns follow each other, and jobs can share one; new ones are made for this
    /// user alone, directories above them likewise. [`JobHandle::stdout_path`] says where they are.
    ///
    /// Relative paths are taken against the current directory when the job is submitted. A path
    /// that is none is refused then; a file that cannot be written to fails the job
    /// ([no place](crate::JobError::is_no_place)) before its function is called.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn speak() { println!("hello") }
    ///
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ProcessJob::new(speak, ()).redirect_output(CacheDir))?;
    /// job.wait()?;
    /// assert_eq!(std::fs::read_to_string(job.stdout_path().unwrap()).unwrap(), "hello\n");
    ///
    /// let refused = ProcessJob::new(speak, ()).redirect_output("");
    /// assert!(engine.submit(refused).unwrap_err().is_invalid_path());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn redirect_output(mut self, to: impl Into<Redirect>) -> Self {
        self.surroundings().output = Some(to.into());
        self
    }

    /// Runs the job in that directory; [`CacheDir`](crate::CacheDir) stands for the job's own
    /// [cache directory](JobContext::cache_dir).
    ///
    /// A process job's worker changes into it for the job, and back afterwards. A thread or local
    /// job's thread does the same: it has a current directory of its own for that
    /// (`unshare(CLONE_FS)`, which needs no privileges, but some sandboxes refuse it), so that no
    /// other thread is affected. Threads that the job starts are in its directory, too, and stay
    /// there; other threads of the pool, which work on a job's `par_iter`, are not. (The file mode
    /// mask goes with the directory: such a thread keeps the one that it had.) A job that this
    /// one waits for and that runs on the same thread sees its own directory. But parts of other
    /// jobs' `par_iter`s that rayon runs on this thread, while this job waits in rayon, see this
    /// one's: where that matters, make this job [`blocking`](Job::blocking).
    ///
    /// A relative path is taken against the current directory when the job is submitted. A path
    /// that is none is refused then; a directory that is not there when the job is to run fails it
    /// ([no place](crate::JobError::is_no_place)).
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::path::Path;
    /// # let engine = Engine::new()?;
    /// let here = std::env::current_dir().unwrap();
    /// let there = ThreadJob::try_new(std::env::current_dir, ()).change_dir("/");
    /// assert_eq!(engine.submit(there)?.result()?, Path::new("/"));
    /// assert_eq!(std::env::current_dir().unwrap(), here);
    ///
    /// let nowhere = ThreadJob::new(|| (), ()).change_dir("/no/such/directory");
    /// let error = engine.submit(nowhere)?.result().unwrap_err();
    /// assert!(error.is_no_place() && error.message().contains("/no/such/directory"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn change_dir(mut self, to: impl Into<Directory>) -> Self {
        self.surroundings().directory = Some(to.into());
        self
    }

    fn surroundings(&mut self) -> &mut Surroundings {
        self.meta_mut().surroundings.get_or_insert_default()
    }
}

impl<K: RunsHere, T> Job<K, T> {
    /// Writes what is logged on the job's thread while it runs to the job's
    /// [stderr](JobContext::stderr), too: if the program's logger is a
    /// [`JobLogger`](crate::logging::JobLogger), which see.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::new(|| log::info!("begun"), ());
    /// engine.submit(job.redirect_output(CacheDir).capture_log())?.result()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn capture_log(mut self) -> Self {
        self.surroundings().capture_log = true;
        self
    }
}

/// The cache of the job's engine, until that has ended.
pub(super) fn cache_of(head: &Head) -> Option<Arc<Cache>> {
    files::cache_of(head.engine()?.number())
}

impl JobContext {
    /// A directory of the job's own, for what it wants to keep: made when first asked for, for
    /// this user alone, below the [engine's](crate::Engine::cache_dir), whose lifetime it has.
    /// It is the same for all attempts and reruns.
    ///
    /// # Errors
    /// It cannot be made; it, or the engine's, was there and is a symbolic link or somebody
    /// else's.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// #[task]
    /// fn keep(ctx: JobContext, text: String) -> std::io::Result<()> {
    ///     std::fs::write(ctx.cache_dir()?.join("kept.txt"), text)
    /// }
    ///
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ProcessJob::new(keep, (Context, "x".to_owned())))?;
    /// job.result()?;
    /// assert_eq!(std::fs::read(job.cache_dir()?.join("kept.txt")).unwrap(), b"x");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn cache_dir(&self) -> io::Result<PathBuf> {
        if let Some(bytes) = self.cache_from_afar() {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            files::make_job_directory(&path)?;
            return Ok(path);
        }
        match self.job().and_then(|job| cache_of(job.head())) {
            Some(cache) => cache.make_for(self.id()),
            None => Err(io::Error::other("the job's engine has ended")),
        }
    }

    /// The job's stdout: the file that [`redirect_output`](Job::redirect_output) names, else the
    /// process's own.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::io::Write;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::try_new(|ctx: JobContext| writeln!(ctx.stdout(), "hello"), (Context,));
    /// let job = engine.submit(job.redirect_output(CacheDir))?;
    /// job.result()?;
    /// assert_eq!(std::fs::read(job.stdout_path().unwrap()).unwrap(), b"hello\n");
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stdout(&self) -> JobWriter {
        JobWriter::stdout_of(self.job().and_then(|job| job.head().surroundings()))
    }

    /// The job's stderr, likewise.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// use std::io::Write;
    /// # let engine = Engine::new()?;
    /// let job = ThreadJob::try_new(|ctx: JobContext| writeln!(ctx.stderr(), "oh"), (Context,));
    /// engine.submit(job.redirect_output(CacheDir))?.result()?;
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stderr(&self) -> JobWriter {
        JobWriter::stderr_of(self.job().and_then(|job| job.head().surroundings()))
    }
}

impl<T> JobHandle<T> {
    /// The job's own directory; see [`JobContext::cache_dir`].
    ///
    /// # Errors
    /// As there; [shut down](Error::is_shut_down) if the engine has ended.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| (), ()))?;
    /// assert!(job.cache_dir()?.starts_with(engine.cache_dir()?));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn cache_dir(&self) -> Result<PathBuf> {
        let cache = cache_of(self.job().head()).ok_or(Kind::ShutDown)?;
        cache
            .make_for(self.id())
            .map_err(|error| Error::io("the job's cache directory cannot be had", error))
    }

    /// The file that the job's stdout goes to, if [`redirect_output`](Job::redirect_output) was
    /// called on it. It is there when the job has begun.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # use std::path::Path;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| (), ()).redirect_output("/dev/null"))?;
    /// assert_eq!(job.stdout_path(), Some(Path::new("/dev/null")));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stdout_path(&self) -> Option<&Path> {
        self.job().head().surroundings()?.place().stdout()
    }

    /// The file that the job's stderr goes to, likewise.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let engine = Engine::new()?;
    /// let job = engine.submit(ThreadJob::new(|| (), ()).redirect_output(CacheDir))?;
    /// assert!(job.stderr_path().unwrap().ends_with("stderr.txt"));
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn stderr_path(&self) -> Option<&Path> {
        self.job().head().surroundings()?.place().stderr()
    }
}
