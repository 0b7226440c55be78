//! What a job asked for, and what that came to.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::cache::Cache;
use super::paths::{Directory, In, Redirect, To, absolute};
use super::private;
use crate::id::JobId;
use crate::wire::codec;

/// What a job asked for; boxed apart, for few jobs do.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) output: Option<Redirect>,
    pub(crate) directory: Option<Directory>,
    pub(crate) capture_log: bool,
    place: Place,
    /// While the job runs in this process.
    open: Mutex<Option<Output>>,
}

/// Where a job is to run, and where its output goes: absolute paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The job's cache directory, if that is to be made first.
    own: Option<PathBuf>,
    pub(super) directory: Option<PathBuf>,
    /// For stdout and stderr.
    output: Option<[PathBuf; 2]>,
    /// Of the environment; in a worker process only.
    pub(super) variables: Vec<(String, String)>,
}

/// A place on its way to a worker: paths are bytes.
type Wired = (Option<Vec<u8>>, Option<Vec<u8>>, Option<[Vec<u8>; 2]>, Vec<(String, String)>);

/// Open files for stdout and stderr.
pub(super) type Output = [Arc<File>; 2];

impl Surroundings {
    /// Settles what paths mean: when the job is submitted.
    ///
    /// # Errors
    /// What is wrong with one of them, in words.
    pub(crate) fn settle(&mut self, cache: &Cache, job: JobId) -> Result<(), String> {
        let own = cache.path_of(job);
        let mut place = Place::default();
        place.output = match &self.output {
            None => None,
            Some(Redirect(To::Cache)) => {
                place.own = Some(own.clone());
                Some(["stdout.txt", "stderr.txt"].map(|name| own.join(name)))
            }
            Some(Redirect(To::Files(stdout, stderr))) => {
                Some([absolute(stdout)?, absolute(stderr)?])
            }
        };
        place.directory = match &self.directory {
            None => None,
            Some(Directory(In::Cache)) => {
                place.own = Some(own.clone());
                Some(own)
            }
            Some(Directory(In::Named(path))) => Some(absolute(path)?),
        };
        self.place = place;
        Ok(())
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The open file for stdout (0) or stderr (1), while the job runs; opened once more for
    /// those who come later. `None` if the job did not ask for one.
    pub(super) fn stream(&self, which: usize) -> Option<io::Result<Arc<File>>> {
        if let Some(open) = &*self.open.lock() {
            return Some(Ok(Arc::clone(&open[which])));
        }
        let path = &self.place.output.as_ref()?[which];
        Some(self.place.open(path).map(Arc::new))
    }

    /// Opens the job's files until [`close`](Self::close).
    pub(super) fn open(&self) -> io::Result<()> {
        let output = self.place.open_output()?;
        *self.open.lock() = output.map(|files| files.map(Arc::new));
        Ok(())
    }

    pub(super) fn close(&self) {
        self.open.lock().take();
    }

    /// Writes to the job's file for stderr why it has no result.
    pub(crate) fn complain(&self, why: &dyn std::fmt::Display) {
        if let Some(Ok(file)) = self.stream(1) {
            let _ = (&*file).write_all(format!("{why}\n").as_bytes());
        }
    }
}

impl Place {
    /// The same place with these variables in the environment.
    pub(crate) fn with_variables(&self, variables: Vec<(String, String)>) -> Self {
        Self { variables, ..self.clone() }
    }

    /// Where stdout goes.
    pub(crate) fn stdout(&self) -> Option<&Path> {
        self.output.as_ref().map(|[stdout, _]| &**stdout)
    }

    /// Where stderr goes.
    pub(crate) fn stderr(&self) -> Option<&Path> {
        self.output.as_ref().map(|[_, stderr]| &**stderr)
    }

    /// The most that is taken of the end of the file for stderr.
    const TAIL: u64 = 4096;

    /// The end of the file for stderr, if that is an ordinary file.
    pub(crate) fn stderr_end(&self) -> Option<Vec<u8>> {
        let path = self.stderr()?;
        // Opening anything else may have effects, or block.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(Self::TAIL))).ok()?;
        let mut end = Vec::new();
        file.take(Self::TAIL).read_to_end(&mut end).ok()?;
        Some(end)
    }

    /// Makes the job's own directory, if it is needed.
    pub(super) fn make_own(&self) -> io::Result<()> {
        self.own.as_deref().map_or(Ok(()), private::make_job_directory)
    }

    /// Opens the files for stdout and stderr.
    pub(super) fn open_output(&self) -> io::Result<Option<[File; 2]>> {
        let Some([stdout, stderr]) = &self.output else { return Ok(None) };
        Ok(Some([self.open(stdout)?, self.open(stderr)?]))
    }

    /// Opens a file to append to: what is there stays, and two who write to one file do not
    /// overwrite each other.
    fn open(&self, path: &Path) -> io::Result<File> {
        let mut flags = libc::O_NOCTTY;
        if self.own.as_deref().is_some_and(|own| path.parent() == Some(own)) {
            // Nothing in there is meant to lead elsewhere.
            flags |= libc::O_NOFOLLOW;
        } else if let Some(parent) = path.parent() {
            private::make_parents(parent)?;
        }
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true).mode(0o600).custom_flags(flags);
        options.open(path).map_err(|error| private::about(path, "cannot be written to", &error))
    }

    /// Appends the place, with its length before it, to a request.
    ///
    /// # Errors
    /// It does not encode.
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), codec::CodecError> {
        let bytes = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        let wired: Wired = (
            self.own.as_ref().map(bytes),
            self.directory.as_ref().map(bytes),
            self.output.as_ref().map(|[stdout, stderr]| [bytes(stdout), bytes(stderr)]),
            self.variables.clone(),
        );
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        codec::encode(&wired, out)?;
        let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    /// Splits off what [`put`](Self::put) has put.
    pub(crate) fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (place, rest) = rest.split_at_checked(length)?;
        let (own, directory, output, variables) = codec::decode::<Wired>(place).ok()?;
        let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
        let place = Self {
            own: own.map(path),
            directory: directory.map(path),
            output: output.map(|files| files.map(path)),
            variables,
        };
        Some((place, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_the_way() {
        let odd = PathBuf::from(OsString::from_vec(b"/\xFF/x".to_vec()));
        let place = Place {
            own: None,
            directory: Some(odd.clone()),
            output: Some([odd, PathBuf::from("/err")]),
            variables: vec![("A".into(), "0,1".into())],
        };
        let mut bytes = Vec::new();
        place.put(&mut bytes).unwrap();
        bytes.extend_from_slice(b"args");
        assert_eq!(Place::split(&bytes).unwrap(), (place, &b"args"[..]));
        assert!(Place::split(&bytes[..7]).is_none());
        assert!(Place::split(b"").is_none());
    }
}
