//! Timers by deadline: a hierarchical timer wheel on nanoseconds, pure.
//!
//! A [ring](level::Ring) has 64 slots, one per value of a 6-bit digit of the deadline. A slot
//! holds timers, in the order in which they came, or a finer ring. There are at most 11 rings
//! from the outermost to a timer, so adding and taking away cost the same however many timers
//! there are.
//!
//! The usual wheel turns: it has a current time, and a slot is spread over the finer level when
//! that time reaches it. Two things are wrong with that here. To learn the earliest deadline, or
//! just to spread a slot, the thread has to wake before anything is due; an idle engine must not.
//! And a turned wheel has no place for a deadline that lies behind. So this one does not turn
//! and knows no current time. Its slots are refined by need instead:
//!
//! * The earliest timer is always known ([`next`](Wheel::next) reads a field). It is sought anew
//!   only when it is taken away, by going down the first slots. Where the first slot holds a few
//!   timers they are looked through; where it holds more, they are spread over a finer ring.
//! * So a timer moves at most once per level (and anew where a ring was left to it alone), all
//!   others stay where they were put, and a deadline before all others is a slot like any other.
//!   One removal may spread a slot of many timers, which that many insertions have paid for.
//! * A ring covers the coarsest digit in which its timers differ; the digits that they share get
//!   no rings. A ring that is left with one timer or one ring gives its place to it. So there are
//!   never more rings than timers, and with few timers none at all.
//!
//! Timers of one deadline are always in one slot, which is what keeps them in order.

mod level;
mod slab;
#[cfg(test)]
mod tests;

use super::key::{Key, Nanos};
use level::{Ring, Slot, digit, level_between};
use slab::{Id, Slab};

/// As many timers as are looked through for the earliest, rather than spread over a ring.
const FEW: usize = 8;

/// A timer of a [`Wheel`], from its insertion until it is cancelled or popped. After that the id
/// may come to mean another timer, so whoever keeps it must forget it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimerId(Id);

/// Timers by deadline.
pub(crate) struct Wheel {
    timers: Slab<Timer, 256>,
    rings: Slab<Ring, 16>,
    root: Slot,
    /// The earliest timer; of several, the one that came first.
    first: Option<(Nanos, Id)>,
}

/// The timers of a slot are a circle, entered by the last of them.
struct Timer {
    at: Nanos,
    key: Key,
    next: Id,
    /// Means nothing in the first of a slot: so that adding one touches only the last.
    previous: Id,
}

const _: () = assert!(size_of::<Timer>() == 24);
const _: () = assert!(size_of::<Option<TimerId>>() == 4);

/// Where a slot is.
#[derive(Clone, Copy)]
enum Place {
    Root,
    In { ring: Id, slot: usize },
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { timers: Slab::new(), rings: Slab::new(), root: Slot::Empty, first: None }
    }

    /// How many timers there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    /// The earliest deadline, exactly.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.first.map(|(at, _)| at)
    }

    /// Adds a timer. `at` may be any time, also one before those that were popped.
    pub(crate) fn insert(&mut self, at: Nanos, key: Key) -> TimerId {
        let id = self.timers.insert_with(|id| Timer { at, key, next: id, previous: id });
        self.put(at, id);
        if self.first.is_none_or(|(first, _)| at < first) {
            self.first = Some((at, id));
        }
        TimerId(id)
    }

    /// Takes a timer away and returns its key.
    ///
    /// # Panics
    /// If the id is of no timer. (One that was popped or cancelled may be of another by now, which
    /// would be cancelled in its stead: see [`TimerId`].)
    pub(crate) fn cancel(&mut self, id: TimerId) -> Key {
        self.take(id.0).key
    }

    /// Takes away the earliest timer whose deadline is `now` or before; timers of one deadline in
    /// the order in which they came.
    pub(crate) fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, Key)> {
        let (at, id) = self.first.filter(|(at, _)| *at <= now)?;
        Some((at, self.take(id).key))
    }

    fn slot(&self, place: Place) -> Slot {
        match place {
            Place::Root => self.root,
            Place::In { ring, slot } => self.rings[ring].get(slot),
        }
    }

    fn set(&mut self, place: Place, content: Slot) {
        match place {
            Place::Root => self.root = content,
            Place::In { ring, slot } => self.rings[ring].set(slot, content),
        }
    }

    /// Puts a timer into the slot of its deadline.
    fn put(&mut self, at: Nanos, id: Id) {
        let mut place = Place::Root;
        while let Slot::Ring(ring) = self.slot(place) {
            let inner = &self.rings[ring];
            if !inner.covers(at) {
                let mut outer = Ring::new(level_between(inner.sample(), at), at);
                outer.set(digit(inner.sample(), outer.level()), Slot::Ring(ring));
                outer.set(digit(at, outer.level()), Slot::Timers(id));
                let outer = self.rings.insert_with(|_| outer);
                self.set(place, Slot::Ring(outer));
                return;
            }
            place = Place::In { ring, slot: digit(at, inner.level()) };
        }
        let before = self.slot(place);
        let content = append(&mut self.timers, before, id);
        self.set(place, content);
    }

    /// Takes a timer out, and the ring around it if that is no longer of use.
    fn take(&mut self, id: Id) -> Timer {
        let at = self.timers[id].at;
        let (mut outer, mut place) = (Place::Root, Place::Root);
        while let Slot::Ring(ring) = self.slot(place) {
            outer = place;
            place = Place::In { ring, slot: digit(at, self.rings[ring].level()) };
        }
        let Slot::Timers(last) = self.slot(place) else {
            unreachable!("a timer is in the slot of its deadline")
        };
        let content = self.unlink(last, id);
        self.set(place, content);
        self.prune(outer, place);
        let timer = self.timers.remove(id).expect("it was just looked up");
        if self.first.is_some_and(|(_, first)| first == id) {
            self.first = self.find_first();
        }
        timer
    }

    /// Removes the ring that `place` is in, and that `outer` holds, if there is but one timer or
    /// one ring in it, and returns whether. (Several timers stay: they could move down time
    /// and again.)
    fn prune(&mut self, outer: Place, place: Place) -> bool {
        if let Place::In { ring, .. } = place
            && let Some(only) = self.rings[ring].only()
            && !matches!(only, Slot::Timers(last) if self.timers[last].next != last)
        {
            self.set(outer, only);
            self.rings.remove(ring);
            return true;
        }
        false
    }

    /// Takes a timer out of the circle that ends with `last`; returns what its slot holds then.
    fn unlink(&mut self, last: Id, id: Id) -> Slot {
        let Timer { next, previous, .. } = self.timers[id];
        if next == id {
            return Slot::Empty;
        }
        let first = self.timers[last].next;
        if id == first {
            self.timers[last].next = next;
            return Slot::Timers(last);
        }
        self.timers[previous].next = next;
        if id == last {
            return Slot::Timers(previous);
        }
        self.timers[next].previous = previous;
        Slot::Timers(last)
    }

    /// Goes down to the earliest timer, refining the slots on the way as far as needed.
    fn find_first(&mut self) -> Option<(Nanos, Id)> {
        let (mut outer, mut place) = (Place::Root, Place::Root);
        let mut same = false;
        loop {
            match self.slot(place) {
                Slot::Empty => return None,
                Slot::Ring(ring) => {
                    let inner = &self.rings[ring];
                    outer = place;
                    place = Place::In { ring, slot: inner.first() };
                    same = inner.level() == 0;
                }
                Slot::Timers(last) if same => {
                    let first = self.timers[last].next;
                    return Some((self.timers[first].at, first));
                }
                Slot::Timers(last) => {
                    let first = self.first_of_few(last);
                    if first.is_some() {
                        return first;
                    }
                    let ring = self.refine(last);
                    self.set(place, Slot::Ring(ring));
                    if self.prune(outer, place) {
                        place = outer;
                    }
                }
            }
        }
    }

    /// The earliest of the timers of a slot, if they are few.
    fn first_of_few(&self, last: Id) -> Option<(Nanos, Id)> {
        let mut first = None;
        let mut id = self.timers[last].next;
        for _ in 0..FEW {
            let Timer { at, next, .. } = self.timers[id];
            if first.is_none_or(|(earliest, _)| at < earliest) {
                first = Some((at, id));
            }
            if id == last {
                return first;
            }
            id = next;
        }
        None
    }

    /// Spreads the timers of a slot over a ring: at the coarsest digit in which they differ, or
    /// at the finest if they do not differ.
    fn refine(&mut self, last: Id) -> Id {
        let first = self.timers[last].next;
        let sample = self.timers[last].at;
        let mut level = 0;
        let mut id = first;
        while id != last {
            level = level_between(sample, self.timers[id].at).max(level);
            id = self.timers[id].next;
        }
        let mut ring = Ring::new(level, sample);
        let mut rest = Some(first);
        while let Some(id) = rest {
            let Timer { at, next, .. } = self.timers[id];
            rest = (id != last).then_some(next);
            let slot = digit(at, level);
            self.timers[id].next = id;
            ring.set(slot, append(&mut self.timers, ring.get(slot), id));
            #[cfg(test)]
            tests::count_move();
        }
        self.rings.insert_with(|_| ring)
    }
}

/// Adds a timer, linked to none but itself, to those of a slot; returns what the slot holds then.
fn append(timers: &mut Slab<Timer, 256>, content: Slot, id: Id) -> Slot {
    match content {
        Slot::Empty => {}
        Slot::Timers(last) => {
            let first = std::mem::replace(&mut timers[last].next, id);
            let timer = &mut timers[id];
            timer.next = first;
            timer.previous = last;
        }
        Slot::Ring(_) => unreachable!("timers are added where the rings end"),
    }
    Slot::Timers(id)
}
