//! Levels of a wheel: the 6-bit digits of a deadline, and rings of 64 slots.

use super::slab::Id;
use crate::dispatcher::key::Nanos;

/// Bits of a digit.
const BITS: u32 = 6;
/// Slots of a ring.
const SLOTS: usize = 1 << BITS;
/// Digits of a deadline; the topmost has but 4 bits.
#[cfg(test)]
pub(super) const LEVELS: u32 = u64::BITS.div_ceil(BITS);

/// The highest digit in which two deadlines differ, 0 if they do not.
pub(super) fn level_between(a: Nanos, b: Nanos) -> u32 {
    ((a ^ b) | 1).ilog2() / BITS
}

/// The digit of a deadline at a level: its slot in a ring of that level.
pub(super) fn digit(at: Nanos, level: u32) -> usize {
    usize::try_from((at >> (level * BITS)) % SLOTS as u64).expect("a digit is below 64")
}

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    Empty,
    /// Timers; the last of them.
    Timers(Id),
    /// A ring of a finer level.
    Ring(Id),
}

/// The slots of a digit, for deadlines that agree in all digits above it.
pub(super) struct Ring {
    /// One bit per slot that is not empty.
    occupied: u64,
    /// A deadline that belongs here, for the digits above.
    sample: Nanos,
    level: u32,
    slots: [Slot; SLOTS],
}

impl Ring {
    /// An empty ring for the deadlines that agree with `sample` in the digits above `level`.
    pub(super) fn new(level: u32, sample: Nanos) -> Self {
        Self { occupied: 0, sample, level, slots: [Slot::Empty; SLOTS] }
    }

    pub(super) fn level(&self) -> u32 {
        self.level
    }

    pub(super) fn sample(&self) -> Nanos {
        self.sample
    }

    /// Whether a deadline belongs here.
    pub(super) fn covers(&self, at: Nanos) -> bool {
        level_between(self.sample, at) <= self.level
    }

    pub(super) fn get(&self, slot: usize) -> Slot {
        self.slots[slot]
    }

    pub(super) fn set(&mut self, slot: usize, content: Slot) {
        self.slots[slot] = content;
        let bit = 1 << slot;
        if content == Slot::Empty {
            self.occupied &= !bit;
        } else {
            self.occupied |= bit;
        }
    }

    /// The first slot that is not empty. There is one in every ring that is in use.
    pub(super) fn first(&self) -> usize {
        usize::try_from(self.occupied.trailing_zeros()).expect("a slot is below 64")
    }

    /// The content of the only slot that is not empty, if there is just one.
    pub(super) fn only(&self) -> Option<Slot> {
        self.occupied.is_power_of_two().then(|| self.slots[self.first()])
    }

    /// All slots, for checks of the whole.
    #[cfg(test)]
    pub(super) fn slots(&self) -> impl Iterator<Item = (usize, Slot)> {
        for (slot, content) in self.slots.iter().enumerate() {
            assert_eq!(*content != Slot::Empty, self.occupied & (1 << slot) != 0);
        }
        self.slots.iter().copied().enumerate().filter(|(_, content)| *content != Slot::Empty)
    }
}
