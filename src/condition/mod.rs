//! When a job may run: conditions on other jobs, on time, and of one's own.
//!
//! A [`Condition`] is a value, made by the functions below, combined with `&` and `|`, and given
//! to a job by [`Job::condition`](crate::Job::condition):
//!
//! ```
//! use executor_engine::prelude::*;
//! use executor_engine::condition::*;
//!
//! let engine = Engine::new()?;
//! let a = engine.submit(ThreadJob::new(|| 1, ()))?;
//! let b = engine.submit(ThreadJob::new(|| 2, ()))?;
//! let job = ThreadJob::new(|| 3, ())
//!     .condition(after_delay("5ms") & (after_another(&a).done() | after_another(&b)));
//! assert_eq!(engine.submit(job)?.result()?, 3);
//! # Ok::<(), executor_engine::Error>(())
//! ```
//!
//! | of | condition |
//! |---|---|
//! | jobs | [`after_another`], [`after_others`]; narrowed by [`done`](Condition::done), [`failed`](Condition::failed), [`cancelled`](Condition::cancelled), [`statuses`](Condition::statuses), [`any`](Condition::any) |
//! | time points | [`after_timepoint`], [`before_timepoint`], [`between_timepoint`] |
//! | time passing | [`after_delay`], [`every`] |
//! | the clock on the wall | [`after_clock`], [`before_clock`], [`between_clock`]; in a [`zone`](Condition::zone) |
//! | the calendar | [`after_weekday`], [`before_weekday`], [`between_weekday`]; in a [`zone`](Condition::zone) |
//! | conditions | `&`, `\|`, [`all_satisfied`], [`any_satisfied`] |
//! | your own | [`custom`] |
//!
//! # What holds when
//!
//! * A job becomes ready at the first moment at which its arguments are there and its condition
//!   holds as a whole. Jobs that ended count as ended from then on; clocks and weekdays come and
//!   go, and must hold at that moment.
//! * A condition that can no longer come true (`after_another(a).done()` when `a` failed,
//!   `before_timepoint` in the past, a Monday that is to be a Tuesday) cancels its job, with
//!   [the reason](crate::CancelReason::Unsatisfiable).
//! * Nothing is polled but [`custom`] conditions: a job that ends touches those that wait for it,
//!   and time wakes the engine at the next moment at which a condition changes.
//! * [`explain`](crate::JobHandle::explain) says what a job still waits for.

mod after;
mod civil;
mod clock;
mod clocked;
mod compile;
mod custom;
mod parse;
mod period;
mod statuses;
mod time;
mod timepoint;
mod tree;
mod value;
mod weekday;
mod words;
mod zone;

pub use after::{NamesJob, after_another, after_others};
pub use clock::Clock;
pub use custom::{Custom, JobsView, custom};
pub use parse::ParseError;
pub use period::Period;
pub use time::{
    after_clock, after_delay, after_timepoint, after_weekday, before_clock, before_timepoint,
    before_weekday, between_clock, between_timepoint, between_weekday, every,
};
pub use timepoint::Timepoint;
pub use value::{Condition, all_satisfied, any_satisfied};
pub use weekday::Weekday;

pub(crate) use after::{Target, Watched};
pub(crate) use compile::{Named, Plan};
pub(crate) use custom::Viewed;
pub(crate) use statuses::Statuses;
pub(crate) use tree::{Question, Tree};
pub(crate) use zone::Zone;
