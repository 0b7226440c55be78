//! What the settings of an engine come to for its dispatcher, and whether they make sense.

use std::time::Duration;

use super::builder::EngineBuilder;
use crate::dispatcher::{Limits, Names, Rates};
use crate::error::{Kind, Result};
use crate::job::KindId;

/// How many jobs are handed to a pool beyond those that it executes, so that it need not wait
/// for the dispatcher between two jobs.
const WINDOW: usize = 1024;
/// The same for process jobs, per worker.
const WINDOW_PER_WORKER: usize = 64;

impl EngineBuilder {
    /// What the settings come to for the dispatcher.
    pub(super) fn limits(&self) -> (Limits, Names) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut rates = Rates::default();
        for &(kind, starts, per) in &self.kind_rates {
            let rate = rates.add(starts, nanos(per));
            rates.set_kind(kind, rate);
        }
        let tags = self
            .tag_rates
            .iter()
            .map(|(tag, starts, per)| (tag.clone(), rates.add(*starts, nanos(*per))));
        let names = Names { tags: tags.collect(), resources: self.resources.clone() };
        let mut per_kind = [0; KindId::COUNT];
        per_kind[KindId::Local as usize] = 1;
        per_kind[KindId::Thread as usize] = self.max_thread_jobs;
        per_kind[KindId::Blocking as usize] = self.max_blocking_jobs;
        per_kind[KindId::Process as usize] = self.max_process_jobs;
        let mut window = [0; KindId::COUNT];
        window[KindId::Local as usize] = WINDOW;
        window[KindId::Thread as usize] = WINDOW;
        window[KindId::Process as usize] = self.max_process_jobs.saturating_mul(WINDOW_PER_WORKER);
        let limits = Limits {
            max_jobs: self.max_jobs,
            per_kind,
            window,
            ageing: nanos(self.priority_ageing),
            resources: self.resources.iter().map(|&(_, units)| units).collect(),
            rates,
        };
        (limits, names)
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// One does not.
    pub(super) fn check(&self) -> Result<()> {
        let settings = [
            ("max_jobs", self.max_jobs.unwrap_or(1), "no job could ever run"),
            ("max_thread_jobs", self.max_thread_jobs, "no thread job could ever run"),
            ("max_blocking_jobs", self.max_blocking_jobs, "no blocking job could ever run"),
            ("max_process_jobs", self.max_process_jobs, "no process job could ever run"),
            (
                "max_jobs_per_worker",
                self.max_jobs_per_worker.unwrap_or(1) as usize,
                "no worker could ever serve",
            ),
            ("max_message_bytes", self.max_message_bytes, "no message could ever pass"),
            ("thread_stack_bytes", self.thread_stack_bytes, "no function could ever be called"),
        ];
        let rates = self.kind_rates.iter().map(|&(_, _, per)| per);
        let mut rates = rates.chain(self.tag_rates.iter().map(|&(_, _, per)| per));
        if rates.any(|per| per.is_zero()) {
            let text = "a rate limit per no time limits nothing: give a time, e.g. a second";
            return Err(Kind::InvalidSetting(text.into()).into());
        }
        if self.priority_ageing.is_zero() {
            let text = "priority_ageing is 0, so priorities would mean nothing: give a time";
            return Err(Kind::InvalidSetting(text.into()).into());
        }
        let starts = self.kind_rates.iter().map(|&(_, starts, _)| starts);
        let starts = starts.chain(self.tag_rates.iter().map(|&(_, starts, _)| starts));
        let least = starts.min().unwrap_or(1) as usize;
        let rates = [("a rate limit", least, "no such job could ever start")];
        match settings.into_iter().chain(rates).find(|&(_, value, _)| value == 0) {
            None => Ok(()),
            Some((name, _, so)) => {
                Err(Kind::InvalidSetting(format!("{name} is 0, so {so}: give at least 1")).into())
            }
        }
    }
}
