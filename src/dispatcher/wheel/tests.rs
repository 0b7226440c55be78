use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::level::LEVELS;
use super::*;

thread_local! {
    static MOVES: Cell<u64> = const { Cell::new(0) };
}

/// Called for each timer that moves to a finer ring.
pub(super) fn count_move() {
    MOVES.set(MOVES.get() + 1);
}

/// How many timers move to a finer ring while `body` runs.
fn moves(body: impl FnOnce()) -> u64 {
    let before = MOVES.get();
    body();
    MOVES.get() - before
}

impl Wheel {
    /// Looks at all there is and panics where it is not as it should be.
    pub(crate) fn sanity_check(&self) {
        let mut check = Check { wheel: self, timers: 0, rings: 0, first: None };
        check.slot(self.root, u32::MAX, &|_| true);
        assert_eq!(check.timers, self.timers.len());
        assert_eq!(check.rings, self.rings.len());
        assert!(check.rings <= check.timers);
        assert_eq!(check.first, self.first);
    }
}

struct Check<'a> {
    wheel: &'a Wheel,
    timers: usize,
    rings: usize,
    first: Option<(Nanos, Id)>,
}

impl Check<'_> {
    /// Checks a slot of a ring of the level, where only deadlines that `belong` may be.
    fn slot(&mut self, content: Slot, level: u32, belong: &dyn Fn(Nanos) -> bool) {
        match content {
            Slot::Empty => {}
            Slot::Timers(last) => self.timers(last, belong),
            Slot::Ring(ring) => {
                self.rings += 1;
                let ring = &self.wheel.rings[ring];
                assert!(ring.level() < level, "rings get finer");
                assert!(belong(ring.sample()));
                let contents: Vec<_> = ring.slots().collect();
                match contents[..] {
                    [] => panic!("an empty ring"),
                    [(_, Slot::Timers(last))] => {
                        assert_ne!(self.wheel.timers[last].next, last, "a ring for one timer");
                    }
                    [_] => panic!("a ring for one ring"),
                    _ => {}
                }
                for (slot, content) in contents {
                    self.slot(content, ring.level(), &|at| {
                        belong(at)
                            && level_between(at, ring.sample()) <= ring.level()
                            && digit(at, ring.level()) == slot
                    });
                }
            }
        }
    }

    fn timers(&mut self, last: Id, belong: &dyn Fn(Nanos) -> bool) {
        let mut previous = last;
        loop {
            let id = self.wheel.timers[previous].next;
            let timer = &self.wheel.timers[id];
            assert!(previous == last || timer.previous == previous);
            self.timers += 1;
            assert!(self.timers <= self.wheel.timers.len(), "a circle without its last");
            assert!(belong(timer.at));
            if self.first.is_none_or(|(first, _)| timer.at < first) {
                self.first = Some((timer.at, id));
            }
            if id == last {
                return;
            }
            previous = id;
        }
    }
}

/// Timers by deadline and order of insertion, with their ids in the wheel.
#[derive(Default)]
struct Model {
    timers: BTreeMap<(Nanos, Key), TimerId>,
    inserted: Key,
}

impl Model {
    fn insert(&mut self, wheel: &mut Wheel, at: Nanos) {
        self.timers.insert((at, self.inserted), wheel.insert(at, self.inserted));
        self.inserted += 1;
    }

    fn cancel(&mut self, wheel: &mut Wheel, index: usize) {
        if let Some(&(at, key)) = self.timers.keys().nth(index % self.timers.len().max(1)) {
            let id = self.timers.remove(&(at, key)).expect("it was just found");
            assert_eq!(wheel.cancel(id), key);
        }
    }

    fn pop(&mut self, wheel: &mut Wheel, now: Nanos) -> bool {
        let due = self.timers.first_entry().filter(|first| first.key().0 <= now);
        let due = due.map(|first| first.remove_entry().0);
        assert_eq!(wheel.pop_due(now), due);
        due.is_some()
    }

    fn compare(&self, wheel: &Wheel) {
        assert_eq!(wheel.len(), self.timers.len());
        assert_eq!(wheel.next(), self.timers.first_key_value().map(|((at, _), _)| *at));
        wheel.sanity_check();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(When),
    /// `count` timers, `gap` apart.
    InsertMany {
        from: When,
        gap: u64,
        count: usize,
    },
    Cancel(usize),
    /// The earliest ones.
    CancelFirst(usize),
    /// The latest ones.
    CancelLast(usize),
    PopOne,
    /// To the time, popping all that is due on the way.
    Advance(u64),
    /// To the next deadline, and popping as many as that.
    PopNext(usize),
}

/// A deadline, seen from the current time.
#[derive(Clone, Copy, Debug)]
enum When {
    In(u64),
    Before(u64),
    At(u64),
}

impl When {
    fn from(self, now: Nanos) -> Nanos {
        match self {
            When::In(nanos) => now.saturating_add(nanos),
            When::Before(nanos) => now.saturating_sub(nanos),
            When::At(nanos) => nanos,
        }
    }
}

const SECOND: u64 = 1_000_000_000;
const YEAR: u64 = 365 * 24 * 3600 * SECOND;

fn duration() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0_u64..4,
        3 => 0_u64..200,
        2 => 0_u64..100_000,
        2 => 0_u64..(10 * SECOND),
        1 => (0_u64..40).prop_map(|seconds| seconds * SECOND),
        1 => 0_u64..(100 * YEAR),
        2 => (0_u32..64, 0_u64..3).prop_map(|(bit, more)| (1 << bit) + more - 1),
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        8 => duration().prop_map(When::In),
        2 => duration().prop_map(When::Before),
        1 => any::<u64>().prop_map(When::At),
        1 => (0_u64..3).prop_map(|less| When::At(u64::MAX - less)),
        1 => (0_u64..3).prop_map(When::At),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let many = (when(), duration(), 1_usize..60);
    prop_oneof![
        6 => when().prop_map(Step::Insert),
        3 => many.prop_map(|(from, gap, count)| Step::InsertMany { from, gap, count }),
        3 => any::<usize>().prop_map(Step::Cancel),
        1 => (1_usize..40).prop_map(Step::CancelFirst),
        1 => (1_usize..40).prop_map(Step::CancelLast),
        2 => Just(Step::PopOne),
        2 => duration().prop_map(Step::Advance),
        2 => (1_usize..40).prop_map(Step::PopNext),
    ]
}

fn run(wheel: &mut Wheel, model: &mut Model, now: &mut Nanos, step: Step) {
    match step {
        Step::Insert(when) => model.insert(wheel, when.from(*now)),
        Step::InsertMany { from, gap, count } => {
            let mut at = from.from(*now);
            for _ in 0..count {
                model.insert(wheel, at);
                at = at.saturating_add(gap);
            }
        }
        Step::Cancel(index) => model.cancel(wheel, index),
        Step::CancelFirst(count) => {
            for _ in 0..count {
                model.cancel(wheel, 0);
            }
        }
        Step::CancelLast(count) => {
            for _ in 0..count {
                model.cancel(wheel, model.timers.len().saturating_sub(1));
            }
        }
        Step::PopOne => {
            model.pop(wheel, *now);
        }
        Step::Advance(nanos) => {
            *now = now.saturating_add(nanos);
            while model.pop(wheel, *now) {}
        }
        Step::PopNext(count) => {
            for _ in 0..count {
                *now = wheel.next().unwrap_or(*now).max(*now);
                model.pop(wheel, *now);
            }
        }
    }
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_map(
        start in prop_oneof![Just(0), 0..10 * SECOND, any::<u64>()],
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let (mut wheel, mut model, mut now) = (Wheel::new(), Model::default(), start);
        let moves = moves(|| {
            for step in steps {
                run(&mut wheel, &mut model, &mut now, step);
                model.compare(&wheel);
            }
            while model.pop(&mut wheel, u64::MAX) {}
        });
        model.compare(&wheel);
        prop_assert!(moves <= 2 * u64::from(LEVELS) * model.inserted);
        prop_assert_eq!(wheel.rings.len(), 0);
    }
}

#[test]
fn the_level_of_every_slot_and_its_neighbours() {
    assert_eq!(LEVELS, 11);
    for level in 0..LEVELS {
        let slots = if level == 10 { 16 } else { 64 };
        for slot in 1..slots {
            let at = (slot as u64) << (6 * level);
            assert_eq!(level_between(0, at), level);
            assert_eq!(digit(at, level), slot);
            for finer in 0..level {
                assert_eq!(digit(at, finer), 0);
                assert_eq!(digit(at - 1, finer), 63);
            }
            for coarser in level + 1..LEVELS {
                assert_eq!(digit(at, coarser), 0);
            }
            assert_eq!(level_between(0, at - 1), if slot == 1 { level.max(1) - 1 } else { level });
            assert_eq!(digit(at - 1, level), slot - 1);
            assert_eq!(level_between(at - 1, at), level);
            assert_eq!(level_between(0, at + 1), if level == 0 && slot == 63 { 1 } else { level });
            assert_eq!(digit(at + 1, level), if level == 0 { (slot + 1) % 64 } else { slot });
            for base in [1, 63, 64, at, at - 1, at + 1, 12_345_678_901, u64::MAX] {
                assert_eq!(level_between(base, base ^ at), level);
                assert_eq!(level_between(base ^ at, base), level);
                assert_eq!(level_between(base, base), 0);
            }
        }
    }
}

#[test]
fn every_slot_of_every_level_and_its_neighbours_come_in_order() {
    let mut deadlines = vec![0, u64::MAX];
    for level in 0..LEVELS {
        for slot in 1..if level == 10 { 16 } else { 64 } {
            let at: Nanos = slot << (6 * level);
            deadlines.extend([at - 1, at, at + 1]);
        }
    }
    deadlines.shuffle(&mut StdRng::seed_from_u64(1));
    let (mut wheel, mut model) = (Wheel::new(), Model::default());
    for at in deadlines {
        model.insert(&mut wheel, at);
        model.compare(&wheel);
    }
    // Not a tick too early.
    while let Some(next) = wheel.next() {
        if next > 0 {
            assert_eq!(wheel.pop_due(next - 1), None);
        }
        assert!(model.pop(&mut wheel, next));
        model.compare(&wheel);
    }
}

#[test]
fn the_next_deadline_is_exact_years_ahead() {
    let mut wheel = Wheel::new();
    let mut random = StdRng::seed_from_u64(2);
    let mut deadlines: Vec<Nanos> =
        (0..1000).map(|_| random.random_range(YEAR..500 * YEAR)).collect();
    for (key, at) in deadlines.iter().enumerate() {
        wheel.insert(*at, key as Key);
    }
    deadlines.sort_unstable();
    for at in deadlines {
        assert_eq!(wheel.next(), Some(at));
        assert_eq!(wheel.pop_due(at - 1), None);
        assert_eq!(wheel.pop_due(at).map(|(at, _)| at), Some(at));
    }
    assert_eq!(wheel.next(), None);
}

#[test]
fn nothing_is_due_in_an_empty_wheel() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.next(), None);
    assert_eq!(wheel.pop_due(u64::MAX), None);
    assert_eq!(wheel.len(), 0);
    wheel.sanity_check();
}

#[test]
fn the_ends_of_time() {
    let mut wheel = Wheel::new();
    wheel.insert(u64::MAX, 1);
    wheel.insert(0, 2);
    wheel.insert(u64::MAX, 3);
    assert_eq!(wheel.pop_due(u64::MAX - 1), Some((0, 2)));
    assert_eq!(wheel.pop_due(u64::MAX - 1), None);
    assert_eq!(wheel.pop_due(u64::MAX), Some((u64::MAX, 1)));
    wheel.insert(5, 4);
    assert_eq!(wheel.pop_due(u64::MAX), Some((5, 4)), "a deadline before the time popped last");
    assert_eq!(wheel.pop_due(u64::MAX), Some((u64::MAX, 3)));
    assert_eq!(wheel.pop_due(u64::MAX), None);
}

#[test]
#[should_panic(expected = "no value")]
fn a_timer_is_not_cancelled_twice() {
    let mut wheel = Wheel::new();
    wheel.insert(2, 2);
    let id = wheel.insert(1, 1);
    wheel.cancel(id);
    wheel.cancel(id);
}

/// So many timers that anything quadratic would be noticed.
const MILLION: u64 = 1_000_000;

/// Adds a timer for each deadline, keys counting up.
fn filled(deadlines: impl Iterator<Item = Nanos>) -> (Wheel, Vec<TimerId>) {
    let mut wheel = Wheel::new();
    let ids = (0..).zip(deadlines).map(|(key, at)| wheel.insert(at, key)).collect();
    wheel.sanity_check();
    (wheel, ids)
}

/// Pops all, which must be in the order of deadline and key.
fn drain(wheel: &mut Wheel) {
    let mut last = None;
    while let Some(next) = wheel.next() {
        let popped = wheel.pop_due(next);
        assert!(popped.is_some_and(|(at, _)| at == next));
        assert!(last < popped);
        last = popped;
    }
    assert_eq!(wheel.len(), 0);
    wheel.sanity_check();
}

#[test]
fn a_million_decreasing_deadlines() {
    let (mut wheel, _) = filled((0..MILLION).map(|n| (MILLION - n) * 1_000_003));
    let moves = moves(|| drain(&mut wheel));
    assert!(moves <= 6 * MILLION, "{moves}");
}

#[test]
fn a_million_decreasing_pairs_that_differ_in_the_last_digit() {
    let (mut wheel, _) = filled((0..MILLION).map(|n| (MILLION - n) / 2 * 1_000_003 + n % 2));
    let moves = moves(|| drain(&mut wheel));
    assert!(moves <= 6 * MILLION, "{moves}");
    assert!(wheel.rings.len() <= 1000);
}

#[test]
fn a_million_timeouts_cancelled_in_their_order() {
    let (mut wheel, ids) = filled((0..MILLION).map(|n| 30 * SECOND + n * 1000));
    let moves = moves(|| {
        for (n, id) in (0..).zip(ids) {
            assert_eq!(wheel.next(), Some(30 * SECOND + n * 1000));
            assert_eq!(wheel.cancel(id), n);
        }
    });
    assert!(moves <= 6 * MILLION, "{moves}");
    wheel.sanity_check();
}

#[test]
fn a_million_timeouts_in_a_moving_window() {
    let (mut wheel, mut ids) = filled((0..1000).map(|n| 30 * SECOND + n * 1000));
    let moves = moves(|| {
        for n in 0..MILLION {
            ids.push(wheel.insert(30 * SECOND + (n + 1000) * 1000, n + 1000));
            let id = ids[usize::try_from(n).expect("a million")];
            assert_eq!(wheel.cancel(id), n);
            assert_eq!(wheel.next(), Some(30 * SECOND + (n + 1) * 1000));
        }
    });
    assert!(moves <= 6 * MILLION, "{moves}");
    wheel.sanity_check();
    assert!(wheel.timers.capacity() < 3000);
}

#[test]
fn a_million_timeouts_cancelled_from_the_last() {
    let (mut wheel, ids) = filled((0..MILLION).map(|n| 30 * SECOND + n * 1000));
    let moves = moves(|| {
        for id in ids.into_iter().rev() {
            wheel.cancel(id);
        }
    });
    assert_eq!(moves, 0);
    wheel.sanity_check();
}

#[test]
fn a_million_of_one_deadline() {
    for at in [0, 7 * SECOND, u64::MAX] {
        let (mut wheel, ids) = filled((0..MILLION).map(|_| at));
        let moves = moves(|| {
            for id in ids.iter().step_by(2) {
                wheel.cancel(*id);
            }
            drain(&mut wheel);
        });
        assert!(moves <= MILLION, "{moves}");
    }
}

#[test]
fn a_million_in_one_slot() {
    let mut random = StdRng::seed_from_u64(3);
    let slot = 3 << 60;
    let (mut wheel, _) = filled((0..MILLION).map(|_| slot + random.random_range(0..1 << 60)));
    let moves = moves(|| drain(&mut wheel));
    assert!(moves <= 5 * MILLION, "{moves}");
}

#[test]
fn a_million_of_all_scales_cancelled_at_random() {
    let mut random = StdRng::seed_from_u64(4);
    let (mut wheel, mut ids) =
        filled((0..MILLION).map(|_| random.random::<u64>() >> random.random_range(0..64)));
    ids.shuffle(&mut random);
    let moves = moves(|| {
        for id in ids.drain(500_000..) {
            wheel.cancel(id);
        }
        wheel.sanity_check();
        drain(&mut wheel);
    });
    assert!(moves <= 11 * MILLION, "{moves}");
}

/// Fills a slot, empties it to one timer and so on: the ring around it comes and goes.
#[test]
fn a_ring_that_comes_and_goes_does_not_cost_more_than_its_timers() {
    let mut wheel = Wheel::new();
    wheel.insert(40 * SECOND, 0);
    let rounds = 10_000;
    let moves = moves(|| {
        for _ in 0..rounds {
            let ids: Vec<_> = (0..20).map(|n| wheel.insert(30 * SECOND + n, n)).collect();
            for id in ids {
                wheel.cancel(id);
            }
        }
    });
    assert!(moves <= 11 * 20 * rounds, "{moves}");
    wheel.sanity_check();
}

/// The timers before and beside a full slot come and go; what is in it must stay there.
#[test]
fn a_full_slot_is_not_spread_time_and_again() {
    let coarse = 1 << 42;
    let (mut wheel, _) = filled((0..MILLION).map(|n| coarse + (3 << 36) + n * 1000));
    let at = coarse + (2 << 36);
    let moves = moves(|| {
        let mut beside = wheel.insert(at, 0);
        for n in 0..20 {
            let before = wheel.insert(n, 0);
            wheel.cancel(beside);
            beside = wheel.insert(at, 0);
            wheel.cancel(before);
            assert_eq!(wheel.next(), Some(at));
        }
    });
    assert!(moves <= 2 * MILLION, "{moves}");
    wheel.sanity_check();
}

#[test]
fn memory_is_given_back() {
    let (mut wheel, ids) = filled((0..MILLION).map(|n| n * n));
    let far = wheel.insert(u64::MAX, MILLION);
    assert!(wheel.timers.capacity() >= 1_000_000);
    for id in ids {
        wheel.cancel(id);
    }
    wheel.sanity_check();
    assert!(wheel.timers.capacity() <= 512, "one timer left: one page, one spare");
    wheel.cancel(far);
    assert!(wheel.timers.capacity() <= 256, "none left");
    assert!(wheel.rings.capacity() <= 16);
}
