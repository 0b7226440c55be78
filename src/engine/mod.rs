//! The front door: it checks what comes in, sends it on, and decides nothing.

mod builder;
mod cache;
mod context;
mod control;
mod front;
mod jobs;
mod limits;

pub use builder::EngineBuilder;
pub use front::{Engine, Shutdown, Stats};
pub use jobs::Jobs;
