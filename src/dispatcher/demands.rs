//! What a job demands beside a permit: units of named resources, a place in rates.

use super::key::Nanos;
use crate::job::{KindId, Meta};

/// The number of a named resource, in the order in which the engine was told of them.
pub(crate) type ResourceId = u16;

/// The number of a rate.
pub(crate) type RateId = u16;

/// What a job demands beside a permit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Demands {
    pub(crate) resources: Vec<(ResourceId, u64)>,
    pub(crate) rates: Vec<RateId>,
}

impl Demands {
    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.rates.is_empty()
    }
}

/// What users call the resources and rates of an engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// With how many units there are.
    pub(crate) resources: Vec<(String, u64)>,
    /// Rates of tags.
    pub(crate) tags: Vec<(String, RateId)>,
}

/// A resource of which a job wants more than there is.
#[derive(Debug)]
pub(crate) struct Impossible {
    pub(crate) resource: String,
    pub(crate) wanted: u64,
    /// `None`: the engine has no such resource.
    pub(crate) total: Option<u64>,
}

impl Names {
    /// What a job that says this demands.
    ///
    /// # Errors
    /// It can never have it.
    pub(crate) fn demands(&self, meta: &Meta) -> Result<Demands, Impossible> {
        let mut demands = Demands::default();
        for (resource, &wanted) in &meta.resources {
            let place = self.resources.iter().position(|(name, _)| name == resource);
            let total = place.map(|place| self.resources[place].1);
            let id = place.and_then(|place| ResourceId::try_from(place).ok());
            match id.filter(|_| total.is_some_and(|total| wanted <= total)) {
                Some(id) if wanted > 0 => demands.resources.push((id, wanted)),
                Some(_) => {}
                None => return Err(Impossible { resource: resource.clone(), wanted, total }),
            }
        }
        let tagged = |name: &String| meta.tags.contains(name);
        let rates = self.tags.iter().filter(|(name, _)| tagged(name)).map(|&(_, rate)| rate);
        demands.rates.extend(rates);
        Ok(demands)
    }
}

/// Units of a resource that a job has: how many, and which, if the resource counts them.
pub(crate) type Granted = Vec<(ResourceId, u64, Vec<u32>)>;

/// Of a resource of more units than this it is not told which a job has.
pub(crate) const MOST_COUNTED: u64 = 1024;

/// What there is of each resource.
pub(crate) struct Supplies {
    resources: Vec<Supply>,
}

struct Supply {
    total: u64,
    free: u64,
    /// Whether each unit is free, for resources of few.
    units: Vec<bool>,
}

impl Supplies {
    pub(crate) fn new(totals: &[u64]) -> Self {
        let resources = totals.iter().map(|&total| {
            let counted = if total <= MOST_COUNTED { total } else { 0 };
            let units = (0..counted).map(|_| true).collect();
            Supply { total, free: total, units }
        });
        Self { resources: resources.collect() }
    }

    /// For [`has`](Self::has): what is kept for jobs that lack something.
    pub(crate) fn nothing_kept(&self) -> Vec<bool> {
        vec![false; self.resources.len()]
    }

    /// Whether all that is demanded is there and not kept for others; else it is kept from now on.
    pub(crate) fn has(&self, demands: &Demands, kept: &mut [bool]) -> bool {
        let there = |&(id, units): &(ResourceId, u64)| {
            let id = usize::from(id);
            !kept[id] && self.resources[id].free >= units
        };
        let all = demands.resources.iter().all(there);
        if !all {
            Self::keep(demands, kept);
        }
        all
    }

    /// Whether all that is demanded is there.
    pub(crate) fn are_free(&self, demands: &Demands) -> bool {
        demands.resources.iter().all(|&(id, units)| self.resources[usize::from(id)].free >= units)
    }

    /// Keeps what is demanded from others.
    pub(crate) fn keep(demands: &Demands, kept: &mut [bool]) {
        demands.resources.iter().for_each(|&(id, _)| kept[usize::from(id)] = true);
    }

    pub(crate) fn take(&mut self, demands: &Demands) -> Granted {
        demands
            .resources
            .iter()
            .map(|&(id, units)| {
                let supply = &mut self.resources[usize::from(id)];
                supply.free -= units;
                let free = supply.units.iter_mut().zip(0..).filter(|(free, _)| **free);
                let taken = free.take(usize::try_from(units).unwrap_or(usize::MAX));
                let which = taken.map(|(free, unit)| {
                    *free = false;
                    unit
                });
                (id, units, which.collect())
            })
            .collect()
    }

    pub(crate) fn give_back(&mut self, granted: Granted) {
        for (id, units, which) in granted {
            let supply = &mut self.resources[usize::from(id)];
            supply.free += units;
            debug_assert!(supply.free <= supply.total, "more came back than there is");
            for unit in which {
                supply.units[unit as usize] = true;
            }
        }
    }

    /// How many units of a resource are free, and how many there are.
    pub(crate) fn of(&self, id: ResourceId) -> (u64, u64) {
        let supply = &self.resources[usize::from(id)];
        (supply.free, supply.total)
    }
}

/// Rates at which jobs may start. Each lets a number of jobs start at once and then one per
/// interval: the generic cell rate algorithm (ITU-T I.371), in its virtual-scheduling form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    rates: Vec<Rate>,
    /// The rate of each kind, if it has one.
    of_kind: [Option<RateId>; KindId::COUNT],
}

#[derive(Clone, Debug)]
struct Rate {
    /// Between two starts, at full rate.
    interval: Nanos,
    /// How far ahead of that starts may run.
    burst: Nanos,
    /// When the next start would be due at full rate.
    due: Nanos,
}

impl Rates {
    /// A rate of so many starts in so much time.
    pub(crate) fn add(&mut self, starts: u32, per: Nanos) -> RateId {
        let interval = (per / u64::from(starts.max(1))).max(1);
        let burst = interval.saturating_mul(u64::from(starts.max(1)) - 1);
        self.rates.push(Rate { interval, burst, due: 0 });
        RateId::try_from(self.rates.len() - 1).expect("fewer rates than that")
    }

    pub(crate) fn set_kind(&mut self, kind: KindId, rate: RateId) {
        self.of_kind[kind as usize] = Some(rate);
    }

    /// What a job of that kind demands, with the rate of the kind.
    pub(crate) fn demands(&self, kind: KindId, own: Option<&Demands>) -> Demands {
        let of_kind = self.of_kind[kind as usize];
        match (own, of_kind) {
            (None, None) => Demands::default(),
            (own, of_kind) => {
                let mut demands = own.cloned().unwrap_or_default();
                demands.rates.extend(of_kind);
                demands
            }
        }
    }

    /// When a job may start that may not now.
    pub(crate) fn opens(&self, demands: &Demands, now: Nanos) -> Option<Nanos> {
        let rates = demands.rates.iter().map(|&id| &self.rates[usize::from(id)]);
        rates.map(|rate| rate.due.saturating_sub(rate.burst)).max().filter(|&at| at > now)
    }

    /// A job starts.
    pub(crate) fn take(&mut self, demands: &Demands, now: Nanos) {
        for &id in &demands.rates {
            let rate = &mut self.rates[usize::from(id)];
            rate.due = rate.due.max(now).saturating_add(rate.interval);
        }
    }

    /// A job has not started after all.
    pub(crate) fn give_back(&mut self, demands: &Demands) {
        for &id in &demands.rates {
            let rate = &mut self.rates[usize::from(id)];
            rate.due = rate.due.saturating_sub(rate.interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_a_burst_go_and_then_one_per_interval() {
        let mut rates = Rates::default();
        let rate = rates.add(3, 300);
        let demands = Demands { resources: Vec::new(), rates: vec![rate] };
        let mut started = Vec::new();
        let mut now = 1000;
        while started.len() < 7 {
            match rates.opens(&demands, now) {
                Some(at) => now = at,
                None => {
                    rates.take(&demands, now);
                    started.push(now);
                }
            }
        }
        assert_eq!(started, [1000, 1000, 1000, 1100, 1200, 1300, 1400]);
        // What did not start leaves its place to another.
        assert_eq!(rates.opens(&demands, now), Some(1500));
        rates.give_back(&demands);
        assert_eq!(rates.opens(&demands, now), None);
        rates.take(&demands, now);
        // After a rest, a burst again.
        now = 5000;
        for _ in 0..3 {
            assert_eq!(rates.opens(&demands, now), None);
            rates.take(&demands, now);
        }
        assert_eq!(rates.opens(&demands, now), Some(5100));
    }

    #[test]
    fn units_are_given_lowest_first_and_come_back() {
        let mut supplies = Supplies::new(&[3, 1 << 40]);
        let two = Demands { resources: vec![(0, 2), (1, 1 << 39)], rates: Vec::new() };
        let first = supplies.take(&two);
        assert_eq!(first, [(0, 2, vec![0, 1]), (1, 1 << 39, vec![])]);
        let mut kept = supplies.nothing_kept();
        assert!(!supplies.has(&two, &mut kept));
        // What the one lacks is kept for it.
        let one = Demands { resources: vec![(0, 1)], rates: Vec::new() };
        assert!(!supplies.has(&one, &mut kept));
        assert!(supplies.has(&one, &mut supplies.nothing_kept()));
        supplies.give_back(first);
        assert_eq!(supplies.of(0), (3, 3));
        assert!(supplies.has(&two, &mut supplies.nothing_kept()));
    }
}
