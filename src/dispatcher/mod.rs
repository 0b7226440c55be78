//! Who decides when a job runs.
//!
//! | module | holds |
//! |---|---|
//! | [`message`] | events in, effects out |
//! | [`core`] | the state machine: `handle(event, now) → effects`, pure |
//! | [`node`], [`edge`], [`table`], [`graph`] | its parts: a job, who waits for whom, jobs by key, questions about the graph |
//! | [`ready`], [`ranked`], [`demands`] | who may go next: queues and permits, priorities, resources and rates |
//! | [`waiting`], [`running`], [`rules`] | jobs that wait, jobs that run, what these say of their attempts |
//! | [`wheel`] | timers |
//! | [`explain`] | what a job waits for, in words |
//! | [`baton`] | whose turn it is |
//! | [`alarm`] | what the dispatcher thread sleeps on |
//! | [`errands`], [`asker`] | threads for foreign code; custom conditions |
//! | [`observers`] | who wants to hear of events |
//! | [`submit`] | the way in |
//! | [`run`], [`reports`], [`carry`] | the dispatcher thread, the inbox; carrying out effects |
//! | [`wait`], [`sleepers`] | threads that wait |
//! | [`shutdown`] | the end |
//! | [`invariants`], [`simulation`] | what must always hold, and a million random steps of it |

mod alarm;
mod asker;
mod baton;
mod carry;
mod core;
mod demands;
mod edge;
mod errands;
mod explain;
mod graph;
#[cfg(test)]
mod invariants;
mod key;
mod message;
mod node;
mod observers;
mod ranked;
mod ready;
mod reports;
mod rules;
mod run;
mod running;
mod shutdown;
#[cfg(test)]
mod simulation;
mod sleepers;
mod submit;
mod table;
mod turn;
mod verdict;
mod wait;
mod waiting;
mod wheel;

use crate::sync;

pub(crate) use core::Core;
pub(crate) use demands::{Impossible, Names, Rates};
pub(crate) use message::{Need, Nested, Refusal, Submission};
pub(crate) use ready::Limits;
pub(crate) use rules::{Attempts, Rules};
pub(crate) use run::{Backends, Dispatcher, Payload};
pub(crate) use shutdown::Patience;
