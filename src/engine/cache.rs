//! The engine's cache directory, as users see it.

use std::path::PathBuf;

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
