//! Ready jobs with a priority or demands, in their order.
//!
//! Jobs of one kind with the same demands are a class: if its first cannot go, none of it can. So
//! a look at who may go is a look at one job per class.

use std::collections::{BTreeMap, HashMap};

use super::demands::Demands;
use super::key::{Key, Nanos};
use crate::job::KindId;

/// A place in the order: when the job seems to have become ready, and which came first.
pub(super) type Rank = (i128, u64);

/// Ready jobs in their order, by class.
#[derive(Default)]
pub(super) struct Ranks {
    /// The first of each class.
    heads: BTreeMap<Rank, usize>,
    classes: Vec<Class>,
    /// Where the classes are that have jobs.
    places: HashMap<(KindId, Demands), usize>,
    vacant: Vec<usize>,
}

/// Jobs that can go or not go alike.
pub(super) struct Class {
    pub(super) kind: KindId,
    pub(super) demands: Demands,
    /// Each with the time since which it is ready.
    jobs: BTreeMap<Rank, (Key, Nanos)>,
    /// How many of the entries are of jobs that are ready no more, or by another entry.
    stale: usize,
}

impl Class {
    /// How many ready jobs it has.
    pub(super) fn len(&self) -> usize {
        self.jobs.len() - self.stale
    }

    /// Since when its first is ready.
    pub(super) fn since(&self) -> Nanos {
        self.jobs.first_key_value().map_or(Nanos::MAX, |(_, &(_, since))| since)
    }
}

impl Ranks {
    pub(super) fn insert(&mut self, rank: Rank, job: (Key, Nanos), kind: KindId, demands: Demands) {
        let place = match self.places.get(&(kind, demands.clone())) {
            Some(&place) => place,
            None => {
                let class =
                    Class { kind, demands: demands.clone(), jobs: BTreeMap::new(), stale: 0 };
                let place = match self.vacant.pop() {
                    Some(place) => {
                        self.classes[place] = class;
                        place
                    }
                    None => {
                        self.classes.push(class);
                        self.classes.len() - 1
                    }
                };
                self.places.insert((kind, demands), place);
                place
            }
        };
        let jobs = &mut self.classes[place].jobs;
        let head = jobs.first_key_value().map(|(&head, _)| head);
        jobs.insert(rank, job);
        if head.is_none_or(|head| rank < head) {
            head.map(|head| self.heads.remove(&head));
            self.heads.insert(rank, place);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// A job is ready no more; its entry stays until it comes up.
    pub(super) fn forget_one(&mut self, kind: KindId, demands: Demands) {
        if let Some(&place) = self.places.get(&(kind, demands)) {
            self.classes[place].stale += 1;
        }
    }

    /// Takes away the first of a class.
    pub(super) fn remove(&mut self, head: Rank) -> Option<((Key, Nanos), KindId, Demands)> {
        let place = self.heads.remove(&head)?;
        let class = &mut self.classes[place];
        let job = class.jobs.remove(&head)?;
        let (kind, demands) = (class.kind, class.demands.clone());
        match class.jobs.first_key_value() {
            Some((&next, _)) => {
                self.heads.insert(next, place);
            }
            None => {
                self.places.remove(&(kind, demands.clone()));
                self.vacant.push(place);
            }
        }
        Some((job, kind, demands))
    }

    /// The first of each class, in order, with its class.
    pub(super) fn heads(&self) -> impl Iterator<Item = (Rank, &Class)> {
        self.heads.iter().map(|(&rank, &place)| (rank, &self.classes[place]))
    }

    /// Drops those at the heads of classes that are not ready any more.
    pub(super) fn drop_stale(&mut self, mut is_ready: impl FnMut(Key) -> bool) {
        loop {
            let stale: Vec<Rank> = self
                .heads
                .iter()
                .filter(|(rank, place)| {
                    self.classes[**place].jobs.get(rank).is_none_or(|&(key, _)| !is_ready(key))
                })
                .map(|(&rank, _)| rank)
                .collect();
            if stale.is_empty() {
                return;
            }
            for rank in stale {
                let place = self.heads[&rank];
                self.classes[place].stale -= 1;
                self.remove(rank);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_in_order_and_classes_go_with_their_last_job() {
        let mut ranks = Ranks::default();
        let demands = |id| Demands { resources: vec![(id, 1)], rates: Vec::new() };
        for (rank, key, id) in [(5, 50, 0), (3, 30, 1), (4, 40, 0), (1, 10, 0), (2, 20, 1)] {
            ranks.insert((rank, 0), (key, 0), KindId::Thread, demands(id));
        }
        let heads = |ranks: &Ranks| ranks.heads().map(|(rank, _)| rank.0).collect::<Vec<_>>();
        assert_eq!(heads(&ranks), [1, 2]);
        assert_eq!(ranks.remove((1, 0)), Some(((10, 0), KindId::Thread, demands(0))));
        assert_eq!(heads(&ranks), [2, 4]);
        // Ready no more, which is seen when it comes up, but counts at once.
        ranks.forget_one(KindId::Thread, demands(1));
        ranks.forget_one(KindId::Thread, demands(1));
        assert_eq!(ranks.heads().map(|(_, class)| class.len()).collect::<Vec<_>>(), [0, 2]);
        ranks.drop_stale(|key| key > 30);
        assert_eq!(heads(&ranks), [4]);
        assert_eq!(ranks.places.len(), 1);
        ranks.insert((0, 0), (5, 0), KindId::Local, demands(1));
        assert_eq!(heads(&ranks), [0, 4]);
        assert_eq!(ranks.classes.len(), 2);
    }
}
