//! The kinds of jobs, as the engine tells them apart.

/// Where a job runs, where it matters to the engine and not to the compiler.
///
/// ```
/// use executor_engine::{JobKind, prelude::*};
///
/// let engine = Engine::new()?;
/// engine.pause_kind(JobKind::Process);
/// engine.resume_kind(JobKind::Process);
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum JobKind {
    /// On the serial lane.
    Local = 0,
    /// On the rayon pool.
    Thread = 1,
    /// On a cached thread outside the pool.
    Blocking = 2,
    /// In a worker process.
    Process = 3,
}

pub(crate) use JobKind as KindId;

impl KindId {
    pub(crate) const COUNT: usize = 4;
    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Local, Self::Thread, Self::Blocking, Self::Process];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Thread => "thread",
            Self::Blocking => "blocking",
            Self::Process => "process",
        }
    }
}
