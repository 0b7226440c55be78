//! The cache directories of engines, and of the jobs below them.
//!
//! An engine's directory is named by the user, or gets an unpredictable name in the system's
//! directory for temporary files when it is first asked for. It is made when something is to go
//! into it, by the engine or by one of its workers. Only the second sort is removed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use uuid::Uuid;

use super::private;
use crate::id::JobId;
use crate::record::record;

/// An engine's cache directory. With the last reference a directory that was not named by the
/// user is removed.
#[derive(Debug)]
pub(crate) struct Cache {
    named: Option<PathBuf>,
    fresh: OnceLock<PathBuf>,
}

/// The cache directories of engines that have not ended, by the engines' numbers.
static CACHES: RwLock<BTreeMap<u64, Arc<Cache>>> = RwLock::new(BTreeMap::new());

/// The cache directory of that engine, until it has ended.
pub(crate) fn cache_of(engine: u64) -> Option<Arc<Cache>> {
    CACHES.read().get(&engine).cloned()
}

/// That engine has ended.
pub(crate) fn forget_cache(engine: u64) {
    let cache = CACHES.write().remove(&engine);
    // Its drop removes files: without the lock.
    drop(cache);
}

impl Cache {
    /// The one of the engine with that number, until [`forget_cache`]. `named` is absolute.
    pub(crate) fn register(engine: u64, named: Option<PathBuf>) -> Arc<Self> {
        let cache = Arc::new(Self { named, fresh: OnceLock::new() });
        CACHES.write().insert(engine, Arc::clone(&cache));
        cache
    }

    fn root(&self) -> &Path {
        self.named.as_deref().unwrap_or_else(|| {
            self.fresh.get_or_init(|| {
                let name = format!("executor-engine-{}", Uuid::new_v4().simple());
                // Absolute whatever TMPDIR says: workers may be elsewhere.
                let path = std::env::temp_dir().join(name);
                std::path::absolute(&path).unwrap_or(path)
            })
        })
    }

    /// The engine's directory, made if it is not there.
    pub(crate) fn make(&self) -> io::Result<PathBuf> {
        let root = self.root();
        private::make_root(root)?;
        Ok(root.to_owned())
    }

    /// Where that job's directory is, or would be.
    pub(crate) fn path_of(&self, job: JobId) -> PathBuf {
        self.root().join(job.to_string())
    }

    /// The directory of that job, made if it is not there.
    pub(crate) fn make_for(&self, job: JobId) -> io::Result<PathBuf> {
        let path = self.path_of(job);
        private::make_job_directory(&path)?;
        Ok(path)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let Some(fresh) = self.fresh.get() else { return };
        match std::fs::remove_dir_all(fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => record!(
                Warn,
                "executor_engine::engine",
                "the cache directory {} could not be removed: {error}",
                fresh.display()
            ),
            _ => {}
        }
    }
}
