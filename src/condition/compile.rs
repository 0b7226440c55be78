//! From a condition as written to what the dispatcher works with.
//!
//! What must hold in any case and is about one job each ("after this one and that one") becomes
//! plain edges, as arguments are; only the rest needs a [`Tree`].

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::after::{After, Target, Watched};
use super::clocked::{Asking, Clocked};
use super::parse::ParseError;
use super::statuses::Statuses;
use super::tree::{Builder, Tree};
use super::value::{Condition, Op};
use super::zone::Zone;
use crate::error::{Error, Kind, Result};
use crate::id::JobId;

/// A condition as the dispatcher needs it.
#[derive(Default)]
pub(crate) struct Plan {
    /// Each of these jobs must have ended so.
    pub(crate) edges: SmallVec<[(Named, Statuses); 1]>,
    /// What else must hold.
    pub(crate) tree: Option<Tree>,
    /// The jobs that the tree names.
    pub(crate) named: Vec<Named>,
}

impl Plan {
    /// Every job that the condition names.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Named> {
        self.edges.iter().map(|(named, _)| named).chain(&self.named)
    }
}

/// A job that a condition names.
pub(crate) struct Named {
    pub(crate) id: JobId,
    /// Its key; no job of another process can be waited for.
    pub(crate) key: u64,
    pub(crate) watched: Option<Arc<dyn Watched>>,
}

impl Condition {
    /// Whether the condition makes sense: every clock, weekday, period, time and zone in it. What
    /// [`Engine::submit`](crate::Engine::submit) checks too.
    ///
    /// # Errors
    /// What makes no sense, and what would.
    ///
    /// ```
    /// # use executor_engine::condition::*;
    /// assert!((after_clock("9") & before_clock("17:30")).check().is_ok());
    /// assert!((after_clock("9") & before_clock("5pm")).check().is_err());
    /// ```
    pub fn check(&self) -> Result<()> {
        self.compile(&Zone::utc).map(drop)
    }

    /// The plan of a condition that nobody needs any more; see [`compile`](Self::compile).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn into_plan(mut self, zone: &dyn Fn() -> Zone) -> Result<Plan> {
        // Most conditions: the reference to the job is moved, for its count is busy.
        if let [Op::After(After { jobs, statuses, .. })] = &mut self.ops[..]
            && jobs.len() == 1
            && let Some(Target { id, watched }) = jobs.pop()
        {
            let key = id.count_here().ok_or(Kind::ForeignJob(id))?;
            let edges = smallvec![(Named { id, key, watched }, *statuses)];
            return Ok(Plan { edges, ..Plan::default() });
        }
        self.compile(zone)
    }

    /// The plan; `zone` is asked for the zone of what names none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(&self, zone: &dyn Fn() -> Zone) -> Result<Plan> {
        let mut plan = Plan::default();
        let conjunctive = self.conjunctive();
        let mut tree = Builder::default();
        // A place for each part that is not in a combination yet; `None` became edges.
        let mut open: Vec<Option<u32>> = Vec::new();
        for (op, &must) in self.ops.iter().zip(&conjunctive) {
            let part = match op {
                Op::All(count) | Op::Any(count) => {
                    let all = matches!(op, Op::All(_));
                    let parts: Vec<u32> = open.drain(open.len() - count..).flatten().collect();
                    match parts[..] {
                        [] if must && all => None,
                        [part] => Some(part),
                        _ => Some(tree.combine(&parts, all)),
                    }
                }
                Op::After(after) if must && !(after.any && after.jobs.len() != 1) => {
                    for job in &after.jobs {
                        plan.edges.push((named(job)?, after.statuses));
                    }
                    None
                }
                Op::After(after) => Some(add_after(after, &mut tree, &mut plan)?),
                op => Some(tree.clocked(clocked(op, zone)?)),
            };
            open.push(part);
        }
        if open.pop().flatten().is_some() {
            plan.tree = Some(tree.build());
        }
        Ok(plan)
    }

    /// Of each part, whether the condition as a whole can hold only if it does, by being part of
    /// nothing but alls.
    fn conjunctive(&self) -> Vec<bool> {
        let mut must = vec![false; self.ops.len()];
        // Backwards, a combination comes before its parts.
        let mut open = vec![(1, true)];
        for (at, op) in self.ops.iter().enumerate().rev() {
            while open.last().is_some_and(|&(left, _)| left == 0) {
                open.pop();
            }
            let Some((left, conjunctive)) = open.last_mut() else { break };
            *left -= 1;
            let conjunctive = *conjunctive;
            must[at] = conjunctive;
            match op {
                Op::All(parts) => open.push((*parts, conjunctive)),
                Op::Any(parts) => open.push((*parts, false)),
                _ => {}
            }
        }
        must
    }
}

fn named(job: &Target) -> Result<Named> {
    let key = job.id.count_here().ok_or(Kind::ForeignJob(job.id))?;
    Ok(Named { id: job.id, key, watched: job.watched.clone() })
}

fn add_after(after: &After, tree: &mut Builder, plan: &mut Plan) -> Result<u32> {
    let mut parts = Vec::with_capacity(after.jobs.len());
    for job in &after.jobs {
        let named = named(job)?;
        parts.push(tree.job(named.key, after.statuses));
        plan.named.push(named);
    }
    Ok(match parts[..] {
        [part] => part,
        _ => tree.combine(&parts, !after.any),
    })
}

fn invalid(text: impl Into<String>) -> Error {
    Kind::InvalidCondition(text.into()).into()
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        invalid(error.to_string())
    }
}

fn clocked(op: &Op, default: &dyn Fn() -> Zone) -> Result<Clocked> {
    Ok(match op {
        Op::Timepoint { from: Some(from), until: Some(until) } if from >= until => {
            return Err(invalid(format!(
                "between_timepoint({from}, {until}) is empty: the first moment must come before \
                 the second"
            )));
        }
        Op::Timepoint { from: None, until: None } => {
            return Err(invalid("a condition on time points names none"));
        }
        Op::Timepoint { from, until } => Clocked::Timepoint { from: *from, until: *until },
        Op::Delay(delay) => Clocked::Delay(*delay),
        Op::Every(period) if period.as_duration().is_zero() => {
            return Err(invalid(
                "every(0s) has no moments: give a period longer than nothing, e.g. \"10s\"",
            ));
        }
        Op::Every(period) => Clocked::Every { period: *period, next: None },
        Op::Civil { civil, zone } => {
            civil.check()?;
            let zone = match zone {
                Some(name) => Zone::named(name)?,
                None => default(),
            };
            Clocked::Civil(*civil, zone)
        }
        Op::Custom(custom) => Clocked::Custom(Asking::new(custom.clone())),
        Op::Invalid(text) => return Err(invalid(text.clone())),
        Op::All(_) | Op::Any(_) | Op::After(_) => unreachable!("handled by the caller"),
    })
}
