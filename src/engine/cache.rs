//! The engine's cache directory, as users see it.

use std::path::PathBuf;

use super::builder::EngineBuilder;
use super::front::Engine;
use crate::error::{Error, Result};

impl Engine {
    /// The directory in which the jobs' own cache directories are, made if it is not there: see
    /// [`EngineBuilder::cache_dir`](crate::EngineBuilder::cache_dir), also for how long it stays.
    ///
    /// # Errors
    /// It cannot be made; it was there, and is a symbolic link, somebody else's, or everybody's
    /// to write to.
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// let engine = Engine::new()?;
    /// let dir = engine.cache_dir()?;
    /// assert_eq!(engine.cache_dir()?, dir);
    /// drop(engine);
    /// assert!(!dir.exists());
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    pub fn cache_dir(&self) -> Result<PathBuf> {
        self.cache()
            .make()
            .map_err(|error| Error::io("the engine's cache directory cannot be had", error))
    }
}

impl EngineBuilder {
    /// Where the jobs' cache directories go, one each: for output that is
    /// [redirected](crate::Job::redirect_output) there, and for whatever else a job
    /// [keeps](crate::JobContext::cache_dir). A relative path is taken against the current
    /// directory when the engine is built.
    ///
    /// It is made when something first goes into it, for this user alone, and never removed. One
    /// that is there is refused if it is a symbolic link, belongs to somebody else, or can be
    /// written to by everybody. Engines may share one.
    ///
    /// Default: a directory with an unpredictable name in [`std::env::temp_dir`], which is
    /// removed, with all that is in it, at the engine's end: when its last [`Engine`] is dropped.
    /// (A process that is killed, or exits without that, leaves it behind.)
    ///
    /// ```
    /// # use executor_engine::prelude::*;
    /// # let dir = std::env::temp_dir().join(format!("cache-doc-{}", std::process::id()));
    /// let engine = Engine::builder().cache_dir(&dir).build()?;
    /// assert_eq!(engine.cache_dir()?, dir);
    /// # std::fs::remove_dir_all(&dir).unwrap();
    /// # Ok::<(), executor_engine::Error>(())
    /// ```
    #[must_use]
    pub fn cache_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(directory.into());
        self
    }
}
