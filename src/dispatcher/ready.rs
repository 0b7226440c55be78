//! Who may go next: ready queues, and what a job takes with it when it goes out: a permit of its
//! kind and one of the engine, units of named resources, and a place in the rate of its kind and
//! tags.
//!
//! A backend executes at most as many jobs at once as it has threads or workers; where the engine
//! as a whole is unlimited, it is handed some more than that (its *window*), so that it never
//! waits for the dispatcher between two jobs.
//!
//! The order is that in which jobs became ready, a job of priority `p` counting as if it had been
//! ready `p` ageing steps longer: so none waits for ever. Jobs that want nothing but a permit and
//! have no priority are mostly all there are; they wait in a queue per kind. The others are
//! [ranked](super::ranked).

use std::collections::VecDeque;

use super::demands::{Demands, Granted, Rates, Supplies};
use super::key::{Key, Nanos};
use super::ranked::{Class, Rank, Ranks};
use crate::job::KindId;

/// The window of a kind whose jobs had to be taken back, until so many of it have gone out again:
/// taking back costs a third of a microsecond a job, and handing out as much again.
const NARROW: usize = 64;
const NARROW_FOR: usize = 20_000;

/// In the middle, for some go before others.
const FIRST_ORDER: u64 = 1 << 63;

/// How many jobs may be out at once.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Over all kinds; `None` is no limit.
    pub(crate) max_jobs: Option<usize>,
    /// How many jobs of each kind are executed at once.
    pub(crate) per_kind: [usize; KindId::COUNT],
    /// How many jobs more are handed out per kind, if `max_jobs` is `None`.
    pub(crate) window: [usize; KindId::COUNT],
    /// How much longer a job seems to have waited, per step of priority.
    pub(crate) ageing: Nanos,
    /// Units of each named resource.
    pub(crate) resources: Vec<u64>,
    /// Rates, those of kinds first.
    pub(crate) rates: Rates,
}

impl Limits {
    /// How many jobs of the kind can be out.
    pub(crate) fn capacity(&self, kind: KindId) -> usize {
        let window = if self.max_jobs.is_none() { self.window[kind as usize] } else { 0 };
        self.per_kind[kind as usize].saturating_add(window)
    }
}

/// The ready queues, the permits and the supplies.
pub(crate) struct Ready {
    limits: Limits,
    /// Per kind, in the order in which they became ready; entries whose job is no longer ready
    /// are passed over when they come up.
    queues: [VecDeque<Entry>; KindId::COUNT],
    /// Jobs with a priority or demands, in their order.
    ranked: Ranks,
    /// Something has changed for them since they were looked through.
    changed: bool,
    supplies: Supplies,
    permits: [usize; KindId::COUNT],
    total: usize,
    paused: [bool; KindId::COUNT],
    /// For the next job of many that became ready at one moment; and for the next one that is put
    /// back, which goes before those.
    next_order: u64,
    next_order_back: u64,
    /// Ready jobs; the queues may hold more, gone stale.
    ready: usize,
    /// When the next of them may go that a rate holds, as of the last look.
    rate_opens: Option<Nanos>,
    /// How many of them lack nothing but units of a resource, as of the last look.
    starving: usize,
    /// Kinds of which a job came that is to go before those that were handed out to wait.
    overtaken: u8,
    /// How many jobs of each kind are to go before its window is as wide as it may be.
    narrow: [usize; KindId::COUNT],
}

#[derive(Clone, Copy)]
struct Entry {
    rank: Rank,
    key: Key,
}

/// A job that goes out.
pub(crate) struct Going {
    pub(crate) key: Key,
    pub(crate) kind: KindId,
    /// When it became ready, as far as is known.
    pub(crate) ready: Nanos,
    pub(crate) granted: Granted,
}

impl Ready {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            supplies: Supplies::new(&limits.resources),
            limits,
            queues: Default::default(),
            ranked: Ranks::default(),
            changed: false,
            permits: [0; KindId::COUNT],
            total: 0,
            paused: [false; KindId::COUNT],
            next_order: FIRST_ORDER,
            next_order_back: FIRST_ORDER - 1,
            ready: 0,
            rate_opens: None,
            starving: 0,
            overtaken: 0,
            narrow: [0; KindId::COUNT],
        }
    }

    /// A job became ready.
    pub(crate) fn push(
        &mut self,
        key: Key,
        kind: KindId,
        now: Nanos,
        priority: i32,
        demands: Option<&Demands>,
    ) {
        let order = self.next_order;
        self.next_order += 1;
        self.line_up(key, kind, (now, order), priority, demands);
        if priority > 0 && self.reaches_into_window(kind) {
            self.overtaken |= 1 << kind as u8;
        }
    }

    /// A job that went out is ready again, as it was since that time: it comes before those that
    /// became ready at the same moment. Of several, the last is put back first.
    pub(crate) fn put_back(
        &mut self,
        key: Key,
        kind: KindId,
        since: Nanos,
        priority: i32,
        demands: Option<&Demands>,
    ) {
        let order = self.next_order_back;
        self.next_order_back -= 1;
        self.line_up(key, kind, (since, order), priority, demands);
    }

    fn line_up(
        &mut self,
        key: Key,
        kind: KindId,
        (since, order): (Nanos, u64),
        priority: i32,
        demands: Option<&Demands>,
    ) {
        self.ready += 1;
        let rank = (self.place(since, priority), order);
        let demands = self.limits.rates.demands(kind, demands);
        if priority == 0 && demands.is_empty() {
            let queue = &mut self.queues[kind as usize];
            let entry = Entry { rank, key };
            if queue.back().is_none_or(|last| last.rank < rank) {
                queue.push_back(entry);
            } else {
                queue.insert(queue.partition_point(|other| other.rank < rank), entry);
            }
        } else {
            self.ranked.insert(rank, (key, since), kind, demands);
            self.changed = true;
        }
    }

    /// When a job seems to have become ready.
    fn place(&self, since: Nanos, priority: i32) -> i128 {
        i128::from(since) - i128::from(priority) * i128::from(self.limits.ageing)
    }

    /// Whether jobs of this kind are out that have to wait there.
    fn reaches_into_window(&self, kind: KindId) -> bool {
        !self.paused[kind as usize]
            && self.permits[kind as usize] > self.limits.per_kind[kind as usize]
    }

    /// The kinds whose jobs that wait with their backend are to be taken back: one came that is to go
    /// before them. Perhaps more will, so their windows are narrow for a while.
    pub(crate) fn take_overtaken(&mut self) -> Vec<KindId> {
        // Mostly none.
        let overtaken = std::mem::take(&mut self.overtaken);
        if overtaken == 0 {
            return Vec::new();
        }
        let kinds = KindId::ALL.into_iter().filter(|&kind| overtaken & (1 << kind as u8) != 0);
        kinds.inspect(|&kind| self.narrow[kind as usize] = NARROW_FOR).collect()
    }

    /// A ready job is ready no more, without having been [`next`](Self::next).
    pub(crate) fn forget_one(&mut self, kind: KindId, priority: i32, demands: Option<&Demands>) {
        self.ready -= 1;
        let demands = self.limits.rates.demands(kind, demands);
        if priority != 0 || !demands.is_empty() {
            self.ranked.forget_one(kind, demands);
        }
        // It may have held back others.
        self.changed = true;
    }

    /// Whether a job of the kind could go out. While a ranked one waits none goes that could not
    /// begin: what that one demands is not to lie idle with a job in a backend's queue, its rate is
    /// one of beginnings, and others handed out meanwhile would go before it.
    pub(crate) fn has_permit(&self, kind: KindId) -> bool {
        let ranked = || self.ranked.heads().any(|(_, class)| class.kind == kind);
        let all = self.limits.capacity(kind);
        let begun = self.limits.per_kind[kind as usize];
        let capacity = if !self.ranked.is_empty() && ranked() {
            begun
        } else if self.narrow[kind as usize] > 0 {
            all.min(begun.saturating_add(NARROW))
        } else {
            all
        };
        !self.paused[kind as usize]
            && self.limits.max_jobs.is_none_or(|max| self.total < max)
            && self.permits[kind as usize] < capacity
    }

    /// The first ready job in the order among those that may go (or, if `over` the limit is
    /// allowed, that need not wait but for a permit); it takes what it needs. `is_ready` tells
    /// stale entries.
    pub(crate) fn next(
        &mut self,
        over: bool,
        now: Nanos,
        mut is_ready: impl FnMut(Key) -> bool,
    ) -> Option<Going> {
        if self.ready == 0 {
            (self.rate_opens, self.starving) = (None, 0);
            return None;
        }
        if self.changed && !self.ranked.is_empty() {
            // One that is ready no more holds nobody back.
            self.ranked.drop_stale(&mut is_ready);
        }
        let mut first: Option<(Rank, KindId)> = None;
        for kind in KindId::ALL {
            let may = if over { !self.paused[kind as usize] } else { self.has_permit(kind) };
            // Who is first in line matters to ranked ones even if none may go.
            if self.queues[kind as usize].is_empty() || !may && self.ranked.is_empty() {
                continue;
            }
            let queue = &mut self.queues[kind as usize];
            while queue.front().is_some_and(|entry| !is_ready(entry.key)) {
                queue.pop_front();
            }
            if let Some(entry) = queue.front().filter(|_| may)
                && first.is_none_or(|(rank, _)| entry.rank < rank)
            {
                first = Some((entry.rank, kind));
            }
        }
        if self.ranked.is_empty() {
            (self.changed, self.rate_opens, self.starving) = (false, None, 0);
        } else if (self.changed || over || self.rate_opens.is_some_and(|at| at <= now))
            && let Some(rank) = self.first_ranked(over, now, is_ready)
            && first.is_none_or(|(other, _)| rank < other)
            && let Some(((key, since), kind, demands)) = self.ranked.remove(rank)
        {
            self.ready -= 1;
            return Some(self.go(key, kind, &demands, since, now));
        }
        let (_, kind) = first?;
        let entry = self.queues[kind as usize].pop_front()?;
        let since = Nanos::try_from(entry.rank.0).unwrap_or(now);
        self.ready -= 1;
        Some(self.go(entry.key, kind, &Demands::default(), since, now))
    }

    /// The first ranked job that may go. Units that one lacks are kept for it: who comes later
    /// does not get them. So they are if it lacks a permit of its kind, is the next to get one, and
    /// has waited as long as a step of priority is worth: else for ever there might be the one only
    /// when the other is not. Before that they do not lie idle.
    fn first_ranked(
        &mut self,
        over: bool,
        now: Nanos,
        is_ready: impl FnMut(Key) -> bool,
    ) -> Option<Rank> {
        if !self.changed {
            self.ranked.drop_stale(is_ready);
        }
        let mut kept = self.supplies.nothing_kept();
        let (mut opens, mut starving) = (None, 0);
        for (rank, class) in self.ranked.heads() {
            let kind = class.kind as usize;
            let may = if over { !self.paused[kind] } else { self.has_permit(class.kind) };
            if !may {
                let first = self.queues[kind].front().is_none_or(|entry| rank < entry.rank);
                let opens = self.limits.rates.opens(&class.demands, now);
                let long = now.saturating_sub(class.since()) >= self.limits.ageing;
                if first && long && opens.is_none() && !self.paused[kind] {
                    Supplies::keep(&class.demands, &mut kept);
                }
                continue;
            }
            if let Some(at) = self.limits.rates.opens(&class.demands, now) {
                opens = Some(opens.map_or(at, |other: Nanos| other.min(at)));
            } else if over && self.supplies.are_free(&class.demands) {
                // Nobody else moves, for whom units could be kept.
                return Some(rank);
            } else if self.supplies.has(&class.demands, &mut kept) {
                return Some(rank);
            } else if !self.supplies.are_free(&class.demands) {
                starving += class.len();
            }
        }
        if !over {
            self.changed = false;
            self.rate_opens = opens;
            self.starving = starving;
        }
        None
    }

    /// A job that is counted as ready no more goes out.
    fn go(&mut self, key: Key, kind: KindId, demands: &Demands, ready: Nanos, now: Nanos) -> Going {
        self.narrow[kind as usize] = self.narrow[kind as usize].saturating_sub(1);
        self.take(kind);
        self.limits.rates.take(demands, now);
        Going { key, kind, ready, granted: self.supplies.take(demands) }
    }

    /// A ready job goes out of its turn, over the limit of permits if need be, if all else that it
    /// demands is there.
    pub(crate) fn take_out_of_turn(
        &mut self,
        key: Key,
        kind: KindId,
        priority: i32,
        demands: Option<&Demands>,
        now: Nanos,
    ) -> Option<Going> {
        self.may_go_out_of_turn(kind, demands, now).then(|| {
            self.forget_one(kind, priority, demands);
            let demands = self.limits.rates.demands(kind, demands);
            self.go(key, kind, &demands, now, now)
        })
    }

    /// Whether it could, but for a permit.
    pub(crate) fn may_go_out_of_turn(
        &self,
        kind: KindId,
        demands: Option<&Demands>,
        now: Nanos,
    ) -> bool {
        let demands = self.limits.rates.demands(kind, demands);
        !self.paused[kind as usize]
            && self.limits.rates.opens(&demands, now).is_none()
            && self.supplies.are_free(&demands)
    }

    /// Takes a permit, whether or not one is left.
    pub(crate) fn take(&mut self, kind: KindId) {
        self.permits[kind as usize] += 1;
        self.total += 1;
    }

    /// Gives a permit back.
    pub(crate) fn give_back(&mut self, kind: KindId) {
        self.permits[kind as usize] -= 1;
        self.total -= 1;
        self.changed = true;
    }

    /// Gives all back that a job took with it which has not begun.
    pub(crate) fn give_back_unused(
        &mut self,
        kind: KindId,
        granted: Granted,
        demands: Option<&Demands>,
    ) {
        self.give_back(kind);
        self.return_granted(granted);
        let demands = self.limits.rates.demands(kind, demands);
        self.limits.rates.give_back(&demands);
    }

    /// Gives units of resources back.
    pub(crate) fn return_granted(&mut self, granted: Granted) {
        self.changed |= !granted.is_empty();
        self.supplies.give_back(granted);
    }

    /// Starts jobs of this kind no more, or again.
    pub(crate) fn set_paused(&mut self, kind: KindId, paused: bool) {
        self.paused[kind as usize] = paused;
        self.changed = true;
    }

    pub(crate) fn is_paused(&self, kind: KindId) -> bool {
        self.paused[kind as usize]
    }

    /// Whether ready jobs wait for what can come by itself: the turn of a rate, or somebody who
    /// lets them go on.
    pub(crate) fn may_go_on(&self) -> bool {
        let paused = |&kind: &KindId| self.paused[kind as usize] && self.waits(kind);
        self.rate_opens.is_some() || KindId::ALL.iter().any(paused)
    }

    /// Whether a job could go [over the limit](Self::next), as far as is known: entries that went
    /// stale count, too, until it was tried.
    pub(crate) fn may_start_over(&self, now: Nanos) -> bool {
        let simple =
            |&kind: &KindId| !self.paused[kind as usize] && !self.queues[kind as usize].is_empty();
        let may = |class: &Class| {
            !self.paused[class.kind as usize]
                && self.limits.rates.opens(&class.demands, now).is_none()
                && self.supplies.are_free(&class.demands)
        };
        let mut heads = self.ranked.heads();
        self.ready > 0 && (KindId::ALL.iter().any(simple) || heads.any(|(_, class)| may(class)))
    }

    /// How many jobs lack units of resources, which others hold, and nothing else.
    pub(crate) fn starving(&self) -> usize {
        self.starving
    }

    /// When the next job may go that a rate holds.
    pub(crate) fn rate_opens(&self) -> Option<Nanos> {
        self.rate_opens
    }

    /// How many jobs are ready.
    pub(crate) fn len(&self) -> usize {
        self.ready
    }

    /// Whether jobs of this kind are ready.
    pub(crate) fn waits(&self, kind: KindId) -> bool {
        !self.queues[kind as usize].is_empty()
            || self.ranked.heads().any(|(_, class)| class.kind == kind)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn supplies(&self) -> &Supplies {
        &self.supplies
    }

    /// The permits that are out: per kind, and in all.
    pub(crate) fn permits(&self) -> ([usize; KindId::COUNT], usize) {
        (self.permits, self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(max_jobs: Option<usize>, window: usize) -> Ready {
        Ready::new(Limits {
            max_jobs,
            per_kind: [1; KindId::COUNT],
            window: [window; KindId::COUNT],
            ageing: 1000,
            resources: vec![1],
            rates: Rates::default(),
        })
    }

    const THREAD: KindId = KindId::Thread;
    const PROCESS: KindId = KindId::Process;

    fn push(ready: &mut Ready, key: Key, kind: KindId, now: Nanos, priority: i32, units: u64) {
        let resources = if units > 0 { vec![(0, units)] } else { Vec::new() };
        let demands = Demands { resources, rates: Vec::new() };
        ready.push(key, kind, now, priority, Some(&demands));
    }

    fn next(ready: &mut Ready, now: Nanos) -> Option<Going> {
        ready.next(false, now, |_| true)
    }

    #[test]
    fn what_the_first_of_its_kind_lacks_is_kept_for_it() {
        let mut ready = ready(None, 0);
        push(&mut ready, 1, THREAD, 1, 0, 1);
        push(&mut ready, 2, PROCESS, 2, 0, 0);
        let unit = next(&mut ready, 2).unwrap();
        let permit = next(&mut ready, 2).unwrap();
        assert_eq!((unit.key, permit.key), (1, 2));
        // It wants both: a permit for processes, and the unit.
        push(&mut ready, 3, PROCESS, 3, 0, 1);
        push(&mut ready, 4, THREAD, 4, 0, 1);
        push(&mut ready, 5, PROCESS, 5, 0, 0);
        ready.give_back(THREAD);
        ready.return_granted(unit.granted);
        let unit = next(&mut ready, 1002).unwrap();
        assert_eq!(unit.key, 4, "it does not lie idle yet");
        push(&mut ready, 6, THREAD, 1002, 0, 1);
        ready.give_back(THREAD);
        ready.return_granted(unit.granted);
        assert!(next(&mut ready, 1003).is_none(), "the unit went to one that came later");
        ready.give_back(PROCESS);
        let both = next(&mut ready, 1004).unwrap();
        assert_eq!(both.key, 3);
        // One that is not first in its line keeps nothing from others.
        push(&mut ready, 7, PROCESS, 1004, 0, 1);
        ready.return_granted(both.granted);
        assert_eq!(next(&mut ready, 3000).unwrap().key, 6);
    }

    #[test]
    fn one_that_is_to_go_before_others_has_them_taken_back_and_they_keep_their_order() {
        let mut ready = ready(None, 10);
        for key in 1..6 {
            push(&mut ready, key, THREAD, key, 0, 0);
        }
        let out: Vec<_> = std::iter::from_fn(|| next(&mut ready, 6)).collect();
        assert_eq!(out.len(), 5);
        push(&mut ready, 6, THREAD, 6, 0, 0);
        push(&mut ready, 7, THREAD, 7, -1, 0);
        assert_eq!(ready.take_overtaken(), []);
        push(&mut ready, 8, THREAD, 8, 1, 0);
        assert_eq!(ready.take_overtaken(), [THREAD]);
        assert_eq!(ready.take_overtaken(), []);
        // The first has begun.
        for job in out[1..].iter().rev() {
            ready.give_back_unused(THREAD, Vec::new(), None);
            ready.put_back(job.key, THREAD, job.ready, 0, None);
        }
        let mut order = Vec::new();
        for _ in 0..7 {
            assert!(next(&mut ready, 10).is_none(), "none waits with its backend");
            ready.give_back(THREAD);
            order.push(next(&mut ready, 10).unwrap().key);
            if order.len() == 2 {
                break;
            }
        }
        assert_eq!(order, [8, 2]);
        while let Some(job) = ready.next(true, 10, |_| true) {
            order.push(job.key);
        }
        assert_eq!(order, [8, 2, 3, 4, 5, 6, 7]);
    }
}
