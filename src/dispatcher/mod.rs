//! Who decides when a job runs.
//!
//! | module | holds |
//! |---|---|
//! | [`message`] | events in, effects out |
//! | [`core`] | the state machine: `handle(event, now) → effects`, pure |
//! | [`node`], [`table`], [`ready`], [`graph`] | its parts: a job, jobs by key, queues and permits, questions about the graph |
//! | [`baton`] | whose turn it is |
//! | [`run`] | the inbox, carrying out effects, the dispatcher thread |
//! | [`wait`], [`sleepers`] | threads that wait |
//! | [`shutdown`] | the end |
//! | [`invariants`], [`simulation`] | what must always hold, and a million random steps of it |

mod baton;
mod core;
mod graph;
#[cfg(test)]
mod invariants;
mod message;
mod node;
mod ready;
mod run;
mod shutdown;
#[cfg(test)]
mod simulation;
mod sleepers;
mod table;
mod wait;

use crate::sync;

pub(crate) use core::Core;
pub(crate) use message::{Refusal, Submission, Upstream};
pub(crate) use ready::Limits;
pub(crate) use run::{Backends, Dispatcher, Payload};
