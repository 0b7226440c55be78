//! What users write where output or a directory is named.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Stands for the job's own cache directory where a path could be: see
/// [`redirect_output`](crate::Job::redirect_output) and [`change_dir`](crate::Job::change_dir).
///
/// ```
/// use executor_engine::prelude::*;
///
/// let engine = Engine::new()?;
/// let write = |mut ctx: JobContext| std::io::Write::write_all(&mut ctx.stdout(), b"hello");
/// let job = ThreadJob::try_new(write, (Context,)).redirect_output(CacheDir);
/// let job = engine.submit(job)?;
/// job.wait()?;
/// assert_eq!(std::fs::read_to_string(job.cache_dir()?.join("stdout.txt")).unwrap(), "hello");
/// # Ok::<(), executor_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheDir;

/// Where a job's output goes: made from [`CacheDir`], from a path for stdout and stderr together,
/// or from a pair of paths, one for each.
///
/// ```
/// use executor_engine::{CacheDir, Redirect};
///
/// let own: Redirect = CacheDir.into(); // stdout.txt and stderr.txt there
/// let one: Redirect = "log/job.log".into();
/// let two: Redirect = ("out.txt", "err.txt").into();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect(pub(super) To);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    Cache,
    Files(PathBuf, PathBuf),
}

/// Which directory a job runs in: made from a path, or from [`CacheDir`].
///
/// ```
/// use executor_engine::{CacheDir, Directory};
///
/// let own: Directory = CacheDir.into();
/// let named: Directory = "data/run-1".into();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory(pub(super) In);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum In {
    Cache,
    Named(PathBuf),
}

impl From<CacheDir> for Redirect {
    fn from(_: CacheDir) -> Self {
        Self(To::Cache)
    }
}

impl From<CacheDir> for Directory {
    fn from(_: CacheDir) -> Self {
        Self(In::Cache)
    }
}

macro_rules! from_paths {
    ($($path:ty),*) => {$(
        impl From<$path> for Redirect {
            fn from(path: $path) -> Self {
                let path = PathBuf::from(path);
                Self(To::Files(path.clone(), path))
            }
        }

        impl From<($path, $path)> for Redirect {
            fn from((stdout, stderr): ($path, $path)) -> Self {
                Self(To::Files(stdout.into(), stderr.into()))
            }
        }

        impl From<$path> for Directory {
            fn from(path: $path) -> Self {
                Self(In::Named(path.into()))
            }
        }
    )*};
}

from_paths!(&str, &OsStr, &Path, &PathBuf, String, OsString, PathBuf);

/// The path, made absolute by the directory that the calling thread is in, without `.` and
/// trailing slashes.
///
/// # Errors
/// Why it is none, in words.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, String> {
    if path.as_os_str().is_empty() {
        return Err("the path is empty: name a file or directory, `.` for the current one".into());
    }
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(format!("the path {path:?} holds a NUL byte, which no path can"));
    }
    match std::path::absolute(path) {
        Ok(whole) => Ok(whole.components().collect()),
        Err(error) => Err(format!(
            "the path {} is relative, and the current directory is not known: {error}",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_or_are_refused() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new("a/./b/")).unwrap(), here.join("a/b"));
        assert_eq!(absolute(Path::new(".")).unwrap(), here);
        assert_eq!(absolute(Path::new("/a/../b")).unwrap(), Path::new("/a/../b"));
        assert!(absolute(Path::new("")).unwrap_err().contains("empty"));
        assert!(absolute(Path::new("a\0b")).unwrap_err().contains("NUL"));
    }
}
