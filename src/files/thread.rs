//! A job's place on a thread: the directory of the thread, its files, its log.
//!
//! The threads of a process share one current directory until one of them leaves
//! (`unshare(CLONE_FS)`), which threads may do without privileges. A thread of the engine does so
//! when it first gets a job that wants a directory. From then on it has to be led: into such a
//! job's directory, and before every other job into the program's, which may change meanwhile and
//! which it no longer follows by itself.
//!
//! A new thread shares with the thread that starts it, not with the program. So once a thread has
//! left, every new thread of an engine leaves as well, and goes home; those that run no jobs, but
//! callbacks and custom conditions, do so again before each of them. And since users' code may start
//! threads, a thread leaves once more before each change: those stay where they are.
//!
//! Jobs are nested where one waits for another and runs it itself, and where rayon runs one
//! inside another's waiting. The inner one then has its own place, and the outer one's is
//! restored.

use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, fchdir};

use super::private;
use super::surroundings::Surroundings;
use super::writer::JobWriter;
use crate::id::JobId;
use crate::record::record;
use crate::sys;

/// This thread has a directory of its own.
const APART: u8 = 1;
/// The job that this thread runs has its log captured.
const CAPTURING: u8 = 2;

thread_local! {
    static FLAGS: Cell<u8> = const { Cell::new(0) };
    static LOG: RefCell<Option<JobWriter>> = const { RefCell::new(None) };
}

/// Some thread has had a directory of its own.
static ANY_APART: AtomicBool = AtomicBool::new(false);

/// Whether a job that asks for nothing can just be run on this thread.
pub(crate) fn is_plain() -> bool {
    FLAGS.get() == 0
}

/// Called first on a new thread of an engine, whatever it does: it is not to stay in the directory
/// of the job that happened to start it.
pub(crate) fn settle_new_thread() {
    if ANY_APART.load(Ordering::Relaxed) {
        // It is refused to one thread and granted to another only by a filter of system calls
        // that came meanwhile; then the thread stays with the one that started it.
        let _ = leave_the_others().and_then(|()| go_home());
    }
}

/// Called on a thread that runs no jobs, before what may call foreign code: if it no longer follows
/// the program into its directory, it is brought there. Next to no cost else.
pub(crate) fn come_home() {
    if FLAGS.get() & APART == 0 {
        return;
    }
    if let Err(error) = leave_the_others().and_then(|()| go_home()) {
        record!(
            Error,
            "executor_engine::job",
            "a thread of the engine cannot follow the program into its directory: {error}"
        );
    }
}

/// The directory that the program is in, whatever the calling thread does: that of its first
/// thread.
pub(crate) fn program_directory() -> io::Result<OwnedFd> {
    if ANY_APART.load(Ordering::Relaxed) {
        open_directory(Path::new("/proc/self/cwd"))
    } else {
        current_directory()
    }
}

/// The directory that the calling thread is in, even if it has no name any more.
pub(super) fn current_directory() -> io::Result<OwnedFd> {
    sys::working_directory()
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY);
    Ok(options.open(path)?.into())
}

/// From here on this thread changes no other's directory. Next to no cost if that is so already.
fn leave_the_others() -> io::Result<()> {
    unshare(CloneFlags::CLONE_FS)?;
    ANY_APART.store(true, Ordering::Relaxed);
    FLAGS.set(FLAGS.get() | APART);
    Ok(())
}

/// Runs that job on this thread in its place: what it asked for, or, if that is nothing, the
/// program's directory and no captured log. `nested`: inside another job.
///
/// # Errors
/// Its place cannot be had; the error names the path. `f` was not called.
pub(crate) fn run_in_place<R>(
    job: JobId,
    surroundings: Option<&Surroundings>,
    nested: bool,
    f: impl FnOnce() -> R,
) -> io::Result<R> {
    let _files = surroundings.map(Files::open).transpose()?;
    let directory = surroundings.and_then(|wanted| wanted.place().directory.as_deref());
    let _inside = Inside::enter(job, directory, nested)?;
    let log = surroundings.filter(|wanted| wanted.capture_log);
    let _capture = Capture::begin(log.map(|wanted| JobWriter::stderr_of(Some(wanted))));
    Ok(f())
}

/// The job's files are open.
struct Files<'a>(&'a Surroundings);

impl<'a> Files<'a> {
    fn open(surroundings: &'a Surroundings) -> io::Result<Self> {
        surroundings.place().make_own()?;
        surroundings.open()?;
        Ok(Self(surroundings))
    }
}

impl Drop for Files<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// This thread is in the directory of a job.
struct Inside {
    job: JobId,
    back: Back,
}

/// Where it goes afterwards.
enum Back {
    /// Nowhere: it shares the program's.
    Stays,
    /// To the program's.
    Home,
    /// To the outer job's.
    Outer(OwnedFd),
}

impl Inside {
    fn enter(job: JobId, wanted: Option<&Path>, nested: bool) -> io::Result<Self> {
        if wanted.is_none() && FLAGS.get() & APART == 0 {
            return Ok(Self { job, back: Back::Stays });
        }
        leave_the_others().map_err(|error| {
            let text = format!(
                "a thread may not have a directory of its own here: unshare(CLONE_FS): {error}"
            );
            io::Error::new(error.kind(), text)
        })?;
        let back = if nested { Back::Outer(current_directory()?) } else { Back::Home };
        let inside = Self { job, back };
        // If this fails, the drop of `inside` puts things right.
        match wanted {
            Some(path) => chdir(path)
                .map_err(|error| private::about(path, "cannot be changed into", &error.into()))?,
            None => go_home()?,
        }
        Ok(inside)
    }
}

fn go_home() -> io::Result<()> {
    let home = program_directory()?;
    fchdir(&home).map_err(|error| {
        io::Error::new(
            io::Error::from(error).kind(),
            format!("the program's directory cannot be changed into: {error}"),
        )
    })
}

impl Drop for Inside {
    fn drop(&mut self) {
        let back = match &self.back {
            Back::Stays => return,
            Back::Home => leave_the_others().and_then(|()| go_home()),
            Back::Outer(outer) => {
                leave_the_others().and_then(|()| fchdir(&*outer).map_err(Into::into))
            }
        };
        if let Err(error) = back {
            record!(
                Error,
                "executor_engine::job",
                "a thread cannot go back to the directory it was in before job {}: {error}",
                self.job
            );
        }
    }
}

/// Records that are logged on this thread go to a job's writer, or to none.
struct Capture(Option<JobWriter>);

impl Capture {
    fn begin(to: Option<JobWriter>) -> Self {
        Self(swap(to))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(swap(self.0.take()));
    }
}

fn swap(to: Option<JobWriter>) -> Option<JobWriter> {
    let flags = FLAGS.get() & !CAPTURING;
    FLAGS.set(if to.is_some() { flags | CAPTURING } else { flags });
    LOG.try_with(|log| log.replace(to)).unwrap_or(None)
}

/// Whether records that are logged on this thread go to a job's writer.
pub(crate) fn is_capturing() -> bool {
    FLAGS.get() & CAPTURING != 0
}

/// Calls `f` with the writer that records logged on this thread go to, if there is one.
pub(crate) fn captured(f: impl FnOnce(&mut JobWriter)) {
    if is_capturing()
        && let Ok(Some(mut writer)) = LOG.try_with(|log| log.borrow().clone())
    {
        f(&mut writer);
    }
}
