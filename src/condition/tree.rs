//! A nested condition at work: what of it holds, and what still can.
//!
//! Each part holds or does not; can hold some time by the mere passing of time (or by a custom
//! condition's answer), or not before a job ends; or can never hold again. A combination counts
//! its parts by these, so that a part that changes costs a step per level, and a condition on a
//! million jobs costs no more per job than one on two. Nothing here recurses.

use super::clocked::{Clocked, Says, nanos, next_multiple};
use super::custom::Custom;
use super::statuses::Statuses;
use crate::clock::Moment;
use crate::status::Status;

/// The key of a job in its engine; see `dispatcher::message`.
type Key = u64;

/// A part's value, a bit each.
pub(super) const HOLDS: u8 = 1;
/// Holds, or will by time alone, as far as can be known.
const LIVE: u8 = 2;
/// Will not hold any more.
pub(super) const NEVER: u8 = 4;

/// A nested condition of one pending job.
#[derive(Debug)]
pub(crate) struct Tree {
    /// In postfix order: the root comes last.
    pub(super) parts: Box<[Part]>,
    /// Which parts are about which job, in the order of the keys.
    pub(super) jobs: Box<[(Key, u32)]>,
    pub(super) clocked: Box<[ClockedPart]>,
    /// When the job was submitted.
    pub(super) submitted: u64,
    /// The whole has changed its value since this was last asked.
    news: bool,
}

#[derive(Debug)]
pub(super) struct Part {
    /// The combination that it is part of; itself for the root.
    pub(super) parent: u32,
    pub(super) value: u8,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    All(Counts),
    Any(Counts),
    Job { statuses: Statuses, ended: Option<Status> },
    Clocked,
}

/// How many parts a combination has, and how many have each value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    parts: u32,
    holds: u32,
    live: u32,
    never: u32,
}

#[derive(Debug)]
pub(super) struct ClockedPart {
    pub(super) part: u32,
    pub(super) what: Clocked,
}

/// A custom condition that is to be asked now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// To be given back with the answer.
    pub(crate) number: u32,
    pub(crate) custom: Custom,
}

impl Tree {
    /// How many jobs it names, each as often as it names it.
    pub(crate) fn job_count(&self) -> usize {
        self.jobs.len()
    }

    /// The job of that place in the order of keys, if it is not known to have ended.
    pub(crate) fn open_job(&self, place: usize) -> Option<Key> {
        let &(key, part) = self.jobs.get(place)?;
        matches!(self.parts[part as usize].what, What::Job { ended: None, .. }).then_some(key)
    }

    /// The jobs that are not known to have ended, in order, each once.
    pub(crate) fn open_jobs(&self) -> impl Iterator<Item = Key> + '_ {
        let mut last = None;
        (0..self.jobs.len())
            .filter_map(|place| self.open_job(place))
            .filter(move |key| last.replace(*key) != Some(*key))
    }

    /// Whether it holds, as of the last [`update`](Self::update).
    pub(crate) fn holds(&self) -> bool {
        self.root() & HOLDS != 0
    }

    /// Whether it holds, or will by time alone as far as can be known.
    pub(crate) fn is_live(&self) -> bool {
        self.root() & LIVE != 0
    }

    /// Whether it can never hold any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.root() & NEVER != 0
    }

    fn root(&self) -> u8 {
        self.parts.last().map_or(NEVER, |root| root.value)
    }

    /// The job was submitted: time counts from now on.
    pub(crate) fn begin(&mut self, moment: Moment) {
        self.submitted = moment.now;
        for clocked in &mut self.clocked {
            if let Clocked::Custom(asking) = &mut clocked.what {
                asking.next = moment.now;
            }
        }
    }

    /// That job has ended so; true if a part can never hold any more by that.
    pub(crate) fn job_ended(&mut self, key: Key, status: Status) -> bool {
        let mut worse = false;
        let from = self.jobs.partition_point(|&(other, _)| other < key);
        for place in from..self.jobs.len() {
            let (other, part) = self.jobs[place];
            if other != key {
                break;
            }
            let What::Job { statuses, ended } = &mut self.parts[part as usize].what else {
                continue;
            };
            *ended = Some(status);
            let value = if statuses.contains(status) { HOLDS | LIVE } else { NEVER };
            worse |= value == NEVER;
            self.set(part, value);
        }
        worse
    }

    /// Whether the whole has changed its value since this was last asked. While it has not, the end
    /// of a job is no reason to look at all the clocks.
    pub(crate) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Looks at the clocks. Moments of `every` that have come since the last look are held until
    /// [`end_moments`](Self::end_moments), if it is their `turn`; else they are over.
    pub(crate) fn update(&mut self, moment: Moment, turn: bool) {
        for at in 0..self.clocked.len() {
            let submitted = self.submitted;
            let ClockedPart { part, what } = &mut self.clocked[at];
            let part = *part;
            let value = if let Clocked::Every { period, next } = what {
                let due = next.is_some_and(|next| next <= moment.now);
                if next.is_none_or(|next| next <= moment.now) {
                    *next = Some(next_multiple(*period, submitted, moment.now));
                }
                if due && turn { HOLDS | LIVE } else { LIVE }
            } else {
                value_of(what.at(moment, submitted))
            };
            self.set(part, value);
        }
    }

    /// The moments of `every` are over.
    pub(crate) fn end_moments(&mut self) {
        for at in 0..self.clocked.len() {
            if matches!(self.clocked[at].what, Clocked::Every { .. }) {
                self.set(self.clocked[at].part, LIVE);
            }
        }
    }

    /// When the clocks are to be looked at again: if the job could run, as soon as a part
    /// changes; else when one can never hold any more.
    pub(crate) fn next_look(&self, moment: Moment, could_run: bool) -> Option<u64> {
        self.clocked
            .iter()
            .filter_map(|clocked| {
                let says = clocked.what.at(moment, self.submitted);
                if could_run { says.until } else { says.ends }
            })
            .min()
    }

    /// The custom conditions that are to be asked now; they count as asked.
    pub(crate) fn questions(&mut self, now: u64, mut ask: impl FnMut(Question)) {
        for (number, clocked) in (0..).zip(&mut self.clocked) {
            if let Clocked::Custom(asking) = &mut clocked.what
                && !asking.asked
                && asking.next <= now
            {
                asking.asked = true;
                ask(Question { number, custom: asking.custom.clone() });
            }
        }
    }

    /// The custom conditions that it holds.
    pub(crate) fn into_customs(self) -> Vec<Custom> {
        let clocked = self.clocked.into_iter();
        clocked
            .filter_map(|clocked| match clocked.what {
                Clocked::Custom(asking) => Some(asking.custom),
                _ => None,
            })
            .collect()
    }

    /// A custom condition has answered.
    pub(crate) fn answered(&mut self, number: u32, answer: bool, now: u64) {
        let Some(ClockedPart { what: Clocked::Custom(asking), part }) =
            self.clocked.get_mut(number as usize)
        else {
            return;
        };
        asking.asked = false;
        asking.answer = answer;
        asking.next = now.saturating_add(nanos(asking.custom.interval()));
        let part = *part;
        self.set(part, if answer { HOLDS | LIVE } else { LIVE });
    }

    /// Whether it depends on the wall clock.
    pub(crate) fn is_of_the_wall(&self) -> bool {
        self.clocked.iter().any(|clocked| clocked.what.is_of_the_wall())
    }

    /// Gives a part its value, and its combinations theirs.
    fn set(&mut self, part: u32, value: u8) {
        let mut at = part as usize;
        let mut value = value;
        loop {
            let part = &mut self.parts[at];
            let old = std::mem::replace(&mut part.value, value);
            let parent = part.parent as usize;
            if old == value {
                return;
            }
            if parent == at {
                self.news = true;
                return;
            }
            let combination = &mut self.parts[parent].what;
            if let What::All(counts) | What::Any(counts) = combination {
                counts.exchange(old, value);
            }
            value = combination.value();
            at = parent;
        }
    }

    /// Whether some moment can come at which it holds, if all jobs end as wanted and custom
    /// conditions say yes. Parts that each hold at times may never do so together, such as the
    /// afternoon of one weekday and the morning of another.
    ///
    /// Goes through the moments at which a part changes: a year of them, after which clocks and
    /// calendars repeat, from now and from each later time point. What takes too long to decide
    /// is taken for possible.
    pub(crate) fn can_ever_hold(&self, moment: Moment, most_looks: usize) -> bool {
        const YEAR: u64 = 400 * 24 * 3600 * 1_000_000_000;
        const MOST_PARTS: usize = 1000;
        /// At 1,000 parts a look takes about a tenth of a millisecond.
        const MOST_PARTS_LOOKED_AT: usize = 40_000;
        if self.parts.len() > MOST_PARTS {
            return !self.is_dead();
        }
        let timed = self.clocked.iter().filter(|clocked| clocked.what.is_timed()).count();
        if timed < 2 {
            return !self.is_dead();
        }
        let mut at = moment.now;
        let mut end = at.saturating_add(YEAR);
        let mut counted = Vec::new();
        for _ in 0..most_looks.min(MOST_PARTS_LOOKED_AT / timed) {
            let mut next = u64::MAX;
            let mut fixed = u64::MAX;
            let holds = self.would_hold(&mut counted, |clocked| {
                let says = clocked.at(moment.at(at), self.submitted);
                if !clocked.is_timed() {
                    return true;
                }
                let change = says.until.unwrap_or(u64::MAX);
                next = next.min(change);
                if !matches!(clocked, Clocked::Civil(..)) {
                    fixed = fixed.min(change);
                }
                says.holds
            });
            if holds {
                return true;
            }
            // Beyond the year only what does not repeat is new.
            let to = if next > end { fixed } else { next };
            if to == u64::MAX || to <= at {
                return false;
            }
            if to == fixed {
                end = to.saturating_add(YEAR);
            }
            at = to;
        }
        true
    }

    /// Whether it would hold if clocked parts were as told and open jobs ended as wanted.
    fn would_hold(&self, counted: &mut Vec<u32>, clocked: impl FnMut(&Clocked) -> bool) -> bool {
        let mut root = false;
        self.evaluate(counted, true, clocked, |holds| root = holds);
        root
    }

    /// Which parts hold at that moment. (Their values are of the last look, and time is no reason
    /// to look at a job that could not run.)
    pub(super) fn holding(&self, moment: Moment) -> Vec<bool> {
        let mut holding = Vec::with_capacity(self.parts.len());
        let at_moment = |clocked: &Clocked| clocked.at(moment, self.submitted).holds;
        self.evaluate(&mut Vec::new(), false, at_moment, |holds| holding.push(holds));
        holding
    }

    /// Goes through all parts, the root last, and tells of each whether it would hold if open jobs
    /// and clocked parts did as told.
    fn evaluate(
        &self,
        counted: &mut Vec<u32>,
        open_jobs: bool,
        mut clocked: impl FnMut(&Clocked) -> bool,
        mut tell: impl FnMut(bool),
    ) {
        counted.clear();
        counted.resize(self.parts.len(), 0);
        let mut clocks = self.clocked.iter();
        for (at, part) in self.parts.iter().enumerate() {
            let holds = match &part.what {
                What::All(counts) => counted[at] == counts.parts,
                What::Any(_) => counted[at] > 0,
                What::Job { ended: None, .. } => open_jobs,
                What::Job { .. } => part.value & HOLDS != 0,
                What::Clocked => clocks.next().is_some_and(|part| clocked(&part.what)),
            };
            tell(holds);
            let parent = part.parent as usize;
            if holds && parent != at {
                counted[parent] += 1;
            }
        }
    }
}

fn value_of(says: Says) -> u8 {
    match says {
        Says { never: true, .. } => NEVER,
        Says { holds: true, .. } => HOLDS | LIVE,
        Says { .. } => LIVE,
    }
}

impl Counts {
    pub(super) fn is_empty(self) -> bool {
        self.parts == 0
    }

    fn exchange(&mut self, old: u8, new: u8) {
        for (bit, count) in
            [(HOLDS, &mut self.holds), (LIVE, &mut self.live), (NEVER, &mut self.never)]
        {
            *count = *count + u32::from(new & bit != 0) - u32::from(old & bit != 0);
        }
    }
}

impl What {
    fn value(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        match self {
            Self::All(c) => {
                bit(c.holds == c.parts, HOLDS)
                    | bit(c.live == c.parts, LIVE)
                    | bit(c.never > 0, NEVER)
            }
            Self::Any(c) => {
                bit(c.holds > 0, HOLDS) | bit(c.live > 0, LIVE) | bit(c.never == c.parts, NEVER)
            }
            Self::Job { .. } => 0,
            Self::Clocked => LIVE,
        }
    }
}

/// Puts a tree together, parts before their combination.
#[derive(Default)]
pub(super) struct Builder {
    parts: Vec<Part>,
    jobs: Vec<(Key, u32)>,
    clocked: Vec<ClockedPart>,
}

impl Builder {
    fn add(&mut self, what: What) -> u32 {
        let at = u32::try_from(self.parts.len()).expect("fewer parts than fit in memory");
        self.parts.push(Part { parent: at, value: what.value(), what });
        at
    }

    pub(super) fn job(&mut self, key: Key, statuses: Statuses) -> u32 {
        let at = self.add(What::Job { statuses, ended: None });
        self.jobs.push((key, at));
        at
    }

    pub(super) fn clocked(&mut self, what: Clocked) -> u32 {
        let at = self.add(What::Clocked);
        self.clocked.push(ClockedPart { part: at, what });
        at
    }

    /// Combines these parts, all of them or any.
    pub(super) fn combine(&mut self, parts: &[u32], all: bool) -> u32 {
        let mut counts = Counts::default();
        let at = u32::try_from(self.parts.len()).expect("fewer parts than fit in memory");
        for &part in parts {
            let part = &mut self.parts[part as usize];
            part.parent = at;
            counts.parts += 1;
            counts.exchange(0, part.value);
        }
        self.add(if all { What::All(counts) } else { What::Any(counts) })
    }

    pub(super) fn build(mut self) -> Tree {
        self.jobs.sort_unstable();
        Tree {
            parts: self.parts.into(),
            jobs: self.jobs.into(),
            clocked: self.clocked.into(),
            submitted: 0,
            news: true,
        }
    }
}
