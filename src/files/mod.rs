//! Files and directories of engines and jobs.
//!
//! What a job asks for ([`paths`]) is checked and made absolute when it is submitted
//! ([`surroundings`]), and put in place where the job runs, just before it does: around the call
//! on a thread ([`thread`]), around the request in a worker process ([`process`]).
//!
//! | module | holds |
//! |---|---|
//! | [`paths`] | what users write: `CacheDir`, `Redirect`, `Directory` |
//! | [`surroundings`] | what a job asked for; [`Place`], what that came to, which also travels to workers |
//! | [`private`] | directories that nobody else can have put there or look into |
//! | [`cache`] | the cache directories of engines, and of the jobs below them |
//! | [`thread`] | a job's place on a thread: directory of the thread, files, log |
//! | [`process`] | a job's place in a worker process: directory, stdout, stderr of the process |
//! | [`writer`] | what a job's function writes through |

mod cache;
mod paths;
mod private;
mod process;
mod surroundings;
mod thread;
mod writer;

pub use paths::{CacheDir, Directory, Redirect};
pub use writer::{JobWriter, Tee};

pub(crate) use cache::{Cache, cache_of, forget_cache};
pub(crate) use paths::absolute;
pub(crate) use private::make_job_directory;
pub(crate) use process::{InPlace, is_lost};
pub(crate) use surroundings::{Place, Surroundings};
pub(crate) use thread::{
    captured, come_home, is_capturing, is_plain, program_directory, run_in_place, settle_new_thread,
};
